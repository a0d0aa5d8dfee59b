"""A small read-only FAT32, for looking at a data partition without mounting it.

Source: Microsoft, FAT: General Overview of On-Disk Format (FAT specification 1.03): boot sector and BPB, FAT data
structure (28 bits of each entry count; bits 27 and 26 of entry 1 say clean and without errors), FSInfo, directories.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from luxusbd.errors import MalformedImageError
from luxusbd.stick import fatnames
from luxusbd.stick.blockio import ReadAt
from luxusbd.stick.clusters import FIRST, SECTOR, ClusterFilesystem, Entry, little
from luxusbd.stick.filesystem import Kind

LARGEST_FILE = (1 << 32) - 1
"""Bytes: sizes have 32 bits."""
BACKUP_BOOT = 6
"""Sector of the copy of the boot sector, as every maker of FAT32 has it."""
STATE = 0x41
"""Byte of the boot sector whose lowest bit Linux and fsck.fat take for "not unmounted in order"."""
CLEAN = 0x08000000
NO_ERRORS = 0x04000000
DELETED = 0xE5
ATTRIBUTE_DIRECTORY = 0x10
ATTRIBUTE_VOLUME = 0x08
ATTRIBUTE_ARCHIVE = 0x20
_CASE = 12
_NAMES_LIMIT = 20
"""Slots of one long name."""
_WESTERNMOST = 12 * 3600
_BATCH = 1024 * 1024


class Fat32(ClusterFilesystem):
    """A FAT32 filesystem.

    Args:
        read: reads of the partition's bytes, 0 being its start.
        size: bytes of the partition.

    Raises:
        MalformedImageError: here and in every method: this is no FAT32, or it is inconsistent.
    """

    kind = Kind.FAT32
    table_limit = 0x0FFFFFF6
    table_mask = 0x0FFFFFFF

    def __init__(self, read: ReadAt, size: int) -> None:
        super().__init__(read)
        if size < 64 * SECTOR:
            raise MalformedImageError("too small for a FAT32 filesystem")
        boot = read(0, SECTOR)
        if not looks_like_boot(boot):
            raise MalformedImageError("no FAT32 filesystem")
        sector, per_cluster, reserved, copies, entries, small, _media, short_table = struct.unpack_from(
            "<HBHBHHBH", boot, 11
        )
        sectors, table, flags, version, root, self.info_sector, _backup = struct.unpack_from("<IIHHIHH", boot, 32)
        if sector != SECTOR:
            raise MalformedImageError(f"FAT32 with sectors of {sector} bytes")
        if not per_cluster or per_cluster & (per_cluster - 1):
            raise MalformedImageError("FAT32 with impossible clusters")
        # mkfs.fat writes a small number of sectors where the other FATs have it
        sectors = sectors or small
        if entries or short_table or version:
            raise MalformedImageError("a FAT filesystem that is no FAT32")
        if not reserved or copies not in (1, 2) or not table:
            raise MalformedImageError("FAT32 with impossible tables")
        if flags & 0x80:
            raise MalformedImageError("FAT32 whose tables are no copies of each other")
        if not 0 < sectors * SECTOR <= size:
            raise MalformedImageError("the FAT32 filesystem is bigger than its partition")
        self.cluster_size = per_cluster * SECTOR
        self.table_start = reserved * SECTOR
        self.table_size = table * SECTOR
        self.copies = copies
        self.data_start = self.table_start + copies * self.table_size
        self.clusters = (sectors * SECTOR - self.data_start) // self.cluster_size
        if self.clusters < 1 or (self.clusters + FIRST) * 4 > self.table_size:
            raise MalformedImageError("FAT32 whose table does not cover it")
        if not 0 < self.info_sector < reserved:
            self.info_sector = 0
        self._check(root)
        self._root = root
        number = int.from_bytes(boot[67:71], "little")
        self.uuid = f"{number >> 16:04X}-{number & 0xFFFF:04X}"
        state = little(read(self.table_start, 8))[1]
        self.clean = bool(state & CLEAN) and not boot[STATE] & 1
        self.has_errors = not state & NO_ERRORS
        self.label = next(self._labels(), "")

    @property
    def root(self) -> Entry:
        """The root directory."""
        return Entry("", True, 0, 0, self._root, False, 0)

    def parse(self, slots: Iterable[tuple[int, bytes]]) -> Iterator[Entry]:
        """What the slots of one directory name."""
        pending: list[tuple[int, bytes]] = []
        for place, raw in slots:
            if raw[0] == 0:
                return
            if raw[0] != DELETED and raw[11] & 0x3F == fatnames.ATTRIBUTE_LONG:
                if raw[0] & fatnames.LAST_LONG:
                    pending = []
                pending.append((place, raw))
                if len(pending) > _NAMES_LIMIT:
                    pending = []
                continue
            before, pending = pending, []
            if raw[0] in (DELETED, ord(".")) or raw[11] & ATTRIBUTE_VOLUME:
                continue
            alias = raw[:11]
            name = fatnames.long_name([piece for _place, piece in before], alias) if before else None
            if name is None:
                name, before = fatnames.short_name(alias, raw[_CASE]), []
            yield _entry(name, raw, [*before, (place, raw)])

    def same_name(self, one: str, other: str) -> bool:
        """Whether two names are one to this filesystem."""
        return one.upper() == other.upper()

    def free_bytes(self) -> int:
        """Unallocated bytes: as FSInfo has them where the filesystem is clean, else counted."""
        if self.clean and self.info_sector:
            info = self._read(self.info_sector * SECTOR, SECTOR)
            lead, mark, free, _next = struct.unpack_from("<I480xIII", info, 0)
            if lead == 0x41615252 and mark == 0x61417272 and free <= self.clusters:
                return int(free) * self.cluster_size
        total = (self.clusters + FIRST) * 4
        free = 0
        for start in range(0, total, _BATCH):
            free += little(self._read(self.table_start + start, min(_BATCH, total - start))).count(0)
        return free * self.cluster_size

    def _labels(self) -> Iterator[str]:
        for _place, raw in self.slots(self.root):
            if raw[0] == 0:
                return
            if raw[0] != DELETED and raw[11] & 0x3F != fatnames.ATTRIBUTE_LONG and raw[11] & ATTRIBUTE_VOLUME:
                yield raw[:11].rstrip(b" ").decode("cp437")


def looks_like_boot(sector: bytes) -> bool:
    """Whether a sector begins a FAT32 filesystem."""
    return sector[510:512] == b"\x55\xaa" and sector[82:90] == b"FAT32   "


def _entry(name: str, raw: bytes, slots: list[tuple[int, bytes]]) -> Entry:
    directory = bool(raw[11] & ATTRIBUTE_DIRECTORY)
    size = 0 if directory else int.from_bytes(raw[28:32], "little")
    first = int.from_bytes(raw[26:28], "little") | int.from_bytes(raw[20:22], "little") << 16
    created = fatnames.unstamp(int.from_bytes(raw[14:18], "little"))
    written = fatnames.unstamp(int.from_bytes(raw[22:26], "little"))
    changed = max(created, written)
    if created != written:
        # local time of wherever it was written, and nobody says where; ours are UTC, and the two are the same
        changed += _WESTERNMOST
    places, pieces = zip(*slots, strict=True)
    return Entry(name, directory, size, size, first & 0x0FFFFFFF, False, changed, places, pieces)
