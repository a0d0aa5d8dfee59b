"""Looks through a whole FAT32 or exFAT: who owns which cluster. Nothing is written, and no file's data is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from luxusbd.errors import MalformedImageError
from luxusbd.stick.clusters import FIRST, ClusterFilesystem, Entry, Run
from luxusbd.stick.exfat import ExFat
from luxusbd.stick.fat32 import Fat32

MAX_ENTRIES = 1_000_000
MAX_PROBLEMS = 20
_SET = re.compile(rb"\x01+")
_BATCH = 1 << 20


@dataclass(frozen=True)
class Survey:
    """What was found."""

    problems: tuple[str, ...]
    """What is wrong and no mere remainder of a cut, a sentence each."""
    lost: tuple[Run, ...]
    """Clusters that count as used and belong to nobody."""
    tables_differ: bool
    """Whether the second table of a FAT32 lags behind the first."""
    metadata: tuple[tuple[int, int], ...]
    """(byte, length) of what describes the tree, the tables apart."""


def survey(filesystem: ClusterFilesystem, used: bytes | bytearray) -> Survey:
    """Look through it.

    Args:
        filesystem: to be looked through.
        used: a byte for every cluster number, 0 where the filesystem has it for free.
    """
    walk = _Walk(filesystem, used)
    walk.run()
    wasted = int.from_bytes(used, "little") & ~int.from_bytes(walk.owned, "little")
    spare = wasted.to_bytes(len(used), "little")
    lost = tuple(Run(found.start(), found.end() - found.start()) for found in _SET.finditer(spare))
    differ = isinstance(filesystem, Fat32) and _tables_differ(filesystem)
    return Survey(tuple(walk.problems[:MAX_PROBLEMS]), lost, differ, tuple(walk.metadata))


class _Walk:
    def __init__(self, filesystem: ClusterFilesystem, used: bytes | bytearray) -> None:
        self._fs = filesystem
        self._used = used
        self.owned = bytearray(len(used))
        self.owned[:FIRST] = b"\1" * FIRST
        self.problems: list[str] = []
        self.metadata: list[tuple[int, int]] = []
        self._entries = 0

    def run(self) -> None:
        if isinstance(self._fs, ExFat):
            for name, entry in (("allocation bitmap", self._fs.bitmap), ("up-case table", self._fs.upcase)):
                self._own(name, entry, metadata=True)
        elif isinstance(self._fs, Fat32):
            self._own_bad_clusters(self._fs)
        waiting: list[tuple[str, Entry]] = [("/", self._fs.root)]
        while waiting:
            path, directory = waiting.pop()
            if not self._own(path, directory, metadata=True):
                continue
            for child in self._children(path, directory):
                below = f"{path.rstrip('/')}/{child.name}"
                if child.is_directory:
                    waiting.append((below, child))
                else:
                    self._own(below, child, metadata=False)

    def _children(self, path: str, directory: Entry) -> Iterator[Entry]:
        try:
            for child in self._fs.children(directory):
                self._entries += 1
                if self._entries > MAX_ENTRIES:
                    self._note("there are more files than can be looked through")
                    return
                yield child
        except MalformedImageError as error:
            self._note(f"{path!r}: {error}")

    def _own(self, path: str, entry: Entry, *, metadata: bool) -> bool:
        """Enter the clusters of a file; False where they cannot be its own."""
        try:
            for run in self._runs(entry):
                if 1 in self.owned[run.first : run.end]:
                    self._note(f"{path!r} shares clusters with another file")
                    return False
                if 0 in self._used[run.first : run.end]:
                    self._note(f"{path!r} has clusters that count as free")
                self.owned[run.first : run.end] = b"\1" * run.count
                if metadata:
                    self.metadata.append((self._fs.place(run.first), run.count * self._fs.cluster_size))
        except MalformedImageError as error:
            self._note(f"{path!r}: {error}")
            return False
        return True

    def _runs(self, entry: Entry) -> Iterator[Run]:
        """The clusters of a file to the end of its chain, which has to be where its size says."""
        if entry.contiguous or not entry.first or (entry.is_directory and not entry.slots):
            yield from self._fs.runs(entry)
            return
        count = 0
        for run in self._fs.chain(entry.first, self._fs.clusters + 1, whole=True):
            count += run.count
            yield run
        if entry.size and count != -(-entry.size // self._fs.cluster_size):
            raise MalformedImageError(f"{count} clusters do not fit its {entry.size} bytes")
        if entry.is_file and not entry.size:
            raise MalformedImageError("an empty file has clusters")

    def _own_bad_clusters(self, filesystem: Fat32) -> None:
        for found in _SET.finditer(bytes(self._used)):
            for cluster in range(found.start(), found.end()):
                if cluster >= FIRST and filesystem.table(cluster) == filesystem.table_limit + 1:
                    self.owned[cluster] = 1

    def _note(self, problem: str) -> None:
        self.problems.append(problem)


def _tables_differ(filesystem: Fat32) -> bool:
    if filesystem.copies < 2:
        return False
    for start in range(0, filesystem.table_size, _BATCH):
        length = min(_BATCH, filesystem.table_size - start)
        first = filesystem.read_bytes(filesystem.table_start + start, length)
        if first != filesystem.read_bytes(filesystem.table_start + filesystem.table_size + start, length):
            return True
    return False
