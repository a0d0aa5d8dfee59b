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
from tests.vm.machine import Guest, Ran
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
    assert (await guest.device(SERIAL))["current_job"] == ""


async def job(guest: Guest, number: int) -> dict[str, Any]:
    jobs = (await guest.luxusb("jobs", user="root"))["jobs"]
    return dict(next(one for one in jobs if one["id"] == number))


async def writing(guest: Guest, number: int) -> bool:
    """Whether the job is at its longest step; fails when it is over."""
    now = await job(guest, number)
    assert now["state"] in ("queued", "running"), now
    return bool(now["stage"] == "write-image")


async def partitions(guest: Guest, node: str) -> dict[str, str]:
    """Nodes of the partitions by label, from the kernel: udev looks at nothing of a disk that is locked."""
    name = node.removeprefix("/dev/")
    said = await guest.run(
        f"for part in /sys/block/{name}/{name}*; do"
        f' echo "$(sed -n s/^PARTNAME=//p $part/uevent) /dev/$(basename $part)"; done'
    )
    return {label: part for label, _, part in (line.partition(" ") for line in said.stdout.splitlines()) if label}


async def mount(guest: Guest, part: str) -> Ran:
    """What a click of alice's in the file manager does."""
    return await guest.run(f"udisksctl mount --no-user-interaction -b {part}", user="alice", check=False)


async def undisturbed(guest: Guest, node: str, order: str) -> None:
    """Run a job that writes, with alice clicking in the middle and afterwards."""
    number = int((await guest.luxusb(order, user="root"))["job"]["id"])
    await guest.until(lambda: writing(guest, number), timeout=240)
    parts = await partitions(guest, node)
    assert set(parts) == {"LUXBIOS", "LUXESP", "LUXDATA"}
    for part in parts.values():
        tried = await mount(guest, part)
        assert tried.status != 0, tried.output
    assert await points(guest, node) == []
    assert await writing(guest, number)
    await guest.run(f"luxusb watch {number}", timeout=300)
    assert (await job(guest, number))["state"] == "succeeded"

    # then it is hers again: the partition with the images, while the small ones stay out of sight
    async def comes_back() -> bool:
        return (await mount(guest, parts["LUXDATA"])).status == 0

    await guest.until(comes_back)
    (point,) = await points(guest, node)
    assert "wide.iso" in (await guest.run(f"ls {point}/iso", user="alice")).stdout.split()
    for label, part in parts.items():
        shown = " ".join((await guest.run(f"udisksctl info -b {part}", user="alice")).stdout.split())
        assert ("HintIgnore: false" in shown) is (label == "LUXDATA"), shown
    await guest.run(f"udisksctl unmount -b {parts['LUXDATA']}", user="alice")


@pytest.mark.campaign
async def test_udisks_is_kept_away_while_a_job_owns_the_disk(guest: Guest, mounted: dict[str, Any]) -> None:
    node = mounted["node"]
    second = "/var/tmp/second.iso"
    await guest.run(f"cat /srv/mirror/grub-rescue-cdrom.iso /srv/mirror/big.iso >{second}", timeout=120)
    await guest.run(f"luxusb import {second}", timeout=300)
    images = (await guest.luxusb("images", user="root"))["images"]
    reference = next(image["reference"] for image in images if image["name"] == "second.iso")
    await undisturbed(guest, node, create(mounted, "wide", "--no-wait"))
    # the second time udisks has known for long what is on it
    await undisturbed(guest, node, f"add --no-wait --device {node} {reference}")
    await guest.luxusb(f"verify --device {node}", user="root", timeout=300)


@pytest.mark.campaign
async def test_a_user_copies_an_image_onto_the_stick_without_us(guest: Guest, mounted: dict[str, Any]) -> None:
    node = mounted["node"]
    await guest.luxusb(create(mounted, "memtest86plus"), user="root", timeout=600)
    data = (await partitions(guest, node))["LUXDATA"]

    async def clicked() -> bool:
        return (await mount(guest, data)).status == 0

    await guest.until(clicked)
    (point,) = await points(guest, node)
    await guest.run(f"cp /srv/mirror/grub-rescue-cdrom.iso {point}/iso/mine.iso", user="alice")
    await guest.run(f"udisksctl unmount -b {data}", user="alice")
    told = (await guest.luxusb(f"rescan --device {node}", user="root", timeout=300))["job"]["result"]
    assert [image["name"] for image in told["added"]] == ["mine.iso"]
    assert (await guest.luxusb(f"verify --device {node}", user="root", timeout=300))["job"]["result"]["ok"] is True
