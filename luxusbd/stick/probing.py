"""What both ways of probing a disk are made of: a disk, and marks that are written to it and judged. Blocking.

`quickprobe` looks at blocks all over a disk, `fullprobe` at every one; `putback` undoes the quick way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from luxusbd.errors import DeviceNotFoundError, LuxusbError
from luxusbd.stick import capacity
from luxusbd.stick.capacity import BLOCK, Findings, Marks, Region, State
from luxusbd.stick.progress import Progress

CHUNK = 1024 * 1024
PER_CHUNK = CHUNK // BLOCK
PATIENCE = 8
"""Errors in a row after which what follows is taken for broken: the kernel tries each for up to half a minute."""
_MOST_REGIONS = 256
_FEW = 64
"""Slow stretches that are read again; more of them are no chance."""


class StoppedError(Exception):
    """Whoever asked for the probe wants no more of it."""


class Medium(Protocol):
    """A disk, past the page cache."""

    @property
    def size(self) -> int:
        """Bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes.

        Raises:
            DeviceNotFoundError: the disk is gone.
            LuxusbError: they cannot be read.
        """

    def write(self, offset: int, data: bytes | bytearray) -> None:
        """Put bytes there; errors as for `read`."""

    def flush(self) -> None:
        """Until this returns, the disk may lose what was written; errors as for `read`."""


@dataclass
class Prober:
    """One probe of a disk, and what it counted."""

    medium: Medium
    progress: Progress
    stopped: Callable[[], bool] = lambda: False
    """Asked often; once it is true, the probe ends with `StoppedError`."""
    clock: Callable[[], float] = time.monotonic
    """Seconds."""
    marks: Marks = field(default_factory=lambda: Marks(os.urandom(16)))
    checked: int = 0
    wrote: int = 0
    writing: float = 0.0
    fetched: int = 0
    reading: float = 0.0
    distance: int = 0
    """Blocks between a mark and where it was found, the smallest seen."""

    @property
    def blocks(self) -> int:
        """How many it says it has."""
        return self.medium.size // BLOCK

    def read(self, number: int, count: int = 1) -> bytes | None:
        """What is in blocks, None where that is an error."""
        self._check()
        try:
            return self.medium.read(number * BLOCK, count * BLOCK)
        except DeviceNotFoundError:
            raise
        except LuxusbError:
            return None

    def timed(self, number: int, count: int) -> tuple[bytes | None, float]:
        """What is in blocks, and how many seconds `CHUNK` bytes of that would take."""
        began = self.clock()
        data = self.read(number, count)
        passed = self.clock() - began
        if data is not None:
            self.reading += passed
            self.fetched += len(data)
        return data, passed / count * PER_CHUNK

    def slow(self, seconds: Mapping[tuple[int, int], float]) -> frozenset[int]:
        """Which of several stretches, (first block, blocks), are far slower to read than the others.

        Those that seem so are read again, up to three times: a machine that had something else to do says nothing
        about the disk.
        """
        again = dict(seconds)
        for _look in range(3):
            found = [place for place, slow in zip(again, capacity.slow([*again.values()]), strict=True) if slow]
            if len(found) > _FEW:
                break
            for place in found:
                data, passed = self.timed(*place)
                again[place] = min(again[place], passed) if data is not None else again[place]
        still = zip(again, capacity.slow([*again.values()]), strict=True)
        return frozenset(first for (first, _count), slow in still if slow)

    def write(self, number: int, data: bytes | bytearray) -> bool:
        """Put blocks there; False where that is an error."""
        self._check()
        try:
            self.medium.write(number * BLOCK, data)
        except DeviceNotFoundError:
            raise
        except LuxusbError:
            return False
        return True

    def flush(self) -> bool:
        """False where the disk says that something was lost; which of the blocks, reading them tells."""
        try:
            self.medium.flush()
        except DeviceNotFoundError:
            raise
        except LuxusbError:
            return False
        return True

    def judged(self, first: int, count: int, data: bytes | None, before: bytes | None) -> dict[int, State]:
        """What became of marked blocks that have `data` now and had `before`, by the first of those that are alike."""
        self.checked += count * BLOCK
        if data is None:
            return {first: State.FAILED}
        if data == self.marks.blocks(first, count):
            return {first: State.GOOD}
        states: dict[int, State] = {}
        last: State | None = None
        for index in range(count):
            place = slice(index * BLOCK, (index + 1) * BLOCK)
            number = first + index
            state = self.marks.judge(number, data[place], before[place] if before is not None else None)
            if state is State.WRAPPED:
                origin = self.marks.origin(data[place])
                assert origin is not None
                away = abs(origin - number)
                self.distance = min(self.distance or away, away)
            # a counterfeit disk has millions of bad blocks
            if state is not last:
                states[number] = last = state
        return states

    def findings(self, found: Sequence[Region], wraps: int) -> Findings:
        """What came of it; `wraps` is blocks after which the disk begins anew, where that was searched for."""
        if not wraps and self.distance:
            # the whole disk begins anew after that; or a part of its end answers for the rest, and all before is good
            good = next((index for index, region in enumerate(found) if not region.state.holds), len(found))
            last = found[good].start if good < len(found) and found[good].state is State.WRAPPED else 0
            wraps = max(self.distance, last // BLOCK)
        kind, holds = capacity.verdict(found, self.medium.size, wraps * BLOCK)
        return Findings(
            verdict=kind,
            size=self.medium.size,
            capacity=holds,
            regions=capacity.merged(found, _MOST_REGIONS),
            checked=self.checked,
            write_rate=int(self.wrote / self.writing) if self.writing else 0,
            read_rate=int(self.fetched / self.reading) if self.reading else 0,
        )

    def _check(self) -> None:
        if self.stopped():
            raise StoppedError


def chunks(first: int, end: int) -> list[tuple[int, int]]:
    """(first block, blocks) of the pieces in which the blocks [first, end) are read and written."""
    return [(at, min(PER_CHUNK, end - at)) for at in range(first, end, PER_CHUNK)]
