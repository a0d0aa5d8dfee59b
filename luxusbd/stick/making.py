"""A mark on a stick that is being made, from its partition table to its first menu.

Until then nothing on it can be lost, so that what was cut may be made anew: without the mark a half-made filesystem
looks like one that was destroyed. It lies in the last sector of the BIOS boot partition, which no core image reaches
(`bios.CORE_LIMIT`).
"""

from __future__ import annotations

from luxusbd.stick.blockio import MediumReader, ReadAt, sync, write_all
from luxusbd.stick.layout import SECTOR
from luxusbd.stick.model import Layout, PartitionRole

_MARK = b"LUXUSB: this stick is being made\n".ljust(SECTOR, b"\0")


def mark(fd: int, layout: Layout) -> None:
    """Say that the stick has no filesystem with a manifest yet.

    Raises:
        DeviceError: here and in `unmark`: the disk cannot be written.
    """
    write_all(fd, _MARK, _place(layout))
    sync(fd)


def unmark(fd: int, layout: Layout) -> None:
    """Say that it has one now; nothing is written where that was said before."""
    with MediumReader(fd) as medium:
        if not is_marked(medium.read_at, layout):
            return
    write_all(fd, bytes(SECTOR), _place(layout))
    sync(fd)


def is_marked(read: ReadAt, layout: Layout) -> bool:
    """Whether the making of the stick never came to its first menu."""
    return read(_place(layout), SECTOR) == _MARK


def _place(layout: Layout) -> int:
    part = layout.partition(PartitionRole.BIOS_BOOT)
    return part.start + part.size - SECTOR
