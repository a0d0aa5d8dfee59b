"""How many connections the whole process holds to one host, and in all; who gets the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

URGENT = 100
"""The priority of small documents that somebody waits for; those of files go up to 10."""


@dataclass(eq=False)
class Claimant:
    """One download, before the gate."""

    priority: int = 0
    """Higher comes first."""
    held: int = 0
    """Connections that it has; among equals the one with fewest comes first."""


@dataclass
class _Host:
    limit: int
    used: int = 0


@dataclass(eq=False)
class _Waiting:
    host: str
    claimant: Claimant
    number: int
    granted: asyncio.Event


class HostGate:
    """Slots for connections. A host that refuses because of too many gets fewer from then on; nobody is banned."""

    def __init__(self, per_host: int, total: int) -> None:
        self._per_host = per_host
        self._left = total
        self._hosts: dict[str, _Host] = {}
        self._queue: list[_Waiting] = []
        self._number = 0

    @asynccontextmanager
    async def slot(
        self, host: str, claimant: Claimant | None = None, waits: Callable[[], None] | None = None
    ) -> AsyncIterator[None]:
        """Hold one connection to `host`; `waits` is called where it is not to be had at once."""
        claimant = claimant or Claimant()
        self._number += 1
        waiting = _Waiting(host, claimant, self._number, asyncio.Event())
        self._queue.append(waiting)
        self._admit()
        if waits is not None and not waiting.granted.is_set():
            waits()
        try:
            await waiting.granted.wait()
            yield
        finally:
            if waiting.granted.is_set():
                self._host(host).used -= 1
                self._left += 1
                claimant.held -= 1
            else:
                self._queue.remove(waiting)
            self._admit()

    def free(self, host: str) -> bool:
        """Whether a connection to `host` would be had at once, without taking it from somebody who waits."""
        return self._left > len(self._queue) and self._host(host).used < self.limit(host)

    @property
    def contended(self) -> bool:
        """Whether somebody waits for a connection because there are too many in all."""
        return self._left <= 0 and bool(self._queue)

    def limit(self, host: str) -> int:
        """How many connections `host` is given now."""
        return self._host(host).limit

    def too_many(self, host: str) -> bool:
        """`host` refused one of our connections; whether others were open, so that this is why.

        Called while the refused slot is still held.
        """
        entry = self._host(host)
        if entry.used < 2:
            return False
        entry.limit = max(1, entry.used - 1)
        return True

    def served(self, host: str) -> None:
        """`host` served a whole answer: it may have one connection more again."""
        entry = self._host(host)
        if entry.limit < self._per_host:
            entry.limit += 1
            self._admit()

    def _host(self, host: str) -> _Host:
        return self._hosts.setdefault(host, _Host(self._per_host))

    def _admit(self) -> None:
        while self._left > 0:
            possible = [one for one in self._queue if self._host(one.host).used < self._host(one.host).limit]
            if not possible:
                return
            # judged anew each time: what one gets changes who has fewest
            first = min(possible, key=lambda one: (-one.claimant.priority, one.claimant.held, one.number))
            self._queue.remove(first)
            self._host(first.host).used += 1
            self._left -= 1
            first.claimant.held += 1
            first.granted.set()
