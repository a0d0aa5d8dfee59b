"""Whether reading beside writing pays: the rule alone, with disks that are figures."""

from __future__ import annotations

import asyncio

import pytest

from luxusbd.stick.duplex import TRIAL, Duplex, Phase

MIB = 1024 * 1024


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Counted:
    """Bytes so far."""

    def __init__(self) -> None:
        self.written = self.read = 0

    def wrote(self, count: int) -> None:
        self.written += count

    def was_read(self, count: int) -> None:
        self.read += count


async def allowed(duplex: Duplex) -> tuple[bool, bool]:
    """Whether writing and reading may go on."""
    waiting = [asyncio.create_task(side.wait()) for side in (duplex.writing, duplex.reading)]
    for _turn in range(3):
        await asyncio.sleep(0)
    found = [task.done() for task in waiting]
    for task in waiting:
        task.cancel()
    return found[0], found[1]


def phase_of(duplex: Duplex) -> Phase:
    return duplex.phase


async def trial(
    duplex: Duplex, clock: Clock, alone: float, together: float, read_together: float, read_alone: float
) -> None:
    """Go through all phases with speeds in MiB a second."""
    duplex.ask()
    assert await allowed(duplex) == (True, False)
    clock.now += TRIAL / MIB / alone
    duplex.writing.count(TRIAL)
    assert phase_of(duplex) is Phase.BOTH
    assert await allowed(duplex) == (True, True)
    seconds = TRIAL / MIB / together
    clock.now += seconds
    duplex.reading.count(int(read_together * seconds * MIB))
    duplex.writing.count(TRIAL)
    assert phase_of(duplex) is Phase.READING
    assert await allowed(duplex) == (False, True)
    clock.now += TRIAL // 2 / MIB / read_alone
    duplex.reading.count(TRIAL // 2)


@pytest.mark.parametrize(
    ("speeds", "phase"),
    [
        # each for itself, as if the other were not there
        ((40, 40, 100, 100), Phase.TOGETHER),
        # half of the time each
        ((40, 20, 50, 100), Phase.APART),
        # the change from one to the other costs
        ((40, 10, 30, 100), Phase.APART),
        # the source is slower than the disk, which has time left
        ((10, 10, 60, 100), Phase.TOGETHER),
        # nothing came through beside the writes
        ((40, 40, 0, 100), Phase.APART),
    ],
)
async def test_what_is_measured_decides(speeds: tuple[float, float, float, float], phase: Phase) -> None:
    clock, counted = Clock(), Counted()
    duplex = Duplex(counted.wrote, counted.was_read, clock)
    await trial(duplex, clock, *speeds)
    assert phase_of(duplex) is phase
    assert await allowed(duplex) == (True, phase is Phase.TOGETHER)
    assert counted.written == 2 * TRIAL
    alone, together, read_together, read_alone = speeds
    assert duplex.worth == pytest.approx(together / alone + read_together / read_alone, rel=0.01)
    # and it stays so
    duplex.nothing_to_read()
    duplex.ask()
    assert phase_of(duplex) is phase
    duplex.nothing_to_write()
    assert await allowed(duplex) == (True, True)


async def test_before_there_is_something_to_read_only_writing_goes_on() -> None:
    duplex = Duplex(lambda _count: None, lambda _count: None, Clock())
    duplex.writing.count(10 * TRIAL)
    assert phase_of(duplex) is Phase.NOT_ASKED
    assert await allowed(duplex) == (True, False)


async def test_a_write_that_was_under_way_does_not_count_as_reading_alone() -> None:
    clock = Clock()
    duplex = Duplex(lambda _count: None, lambda _count: None, clock)
    duplex.ask()
    for _each in range(2):
        clock.now += 1
        duplex.reading.count(TRIAL // 2)
        duplex.writing.count(TRIAL)
    assert phase_of(duplex) is Phase.READING
    clock.now += 1000
    duplex.writing.count(4 * MIB)
    clock.now += 1
    duplex.reading.count(TRIAL // 2)
    assert duplex.worth == pytest.approx(1 + 0.5 / 0.5)


async def test_a_reader_who_is_done_leaves_nobody_waiting() -> None:
    clock = Clock()
    duplex = Duplex(lambda _count: None, lambda _count: None, clock)
    duplex.ask()
    for _each in range(2):
        clock.now += 1
        duplex.writing.count(TRIAL)
    assert await allowed(duplex) == (False, True)
    duplex.nothing_to_read()
    assert await allowed(duplex) == (True, False)
    duplex.ask()
    assert phase_of(duplex) is Phase.WRITING
