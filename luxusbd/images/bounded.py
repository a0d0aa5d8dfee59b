"""Reads of an image file whose sum is bounded.

The image comes from anywhere. Whatever its structures say, one `BoundedReader` gives no more than so many reads and
bytes, so that work and memory end; all readers that look at one image share one.
"""

from __future__ import annotations

from luxusbd.errors import MalformedImageError
from luxusbd.images.source import FileSource, ImageSource

MAX_READS = 20_000
MAX_BYTES = 256 * 1024 * 1024
"""All bytes ever read from one image."""
MAX_READ = 16 * 1024 * 1024
"""Bytes of one read."""


class BoundedReader:
    """What a source gives, or the regular file behind a descriptor, which stays the caller's and keeps its offset.

    Raises:
        MalformedImageError: the descriptor is no regular file.
    """

    def __init__(self, source: int | ImageSource) -> None:
        self._source = FileSource(source) if isinstance(source, int) else source
        self.reads = 0
        """Reads so far: the unit in which work is bounded."""
        self.bytes = 0
        self.size = self._source.size
        """Bytes of the file."""

    def read(self, start: int, length: int) -> bytes:
        """Exactly `length` bytes from `start`.

        Raises:
            MalformedImageError: they are not all there, or the budget is used up.
        """
        if start < 0 or length < 0 or start + length > self.size:
            raise MalformedImageError(
                f"the image is truncated or damaged: byte {start + length} is needed and the file has {self.size}"
            )
        self.reads += 1
        self.bytes += length
        if self.reads > MAX_READS or self.bytes > MAX_BYTES or length > MAX_READ:
            raise MalformedImageError("the image is damaged or hostile: its structures take more reads than allowed")
        data = bytearray()
        while len(data) < length:
            try:
                part = self._source.read(start + len(data), length - len(data))
            except OSError as error:
                raise MalformedImageError(f"the image cannot be read at byte {start}: {error.strerror}") from error
            if not part:
                raise MalformedImageError("the image became shorter while it was read")
            data += part
        return bytes(data)
