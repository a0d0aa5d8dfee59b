"""Room for changes as it lies on a medium: how much is in it, and which of it belongs to no image any more."""

from __future__ import annotations

from collections.abc import Iterator

from luxusbd.errors import LimitExceededError, MalformedImageError
from luxusbd.images.model import Store
from luxusbd.stick.blockio import ReadAt
from luxusbd.stick.ext4 import Ext4
from luxusbd.stick.filesystem import DataFilesystem
from luxusbd.stick.layout import PERSISTENCE_NAME
from luxusbd.stick.model import Layout, Manifest, PartitionRole, StrayRoom
from luxusbd.stick.pair import PairFilesystem
from luxusbd.stick.persistence import OWN_FILES, is_directory

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
