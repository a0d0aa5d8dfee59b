"""Where the bytes of an image come from: a regular file, or something that can be read like one."""

from __future__ import annotations

import os
import stat
from typing import Protocol

from luxusbd.errors import MalformedImageError


class ImageSource(Protocol):
    """An image that can be read at any place."""

    @property
    def size(self) -> int:
        """Its bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset` on, at least one unless that is the end.

        Raises:
            OSError: the medium cannot be read there.
            MalformedImageError: it has no bytes there, although it should.
        """


class FileSource:
    """The regular file behind `fd`, which stays the caller's and keeps its offset.

    Raises:
        MalformedImageError: it is no regular file.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise MalformedImageError("the image is not a regular file")
        self._size = status.st_size

    @property
    def size(self) -> int:
        """Bytes of the file when it was opened."""
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """Some bytes, as pread(2) gives them."""
        return os.pread(self._fd, length, offset)
