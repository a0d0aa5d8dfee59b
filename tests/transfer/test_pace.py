"""Limits of rate and number; times are simulated, so that no test depends on how busy the machine is."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable

from hypothesis import given
from hypothesis import strategies as st

from luxusbd.transfer.gate import HostGate
from luxusbd.transfer.pace import BUCKET_DEPTH, Control, RateWatch, TokenBucket


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
