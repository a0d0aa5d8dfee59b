"""How much of a filesystem is used, from its own records and without mounting it.

Sources: the kernel's Documentation/filesystems/ext4 (superblock), Microsoft's FAT specification (FSInfo, section 5) and
exFAT specification (sections 3 and 7.1), ntfs-3g's layout.h ($Bitmap, mapping pairs), btrfs' and XFS' on-disk formats,
Apple's TN1150 (HFS+), ECMA-119 section 8.4. Every number is a stranger's: what does not fit the partition is not told.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from luxusbd.errors import DeviceError, MalformedImageError
from luxusbd.images.filesystems import PROBE, ReadAt

MAP_LIMIT = 8 * 1024 * 1024
"""Bytes of a table of used clusters that are read: seconds on a slow stick."""
SLACK = 64 * 1024
"""Bytes by which a filesystem may seem larger than its partition, by rounding."""

_Reader = Callable[[ReadAt, bytes], tuple[int, int] | None]


@dataclass(frozen=True)
class Space:
    """Of a filesystem; bytes."""

    total: int
    used: int


def space_of(read: ReadAt, start: int, size: int, kind: str) -> Space | None:
    """Total and used bytes of the filesystem at byte `start`, None where it does not tell, or tells nonsense.

    Args:
        read: reads the disk.
        start: where the partition begins.
        size: bytes of the partition.
        kind: as `filesystems.probe` calls it.
    """
    ask = _KINDS.get(kind)
    if ask is None:
        return None

    def inside(offset: int, length: int) -> bytes:
        if offset < 0 or length < 0 or offset + length > size:
            raise DeviceError("beyond the partition")
        return read(start + offset, length)

    try:
        found = ask(inside, inside(0, min(PROBE, size)).ljust(PROBE, b"\0"))
    except (DeviceError, MalformedImageError):
        return None
    if found is None:
        return None
    total, free = found
    if not 0 < total <= size + SLACK or not 0 <= free <= total:
        return None
    return Space(total, total - free)


def _ext(_read: ReadAt, data: bytes) -> tuple[int, int] | None:
    block = data[1024:2048]
    total, _reserved, free = struct.unpack_from("<III", block, 4)
    (shift,) = struct.unpack_from("<I", block, 24)
    if shift > 6:
        return None
    if struct.unpack_from("<I", block, 96)[0] & 0x80:  # INCOMPAT_64BIT
        total += struct.unpack_from("<I", block, 0x150)[0] << 32
        free += struct.unpack_from("<I", block, 0x158)[0] << 32
    return total << (10 + shift), free << (10 + shift)


def _fat(read: ReadAt, data: bytes) -> tuple[int, int] | None:
    sector, cluster, reserved, tables, rows, small = struct.unpack_from("<HBHBHH", data, 11)
    table_size = struct.unpack_from("<H", data, 22)[0] or struct.unpack_from("<I", data, 36)[0]
    sectors = small or struct.unpack_from("<I", data, 32)[0]
    if sector not in (512, 1024, 2048, 4096) or not cluster:
        return None
    first = reserved + tables * table_size + -(-rows * 32 // sector)
    count = (sectors - first) // cluster
    if count <= 0:
        return None
    unit = cluster * sector
    if count < 4085:
        free = _free_12(read(reserved * sector, -(-(count + 2) * 3 // 2)), count)
    elif count < 65525:
        table = read(reserved * sector, (count + 2) * 2)
        free = sum(not entry for (entry,) in struct.iter_unpack("<H", table[4:]))
    else:
        at = struct.unpack_from("<H", data, 48)[0] * sector
        info = read(at, 512)
        (free,) = struct.unpack_from("<I", info, 488)
        if at == 0 or info[:4] != b"RRaA" or info[484:488] != b"rrAa" or free > count:
            return None
    return count * unit, free * unit


def _free_12(table: bytes, count: int) -> int:
    free = 0
    for number in range(2, count + 2):
        at = number * 3 // 2
        pair = int.from_bytes(table[at : at + 2], "little")
        free += (pair >> 4 if number & 1 else pair & 0xFFF) == 0
    return free


def _exfat(read: ReadAt, data: bytes) -> tuple[int, int] | None:
    heap, count, root = struct.unpack_from("<III", data, 88)
    shift, cluster_shift = data[108], data[109]
    if not 9 <= shift <= 12 or cluster_shift > 25 - shift or root < 2:
        return None
    unit = 1 << (shift + cluster_shift)

    def place(cluster: int) -> int:
        at: int = (heap << shift) + (cluster - 2) * unit
        return at

    directory = read(place(root), min(4096, unit))
    for offset in range(0, len(directory), 32):
        if directory[offset] == 0x81:
            cluster, length = struct.unpack_from("<IQ", directory, offset + 20)
            if length * 8 < count or length > MAP_LIMIT or cluster < 2:
                return None
            return count * unit, (count - _ones(read(place(cluster), -(-count // 8)), count)) * unit
    return None


def _ntfs(read: ReadAt, data: bytes) -> tuple[int, int] | None:
    sector, cluster = struct.unpack_from("<HB", data, 11)
    (sectors, first) = struct.unpack_from("<QQ", data, 40)
    (record_size,) = struct.unpack_from("<b", data, 64)
    # a count above 128 is a negative power of two, as that of the record is
    cluster = cluster if cluster <= 128 else 1 << min(16, 256 - cluster)
    unit = sector * cluster
    length = record_size * unit if record_size > 0 else 1 << min(16, -record_size)
    if not 512 <= unit <= 1 << 21 or not 512 <= length <= 65536:
        return None
    count = sectors * sector // unit
    needed = -(-count // 8)
    if needed > MAP_LIMIT:
        return None
    bitmap = bytearray()
    for at, clusters in _runs(read(first * unit + 6 * length, length)):
        piece = min(clusters * unit, needed - len(bitmap))
        bitmap += read(at * unit, piece)
        if len(bitmap) >= needed:
            return count * unit, (count - _ones(bytes(bitmap), count)) * unit
    return None


def _runs(record: bytes) -> list[tuple[int, int]]:
    """(first cluster, clusters) of the unnamed $DATA attribute (80h) of an MFT record, if it is not resident."""
    found: list[tuple[int, int]] = []
    offset = int.from_bytes(record[20:22], "little")
    while record[:4] == b"FILE" and offset + 64 <= len(record):
        kind, step = struct.unpack_from("<II", record, offset)
        if kind == 0x80 and record[offset + 8] == 1:
            at = offset + int.from_bytes(record[offset + 32 : offset + 34], "little")
            cluster = 0
            while at < len(record) and record[at]:
                lengths, offsets = record[at] & 15, record[at] >> 4
                if not lengths or not offsets:
                    return []  # a hole in a bitmap says nothing
                clusters = int.from_bytes(record[at + 1 : at + 1 + lengths], "little")
                cluster += int.from_bytes(record[at + 1 + lengths : at + 1 + lengths + offsets], "little", signed=True)
                if cluster < 0:
                    return []
                found.append((cluster, clusters))
                at += 1 + lengths + offsets
            return found
        if step < 16 or kind > 0x80:
            break
        offset += step
    return found


def _ones(bitmap: bytes, count: int) -> int:
    """Set bits among the first `count`, from the lowest bit of each byte on."""
    counted: int = int.from_bytes(bitmap, "little") & ((1 << count) - 1)
    return counted.bit_count()


def _btrfs(_read: ReadAt, data: bytes) -> tuple[int, int] | None:
    total, used = struct.unpack_from("<QQ", data, 65536 + 112)
    return total, total - used


def _xfs(_read: ReadAt, data: bytes) -> tuple[int, int] | None:
    block, blocks = struct.unpack_from(">IQ", data, 4)
    (free,) = struct.unpack_from(">Q", data, 144)
    return block * blocks, block * free


def _hfs(_read: ReadAt, data: bytes) -> tuple[int, int] | None:
    block, blocks, free = struct.unpack_from(">III", data, 1024 + 40)
    return block * blocks, block * free


def _iso9660(_read: ReadAt, data: bytes) -> tuple[int, int] | None:
    (blocks,) = struct.unpack_from("<I", data, 32768 + 80)
    (block,) = struct.unpack_from("<H", data, 32768 + 128)
    return block * blocks, 0


_KINDS: Mapping[str, _Reader] = {
    **dict.fromkeys(("ext2", "ext3", "ext4"), _ext),
    **dict.fromkeys(("FAT12", "FAT16", "FAT32"), _fat),
    "exFAT": _exfat,
    "NTFS": _ntfs,
    "btrfs": _btrfs,
    "XFS": _xfs,
    "HFS+": _hfs,
    "ISO 9660": _iso9660,
}
