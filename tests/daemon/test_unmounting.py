"""A stick that the desktop has mounted: unmounted by udisks inside the job, or refused with who uses it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from luxusb_cli.errors import DaemonError
from luxusb_cli.model import DeviceInfo

from luxusbd.bus.private import private_bus
from tests.daemon import sticks
from tests.daemon.caller import Caller
from tests.daemon.daemon import Daemon
from tests.daemon.images import Images
from tests.daemon.leftovers import Machine
from tests.daemon.udisks import POLICY, FakeUdisks, fake_udisks
from tests.devices.loops import call, quietly

pytestmark = pytest.mark.root

CONFIG = """
[paths]
state_dir = "{place}/s"
download_dir = "{place}/s/incoming"
cache_dir = "{place}/s/cache"
catalog_dir = "{place}/s/distros.d"
[transfer]
user = "nobody"
[devices]
allow_loop = ["{place}/*.img"]
"""


@pytest.fixture
async def address(place: Path) -> AsyncIterator[str]:
    async with private_bus(place / "b", users=[65534], extra_policy=POLICY) as running:
        yield running


@pytest.fixture
async def service(place: Path, address: str, catalogue: Path) -> AsyncIterator[Daemon]:
    machine = Machine.now()
    async with Daemon(place, catalogues=[catalogue], config=CONFIG.format(place=place), address=address) as daemon:
        yield daemon
    machine.check_nothing_left(daemon)


@pytest.fixture
async def root(service: Daemon) -> AsyncIterator[Caller]:
    async with Caller.connect(service.address) as connected:
        yield connected


@pytest.fixture
async def udisks(address: str) -> AsyncIterator[FakeUdisks]:
    async with fake_udisks(address) as running:
        yield running


@pytest.fixture
def point() -> Iterator[Path]:
    """A mount point where desktops have theirs."""
    parent = Path("/media")
    there = parent.is_dir()
    parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="luxusb-test-", dir=parent) as made:
        yield Path(made)
        quietly("umount", made)
    if not there:
        parent.rmdir()


@pytest.fixture
def node(stick: Path, attach: Callable[[Path], str], point: Path) -> str:
    """A loop device with a mounted filesystem on it."""
    found = attach(stick)
    call("mkfs.ext4", "-q", "-F", "-L", "HOLIDAY", found)
    call("mount", found, point)
    return found


async def mounted(root: Caller, node: str, point: Path) -> DeviceInfo:
    """The device, once the daemon has seen the mount."""
    while True:
        known = len(root.heard)
        for device in await root.client.devices():
            if device.node == node and [mount.point for mount in device.mounts] == [str(point)]:
                return device
        await root.news(known)


@contextlib.contextmanager
def open_file(point: Path) -> Iterator[int]:
    """A process that holds a file open; its pid."""
    code = "import sys; file = open(sys.argv[1], 'w'); print('ready', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(point / "open")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield process.pid
    finally:
        process.communicate()


async def test_a_mounted_stick_is_unmounted_by_the_job(
    root: Caller, udisks: FakeUdisks, node: str, point: Path, stick: Path, images: Images
) -> None:
    device = await mounted(root, node, point)
    assert device.blocked_reason == ""
    plan = await root.plan([device.path], ["distro:alpha"])
    assert f"{node} will be unmounted from {point}; close what is open there" in plan.warnings
    assert udisks.unmounted == []
    await root.succeeded(await root.client.create(plan.token))
    assert udisks.unmounted == [(node, {"auth.no_user_interaction": True})]
    assert sticks.check(stick) == {"alpha.iso": images.alpha.sha256}


async def test_who_uses_it_is_named(root: Caller, udisks: FakeUdisks, node: str, point: Path) -> None:
    device = await mounted(root, node, point)
    plan = await root.plan([device.path], ["distro:alpha"])
    with open_file(point) as pid:
        failed = await root.failed(await root.client.create(plan.token))
    assert failed.error_name == "org.luxusb.Error.DeviceMounted"
    for word in (node, str(point), "is busy", f"({pid})", "close what they have open"):
        assert word in failed.error_message
    assert len(udisks.unmounted) == 1
    assert (point / "open").exists()


async def test_without_udisks_it_is_refused_at_once(root: Caller, node: str, point: Path) -> None:
    device = await mounted(root, node, point)
    with open_file(point) as pid, pytest.raises(DaemonError) as refused:
        await root.plan([device.path], ["distro:alpha"])
    assert refused.value.name == "org.luxusb.Error.DeviceMounted"
    for word in (node, str(point), "not mounted by udisks", f"({pid})", "umount"):
        assert word in str(refused.value)


@pytest.mark.parametrize(("can", "method"), [(True, "PowerOff"), (False, "Eject")])
async def test_a_mounted_stick_is_switched_off(
    root: Caller, udisks: FakeUdisks, node: str, point: Path, can: bool, method: str
) -> None:
    device = await mounted(root, node, point)
    udisks.can["CanPowerOff"] = can
    with open_file(point) as pid, pytest.raises(DaemonError) as refused:
        await root.client.eject(device.path)
    assert refused.value.name == "org.luxusb.Error.DeviceMounted"
    assert f"({pid})" in str(refused.value)
    assert udisks.off == []
    await root.client.eject(device.path)
    assert udisks.off == [(method, Path(node).name)]
    assert node not in Path("/proc/mounts").read_text().split()


async def test_without_udisks_a_stick_is_flushed_and_let_go(
    root: Caller, stick: Path, attach: Callable[[Path], str]
) -> None:
    """A loop device has nothing that could be switched off; a job that has the disk keeps it."""
    device = await root.disk(attach(stick))
    plan = await root.plan([device.path], ["distro:large"])
    job = await root.client.create(plan.token)
    with pytest.raises(DaemonError) as busy:
        await root.client.eject(device.path)
    assert busy.value.name == "org.luxusb.Error.DeviceBusy"
    await root.succeeded(job)
    await root.client.eject(device.path)
    target = await root.target(stick.with_name("file.img"), 64 * 1024 * 1024)
    with pytest.raises(DaemonError) as refused:
        await root.client.eject(target)
    assert refused.value.name == "org.luxusb.Error.NotSupported"
