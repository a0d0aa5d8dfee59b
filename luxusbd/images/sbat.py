"""The SBAT levels of an EFI program: how old it is in the eyes of those who revoke boot loaders.

Sources: SBAT.md of the project shim (section `.sbat`: lines of component, generation, vendor and more, with commas
between them), the PE format (section table).
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
_MAX_SECTIONS = 64


def levels(read: Reader) -> dict[str, int]:
    """The generations by component, such as `shim` or `grub.debian`; empty for a program without any."""
    found: dict[str, int] = {}
    for line in _section(read, b".sbat").rstrip(b"\0").split(b"\n"):
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
        if head[at : at + 8].rstrip(b"\0") == name:
            used, _address, stored, place = struct.unpack_from("<IIII", head, at + 8)
            return read(place, min(used, stored, _LIMIT))
    return b""
