"""What should have happened by now and has not: the reason why the core gives the service manager no sign of life."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator


class Deadlines:
    """Things that are under way, each with the time by which it has to be over."""

    def __init__(self) -> None:
        self._due: dict[int, tuple[float, str]] = {}
        self._numbers = itertools.count()

    @contextlib.contextmanager
    def within(self, seconds: float, what: str) -> Iterator[None]:
        """The block has to end within so many seconds; it is not cut off when it does not."""
        number = next(self._numbers)
        self._due[number] = (time.monotonic() + seconds, what)
        try:
            yield
        finally:
            del self._due[number]

    def overdue(self) -> str:
        """What has taken too long, or empty."""
        now = time.monotonic()
        return "; ".join(what for due, what in self._due.values() if due < now)
