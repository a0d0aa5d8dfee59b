"""How far ahead of the workers of other sticks one may read the images that all of them copy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

UNLIMITED = -1


class Paced:
    """A `Pace` that the core sets.

    Args:
        tell: gets how many bytes were read, and up to which this process would read now; is called in the loop.
        limit: what the core said before.
    """

    def __init__(self, tell: Callable[[int, int], None], limit: int) -> None:
        self._tell = tell
        self._read = 0
        """Bytes of all that were asked for, which are read at the next call."""
        self._limit = limit
        self._moved = asyncio.Event()

    def limit(self, limit: int) -> None:
        """Reading up to `limit` is allowed now, or everything with UNLIMITED."""
        self._limit = limit
        self._moved.set()

    async def before(self, count: int) -> None:
        """See `Pace`."""
        wanted = self._read + count
        if self._limit != UNLIMITED:
            self._tell(self._read, wanted)
        while self._limit != UNLIMITED and wanted > self._limit:
            self._moved.clear()
            await self._moved.wait()
        self._read = wanted
