"""Boot code for BIOS firmware: GRUB's boot.img in sector 0, its core image in the BIOS boot partition.

Does what grub-bios-setup does for a GPT disk, without mounting anything. The offsets are those of GRUB 2's
include/grub/i386/pc/boot.h and include/grub/offsets.h; they have not changed since GRUB 2.00.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from luxusbd.errors import ToolFailedError
from luxusbd.stick import grub
from luxusbd.stick.layout import SECTOR
from luxusbd.stick.model import Layout, PartitionRole

BOOT_CODE_SIZE = 440
"""Bytes of sector 0 that are code; the disk signature and the partition table follow."""
CORE_LIMIT = 458 * 1024
"""Bytes below which the core image stays, well under what GRUB can decompress in low memory."""

_KERNEL_SECTOR = 0x5C
_DRIVE_CHECK = 0x66
_BLOCK_LIST = 0x1F4
_CORE_SEGMENT = 0x820


@dataclass(frozen=True)
class BiosBoot:
    """What has to be written where."""

    boot_code: bytes
    """`BOOT_CODE_SIZE` bytes for the start of the disk."""
    core: bytes
    """For the start of the BIOS boot partition."""


async def build(layout: Layout, esp_serial: str, work: Path) -> BiosBoot:
    """Make both pieces for a stick.

    Raises:
        ToolMissingError, ToolFailedError: GRUB is not there or refused.
    """
    part = layout.partition(PartitionRole.BIOS_BOOT)
    core = await grub.make_image(grub.BIOS, grub.early_config(esp_serial), work)
    boot = (grub.directory(grub.BIOS) / "boot.img").read_bytes()
    if len(core) > min(CORE_LIMIT, part.size):
        raise ToolFailedError(
            f"GRUB's BIOS image has {len(core)} bytes and may have {min(CORE_LIMIT, part.size)}; "
            "the installed GRUB is bigger than any known one"
        )
    return BiosBoot(patch_boot(boot, part.start // SECTOR), patch_core(core, part.start // SECTOR))


def patch_boot(boot: bytes, core_sector: int) -> bytes:
    """boot.img made to load the core image from an LBA of the disk it was started from."""
    if len(boot) != SECTOR or boot[510:512] != b"\x55\xaa":
        raise ToolFailedError("GRUB's boot.img is not a boot sector of 512 bytes; reinstall grub-pc-bin")
    patched = bytearray(boot)
    struct.pack_into("<Q", patched, _KERNEL_SECTOR, core_sector)
    # hard disks: take the drive number from the BIOS as it is, as grub-bios-setup does
    patched[_DRIVE_CHECK : _DRIVE_CHECK + 2] = b"\x90\x90"
    return bytes(patched[:BOOT_CODE_SIZE])


def led_to(code: bytes, core_sector: int) -> bytes:
    """Boot code of `build` that loads the core image from another LBA."""
    return code[:_KERNEL_SECTOR] + struct.pack("<Q", core_sector) + code[_KERNEL_SECTOR + 8 :]


def core_sector(code: bytes) -> int:
    """The LBA from which boot code loads the core image."""
    return int(struct.unpack_from("<Q", code, _KERNEL_SECTOR)[0])


def patch_core(core: bytes, core_sector: int) -> bytes:
    """The core image, filled up to whole sectors, whose first sector knows where the rest is."""
    padded = bytearray(core + bytes(-len(core) % SECTOR))
    struct.pack_into("<QHH", padded, _BLOCK_LIST, core_sector + 1, len(padded) // SECTOR - 1, _CORE_SEGMENT)
    return bytes(padded)
