"""Reads a GUID partition table (UEFI specification 2.10, section 5.3); pure but for the reads it is given."""

from __future__ import annotations

import struct
import uuid
import zlib
from dataclasses import dataclass, field

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
class GptCopy:
    """One of the two copies of a table, with right checksums; two are equal when they say the same."""

    entries: tuple[GptEntry, ...]
    guid: str
    other: int = field(compare=False)
    """Sector of the other copy's header, as this one has it."""
    last: int = field(compare=False)
    """Last sector that partitions may use, as this copy has it."""
    rows: bytes = field(compare=False, repr=False)
    """The rows as they lie on the disk."""
    row_size: int = field(compare=False)


@dataclass(frozen=True)
class GptTable:
    """A table whose checksums are right."""

    entries: tuple[GptEntry, ...]
    guid: str
    damage: str
    """Says which of the two copies is broken; empty when both are whole."""


def read(read_at: ReadAt, size: int) -> GptTable | None:
    """The table of a disk of `size` bytes, from the primary copy or else the backup; None when there is none."""
    primary, backup = copies(read_at, size)
    if primary is None:
        if backup is None:
            return None
        damage = "the first copy of the partition table is broken; the second one is used"
        return GptTable(backup.entries, backup.guid, damage)
    damage = "" if primary == backup else "the two copies of the partition table differ"
    if backup is None:
        damage = "the second copy of the partition table is broken or not at the end of the disk"
    return GptTable(primary.entries, primary.guid, damage)


def copies(read_at: ReadAt, size: int) -> tuple[GptCopy | None, GptCopy | None]:
    """Both copies of the table of a disk of `size` bytes, None for one that is not there or broken."""
    sectors = size // SECTOR
    if sectors < 68:
        return None, None
    return _copy(read_at, 1, sectors), _copy(read_at, sectors - 1, sectors)


def claimed_end(read_at: ReadAt, size: int) -> int:
    """The byte after the last one that the first copy of a table claims, also where the file is shorter; else 0."""
    if size < 34 * SECTOR:
        return 0
    found = _copy(read_at, 1, _UNBOUNDED, present=size // SECTOR)
    return 0 if found is None else max((entry.start + entry.size for entry in found.entries), default=0)


def _copy(read_at: ReadAt, lba: int, sectors: int, *, present: int | None = None) -> GptCopy | None:
    header = read_at(lba * SECTOR, SECTOR)
    (
        signature,
        _revision,
        length,
        crc,
        _reserved,
        own,
        other,
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
    return GptCopy(tuple(entries), str(uuid.UUID(bytes_le=guid)), other, last, raw, entry_size)
