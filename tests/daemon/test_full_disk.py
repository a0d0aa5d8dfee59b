"""Downloads on a disk that somebody else fills: they wait with the reason, and go on by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from luxusb_cli.model import JobInfo, JobState

from tests.daemon import sticks
from tests.daemon.caller import Caller
from tests.daemon.images import MIB, Images
from tests.daemon.shared import World, world_of
from tests.daemon.sticks import run
from tests.daemon.test_bad_host import Filler
from tests.daemon.test_jobs import stored

pytestmark = pytest.mark.root

SLOW = 4 * MIB
SETTINGS = '[images]\nreserve = "32MiB"\n[limits]\nactive_downloads = 1\n'


@pytest.fixture(autouse=True)
def state_directory(small: Path) -> None:
    (small / "s").mkdir()


@contextlib.asynccontextmanager
async def full_world(images: Images, small: Path) -> AsyncIterator[tuple[World, Filler]]:
    async with world_of(images, state=small / "s", config=SETTINGS) as world:
        filler = Filler(small / "filler")
        yield world, filler
        filler.file.unlink(missing_ok=True)


async def held(caller: Caller, path: str) -> JobInfo:
    """A job once it waits for room."""
    async with asyncio.timeout(60):
        while True:
            known = len(caller.heard)
            job = await caller.client.job(path)
            assert not job.state.finished, job
            if job.state is JobState.PAUSED:
                break
            await caller.news(known)
    assert job.details.pause_reason == "space"
    assert "the disk is full" in job.details.pause_message or "more are needed" in job.details.pause_message
    assert "goes on by itself when there is room" in job.details.pause_message
    assert job.rate == 0
    return job


def give_back(filler: Filler, size: int) -> None:
    os.truncate(filler.file, filler.file.stat().st_size - size)


async def fill_under(world: World, caller: Caller, filler: Filler, path: str) -> JobInfo:
    """Fill the disk under a download until it waits for room."""
    await caller.progress(path, 1)
    filler.fill()
    world.mirror.rate = 0
    return await held(caller, path)


async def written_down(world: World) -> None:
    """Wait until the database says that the only job waits."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.closing(sqlite3.connect(world.daemon.state / "jobs.sqlite")) as database:
                [(document,)] = database.execute("SELECT document FROM jobs")
            if json.loads(document)["state"] == "paused":
                return
            await asyncio.sleep(0.05)


async def test_it_goes_on_by_itself(images: Images, small: Path) -> None:
    async with full_world(images, small) as (world, filler):
        world.mirror.rate = SLOW
        async with Caller.connect(world.daemon.address) as caller:
            path = await caller.client.download("distro:large")
            job = await fill_under(world, caller, filler, path)
            assert "paused, the disk is full" in await world.cli.text("jobs")
            # a service that is not needed by anybody else stays for it
            assert (await caller.client.service()).busy is True
            assert (world.daemon.state / "unfinished").exists()
            filler.free()
            done = await caller.succeeded(path)
        assert done.details.pause_reason == done.details.pause_message == ""
        assert any("paused: " in line and "goes on by itself" in line for line in done.details.log)
        assert done.path == job.path
        assert stored(world.daemon, images.large.sha256) == images.large.sha256
        await world.check_well()


async def test_others_go_on_meanwhile(images: Images, small: Path) -> None:
    """The only slot is free for a job that needs no room."""
    async with full_world(images, small) as (world, filler):
        async with Caller.connect(world.daemon.address) as caller:
            await caller.succeeded(await caller.client.download("distro:alpha"))
            world.mirror.rate = SLOW
            path = await caller.client.download("distro:large")
            await fill_under(world, caller, filler, path)
            give_back(filler, 4 * MIB)
            # what is there needs no more room than its record
            await caller.succeeded(await caller.client.download("distro:alpha"))
            assert (await caller.client.job(path)).state is JobState.PAUSED
            filler.free()
            await caller.succeeded(path)


@pytest.mark.parametrize("way", ["stop", "kill"])
async def test_it_waits_through_a_restart(images: Images, small: Path, way: str) -> None:
    async with full_world(images, small) as (world, filler):
        world.mirror.rate = SLOW
        async with Caller.connect(world.daemon.address) as caller:
            path = await caller.client.download("distro:large")
            await fill_under(world, caller, filler, path)
            # as much as it takes to remember that it waits, and to start, and less than what it waits for
            give_back(filler, 12 * MIB)
            await caller.client.modify(path, priority=1, bandwidth=None)
            if way == "kill":
                # its file may have been set aside whole before: one that does not know that it waits would succeed
                await written_down(world)
        if way == "stop":
            assert await world.daemon.stop() == 0
        else:
            await world.daemon.kill()
        await world.daemon.start()
        world.cli.address = world.daemon.address
        async with Caller.connect(world.daemon.address) as caller:
            job = await caller.client.job(path)
            assert (job.state, job.details.pause_reason) == (JobState.PAUSED, "space")
            filler.free()
            await caller.succeeded(path)
        await world.check_well()


async def test_it_is_steered_while_it_waits(images: Images, small: Path) -> None:
    async with full_world(images, small) as (world, filler):
        world.mirror.rate = SLOW
        async with Caller.connect(world.daemon.address) as caller:
            path = await caller.client.download("distro:large")
            await fill_under(world, caller, filler, path)
            await caller.client.pause(path)
            job = await caller.client.job(path)
            assert (job.state, job.details.pause_reason) == (JobState.PAUSED, "user")
            assert (await caller.client.service()).busy is False
            filler.free()
            await caller.client.resume(path)
            await caller.succeeded(path)
            await caller.client.delete_image(images.large.reference)
            # and one that is cancelled gives back what it had
            world.mirror.rate = SLOW
            again = await caller.client.download("distro:large")
            await fill_under(world, caller, filler, again)
            await caller.client.cancel(again)
            assert (await caller.finished(again)).state is JobState.CANCELLED
            assert list((world.daemon.state / "incoming").iterdir()) == []


async def test_a_stick_waits_with_its_download(images: Images, small: Path) -> None:
    async with full_world(images, small) as (world, filler):
        world.mirror.rate = SLOW
        stick = world.disk_file("stick")
        async with Caller.connect(world.daemon.address) as caller:
            plan = await caller.plan([await caller.target(stick)], ["distro:large"])
            path = await caller.client.create(plan.token)
            await caller.stage(path, "download")
            child = next(job.path for job in await caller.client.jobs() if job.parent == path)
            await fill_under(world, caller, filler, child)
            # a stick that somebody pauses keeps its download from going on by itself, and takes it along again
            await caller.client.pause(path)
            assert (await caller.client.job(child)).details.pause_reason == "user"
            filler.free()
            await caller.client.resume(path)
            await caller.succeeded(path)
        assert sticks.check(stick) == {"large.iso": images.large.sha256}


async def test_a_stick_is_begun_on_a_full_disk(images: Images, small: Path) -> None:
    """Not even a directory for temporary files can be made."""
    async with full_world(images, small) as (world, filler):
        stick = world.disk_file("stick")
        async with Caller.connect(world.daemon.address) as caller:
            await caller.succeeded(await caller.client.download("distro:alpha"))
            filler.fill()
            # the job's own record
            give_back(filler, 4 * MIB)
            staging = str(world.daemon.state / "staging")
            run("mount", "--bind", staging, staging)
            run("mount", "-o", "remount,bind,ro", staging)
            try:
                plan = await caller.plan([await caller.target(stick)], ["distro:alpha"])
                await caller.succeeded(await caller.client.create(plan.token))
            finally:
                run("umount", "-l", staging)
        assert sticks.check(stick) == {"alpha.iso": images.alpha.sha256}


async def test_a_disk_that_fails_is_no_full_one(images: Images, small: Path) -> None:
    """It is told as what it is, and the part stays."""
    async with full_world(images, small) as (world, _filler):
        world.mirror.rate = SLOW
        async with Caller.connect(world.daemon.address) as caller:
            path = await caller.client.download("distro:large")
            await caller.progress(path, MIB)
            await caller.client.pause(path)
            await caller.property(path, "State", "paused")
            await caller.client.resume(path)
            await caller.progress(path, 2 * MIB)
            run("mount", "-o", "remount,abort", str(small))
            world.mirror.rate = 0
            job = await caller.failed(path)
        assert job.error_name == "org.luxusb.Error.Failed"
        assert "read-only" in job.error_message.lower(), job.error_message
        state = json.loads((world.daemon.state / "incoming" / f"{images.large.sha256}.part.json").read_text())
        assert state["downloaded_bytes"] >= MIB // 2
        await world.daemon.kill()
