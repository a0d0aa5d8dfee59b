"""Whole disks through the service: what they hold, plain drives, and switching off."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from luxusb_cli.calls import Work
from luxusb_cli.connection import Typed

from tests.daemon.caller import Caller
from tests.daemon.daemon import WORKER, Daemon
from tests.daemon.images import MIB
from tests.stick.fusedisk import RECORD
from tests.stick.liars import Lie
from tests.stick.lyingfile import lying

pytestmark = pytest.mark.root

SIZE = 64 * MIB
REAL = 25 * MIB + 12288


def digest(path: Path, real: int = REAL) -> str:
    return hashlib.sha256(path.read_bytes()[:real]).hexdigest()


@pytest.mark.parametrize(("lie", "verdict"), [(Lie.DROPS, "loses"), (Lie.ERRORS, "ends")], ids=str)
async def test_a_counterfeit_disk(
    daemon: Daemon, caller: Caller, place: Path, attach: Callable[[Path], str], lie: Lie, verdict: str
) -> None:
    with lying(place / "liar", lie, SIZE, REAL) as file:
        node = attach(file)
        before = digest(place / "liar/disk")
        found = (await caller.succeeded(await caller.client.work_on((await caller.disk(node)).path, Work.PROBE))).result
        assert (found["verdict"], found["size"], found["capacity"]) == (verdict, SIZE, REAL)
        assert "counterfeit or broken" in str(found["message"])
        assert digest(place / "liar/disk") == before


async def test_a_counterfeit_disk_is_made_no_stick(
    daemon: Daemon, caller: Caller, place: Path, attach: Callable[[Path], str]
) -> None:
    real = 100 * MIB + 12288
    with lying(place / "liar", Lie.WRAPS, 256 * MIB, real) as file:
        node = attach(file)
        before = digest(place / "liar/disk", real)
        planned = await caller.plan([(await caller.disk(node)).path], ["distro:alpha"], probe=Typed("b", True))
        failed = await caller.failed(await caller.client.create(planned.token))
        assert failed.error_name == "org.luxusb.Error.DeviceCounterfeit", failed
        assert "256.0 MiB, and it has 100.0 MiB" in failed.error_message
        assert digest(place / "liar/disk", real) == before


@pytest.mark.parametrize("victim", ["worker", "core"])
async def test_a_probe_that_is_killed(
    daemon: Daemon, caller: Caller, place: Path, attach: Callable[[Path], str], stick: Path, victim: str
) -> None:
    """What was on the disk comes back with the next probe, also where the disk is another one by its name then."""
    with lying(place / "liar", Lie.NONE, SIZE, SIZE, pause=0.005) as file:
        node = attach(file)
        whole = hashlib.sha256((place / "liar/disk").read_bytes()).hexdigest()
        first = await caller.disk(node)
        path = await caller.client.work_on(first.path, Work.PROBE)
        while (place / "liar/writes").stat().st_size < 40 * RECORD.size:
            await asyncio.sleep(0.01)
        if victim == "worker":
            assert daemon.kill_children(WORKER)
            failed = await caller.failed(path)
            assert "probe the disk again, and it is put back first" in failed.error_message
        else:
            await daemon.kill()
            await daemon.start()
        assert hashlib.sha256((place / "liar/disk").read_bytes()).hexdigest() != whole
        subprocess.run(["losetup", "-d", node], check=True)
        attach(stick)
        while (other := attach(file)) == node:
            # somebody else gave a lower number back meanwhile
            subprocess.run(["losetup", "-d", node], check=True)
            attach(stick)
        async with Caller.connect(daemon.address) as later:
            device = await later.disk(other)
            assert device.id != first.id
            found = (await later.succeeded(await later.client.work_on(device.path, Work.PROBE))).result
        assert found["capacity"] == SIZE
        # on a machine with much to do a disk seems slow now and then
        assert found["verdict"] in ("genuine", "slow")
        assert hashlib.sha256((place / "liar/disk").read_bytes()).hexdigest() == whole
        assert not list((daemon.state / "probes").iterdir())
