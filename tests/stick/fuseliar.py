"""A file that lies about its size, as counterfeit flash does: a FUSE filesystem of this one file.

    python -m tests.stick.fuseliar DISK LOG MOUNTPOINT REAL LIE [HABITS]

DISK has the size that is told; only its first REAL bytes keep what is written to them. LIE is one of `liars.Lie`.
HABITS are the fields of `Habits` as a JSON object. The log has the heads of its records alone. When the file is
unmounted, what was asked of it stands in DISK.count, as the fields of `Count`. See `tests.stick.fusedisk` for the rest.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import sys
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from tests.stick import fusedisk
from tests.stick.liars import WINDOW, Lie, Pace

_BLOCK = 4096
PACE = Pace(write=0.02, write_rate=40_000_000, read=0.0005, read_rate=100_000_000)
"""Of a stick that is neither good nor bad."""


@dataclass(frozen=True)
class Habits:
    """How a file behaves that lies."""

    pause: float = 0.0
    """Seconds that a write takes."""
    slow: tuple[int, int] = (0, 0)
    """The bytes, first and end, where a read takes a third of a second."""
    paced: bool = False
    """It takes the time that `PACE` says."""
    cache: int = 0
    """Bytes of the newest writes that it tells from its memory, wherever they were to go."""


@dataclass
class Count:
    """What was asked of it."""

    read: int = 0
    """Bytes."""
    written: int = 0
    seconds: float = 0.0
    """That a stick with this pace takes for it."""


@dataclass
class _Counter:
    count: Count = field(default_factory=Count)
    pace: Pace = PACE
    paced: bool = False
    _end: int = -1

    def read(self, offset: int, length: int) -> None:
        self.count.read += length
        self._took(offset, length, self.pace.read, self.pace.read_rate)

    def written(self, offset: int, length: int) -> None:
        self.count.written += length
        self._took(offset, length, self.pace.write, self.pace.write_rate)

    def _took(self, offset: int, length: int, alone: float, rate: int) -> None:
        seconds = length / rate + (0 if offset == self._end else alone)
        self.count.seconds += seconds
        if self.paced:
            time.sleep(seconds)
        self._end = offset + length


class FuseLiar(fusedisk.FuseDisk):
    """The server."""

    real = 0
    lie = Lie.NONE
    habits = Habits()
    counter = _Counter()

    def __init__(self, disk: Path, log: Path, device: int) -> None:
        super().__init__(disk, log, device)
        self._newest: OrderedDict[int, bytes] = OrderedDict()

    def read_disk(self, length: int, offset: int) -> bytes:
        self.counter.read(offset, length)
        if offset in range(*self.habits.slow):
            time.sleep(0.33)
        told = bytearray(b"".join(self._read_piece(at, count) for at, count in self._pieces(offset, length)))
        if self.habits.cache:
            for at in range(0, length, _BLOCK):
                if (newest := self._newest.get(offset + at)) is not None:
                    told[at : at + _BLOCK] = newest
        return bytes(told)

    def write_disk(self, data: memoryview, offset: int) -> int:
        self.counter.written(offset, len(data))
        time.sleep(self.habits.pause)
        if self.habits.cache:
            self._remember(data, offset)
        done = 0
        for at, count in self._pieces(offset, len(data)):
            self._write_piece(data[done : done + count], at)
            done += count
        return done

    def _record(self, kind: bytes, offset: int, data: memoryview) -> None:
        super()._record(kind, offset, data[:0])

    def _remember(self, data: memoryview, offset: int) -> None:
        for at in range(0, len(data), _BLOCK):
            self._newest[offset + at] = bytes(data[at : at + _BLOCK])
            self._newest.move_to_end(offset + at)
        while len(self._newest) * _BLOCK > self.habits.cache:
            self._newest.popitem(last=False)

    def _pieces(self, offset: int, length: int) -> list[tuple[int, int]]:
        """The parts of an access, each of which has one answer."""
        unit = WINDOW if self.lie is Lie.WINDOW else self.real
        found = []
        while length:
            count = min(length, unit - (offset - self.real) % unit)
            found.append((offset, count))
            offset, length = offset + count, length - count
        return found

    def _place(self, at: int) -> int:
        real = self.real
        if at < real or self.lie is Lie.NONE:
            return at
        return real - WINDOW + (at - real) % WINDOW if self.lie is Lie.WINDOW else at % real

    def _read_piece(self, at: int, count: int) -> bytes:
        if at < self.real or self.lie in (Lie.WRAPS, Lie.WINDOW):
            return super().read_disk(count, self._place(at))
        if self.lie is Lie.ERRORS:
            raise OSError(errno.EIO, "past the end")
        return bytes(count)

    def _write_piece(self, data: memoryview, at: int) -> None:
        if at < self.real or self.lie in (Lie.WRAPS, Lie.WINDOW):
            super().write_disk(data, self._place(at))
        elif self.lie is Lie.ERRORS:
            raise OSError(errno.EIO, "past the end")


def main(disk: str, log: str, mountpoint: str, real: str, lie: str, habits: str = "{}") -> None:
    FuseLiar.real, FuseLiar.lie, FuseLiar.habits = int(real), Lie(lie), Habits(**json.loads(habits))
    FuseLiar.counter.paced = FuseLiar.habits.paced
    fusedisk.main(disk, log, mountpoint, server=FuseLiar)
    Path(f"{disk}.count").write_text(json.dumps(dataclasses.asdict(FuseLiar.counter.count)))


if __name__ == "__main__":
    main(*sys.argv[1:])
