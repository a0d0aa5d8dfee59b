"""The service on the bus: one connection, all objects, and what changes on them."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

import luxusbd
from luxusbd.bus import device
from luxusbd.bus._lib import Message
from luxusbd.bus.authority import Authority, PolkitAuthority
from luxusbd.bus.callers import Callers
from luxusbd.bus.connection import CALL_TIMEOUT, Connection, DisconnectedError, RemoteError, SignalOf
from luxusbd.bus.contract import DEVICE, JOB, MANAGER
from luxusbd.bus.dispatcher import Dispatcher
from luxusbd.bus.gate import Gate
from luxusbd.bus.job import JobMethods, finished_values, progress_values
from luxusbd.bus.manager import ManagerMethods, ManagerState
from luxusbd.bus.outbox import Outbox
from luxusbd.bus.standard import StandardInterfaces
from luxusbd.bus.tree import MANAGER_PATH, Exported, Tree, device_object, job_object
from luxusbd.bus.values import ObjectPath
from luxusbd.errors import FailedError
from luxusbd.jobs.api import Engine, Listener
from luxusbd.jobs.model import Job
from luxusbd.jobs.views import DeviceView

BUS_NAME = "org.luxusb.Manager"

log = logging.getLogger(__name__)


class BusService(Listener):
    """Puts an engine on a bus. A `luxusbd.jobs.api.Listener`."""

    def __init__(
        self,
        engine: Engine,
        *,
        address: str | None = None,
        authority: Authority | None = None,
        watchers_changed: Callable[[], None] | None = None,
    ) -> None:
        """`address` None is the system bus; `watchers_changed` is called when `watchers` is different."""
        self.authority: Authority = authority or PolkitAuthority(self)
        """Who decides; may be replaced until `start`."""
        self._engine = engine
        self._address = address
        self._watchers_changed = watchers_changed or (lambda: None)
        self._tree = Tree()
        self._parts: _Parts | None = None

    async def start(self) -> None:
        """Connect, export everything, then take the name.

        Raises:
            FailedError: there is no bus, its policy forbids the name, or another luxusbd has it.
        """
        connection = await Connection.open(self._address)
        parts = _Parts(connection, self._engine, self._tree, self.authority, self._watchers_changed)
        self._parts = parts
        try:
            connection.on_signal = parts.receive
            await parts.callers.start()
            # No await from here to the listener: what changes in between would be lost.
            self._put_manager(self._engine.busy)
            for view in self._engine.devices():
                self._tree.put(device_object(view))
            for job in self._engine.jobs():
                self._tree.put(job_object(job))
            self._engine.add_listener(self)
            parts.outbox.start(tuple(self._tree.visible(0)))
            connection.on_call = parts.dispatcher.receive
            await self._take_name(connection)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Give the name back, answer what is in flight, send what waits, and hang up."""
        parts, self._parts = self._parts, None
        if parts is None:
            return
        try:
            await parts.connection.call_bus("ReleaseName", "s", [BUS_NAME])
        except (RemoteError, DisconnectedError, TimeoutError) as error:
            log.debug("releasing the name: %s", error)
        await parts.dispatcher.stop()
        await parts.outbox.stop()
        await parts.callers.stop()
        await parts.connection.close()

    async def wait_disconnected(self) -> None:
        """Return when the connection to the bus is gone."""
        if self._parts is not None:
            await self._parts.connection.wait_closed()

    async def trouble(self) -> str:
        """What is wrong with the bus, or empty: it has to answer."""
        if self._parts is None:
            return "there is no connection to the bus"
        try:
            await self._parts.connection.call_bus("GetId")
        except (RemoteError, DisconnectedError, TimeoutError) as error:
            return f"the bus does not answer: {error}"
        return ""

    @property
    def watchers(self) -> frozenset[str]:
        """Bus names that have called and not left the bus since."""
        return frozenset() if self._parts is None else self._parts.callers.names

    async def call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: Sequence[Any] = (),
        *,
        timeout: float | None = CALL_TIMEOUT,
    ) -> Message:
        """Call another service over our connection; see `Connection.call`."""
        if self._parts is None:
            raise DisconnectedError("there is no connection to the bus")
        return await self._parts.connection.call(destination, path, interface, member, signature, body, timeout=timeout)

    async def listen(self, signal: SignalOf, handler: Callable[[Message], None]) -> None:
        """Have `handler` called with each signal of this kind.

        Raises:
            RemoteError, DisconnectedError, TimeoutError: the bus does not take the rule.
        """
        if self._parts is None:
            raise DisconnectedError("there is no connection to the bus")
        await self._parts.listen(signal, handler)

    def catalog_changed(self, layer: str) -> None:
        """Tell everybody that a layer of the catalogue was loaded anew."""
        if self._parts is not None:
            self._parts.outbox.broadcast("CatalogChanged", layer)

    def device_added(self, view: DeviceView) -> None:
        """See `Listener`."""
        if self._parts is not None:
            self._parts.outbox.added(self._put(device_object(view)))

    def device_changed(self, view: DeviceView) -> None:
        """See `Listener`."""
        if self._parts is not None:
            self._parts.outbox.changed(self._put(device_object(view)))

    def device_removed(self, view: DeviceView) -> None:
        """See `Listener`."""
        if self._parts is not None:
            exported = device_object(view)
            self._tree.remove(exported.path)
            self._parts.outbox.removed(exported)

    def job_added(self, job: Job) -> None:
        """See `Listener`."""
        if self._parts is not None:
            self._parts.outbox.added(self._put(job_object(job)))

    def job_changed(self, job: Job) -> None:
        """See `Listener`."""
        if self._parts is not None:
            self._parts.outbox.changed(self._put(job_object(job)))

    def job_progress(self, job: Job) -> None:
        """See `Listener`."""
        if self._parts is not None:
            self._parts.outbox.progress(self._put(job_object(job)))

    def job_finished(self, job: Job) -> None:
        """See `Listener`."""
        if self._parts is not None:
            self._parts.outbox.finished(self._put(job_object(job)))

    def job_removed(self, job: Job) -> None:
        """See `Listener`."""
        if self._parts is not None:
            exported = job_object(job)
            self._tree.remove(exported.path)
            self._parts.outbox.removed(exported)

    def busy_changed(self, busy: bool) -> None:
        """See `Listener`."""
        if self._parts is not None:
            self._parts.outbox.changed(self._put_manager(busy))

    def settings_changed(self, keys: Sequence[str]) -> None:
        """See `Listener`."""
        if self._parts is not None:
            self._parts.outbox.broadcast("SettingsChanged", tuple(keys))

    def _put(self, exported: Exported) -> Exported:
        self._tree.put(exported)
        return exported

    def _put_manager(self, busy: bool) -> Exported:
        assert self._parts is not None
        state = ManagerState(luxusbd.__version__, self._parts.features, busy)
        return self._put(Exported(ObjectPath(MANAGER_PATH), MANAGER, state))

    async def _take_name(self, connection: Connection) -> None:
        try:
            mine = await connection.own_name(BUS_NAME)
        except RemoteError as error:
            raise FailedError(
                f"the bus does not let uid {os.getuid()} own {BUS_NAME}: {error}; is the bus policy "
                "/usr/share/dbus-1/system.d/org.luxusb.Manager.conf installed, and does this run as root?"
            ) from error
        if not mine:
            raise FailedError(f"another luxusbd already runs on this bus (it owns {BUS_NAME})")


class _Parts:
    """What lives as long as one connection."""

    def __init__(
        self,
        connection: Connection,
        engine: Engine,
        tree: Tree,
        authority: Authority,
        watchers_changed: Callable[[], None],
    ) -> None:
        self.connection = connection
        self.callers = Callers(connection, engine.caller_vanished, watchers_changed)
        gate = Gate(self.callers, authority)
        jobs = JobMethods(engine, tree, gate).implementation()
        manager = ManagerMethods(engine, tree, gate, jobs)
        implementations = {MANAGER: manager.implementation(), DEVICE: device.implementation(), JOB: jobs}
        self.features = manager.features()
        self.dispatcher = Dispatcher(
            connection, self.callers, tree, implementations, StandardInterfaces(tree, implementations).handlers()
        )
        self.outbox = Outbox(
            connection,
            implementations,
            self.callers.known,
            {"ProgressChanged": progress_values, "Finished": finished_values},
        )
        self._heard: dict[tuple[str, str], tuple[str, Callable[[Message], None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, signal: SignalOf, handler: Callable[[Message], None]) -> None:
        """See `BusService.listen`."""
        self._heard[signal.interface, signal.member] = (signal.sender, handler)
        await self.connection.call_bus("AddMatch", "s", [signal.rule])

    def receive(self, signal: Message) -> None:
        """Take a signal."""
        self.callers.receive(signal)
        heard = self._heard.get((signal.interface or "", signal.member or ""))
        if heard is not None:
            task = asyncio.get_running_loop().create_task(self._pass_on(signal, *heard), name=f"signal-{signal.member}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, signal: Message, name: str, handler: Callable[[Message], None]) -> None:
        try:
            # anybody may send us a signal of that name directly
            (owner,) = await self.connection.call_bus("GetNameOwner", "s", [name])
        except (RemoteError, DisconnectedError, TimeoutError) as error:
            log.debug("%s from nobody known: %s", signal.member, error)
            return
        if owner == signal.sender:
            handler(signal)
