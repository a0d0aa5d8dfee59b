"""Reads a GUID partition table (UEFI specification 2.10, section 5.3); pure but for the reads it is given."""

from __future__ import annotations

import struct
import uuid
import zlib
from dataclasses import dataclass

from luxusbd.images.filesystems import ReadAt

SECTOR = 512

_ENTRY_LIMIT = 1024
_UNBOUNDED = 1 << 54


@dataclass(frozen=True)
class GptEntry:
    """One used row; bytes."""

    number: int
    type_guid: str
    guid: str
    name: str
    start: int
    size: int


@dataclass(frozen=True)
class GptTable:
    """A table whose checksums are right."""

    entries: tuple[GptEntry, ...]
    guid: str
    damage: str
    """Says which of the two copies is broken; empty when both are whole."""


def read(read_at: ReadAt, size: int) -> GptTable | None:
    """The table of a disk of `size` bytes, from the primary copy or else the backup; None when there is none."""
    sectors = size // SECTOR
    if sectors < 68:
        return None
    primary = _copy(read_at, 1, sectors)
    backup = _copy(read_at, sectors - 1, sectors)
    if primary is None and backup is None:
        return None
    if primary is None:
        assert backup is not None
        return GptTable(*backup, "the first copy of the partition table is broken; the second one is used")
    if backup is None:
        return GptTable(*primary, "the second copy of the partition table is broken or not at the end of the disk")
    return GptTable(*primary, "" if primary == backup else "the two copies of the partition table differ")


def claimed_end(read_at: ReadAt, size: int) -> int:
    """The byte after the last one that the first copy of a table claims, also where the file is shorter; else 0."""
    if size < 34 * SECTOR:
        return 0
    found = _copy(read_at, 1, _UNBOUNDED, present=size // SECTOR)
    return 0 if found is None else max((entry.start + entry.size for entry in found[0]), default=0)


def _copy(
    read_at: ReadAt, lba: int, sectors: int, *, present: int | None = None
) -> tuple[tuple[GptEntry, ...], str] | None:
    header = read_at(lba * SECTOR, SECTOR)
    (
        signature,
        _revision,
        length,
        crc,
        _reserved,
        own,
        _other,
        first,
        last,
        guid,
        table,
        count,
        entry_size,
        table_crc,
    ) = struct.unpack_from("<8sIIIIQQQQ16sQIII", header)
    if signature != b"EFI PART" or not 92 <= length <= SECTOR or own != lba:
        return None
    if zlib.crc32(header[:16] + bytes(4) + header[20:length]) != crc:
        return None
    if not 1 <= count <= _ENTRY_LIMIT or entry_size not in (128, 256, 512):
        return None
    if table < 2 or table * SECTOR + count * entry_size > (present or sectors) * SECTOR:
        return None
    raw = read_at(table * SECTOR, count * entry_size)
    if zlib.crc32(raw) != table_crc:
        return None
    entries = []
    for index in range(count):
        kind, own_guid, start, end, _flags, name = struct.unpack_from("<16s16sQQQ72s", raw, index * entry_size)
        if kind == bytes(16):
            continue
        if not first <= start <= end <= last or end >= sectors:
            return None
        entries.append(
            GptEntry(
                index + 1,
                str(uuid.UUID(bytes_le=kind)).upper(),
                str(uuid.UUID(bytes_le=own_guid)),
                name.decode("utf-16-le", "replace").split("\0")[0],
                start * SECTOR,
                (end - start + 1) * SECTOR,
            )
        )
    return tuple(entries), str(uuid.UUID(bytes_le=guid))
