"""Room for changes as it lies on a medium: how much is in it, and which of it belongs to no image any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from luxusbd.errors import LimitExceededError, MalformedImageError
from luxusbd.images.model import Persistence, Store
from luxusbd.stick.blockio import ReadAt
from luxusbd.stick.ext4 import Ext4
from luxusbd.stick.filesystem import DataFilesystem
from luxusbd.stick.layout import PERSISTENCE_NAME
from luxusbd.stick.model import Kept, Layout, Manifest, PartitionRole, StrayRoom
from luxusbd.stick.pair import PairFilesystem
from luxusbd.stick.persistence import OWN_FILES, SMALLEST, is_directory

_MOST = 100
"""Names in a room on FAT32 or exFAT; there is one file in it."""
_MOST_LOOKED_AT = 5_000
"""Files of which the look at a stick that was plugged in adds up the sizes; a system can have a hundred times more."""
_MAGIC = (1024 + 56, b"\x53\xef")
"""Where the superblock of ext4 says what it is (Documentation/filesystems/ext4/super.rst)."""


def stray(filesystem: DataFilesystem, manifest: Manifest, layout: Layout, read: ReadAt) -> tuple[StrayRoom, ...]:
    """The rooms of which no image on a stick knows: of one that was deleted by hand, or from a job that was cut.

    Args:
        filesystem: of the data partition.
        manifest: what is on the stick.
        layout: of the stick.
        read: reads of the whole disk.
    """
    return tuple(_stray(filesystem, manifest, layout, read))


def _stray(filesystem: DataFilesystem, manifest: Manifest, layout: Layout, read: ReadAt) -> Iterator[StrayRoom]:
    kept = [image.kept for image in manifest.images if image.kept is not None]
    known = {each.directory for each in kept}
    for name in sorted(filesystem.list("/")):
        if is_directory(name) and name not in known:
            try:
                size = in_use(filesystem, name, _MOST_LOOKED_AT)
            except (MalformedImageError, LimitExceededError):
                # it is there all the same
                size = 0
            yield StrayRoom(name, size)
    for name in OWN_FILES:
        node = filesystem.lookup(f"/{name}")
        if node is not None and node.is_file and all(each.name != name for each in kept):
            yield StrayRoom(name, node.size)
    if layout.has(PartitionRole.PERSISTENCE) and not any(each.store is Store.PARTITION for each in kept):
        part = layout.partition(PartitionRole.PERSISTENCE)
        place, magic = _MAGIC
        if read(part.start + place, len(magic)) == magic:
            yield StrayRoom(PERSISTENCE_NAME, part.size)


@dataclass(frozen=True)
class Left:
    """What lies under the names that the directory of an image can have, of a time when it was on the stick before."""

    kept: Kept | None
    """The room with which it can go on; of several the one that was changed last."""
    occupied: frozenset[str]
    """Directories that hold something else, which is not ours to delete."""


def left_for(filesystem: DataFilesystem, way: Persistence, names: Sequence[str]) -> Left:
    """Look for room that an image has left behind under one of these names.

    Raises:
        MalformedImageError: it cannot be read.
    """
    found: list[tuple[int, Kept]] = []
    occupied = []
    here = frozenset(filesystem.list("/"))
    for name in names:
        if name not in here:
            continue
        inside = frozenset(filesystem.list(f"/{name}"))
        if way.store is Store.FILE:
            node = filesystem.lookup(f"/{name}/{way.name}")
            # it gets its name when it is whole
            if node is not None and node.is_file and node.size >= SMALLEST:
                found.append((node.changed, Kept(way.store, way.name, name, node.size, way.entry)))
                continue
            unfinished = inside <= {f"{way.name}.tmp"}
        else:
            wanted = {path.lstrip("/") for path, _text in way.files}
            node = filesystem.lookup(f"/{name}")
            if node is not None and node.is_directory and inside and (wanted & inside or not wanted):
                found.append((node.changed, Kept(way.store, way.name, name, in_use(filesystem, name), way.entry)))
                continue
            unfinished = inside <= {f"{each}.tmp" for each in wanted}
        if not unfinished:
            occupied.append(name)
    newest = max(found, key=lambda each: each[0])[1] if found else None
    return Left(newest, frozenset(occupied))


def holds_changes(read: ReadAt, size: int, way: Persistence) -> bool:
    """Whether a persistence partition of `size` bytes has more in it than a new one would, or cannot be read."""
    place, magic = _MAGIC
    if read(place, len(magic)) != magic:
        return False
    try:
        present = set(Ext4(read, size).list("/"))
    except MalformedImageError:
        return True
    return not present <= {"lost+found", *(path.lstrip("/") for path, _text in way.files)}


def in_use(filesystem: DataFilesystem, directory: str, most: int | None = None) -> int:
    """Bytes of the files in a directory of changes.

    Raises:
        MalformedImageError: it cannot be read.
        LimitExceededError: there are more than `most` of them.
    """
    path = f"/{directory}"
    here = filesystem.home(path) if isinstance(filesystem, PairFilesystem) else filesystem
    if isinstance(here, Ext4):
        return sum(node.size for node in here.tree(path, most) if node.is_file)
    return sum(node.size for _name, node in here.entries(path, _MOST) if node.is_file)
