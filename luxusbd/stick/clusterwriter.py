"""Writes FAT32 and exFAT in an order that a power cut anywhere leaves whole; blocking.

What is promised, when a sector of 512 bytes is written as a whole or not at all, and `Blocks.flush` is a barrier:

- A file that no call names stays as it is, whatever is cut.
- `write_small` leaves the old content or the new one, and a new file is there as a whole or not at all. So does
  `make_directory`, and so does `publish` within a directory as long as both names lie in one sector, which `near` takes
  care of; otherwise there is a moment in which only the old name exists. Into another directory, or where a longer name
  has no room in the sector of the shorter one, there is a moment in which neither does.
- Two files never share a cluster. What a cut may leave is clusters that belong to nobody, marks of a dirty volume, a
  second table that lags behind the first, and a wrong count of free clusters.

So clusters and their chain are on the medium before the slot that names them; a file is put under its name, replaced or
renamed by one write to one sector; and clusters are given free only when no slot names them any more. The marks are
those of FAT 1.03 ("FAT[1]") and exFAT 1.00 (section 3.1.13.2). Neither specification asks for an order of its own
beyond setting and clearing them (exFAT 1.00, section 8.1, recommends one for a file that grows).
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from luxusbd.errors import DeviceDamagedError, InternalError, InvalidArgumentError, NotEnoughSpaceError
from luxusbd.stick.clusterblocks import SLOTS, Blocks, Spot, end_mark, in_one_sector, placed, without_rest
from luxusbd.stick.clusters import FIRST, SECTOR, SLOT, ClusterFilesystem, Entry, Run
from luxusbd.text import size_text

_FREE = re.compile(rb"\x00+")

F = TypeVar("F", bound=ClusterFilesystem)


class ClusterWriter(ABC, Generic[F]):
    """Changes one filesystem; a rename or a removal works on paths as `room.DataRoom` has them.

    Args:
        blocks: the partition.
        filesystem: what is on it, reading from `blocks`; clean.

    Raises:
        MalformedImageError: here and in every method: the filesystem is inconsistent.
        NotEnoughSpaceError: in the methods that write: too few clusters are free.
    """

    longest_name: int
    """Characters of a name whose slots fit into one sector."""

    def __init__(self, blocks: Blocks, filesystem: F) -> None:
        self.blocks = blocks
        self.fs = filesystem
        self.used = self._load_used()
        self._hint = FIRST
        self._dirty = False
        self._unsure = False

    # ---- what the two filesystems do differently

    @abstractmethod
    def _load_used(self) -> bytearray:
        """A byte for every cluster number, 0 for a free one."""

    @abstractmethod
    def _allocate(self, runs: Sequence[Run]) -> bool:
        """Note clusters as used, and chain them where needed; whether they lie in a row that needs no chain."""

    @abstractmethod
    def _end_chain(self, cluster: int) -> None:
        """Make the table say that nothing follows a cluster."""

    @abstractmethod
    def _release(self, runs: Sequence[Run]) -> None:
        """Note clusters as free."""

    @abstractmethod
    def _mark(self, *, dirty: bool) -> None:
        """Note that the volume is being written, or that it is whole; without a flush."""

    @abstractmethod
    def _new_slots(self, directory: Entry, name: str, *, is_directory: bool) -> list[bytes]:
        """The slots of a file without clusters."""

    @abstractmethod
    def _renamed(self, entry: Entry, directory: Entry, name: str, gone: Collection[int]) -> list[bytes]:
        """The slots of a finished file under another name; `gone` are places of slots that will be free by then."""

    @abstractmethod
    def _with_clusters(self, slots: Sequence[bytes], first: int, size: int, valid: int, *, row: bool) -> list[bytes]:
        """The slots of a file with other clusters."""

    @abstractmethod
    def _deleted(self, slot: bytes) -> bytes:
        """A slot that stands for nothing any more."""

    @abstractmethod
    def _is_free(self, slot: bytes) -> bool:
        """Whether a slot stands for nothing; the end mark does so too."""

    @abstractmethod
    def _key(self, entry: Entry) -> int:
        """The place of the slot without which the others are nothing."""

    @abstractmethod
    def _first_content(self, cluster: int, parent: Entry) -> bytes:
        """The beginning of a new directory."""

    @abstractmethod
    def _grow(self, directory: Entry) -> Entry:
        """A directory with one more, empty cluster, all of it flushed."""

    # ---- what is asked for

    def make_directory(self, path: str) -> None:
        """Make a directory unless it is there.

        Raises:
            DeviceDamagedError: a file has its name.
        """
        parent, name, entry = self._look(path)
        if entry is not None:
            if not entry.is_directory:
                raise DeviceDamagedError(f"{path} on the stick is no directory")
            return
        run = self.find_room(1)
        with self._changing():
            row = self._allocate(run)
            first = run[0].first
            self._clear(first, self._first_content(first, parent))
            self.blocks.flush()
            slots = self._new_slots(parent, name, is_directory=True)
            size = self.fs.cluster_size
            self._insert(parent, self._with_clusters(slots, first, size, size, row=row))
            self.blocks.flush()

    def write_small(self, path: str, data: bytes) -> None:
        """Write a file as a whole, in place of one that may be there."""
        parent, name, entry = self._look(path)
        self._check_file(path, entry)
        old = self._all_runs(entry)
        runs = self.find_room(-(-len(data) // self.fs.cluster_size))
        with self._changing():
            self._put_small(parent, name, entry, data, runs)
            self._release(old)

    def _put_small(self, parent: Entry, name: str, entry: Entry | None, data: bytes, runs: Sequence[Run]) -> None:
        row = self._allocate(runs)
        rest = memoryview(data + bytes(-len(data) % SECTOR))
        for run in runs:
            piece = rest[: run.count * self.fs.cluster_size]
            self.blocks.write(piece, self.fs.place(run.first))
            rest = rest[len(piece) :]
        self.blocks.flush()
        first = runs[0].first if runs else 0
        if entry is not None and in_one_sector(entry.slots):
            slots = self._with_clusters(entry.raw, first, len(data), len(data), row=row)
            self._patch(dict(zip(entry.slots, slots, strict=True)))
        else:
            if entry is not None:
                self._unlink(entry)
                self.blocks.flush()
            slots = self._new_slots(parent, name, is_directory=False)
            made = self._with_clusters(slots, first, len(data), len(data), row=row)
            self._insert(parent, made, near=self._sector_of(parent, name))
        self.blocks.flush()

    def allocate(self, path: str, size: int) -> tuple[Run, ...]:
        """Start a new file of `size` bytes, in place of one that may be there; where its clusters are."""
        self.remove(path)
        parent, name, _entry = self._look(path)
        runs = self.find_room(-(-size // self.fs.cluster_size))
        with self._changing():
            row = self._allocate(runs)
            self.blocks.flush()
            slots = self._new_slots(parent, name, is_directory=False)
            first = runs[0].first if runs else 0
            made = self._with_clusters(slots, first, size, 0, row=row)
            self._insert(parent, made, near=self._sector_of(parent, name))
        return tuple(runs)

    def publish(self, old: str, new: str) -> None:
        """Rename a file or directory, over a file that may be there.

        Raises:
            DeviceDamagedError: there is none of the old name, or a directory has the new one.
        """
        parent, _old, entry = self._look(old)
        directory, _new, target = self._look(new)
        if entry is None:
            raise DeviceDamagedError(f"there is no {old} on the stick any more; repair it")
        if target is not None and target.slots == entry.slots:
            target = None
        self._check_file(new, target)
        freed = self._all_runs(target)
        with self._changing():
            # what was written into it has to be there before the name says so
            self.blocks.flush()
            self._rename(entry, parent, directory, new, target)
            self.blocks.flush()
            self._release(freed)

    def _rename(self, entry: Entry, parent: Entry, directory: Entry, new: str, target: Entry | None) -> None:
        name = new.rpartition("/")[2]
        here = parent.first == directory.first
        gone = target.slots if target is not None else ()
        if not here or not self._replace_in_sector(entry, directory, name, gone):
            if target is not None:
                self._unlink(target)
                self.blocks.flush()
            if not here or not self._replace_in_sector(entry, directory, name, ()):
                slots = self._renamed(entry, directory, name, (*entry.slots, *gone))
                self._unlink(entry)
                self.blocks.flush()
                self._insert(self._again(directory, new), slots)

    def remove(self, path: str) -> None:
        """Remove a file if it is there.

        Raises:
            DeviceDamagedError: it is a directory.
        """
        _parent, _name, entry = self._look(path)
        if entry is None:
            return
        self._check_file(path, entry)
        runs = self._all_runs(entry)
        with self._changing():
            self._unlink(entry)
            self.blocks.flush()
            self._release(runs)

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory if it is there.

        Raises:
            DeviceDamagedError: it is a file, or something is in it.
        """
        _parent, _name, entry = self._look(path)
        if entry is None:
            return
        if not entry.is_directory or self.fs.list(path):
            raise DeviceDamagedError(f"{path} on the stick is no empty directory")
        runs = self._all_runs(entry)
        with self._changing():
            self._unlink(entry)
            self.blocks.flush()
            self._release(runs)

    def begin(self) -> None:
        """Note on the medium that the volume is being written, unless that was done."""
        if not self._dirty:
            self._mark(dirty=True)
            self.blocks.flush()
            self._dirty = True

    def finish(self) -> None:
        """Bring everything onto the medium, and note there that the volume is whole, unless a change broke off."""
        self.blocks.flush()
        if self._dirty and not self._unsure:
            self._mark(dirty=False)
            self.blocks.flush()
            self._dirty = False

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """A change of the volume: when it breaks off, the mark stays that makes the next one look through it."""
        self.begin()
        try:
            yield
        except BaseException:
            self._unsure = True
            raise

    def reclaim(self, lost: Iterable[Run], last: Iterable[int]) -> None:
        """End chains at the clusters `last`, and give clusters free that belong to nobody."""
        self.begin()
        for cluster in last:
            self._end_chain(cluster)
        self.blocks.flush()
        self._release(list(lost))

    # ---- clusters

    def find_room(self, count: int) -> list[Run]:
        """So many free clusters, in a row where there is one that is long enough."""
        if not count:
            return []
        end = self._end_of_room()
        free = self.used.count(0, 0, end)
        if count > free:
            cluster = self.fs.cluster_size
            raise NotEnoughSpaceError(
                f"{size_text(count * cluster)} do not fit into {size_text(free * cluster)} on the stick"
            )
        for start in (self._hint, FIRST):
            at = self.used.find(bytes(count), start, end)
            if at >= 0:
                self._hint = at + count
                return [Run(at, count)]
        found = (Run(match.start(), match.end() - match.start()) for match in _FREE.finditer(self.used, 0, end))
        spans = sorted(found, key=lambda run: -run.count)
        taken: list[Run] = []
        for span in spans:
            taken.append(Run(span.first, min(span.count, count)))
            count -= taken[-1].count
            if not count:
                break
        return sorted(taken, key=lambda run: run.first)

    def _end_of_room(self) -> int:
        """The first cluster number that no file gets."""
        return len(self.used)

    def _all_runs(self, entry: Entry | None) -> list[Run]:
        """The clusters that go with a file, those behind its end too."""
        if entry is None or not entry.first:
            return []
        if entry.contiguous:
            return list(self.fs.runs(entry))
        return list(self.fs.chain(entry.first, self.fs.clusters + 1, whole=True))

    def _clear(self, cluster: int, beginning: bytes = b"") -> None:
        self.blocks.write(beginning.ljust(self.fs.cluster_size, b"\0"), self.fs.place(cluster))

    # ---- slots

    def _look(self, path: str) -> tuple[Entry, str, Entry | None]:
        above, _slash, name = path.rpartition("/")
        parent = self.fs.lookup(above)
        if not name or not path.startswith("/"):
            raise InternalError(f"{path!r} is no path on a stick")
        if parent is None or not parent.is_directory:
            raise DeviceDamagedError(f"{above} on the stick is no directory")
        return parent, name, self.fs.find(parent, name)

    def _again(self, directory: Entry, path: str) -> Entry:
        found = self.fs.lookup(path.rpartition("/")[0])
        if found is None or found.first != directory.first:
            raise InternalError(f"{path!r} has moved")
        return found

    @staticmethod
    def _check_file(path: str, entry: Entry | None) -> None:
        if entry is not None and entry.is_directory:
            raise DeviceDamagedError(f"{path} on the stick is a directory")

    def _sector_of(self, parent: Entry, name: str) -> int | None:
        """The sector of the name that this one is to replace: what it is called without its last suffix."""
        other = self.fs.find(parent, name.rpartition(".")[0]) if "." in name else None
        return None if other is None else other.slots[-1] // SECTOR * SECTOR

    def _insert(self, directory: Entry, slots: Sequence[bytes], near: int | None = None) -> None:
        if len(slots) > SLOTS:
            raise InvalidArgumentError(
                f"a name on the stick may have {self.longest_name} characters, and this one is longer"
            )
        spot = self._spot(directory, len(slots), near)
        self.blocks.write(placed(spot, slots), spot.place)

    def _spot(self, directory: Entry, count: int, near: int | None) -> Spot:
        """Free slots in one sector of a directory, behind which its end mark stays one."""
        sectors = list(self.fs.sectors(directory))
        end = next((index for index, (_place, data) in enumerate(sectors) if end_mark(data) is not None), len(sectors))
        order = list(range(min(end + 1, len(sectors))))
        order.sort(key=lambda index: sectors[index][0] != near)
        for index in order:
            place, data = sectors[index]
            data = without_rest(data)
            start = self._span(data, count)
            if start is not None:
                if index == end:
                    self._keep_end(sectors[index + 1 :])
                return Spot(place, data, start)
        if end + 1 >= len(sectors):
            directory = self._grow(directory)
            if end >= len(sectors):
                return self._spot(directory, count, near)
            sectors = list(self.fs.sectors(directory))
        # the end mark moves to the next sector: what lies there must be nothing before it can be seen
        self._keep_end(sectors[end + 1 :])
        place, data = sectors[end]
        mark = end_mark(data) or 0
        filler = self._deleted(bytes(SLOT))
        self.blocks.write(data[: mark * SLOT] + filler * (SLOTS - mark), place)
        self.blocks.flush()
        return self._spot(directory, count, near)

    def _keep_end(self, following: Sequence[tuple[int, bytes]]) -> None:
        for place, data in following[:1]:
            if any(data):
                self.blocks.write(bytes(SECTOR), place)
                self.blocks.flush()

    def _span(self, data: bytes, count: int, free: Collection[int] = ()) -> int | None:
        """Where so many free slots begin in a sector."""
        length = 0
        for index in range(SLOTS):
            length = length + 1 if index in free or self._is_free(data[index * SLOT : (index + 1) * SLOT]) else 0
            if length == count:
                return index - count + 1
        return None

    def _replace_in_sector(self, entry: Entry, directory: Entry, name: str, gone: Collection[int]) -> bool:
        """Rename by one write, in which the slots `gone` go too; False where they do not lie in one sector."""
        places = (*entry.slots, *gone)
        if not in_one_sector(places):
            return False
        sector = places[0] // SECTOR * SECTOR
        slots = self._renamed(entry, directory, name, places)
        data = without_rest(self.blocks.read(sector, SECTOR))
        freed = {(place - sector) // SLOT for place in places}
        start = self._span(data, len(slots), freed)
        if start is None:
            return False
        if end_mark(data) is not None:
            sectors = list(self.fs.sectors(directory))
            here = next(index for index, (place, _data) in enumerate(sectors) if place == sector)
            self._keep_end(sectors[here + 1 :])
        pieces = [data[at : at + SLOT] for at in range(0, SECTOR, SLOT)]
        for index in freed:
            pieces[index] = self._deleted(pieces[index])
        self.blocks.write(placed(Spot(sector, b"".join(pieces), start), slots), sector)
        return True

    def _unlink(self, entry: Entry) -> None:
        """Take a file's name away, first by the slot that counts."""
        changes = {place: self._deleted(raw) for place, raw in zip(entry.slots, entry.raw, strict=True)}
        sector = self._key(entry) // SECTOR
        self._patch({place: slot for place, slot in changes.items() if place // SECTOR == sector})
        rest = {place: slot for place, slot in changes.items() if place // SECTOR != sector}
        if rest:
            self.blocks.flush()
            self._patch(rest)

    def _patch(self, changes: dict[int, bytes]) -> None:
        """Write slots, each sector by one write."""
        for sector in sorted({place // SECTOR for place in changes}):
            data = bytearray(self.blocks.read(sector * SECTOR, SECTOR))
            for place, slot in changes.items():
                if place // SECTOR == sector:
                    at = place % SECTOR
                    data[at : at + SLOT] = slot
            self.blocks.write(bytes(data), sector * SECTOR)


def now() -> float:
    """The time that new slots get."""
    return time.time()
