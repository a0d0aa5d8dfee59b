"""The EFI system partition, built as a file without mounting anything."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from luxusbd import process
from luxusbd.errors import InternalError, ToolFailedError
from luxusbd.stick import grub, menu
from luxusbd.stick.layout import SECTOR
from luxusbd.stick.model import MIB, Layout, PartitionRole
from luxusbd.stick.secureboot import Loaders

LABEL = "LUXESP"
MEMDISK = Path("/usr/lib/syslinux/memdisk")
"""Starts images of discs and floppies from memory under BIOS; of Debian's syslinux-common."""
_SERIAL = re.compile(r"[0-9A-F]{4}-[0-9A-F]{4}\Z")
_DIRECTORIES = ("EFI", "EFI/BOOT", "boot", "boot/grub", "boot/grub/fonts")


async def build(
    layout: Layout,
    esp_serial: str,
    data_uuid: str,
    work: Path,
    *,
    serial_console: bool = False,
    loaders: Loaders | None = None,
) -> bytes:
    """The used beginning of the ESP, in whole MiB; what follows it on the partition holds nothing and may stay.

    Args:
        layout: for the size and place of the partition.
        esp_serial: FAT volume serial such as 1A2B-3C4D; GRUB finds the ESP by it.
        data_uuid: filesystem UUID of the data partition, for the stub.
        work: a directory for temporary files.
        serial_console: whether the stub speaks on the serial port too.
        loaders: what UEFI starts; without them it is an unsigned GRUB, where this machine has one.

    Raises:
        ToolMissingError: GRUB, mtools or dosfstools is not installed.
        ToolFailedError: one of them failed.
    """
    if not _SERIAL.match(esp_serial):
        raise InternalError(f"{esp_serial!r} is no FAT volume serial")
    part = layout.partition(PartitionRole.ESP)
    files: list[tuple[str, Path]] = []
    if loaders is not None:
        files.append(("EFI/BOOT/BOOTX64.EFI", loaders.shim))
        # the names that shim asks for
        files.append(("EFI/BOOT/grubx64.efi", loaders.grub))
        if loaders.mok_manager is not None:
            files.append(("EFI/BOOT/mmx64.efi", loaders.mok_manager))
    elif grub.is_available(grub.UEFI):
        program = work / "BOOTX64.EFI"
        program.write_bytes(await grub.make_image(grub.UEFI, grub.early_config(esp_serial), work))
        files.append(("EFI/BOOT/BOOTX64.EFI", program))
    config = work / "grub.cfg"
    config.write_text(menu.stub(data_uuid, serial_console=serial_console), "ascii")
    files.append(("boot/grub/grub.cfg", config))
    if font := grub.font():
        files.append(("boot/grub/fonts/unicode.pf2", font))
    if memdisk := _memdisk():
        files.append(("boot/grub/memdisk", memdisk))
    image = work / "esp.img"
    await _format(image, part.size, part.start, esp_serial)
    await process.run(["mmd", "-i", str(image), *(f"::/{name}" for name in _DIRECTORIES)], env=_MTOOLS)
    for name, source in files:
        await process.run(["mcopy", "-i", str(image), str(source), f"::/{name}"], env=_MTOOLS)
    return _used(image)


def _memdisk() -> Path | None:
    return MEMDISK if MEMDISK.is_file() else None


def new_serial() -> str:
    """A FAT volume serial for a new ESP."""
    digits = secrets.token_hex(4).upper()
    return f"{digits[:4]}-{digits[4:]}"


def serial_of(beginning: bytes) -> str:
    """The volume serial of an ESP from its first sector; empty when that is none of `build`."""
    # BS_VolID and BS_FilSysType of FAT32 (Microsoft, FAT: General Overview of On-Disk Format, section 3.3)
    if beginning[510:512] != b"\x55\xaa" or beginning[82:90] != b"FAT32   ":
        return ""
    number = int.from_bytes(beginning[67:71], "little")
    return f"{number >> 16:04X}-{number & 0xFFFF:04X}"


# the user's own mtools configuration must not change where the files go
_MTOOLS = {"MTOOLSRC": "/dev/null", "MTOOLS_SKIP_CHECK": "1"}


async def _format(image: Path, size: int, start: int, serial: str) -> None:
    with image.open("wb") as file:
        file.truncate(size)
    await process.run(
        [
            "mkfs.fat",
            "-F",
            "32",
            "-s",
            "2",
            "-h",
            str(start // SECTOR),
            "-i",
            serial.replace("-", ""),
            "-n",
            LABEL,
            str(image),
        ]
    )


def _used(image: Path) -> bytes:
    data = image.read_bytes()
    end = len(data.rstrip(b"\0"))
    if end == 0:
        raise ToolFailedError("mkfs.fat made an empty filesystem")
    return data[: min(len(data), -(-end // MIB) * MIB)]
