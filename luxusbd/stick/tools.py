"""The programs that make a stick, asked for before anything is begun."""

from __future__ import annotations

from luxusbd.images.model import Firmware
from luxusbd.process import require_programs
from luxusbd.stick import kinds
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.grub import require_any

PROGRAMS = ("sfdisk", "mkfs.fat", "mmd", "mcopy", "mke2fs", "e2fsck", "setpriv")
FILE_PROGRAMS = ("debugfs",)
"""What an image file with ext4 takes beside them, since it is not mounted."""
KIND_PROGRAMS = {Kind.EXT4: (), Kind.EXFAT: ("mkfs.exfat", "fsck.exfat"), Kind.FAT32: ("fsck.fat",)}


def require_all(*, image_file: bool, kind: Kind = Kind.EXT4) -> frozenset[Firmware]:
    """For which firmware a stick with this data filesystem can be made on this machine.

    Raises:
        ToolMissingError: something that every stick takes is not installed; the text names the packages.
    """
    firmware = kinds.served(kind, require_any(kind))
    debugfs = FILE_PROGRAMS if image_file and kind is Kind.EXT4 else ()
    require_programs((*PROGRAMS, *debugfs, *KIND_PROGRAMS[kind]))
    return firmware
