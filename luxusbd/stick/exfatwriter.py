"""What is particular to writing exFAT: the allocation bitmap, files in a row without a chain, checksums of sets.

Source: exFAT specification 1.00, as in `exfat` and `exfatsets`. The order of the writes is that of `clusterwriter`.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Collection, Sequence
from dataclasses import replace

from luxusbd.stick import exfatsets
from luxusbd.stick.clusters import FIRST, SECTOR, Entry, Run
from luxusbd.stick.clusterwriter import ClusterWriter, now
from luxusbd.stick.exfat import DIRTY, FLAGS, MEDIA_FAILURE, PERCENT, ExFat

_END = 0xFFFFFFFF
_BITS = tuple(bytes(value >> bit & 1 for bit in range(8)) for value in range(256))


class ExFatWriter(ClusterWriter[ExFat]):
    """Changes an exFAT."""

    longest_name = exfatsets.UNITS * 14

    def _load_used(self) -> bytearray:
        self._bitmap = bytearray(self.fs.bitmap_bytes())
        self._bitmap_places = [
            self.fs.place(cluster) for run in self.fs.runs(self.fs.bitmap) for cluster in range(run.first, run.end)
        ]
        used = bytearray(b"\1" * FIRST)
        for byte in self._bitmap:
            used += _BITS[byte]
        del used[self.fs.clusters + FIRST :]
        return used

    def _allocate(self, runs: Sequence[Run]) -> bool:
        if len(runs) > 1:
            self._chain(runs)
        for run in runs:
            self._note(run, 1)
        return len(runs) == 1

    def _end_of_room(self) -> int:
        # GRUB (grub-core/fs/fat.c) takes the number of clusters for the end of their numbers, which is two higher, and
        # reads no chain that leads to the last two; seen with 2.06: "invalid cluster"
        return self.fs.clusters

    def _release(self, runs: Sequence[Run]) -> None:
        for run in runs:
            self._note(run, 0)

    def _chain(self, runs: Sequence[Run]) -> None:
        """Write the table for clusters, of which it need not say anything yet (section 4)."""
        for index, run in enumerate(runs):
            values = array("I", range(run.first + 1, run.end + 1))
            values[-1] = runs[index + 1].first if index + 1 < len(runs) else _END
            self._put(run.first, values)

    def _end_chain(self, cluster: int) -> None:
        self._put(cluster, array("I", [_END]))

    def _put(self, first: int, values: array[int]) -> None:
        begin = self.fs.table_start + first * 4
        end = begin + len(values) * 4
        outer = begin // SECTOR * SECTOR
        data = bytearray(self.blocks.read(outer, -(-end // SECTOR) * SECTOR - outer))
        if sys.byteorder == "big":
            values.byteswap()
        data[begin - outer : end - outer] = values.tobytes()
        self.blocks.write(bytes(data), outer)
        self.fs.forget()

    def _note(self, run: Run, value: int) -> None:
        """Set the bits of clusters in the bitmap."""
        first, end = run.first - FIRST, run.end - FIRST
        at = first
        while at < end:
            if at % 8 == 0 and end - at >= 8:
                whole = (end - at) // 8
                self._bitmap[at // 8 : at // 8 + whole] = (b"\xff" if value else b"\0") * whole
                at += whole * 8
                continue
            bit = 1 << at % 8
            self._bitmap[at // 8] = self._bitmap[at // 8] | bit if value else self._bitmap[at // 8] & ~bit
            at += 1
        self.used[run.first : run.end] = bytes((value,)) * run.count
        cluster = self.fs.cluster_size
        for sector in range(first // 8 // SECTOR, (end - 1) // 8 // SECTOR + 1):
            inside = sector * SECTOR
            data = bytes(self._bitmap[inside : inside + SECTOR]).ljust(SECTOR, b"\0")
            self.blocks.write(data, self._bitmap_places[inside // cluster] + inside % cluster)

    def _mark(self, *, dirty: bool) -> None:
        boot = bytearray(self.blocks.read(0, SECTOR))
        flags = int.from_bytes(boot[FLAGS : FLAGS + 2], "little")
        flags = flags | DIRTY if dirty else flags & ~(DIRTY | MEDIA_FAILURE)
        boot[FLAGS : FLAGS + 2] = flags.to_bytes(2, "little")
        if not dirty:
            boot[PERCENT] = (self.fs.clusters - self.used.count(0)) * 100 // self.fs.clusters
        self.blocks.write(bytes(boot), 0)
        self.fs.clean = not dirty

    def _new_slots(self, directory: Entry, name: str, *, is_directory: bool) -> list[bytes]:  # noqa: ARG002
        return exfatsets.build(name, self.fs.fold(name), directory=is_directory, moment=now())

    def _renamed(self, entry: Entry, directory: Entry, name: str, gone: Collection[int]) -> list[bytes]:  # noqa: ARG002
        fresh = exfatsets.build(name, self.fs.fold(name), directory=entry.is_directory, moment=now())
        # number of slots and the name are the new one's, all else the old one's; a finished file is written to its end
        head = entry.raw[0][:1] + fresh[0][1:2] + entry.raw[0][2:]
        stream = bytearray(entry.raw[1])
        stream[3:6] = fresh[1][3:6]
        struct.pack_into("<Q", stream, 8, entry.size)
        return exfatsets.sealed([head, bytes(stream), *fresh[2:]])

    def _with_clusters(self, slots: Sequence[bytes], first: int, size: int, valid: int, *, row: bool) -> list[bytes]:
        return exfatsets.changed(slots, first, size, valid, contiguous=row, moment=now())

    def _deleted(self, slot: bytes) -> bytes:
        # a type of 0 would be the end mark (section 6.2.1)
        return bytes((slot[0] & ~exfatsets.IN_USE or exfatsets.FILE & ~exfatsets.IN_USE,)) + slot[1:]

    def _is_free(self, slot: bytes) -> bool:
        return not slot[0] & exfatsets.IN_USE

    def _key(self, entry: Entry) -> int:
        return entry.slots[0]

    def _first_content(self, cluster: int, parent: Entry) -> bytes:  # noqa: ARG002
        return b""

    def _grow(self, directory: Entry) -> Entry:
        runs = self._all_runs(directory)
        last = runs[-1].end - 1
        row = directory.contiguous and last + 1 < self._end_of_room() and not self.used[last + 1]
        run = Run(last + 1, 1) if row else self.find_room(1)[0]
        self._allocate([run])
        self._clear(run.first)
        if not row:
            self._put(run.first, array("I", [_END]))
            if directory.contiguous:
                self._chain([*runs, run])
            self.blocks.flush()
            if not directory.contiguous:
                self._put(last, array("I", [run.first]))
        self.blocks.flush()
        if not directory.slots:
            return directory
        size = directory.size + self.fs.cluster_size
        slots = exfatsets.changed(directory.raw, directory.first, size, size, contiguous=row, moment=now())
        self._patch(dict(zip(directory.slots, slots, strict=True)))
        self.blocks.flush()
        return replace(directory, size=size, valid=size, contiguous=row, raw=tuple(slots))
