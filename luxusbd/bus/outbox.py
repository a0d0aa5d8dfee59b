"""Outgoing signals, one entry an object however often it changes.

One task sends them one after the other and waits until the kernel has taken each, so that neither a burst of changes
nor a bus that does not read can fill this process: what happens meanwhile is merged into the entry that waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from luxusbd.bus._lib import Message, MessageType, Variant
from luxusbd.bus.connection import Connection, DisconnectedError
from luxusbd.bus.contract import MANAGER, OBJECT_MANAGER, PROPERTIES, Emits, interfaces, standard
from luxusbd.bus.dispatcher import Implementation
from luxusbd.bus.standard import as_variants
from luxusbd.bus.tree import MANAGER_PATH, ROOT_PATH, Exported
from luxusbd.bus.values import convert
from luxusbd.jobs.views import Caller

log = logging.getLogger(__name__)

Extract = Callable[[Any], Sequence[Any]]


@dataclass
class _Pending:
    """What is still to be told about one object, in the order of the fields."""

    latest: Exported
    replaced: Exported | None = None
    """An object that clients know under this path and that went before this one came."""
    added: bool = False
    changed: bool = False
    progress: Exported | None = None
    finished: Exported | None = None
    removed: bool = False


class Outbox:
    """Sends InterfacesAdded, PropertiesChanged, ProgressChanged, Finished and InterfacesRemoved."""

    def __init__(
        self,
        connection: Connection,
        implementations: Mapping[str, Implementation],
        watchers: Callable[[], Sequence[Caller]],
        signals: Mapping[str, Extract],
    ) -> None:
        """`watchers` gives those to whom private objects' signals go; `signals` the arguments of a job's signals."""
        self._connection = connection
        self._implementations = implementations
        self._watchers = watchers
        self._extract = signals
        self._pending: dict[str, _Pending] = {}
        self._broadcasts: dict[tuple[str, tuple[Any, ...]], None] = {}
        self._published: dict[str, dict[str, Variant]] = {}
        self._finished: set[str] = set()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def start(self, present: Sequence[Exported]) -> None:
        """Begin to send; `present` are the objects that need no announcement."""
        for exported in present:
            self._published[exported.path] = self._properties(exported)
        self._task = asyncio.get_running_loop().create_task(self._pump(), name="bus-signals")

    async def stop(self, timeout: float = 2.0) -> None:
        """Send what waits, for at most `timeout` seconds, and end."""
        if self._task is None:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            log.warning("%d changes were not sent: the bus does not take them", len(self._pending))
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def added(self, exported: Exported) -> None:
        """The object appears."""
        entry = self._entry(exported)
        if entry.removed:
            # Only what clients have heard of needs to be taken back before the new object comes.
            replaced = entry.replaced or (None if entry.added else entry.latest)
            entry = self._pending[exported.path] = _Pending(exported, replaced=replaced)
        entry.latest, entry.added = exported, True

    def changed(self, exported: Exported) -> None:
        """Some property of the object is different."""
        entry = self._entry(exported)
        entry.latest, entry.changed = exported, True

    def progress(self, exported: Exported) -> None:
        """The job's bytes moved."""
        entry = self._entry(exported)
        entry.latest = entry.progress = exported

    def finished(self, exported: Exported) -> None:
        """The job ended; told once however often it is said."""
        if exported.path in self._finished:
            return
        self._finished.add(exported.path)
        entry = self._entry(exported)
        entry.latest = entry.finished = exported

    def removed(self, exported: Exported) -> None:
        """The object goes."""
        entry = self._entry(exported)
        entry.latest, entry.removed = exported, True

    def broadcast(self, member: str, *values: Any) -> None:
        """A signal of the Manager to everybody."""
        self._broadcasts[member, values] = None
        self._stir()

    def _entry(self, exported: Exported) -> _Pending:
        self._stir()
        return self._pending.setdefault(exported.path, _Pending(exported))

    def _stir(self) -> None:
        self._idle.clear()
        self._wake.set()

    async def _pump(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending or self._broadcasts:
                try:
                    await self._send_next()
                except DisconnectedError:
                    self._idle.set()
                    return
                except Exception:
                    log.exception("a signal could not be made")
            self._idle.set()

    async def _send_next(self) -> None:
        if self._broadcasts:
            member, values = next(iter(self._broadcasts))
            del self._broadcasts[member, values]
            await self._to(None, MANAGER_PATH, MANAGER, member, values)
            return
        path = next(iter(self._pending))
        entry = self._pending.pop(path)
        exported = entry.latest
        if entry.replaced is not None:
            await self._tell_removed(entry.replaced)
        if entry.added:
            properties = self._published[path] = self._properties(exported)
            await self._emit(
                exported, ROOT_PATH, OBJECT_MANAGER, "InterfacesAdded", (path, {exported.interface: properties})
            )
        elif path in self._published and (entry.changed or entry.finished):
            await self._tell_changes(exported)
        for member, value in (("ProgressChanged", entry.progress), ("Finished", entry.finished)):
            if value is not None:
                await self._emit(value, path, value.interface, member, self._extract[member](value.value))
        if entry.removed:
            await self._tell_removed(exported)

    async def _tell_changes(self, exported: Exported) -> None:
        before = self._published[exported.path]
        now = self._published[exported.path] = self._properties(exported)
        declared = self._implementations[exported.interface].interface.properties
        different = [name for name in now if now[name] != before.get(name)]
        changed = {name: now[name] for name in different if declared[name].emits is Emits.TRUE}
        invalidated = [name for name in different if declared[name].emits is Emits.INVALIDATES]
        if changed or invalidated:
            await self._emit(
                exported, exported.path, PROPERTIES, "PropertiesChanged", (exported.interface, changed, invalidated)
            )

    async def _tell_removed(self, exported: Exported) -> None:
        self._published.pop(exported.path, None)
        self._finished.discard(exported.path)
        await self._emit(
            exported, ROOT_PATH, OBJECT_MANAGER, "InterfacesRemoved", (exported.path, [exported.interface])
        )

    async def _emit(self, about: Exported, path: str, interface: str, member: str, values: Sequence[Any]) -> None:
        if about.owner_uid is None:
            await self._to(None, path, interface, member, values)
            return
        for watcher in self._watchers():
            if about.visible(watcher.uid):
                await self._to(watcher.bus_name, path, interface, member, values)

    async def _to(self, destination: str | None, path: str, interface: str, member: str, values: Sequence[Any]) -> None:
        signal = (standard().get(interface) or interfaces()[interface]).signals[member]
        await self._connection.send(
            Message(
                message_type=MessageType.SIGNAL,
                destination=destination,
                path=str(path),  # exactly a str: dbus-fast takes no subclass
                interface=interface,
                member=member,
                signature=signal.signature,
                body=[convert(arg.type, value) for arg, value in zip(signal.args, values, strict=True)],
            )
        )

    def _properties(self, exported: Exported) -> dict[str, Variant]:
        return as_variants(self._implementations[exported.interface], exported.value)
