"""Images that pass through the machine onto sticks without being kept on it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import os
import signal
from collections.abc import AsyncIterator

import pytest
from luxusb_cli.connection import Typed
from luxusb_cli.errors import DaemonError
from luxusb_cli.model import JobState

from luxusbd.jobs.downloads import WINDOW_SLACK
from tests.daemon import sticks
from tests.daemon.caller import Caller
from tests.daemon.images import MIB, Images, bootable
from tests.daemon.shared import World, world_of
from tests.harness.mirrors import Faults
from tests.stick.liars import Lie
from tests.stick.lyingfile import lying

WINDOW = 16 * MIB
SETTINGS = '[downloads]\nwindow = "16MiB"\n'
NOT_KEPT = {"keep_images": Typed("b", value=False)}


@pytest.fixture(scope="session")
def noisy(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """The huge image of bytes in which a hole would be seen."""
    return dataclasses.replace(images, huge=bootable(tmp_path_factory.mktemp("noisy"), "huge", 56 * MIB))


@pytest.fixture
async def world(noisy: Images) -> AsyncIterator[World]:
    async with world_of(noisy, config=SETTINGS) as running:
        yield running


@pytest.fixture
async def caller(world: World) -> AsyncIterator[Caller]:
    async with Caller.connect(world.daemon.address) as connected:
        yield connected


def here(world: World) -> int:
    """Bytes that downloads and images take on this machine."""
    total = 0
    for name in ("incoming", "images"):
        for path in (world.daemon.state / name).iterdir():
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_blocks * 512
    return total


@contextlib.asynccontextmanager
async def most_here(world: World) -> AsyncIterator[list[int]]:
    """The most that there was at a time; the list has it after the block."""
    seen = [0]

    async def look() -> None:
        while True:
            seen[0] = max(seen[0], here(world))
            await asyncio.sleep(0.02)

    looking = asyncio.ensure_future(look())
    try:
        yield seen
    finally:
        looking.cancel()


async def nothing_is_left(world: World, caller: Caller) -> None:
    assert not await caller.client.images()
    assert here(world) < MIB
    assert [path.name for path in (world.daemon.state / "incoming").iterdir()] == []


@pytest.mark.parametrize("kind", ["ext4", "exfat"])
async def test_images_pass_through_a_small_window(world: World, caller: Caller, noisy: Images, kind: str) -> None:
    file = world.disk_file()
    device = await caller.target(file)
    planned = await caller.plan([device], ["distro:huge", "distro:large"], filesystem=Typed("s", kind), **NOT_KEPT)
    assert any("not kept on this machine" in warning for warning in planned.warnings)
    async with most_here(world) as seen:
        made = await caller.succeeded(await caller.client.create(planned.token), 180)
    assert made.result["images"] == ["huge.iso", "large.iso"]
    assert sticks.check(file) == {"huge.iso": noisy.huge.sha256, "large.iso": noisy.large.sha256}
    assert WINDOW / 2 < seen[0] <= 2 * (WINDOW + WINDOW_SLACK) < noisy.huge.size + noisy.large.size
    await nothing_is_left(world, caller)
    # and what is added later goes the same way
    path = await caller.client.add_images(await caller.target(file), ["distro:beta"], keep=False)
    assert (await caller.succeeded(path)).result["kept_images"] == []
    assert sticks.check(file)["beta.iso"] == noisy.beta.sha256
    await nothing_is_left(world, caller)


async def test_what_has_to_be_kept_all_the_same_is_named(world: World, caller: Caller, noisy: Images) -> None:
    """Onto which of two partitions an image goes is known of a whole one only."""
    file = world.disk_file()
    options = {"filesystem": Typed("s", "exfat"), "companion": Typed("t", 32 * MIB)}
    await caller.created([await caller.target(file)], ["distro:alpha"], **options)
    device = await caller.target(file)
    job = await caller.succeeded(await caller.client.add_images(device, ["distro:beta"], keep=False))
    assert job.result["kept_images"] == ["beta.iso"]
    assert any(line.endswith("cannot be checked without being kept") for line in job.details.log), job.details.log
    assert "beta.iso" in [image.name for image in await caller.client.images()]
    job = await caller.succeeded(await caller.client.add_images(device, ["distro:large"]))
    assert job.result["kept_images"] == []


@pytest.mark.root
async def test_of_two_sticks_the_one_that_fails_does_not_hold_up_the_other(
    world: World, caller: Caller, noisy: Images
) -> None:
    with lying(world.place / "liar", Lie.ERRORS, 256 * MIB, 60 * MIB) as broken:
        files = [world.disk_file("good"), broken]
        devices = [(await caller.disk(world.attach(file))).path for file in files]
        planned = await caller.plan(devices, ["distro:huge"], probe=Typed("b", value=False), **NOT_KEPT)
        job = await caller.failed(await caller.client.create(planned.token), 180)
    assert [share.state for share in job.shares] == [JobState.SUCCEEDED, JobState.FAILED]
    assert sticks.check(files[0]) == {"huge.iso": noisy.huge.sha256}
    assert sum(one.sent for one in world.mirror.served if one.name == "huge.iso") < 1.1 * noisy.huge.size
    await nothing_is_left(world, caller)


async def test_an_image_that_starts_nothing_is_left_out(world: World, caller: Caller, noisy: Images) -> None:
    file = world.disk_file()
    planned = await caller.plan([await caller.target(file)], ["distro:dull", "distro:alpha"], **NOT_KEPT)
    job = await caller.failed(await caller.client.create(planned.token))
    assert job.error_name.endswith(".NotBootable")
    assert sticks.check(file) == {"alpha.iso": noisy.alpha.sha256}
    await nothing_is_left(world, caller)


async def test_wrong_bytes_are_written_over_when_the_right_ones_come(
    world: World, caller: Caller, noisy: Images
) -> None:
    """They are known for wrong when the first of them are gone from here."""
    file = world.disk_file()
    world.mirror.faults = Faults(corrupt_at=MIB)
    world.mirror.rate = 24 * MIB
    planned = await caller.plan([await caller.target(file)], ["distro:huge"], **NOT_KEPT)
    path = await caller.client.create(planned.token)
    await caller.progress(path, 40 * MIB)
    world.mirror.faults = Faults()
    await caller.succeeded(path, 180)
    assert sticks.check(file) == {"huge.iso": noisy.huge.sha256}
    await nothing_is_left(world, caller)


@pytest.mark.parametrize("how", ["cancelled", "killed"])
async def test_what_is_cut_leaves_nothing_here(world: World, noisy: Images, how: str) -> None:
    file = world.disk_file()
    world.mirror.rate = 8 * MIB
    async with Caller.connect(world.daemon.address) as caller:
        planned = await caller.plan([await caller.target(file)], ["distro:huge"], **NOT_KEPT)
        path = await caller.client.create(planned.token)
        await caller.stage(path, "write-image")
        await caller.progress(path, 24 * MIB)
        if how == "cancelled":
            await caller.client.cancel(path)
            assert (await caller.finished(path)).state is JobState.CANCELLED
        else:
            await world.daemon.kill()
    if how == "killed":
        await world.daemon.start()
    async with Caller.connect(world.daemon.address) as caller:
        jobs = await caller.client.jobs()
        assert all(job.state.finished for job in jobs)
        await nothing_is_left(world, caller)
        world.mirror.rate = 0
        await caller.created([await caller.target(file)], ["distro:huge"], **NOT_KEPT)
    assert sticks.check(file) == {"huge.iso": noisy.huge.sha256}


async def test_the_service_starts_although_somebody_holds_what_was_left(world: World, noisy: Images) -> None:
    """As a transfer process that has not heard yet that its core was killed."""
    world.mirror.rate = 8 * MIB
    file = world.disk_file()
    async with Caller.connect(world.daemon.address) as caller:
        planned = await caller.plan([await caller.target(file)], ["distro:huge"], **NOT_KEPT)
        path = await caller.client.create(planned.token)
        await caller.stage(path, "write-image")
        await world.daemon.kill()
    part = os.open(world.daemon.state / "incoming" / f"{noisy.huge.sha256}.part", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(part, fcntl.LOCK_EX)
        await world.daemon.start()
        async with Caller.connect(world.daemon.address) as caller:
            assert all(job.state is JobState.FAILED for job in await caller.client.jobs())
    finally:
        os.close(part)
    assert "what is left of it stays for now" in world.daemon.log


async def test_a_transfer_process_that_dies_begins_anew(world: World, caller: Caller, noisy: Images) -> None:
    """What was given back is gone, and the stick is written over with the same bytes."""
    file = world.disk_file()
    world.mirror.rate = 16 * MIB
    planned = await caller.plan([await caller.target(file)], ["distro:huge"], **NOT_KEPT)
    path = await caller.client.create(planned.token)
    await caller.progress(path, 64 * MIB)
    (pid,) = world.daemon.pids("luxusbd.children.transfer_main")
    os.kill(pid, signal.SIGKILL)
    world.mirror.rate = 0
    await caller.succeeded(path, 180)
    assert sticks.check(file) == {"huge.iso": noisy.huge.sha256}
    assert sum(one.sent for one in world.mirror.served if one.name == "huge.iso") > 1.2 * noisy.huge.size
    await nothing_is_left(world, caller)


async def test_it_cannot_be_downloaded_first_and_not_be_kept(world: World, caller: Caller) -> None:
    device = await caller.target(world.disk_file())
    with pytest.raises(DaemonError, match="contradict each other"):
        await caller.plan([device], ["distro:huge"], download_first=Typed("b", value=True), **NOT_KEPT)
