"""Rows for other kinds of UEFI: `make boot-firmware` runs them, from a stick with loaders that this machine has not.

One stick with ext4 and shim and GRUB of all kinds holds the images of all rows.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from luxusbd.images.model import SECURED, Firmware
from tests.matrix.cases import FILESYSTEMS, SYSTEMS, Expected, Refuser, Result, Row, System, expected

IA32 = frozenset({Firmware.UEFI_IA32, Firmware.UEFI_IA32_SECURE_BOOT})
ARM64 = frozenset({Firmware.UEFI_ARM64, Firmware.UEFI_ARM64_SECURE_BOOT})
KINDS = {"ia32": IA32, "arm64": ARM64}
"""By the words of `make boot-firmware`."""
FIRMWARE = tuple(one for plain in (Firmware.UEFI_IA32, Firmware.UEFI_ARM64) for one in (plain, SECURED[plain]))
STICK = replace(FILESYSTEMS[0], firmware=frozenset(Firmware))


def _here(image: str, firmware: frozenset[Firmware]) -> System:
    """A system of the matrix by its first entry, which here starts under this firmware."""
    found = next(system for system in SYSTEMS if (system.image, system.entry) == (image, ""))
    return replace(found, firmware=firmware)


_MINI = _here("debian-mini", IA32)
APART = (
    _here("debian-live", IA32),
    _here("dracut-live", IA32),
    _MINI,
    replace(_MINI, image="debian-mini-arm64", name="Debian network installer for ARM (mini.iso)", firmware=ARM64),
    # its program for UEFI has 64 bits
    _here("memtest86plus", frozenset()),
)


def rows(firmware: Collection[Firmware] = FIRMWARE) -> tuple[Row, ...]:
    """The rows for these kinds of firmware."""
    return tuple(
        Row(system, how, STICK, _expected(system, how)) for how in FIRMWARE for system in APART if how in firmware
    )


def _expected(system: System, firmware: Firmware) -> Expected:
    there = expected(system, firmware, STICK)
    assert there.result is Result.BOOTED or there.refuser is Refuser.MENU
    return there
