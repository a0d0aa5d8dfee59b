"""What a desktop has mounted through udisks, before, while and after a job has the disk."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.vm.conftest import MIB
from tests.vm.image import PASSWORD
from tests.vm.machine import Guest
from tests.vm.terminal import on_terminal

pytestmark = [pytest.mark.vm, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

SERIAL = "LUX3001"
LABEL = "HOLIDAY"
LETTER = f"/media/alice/{LABEL}/letter"


@pytest_asyncio.fixture(loop_scope="session")
async def mounted(guest: Guest, stick: Path) -> AsyncIterator[dict[str, Any]]:
    """A stick with a FAT partition that alice has mounted, and a letter of hers on it."""
    await guest.plug("holiday", stick, serial=SERIAL, rate=12 * MIB)
    node = (await guest.device(SERIAL))["node"]
    await guest.run(
        f"parted -s {node} mklabel msdos mkpart primary fat32 1MiB 100% && udevadm settle"
        f" && mkfs.vfat -n {LABEL} {node}1 && udevadm trigger --settle {node}1"
    )
    await guest.run(f"udisksctl mount -b {node}1 && echo kept >{LETTER} && sync -f {LETTER}", user="alice")
    yield await guest.device(SERIAL)
    await guest.run(f"pkill -u alice tail; umount -q {node}1 || true", check=False)


def create(device: dict[str, Any], images: str, options: str = "") -> str:
    return f"create --yes --device {device['node']} --device-id {device['id']} {options} {images}"


async def points(guest: Guest, node: str) -> list[str]:
    """Where anything of a disk is mounted."""
    said = await guest.run(f"lsblk -nro MOUNTPOINT {node}")
    return said.stdout.split()


async def test_mounted_by_udisks_is_unmounted_for_an_authorised_job(guest: Guest, mounted: dict[str, Any]) -> None:
    assert mounted["blocked_reason"] == ""
    assert await points(guest, mounted["node"]) == [f"/media/alice/{LABEL}"]
    done = await on_terminal(
        guest, f"luxusb {create(mounted, 'memtest86plus')}", [("Password: ", PASSWORD)], timeout=300
    )
    assert (done.status, done.unasked) == (0, ()), done.said
    assert (await guest.device(SERIAL))["state"] == "luxusb"
    assert await points(guest, mounted["node"]) == []
    # udisks itself did it: it has forgotten the mount and taken its directory away
    journal = (await guest.run("journalctl --no-pager -b -u luxusbd -u udisks2 -o cat")).stdout
    assert f"{mounted['node']}1 was unmounted from /media/alice/{LABEL}" in journal
    assert (await guest.run(f"test -e /media/alice/{LABEL}", check=False)).status == 1


async def test_mounted_by_udisks_and_in_use_is_refused_with_the_process(guest: Guest, mounted: dict[str, Any]) -> None:
    pid = (await guest.run(f"tail -f {LETTER} >/dev/null 2>&1 & echo $!", user="alice")).stdout.strip()
    said = await guest.run(f"luxusb --json {create(mounted, 'memtest86plus')}", check=False, timeout=180)
    assert said.status == 1
    error = json.loads(said.stdout)["error"]
    assert error["name"] == "org.luxusb.Error.DeviceMounted"
    assert f"/media/alice/{LABEL}" in error["message"]
    assert f"used by tail ({pid})" in error["message"]
    # nothing is lost, and its user goes on
    assert await points(guest, mounted["node"]) == [f"/media/alice/{LABEL}"]
    assert (await guest.run(f"cat {LETTER}; kill {pid}", user="alice")).stdout == "kept\n"
    assert (await guest.device(SERIAL))["current_job"] is None


@pytest.mark.campaign
async def test_udisks_is_kept_away_while_a_job_owns_the_disk(guest: Guest, mounted: dict[str, Any]) -> None:
    node = mounted["node"]
    began = await guest.luxusb(create(mounted, "wide", "--no-wait"), user="root")
    number = int(began["job"]["id"])

    async def now() -> dict[str, Any]:
        jobs = (await guest.luxusb("jobs", user="root"))["jobs"]
        return dict(next(one for one in jobs if one["id"] == number))

    async def writing() -> bool:
        job = await now()
        assert job["state"] in ("queued", "running"), job
        return bool(job["stage"] == "write-image")

    await guest.until(writing, timeout=240)
    nodes = (await guest.run(f"lsblk -nrpo NAME {node}")).stdout.split()[1:]
    assert len(nodes) == 3
    for part in nodes:
        tried = await guest.run(f"udisksctl mount --no-user-interaction -b {part}", user="alice", check=False)
        assert tried.status != 0, tried.output
    assert await points(guest, node) == []
    assert await writing()
    await guest.run(f"luxusb watch {number}", timeout=300)
    assert (await now())["state"] == "succeeded"

    # and afterwards it is hers again: the partition with the images, while the small ones stay out of sight
    data = (await guest.run(f"lsblk -nrpo NAME,PARTLABEL {node} | grep LUXDATA")).stdout.split()[0]

    async def mounts() -> bool:
        return (await guest.run(f"udisksctl mount -b {data}", user="alice", check=False)).status == 0

    await guest.until(mounts)
    (point,) = await points(guest, node)
    assert "wide.iso" in (await guest.run(f"find {point} -name '*.iso'", user="alice")).stdout
    for part in nodes:
        shown = await guest.run(f"udisksctl info -b {part}", user="alice")
        assert ("HintIgnore: false" in " ".join(shown.stdout.split())) is (part == data)
    await guest.run(f"udisksctl unmount -b {data}", user="alice")
