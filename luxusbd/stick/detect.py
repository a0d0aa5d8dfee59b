"""Which filesystem a data partition has, told by its bytes; it may come from anywhere."""

from __future__ import annotations

from luxusbd.stick import exfat, fat32
from luxusbd.stick.blockio import ReadAt
from luxusbd.stick.clusters import SECTOR
from luxusbd.stick.exfat import ExFat
from luxusbd.stick.ext4 import MAGIC, Ext4
from luxusbd.stick.fat32 import Fat32
from luxusbd.stick.filesystem import DataFilesystem, Kind
from luxusbd.stick.layout import TYPE_BASIC_DATA
from luxusbd.stick.model import PlannedPartition

_EXT4_MAGIC = 1080


def kind_of(read: ReadAt, part: PlannedPartition) -> Kind:
    """What a data partition holds; where its beginning is destroyed, what it seems to have held.

    Args:
        read: reads of the partition's bytes, 0 being its start.
        part: its row in the partition table.

    Raises:
        DeviceError: the medium cannot be read.
    """
    if int.from_bytes(read(_EXT4_MAGIC, 2), "little") == MAGIC:
        return Kind.EXT4
    for place in (0, exfat.BOOT_SECTORS):
        if exfat.looks_like_boot(read(place * SECTOR, SECTOR)):
            return Kind.EXFAT
    for place in (0, fat32.BACKUP_BOOT):
        if fat32.looks_like_boot(read(place * SECTOR, SECTOR)):
            return Kind.FAT32
    return Kind.EXFAT if part.type_guid == TYPE_BASIC_DATA else Kind.EXT4


def open_as(kind: Kind, read: ReadAt, size: int) -> DataFilesystem:
    """The filesystem of a partition of `size` bytes.

    Raises:
        MalformedImageError: it is none of this kind.
    """
    match kind:
        case Kind.EXT4:
            return Ext4(read, size)
        case Kind.EXFAT:
            return ExFat(read, size)
        case Kind.FAT32:
            return Fat32(read, size)
