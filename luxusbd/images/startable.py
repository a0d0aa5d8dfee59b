"""Whether firmware starts an image that was written to a disk byte for byte, by how the image begins. Pure."""

from __future__ import annotations

from enum import StrEnum

HEAD = 64 * 1024
"""Bytes from the start of an image that `how_it_starts` wants to see; fewer when it is shorter."""
_SECTOR = 512
_VOLUME = 2048
_DESCRIPTORS = 16 * _VOLUME
_CODE = 440
"""Bytes of the first sector before the disk's signature and the table (UEFI 2.10, section 5.2.1)."""


class Starts(StrEnum):
    """What an image is to the firmware that finds it on a stick."""

    HYBRID = "hybrid"
    """A disc that is also a disk: it has a boot sector or a partition table in front."""
    DISK = "disk"
    """An image of a disk, with a boot sector or a partition table."""
    OPTICAL = "optical"
    """A disc that starts from an optical drive alone."""
    NOTHING = "nothing"
    """Neither a disc nor anything with a boot sector or partition table."""


def how_it_starts(head: bytes) -> Starts:
    """By the first `HEAD` bytes of an image.

    A BIOS runs the first sector of a disk when it ends with 55 AA; UEFI looks for partitions, in a table whose sector
    ends so too (UEFI 2.10, sections 5.2 and 5.3). El Torito is for optical drives alone (13.3.2.1).
    """
    disc = any(
        head[at + 1 : at + 6] in (b"CD001", b"NSR02", b"NSR03") for at in range(_DESCRIPTORS, len(head), _VOLUME)
    )
    sector = head[:_SECTOR]
    filled = any(sector[:_CODE]) or any(sector[446:510])
    if sector[510:512] == b"\x55\xaa" and filled:
        return Starts.HYBRID if disc else Starts.DISK
    if disc:
        return Starts.OPTICAL
    return Starts.DISK if head[_SECTOR : _SECTOR + 8] == b"EFI PART" else Starts.NOTHING
