"""What the choice of a data filesystem means, in figures: pure functions."""

from __future__ import annotations

import secrets
import uuid

from luxusbd.images.model import SECURE, Firmware
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import MIB

GIB = 1024 * MIB
FAT32_LARGEST_FILE = (1 << 32) - 1
FAT32_LARGEST_PARTITION = (1 << 32) * 512 - MIB
"""Bytes: the count of sectors has 32 bits (FAT 1.03, BPB_TotSec32)."""
FAT32_SMALLEST_PARTITION = 34 * MIB
"""Bytes: less is fewer clusters of one sector than FAT32 has, and what reads it takes it for FAT16."""
LABEL_LIMIT = 11
"""Characters of a label on FAT32 and exFAT."""
_FEWEST_CLUSTERS = 68000
"""65525 make a FAT32 (FAT 1.03, "FAT Type Determination"); some more are left for the tables."""
_EXFAT_CLUSTERS = ((256 * MIB, 4096), (32 * GIB, 32768))
"""Sizes of a partition with the cluster that Microsoft's format takes up to there; 128 KiB above."""
_SECTOR = 512


def cluster_size(kind: Kind, size: int) -> int:
    """Bytes of a cluster on a data partition of `size` bytes; of a block for ext4."""
    if kind is Kind.EXT4:
        return 4096
    if kind is Kind.EXFAT:
        return next((cluster for limit, cluster in _EXFAT_CLUSTERS if size <= limit), 131072)
    cluster = 32768
    while cluster > _SECTOR and size // cluster < _FEWEST_CLUSTERS:
        cluster //= 2
    return cluster


def capacity(kind: Kind, size: int) -> int:
    """Bytes that FAT32 or exFAT of `size` bytes has for files, rather too little than too much."""
    cluster = cluster_size(kind, size)
    clusters = size // cluster
    copies = 2 if kind is Kind.FAT32 else 1
    # exFAT: tables and heap begin at whole MiB (mkfs.exfat), bitmap, up-case table and root lie in the heap
    aligned = MIB + 2 * cluster if kind is Kind.FAT32 else 3 * MIB + clusters // 8 + 4 * cluster
    return max(0, (size - copies * (clusters + 2) * 4 - aligned) // cluster * cluster)


def bytes_of(kind: Kind, size: int) -> int:
    """Bytes that a file of `size` bytes takes at most, whatever the partition is."""
    cluster = {Kind.EXT4: 4096, Kind.FAT32: 32768, Kind.EXFAT: 131072}[kind]
    return -(-size // cluster) * cluster


def new_uuid(kind: Kind) -> str:
    """A name for a new filesystem, as GRUB's `search --fs-uuid` and udev print it."""
    if kind is Kind.EXT4:
        return str(uuid.uuid4())
    digits = secrets.token_hex(4).upper()
    return f"{digits[:4]}-{digits[4:]}"


def label(kind: Kind, text: str) -> str:
    """A label as the filesystem can have it: FAT32 knows capital letters only."""
    return text.upper() if kind is Kind.FAT32 else text


def served(kind: Kind, firmware: frozenset[Firmware]) -> frozenset[Firmware]:
    """The firmware that a stick serves whose boot files serve `firmware`.

    No distribution's signed GRUB reads exFAT, and under Secure Boot it loads no modules.
    """
    return firmware - SECURE if kind is Kind.EXFAT else firmware
