"""The files in /iso of a stick, read without mounting it: for whoever compares them with the manifest.

People copy images there by hand, and a stick may come from anywhere: names and contents are data to be checked.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from luxusbd.errors import CancelledError, DeviceError, DeviceFailingError, MalformedImageError
from luxusbd.stick.blockio import CHUNK
from luxusbd.stick.filesystem import DataFilesystem, Extent

DIRECTORY = "/iso"
PARTIAL = ".lux-part"
"""Suffix of an image that is being written."""
PENDING = "/luxusb/pending"
"""Names in /iso that a running job is about to add or remove: those the manifest does not know are leftovers."""
PENDING_LIMIT = 1024 * 1024
MAX_FILES = 2000
"""Entries of /iso that are looked at."""

_VOLUME_MAGIC = 0x8001
"""Where an ISO 9660 image says CD001 (ECMA-119, section 8.1)."""


class FileKind(StrEnum):
    """What a name in /iso stands for."""

    FILE = "file"
    DIRECTORY = "directory"
    OTHER = "other"


@dataclass(frozen=True)
class FoundFile:
    """One entry of /iso."""

    name: str
    """Untrusted; bytes that are no UTF-8 are replaced, so that the file cannot be found by it."""
    kind: FileKind
    size: int
    changed: int
    """Unix seconds, as the clock of the machine stood that changed it last."""


@dataclass(frozen=True)
class Piece:
    """Bytes of a file that lie together."""

    offset: int
    """In the file."""
    length: int
    place: int | None
    """First byte on the partition; None for a hole, which reads as zeros."""
    initialised: bool
    """False where space is only reserved: the kernel reads zeros there, and GRUB whatever lies on the medium."""


def pieces(extents: Sequence[Extent], block: int, size: int) -> Iterator[Piece]:
    """A file of `size` bytes from its first byte to its last, holes included; `extents` rise, in blocks of `block`."""
    at = 0
    for extent in extents:
        start = extent.logical * block
        if start >= size:
            break
        if start > at:
            yield Piece(at, start - at, None, True)
        at = min(size, start + extent.length * block)
        yield Piece(start, at - start, extent.physical * block, extent.initialised)
    if at < size:
        yield Piece(at, size - at, None, True)


def check_beginning(parts: Iterable[Piece]) -> None:
    """Refuse a file that begins with a hole, which only the kernel can read.

    GRUB looks for the last extent that begins at or before a block, and gives up where there is none ("something wrong
    with extent", grub_ext2_read_block in grub-core/fs/ext2.c); holes further behind read as zeros.

    Raises:
        MalformedImageError: it does; the text says what to do.
    """
    first = next(iter(parts), None)
    if first is not None and first.place is None:
        raise MalformedImageError(
            "it begins with a hole, which GRUB cannot read; copy it again without holes: cp --sparse=never"
        )


class StickFile:
    """A regular file at a path of the data partition; an `images.source.ImageSource`.

    Raises:
        MalformedImageError: there is none of that name, or the filesystem is inconsistent.
    """

    def __init__(self, filesystem: DataFilesystem, path: str) -> None:
        inode = filesystem.lookup(path)
        if inode is None or not inode.is_file:
            raise MalformedImageError("there is no such file on the stick any more")
        self._filesystem = filesystem
        self._size = inode.size
        self._pieces = tuple(pieces(filesystem.extents(path), filesystem.block_size, inode.size))
        self._offsets = [piece.offset for piece in self._pieces]

    @property
    def size(self) -> int:
        """Its bytes."""
        return self._size

    def check_for_grub(self) -> None:
        """Make sure that GRUB would read the same as the kernel does.

        Raises:
            MalformedImageError: it would not; the text says what to do.
        """
        check_beginning(self._pieces)
        if not all(piece.initialised for piece in self._pieces):
            raise MalformedImageError("a part of it is only reserved on the stick, not written; copy it again")

    def read(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset` on; empty at the end.

        Raises:
            DeviceFailingError: the medium gives an input/output error there.
            MalformedImageError: it cannot be read there for another reason.
        """
        if not 0 <= offset < self._size or length <= 0:
            return b""
        piece = self._pieces[bisect_right(self._offsets, offset) - 1]
        inside = offset - piece.offset
        count = min(length, piece.length - inside, CHUNK)
        if piece.place is None or not piece.initialised:
            return bytes(count)
        try:
            return self._filesystem.read_bytes(piece.place + inside, count)
        except DeviceFailingError:
            raise
        except DeviceError as error:
            raise MalformedImageError(f"the stick cannot be read there ({error})") from error

    def sha256(self, progress: Callable[[int, int], None], stop: Callable[[], bool]) -> str:
        """Hash of the whole file. `progress` gets bytes done and bytes in all.

        Raises:
            CancelledError: `stop` said yes.
            MalformedImageError: as `read`.
        """
        hasher = hashlib.sha256()
        done = 0
        while done < self._size:
            if stop():
                raise CancelledError("the reading was cancelled")
            data = self.read(done, CHUNK)
            hasher.update(data)
            done += len(data)
            progress(done, self._size)
        return hasher.hexdigest()


def image_file(filesystem: DataFilesystem, name: str) -> StickFile:
    """A file in /iso, by a name that may come from anywhere.

    Raises:
        MalformedImageError: as `StickFile`.
    """
    if "/" in name:
        raise MalformedImageError("there is no such file on the stick any more")
    return StickFile(filesystem, f"{DIRECTORY}/{name}")


def list_files(filesystem: DataFilesystem) -> tuple[FoundFile, ...]:
    """What lies in /iso, at most `MAX_FILES` entries, in the order of the directory.

    Raises:
        MalformedImageError: the filesystem is inconsistent.
    """
    found = []
    for name, inode in filesystem.entries(DIRECTORY, MAX_FILES):
        kind = FileKind.FILE if inode.is_file else FileKind.DIRECTORY if inode.is_directory else FileKind.OTHER
        found.append(FoundFile(name.decode("utf-8", "replace"), kind, inode.size, inode.changed))
    return tuple(found)


def unlisted(filesystem: DataFilesystem, listed: Collection[str]) -> int:
    """How many image files lie in /iso that are not among `listed`: cheap, by two reads a file.

    Raises:
        MalformedImageError: the filesystem is inconsistent.
    """
    left = pending(filesystem)
    count = 0
    for found in list_files(filesystem):
        if found.kind is not FileKind.FILE or found.name in listed or found.name in left:
            continue
        if not found.name.endswith(PARTIAL) and looks_like_an_image(filesystem, f"{DIRECTORY}/{found.name}"):
            count += 1
    return count


def pending(filesystem: DataFilesystem) -> frozenset[str]:
    """Names in /iso that a job which was cut was about to add or remove."""
    try:
        data = filesystem.read_file(PENDING, PENDING_LIMIT) or b""
    except MalformedImageError:
        return frozenset()
    return frozenset(data.decode("ascii", "replace").splitlines())


def looks_like_an_image(filesystem: DataFilesystem, path: str) -> bool:
    """Whether a file anywhere on the data partition begins like an ISO 9660 image."""
    try:
        return StickFile(filesystem, path).read(_VOLUME_MAGIC, 5) == b"CD001"
    except (MalformedImageError, DeviceFailingError):
        return False
