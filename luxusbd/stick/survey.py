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
    overlong: tuple[int, ...]
    """Clusters at which a chain should end, and does not: what follows is among `lost`."""
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
    lost: list[Run] = []
    for found in _SET.finditer(spare):
        lost += _without_bad(filesystem, Run(found.start(), found.end() - found.start()))
    differ = isinstance(filesystem, Fat32) and _tables_differ(filesystem)
    return Survey(tuple(walk.problems[:MAX_PROBLEMS]), tuple(lost), tuple(walk.overlong), differ, tuple(walk.metadata))


class _Walk:
    def __init__(self, filesystem: ClusterFilesystem, used: bytes | bytearray) -> None:
        self._fs = filesystem
        self._used = used
        self.owned = bytearray(len(used))
        self.owned[:FIRST] = b"\1" * FIRST
        self.problems: list[str] = []
        self.overlong: list[int] = []
        self.metadata: list[tuple[int, int]] = []
        self._entries = 0

    def run(self) -> None:
        if isinstance(self._fs, ExFat):
            for name, entry in (("allocation bitmap", self._fs.bitmap), ("up-case table", self._fs.upcase)):
                self._own(name, entry, metadata=True)
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
        """The clusters of a file, whose chain should end with the last one."""
        last = 0
        for run in self._fs.runs(entry):
            last = run.end - 1
            yield run
        if entry.is_file and entry.first and not entry.size:
            raise MalformedImageError("an empty file has clusters")
        # a directory of exFAT is linked to its new cluster before its size says so
        if last and not entry.contiguous and self._fs.following(last) is not None:
            self.overlong.append(last)

    def _note(self, problem: str) -> None:
        self.problems.append(problem)


def _without_bad(filesystem: ClusterFilesystem, run: Run) -> Iterator[Run]:
    """The clusters of a run that are not marked as bad: those belong to nobody, and stay used."""
    start = run.first
    for cluster in range(run.first, run.end):
        if filesystem.table(cluster) == filesystem.table_limit + 1:
            if start < cluster:
                yield Run(start, cluster - start)
            start = cluster + 1
    if start < run.end:
        yield Run(start, run.end - start)


def _tables_differ(filesystem: Fat32) -> bool:
    if filesystem.copies < 2:
        return False
    for start in range(0, filesystem.table_size, _BATCH):
        length = min(_BATCH, filesystem.table_size - start)
        first = filesystem.read_bytes(filesystem.table_start + start, length)
        if first != filesystem.read_bytes(filesystem.table_start + filesystem.table_size + start, length):
            return True
    return False
