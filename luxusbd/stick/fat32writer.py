"""What is particular to writing FAT32: two tables, long names with short aliases, FSInfo.

Source: FAT specification 1.03, as in `fat32` and `fatnames`. The order of the writes is that of `clusterwriter`.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Collection, Sequence

from luxusbd.errors import InvalidArgumentError
from luxusbd.stick import fatnames
from luxusbd.stick.clusters import FIRST, SECTOR, Entry, Run, little
from luxusbd.stick.clusterwriter import ClusterWriter, now
from luxusbd.stick.fat32 import (
    ATTRIBUTE_ARCHIVE,
    ATTRIBUTE_DIRECTORY,
    CLEAN,
    DELETED,
    LARGEST_FILE,
    NO_ERRORS,
    STATE,
    Fat32,
)

_END = 0x0FFFFFFF
_RESERVED = 0xF0000000
_BATCH = 65536
"""Entries of the table that are written at once."""
_LEAD, _MARK, _TRAIL = 0x41615252, 0x61417272, 0xAA550000


class Fat32Writer(ClusterWriter[Fat32]):
    """Changes a FAT32."""

    longest_name = fatnames.UNITS * 15

    def allocate(self, path: str, size: int) -> tuple[Run, ...]:
        """Start a new file of `size` bytes, in place of one that may be there; where its clusters are.

        Raises:
            InvalidArgumentError: it is bigger than any file on FAT32.
        """
        if size > LARGEST_FILE:
            raise InvalidArgumentError(f"a file on FAT32 has at most {LARGEST_FILE} bytes, and this one has {size}")
        return super().allocate(path, size)

    def copy_table(self) -> None:
        """Make the second table what the first one is."""
        if self.fs.copies < 2:
            return
        for start in range(0, self.fs.table_size, 1 << 20):
            length = min(1 << 20, self.fs.table_size - start)
            data = self.blocks.read(self.fs.table_start + start, length)
            if data != self.blocks.read(self.fs.table_start + self.fs.table_size + start, length):
                self.blocks.write(data, self.fs.table_start + self.fs.table_size + start)

    def _load_used(self) -> bytearray:
        total = self.fs.clusters + FIRST
        used = bytearray()
        for start in range(0, total, _BATCH):
            count = min(_BATCH, total - start)
            values = little(self.blocks.read(self.fs.table_start + start * 4, count * 4))
            used += bytes(1 if value & self.fs.table_mask else 0 for value in values) if any(values) else bytes(count)
        used[:FIRST] = b"\1" * FIRST
        return used

    def _allocate(self, runs: Sequence[Run]) -> bool:
        for index, run in enumerate(runs):
            values = array("I", range(run.first + 1, run.end + 1))
            values[-1] = runs[index + 1].first if index + 1 < len(runs) else _END
            self._put(run.first, values)
            self.used[run.first : run.end] = b"\1" * run.count
        return False

    def _release(self, runs: Sequence[Run]) -> None:
        for run in runs:
            self._put(run.first, array("I", bytes(4 * run.count)))
            self.used[run.first : run.end] = bytes(run.count)

    def _end_chain(self, cluster: int) -> None:
        self._put(cluster, array("I", [_END]))

    def _put(self, first: int, values: array[int]) -> None:
        """Write entries of the table into all copies; what is reserved of each stays."""
        for start in range(0, len(values), _BATCH):
            piece = values[start : start + _BATCH]
            begin = (first + start) * 4
            end = begin + len(piece) * 4
            outer = begin // SECTOR * SECTOR
            length = -(-end // SECTOR) * SECTOR - outer
            data = bytearray(self.blocks.read(self.fs.table_start + outer, length))
            old = little(bytes(data[begin - outer : end - outer]))
            if max(old) & _RESERVED:
                piece = array("I", (was & _RESERVED | new for was, new in zip(old, piece, strict=True)))
            if sys.byteorder == "big":
                piece.byteswap()
            data[begin - outer : end - outer] = piece.tobytes()
            for copy in range(self.fs.copies):
                self.blocks.write(bytes(data), self.fs.table_start + copy * self.fs.table_size + outer)
        self.fs.forget()

    def _mark(self, *, dirty: bool) -> None:
        boot = bytearray(self.blocks.read(0, SECTOR))
        boot[STATE] = boot[STATE] | 1 if dirty else boot[STATE] & ~3
        for copy in range(self.fs.copies):
            place = self.fs.table_start + copy * self.fs.table_size
            table = bytearray(self.blocks.read(place, SECTOR))
            state = int.from_bytes(table[4:8], "little")
            state = state & ~CLEAN if dirty else state | CLEAN | NO_ERRORS
            table[4:8] = state.to_bytes(4, "little")
            self.blocks.write(bytes(table), place)
        self.blocks.write(bytes(boot), 0)
        if not dirty and self.fs.info_sector:
            info = bytearray(self.blocks.read(self.fs.info_sector * SECTOR, SECTOR))
            following = self.used.find(b"\0")
            struct.pack_into("<I", info, 0, _LEAD)
            free = self.used.count(0)
            struct.pack_into("<III", info, 484, _MARK, free, following if following > 0 else 0xFFFFFFFF)
            struct.pack_into("<I", info, 508, _TRAIL)
            self.blocks.write(bytes(info), self.fs.info_sector * SECTOR)
        self.fs.clean = not dirty
        self.fs.forget()

    def _new_slots(self, directory: Entry, name: str, *, is_directory: bool) -> list[bytes]:
        stamp = fatnames.stamp(now())
        attribute = ATTRIBUTE_DIRECTORY if is_directory else ATTRIBUTE_ARCHIVE
        tail = struct.pack("<BxxIHHIHI", attribute, stamp, stamp >> 16, 0, stamp, 0, 0)
        return self._named(directory, name, tail, ())

    def _renamed(self, entry: Entry, directory: Entry, name: str, gone: Collection[int]) -> list[bytes]:
        tail = entry.raw[-1][11:]
        # the marks for small letters belong to the old name
        return self._named(directory, name, tail[:1] + b"\0" + tail[2:], gone)

    def _named(self, directory: Entry, name: str, tail: bytes, gone: Collection[int]) -> list[bytes]:
        taken = {
            raw[:11]
            for place, raw in self.fs.slots(directory)
            if raw[0] not in (0, DELETED) and raw[11] & 0x3F != fatnames.ATTRIBUTE_LONG and place not in gone
        }
        alias = fatnames.exact_alias(name)
        if alias is not None and alias not in taken:
            return [alias + tail]
        alias = fatnames.make_alias(name, taken)
        return [*fatnames.long_slots(name, alias), alias + tail]

    def _with_clusters(
        self,
        slots: Sequence[bytes],
        first: int,
        size: int,
        valid: int,  # noqa: ARG002
        *,
        row: bool,  # noqa: ARG002
    ) -> list[bytes]:
        short = bytearray(slots[-1])
        stamp = fatnames.stamp(now())
        struct.pack_into("<H", short, 20, first >> 16)
        struct.pack_into("<I", short, 22, stamp)
        # ours have one time, see `fat32`
        struct.pack_into("<I", short, 14, stamp)
        struct.pack_into("<HI", short, 26, first & 0xFFFF, 0 if short[11] & ATTRIBUTE_DIRECTORY else size)
        return [*slots[:-1], bytes(short)]

    def _deleted(self, slot: bytes) -> bytes:
        return bytes((DELETED,)) + slot[1:]

    def _is_free(self, slot: bytes) -> bool:
        return slot[0] in (0, DELETED)

    def _key(self, entry: Entry) -> int:
        return entry.slots[-1]

    def _first_content(self, cluster: int, parent: Entry) -> bytes:
        above = 0 if parent.first == self.fs.root.first else parent.first
        stamp = fatnames.stamp(now())
        made = b""
        for name, first in ((b".", cluster), (b"..", above)):
            made += name.ljust(11) + struct.pack(
                "<BxxIHHIHI", ATTRIBUTE_DIRECTORY, stamp, stamp >> 16, first >> 16, stamp, first & 0xFFFF, 0
            )
        return made

    def _grow(self, directory: Entry) -> Entry:
        last = self._all_runs(directory)[-1].end - 1
        run = self.find_room(1)
        self._allocate(run)
        self._clear(run[0].first)
        self.blocks.flush()
        self._put(last, array("I", [run[0].first]))
        self.blocks.flush()
        return directory
