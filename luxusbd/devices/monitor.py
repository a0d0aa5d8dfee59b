"""Watches disks come and go, and what becomes of them, from the event loop.

An event says only that something is different; what, is found by taking a new inventory and comparing. So bursts (a
disk, its partitions, udev's second thoughts) collapse into one look, lost events cost nothing, and the order in which
the kernel and udev report does not matter.

Cards are noticed because the kernel polls readers for them, every two seconds where udev's 60-block.rules set
`events_dfl_poll_msecs`. Without that the next opening finds the exchange out: the kernel counts the disk's number up,
and a job that was planned for the card before is refused.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
from collections.abc import Callable
from pathlib import Path

import pyudev

from luxusbd.devices.guard import GuardPolicy
from luxusbd.devices.inventory import Inventory, compare, take_inventory
from luxusbd.devices.model import Device, DeviceEvent
from luxusbd.devices.sysfs import Roots

log = logging.getLogger(__name__)

SETTLE = 0.2
"""Seconds of silence after an event before the disks are looked at."""

SETTLE_LIMIT = 1.5
"""Seconds after which they are looked at even when events keep coming."""

EMPTY_PATIENCE = 0.5
"""Seconds in which a disk that has become empty may turn out to be gone, and a new one to have a size. The kernel knows
of a stick that is pulled that it has no medium before it takes the stick away, and of a new one before it has read its
capacity; for a reader without a card that is how it stays."""

POLL = 5.0
"""Seconds between looks where no events can be had."""

_UDEV_CONTROL = Path("/run/udev/control")
_FIRST_RETRY, _LAST_RETRY = 0.5, 30.0
_BUFFER = 8 * 1024 * 1024


class DeviceMonitor:
    """Tells of disks that appear, change and go.

    `on_event` is called in the loop, in order; it must not block. What it raises is logged. Between events `devices()`
    is what was told last. Mounts in namespaces that do not propagate to this process's cause no event: the guard finds
    them when a job asks, not before.
    """

    def __init__(
        self, policy: GuardPolicy, on_event: Callable[[DeviceEvent], None], *, roots: Roots | None = None
    ) -> None:
        self._policy = policy
        self._on_event = on_event
        self._roots = roots or Roots()
        self._inventory = Inventory()
        self._pulled: set[str] = set()
        self._stirred = asyncio.Event()
        self._looking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._uevents: pyudev.Monitor | None = None
        self._source = "none"
        self._tables: _TableWatch | None = None

    @property
    def source(self) -> str:
        """Where events come from: `udev`, `kernel`, or `none` when they are polled for."""
        return self._source

    async def start(self) -> None:
        """Begin to listen, then report every disk that is there as added."""
        # Listening comes first: what happens during the first look causes another one.
        if self._roots.live:
            self._listen()
        await self._look()
        self._task = asyncio.create_task(self._run(), name="device monitor")

    async def stop(self) -> None:
        """End; no event comes afterwards."""
        loop = asyncio.get_running_loop()
        if self._uevents is not None:
            loop.remove_reader(self._uevents.fileno())
            self._uevents = None
        if self._tables is not None:
            loop.remove_reader(self._tables.fileno())
            self._tables.close()
            self._tables = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def devices(self) -> tuple[Device, ...]:
        """The disks as they were told last, by kernel name."""
        return tuple(device for _, device in sorted(self._inventory.devices.items()))

    def find(self, device_id: str) -> Device | None:
        """The disk with this id among `devices()`."""
        return next((device for device in self.devices() if device.identity.id == device_id), None)

    async def rescan(self, node: str = "") -> Device | None:
        """Look at once, tell what is different, and return the disk at this node, if it is there."""
        await self._look()
        return next((device for device in self.devices() if device.node == node), None)

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        # Without udevd nobody sends on its channel; with it the kernel's own events come before udev's rules have run.
        source = "udev" if _UDEV_CONTROL.exists() else "kernel"
        try:
            monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source=source)
            monitor.filter_by("block")
            monitor.start()
        except OSError as error:
            log.warning("no events of disks (%s); looking every %g seconds instead", error, POLL)
        else:
            try:
                monitor.set_receive_buffer_size(_BUFFER)
            except OSError as error:
                log.debug("the buffer for events of disks stays small: %s", error)
            self._uevents, self._source = monitor, source
            loop.add_reader(monitor.fileno(), self._receive, monitor)
        self._tables = _TableWatch(self._roots)
        loop.add_reader(self._tables.fileno(), self._tables_changed, self._tables)

    def _receive(self, monitor: pyudev.Monitor) -> None:
        try:
            while (device := monitor.poll(timeout=0)) is not None:
                if device.action == "remove":
                    self._pulled.add(device.sys_name)
        except OSError as error:
            log.warning("events of disks were lost (%s); looking at all of them", error)
        self._stirred.set()

    def _tables_changed(self, tables: _TableWatch) -> None:
        tables.drain()
        self._stirred.set()

    async def _run(self) -> None:
        retry = _FIRST_RETRY
        while True:
            timeout = POLL if self._uevents is None else None
            if self._inventory.settling:
                timeout = retry
            if await self._wait(timeout):
                retry = _FIRST_RETRY
                await self._settle()
            else:
                retry = min(retry * 2, _LAST_RETRY)
            try:
                await self._look(patient=True)
            except Exception:
                log.exception("the disks could not be looked at; trying again with the next event")

    async def _wait(self, timeout: float | None) -> bool:
        try:
            async with asyncio.timeout(timeout):
                await self._stirred.wait()
        except TimeoutError:
            return False
        return True

    async def _settle(self) -> None:
        """Wait until nothing has happened for `SETTLE`, at most for `SETTLE_LIMIT`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + SETTLE_LIMIT
        while (left := end - loop.time()) > 0:
            self._stirred.clear()
            if not await self._wait(min(SETTLE, left)):
                return

    async def _look(self, *, patient: bool = False) -> None:
        async with self._looking:
            # Whatever happens from here on may be missed by this look and has to cause the next.
            self._stirred.clear()
            pulled, self._pulled = self._pulled, set()
            before = self._inventory
            now = await asyncio.to_thread(take_inventory, self._policy, self._roots, before)
            if patient and _has_newly_empty(before, now):
                await asyncio.sleep(EMPTY_PATIENCE)
                now = await asyncio.to_thread(take_inventory, self._policy, self._roots, before)
            self._inventory = now
            for event in compare(before, now, pulled):
                try:
                    self._on_event(event)
                except Exception:
                    log.exception("the listener failed on %s of %s", event.kind, event.device.node)


def _has_newly_empty(before: Inventory, now: Inventory) -> bool:
    return any(
        device.identity.size == 0 and (name not in before.devices or before.devices[name].identity.size > 0)
        for name, device in now.devices.items()
    )


class _TableWatch:
    """One descriptor that is readable after a change of mounts or swap.

    The kernel reports changes of these files as EPOLLPRI, and calls them readable all the time, so that the loop's own
    wish for EPOLLIN would never let it sleep. An epoll of their priority events alone, watched by the loop, does.
    """

    def __init__(self, roots: Roots) -> None:
        self._epoll = select.epoll()
        self._fds: list[int] = []
        # The first process's mounts are the machine's; a service with a private namespace has fewer of its own.
        for name in ("self/mountinfo", "1/mountinfo", "swaps"):
            try:
                fd = os.open(roots.proc / name, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                log.info("changes of %s are not noticed: %s", roots.proc / name, error)
                continue
            self._fds.append(fd)
            self._epoll.register(fd, select.EPOLLPRI)

    def fileno(self) -> int:
        """To be watched for reading."""
        return self._epoll.fileno()

    def drain(self) -> None:
        """Take the events, so that it becomes silent again."""
        self._epoll.poll(0)

    def close(self) -> None:
        """Let go of all descriptors."""
        self._epoll.close()
        for fd in self._fds:
            os.close(fd)
