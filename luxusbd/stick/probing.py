"""Finds out what a disk really holds: quickly, with what is on it put back, or block by block. Blocking.

The quick way marks a stretch at the start and reads at the multiples of its length, which finds wrapping wherever it
is; then it marks blocks all over the disk, and narrows down where they begin to be lost. Between writing and reading
it writes the stretch at the start anew, so that a controller's cache has nothing of the marks left.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from luxusbd.errors import DeviceFailingError, DeviceNotFoundError, LuxusbError
from luxusbd.stick import capacity
from luxusbd.stick.capacity import BLOCK, Findings, Marks, Region, State
from luxusbd.stick.progress import Progress
from luxusbd.stick.saved import Saved
from luxusbd.text import size_text

CHUNK = 1024 * 1024
PER_CHUNK = CHUNK // BLOCK
STRETCH = 64 * 1024 * 1024
"""Bytes at most that are marked at the start; kept in memory until they are put back."""
CACHE = 32 * 1024 * 1024
"""Bytes that are written between marking and reading at least, on a disk that is large enough."""
SAMPLES = 128
"""Blocks that are marked all over the disk: a random 4 KiB write takes cheap flash a tenth of a second."""
NARROWING = 16
"""Blocks that are marked in one round of narrowing down where a disk ends."""
PATIENCE = 8
"""Errors in a row after which what follows is taken for broken: the kernel tries each for up to half a minute."""
MOST_REGIONS = 256


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
class _Probe:
    medium: Medium
    progress: Progress
    stopped: Callable[[], bool]
    clock: Callable[[], float]
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
        return self.medium.size // BLOCK

    def check(self) -> None:
        if self.stopped():
            raise StoppedError

    def read(self, number: int, count: int = 1) -> bytes | None:
        """What is in blocks, None where that is an error."""
        self.check()
        try:
            return self.medium.read(number * BLOCK, count * BLOCK)
        except DeviceNotFoundError:
            raise
        except LuxusbError:
            return None

    def write(self, number: int, data: bytes | bytearray) -> bool:
        self.check()
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
        kind, holds = capacity.verdict(found, self.medium.size, (wraps or self.distance) * BLOCK)
        return Findings(
            verdict=kind,
            size=self.medium.size,
            capacity=holds,
            regions=capacity.merged(found, MOST_REGIONS),
            checked=self.checked,
            write_rate=int(self.wrote / self.writing) if self.writing else 0,
            read_rate=int(self.fetched / self.reading) if self.reading else 0,
        )


def quick(
    medium: Medium,
    progress: Progress,
    *,
    saved: Saved | None,
    stopped: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> Findings:
    """Look at blocks all over a disk.

    Args:
        medium: the disk.
        progress: is told of bytes written and read.
        saved: keeps what was there, so that the caller can `put_back`; None where nothing is to be put back.
        stopped: asked often; once it is true, what was there is put back and the probe ends.
        clock: seconds.

    Raises:
        StoppedError: `stopped` said so.
        DeviceNotFoundError: the disk is gone, and the blocks that were marked with it.
        DeviceFailingError: what was on the disk could not be put back; the text says how much.
        LuxusbError: what is on it could not be kept, as when this machine's disk is full.
    """
    work = _Quick(_Probe(medium, progress, stopped, clock), saved)
    try:
        return work.run()
    except DeviceNotFoundError:
        raise
    except BaseException:
        if saved is not None:
            put_back(medium, progress, saved)
        raise


def put_back(medium: Medium, progress: Progress, saved: Saved) -> None:
    """Put back what a probe overwrote, this one or one that was cut; what was overwritten last goes first.

    What somebody else has written since, which shows by the marks that are not there any more, is left alone.

    Raises:
        DeviceNotFoundError: the disk is gone; `saved` keeps everything.
        DeviceFailingError: some of it could not be put back, and `saved` keeps it; the text says how much.
    """
    lost = 0
    marks = Marks(saved.salt)
    marks = Marks(saved.salt)
    for number, data in saved.newest_first():
        try:
            _put_back_one(medium, marks, number, data)
        except DeviceNotFoundError:
            raise
        except LuxusbError:
            lost += len(data)
        progress.advance(len(data))
    try:
        medium.flush()
    except DeviceNotFoundError:
        raise
    except LuxusbError as error:
        raise DeviceFailingError(f"what was on the disk could not be put back whole: {error}") from error
    if lost:
        raise DeviceFailingError(f"{size_text(lost)} of what was on the disk could not be put back")
    saved.clear()


def _put_back_one(medium: Medium, marks: Marks, number: int, data: bytes) -> None:
    there = medium.read(number * BLOCK, len(data))
    whole = bytearray(there)
    for index in range(len(data) // BLOCK):
        place = slice(index * BLOCK, (index + 1) * BLOCK)
        if marks.touched(number + index, there[place]):
            whole[place] = data[place]
    if whole != there:
        medium.write(number * BLOCK, whole)


def full(
    medium: Medium,
    progress: Progress,
    *,
    stopped: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> Findings:
    """Write all of a disk and read it back; nothing of what was on it is left.

    Args and errors are those of `quick`.
    """
    probe = _Probe(medium, progress, stopped, clock)
    again = _cached(probe.blocks)
    progress.expect((2 * probe.blocks + again) * BLOCK)
    progress.stage("write-marks")
    written = _fill(probe, probe.blocks)
    _fill(probe, min(again, written))
    progress.stage("read-back")
    states = _read_back(probe, written)
    return probe.findings(capacity.regions(sorted(states.items()), medium.size), 0)


class _Quick:
    def __init__(self, probe: _Probe, saved: Saved | None) -> None:
        self._probe = probe
        self._saved = saved
        self._readable: set[int] = set()
        """Where the pieces of the stretch begin that could be read, so that they may be overwritten."""
        self._steps = capacity.steps(probe.blocks, STRETCH // BLOCK)
        step = capacity.step(probe.blocks, STRETCH // BLOCK)
        self._stretch = max(min(step, probe.blocks), _cached(probe.blocks))
        self._expected = 0

    def run(self) -> Findings:
        probe = self._probe
        samples = min(SAMPLES, probe.blocks)
        self._expect(BLOCK * self._stretch * (5 if self._saved else 4) + BLOCK * len(self._steps))
        self._expect(samples * (CHUNK + BLOCK * (4 if self._saved else 3)))
        probe.progress.stage("probe", "its start")
        self._mark_start()
        probe.progress.stage("probe", "where it may begin anew")
        wraps = self._find_wrap()
        end = wraps or probe.blocks
        probe.progress.stage("probe", "all over it")
        looked_at = self._read_start()
        looked_at |= self._sample(capacity.spread(self._stretch, end, SAMPLES), end)
        while (gap := _gap(looked_at)) is not None:
            probe.progress.stage("probe", "where it ends")
            self._expect(BLOCK * (self._stretch + NARROWING * (4 if self._saved else 3)))
            looked_at |= self._look(capacity.spread(gap[0] + 1, gap[1], NARROWING))
        found = list(capacity.regions(sorted(looked_at.items()), wraps * BLOCK or probe.medium.size))
        if wraps:
            found.append(Region(wraps * BLOCK, probe.medium.size - wraps * BLOCK, State.WRAPPED))
        return probe.findings(found, wraps)

    def _expect(self, more: int) -> None:
        self._expected += more
        self._probe.progress.expect(self._expected)

    def _mark_start(self) -> None:
        probe = self._probe
        began = probe.clock()
        if self._saved is not None:
            self._saved.begin(probe.marks.salt)
        for first, count in _chunks(self._stretch):
            data = probe.read(first, count)
            if data is not None:
                self._readable.add(first)
                probe.fetched += len(data)
                if self._saved is not None:
                    self._saved.add(first, data)
            probe.progress.advance(count * BLOCK)
        probe.reading += probe.clock() - began
        if self._saved is not None:
            self._saved.settle()
        began = probe.clock()
        if self._write_start():
            probe.writing += probe.clock() - began
            probe.wrote += self._stretch * BLOCK

    def _write_start(self) -> bool:
        probe = self._probe
        good = True
        for first, count in _chunks(self._stretch):
            # what could not be read could not be put back either, and is left alone
            good &= first in self._readable and probe.write(first, probe.marks.blocks(first, count))
            probe.progress.advance(count * BLOCK)
        return probe.flush() and good

    def _find_wrap(self) -> int:
        """Blocks after which the disk begins anew, 0 where it does not."""
        probe = self._probe
        errors = 0
        for number in self._steps:
            if number < self._stretch:
                continue
            data = probe.read(number)
            probe.progress.advance(BLOCK)
            errors = errors + 1 if data is None else 0
            if errors >= PATIENCE:
                break
            origin = probe.marks.origin(data) if data is not None else None
            if origin is not None and origin < self._stretch:
                return number - origin
        return 0

    def _read_start(self) -> dict[int, State]:
        probe = self._probe
        states: dict[int, State] = {}
        for first, count in _chunks(self._stretch):
            states |= probe.judged(first, count, probe.read(first, count), None)
            probe.progress.advance(count * BLOCK)
        return states

    def _sample(self, numbers: Sequence[int], end: int) -> dict[int, State]:
        slow = self._slow(numbers, end)
        return {
            number: State.SLOW if state is State.GOOD and number in slow else state
            for number, state in self._look(numbers).items()
        }

    def _slow(self, numbers: Sequence[int], end: int) -> frozenset[int]:
        """The blocks among these at which reading on is far slower than at the others."""
        probe = self._probe
        seconds: dict[int, float] = {}
        errors = 0
        for number in numbers:
            probe.progress.advance(CHUNK)
            if errors >= PATIENCE:
                continue
            count = min(PER_CHUNK, end - number)
            began = probe.clock()
            data = probe.read(number, count)
            passed = probe.clock() - began
            if data is None:
                errors += 1
                continue
            errors = 0
            probe.reading += passed
            probe.fetched += len(data)
            seconds[number] = passed / count * PER_CHUNK
        return frozenset(
            number for number, slow in zip(seconds, capacity.slow([*seconds.values()]), strict=True) if slow
        )

    def _look(self, numbers: Sequence[int]) -> dict[int, State]:
        """Mark blocks and read them back."""
        probe = self._probe
        before: dict[int, bytes] = {}
        states: dict[int, State] = {}
        errors = 0
        for number in numbers:
            probe.progress.advance(BLOCK)
            data = probe.read(number) if errors < PATIENCE else None
            errors = 0 if data is not None else errors + 1
            if data is None:
                states[number] = State.FAILED
                continue
            before[number] = data
            if self._saved is not None and number not in self._saved:
                self._saved.add(number, data)
        if self._saved is not None:
            self._saved.settle()
        errors = 0
        for number in list(before):
            probe.progress.advance(BLOCK)
            good = errors < PATIENCE and probe.write(number, probe.marks.blocks(number, 1))
            errors = 0 if good else errors + 1
            if not good:
                states[number] = State.FAILED
                del before[number]
        probe.flush()
        self._write_start()
        for number, old in before.items():
            states |= probe.judged(number, 1, probe.read(number), old)
            probe.progress.advance(BLOCK)
        return states


def _gap(looked_at: Mapping[int, State]) -> tuple[int, int] | None:
    """The last block that holds and the first of those at the end that do not, while others lie in between."""
    ordered = sorted(looked_at)
    losing = capacity.tail([looked_at[number] for number in ordered])
    if not 0 < losing < len(ordered):
        return None
    last, first = ordered[-losing - 1], ordered[-losing]
    return (last, first) if first - last > 1 else None


def _chunks(blocks: int) -> list[tuple[int, int]]:
    """(first block, blocks) of the pieces in which a stretch from the start is read and written."""
    return [(first, min(PER_CHUNK, blocks - first)) for first in range(0, blocks, PER_CHUNK)]


def _cached(blocks: int) -> int:
    """How many blocks are written so that a controller's cache has none left of what was written before."""
    return min(CACHE // BLOCK, blocks // 64)


def _fill(probe: _Probe, blocks: int) -> int:
    """Mark the first blocks; how many of them were tried."""
    errors = 0
    began = probe.clock()
    for first, count in _chunks(blocks):
        good = probe.write(first, probe.marks.blocks(first, count))
        probe.progress.advance(count * BLOCK)
        probe.wrote += count * BLOCK if good else 0
        errors = 0 if good else errors + 1
        if errors >= PATIENCE:
            probe.flush()
            probe.writing += probe.clock() - began
            return first + count
    probe.flush()
    probe.writing += probe.clock() - began
    return blocks


def _read_back(probe: _Probe, written: int) -> dict[int, State]:
    states: dict[int, State] = {}
    seconds: dict[int, float] = {}
    for first, count in _chunks(written):
        began = probe.clock()
        data = probe.read(first, count)
        passed = probe.clock() - began
        probe.progress.advance(count * BLOCK)
        states |= probe.judged(first, count, data, None)
        if data is not None:
            probe.reading += passed
            probe.fetched += len(data)
            seconds[first] = passed / count * PER_CHUNK
    for first, slow in zip(seconds, capacity.slow([*seconds.values()]), strict=True):
        if slow and states[first] is State.GOOD:
            states[first] = State.SLOW
    if written < probe.blocks:
        states[written] = State.FAILED
    return states
