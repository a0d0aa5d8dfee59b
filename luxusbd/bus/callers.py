"""Who calls: the uid behind a bus name, and who is still there.

A bus name watches from its first call until it leaves the bus.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from luxusbd.bus._lib import Message
from luxusbd.bus.connection import BUS_NAME, BUS_PATH, Connection, DisconnectedError, RemoteError
from luxusbd.errors import NotAuthorizedError
from luxusbd.jobs.views import Caller

T = TypeVar("T")

# Unique names are never taken again, and of all changes of owner only their end matters here.
VANISHED_RULE = (
    f"type='signal',sender='{BUS_NAME}',path='{BUS_PATH}',interface='{BUS_NAME}',member='NameOwnerChanged',arg2=''"
)

SWEEP_EVERY = 60.0
"""Seconds between two looks at who is still there; the bus drops signals for a connection that much waits for."""

log = logging.getLogger(__name__)


class CallerGoneError(NotAuthorizedError):
    """The caller left the bus before it could be told who it is or whether it may."""


class _Watcher:
    def __init__(self, lookup: asyncio.Task[int]) -> None:
        self.lookup = lookup
        self.bound: set[asyncio.Task[Any]] = set()


class Callers:
    """All bus names that have called and not left."""

    def __init__(self, connection: Connection, vanished: Callable[[str], None], changed: Callable[[], None]) -> None:
        """`vanished` is told a name that left; `changed` that the set of watchers is different."""
        self._connection = connection
        self._vanished = vanished
        self._changed = changed
        self._watchers: dict[str, _Watcher] = {}
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ask the bus to tell who leaves; before the first call can come in."""
        await self._connection.call_bus("AddMatch", "s", [VANISHED_RULE])
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep_again(), name="sweep-callers")

    async def stop(self) -> None:
        """Forget everybody."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        lookups = [watcher.lookup for watcher in self._watchers.values()]
        self._watchers.clear()
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)

    @property
    def names(self) -> frozenset[str]:
        """The bus names that watch."""
        return frozenset(self._watchers)

    def known(self) -> tuple[Caller, ...]:
        """The watchers whose uid is known."""
        return tuple(
            Caller(watcher.lookup.result(), name)
            for name, watcher in self._watchers.items()
            if watcher.lookup.done() and not watcher.lookup.cancelled() and watcher.lookup.exception() is None
        )

    def arrived(self, name: str) -> None:
        """Note a caller, as soon as its message is there."""
        if name in self._watchers:
            return
        lookup = asyncio.get_running_loop().create_task(self._look_up(name), name=f"uid-of-{name}")
        lookup.add_done_callback(_mark_seen)
        self._watchers[name] = _Watcher(lookup)
        self._changed()

    async def identify(self, name: str) -> Caller:
        """The caller behind a bus name.

        Raises:
            CallerGoneError: it is no longer on the bus.
        """
        watcher = self._watchers.get(name)
        if watcher is None:
            raise CallerGoneError("the caller left the bus")
        await asyncio.wait([watcher.lookup])
        if watcher.lookup.cancelled():
            raise CallerGoneError("the caller left the bus")
        return Caller(watcher.lookup.result(), name)

    async def while_present(self, name: str, work: Coroutine[Any, Any, T]) -> T:
        """Do something only as long as the caller is on the bus; it is cancelled when the caller leaves.

        Raises:
            CallerGoneError: it left.
        """
        watcher = self._watchers.get(name)
        if watcher is None:
            work.close()
            raise CallerGoneError("the caller left the bus")
        task = asyncio.get_running_loop().create_task(work, name=f"for-{name}")
        watcher.bound.add(task)
        try:
            # asyncio.wait, because a cancelled task must not look like a cancellation of the one who waits for it.
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
        finally:
            watcher.bound.discard(task)
        if task.cancelled():
            raise CallerGoneError("the caller left the bus")
        return task.result()

    def receive(self, signal: Message) -> None:
        """Look at a signal; the end of a watcher's name is what matters."""
        if signal.sender != BUS_NAME or signal.member != "NameOwnerChanged" or signal.signature != "sss":
            return
        name, _old, new = signal.body
        if not new:
            self._gone(name)

    async def sweep(self) -> None:
        """Let go of those whose leaving was not told: a full queue makes dbus-daemon drop signals without a word."""
        before = tuple(self._watchers)  # who arrives meanwhile may be missing in the answer
        (present,) = await self._connection.call_bus("ListNames")
        for name in set(before).difference(present):
            self._gone(name)

    async def _sweep_again(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            if self._watchers:
                try:
                    await self.sweep()
                except (RemoteError, TimeoutError, DisconnectedError) as error:
                    log.debug("cannot see who is on the bus: %s", error)

    def _gone(self, name: str) -> None:
        watcher = self._watchers.pop(name, None)
        if watcher is None:
            return
        watcher.lookup.cancel()
        for task in tuple(watcher.bound):
            task.cancel()
        self._vanished(name)
        self._changed()

    async def _look_up(self, name: str) -> int:
        try:
            (uid,) = await self._connection.call_bus("GetConnectionUnixUser", "s", [name])
        except RemoteError as error:
            raise CallerGoneError("the caller left the bus") from error
        return int(uid)


def _mark_seen(task: asyncio.Task[int]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.debug("no uid for a caller: %s", error)
