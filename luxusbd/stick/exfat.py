"""A small read-only exFAT, for looking at a data partition without mounting it.

Source: Microsoft, exFAT file system specification 1.00, whose section numbers stand in the comments.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator

from luxusbd.errors import MalformedImageError
from luxusbd.stick import exfatsets
from luxusbd.stick.blockio import ReadAt
from luxusbd.stick.clusters import FIRST, SECTOR, ClusterFilesystem, Entry, Run
from luxusbd.stick.filesystem import Kind

BOOT_SECTORS = 12
"""Of one boot region; the second one follows (section 2)."""
FLAGS = 106
"""Byte of VolumeFlags in the boot sector (section 3.1.13)."""
PERCENT = 112
DIRTY, MEDIA_FAILURE = 2, 4
_UPCASE_LIMIT = 131072
_NUMBER = 100


class ExFat(ClusterFilesystem):
    """An exFAT filesystem.

    Args:
        read: reads of the partition's bytes, 0 being its start.
        size: bytes of the partition.

    Raises:
        MalformedImageError: here and in every method: this is no exFAT, or it is inconsistent.
    """

    kind = Kind.EXFAT
    # section 4.1.1: 0xFFFFFFF7 is a bad cluster, 0xFFFFFFFF the end
    table_limit = 0xFFFFFFF6
    table_mask = 0xFFFFFFFF

    def __init__(self, read: ReadAt, size: int) -> None:
        super().__init__(read)
        if size < 2 * BOOT_SECTORS * SECTOR:
            raise MalformedImageError("too small for an exFAT filesystem")
        region = read(0, BOOT_SECTORS * SECTOR)
        if not looks_like_boot(region[:SECTOR]):
            raise MalformedImageError("no exFAT filesystem")
        if not is_whole_region(region):
            raise MalformedImageError("exFAT whose boot sectors do not fit their checksum")
        length, table, table_length, heap, self.clusters, root, number, revision, flags = struct.unpack_from(
            "<QIIIIIIHH", region, 72
        )
        sector_shift, cluster_shift, tables = region[108], region[109], region[110]
        if sector_shift != 9:
            raise MalformedImageError("exFAT with sectors of another size than 512 bytes")
        if cluster_shift > 16 or revision >> 8 != 1 or tables != 1:
            raise MalformedImageError("exFAT of a kind that is not known")
        if not 0 < length * SECTOR <= size:
            raise MalformedImageError("the exFAT filesystem is bigger than its partition")
        self.cluster_size = SECTOR << cluster_shift
        self.table_start = table * SECTOR
        self.table_size = table_length * SECTOR
        self.data_start = heap * SECTOR
        if table < 2 * BOOT_SECTORS or table + table_length > heap:
            raise MalformedImageError("exFAT with an impossible table")
        if not 0 < self.clusters <= (length - heap if heap < length else 0) >> cluster_shift:
            raise MalformedImageError("exFAT with more clusters than fit")
        if (self.clusters + FIRST) * 4 > self.table_size:
            raise MalformedImageError("exFAT whose table does not cover it")
        self.uuid = f"{number >> 16:04X}-{number & 0xFFFF:04X}"
        self.clean = not flags & DIRTY
        self.has_errors = bool(flags & MEDIA_FAILURE)
        self._check(root)
        self._root = root
        self.label = ""
        self.bitmap = self.upcase = Entry("", False, 0, 0, 0, False, 0)
        self._read_root()
        self._table: array[int] | None = None

    @property
    def root(self) -> Entry:
        """The root directory."""
        return Entry("", True, 0, 0, self._root, False, 0)

    @property
    def upcase_table(self) -> array[int]:
        """How names are compared."""
        if self._table is None:
            stored = b"".join(
                self._read(self.place(run.first), run.count * self.cluster_size) for run in self.runs(self.upcase)
            )[: self.upcase.size]
            if exfatsets.table_checksum(stored) != self._upcase_checksum:
                raise MalformedImageError("exFAT whose up-case table does not fit its checksum")
            self._table = exfatsets.upcase_table(stored)
        return self._table

    def parse(self, slots: Iterable[tuple[int, bytes]]) -> Iterator[Entry]:
        """What the slots of one directory name."""
        for places, pieces in sets(slots):
            found = exfatsets.parse(pieces)
            if found is None:
                continue
            yield Entry(
                found.name,
                found.directory,
                found.size,
                found.valid,
                found.first,
                found.contiguous,
                max(exfatsets.seconds(found.created), exfatsets.seconds(found.written)),
                tuple(places),
                tuple(pieces),
            )

    def runs(self, entry: Entry) -> Iterator[Run]:
        """The clusters that a file needs, in rows; of the root, all of them."""
        if entry.is_directory and not entry.size and entry.slots:
            return iter(())
        return super().runs(entry)

    def same_name(self, one: str, other: str) -> bool:
        """Whether two names are one to this filesystem."""
        return self.fold(one) == self.fold(other)

    def fold(self, name: str) -> bytes:
        """A name as it is compared and hashed."""
        return exfatsets.upcase(name, self.upcase_table)

    def free_bytes(self) -> int:
        """Unallocated bytes, as the allocation bitmap has them."""
        used = sum(piece.bit_count() for piece in self._bitmap_words())
        return (self.clusters - used) * self.cluster_size

    def bitmap_bytes(self) -> bytes:
        """The allocation bitmap: bit 0 of its first byte is the first cluster (section 7.1)."""
        data = b"".join(
            self._read(self.place(run.first), run.count * self.cluster_size) for run in self.runs(self.bitmap)
        )
        return data[: -(-self.clusters // 8)]

    def _bitmap_words(self) -> Iterator[int]:
        data = bytearray(self.bitmap_bytes())
        if self.clusters % 8:
            data[-1] &= (1 << self.clusters % 8) - 1
        for at in range(0, len(data), 4096):
            yield int.from_bytes(data[at : at + 4096], "little")

    def _read_root(self) -> None:
        seen: set[int] = set()
        for _place, raw in self.slots(self.root):
            kind = raw[0]
            if kind == 0:
                break
            if kind in seen or kind not in (exfatsets.BITMAP, exfatsets.UPCASE, exfatsets.LABEL):
                continue
            seen.add(kind)
            if kind == exfatsets.LABEL:
                self.label = raw[2 : 2 + 2 * min(raw[1], 11)].decode("utf-16-le", "replace")
                continue
            first, size = struct.unpack_from("<IQ", raw, 20)
            entry = Entry("", False, size, size, first, False, 0)
            if kind == exfatsets.BITMAP:
                self.bitmap = entry
            else:
                self.upcase = entry
                self._upcase_checksum = int.from_bytes(raw[4:8], "little")
        if not -(-self.clusters // 8) <= self.bitmap.size <= 1 << 29:
            raise MalformedImageError("exFAT without an allocation bitmap")
        if not 0 < self.upcase.size <= _UPCASE_LIMIT:
            raise MalformedImageError("exFAT without an up-case table")


def sets(slots: Iterable[tuple[int, bytes]]) -> Iterator[tuple[list[int], list[bytes]]]:
    """The slots of every file of a directory, up to its end mark."""
    places: list[int] = []
    pieces: list[bytes] = []
    wanted = 0
    for place, raw in slots:
        if raw[0] == 0:
            return
        if wanted and raw[0] & (exfatsets.IN_USE | 0x40) == exfatsets.IN_USE | 0x40:
            places.append(place)
            pieces.append(raw)
            wanted -= 1
            if not wanted:
                yield places, pieces
            continue
        wanted = 0
        if raw[0] == exfatsets.FILE:
            wanted = raw[1] if raw[1] <= exfatsets.MOST_SECONDARY else 0
            places, pieces = [place], [raw]


def looks_like_boot(sector: bytes) -> bool:
    """Whether a sector begins an exFAT filesystem."""
    return sector[510:512] == b"\x55\xaa" and sector[3:11] == b"EXFAT   "


def is_whole_region(region: bytes) -> bool:
    """Whether a boot region fits its checksum, which fills its last sector (section 3.4)."""
    return region[11 * SECTOR :] == exfatsets.boot_checksum(region).to_bytes(4, "little") * (SECTOR // 4)


def with_serial(region: bytes, serial: str) -> bytes:
    """A boot region with another volume serial, such as 1A2B-3C4D."""
    made = bytearray(region)
    made[_NUMBER : _NUMBER + 4] = int(serial.replace("-", ""), 16).to_bytes(4, "little")
    made[11 * SECTOR :] = exfatsets.boot_checksum(made).to_bytes(4, "little") * (SECTOR // 4)
    return bytes(made)
