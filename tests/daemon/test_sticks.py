"""Sticks over D-Bus, on image files and on loop devices, by the real daemon and its real workers."""

from __future__ import annotations

import fcntl
import hashlib
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from luxusb_cli.connection import Typed
from luxusb_cli.errors import DaemonError
from luxusb_cli.model import JobState

from luxusbd.text import size_text
from tests.daemon import sticks
from tests.daemon.caller import Caller
from tests.daemon.conftest import STICK, Target
from tests.daemon.daemon import Daemon
from tests.daemon.images import MIB, Images
from tests.daemon.loops import detach
from tests.harness.mirrors import Mirror

ERROR = "org.luxusb.Error."


@pytest.mark.root
@pytest.mark.parametrize("settings", ['large_disk = "200MiB"\n'])
async def test_a_large_disk_has_to_be_meant(
    caller: Caller, stick: Path, attach: Callable[[Path], str], images: Images
) -> None:
    device = await caller.disk(attach(stick))
    assert device.large
    with pytest.raises(DaemonError, match=r"a disk of 256\.0 MiB") as refused:
        await caller.plan([device.path], ["distro:alpha"])
    assert refused.value.name == ERROR + "LargeDisk"
    plan = await caller.plan([device.path], ["distro:alpha"], allow_large=Typed("b", True))
    await caller.succeeded(await caller.client.create(plan.token))
    assert sticks.check(stick) == {"alpha.iso": images.alpha.sha256}


async def test_the_life_of_a_stick(caller: Caller, target: Target, images: Images) -> None:
    alpha = await caller.imported(images.alpha.path)
    assert alpha.result["image"] == images.alpha.reference
    device = await target.device(caller)
    plan = await caller.plan([device], [images.alpha.reference, "distro:memtest"], serial_console=Typed("b", True))
    assert [(image.download, image.size) for image in plan.images] == [
        (False, images.alpha.size),
        (True, images.memtest.size),
    ]
    assert plan.devices[0].lost == ()
    assert set(plan.firmware) >= {"bios"}

    path = await caller.client.create(plan.token)
    made = await caller.succeeded(path)
    assert made.bytes_done == made.bytes_total > 0
    children = [job for job in await caller.client.jobs() if job.parent == path]
    assert [(job.operation, job.state) for job in children] == [("download", JobState.SUCCEEDED)]
    first = {"alpha.iso": images.alpha.sha256, "memtest86+x64.iso": images.memtest.sha256}
    assert sticks.check(target.file) == first
    assert sticks.names(target.file) == list(first)
    assert "serial" in sticks.grub_menu(target.file)[1]
    shown = await caller.client.device(device)
    assert (shown.state, shown.current_job) == ("luxusb", "")
    assert [image.sha256 for image in shown.images] == list(first.values())
    assert shown.free_bytes == sticks.contents(target.file).free_bytes
    listed = await caller.client.contents(device)
    assert [(image.name, image.reference) for image in listed] == [
        (name, f"image:{sha256}") for name, sha256 in first.items()
    ]

    await caller.succeeded(await caller.client.add_images(device, ["distro:beta", "distro:rescue"]))
    second = {**first, "beta.iso": images.beta.sha256, "grub-rescue-cdrom.iso": images.rescue.sha256}
    assert sticks.check(target.file) == second
    await caller.succeeded(await caller.client.remove_images(device, [images.alpha.reference, "beta.iso"]))
    third = {name: second[name] for name in ("memtest86+x64.iso", "grub-rescue-cdrom.iso")}
    assert sticks.check(target.file) == third
    before = sticks.grub_menu(target.file)[0]
    await caller.succeeded(await caller.client.refresh(device))
    assert sticks.grub_menu(target.file)[0] > before
    assert sticks.check(target.file) == third
    verified = await caller.succeeded(await caller.client.verify(device))
    assert verified.result["ok"] is True
    # a plan for it says now what would be lost
    again = await caller.plan([device], [images.alpha.reference])
    assert any("grub-rescue-cdrom.iso" in line for line in again.devices[0].lost), again.devices[0].lost


@pytest.mark.root
async def test_the_kernel_reads_what_was_written(
    caller: Caller, target: Target, images: Images, tmp_path: Path
) -> None:
    await caller.created([await target.device(caller)], ["distro:alpha", "distro:rescue"])
    with sticks.mounted(target.file, tmp_path / "p3") as point:
        found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (point / "iso").iterdir()}
        assert found == {"alpha.iso": images.alpha.sha256, "grub-rescue-cdrom.iso": images.rescue.sha256}
        assert {path.name for path in (point / "luxusb").iterdir()} >= {"stick.json", "menu-a.cfg"}
        modes = {stat.filemode(path.stat().st_mode) for path in point.glob("*/*")}
        assert modes == {"-rw-r--r--"}, "the files are for every user of every machine"
        directories = {path.name: stat.filemode(path.stat().st_mode) for path in point.iterdir()}
        assert directories == {"iso": "drwxrwxrwx", "luxusb": "drwxr-xr-x", "lost+found": "drwx------"}
        assert (point.stat().st_mode & 0o777, point.owner()) == (0o755, "root")


async def test_verify_finds_a_flipped_bit(caller: Caller, target: Target, images: Images) -> None:
    device = await target.device(caller)
    await caller.created([device], ["distro:alpha"])
    needle = images.alpha.path.read_bytes()[1_000_000:1_000_064]
    data = target.file.read_bytes()
    at = data.index(needle)
    with target.file.open("r+b") as file:
        file.seek(at)
        file.write(bytes([needle[0] ^ 1]))
    job = await caller.failed(await caller.client.verify(device))
    assert job.error_name == ERROR + "VerificationFailed"
    assert "alpha.iso" in job.error_message


async def test_a_plan_is_used_once(caller: Caller, stick: Path) -> None:
    device = await caller.target(stick)
    plan = await caller.plan([device], ["distro:alpha"])
    await caller.succeeded(await caller.client.create(plan.token))
    with pytest.raises(DaemonError) as refused:
        await caller.client.create(plan.token)
    assert refused.value.name == ERROR + "PlanExpired"
    with pytest.raises(DaemonError) as unknown:
        await caller.client.create("no such token")
    assert unknown.value.name == ERROR + "PlanExpired"


@pytest.mark.root
async def test_another_disk_in_place_of_the_planned_one(
    caller: Caller, attach: Callable[[Path], str], stick: Path, place: Path
) -> None:
    node = attach(stick)
    device = (await caller.disk(node)).path
    plan = await caller.plan([device], ["distro:alpha"])
    detach(node, stick)
    sticks.run("losetup", "-P", node, str(stick))
    # refused at once where the daemon has seen it already, else by the job before it writes anything
    try:
        name = (await caller.failed(await caller.client.create(plan.token))).error_name
    except DaemonError as refused:
        name = refused.name
    assert name in (ERROR + "DeviceChanged", ERROR + "DeviceNotFound")
    with stick.open("rb") as file:
        assert file.read(4 * MIB) == bytes(4 * MIB)
    # the download of its image goes on without it
    for job in await caller.client.jobs():
        await caller.finished(job.path)


async def test_images_that_cannot_go_on_a_stick(caller: Caller, stick: Path, images: Images, place: Path) -> None:
    await caller.imported(images.dull.path)
    device = await caller.target(stick)
    with pytest.raises(DaemonError) as dull:
        await caller.plan([device], [images.dull.reference])
    assert dull.value.name == ERROR + "NotBootable"
    assert "dull.iso" in dull.value.why
    with pytest.raises(DaemonError) as twice:
        await caller.plan([device], ["distro:alpha", "distro:alpha@1.0"])
    assert twice.value.name == ERROR + "AlreadyExists"
    with pytest.raises(DaemonError) as unknown:
        await caller.plan([device], ["distro:alfa"])
    assert unknown.value.name == ERROR + "DistributionNotFound"
    assert "alpha" in unknown.value.why
    with pytest.raises(DaemonError) as tiny:
        await caller.plan([await caller.target(place / "tiny.img", 100 * MIB)], ["distro:alpha"])
    assert tiny.value.name == ERROR + "NotEnoughSpace"
    with pytest.raises(DaemonError) as none:
        await caller.plan([device], [])
    assert none.value.name == ERROR + "InvalidArgument"


async def test_images_that_do_not_fit(caller: Caller, place: Path) -> None:
    device = await caller.target(place / "small.img", 195 * MIB)
    names = ["distro:large", "distro:beta", "distro:memtest", "distro:rescue"]
    made = await caller.created([device], names)
    free = (await caller.client.device(device)).free_bytes
    assert free == made.result["free_bytes"]
    with pytest.raises(DaemonError) as large:
        await caller.client.add_images(device, ["distro:huge"])
    assert large.value.name == ERROR + "NotEnoughSpace"
    assert size_text(free) in large.value.why
    with pytest.raises(DaemonError) as large:
        await caller.plan([device], ["distro:huge", "distro:alpha"])
    assert large.value.name == ERROR + "NotEnoughSpace"
    await caller.succeeded(await caller.client.remove_images(device, ["beta.iso", "large.iso"]))
    with pytest.raises(DaemonError) as absent:
        await caller.client.remove_images(device, ["large.iso"])
    assert absent.value.name == ERROR + "ImageNotFound"
    assert "memtest86+x64.iso" in absent.value.why


async def test_an_image_that_turns_out_unbootable_after_its_download(caller: Caller, stick: Path) -> None:
    device = await caller.target(stick)
    plan = await caller.plan([device], ["distro:alpha", "distro:dull"], download_first=Typed("b", value=True))
    job = await caller.failed(await caller.client.create(plan.token))
    assert job.error_name == ERROR + "NotBootable"
    assert stick.read_bytes()[: 4 * MIB] == bytes(4 * MIB), "nothing may be erased before the images are there"
    assert (await caller.client.device(device)).state == "blank"


async def test_two_sticks_of_which_one_cannot_be_made(caller: Caller, stick: Path, place: Path, images: Images) -> None:
    other = place / "other.img"
    devices = [await caller.target(stick), await caller.target(other, STICK)]
    plan = await caller.plan(devices, ["distro:beta"])
    with other.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        job = await caller.failed(await caller.client.create(plan.token))
    assert "1 of 2" in job.error_message
    assert sticks.check(stick) == {"beta.iso": images.beta.sha256}
    shown = [await caller.client.device(device) for device in devices]
    assert [device.state for device in shown] == ["luxusb", "blank"]
    assert [device.current_job for device in shown] == ["", ""]


@pytest.mark.root
async def test_one_of_two_disks_is_pulled_during_the_download(
    caller: Caller, attach: Callable[[Path], str], stick: Path, place: Path, images: Images, mirror: Mirror
) -> None:
    other = place / "other.img"
    with other.open("wb") as file:
        file.truncate(STICK)
    nodes = [attach(stick), attach(other)]
    devices = [(await caller.disk(node)).path for node in nodes]
    mirror.rate = 2 * MIB
    plan = await caller.plan(devices, ["distro:beta"])
    path = await caller.client.create(plan.token)
    await caller.stage(path, "download")
    detach(nodes[1], other)
    job = await caller.failed(path)
    assert "1 of 2" in job.error_message
    assert sticks.check(stick) == {"beta.iso": images.beta.sha256}


async def test_two_sticks_at_once(caller: Caller, stick: Path, place: Path, images: Images) -> None:
    other = place / "other.img"
    devices = [await caller.target(stick), await caller.target(other, STICK)]
    job = await caller.created(devices, ["distro:beta", "distro:alpha"])
    assert job.bytes_done == job.bytes_total
    expected = {"beta.iso": images.beta.sha256, "alpha.iso": images.alpha.sha256}
    assert sticks.check(stick) == sticks.check(other) == expected
    uuids = {sticks.contents(path).manifest.data_uuid for path in (stick, other)}
    assert len(uuids) == 2


async def test_a_stick_belongs_to_one_job_at_a_time(caller: Caller, stick: Path, mirror: Mirror) -> None:
    mirror.rate = 2 * MIB
    device = await caller.target(stick)
    plan = await caller.plan([device], ["distro:alpha"])
    second = await caller.plan([device], ["distro:beta"])
    path = await caller.client.create(plan.token)
    assert (await caller.client.device(device)).current_job == path
    for attempt in (caller.client.create(second.token), caller.client.verify(device)):
        with pytest.raises(DaemonError) as busy:
            await attempt
        assert busy.value.name == ERROR + "DeviceBusy"
    await caller.succeeded(path)
    # the refused plan is still good
    await caller.succeeded(await caller.client.create(second.token))


async def test_a_caller_that_leaves_still_gets_its_stick(
    daemon: Daemon, caller: Caller, stick: Path, mirror: Mirror, images: Images
) -> None:
    mirror.rate = 2 * MIB
    async with Caller.connect(daemon.address) as leaving:
        device = await leaving.target(stick)
        plan = await leaving.plan([device], ["distro:beta"])
        path = await leaving.client.create(plan.token)
        await leaving.stage(path, "download")
    job = await caller.succeeded(path)
    assert job.operation == "create"
    assert sticks.check(stick) == {"beta.iso": images.beta.sha256}
    assert not any(shown.path == device for shown in await caller.client.devices())
