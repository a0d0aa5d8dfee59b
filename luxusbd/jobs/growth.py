"""How far downloads have come without a hole from their start, for whoever copies these bytes meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Watch:
    """One reader's view of one download."""

    available: int = 0
    """Bytes from the start on that may be read."""
    floor: int | None = None
    """The fewest there were since the reader took this; None for never fewer than it knows of."""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def told(self, prefix: int, floor: int) -> None:
        """There are `prefix` bytes now, and there were `floor` in between."""
        floor = min(floor, prefix)
        if floor < self.available:
            self.floor = floor if self.floor is None else min(self.floor, floor)
        if floor < self.available or prefix != self.available:
            self.available = prefix
            self.news.set()

    def take(self) -> tuple[int, int | None]:
        """`available` and `floor`; the next floor counts from here."""
        self.news.clear()
        floor, self.floor = self.floor, None
        return self.available, floor


class Growths:
    """What the downloads tell, by `Release.content`, and who wants to know."""

    def __init__(self) -> None:
        self._watches: dict[str, list[Watch]] = {}
        self._known: dict[str, int] = {}
        self._epochs: dict[str, int] = {}
        self._runs: dict[str, int] = {}

    def told(self, content: str, prefix: int, floor: int, epoch: int = 0) -> None:
        """A download has `prefix` bytes, and had `floor` since it told of it before."""
        if floor < self._known.get(content, 0):
            # be it by a process that knows nothing of the one before
            self._runs[content] = self._runs.get(content, 0) + 1
        self._known[content] = prefix
        self._epochs[content] = epoch
        for watch in self._watches.get(content, ()):
            watch.told(prefix, floor)

    def epoch(self, content: str) -> tuple[int, int]:
        """Which run of a download this is, and how often bytes of it had to come anew; see `Window.epoch`."""
        return self._runs.get(content, 0), self._epochs.get(content, 0)

    def ended(self, content: str) -> None:
        """A download ended, or stands still: what the next run says first counts from nothing."""
        self._known.pop(content, None)
        self._epochs.pop(content, None)
        if content in self._watches:
            self._runs[content] = self._runs.get(content, 0) + 1

    @contextlib.contextmanager
    def watch(self, content: str) -> Iterator[Watch]:
        """A view of a download that runs, or will run, for the length of the block."""
        made = Watch(self._known.get(content, 0))
        if made.available:
            made.news.set()
        self._watches.setdefault(content, []).append(made)
        try:
            yield made
        finally:
            left = self._watches[content]
            left.remove(made)
            if not left:
                del self._watches[content]
                self._runs.pop(content, None)
