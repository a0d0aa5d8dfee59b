"""Names and times of FAT directories: short aliases, long-name slots, checksums; pure functions.

Source: Microsoft, FAT: General Overview of On-Disk Format (FAT specification 1.03), sections "FAT Long Directory
Entries" (checksum, order, 13 UTF-16 units a slot), "The Basis-Name Generation Algorithm", "Date and Time Formats".
"""

from __future__ import annotations

import calendar
import re
import struct
import time
from collections.abc import Collection, Sequence

LAST_LONG = 0x40
ATTRIBUTE_LONG = 0x0F
UNITS = 13
"""UTF-16 units of a name that a slot holds."""
NAME_LIMIT = 255
_EPOCH_YEAR = 1980
_SMALL_STEM, _SMALL_SUFFIX = 0x08, 0x10

_PIECES = ((1, 11), (14, 26), (28, 32))
"""Where a slot keeps its part of the name."""
_SHORT = re.compile(rb"[A-Z0-9$%'\-_@~`!(){}^#&]{1,8}(\.[A-Z0-9$%'\-_@~`!(){}^#&]{1,3})?\Z")


def checksum(alias: bytes) -> int:
    """Of the 11 bytes of a short name, which binds the long slots to it."""
    total = 0
    for byte in alias:
        total = ((total & 1) << 7) + (total >> 1) + byte & 0xFF
    return total


def exact_alias(name: str) -> bytes | None:
    """The 11 bytes of a name that is a short one as it stands; None for every other."""
    try:
        plain = name.encode("ascii")
    except UnicodeEncodeError:
        return None
    if not _SHORT.match(plain):
        return None
    stem, _dot, suffix = plain.partition(b".")
    return stem.ljust(8) + suffix.ljust(3)


def make_alias(name: str, taken: Collection[bytes]) -> bytes:
    """A short name for a long one, such as b"DEBIAN~1ISO", that is not in `taken`."""
    plain = name.upper().encode("ascii", "replace").replace(b"?", b"_")
    stem, _dot, suffix = plain.lstrip(b".").rpartition(b".") if b"." in plain.lstrip(b".") else (plain, b"", b"")
    stem = re.sub(rb"[^A-Z0-9_-]", b"", stem) or b"_"
    suffix = re.sub(rb"[^A-Z0-9_-]", b"", suffix)[:3].ljust(3)
    for number in range(1, 1000000):
        tail = b"~%d" % number
        alias = (stem[: 8 - len(tail)] + tail).ljust(8) + suffix
        if alias not in taken:
            return alias
    raise ValueError("no short name is free")


def long_slots(name: str, alias: bytes) -> list[bytes]:
    """The slots of a long name in the order in which they lie before the short one.

    Raises:
        ValueError: it has more than 255 UTF-16 units.
    """
    units = name.encode("utf-16-le")
    if not 0 < len(units) <= 2 * NAME_LIMIT:
        raise ValueError(f"{name!r} is no name for a file")
    count = -(-len(units) // (2 * UNITS))
    if len(units) % (2 * UNITS):
        units = (units + b"\0\0").ljust(count * 2 * UNITS, b"\xff")
    slots = []
    for number in range(1, count + 1):
        part = units[(number - 1) * 2 * UNITS : number * 2 * UNITS]
        order = number | (LAST_LONG if number == count else 0)
        head = struct.pack("<B10sBBB", order, part[:10], ATTRIBUTE_LONG, 0, checksum(alias))
        slots.append(head + part[10:22] + b"\0\0" + part[22:26])
    return slots[::-1]


def long_name(slots: Sequence[bytes], alias: bytes) -> str | None:
    """The name that slots hold which lie right before a short one; None when they do not belong to it."""
    wanted = checksum(alias)
    count = len(slots)
    for index, slot in enumerate(slots):
        order = count - index
        if slot[0] != (order | LAST_LONG if index == 0 else order) or slot[13] != wanted:
            return None
    units = b"".join(b"".join(slot[start:end] for start, end in _PIECES) for slot in reversed(slots))
    for at in range(0, len(units), 2):
        if units[at : at + 2] == b"\0\0":
            units = units[:at]
            break
    return units.decode("utf-16-le", "replace") or None


def short_name(alias: bytes, case: int = 0) -> str:
    """What a short name without long slots is called.

    Args:
        alias: its 11 bytes; 0x05 stands for a first byte 0xE5.
        case: byte 12 of its slot, where Windows NT and Linux note that stem (8) or suffix (16) is in small letters.
    """
    raw = (b"\xe5" + alias[1:]) if alias[0] == 0x05 else alias
    stem, suffix = raw[:8].rstrip(b" ").decode("cp437"), raw[8:].rstrip(b" ").decode("cp437")
    stem = stem.lower() if case & _SMALL_STEM else stem
    suffix = suffix.lower() if case & _SMALL_SUFFIX else suffix
    return f"{stem}.{suffix}" if suffix else stem


def stamp(moment: float) -> int:
    """A time as 32 bits, date above time of day, in steps of two seconds (UTC), within 1980 to 2107."""
    year, month, day, hour, minute, second = time.gmtime(max(0, moment))[:6]
    year = min(max(year - _EPOCH_YEAR, 0), 127)
    return (year << 9 | month << 5 | day) << 16 | hour << 11 | minute << 5 | min(second, 59) // 2


def unstamp(value: int) -> int:
    """Unix seconds of `stamp`; 0 for no date."""
    date, clock = value >> 16, value & 0xFFFF
    year, month, day = (date >> 9) + _EPOCH_YEAR, date >> 5 & 15, date & 31
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        return 0
    return calendar.timegm(
        (year, month, day, min(clock >> 11, 23), min(clock >> 5 & 63, 59), min((clock & 31) * 2, 59))
    )
