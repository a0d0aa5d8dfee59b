"""How many connections the whole process holds to one host, and in all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class _Host:
    limit: int
    used: int = 0
    waiting: set[asyncio.Event] = field(default_factory=set)


class HostGate:
    """Slots for connections. A host that refuses because of too many gets fewer from then on; nobody is banned."""

    def __init__(self, per_host: int, total: int) -> None:
        self._per_host = per_host
        self._total = asyncio.Semaphore(total)
        self._hosts: dict[str, _Host] = {}

    @asynccontextmanager
    async def slot(self, host: str) -> AsyncIterator[None]:
        """Hold one connection to `host`."""
        entry = self._hosts.setdefault(host, _Host(self._per_host))
        while entry.used >= entry.limit:
            freed = asyncio.Event()
            entry.waiting.add(freed)
            try:
                await freed.wait()
            finally:
                entry.waiting.discard(freed)
        entry.used += 1
        try:
            async with self._total:
                yield
        finally:
            entry.used -= 1
            for freed in entry.waiting:
                freed.set()

    def limit(self, host: str) -> int:
        """How many connections `host` is given now."""
        entry = self._hosts.get(host)
        return entry.limit if entry else self._per_host

    def too_many(self, host: str) -> bool:
        """`host` refused one of our connections; whether others were open, so that this is why.

        Called while the refused slot is still held.
        """
        entry = self._hosts.get(host)
        if entry is None or entry.used < 2:
            return False
        entry.limit = max(1, entry.used - 1)
        return True

    def served(self, host: str) -> None:
        """`host` served a whole answer: it may have one connection more again."""
        entry = self._hosts.get(host)
        if entry is not None and entry.limit < self._per_host:
            entry.limit += 1
            for freed in entry.waiting:
                freed.set()
