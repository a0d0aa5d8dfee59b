"""The SBAT levels of an EFI program: how old it is in the eyes of those who revoke boot loaders.

Sources: SBAT.md of the project shim (section `.sbat`: lines of component, generation, vendor, package, version and
address, with commas between them), the PE format (section table, table of strings).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from luxusbd.images.kernel import Reader

REVOKED_BELOW: Mapping[str, int] = {"shim": 4, "grub": 5}
"""The lowest generations that the list of revocations in shim 16.1 lets start."""

_HEAD = 4096
_LIMIT = 64 * 1024
_SECTION = 40
_SYMBOL = 18
_MAX_SECTIONS = 64


def levels(read: Reader) -> dict[str, int]:
    """The generations by component, such as `shim` or `grub.debian`; empty for a program without any."""
    return _generations(_section(read, b".sbat"))


def versions(read: Reader) -> dict[str, str]:
    """The versions of the vendors' packages by component; see `levels`."""
    lines = [line.split(b",") for line in _section(read, b".sbat").rstrip(b"\0").split(b"\n")]
    return {
        fields[0].decode("ascii"): fields[4].decode("ascii")
        for fields in lines
        if len(fields) > 4 and fields[0].isascii() and fields[4].isascii()
    }


def revoked_by(read: Reader) -> dict[str, int]:
    """The lowest generations by component that a shim lets start: the newest list of revocations inside it. Empty for
    one without a list.

    Source: shim's SBAT.md and include/sbat_var_defs.h (section `.sbatlevel`: a version, the offsets of two lists from
    behind it, and the lists, which end with a zero).
    """
    section = _section(read, b".sbatlevel")
    if len(section) < 12 or struct.unpack_from("<I", section)[0] != 0:
        return {}
    begin = 4 + struct.unpack_from("<I", section, 8)[0]
    return _generations(section[begin:].partition(b"\0")[0])


def _generations(text: bytes) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in text.rstrip(b"\0").split(b"\n"):
        component, comma, rest = line.partition(b",")
        generation = rest.split(b",")[0]
        if comma and component.isascii() and generation.isdigit() and len(generation) < 10:
            found[component.decode("ascii")] = int(generation)
    return found


def revoked(found: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """The components, with their generations, that machines with the newest list of revocations refuse."""
    return ((name, found[name]) for name, lowest in REVOKED_BELOW.items() if found.get(name, lowest) < lowest)


def _section(read: Reader, name: bytes) -> bytes:
    head = read(0, _HEAD)
    if head[:2] != b"MZ" or len(head) < 64:
        return b""
    pe = struct.unpack_from("<I", head, 0x3C)[0]
    if pe + 24 > len(head) or head[pe : pe + 4] != b"PE\0\0":
        return b""
    count, optional = struct.unpack_from("<H", head, pe + 6)[0], struct.unpack_from("<H", head, pe + 20)[0]
    for number in range(min(count, _MAX_SECTIONS)):
        at = pe + 24 + optional + number * _SECTION
        if at + _SECTION > len(head):
            break
        if _full_name(read, head, pe, head[at : at + 8].rstrip(b"\0"), len(name)) == name:
            used, _address, stored, place = struct.unpack_from("<IIII", head, at + 8)
            return read(place, min(used, stored, _LIMIT))
    return b""


def _full_name(read: Reader, head: bytes, pe: int, name: bytes, limit: int) -> bytes:
    """A name that does not fit lies in the table of strings behind the symbols, and its place there stands for it."""
    if name[:1] != b"/" or not name[1:].isdigit():
        return name
    symbols, count = struct.unpack_from("<II", head, pe + 12)
    return read(symbols + count * _SYMBOL + int(name[1:]), limit + 1).partition(b"\0")[0]
