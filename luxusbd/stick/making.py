"""A mark on a stick that is being made, from its partition table to its first menu.

Until then nothing on it can be lost, so that what was cut may be made anew: without the mark a half-made filesystem
looks like one that was destroyed. It lies in the last sector of the BIOS boot partition, which no core image reaches
(`bios.CORE_LIMIT`).
"""

from __future__ import annotations

from luxusbd.stick.blockio import MediumReader, ReadAt, sync, write_all
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.layout import SECTOR
from luxusbd.stick.model import Layout, PartitionRole

_MARK = b"LUXUSB: this stick is being made\n"


def mark(fd: int, layout: Layout, kind: Kind = Kind.EXT4) -> None:
    """Say that the stick has no filesystem with a manifest yet, and which one it is to get.

    Raises:
        DeviceError: here and in `unmark`: the disk cannot be written.
    """
    write_all(fd, (_MARK + kind.encode() + b"\n").ljust(SECTOR, b"\0"), _place(layout))
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
    return read(_place(layout), SECTOR).startswith(_MARK)


def wanted_kind(read: ReadAt, layout: Layout) -> Kind | None:
    """Which filesystem the stick is to get that is being made; None where that is not said."""
    sector = read(_place(layout), SECTOR)
    said = sector.removeprefix(_MARK).split(b"\n")[0].decode("ascii", "replace")
    return Kind(said) if sector.startswith(_MARK) and said in tuple(Kind) else None


def _place(layout: Layout) -> int:
    part = layout.partition(PartitionRole.BIOS_BOOT)
    return part.start + part.size - SECTOR
