"""Workers that keep together, and those that drop out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luxusbd.errors import InterruptedJobError
from luxusbd.jobs import lockstep
from luxusbd.jobs.lockstep import FREE, Lockstep, Pack

MIB = 1 << 20
CHUNK = 4 * MIB
WINDOW = 64 * MIB


@dataclass
class Stick:
    """A worker that takes a chunk every so many seconds, when it may."""

    name: str
    pause: float
    """Seconds that a chunk takes it."""
    hangs_at: int = 1 << 60
    """Bytes from which on it does nothing more."""
    at: int = 0
    ready: float = 0.0
    done_at: float = -1.0

    def wants(self, total: int) -> int:
        return min(self.at + CHUNK, total)


def run(sticks: list[Stick], total: int, *, patience: float = 20.0, until: float = 1e6, step: float = 0.05) -> Lockstep:
    """Let them read to the end, or until that time; asserts what has to hold at every moment."""
    rule = Lockstep([stick.name for stick in sticks], total, WINDOW, patience)
    now = 0.0
    while now < until and any(stick.done_at < 0 and stick.at < stick.hangs_at for stick in sticks):
        now += step
        for stick in sticks:
            while stick.done_at < 0 and stick.ready <= now and stick.at < stick.hangs_at:
                wants = stick.wants(total)
                rule.told(stick.name, stick.at, wants, now)
                limit = rule.limit(stick.name)
                if limit != FREE and wants > limit:
                    break
                stick.at, stick.ready = wants, max(stick.ready, now - step) + stick.pause
                if stick.at == total:
                    stick.done_at = now
        rule.tick(now)
        together = [stick.at for stick in sticks if stick.name in rule.in_step]
        if together:
            assert max(together) - min(together) <= WINDOW + CHUNK
    return rule


def test_equal_sticks_stay_together_and_nobody_waits() -> None:
    sticks = [Stick(f"s{number}", 0.2 + number / 100) for number in range(8)]
    rule = run(sticks, 2000 * MIB)
    assert rule.dropped == []
    assert all(stick.done_at > 0 for stick in sticks)


def test_one_that_hangs_holds_the_others_for_its_patience_and_no_longer() -> None:
    sticks = [Stick("a", 0.1), Stick("b", 0.1), Stick("c", 0.1, hangs_at=40 * MIB)]
    rule = run(sticks, 1000 * MIB)
    assert rule.dropped == ["c"]
    # 250 chunks of 0.1 s, and the patience
    assert sticks[0].done_at == pytest.approx(25 + 20, abs=3)


def test_one_that_is_much_slower_drops_out() -> None:
    sticks = [Stick("a", 0.1), Stick("b", 0.1), Stick("c", 0.5)]
    assert run(sticks, 4000 * MIB).dropped == ["c"]
    assert sticks[0].done_at < sticks[2].done_at / 2


def test_one_that_is_a_little_slower_stays_and_sets_the_pace() -> None:
    sticks = [Stick("a", 0.1), Stick("b", 0.1), Stick("c", 0.15)]
    assert run(sticks, 8000 * MIB).dropped == []
    assert sticks[0].done_at == pytest.approx(sticks[2].done_at, rel=0.1)


def test_a_single_fast_one_waits_and_does_not_break_up_the_pack() -> None:
    sticks = [Stick("fast", 0.01), *(Stick(f"s{number}", 0.3) for number in range(7))]
    assert run(sticks, 2000 * MIB).dropped == []


def test_two_that_are_slow_drop_out_one_after_the_other() -> None:
    sticks = [*(Stick(f"s{number}", 0.1) for number in range(5)), Stick("x", 1), Stick("y", 1)]
    assert set(run(sticks, 8000 * MIB).dropped) == {"x", "y"}


def test_who_is_through_is_not_counted_among_those_whom_nobody_holds() -> None:
    # three that were let off have read everything; of the two that are left, one hangs
    rule = Lockstep(["a", "b", "c", "d", "e"], 100 * MIB, WINDOW, 10)
    for name in "abcde":
        rule.told(name, 40 * MIB, 44 * MIB, 0)
    for name in "abc":
        rule.told(name, 96 * MIB, 100 * MIB, 1)
    assert rule.in_step == {"d", "e"}


def test_time_in_which_all_are_paused_does_not_count() -> None:
    rule = Lockstep(["a", "b"], 1000 * MIB, WINDOW, 10)
    rule.told("b", 0, CHUNK, 0)
    rule.told("a", WINDOW, WINDOW + CHUNK, 1)
    rule.tick(6)
    rule.stand_still()
    rule.tick(1000)
    assert rule.dropped == []
    rule.tick(1006)
    assert rule.dropped == ["b"]
    assert rule.limit("a") == rule.limit("b") == FREE


def test_most_of_them_may_hang_and_the_rest_goes_on() -> None:
    sticks = [Stick("a", 0.1), *(Stick(f"h{number}", 0.1, hangs_at=8 * MIB) for number in range(5))]
    assert set(run(sticks, 400 * MIB, until=200).dropped) == {f"h{number}" for number in range(4)} | {"h4"}
    assert sticks[0].done_at < 10 + 20 * 2


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from([0.05, 0.1, 0.13, 0.2, 0.5, 3.0]), min_size=1, max_size=6),
    st.lists(st.integers(0, 60), max_size=3),
    st.integers(1, 60),
)
def test_whatever_the_sticks_are_like_all_come_to_their_end(
    pauses: list[float], hanging: list[int], chunks: int
) -> None:
    sticks = [Stick(f"s{number}", pause) for number, pause in enumerate(pauses)]
    sticks += [Stick(f"h{number}", 0.1, hangs_at=at * CHUNK) for number, at in enumerate(hanging)]
    total = chunks * CHUNK
    # the slowest one's own time, and what each that drops out can cost
    run(sticks, total, until=chunks * max(pauses) + 22 * len(sticks) + 5, step=0.5)
    assert [stick.name for stick in sticks if stick.done_at < 0 and stick.hangs_at >= total] == []


@given(st.integers(0, 1 << 40))
def test_the_window_is_bounded_and_lets_the_last_one_read(available: int) -> None:
    assert 2 * CHUNK <= lockstep.LEAST <= lockstep.window(available) <= lockstep.MOST


def test_this_machine_tells_its_memory() -> None:
    assert lockstep.available_memory() > 0


async def test_members_are_told_as_the_others_go_on() -> None:
    told: dict[str, list[int]] = {"a": [], "b": []}

    def send(name: str, limit: int) -> None:
        told[name].append(limit)

    async def a(limit: int) -> None:
        send("a", limit)

    async def b(limit: int) -> None:
        send("b", limit)

    drops: list[str] = []
    pack = Pack(Lockstep(["a", "b"], 1000 * MIB, WINDOW), drops.append)
    async with pack.member("a", a):
        async with pack.member("b", b):
            await _settle()
            assert told == {"a": [WINDOW], "b": [WINDOW]}
            pack.told("a", 8 * MIB, 12 * MIB)
            await _settle()
            assert told["a"] == [WINDOW]
            pack.told("b", 8 * MIB, 12 * MIB)
            await _settle()
            assert told["a"] == told["b"] == [WINDOW, WINDOW + 8 * MIB]
        await _settle()
        # nobody is left to keep together with
        assert told["a"][-1] == FREE
    assert drops == []


async def test_time_alone_drops_one_that_hangs_and_it_is_told() -> None:
    now = 0.0
    drops: list[str] = []
    pack = Pack(Lockstep(["a", "b"], 1000 * MIB, WINDOW), drops.append, clock=lambda: now)
    free = asyncio.Event()

    async def a(limit: int) -> None:
        if limit == FREE:
            free.set()

    async def gone(_limit: int) -> None:
        raise InterruptedJobError("the process is gone")

    async with pack.member("a", a), pack.member("b", gone):
        pack.told("a", WINDOW, WINDOW + CHUNK)
        now = 21.0
        async with asyncio.timeout(30):
            await free.wait()
    assert drops == ["b"]


async def _settle() -> None:
    for _turn in range(10):
        await asyncio.sleep(0)
