"""Several workers that copy the same files stay close together, so that each file is read from the disk once.

Who comes second finds in the page cache what the first one read, as long as it comes soon enough: nobody reads more
than a window ahead of the last one. A worker that is much slower than the others, or hangs, drops out, and reads for
itself from then on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from luxusbd.errors import InterruptedJobError

SHARE = 8
"""The window is this part of the memory that is available: the sticks' own dirty pages want room, too."""
LEAST, MOST = 64 << 20, 1 << 30
"""Bytes of the window. The least is more than a worker reads at once, so that the last one is never held."""
PATIENCE = 20.0
"""Seconds, above those without, for which most of the others may be held up before the last one drops out."""
TICK = 1.0
"""Seconds after which a pack in which nobody moves is looked at."""
FREE = -1
"""As a limit: none."""


@dataclass
class _Reader:
    at: int = 0
    """Bytes that it has read."""
    wants: int = 0
    """Bytes up to which it would read now."""
    stalled: float = 0.0
    """Seconds for which it has read nothing while somebody waited."""


class Lockstep:
    """The rule. Times are monotonic seconds, positions bytes of all the files one after the other.

    Most of the others waiting for the last one counts against it, second for second, and time in which they do not
    counts for it: one that makes the others wait for less than half of the time stays, since the job is done when the
    last one is, and reading everything twice would not make it sooner. The others are judged by their majority, so that
    a single fast one waits and does not break up the pack. One that reads nothing at all drops out, whoever waits.
    """

    def __init__(self, readers: Iterable[str], total: int, window: int, patience: float = PATIENCE) -> None:
        self._in_step = {name: _Reader() for name in readers}
        self._total = total
        self._window = window
        self._patience = patience
        self._last: float | None = None
        self._debt = 0.0
        self.dropped: list[str] = []
        """Those that fell too far behind, in their order."""

    @property
    def in_step(self) -> frozenset[str]:
        """Those that are still together."""
        return frozenset(self._in_step)

    def limit(self, name: str) -> int:
        """How far a reader may read, or FREE."""
        if name not in self._in_step or len(self._in_step) < 2:
            return FREE
        return min(reader.at for reader in self._in_step.values()) + self._window

    def told(self, name: str, at: int, wants: int, now: float) -> None:
        """A reader has read up to `at` and would go on up to `wants`."""
        self.tick(now)
        reader = self._in_step.get(name)
        if reader is None:
            return
        if at > reader.at:
            reader.stalled = 0.0
        reader.at, reader.wants = at, wants
        self._let_go()

    def left(self, name: str, now: float) -> None:
        """A reader has read everything, or will not read any more."""
        self.tick(now)
        self._in_step.pop(name, None)
        self._let_go()

    def tick(self, now: float) -> None:
        """Time went on."""
        passed, self._last = now - (now if self._last is None else self._last), now
        if len(self._in_step) < 2:
            return
        last = min(self._in_step, key=lambda name: self._in_step[name].at)
        others = [name for name in self._in_step if name != last]
        waiting = {name for name in others if self._in_step[name].wants > self._bound(name)}
        self._debt = self._debt + passed if 2 * len(waiting) > len(others) else max(0.0, self._debt - passed)
        if waiting:
            for name, reader in self._in_step.items():
                reader.stalled = 0.0 if name in waiting else reader.stalled + passed
        if self._debt < self._patience and self._in_step[last].stalled < self._patience:
            return
        self._debt = 0.0
        del self._in_step[last]
        self.dropped.append(last)
        self._let_go()

    def _let_go(self) -> None:
        """Those that may read the rest of it ask no more, and are not to be counted among those that nobody holds."""
        while through := [
            name for name, reader in self._in_step.items() if self._total <= reader.wants <= self._bound(name)
        ]:
            for name in through:
                del self._in_step[name]

    def _bound(self, name: str) -> int:
        return self._total if (limit := self.limit(name)) == FREE else limit

    def stand_still(self) -> None:
        """The time until the next call does not count."""
        self._last = None


class Pack:
    """The workers of one job, told how far they may read.

    Args:
        rule: says how far.
        drops: gets the name of one that drops out.
        clock: monotonic seconds.
    """

    def __init__(
        self, rule: Lockstep, drops: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rule = rule
        self._drops = drops
        self._clock = clock
        self._paused = False
        self._told = 0
        """How many drops were told of."""
        self._moved: dict[str, asyncio.Event] = {name: asyncio.Event() for name in rule.in_step}

    @classmethod
    def of(cls, readers: Iterable[str], total: int, drops: Callable[[str], None]) -> Pack:
        """A pack with a window that suits this machine at the moment; `total` are the bytes of all images."""
        return cls(Lockstep(readers, total, window(available_memory())), drops)

    def pause(self, paused: bool) -> None:
        """All of them stop, or go on; nobody waits for anybody meanwhile."""
        self._paused = paused
        self._rule.stand_still()

    def told(self, name: str, at: int, wants: int) -> None:
        """What a worker told of its reading."""
        self._rule.told(name, at, wants, self._clock())
        self._stir()

    def leave(self, name: str) -> None:
        """A worker reads no more, or never began to."""
        self._rule.left(name, self._clock())
        self._stir()

    @asynccontextmanager
    async def member(self, name: str, send: Callable[[int], Awaitable[None]]) -> AsyncIterator[None]:
        """Let `send` tell a worker how far it may read, for the length of the block; then it has left."""
        feeding = asyncio.get_running_loop().create_task(self._feed(name, send), name=f"pace of {name}")
        try:
            yield
        finally:
            feeding.cancel()
            self.leave(name)
            await asyncio.wait({feeding})

    async def _feed(self, name: str, send: Callable[[int], Awaitable[None]]) -> None:
        moved, sent = self._moved[name], 0
        while True:
            moved.clear()
            if (limit := self._rule.limit(name)) != sent:
                sent = limit
                try:
                    await send(limit)
                except InterruptedJobError:
                    return  # it is gone, and its order ends with that
            try:
                async with asyncio.timeout(TICK):
                    await moved.wait()
            except TimeoutError:
                if not self._paused:
                    self._rule.tick(self._clock())
                    self._stir()

    def _stir(self) -> None:
        for name in self._rule.dropped[self._told :]:
            self._drops(name)
        self._told = len(self._rule.dropped)
        for moved in self._moved.values():
            moved.set()


def window(available: int) -> int:
    """Bytes that the first reader may be ahead of the last one, with so many bytes of memory available."""
    return max(LEAST, min(MOST, available // SHARE))


def available_memory() -> int:
    """Bytes that programs can have without anything being swapped out (proc_meminfo(5), MemAvailable)."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
