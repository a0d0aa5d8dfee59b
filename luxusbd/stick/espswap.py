"""Puts another set of files onto the EFI system partition: one sector decides between the old and the new set.

On FAT32 the boot sector says at which cluster the root directory begins (Microsoft, FAT: General Overview of On-Disk
Format, section 3.3, BPB_RootClus). So a copy of the new files, directories and all, goes into free clusters of the
second half; the boot sector leads there; the place of the old files is written; the boot sector leads back.
A partition at rest is therefore always the one that `esp.build` made, with its root directory at cluster 2.

Computed on bytes alone; `bootswap` writes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from luxusbd.errors import InternalError
from luxusbd.stick.blockio import ReadAt
from luxusbd.stick.layout import SECTOR

Write = tuple[int, bytes]
"""Byte of the disk, and what belongs there."""
Stage = tuple[Write, ...]
"""Writes in any order, which have to be on the medium before the next stage begins."""

_ROOT = 44
_GEOMETRY = slice(11, 44)
_ALIGNMENT = 1024
"""Clusters: as many as a page of the allocation table has entries, so that no page has those of both sets."""
_END = 0x0FFFFFF8
_ROW = 32
_LONG_NAME, _LABEL, _DIRECTORY = 0x0F, 0x08, 0x10


@dataclass(frozen=True)
class Volume:
    """Where the parts of a FAT32 volume are, in bytes from its beginning."""

    tables: tuple[int, ...]
    """Beginnings of the copies of the allocation table."""
    data: int
    """Beginning of cluster 2."""
    cluster: int
    """Bytes of one."""
    clusters: int
    """Number of them."""
    root: int
    """Cluster at which the root directory begins."""

    def place(self, cluster: int) -> int:
        """Where a cluster begins."""
        return self.data + (cluster - 2) * self.cluster


def volume(sector: bytes) -> Volume | None:
    """The volume that a boot sector describes; None when it describes no FAT32 as `esp.build` makes it."""
    size, per_cluster, reserved, tables = struct.unpack_from("<HBHB", sector, 11)
    total, table = struct.unpack_from("<II", sector, 32)
    (root,) = struct.unpack_from("<I", sector, _ROOT)
    if sector[510:512] != b"\x55\xaa" or size != SECTOR or not per_cluster or not table:
        return None
    begin = reserved + tables * table
    count = (total - begin) // per_cluster
    if count < 1 or table * SECTOR < (count + 2) * 4 or root < 2:
        return None
    beginnings = tuple((reserved + number * table) * SECTOR for number in range(tables))
    return Volume(beginnings, begin * SECTOR, per_cluster * SECTOR, count, root)


def stages(read: ReadAt, start: int, image: bytes) -> tuple[Stage, ...]:
    """What to write so that the partition has the files of `image`, in an order that may be cut anywhere.

    Args:
        read: the disk as it is.
        start: byte at which the partition begins.
        image: the used beginning of the partition, as `esp.build` made it.

    Returns:
        One stage that overwrites all when what is there is no volume of the same shape with room for a copy. Then there
        is no old set of files, or it is one of another program.
    """
    in_place: tuple[Stage, ...] = (((start, image),),)
    present = read(start, SECTOR)
    new, old = volume(image[:SECTOR]), volume(present)
    if new is None or new.root != 2:
        raise InternalError("the ESP was not made as this program makes it")
    if old is None or present[_GEOMETRY] != image[_GEOMETRY]:
        return in_place
    used = _used(image, new)
    half = -(-new.clusters // 2 // _ALIGNMENT) * _ALIGNMENT
    if used >= half:
        return in_place
    result: list[Stage] = []
    if old.root < half:
        beside = _free(read(start + new.tables[0], (new.clusters + 2) * 4), half, used)
        if beside is None:
            return in_place
        copied = relocated(image, beside)
        result.append(tuple((start + place, data) for place, data in copied))
        result.append(((start, _led_to(image[:SECTOR], beside)),))
    # else a swap was cut there before: the clusters of the first half are free to be written
    table = image[new.tables[0] : new.tables[0] + (used + 1) * 4]
    result.append(
        (
            *((start + place, _padded(table)) for place in new.tables),
            (start + new.data, image[new.data : new.place(used + 1)]),
        )
    )
    result.append(((start, image[:SECTOR]),))
    # frees the clusters of the copy; the sector that decides is the same already
    result.append(((start, image),))
    return tuple(result)


def relocated(image: bytes, beside: int) -> tuple[Write, ...]:
    """The files of `image` once more from cluster `beside` on: their clusters, and their entries in the tables.

    Places are in bytes from the beginning of the partition.
    """
    fat = volume(image[:SECTOR])
    assert fat is not None
    used = _used(image, fat)
    shift = beside - 2
    entries = struct.unpack_from(f"<{used - 1}I", image, fat.tables[0] + 8)
    moved = [entry + shift if 2 <= entry < _END else entry for entry in entries]
    data = bytearray(image[fat.data : fat.place(used + 1)].ljust((used - 1) * fat.cluster, b"\0"))
    waiting = [fat.root]
    while waiting:
        cluster = waiting.pop()
        while 2 <= cluster < _END:
            at = fat.place(cluster) - fat.data
            waiting += _shift_rows(data, at, fat.cluster, shift)
            cluster = entries[cluster - 2]
    table = _padded(struct.pack(f"<{len(moved)}I", *moved))
    return (*((place + beside * 4, table) for place in fat.tables), (fat.place(beside), bytes(data)))


def _shift_rows(data: bytearray, at: int, size: int, shift: int) -> list[int]:
    """Move the files of one cluster of a directory; the clusters at which directories in it began."""
    below = []
    for row in range(at, at + size, _ROW):
        if data[row] == 0:
            break
        attributes = data[row + 11]
        if data[row] == 0xE5 or attributes & _LONG_NAME == _LONG_NAME or attributes & _LABEL:
            continue
        high, low = struct.unpack_from("<H", data, row + 20)[0], struct.unpack_from("<H", data, row + 26)[0]
        first = high << 16 | low
        # an empty file has no cluster, and 0 stands for the root directory wherever that is
        if first == 0:
            continue
        if attributes & _DIRECTORY and data[row : row + 1] != b".":
            below.append(first)
        struct.pack_into("<H", data, row + 20, (first + shift) >> 16)
        struct.pack_into("<H", data, row + 26, (first + shift) & 0xFFFF)
    return below


def _used(image: bytes, fat: Volume) -> int:
    """The last cluster in use."""
    count = min(fat.clusters, (len(image) - fat.tables[0]) // 4 - 2)
    table = struct.unpack_from(f"<{count}I", image, fat.tables[0] + 8)
    return max((number for number, entry in enumerate(table, 2) if entry), default=2)


def _free(table: bytes, first: int, count: int) -> int | None:
    """The first of `count` free clusters in one go, from `first` on."""
    for begin in range(first, len(table) // 4 - count, _ALIGNMENT):
        if not any(table[begin * 4 : (begin + count) * 4]):
            return begin
    return None


def _led_to(sector: bytes, root: int) -> bytes:
    return sector[:_ROOT] + struct.pack("<I", root) + sector[_ROOT + 4 :]


def _padded(table: bytes) -> bytes:
    return table + bytes(-len(table) % SECTOR)
