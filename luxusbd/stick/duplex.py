"""Whether it pays to read one image back while the next one is written: measured on the disk itself.

Most sticks do one thing at a time, so that reading takes away from writing what it gets, and some lose more by the
change from one to the other. Others, and whatever waits for its source, have time left. Which it is cannot be told from
what a disk says of itself. So the first `TRIAL` bytes beside which something could be read are written alone, the next
ones with reading beside them, and then it is read alone for a moment: where a second gave w of the speed of writing
alone and r of that of reading alone, both together are worth it when w + r is more than one.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Callable

Count = Callable[[int], None]

TRIAL = 64 * 1024 * 1024
WORTH = 1.1
"""Of w + r; a little above one, since figures of so few bytes are not exact."""


class Phase(enum.Enum):
    """How far it is known."""

    NOT_ASKED = "nothing can be read yet"
    WRITING = "writing alone is measured"
    BOTH = "both together are measured"
    READING = "reading alone is measured"
    TOGETHER = "both go on at once"
    APART = "reading waits"
    WRITTEN = "nothing is left to write"


class Duplex:
    """Lets writing and reading have their turns on one disk.

    Args:
        wrote: is told of bytes that the disk accepted.
        was_read: is told of bytes that were read back.
        clock: seconds.
    """

    def __init__(self, wrote: Count, was_read: Count, clock: Callable[[], float] = time.monotonic) -> None:
        self.phase = Phase.NOT_ASKED
        self.worth = 0.0
        """w + r, once it was measured."""
        self._clock = clock
        self._wrote, self._was_read = wrote, was_read
        self._may_write, self._may_read = asyncio.Event(), asyncio.Event()
        self._may_write.set()
        self._began = 0.0
        self._written = self._read = 0
        self._alone = self._w = self._r = 0.0
        self.writing = _Side(self._may_write, self._count_written)
        """The `copying.Turns` of who writes."""
        self.reading = _Side(self._may_read, self._count_read)
        """The `copying.Turns` of who reads back."""

    def ask(self) -> None:
        """There is something to be read back."""
        if self.phase is Phase.NOT_ASKED:
            self._enter(Phase.WRITING)

    def nothing_to_read(self) -> None:
        """All that could be read back was."""
        if self.phase in (Phase.WRITING, Phase.BOTH, Phase.READING):
            self._enter(Phase.NOT_ASKED)

    def nothing_to_write(self) -> None:
        """The disk belongs to who reads."""
        self._enter(Phase.WRITTEN)

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        for event, ways in (
            (self._may_write, set(Phase) - {Phase.READING}),
            (self._may_read, {Phase.BOTH, Phase.READING, Phase.TOGETHER, Phase.WRITTEN}),
        ):
            if phase in ways:
                event.set()
            else:
                event.clear()
        self._measure()

    def _measure(self) -> None:
        self._began = self._clock()
        self._written = self._read = 0

    def _count_written(self, count: int) -> None:
        self._wrote(count)
        self._written += count
        if self.phase is Phase.READING:
            # it was under way when writing had to stop: from now on nothing is
            self._measure()
        elif self._written >= TRIAL:
            if self.phase is Phase.WRITING:
                self._alone = self._speed(self._written)
                self._enter(Phase.BOTH)
            elif self.phase is Phase.BOTH:
                self._w, self._r = self._speed(self._written), self._speed(self._read)
                self._enter(Phase.READING)

    def _count_read(self, count: int) -> None:
        self._was_read(count)
        self._read += count
        if self.phase is Phase.READING and self._read >= TRIAL // 2:
            self.worth = self._w / self._alone + self._r / self._speed(self._read)
            self._enter(Phase.TOGETHER if self.worth >= WORTH else Phase.APART)

    def _speed(self, count: int) -> float:
        return count / max(self._clock() - self._began, 1e-6)


class _Side:
    def __init__(self, may: asyncio.Event, count: Count) -> None:
        self._may = may
        self.count = count

    async def wait(self) -> None:
        await self._may.wait()
