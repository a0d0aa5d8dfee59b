"""The entry sets and checksums of exFAT; pure functions.

Source: Microsoft, exFAT file system specification 1.00: sections 3.4 (boot checksum), 6.3.3 (checksum of a set), 7.2
(up-case table), 7.4 (file), 7.6 (stream extension), 7.7 (file name), 7.6.4 (hash of a name).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from luxusbd.errors import MalformedImageError
from luxusbd.stick import fatnames

SLOT = 32
SECTOR = 512
IN_USE = 0x80
BITMAP, UPCASE, LABEL, FILE, STREAM, NAME = 0x81, 0x82, 0x83, 0x85, 0xC0, 0xC1
ALLOCATED, NO_FAT_CHAIN = 1, 2
DIRECTORY = 0x10
ARCHIVE = 0x20
UNITS = 15
"""UTF-16 units of a name that a slot holds."""
MOST_SECONDARY = 18
UTC = 0x80
"""A valid offset of no quarter of an hour."""
_BOOT_SECTORS = 11
_VOLATILE = (106, 107, 112)
"""Bytes of the boot sector that its checksum leaves out: VolumeFlags and PercentInUse."""
_UNITS_OF_A_TABLE = 65536


@dataclass(frozen=True)
class FileSet:
    """What the slots of one file say."""

    name: str
    directory: bool
    first: int
    size: int
    valid: int
    contiguous: bool
    created: tuple[int, int]
    """Stamp and offset from UTC, as they stand there."""
    written: tuple[int, int]


def boot_checksum(sectors: bytes | bytearray) -> int:
    """Of the first eleven sectors of a boot region."""
    total = 0
    for index, byte in enumerate(sectors[: _BOOT_SECTORS * SECTOR]):
        if index not in _VOLATILE:
            total = (total >> 1 | (total & 1) << 31) + byte & 0xFFFFFFFF
    return total


def set_checksum(slots: Sequence[bytes]) -> int:
    """Of all slots of a set, but for the checksum itself."""
    total = 0
    for index, byte in enumerate(b"".join(slots)):
        if index not in (2, 3):
            total = (total >> 1 | (total & 1) << 15) + byte & 0xFFFF
    return total


def table_checksum(data: bytes) -> int:
    """Of an up-case table as it is stored."""
    total = 0
    for byte in data:
        total = (total >> 1 | (total & 1) << 31) + byte & 0xFFFFFFFF
    return total


def upcase_table(data: bytes) -> array[int]:
    """The table of all 65536 units from its stored form, where 0xFFFF and a count stand for units that stay.

    Raises:
        MalformedImageError: it has more units.
    """
    stored = struct.unpack(f"<{len(data) // 2}H", data[: len(data) // 2 * 2])
    table = array("H", range(_UNITS_OF_A_TABLE))
    at = 0
    index = 0
    while index < len(stored):
        value = stored[index]
        index += 1
        if value == 0xFFFF and index < len(stored):
            at += stored[index]
            index += 1
            continue
        if at >= _UNITS_OF_A_TABLE:
            raise MalformedImageError("exFAT with an up-case table that is too long")
        table[at] = value
        at += 1
    return table


def upcase(name: str, table: Sequence[int]) -> bytes:
    """A name in UTF-16 as it is compared and hashed."""
    units = name.encode("utf-16-le", "surrogatepass")
    count = len(units) // 2
    return struct.pack(f"<{count}H", *(table[unit] for unit in struct.unpack(f"<{count}H", units)))


def name_hash(upcased: bytes) -> int:
    """Of a name that went through `upcase`."""
    total = 0
    for byte in upcased:
        total = (total >> 1 | (total & 1) << 15) + byte & 0xFFFF
    return total


def parse(slots: Sequence[bytes]) -> FileSet | None:
    """What a set says; None when it is broken, which takes the whole set for nothing (section 6.3.3)."""
    if len(slots) < 3 or set_checksum(slots) != int.from_bytes(slots[0][2:4], "little"):
        return None
    attributes, created, written = struct.unpack_from("<H2xII", slots[0], 4)
    stream = slots[1]
    if stream[0] != STREAM:
        return None
    flags, length, valid, first, size = struct.unpack_from("<BxB4xQ4xIQ", stream, 1)
    names = slots[2 : 2 + -(-length // UNITS)]
    if not length or len(names) != -(-length // UNITS) or any(slot[0] != NAME for slot in names):
        return None
    units = b"".join(slot[2:] for slot in names)[: 2 * length]
    return FileSet(
        name=units.decode("utf-16-le", "replace"),
        directory=bool(attributes & DIRECTORY),
        first=first,
        size=size,
        valid=min(valid, size),
        contiguous=bool(flags & NO_FAT_CHAIN),
        created=(created, slots[0][22]),
        written=(written, slots[0][23]),
    )


def build(name: str, upcased: bytes, *, directory: bool, moment: float) -> list[bytes]:
    """The slots of a file without clusters.

    Raises:
        ValueError: it has no name, or more than 255 UTF-16 units.
    """
    units = name.encode("utf-16-le")
    length = len(units) // 2
    if not 0 < length <= fatnames.NAME_LIMIT:
        raise ValueError(f"{name!r} is no name for a file")
    count = -(-length // UNITS)
    stamp = fatnames.stamp(moment)
    attributes = DIRECTORY if directory else ARCHIVE
    head = struct.pack("<BBHHHIIIBBBBB7x", FILE, 1 + count, 0, attributes, 0, stamp, stamp, stamp, 0, 0, UTC, UTC, UTC)
    stream = struct.pack("<BBBBH2xQ4xIQ", STREAM, ALLOCATED, 0, length, name_hash(upcased), 0, 0, 0)
    padded = units.ljust(count * 2 * UNITS, b"\0")
    names = [bytes((NAME, 0)) + padded[at : at + 2 * UNITS] for at in range(0, len(padded), 2 * UNITS)]
    return sealed([head, stream, *names])


def changed(
    slots: Sequence[bytes], first: int, size: int, valid: int, *, contiguous: bool, moment: float
) -> list[bytes]:
    """The same file with other clusters."""
    head = bytearray(slots[0])
    struct.pack_into("<I", head, 12, fatnames.stamp(moment))
    head[21], head[23] = 0, UTC
    stream = bytearray(slots[1])
    stream[1] = ALLOCATED | (NO_FAT_CHAIN if contiguous and first else 0)
    struct.pack_into("<Q4xIQ", stream, 8, valid, first, size)
    return sealed([bytes(head), bytes(stream), *slots[2:]])


def sealed(slots: Sequence[bytes]) -> list[bytes]:
    """A set with its right checksum."""
    return [slots[0][:2] + set_checksum(slots).to_bytes(2, "little") + slots[0][4:], *slots[1:]]


def seconds(stamp: tuple[int, int]) -> int:
    """Unix seconds of a stamp with its offset from UTC, in quarters of an hour (section 7.4.10)."""
    value, offset = stamp
    found = fatnames.unstamp(value)
    if not offset & UTC:
        return found
    quarters = offset & 0x7F
    return found - 900 * (quarters - 128 if quarters & 0x40 else quarters)
