"""The boot catalogue of a disc ("El Torito" Bootable CD-ROM Format 1.0, and the UEFI specification 13.3.2.1)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

MAX_RECORDS = 64
_EFI = 0xEF
_PLATFORMS = {0: "bios", 1: "powerpc", 2: "mac", _EFI: "uefi"}
_EMULATIONS = {0: "", 1: "floppy-1.2", 2: "floppy-1.44", 3: "floppy-2.88", 4: "disk"}


@dataclass(frozen=True)
class BootRecord:
    """One entry of the catalogue."""

    platform: str
    """bios, uefi, powerpc, mac, or platform-N."""
    emulation: str
    """The drive that the firmware pretends to have: floppy-1.2, floppy-1.44, floppy-2.88, disk; empty for none."""
    bootable: bool
    start: int
    """Where its program begins, in bytes of the image."""
    size: int
    """Bytes of it that the firmware loads at first; 0 or 512 often stand for all of it with UEFI."""


def parse_boot_catalogue(data: bytes) -> tuple[BootRecord, ...]:
    """The entries of the catalogue that begins with `data`; empty where it is none."""
    if len(data) < 64 or data[0] != 0x01 or data[30:32] != b"\x55\xaa":
        return ()
    found = [_record(data, 32, data[1])] if data[32] in (0x88, 0x00) and any(data[32:64]) else []
    offset = 64
    while offset + 32 <= len(data) and len(found) < MAX_RECORDS:
        header = data[offset]
        if header not in (0x90, 0x91):
            break
        platform = data[offset + 1]
        count = struct.unpack_from("<H", data, offset + 2)[0]
        offset += 32
        while count and offset + 32 <= len(data) and len(found) < MAX_RECORDS:
            if data[offset] == 0x44:  # an extension belongs to the entry before it and is not counted
                offset += 32
                continue
            found.append(_record(data, offset, platform))
            count -= 1
            offset += 32
        while offset + 32 <= len(data) and data[offset] == 0x44:
            offset += 32
        if header == 0x91:
            break
    return tuple(found)


def platforms(records: Iterable[BootRecord]) -> frozenset[str]:
    """The platforms for which a bootable entry exists."""
    return frozenset(record.platform for record in records if record.bootable)


def _record(data: bytes, offset: int, platform: int) -> BootRecord:
    media = data[offset + 1] & 0x0F
    sectors, block = struct.unpack_from("<HI", data, offset + 6)
    return BootRecord(
        platform=_PLATFORMS.get(platform, f"platform-{platform}"),
        emulation=_EMULATIONS.get(media, f"type-{media}"),
        bootable=data[offset] == 0x88,
        start=block * 2048,
        size=sectors * 512,
    )
