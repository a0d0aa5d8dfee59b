"""Finds out quickly what a disk really holds, by blocks all over it. Blocking.

It marks a stretch at the start and reads at the multiples of its length, which finds wrapping wherever it is; then it
marks blocks all over the disk, and narrows down where they begin to be lost. Between writing and reading it writes the
stretch at the start anew, so that a controller's cache has nothing of the marks left.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence

from luxusbd.errors import DeviceNotFoundError, NotEnoughSpaceError
from luxusbd.stick import capacity
from luxusbd.stick.capacity import BLOCK, Findings, Region, State
from luxusbd.stick.probing import CHUNK, PATIENCE, PER_CHUNK, Prober, chunks
from luxusbd.stick.putback import put_back
from luxusbd.stick.saved import Saved

STEPS = 32 * 1024 * 1024
"""Bytes at most that are marked at the start for the search of where the disk begins anew."""
LEAST = 32 * 1024 * 1024
MOST = 512 * 1024 * 1024
SECONDS = 4
"""The stretch at the start has at least LEAST bytes, at most MOST, and in between what the disk writes in so many
seconds: what a controller can keep in a cache is written fast. On a small disk it is less."""
SAMPLES = 128
"""Blocks that are marked all over the disk: a random 4 KiB write takes cheap flash a tenth of a second."""
NARROWING = 16
"""Blocks that are marked in one round of narrowing down where a disk ends."""


def quick(probe: Prober, saved: Saved | None) -> Findings:
    """Look at blocks all over a disk.

    Args:
        probe: of the disk. When it is stopped, what was on the disk is put back before the probe ends.
        saved: keeps what was there, so that the caller can `put_back`; None where nothing is to be put back.

    Raises:
        StoppedError: `probe.stopped` said so.
        DeviceNotFoundError: the disk is gone, and the blocks that were marked with it.
        DeviceFailingError: what was on the disk could not be put back; the text says how much.
        LuxusbError: what is on it could not be kept, as when this machine's disk is full.
    """
    try:
        return _Quick(probe, saved).run()
    except DeviceNotFoundError:
        raise
    except BaseException:
        if saved is not None:
            put_back(probe.medium, probe.progress, saved)
        raise


class _Quick:
    def __init__(self, probe: Prober, saved: Saved | None) -> None:
        self._probe = probe
        self._saved = saved
        self._readable: set[int] = set()
        """Where the pieces of the stretch begin that could be read, so that they may be overwritten."""
        self._refused: set[int] = set()
        """Where the pieces begin that the disk did not take at some time."""
        self._pieces: list[tuple[int, int]] = []
        """(first, count) of the blocks of the stretch."""
        self._expected = 0

    @property
    def _stretch(self) -> int:
        """Blocks of it."""
        return sum(count for _first, count in self._pieces)

    def run(self) -> Findings:
        probe = self._probe
        samples = min(SAMPLES, probe.blocks)
        steps = capacity.steps(probe.blocks, STEPS // BLOCK)
        self._expect(BLOCK * len(steps) + samples * CHUNK)
        self._expect_marks(samples + probe.blocks.bit_length())
        probe.progress.stage("probe", "its start")
        self._mark_start()
        probe.progress.stage("probe", "where it may begin anew")
        wraps = self._find_wrap(steps)
        end = wraps or probe.blocks
        probe.progress.stage("probe", "all over it")
        early, late = self._parts()
        # what was written last is read when something else has been: else a cache would answer
        looked_at = self._read_start(early)
        looked_at |= self._sample(capacity.spread(self._stretch, end, SAMPLES), end)
        self._write(early)
        looked_at |= self._read_start(late)
        if not wraps and probe.distance:
            wraps = self._find_window(looked_at)
            looked_at = {number: state for number, state in looked_at.items() if number < wraps}
        while (gap := _gap(looked_at)) is not None:
            probe.progress.stage("probe", "where it ends")
            self._expect(BLOCK * self._stretch)
            self._expect_marks(NARROWING)
            looked_at |= self._look(capacity.spread(gap[0] + 1, gap[1], NARROWING), lost=gap[1])
        found = list(capacity.regions(sorted(looked_at.items()), wraps * BLOCK or probe.medium.size))
        if wraps:
            found.append(Region(wraps * BLOCK, probe.medium.size - wraps * BLOCK, State.WRAPPED))
        return probe.findings(found, wraps)

    def _expect(self, more: int) -> None:
        self._expected += more
        self._probe.progress.expect(self._expected)

    def _expect_marks(self, blocks: int) -> None:
        # read, marked and read; put back, and looked at once more
        self._expect(BLOCK * blocks * (5 if self._saved is not None else 3))

    def _mark_start(self) -> None:
        blocks = self._probe.blocks
        if self._saved is not None:
            self._saved.begin(self._probe.marks.salt)
        step = capacity.step(blocks, STEPS // BLOCK)
        least = max(min(step, blocks), min(LEAST // BLOCK, blocks // 64))
        self._stretch_to(least // 2)
        self._stretch_to(least)
        most = min(MOST // BLOCK, blocks // 16)
        if self._saved is not None:
            # this machine's disk is needed for other things, too
            most = min(most, self._saved.room() // 4 // BLOCK)
        if self._probe.writing:
            most = min(most, int(SECONDS * self._probe.wrote / self._probe.writing) // BLOCK)
        try:
            self._stretch_to(most)
        except NotEnoughSpaceError:
            # none of what could not be kept was overwritten
            return

    def _stretch_to(self, end: int) -> None:
        """Keep what is in the blocks after the stretch up to `end`, and mark them."""
        probe = self._probe
        pieces = chunks(self._stretch, end)
        blocks = sum(count for _first, count in pieces)
        self._expect_marks(blocks)
        # before the samples are read, and before the start is read itself
        self._expect(2 * BLOCK * blocks)
        errors = 0
        for first, count in pieces:
            began = probe.clock()
            data = probe.read(first, count) if errors < PATIENCE else None
            errors = 0 if data is not None else errors + 1
            if data is not None:
                probe.reading += probe.clock() - began
                probe.fetched += len(data)
                if self._saved is not None:
                    self._saved.add(first, data)
                self._readable.add(first)
            probe.progress.advance(count * BLOCK)
        if self._saved is not None:
            self._saved.settle()
        began = probe.clock()
        if pieces and self._write(pieces):
            probe.writing += probe.clock() - began
            probe.wrote += BLOCK * blocks
        self._pieces += pieces

    def _parts(self) -> tuple[Sequence[tuple[int, int]], Sequence[tuple[int, int]]]:
        """The pieces of the stretch in two parts, the first of them a third or more of it."""
        part = next((at for at, (first, _count) in enumerate(self._pieces) if 3 * first >= self._stretch), 0)
        return self._pieces[:part], self._pieces[part:]

    def _write(self, pieces: Sequence[tuple[int, int]]) -> bool:
        """Mark pieces of the stretch; whether all of it went well."""
        probe = self._probe
        good = True
        errors = 0
        for first, count in pieces:
            # what could not be read could not be put back either, and is left alone
            if first not in self._readable or errors >= PATIENCE:
                good = False
                self._refused.add(first)
            elif probe.write(first, probe.marks.blocks(first, count)):
                errors = 0
            else:
                good = False
                errors += 1
                self._refused.add(first)
            probe.progress.advance(count * BLOCK)
        return probe.flush() and good

    def _find_wrap(self, steps: Sequence[int]) -> int:
        """Blocks after which the disk begins anew, 0 where it does not."""
        probe = self._probe
        errors = 0
        for number in steps:
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

    def _find_window(self, looked_at: Mapping[int, State]) -> int:
        """The first block that another one overwrites, where a part of the end answers for all that follows."""
        probe = self._probe
        last, apart = probe.blocks - 1, probe.distance
        first = min(number for number, state in looked_at.items() if state is State.WRAPPED)
        good = max((number for number, state in looked_at.items() if number < first and state.holds), default=-1)
        while first - good > 1:
            probe.progress.stage("probe", "where it ends")
            self._expect(BLOCK * self._stretch)
            self._expect_marks(2 * NARROWING)
            numbers = capacity.spread(good + 1, first, NARROWING)
            # each with one far behind it that is in its place, if it has no place of its own
            states = self._look(sorted({*numbers, *(number + (last - number) // apart * apart for number in numbers)}))
            bad = [number for number in numbers if not states[number].holds]
            first = min([first, *bad])
            good = max([good, *(number for number in numbers if number < first)])
        return first

    def _read_start(self, pieces: Sequence[tuple[int, int]]) -> dict[int, State]:
        probe = self._probe
        states: dict[int, State] = {}
        errors = 0
        for first, count in pieces:
            data = probe.read(first, count) if errors < PATIENCE and first not in self._refused else None
            errors = 0 if data is not None else errors + 1
            states |= probe.judged(first, count, data, None)
            probe.progress.advance(count * BLOCK)
        return states

    def _sample(self, numbers: Sequence[int], end: int) -> dict[int, State]:
        slow = self._slow(numbers, end)
        looked_at = self._look(sorted({*numbers, *capacity.twins(self._stretch, end)}))
        for number, state in looked_at.items():
            # a twin is as fast as its surroundings, of which one of the numbers tells
            if state is State.GOOD and numbers[bisect.bisect_right(numbers, number) - 1] in slow:
                looked_at[number] = State.SLOW
        return looked_at

    def _slow(self, numbers: Sequence[int], end: int) -> frozenset[int]:
        """The blocks among these at which reading on is far slower than at the others."""
        probe = self._probe
        seconds: dict[tuple[int, int], float] = {}
        errors = 0
        for number in numbers:
            probe.progress.advance(CHUNK)
            if errors >= PATIENCE:
                continue
            count = min(PER_CHUNK, end - number)
            data, passed = probe.timed(number, count)
            errors = 0 if data is not None else errors + 1
            if data is not None:
                seconds[number, count] = passed
        return probe.slow(seconds)

    def _look(self, numbers: Sequence[int], lost: int | None = None) -> dict[int, State]:
        """Mark blocks and read them back; `lost` is one that was found to hold nothing."""
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
        if lost is None or self._remembers(lost):
            self._write(self._pieces)
        for number, old in before.items():
            states |= probe.judged(number, 1, probe.read(number), old)
            probe.progress.advance(BLOCK)
        return states

    def _remembers(self, number: int) -> bool:
        """Whether the disk tells a mark that it does not hold, while it is the last thing that was written."""
        probe = self._probe
        if self._saved is not None and number not in self._saved:
            return True
        if not probe.write(number, probe.marks.blocks(number, 1)) or not probe.flush():
            return False
        data = probe.read(number)
        return data is not None and probe.marks.judge(number, data) is State.GOOD


def _gap(looked_at: Mapping[int, State]) -> tuple[int, int] | None:
    """The last block that holds and the first of those at the end that do not, while others lie in between."""
    ordered = sorted(looked_at)
    losing = capacity.tail([looked_at[number] for number in ordered])
    if not 0 < losing < len(ordered):
        return None
    last, first = ordered[-losing - 1], ordered[-losing]
    return (last, first) if first - last > 1 else None
