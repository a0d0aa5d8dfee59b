"""Finds out what a disk really holds by writing all of it and reading it back. Blocking."""

from __future__ import annotations

from collections.abc import Callable

from luxusbd.stick import capacity
from luxusbd.stick.capacity import BLOCK, Findings, State
from luxusbd.stick.probing import PATIENCE, Prober, chunks

CACHE = 1024 * 1024 * 1024
"""Bytes that are written once more before others are read, so that no controller's cache tells what is no more; a
quarter of the disk at most."""
LONG = 60
"""Seconds that errors in a row may take until what follows is taken for broken, too."""


def full(probe: Prober) -> Findings:
    """Write all of a disk and read it back; nothing of what was on it is left.

    Raises:
        StoppedError: `probe.stopped` said so.
        DeviceNotFoundError: the disk is gone.
    """
    again = min(CACHE // BLOCK, probe.blocks // 4)
    probe.progress.expect((2 * probe.blocks + 2 * again) * BLOCK)
    probe.progress.stage("write-marks")
    written = _fill(probe, 0, probe.blocks)
    again = min(again, written // 2)
    _fill(probe, 0, again)
    probe.progress.stage("read-back")
    states = _read_back(probe, again, written)
    # the start in its turn
    _fill(probe, again, 2 * again)
    states |= _read_back(probe, 0, again)
    if written < probe.blocks:
        states[written] = State.FAILED
    return probe.findings(capacity.regions(sorted(states.items()), probe.medium.size), 0)


class _Patience:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._errors = 0
        self._since = clock()

    def told(self, *, good: bool) -> None:
        if good:
            self._errors = 0
            self._since = self._clock()
        else:
            self._errors += 1

    @property
    def ended(self) -> bool:
        return self._errors >= PATIENCE and self._clock() - self._since > LONG


def _fill(probe: Prober, first: int, end: int) -> int:
    """Mark the blocks [first, end); how many of them were tried."""
    patience = _Patience(probe.clock)
    began = probe.clock()
    tried = 0
    for at, count in chunks(first, end):
        good = probe.write(at, probe.marks.blocks(at, count))
        probe.progress.advance(count * BLOCK)
        probe.wrote += count * BLOCK if good else 0
        tried += count
        patience.told(good=good)
        if patience.ended:
            break
    probe.flush()
    probe.writing += probe.clock() - began
    return tried


def _read_back(probe: Prober, first: int, end: int) -> dict[int, State]:
    states: dict[int, State] = {}
    seconds: dict[tuple[int, int], float] = {}
    patience = _Patience(probe.clock)
    for at, count in chunks(first, end):
        data, passed = probe.timed(at, count)
        probe.progress.advance(count * BLOCK)
        states |= probe.judged(at, count, data, None)
        patience.told(good=data is not None)
        if patience.ended:
            # those that follow get the state of this one
            return states
        if data is not None:
            seconds[at, count] = passed
    for at in probe.slow(seconds):
        if states.get(at) is State.GOOD:
            states[at] = State.SLOW
    return states
