"""The monitor with the kernel's own events."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pyudev

from luxusbd.devices import monitor as module
from luxusbd.devices.guard import GuardPolicy
from luxusbd.devices.inventory import Inventory, take_inventory
from luxusbd.devices.model import DeviceEvent, EventKind
from luxusbd.devices.monitor import DeviceMonitor
from luxusbd.devices.sysfs import Roots
from luxusbd.errors import DeviceIsSwapError, DeviceMountedError
from tests.devices.loops import MIB, Loops, call
from tests.devices.recorded import GIB, Recorded

PATIENCE = 20.0


class Watch:
    """A monitor and the events of the loop devices that it tells about."""

    def __init__(self, policy: GuardPolicy) -> None:
        self.events: asyncio.Queue[DeviceEvent] = asyncio.Queue()
        self.monitor = DeviceMonitor(policy, self._take)

    def _take(self, event: DeviceEvent) -> None:
        if event.device.bus == "loop":
            self.events.put_nowait(event)

    async def next(self, kind: EventKind) -> DeviceEvent:
        async with asyncio.timeout(PATIENCE):
            event = await self.events.get()
        assert event.kind is kind, event
        return event

    async def until_partitioned(self) -> DeviceEvent:
        """The event with the partition in it: attaching and telling the kernel of partitions may be one look or two."""
        async with asyncio.timeout(PATIENCE):
            while not (event := await self.events.get()).device.partitions:
                assert event.kind is EventKind.ADDED
        return event


@asynccontextmanager
async def watching(policy: GuardPolicy) -> AsyncIterator[Watch]:
    watch = Watch(policy)
    await watch.monitor.start()
    try:
        yield watch
    finally:
        await watch.monitor.stop()


@pytest.mark.root
async def test_attach_and_detach(loops: Loops, policy: GuardPolicy) -> None:
    async with watching(policy) as watch:
        assert watch.monitor.source in ("udev", "kernel")
        node = await asyncio.to_thread(loops.attach)
        event = await watch.next(EventKind.ADDED)
        assert (event.device.node, event.device.identity.size, event.device.eligible) == (node, 16 * MIB, True)
        assert watch.monitor.find(event.device.identity.id) == event.device

        await asyncio.to_thread(call, "losetup", "-d", node)
        gone = await watch.next(EventKind.REMOVED)
        assert gone.device == event.device
        assert watch.monitor.find(event.device.identity.id) is None
        assert watch.events.empty()


@pytest.mark.root
async def test_what_is_there_is_told_at_the_start(loops: Loops, policy: GuardPolicy) -> None:
    node = loops.attach()
    async with watching(policy) as watch:
        event = watch.events.get_nowait()
        assert (event.kind, event.device.node) == (EventKind.ADDED, node)
        shown = {device.node: device for device in watch.monitor.devices()}
        assert shown[node] == event.device
        root = Path("/").stat().st_dev
        blocked = [device.block_error for device in shown.values() if device.node != node]
        assert os.major(root) == 0 or "org.luxusb.Error.SystemDevice" in blocked


@pytest.mark.root
async def test_mounts_swap_and_partitions_are_noticed(loops: Loops, policy: GuardPolicy) -> None:
    async with watching(policy) as watch:
        _, part = await asyncio.to_thread(loops.partitioned)
        event = await watch.until_partitioned()
        assert [found.node for found in event.device.partitions] == [part]

        point = await asyncio.to_thread(loops.mount, part)
        event = await watch.next(EventKind.CHANGED)
        assert event.device.block_error == DeviceMountedError.dbus_name
        assert str(point) in event.device.blocked_reason

        await asyncio.to_thread(call, "umount", point)
        # It may be seen first without its mount point and still being written out.
        while not (event := await watch.next(EventKind.CHANGED)).device.eligible:
            assert "still holds" in event.device.blocked_reason

        await asyncio.to_thread(loops.swap, part)
        event = await watch.next(EventKind.CHANGED)
        assert event.device.block_error == DeviceIsSwapError.dbus_name
        await asyncio.to_thread(call, "swapoff", part)
        event = await watch.next(EventKind.CHANGED)
        assert event.device.eligible


@pytest.mark.root
async def test_the_end_of_a_lazy_unmount_is_noticed(loops: Loops, policy: GuardPolicy) -> None:
    async with watching(policy) as watch:
        _, part = await asyncio.to_thread(loops.partitioned)
        await watch.until_partitioned()
        point = await asyncio.to_thread(loops.mount, part)
        await watch.next(EventKind.CHANGED)
        with (point / "file").open("w"):
            await asyncio.to_thread(call, "umount", "-l", point)
            event = await watch.next(EventKind.CHANGED)
            assert "still holds" in event.device.blocked_reason
        # Closing the file ends the mount; nothing in the kernel announces it.
        event = await watch.next(EventKind.CHANGED)
        assert event.device.eligible


@pytest.mark.root
async def test_another_file_in_the_same_loop(loops: Loops, policy: GuardPolicy) -> None:
    async with watching(policy) as watch:
        node = await asyncio.to_thread(loops.attach)
        first = await watch.next(EventKind.ADDED)
        other = loops.image(8 * MIB)
        await asyncio.to_thread(call, "losetup", "-d", node)
        await asyncio.to_thread(call, "losetup", node, other)
        gone = await watch.next(EventKind.REMOVED)
        event = await watch.next(EventKind.ADDED)
        assert gone.device == first.device
        assert event.device.identity.size == 8 * MIB
        assert event.device.identity.disk_seq > first.device.identity.disk_seq


@pytest.mark.root
async def test_rescan_answers_at_once(loops: Loops, policy: GuardPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLE", 3600.0)
    monkeypatch.setattr(module, "SETTLE_LIMIT", 3600.0)
    async with watching(policy) as watch:
        node = await asyncio.to_thread(loops.attach)
        device = await watch.monitor.rescan(node)
        assert device is not None
        assert device.node == node
        assert watch.events.get_nowait().device == device
        assert await watch.monitor.rescan("/dev/nothing") is None


@pytest.mark.root
async def test_without_events_disks_are_looked_for(
    loops: Loops, policy: GuardPolicy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError("no netlink here")

    monkeypatch.setattr(pyudev.Monitor, "from_netlink", refuse)
    monkeypatch.setattr(module, "POLL", 0.05)
    async with watching(policy) as watch:
        assert watch.monitor.source == "none"
        assert "no netlink here" in caplog.text
        node = await asyncio.to_thread(loops.attach)
        assert (await watch.next(EventKind.ADDED)).device.node == node


@pytest.mark.root
async def test_lost_events_cause_a_look(
    loops: Loops, policy: GuardPolicy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(policy) as watch:
        real = pyudev.Monitor.poll

        def overflow(self: pyudev.Monitor, timeout: float | None = None) -> object:
            if real(self, timeout) is None:
                return None
            raise OSError(105, "No buffer space available")

        monkeypatch.setattr(pyudev.Monitor, "poll", overflow)
        node = await asyncio.to_thread(loops.attach)
        assert (await watch.next(EventKind.ADDED)).device.node == node
        assert "events of disks were lost" in caplog.text


async def test_a_failing_listener_does_not_end_the_monitor(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    machine = Recorded(tmp_path)
    machine.usb("sdb")
    told: list[DeviceEvent] = []

    def listen(event: DeviceEvent) -> None:
        told.append(event)
        raise RuntimeError("listener")

    monitor = DeviceMonitor(GuardPolicy(), listen, roots=machine.roots)
    await monitor.start()
    try:
        machine.usb("sdc", port="1-3", serial="C")
        assert await monitor.rescan("/dev/sdc") is not None
        assert [event.device.node for event in told] == ["/dev/sdb", "/dev/sdc"]
        assert "the listener failed on added of /dev/sdb" in caplog.text
    finally:
        await monitor.stop()


async def test_a_burst_is_one_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Recorded(tmp_path)
    machine.usb("sdb", size=0, parts=0)
    looks = 0

    def count(policy: GuardPolicy, roots: Roots, before: Inventory) -> Inventory:
        nonlocal looks
        looks += 1
        return take_inventory(policy, roots, before)

    monkeypatch.setattr(module, "take_inventory", count)
    events: asyncio.Queue[DeviceEvent] = asyncio.Queue()
    monitor = DeviceMonitor(GuardPolicy(), events.put_nowait, roots=machine.roots)
    await monitor.start()
    try:
        await events.get()
        machine.attribute("sdb", size=str(GIB // 512), diskseq="2")
        for _ in range(50):
            monitor._stirred.set()
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE):
            assert [(await events.get()).kind for _ in range(2)] == [EventKind.REMOVED, EventKind.ADDED]
        assert looks == 2
    finally:
        await monitor.stop()
    assert events.empty()


async def _told(
    machine: Recorded, happens: Callable[[], object], then: Callable[[], object]
) -> list[tuple[EventKind, int]]:
    """Events with sizes, when one thing happens and another one before the monitor's patience is over."""
    events: list[DeviceEvent] = []
    monitor = DeviceMonitor(GuardPolicy(), events.append, roots=machine.roots)
    await monitor.start()
    try:
        known = len(events)
        for change in (happens, then):
            change()
            monitor._stirred.set()
            await asyncio.sleep(module.SETTLE + module.EMPTY_PATIENCE / 2)
        async with asyncio.timeout(PATIENCE):
            while len(events) == known or monitor._stirred.is_set():
                await asyncio.sleep(0.05)
        return [(event.kind, event.device.identity.size) for event in events[known:]]
    finally:
        await monitor.stop()


async def test_a_stick_that_is_pulled_is_not_shown_as_an_empty_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EMPTY_PATIENCE", 3.0)
    machine = Recorded(tmp_path)
    machine.usb("sdb")
    told = await _told(
        machine,
        lambda: machine.attribute("sdb", size="0"),
        lambda: (tmp_path / "sys/block/sdb").unlink(),
    )
    assert told == [(EventKind.REMOVED, 32 * GIB)]


async def test_a_new_stick_is_shown_once_it_has_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EMPTY_PATIENCE", 3.0)
    machine = Recorded(tmp_path)

    def plugged() -> None:
        machine.usb("sdb", size=0, parts=0)

    told = await _told(machine, plugged, lambda: machine.attribute("sdb", size=str(GIB // 512)))
    assert told == [(EventKind.ADDED, GIB)]


async def test_a_reader_without_a_card_is_shown_after_all(tmp_path: Path) -> None:
    machine = Recorded(tmp_path)

    def plugged() -> None:
        machine.usb("sdb", size=0, parts=0)

    assert await _told(machine, plugged, lambda: None) == [(EventKind.ADDED, 0)]


async def test_stop_leaves_nothing_open(policy: GuardPolicy) -> None:
    def block_sockets() -> list[str]:
        links = []
        for link in Path("/proc/self/fd").iterdir():
            try:
                links.append(str(link.readlink()))
            except FileNotFoundError:
                continue  # the directory's own descriptor
        return sorted(links)

    before = block_sockets()
    for _ in range(2):
        monitor = DeviceMonitor(policy, lambda event: None)
        await monitor.start()
        await monitor.stop()
        del monitor
    # The default executor of the loop keeps no descriptors; pyudev closes its own with the objects.
    assert block_sockets() == before
