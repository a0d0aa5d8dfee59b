"""Limits of rate and number; times are simulated, so that no test depends on how busy the machine is."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from luxusbd.transfer.gate import Claimant, HostGate
from luxusbd.transfer.pace import BUCKET_DEPTH, Control, RateMeter, RateWatch, TokenBucket, Turn


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Its clock jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        self.now = 100.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self.now


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            self._loop.now += timeout
        return super().select(0)


def simulate(main: Callable[[SimulatedLoop], Awaitable[None]]) -> None:
    loop = SimulatedLoop()

    async def run() -> None:
        await main(loop)

    try:
        loop.run_until_complete(run())
    finally:
        loop.close()


@given(st.integers(1000, 10**8), st.lists(st.integers(1, 300_000), min_size=1, max_size=20))
def test_bucket_keeps_the_rate(rate: int, sizes: list[int]) -> None:
    async def main(loop: SimulatedLoop) -> None:
        bucket = TokenBucket(rate)
        began = loop.time()
        for size in sizes:
            await bucket.pay(size)
        took = loop.time() - began
        wanted = sum(sizes) / rate
        assert wanted - BUCKET_DEPTH - 0.01 <= took <= wanted + 0.01

    simulate(main)


def test_bucket_without_limit_never_waits() -> None:
    async def main(loop: SimulatedLoop) -> None:
        bucket = TokenBucket()
        for _ in range(100):
            await bucket.pay(10**9)
        assert loop.time() == 100.0

    simulate(main)


def test_a_new_rate_counts_for_those_who_wait() -> None:
    async def main(loop: SimulatedLoop) -> None:
        bucket = TokenBucket(10)
        waiting = asyncio.create_task(bucket.pay(10**6))
        await asyncio.sleep(5)
        assert not waiting.done()
        bucket.set_rate(0)
        await waiting
        assert loop.time() < 106

    simulate(main)


def test_shared_bucket_limits_the_sum() -> None:
    async def main(loop: SimulatedLoop) -> None:
        bucket = TokenBucket(1000)

        async def use() -> None:
            for _ in range(10):
                await bucket.pay(100)

        await asyncio.gather(*(use() for _ in range(5)))
        assert 4.8 <= loop.time() - 100 <= 5.2

    simulate(main)


def test_control() -> None:
    async def main(_loop: SimulatedLoop) -> None:
        control = Control()
        await control.wait_running()
        control.pause()
        assert control.paused
        await control.wait_paused()
        control.resume()
        assert not control.paused
        await control.wait_running()
        control.set_priority(3)
        assert control.claimant.priority == 3

    simulate(main)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_watch_needs_a_whole_window() -> None:
    clock = Clock()
    watch = RateWatch(30, 10_000, clock)
    for _ in range(29):
        watch.begin()
        clock.now += 1
        watch.end(100)
        assert not watch.too_slow
    watch.begin()
    clock.now += 1
    watch.end(100)
    assert watch.too_slow


def test_watch_forgets_an_old_burst() -> None:
    clock = Clock()
    watch = RateWatch(30, 10_000, clock)
    watch.begin()
    watch.end(8 * 1024 * 1024)
    for _ in range(29):
        watch.begin()
        clock.now += 1
        watch.end(2000)
    assert not watch.too_slow
    watch.begin()
    clock.now += 1
    watch.end(2000)
    assert watch.too_slow


def test_watch_does_not_count_our_own_breaks() -> None:
    clock = Clock()
    watch = RateWatch(30, 10_000, clock)
    for _ in range(100):
        watch.begin()
        clock.now += 0.01
        watch.end(1000)
        clock.now += 10
    assert not watch.too_slow


def test_gate_holds_the_limits() -> None:
    async def main(_loop: SimulatedLoop) -> None:
        gate = HostGate(2, 3)
        running: list[str] = []
        most: dict[str, int] = {}

        async def use(host: str) -> None:
            async with gate.slot(host):
                running.append(host)
                most[host] = max(most.get(host, 0), running.count(host))
                most["all"] = max(most.get("all", 0), len(running))
                await asyncio.sleep(1)
                running.remove(host)

        await asyncio.gather(*(use(host) for host in ["a"] * 5 + ["b"] * 5))
        assert most == {"a": 2, "b": 2, "all": 3}

    simulate(main)


def test_gate_learns_from_refusals() -> None:
    async def main(_loop: SimulatedLoop) -> None:
        gate = HostGate(4, 16)
        assert not gate.too_many("a")
        async with gate.slot("a"):
            # alone: the number of connections is not the reason
            assert not gate.too_many("a")
            async with gate.slot("a"), gate.slot("a"):
                assert gate.too_many("a")
                assert gate.limit("a") == 2
        assert gate.limit("b") == 4
        gate.served("a")
        assert gate.limit("a") == 3

    simulate(main)


def test_gate_lets_the_urgent_and_the_poor_in_first() -> None:
    async def main(_loop: SimulatedLoop) -> None:
        gate = HostGate(9, 2)
        rich, poor, urgent = Claimant(), Claimant(), Claimant(priority=5)
        order: list[str] = []
        leave = {name: asyncio.Event() for name in ("rich1", "rich2", "rich3", "poor", "urgent")}

        async def use(name: str, claimant: Claimant) -> None:
            async with gate.slot(name, claimant):
                order.append(name)
                await leave[name].wait()

        async with asyncio.TaskGroup() as group:
            for name, claimant in zip(leave, (rich, rich, rich, poor, urgent), strict=True):
                group.create_task(use(name, claimant))
                await asyncio.sleep(0)
            assert gate.contended
            assert not gate.free("x")
            for name in ("rich1", "urgent", "poor", "rich2", "rich3"):
                await asyncio.sleep(1)
                leave[name].set()
        assert order == ["rich1", "rich2", "urgent", "poor", "rich3"]
        assert [one.held for one in (rich, poor, urgent)] == [0, 0, 0]
        assert gate.free("x")

    simulate(main)


def test_gate_forgets_who_gave_up_waiting() -> None:
    async def main(_loop: SimulatedLoop) -> None:
        gate = HostGate(1, 1)

        async def use() -> None:
            async with gate.slot("a"):
                await asyncio.sleep(10)

        first, second = asyncio.create_task(use()), asyncio.create_task(use())
        await asyncio.sleep(1)
        second.cancel()
        await asyncio.wait((first, second))
        assert gate.free("a")

    simulate(main)


def test_files_share_a_bucket_evenly_whatever_their_connections() -> None:
    async def main(_loop: SimulatedLoop) -> None:
        bucket = TokenBucket(100_000)
        got = [0, 0]

        async def connection(file: int, turn: Turn) -> None:
            while True:
                await turn.pay(1000)
                got[file] += 1000

        turns = [Turn(bucket), Turn(bucket)]
        tasks = [asyncio.create_task(connection(file, turns[file])) for file in (0, 0, 0, 0, 1)]
        await asyncio.sleep(20)
        for task in tasks:
            task.cancel()
        assert 0.9 < got[0] / got[1] < 1.1
        assert 1_900_000 < sum(got) < 2_100_000

    simulate(main)


def metered(moves: Sequence[tuple[float, int, float]]) -> tuple[RateMeter, Clock]:
    """(seconds of the mirror, bytes, seconds of ours) one after the other."""
    clock = Clock()
    meter = RateMeter(clock, 30.0)
    meter.begin()
    for theirs, size, ours in moves:
        clock.now += theirs
        meter.add(size)
        with meter.hold():
            clock.now += ours
    return meter, clock


def test_meter_leaves_out_what_we_did() -> None:
    meter, _clock = metered([(0.1, 1000, 0.9)] * 100)
    assert 9_000 < meter.current() < 11_000
    assert 9_000 < meter.rate(30) < 11_000
    assert 0.85 < meter.held < 0.95


def test_meter_counts_the_second_half_of_a_slow_start() -> None:
    meter, _clock = metered([(0.1, 100, 0)] * 5 + [(0.01, 1000, 0)] * 20)
    assert meter.current() > 80_000
    assert meter.rate(30) < 40_000


def test_meter_sees_a_stall_and_the_end_of_a_burst() -> None:
    meter, clock = metered([(0.01, 100_000, 0)] * 50)
    assert meter.current() > 5_000_000
    clock.now += 2
    assert meter.current() < 4_000_000
    clock.now += 6
    assert meter.current() == 0
    for _ in range(100):
        clock.now += 0.1
        meter.add(100)
    assert 900 < meter.current() < 1100


def test_meter_knows_nothing_at_first() -> None:
    meter, clock = metered([])
    assert (meter.current(), meter.age) == (0, 0)
    clock.now += 0.1
    assert (meter.current(), meter.rate(30)) == (0, 0)


async def test_who_waits_for_a_connection_is_told_so() -> None:
    gate, told = HostGate(1, 8), asyncio.Event()
    async with gate.slot("a", waits=told.set):
        assert not told.is_set()
        async with gate.slot("b", waits=told.set):
            assert not told.is_set(), "it is another host"

        async def second() -> None:
            async with gate.slot("a", waits=told.set):
                pass

        waiting = asyncio.create_task(second())
        await told.wait()
        assert not waiting.done()
    await waiting
