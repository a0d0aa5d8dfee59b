"""What FAT32 and exFAT have in common, read only: clusters, chains, directories of 32-byte slots.

The filesystem may be hostile: chains that run in circles or into each other, sizes that nothing backs. So no chain is
followed further than its file's size needs, directories have a limit, and every cluster number is checked before use.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from luxusbd.errors import MalformedImageError
from luxusbd.stick.blockio import ReadAt
from luxusbd.stick.filesystem import Extent, Kind

SECTOR = 512
SLOT = 32
"""Bytes of one directory entry."""
FIRST = 2
"""Number of the first cluster: 0 and 1 are none (FAT 1.03, section 4; exFAT 1.00, section 5)."""
DIRECTORY_LIMIT = 8 * 1024 * 1024
"""Bytes of one directory that are read."""
EXTENT_LIMIT = 262144
"""Pieces of one file."""
_WINDOW = 65536
_WINDOWS = 64
"""Pieces of the table that are kept."""


@dataclass(frozen=True)
class Entry:
    """A file or a directory, with where its directory entries lie."""

    name: str
    is_directory: bool
    size: int
    """Bytes; of a directory as far as its entry tells."""
    valid: int
    """Bytes from the start that were written; what follows reads as zeros."""
    first: int
    """Its first cluster, 0 for none."""
    contiguous: bool
    """Whether the table says nothing of its clusters, since they lie in a row (exFAT, NoFatChain)."""
    changed: int
    slots: tuple[int, ...] = ()
    """Bytes of the partition where its slots begin, in order; empty for the root."""
    raw: tuple[bytes, ...] = ()
    """The slots."""

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file: there is nothing else here."""
        return not self.is_directory


@dataclass(frozen=True)
class Run:
    """Clusters in a row."""

    first: int
    count: int

    @property
    def end(self) -> int:
        """The cluster behind the last one."""
        return self.first + self.count


class ClusterFilesystem(ABC):
    """FAT32 or exFAT; a `filesystem.DataFilesystem`.

    Args:
        read: reads of the partition's bytes, 0 being its start.

    Raises:
        MalformedImageError: here and in every method: it is none, or it is inconsistent.
    """

    kind: Kind
    table_limit: int
    """Entries of the table from this value on end a chain or mark a bad cluster."""
    table_mask: int

    block_size = SECTOR
    uuid: str
    label: str
    cluster_size: int
    clusters: int
    """How many there are; the last one has the number clusters + 1."""
    data_start: int
    """Byte of the partition where the first cluster begins."""
    table_start: int
    """Byte where the table begins."""
    clean: bool
    has_errors: bool

    def __init__(self, read: ReadAt) -> None:
        self._read = read
        self._windows: dict[int, array[int]] = {}

    @property
    @abstractmethod
    def root(self) -> Entry:
        """The root directory."""

    @abstractmethod
    def parse(self, slots: Iterable[tuple[int, bytes]]) -> Iterator[Entry]:
        """What the slots of one directory name, up to its end mark, without `.`, `..` and what is no file."""

    @abstractmethod
    def same_name(self, one: str, other: str) -> bool:
        """Whether two names are one to this filesystem."""

    @abstractmethod
    def free_bytes(self) -> int:
        """Unallocated bytes."""

    def lookup(self, path: str) -> Entry | None:
        """The file or directory at an absolute path, or None."""
        entry: Entry | None = self.root
        for part in path.split("/"):
            if not part:
                continue
            if entry is None or not entry.is_directory:
                return None
            entry = self.find(entry, part)
        return entry

    def find(self, directory: Entry, name: str) -> Entry | None:
        """What a directory has under a name."""
        return next((entry for entry in self.children(directory) if self.same_name(entry.name, name)), None)

    def children(self, directory: Entry) -> Iterator[Entry]:
        """What lies in a directory."""
        return self.parse(self.slots(directory))

    def list(self, path: str) -> tuple[str, ...]:
        """Names in a directory; empty when there is no such directory."""
        entry = self.lookup(path)
        return tuple(child.name for child in self.children(entry)) if entry is not None and entry.is_directory else ()

    def entries(self, path: str, limit: int) -> tuple[tuple[bytes, Entry], ...]:
        """The first `limit` names in a directory with what they name; empty when there is no such directory."""
        entry = self.lookup(path)
        if entry is None or not entry.is_directory:
            return ()
        found: list[tuple[bytes, Entry]] = []
        for child in self.children(entry):
            if len(found) >= limit:
                break
            found.append((child.name.encode("utf-8", "replace"), child))
        return tuple(found)

    def read_file(self, path: str, limit: int) -> bytes | None:
        """Content of a file of at most `limit` bytes, or None when there is none."""
        entry = self.lookup(path)
        if entry is None or not entry.is_file:
            return None
        if entry.size > limit:
            raise MalformedImageError(f"{path!r} has {entry.size} bytes, more than the {limit} expected")
        data = bytearray()
        for run in self.runs(entry):
            data += self._read(self.place(run.first), min(run.count * self.cluster_size, entry.size - len(data)))
        data[entry.valid :] = bytes(max(0, entry.size - entry.valid))
        return bytes(data)

    def extents(self, path: str) -> tuple[Extent, ...]:
        """Where the sectors of a file lie, in order."""
        entry = self.lookup(path)
        if entry is None or not entry.is_file:
            raise MalformedImageError(f"no file {path!r} on the data partition")
        # the kernel reads zeros from the first byte on that was not written, GRUB what lies there
        written = -(-entry.size // SECTOR) if entry.valid >= entry.size else entry.valid // SECTOR
        found: list[Extent] = []
        logical = 0
        for run in self.runs(entry):
            length = run.count * self.cluster_size // SECTOR
            physical = self.place(run.first) // SECTOR
            for start, end in ((logical, min(logical + length, written)), (max(logical, written), logical + length)):
                if start < end:
                    found.append(Extent(start, physical + start - logical, end - start, start < written))
            logical += length
            if len(found) > EXTENT_LIMIT:
                raise MalformedImageError(f"{path!r} lies in too many pieces")
        return tuple(found)

    def read_bytes(self, place: int, length: int) -> bytes:
        """Bytes of the partition, as an extent of a file names them in blocks."""
        return self._read(place, length)

    def place(self, cluster: int) -> int:
        """The byte of the partition where a cluster begins."""
        return self.data_start + (cluster - FIRST) * self.cluster_size

    def runs(self, entry: Entry) -> Iterator[Run]:
        """The clusters that a file needs, in rows; of a directory without a size, all of them."""
        if entry.is_directory and not entry.size:
            return self.chain(entry.first, DIRECTORY_LIMIT // self.cluster_size + 1, whole=True)
        need = -(-entry.size // self.cluster_size)
        if not need:
            return iter(())
        if entry.is_directory and entry.size > DIRECTORY_LIMIT:
            raise MalformedImageError("a directory is too big")
        if entry.contiguous:
            self._check(entry.first)
            if need > self.clusters + FIRST - entry.first:
                raise MalformedImageError(f"{entry.name!r} reaches beyond the filesystem")
            return iter((Run(entry.first, need),))
        return self.chain(entry.first, need)

    def chain(self, first: int, limit: int, *, whole: bool = False) -> Iterator[Run]:
        """A chain of the table in rows.

        Args:
            first: its first cluster.
            limit: the clusters that are wanted.
            whole: follow it to its end, which has to come before `limit`.
        """
        start = cluster = first
        count = 0
        self._check(first)
        while True:
            count += 1
            if count == limit and not whole:
                break
            following = self.following(cluster)
            if following is None:
                if whole:
                    break
                raise MalformedImageError("a chain of clusters ends before its file does")
            if count >= limit:
                raise MalformedImageError("a chain of clusters has no end, or its directory is too big")
            if following != cluster + 1:
                yield Run(start, cluster + 1 - start)
                start = following
            cluster = following
        yield Run(start, cluster + 1 - start)

    def following(self, cluster: int) -> int | None:
        """The next cluster of a chain, or None at its end."""
        value = self.table(cluster)
        if value > self.table_limit:
            return None
        self._check(value)
        return value

    def table(self, cluster: int) -> int:
        """What the table says of a cluster."""
        window, inside = divmod(cluster * 4, _WINDOW)
        values = self._windows.get(window)
        if values is None:
            start = window * _WINDOW
            length = min(_WINDOW, (self.clusters + FIRST) * 4 - start)
            values = little(self._read(self.table_start + start, length))
            if len(self._windows) >= _WINDOWS:
                self._windows.pop(next(iter(self._windows)))
            self._windows[window] = values
        return values[inside // 4] & self.table_mask

    def forget(self) -> None:
        """Read anew what the table says: it was written."""
        self._windows.clear()

    def slots(self, directory: Entry) -> Iterator[tuple[int, bytes]]:
        """All slots of a directory with their places, those behind its end mark too."""
        for place, data in self.sectors(directory):
            for at in range(0, SECTOR, SLOT):
                yield place + at, data[at : at + SLOT]

    def sectors(self, directory: Entry) -> Iterator[tuple[int, bytes]]:
        """The sectors of a directory with their places."""
        if not directory.is_directory:
            raise MalformedImageError(f"{directory.name!r} is no directory")
        for run in self.runs(directory):
            for cluster in range(run.first, run.end):
                place = self.place(cluster)
                data = self._read(place, self.cluster_size)
                for at in range(0, len(data), SECTOR):
                    yield place + at, data[at : at + SECTOR]

    def _check(self, cluster: int) -> None:
        if not FIRST <= cluster < self.clusters + FIRST:
            raise MalformedImageError(f"a chain leads to cluster {cluster}, which does not exist")


def little(data: bytes) -> array[int]:
    """Little-endian 32-bit figures."""
    import sys

    values = array("I")
    values.frombytes(data[: len(data) // 4 * 4])
    if sys.byteorder == "big":
        values.byteswap()
    return values
