"""How much of a file may lie on the disk while others read it and say how far they are. No disk, no network.

A mark is a place in the file before which all readers are safe: they have these bytes where they want them. What lies
before a mark may be given back to the filesystem, and as much as the window is large may be written beyond it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

NO_LIMIT = 1 << 63
"""Where nothing is limited: beyond every place in a file."""
STEP = 4
"""A window opens by a quarter of it at a time, so that a slow reader does not make requests of a few bytes."""


class Window:
    """The window of one download, which is on all of the file while `size` is 0. Belongs to one event loop."""

    def __init__(self, size: int = 0) -> None:
        self.released = 0
        """The furthest mark that counts."""
        self._settled = 0
        self.punched = 0
        """The bytes before it are gone from the disk."""
        self.epoch = -1
        """How often bytes had to come anew: a mark of an earlier time may be one of those that were thrown away."""
        self.holed = False
        """Whether any were ever given back, be it in a try before this one."""
        self.patience = 5.0
        """Seconds after which a smaller step has to do for whoever waits."""
        self.file: Callable[[], tuple[int, int]] = lambda: (0, 0)
        """Tells how many bytes there are without a hole from the start on, and how many in all (0 unknown)."""
        self.waits: Callable[[], None] = lambda: None
        """Called when somebody begins to wait for the readers."""
        self.news = asyncio.Event()
        """Set when there may be something to give back; whoever waits for it clears it."""
        self._marks: set[int] = set()
        self._opened = asyncio.Event()
        self.open(size)

    def open(self, size: int) -> None:
        """Begin with a window of `size` bytes at the start of the file; the marks so far do not count any more."""
        self.size = size
        self.epoch += 1 if size else 0
        self.released = self.punched = self._settled = 0
        self._marks = set()
        self._limit = size or NO_LIMIT
        self._notify()

    @property
    def limit(self) -> int:
        """No byte is to be written at or beyond this place."""
        return self._limit

    def release(self, upto: int, epoch: int) -> None:
        """All readers are safe up to `upto`, as they knew the file in `epoch`.

        A mark that lies beyond what is there is one of a try before this one, whose bytes were thrown away; neither
        that nor one before which all is given back already changes anything.
        """
        present, _total = self.file()
        if not self.size or epoch != self.epoch or not self.punched < upto <= present:
            return
        self.released = max(self.released, upto)
        self._marks.add(upto)
        self.news.set()
        self._notify()

    async def wait_released(self, place: int) -> None:
        """Return once all readers are safe up to `place`."""
        while self.released < place:
            opened = self._opened
            await opened.wait()

    def due(self, upto: int) -> int:
        """The furthest mark that is not beyond `upto` and not given back yet; 0 without one."""
        return max((mark for mark in self._marks if mark <= upto), default=0)

    def gone(self, mark: int) -> None:
        """The bytes before `mark` were given back."""
        self.punched = mark
        self._marks = {one for one in self._marks if one > mark}

    def withdraw(self, start: int) -> None:
        """The bytes from `start` on, none of which were given back, will come anew: marks beyond it are void.

        The window stays as far open as it is, since writes may be on their way into it.
        """
        # one that is on its way was told by a reader who knows nothing of it
        self.epoch += 1
        self._marks = {one for one in self._marks if one <= start}
        self.released = min(self.released, max([self.punched, *self._marks]))
        self.news.set()

    def settle(self, mark: int) -> None:
        """Whatever can be given back up to `mark`, which was told, has been: the window may move there.

        What cannot be given back yet (a piece that is checked as a whole) does not keep the window where it is: with a
        piece larger than the window nobody would go on.
        """
        self._settled = max(self._settled, min(mark, self.released))
        self._widen(max(1, self.size // STEP))

    async def wait(self, place: int) -> None:
        """Return once the byte at `place` may be written, which readers decide on."""
        if place < self._limit:
            return
        self.waits()
        while place >= self._limit:
            opened = self._opened
            try:
                async with asyncio.timeout(self.patience):
                    await opened.wait()
            except TimeoutError:
                # a reader that is never done with the last part of what it has must not be waited for in vain
                self._widen(1)

    def _widen(self, least: int) -> None:
        _present, total = self.file()
        new = self._settled + self.size
        if new - self._limit >= least or 0 < total <= new:
            self._limit = max(self._limit, new)
            self._notify()

    def _notify(self) -> None:
        self._opened.set()
        self._opened = asyncio.Event()
