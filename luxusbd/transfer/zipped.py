"""The one image in a zip archive. The archive is foreign: its directory, its methods and its sizes are bounded."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath

from luxusbd.errors import MalformedImageError
from luxusbd.text import clean

MAX_READ = 1024 * 1024
"""Bytes that one read may ask for; zipfile reads the directory at once, and 1 MiB names more than 10000 members."""
PIECE = 256 * 1024
_IMAGE_SUFFIXES = (".iso", ".img")
_SHOWN = 10
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""What unpacks with bounded memory; Python's other ones have no limit of their own."""
_METHOD_NAMES = {9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd", 95: "xz"}
"""APPNOTE.TXT 4.4.5."""

# RuntimeError covers what zipfile says of flags that nobody uses, and of members with a password.
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, MemoryError),
    *(ValueError, RuntimeError, LookupError, OverflowError),
)


class _File(io.RawIOBase):
    """A regular file by pread(2), of which nobody can ask much at once."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("before the start of the file")
        self._position = base + offset
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        wanted = max(0, self._size - self._position) if size < 0 else size
        if wanted > MAX_READ:
            raise MalformedImageError(
                f"the zip archive has a part of {wanted} bytes where at most {MAX_READ} are read: it is damaged,"
                " or holds far more than an image"
            )
        data = os.pread(self._fd, wanted, self._position)
        self._position += len(data)
        return data


class ZippedImage:
    """The image in an archive, found; see `open_image`."""

    def __init__(self, file: _File, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        self._file = file
        self._archive = archive
        self._member = member
        self.name = clean(PurePosixPath(member.filename).name, 255)
        """Its file name, without directories."""
        self.size = member.file_size
        """Bytes that it claims to unpack to."""

    def pieces(self) -> Iterator[tuple[bytes, int]]:
        """The image, piece by piece, each with the position in the archive up to which it was read.

        Raises:
            MalformedImageError: it is damaged, or does not have the size or the checksum that the archive says.
        """
        try:
            with self._archive.open(self._member) as opened:
                while piece := opened.read(PIECE):
                    yield piece, self._file.tell()
        except _DAMAGE as error:
            raise MalformedImageError(f"{self.name} in the zip archive is damaged: {error}") from error


@contextmanager
def open_image(fd: int, size: int) -> Iterator[ZippedImage]:
    """Find the image in the zip archive behind the regular file `fd`.

    It is the only member, or the only one that is called .iso or .img; directories and what macOS adds do not count.

    Raises:
        MalformedImageError: the archive is damaged, encrypted or compressed in a way that is not supported, or it is
            not clear which member is the image.
    """
    file = _File(fd, size)
    try:
        archive = zipfile.ZipFile(file)
    except _DAMAGE as error:
        raise MalformedImageError(f"the zip archive cannot be read: {error}") from error
    with archive:
        member = _choose([info for info in archive.infolist() if not _beside(info)])
        if member.flag_bits & 0x1:
            raise MalformedImageError(f"{_shown(member)} in the zip archive is encrypted; unpack it yourself")
        if member.compress_type not in _METHODS:
            name = _METHOD_NAMES.get(member.compress_type, str(member.compress_type))
            raise MalformedImageError(
                f"{_shown(member)} in the zip archive is compressed with the method {name}, which is not supported;"
                " unpack it yourself"
            )
        yield ZippedImage(file, archive, member)


def _choose(members: Sequence[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    images = [info for info in members if info.filename.lower().endswith(_IMAGE_SUFFIXES)]
    found = images or members
    if len(found) == 1:
        return found[0]
    if not found:
        raise MalformedImageError("the zip archive holds no file")
    names = ", ".join(_shown(info) for info in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    raise MalformedImageError(
        f"it is not clear which file of the zip archive is the image: {names}{more}; unpack it yourself"
    )


def _beside(info: zipfile.ZipInfo) -> bool:
    return info.is_dir() or info.filename.startswith("__MACOSX/") or PurePosixPath(info.filename).name == ".DS_Store"


def _shown(info: zipfile.ZipInfo) -> str:
    return clean(info.filename, 100)
