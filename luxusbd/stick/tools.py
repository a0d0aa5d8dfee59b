"""The programs that make a stick, asked for before anything is begun."""

from __future__ import annotations

from luxusbd.images.model import Firmware
from luxusbd.process import require_programs
from luxusbd.stick.grub import require_any

PROGRAMS = ("sfdisk", "mkfs.fat", "mmd", "mcopy", "mke2fs", "e2fsck", "setpriv")
FILE_PROGRAMS = ("debugfs",)
"""What an image file takes beside them, since it is not mounted."""


def require_all(*, image_file: bool) -> frozenset[Firmware]:
    """For which firmware a stick can be made on this machine.

    Raises:
        ToolMissingError: something that every stick takes is not installed; the text names the packages.
    """
    firmware = require_any()
    require_programs((*PROGRAMS, *(FILE_PROGRAMS if image_file else ())))
    return firmware
