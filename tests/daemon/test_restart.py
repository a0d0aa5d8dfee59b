"""What is there again after the daemon ended, whatever it was doing; and what it needs to start."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
import sys
from pathlib import Path

import pytest
from luxusb_cli.errors import DaemonError as CallError
from luxusb_cli.model import JobInfo, JobState

from tests.daemon import sticks
from tests.daemon.caller import Caller
from tests.daemon.conftest import Target
from tests.daemon.daemon import WORKER, Daemon, DaemonError
from tests.daemon.images import MIB, Images
from tests.daemon.leftovers import check_files, check_no_mounts
from tests.harness.mirrors import Mirror
from tests.harness.service import ROOT

ERROR = "org.luxusb.Error."
SLOW = 2 * MIB


async def begun(daemon: Daemon, *references: str) -> list[str]:
    """Downloads of which each has brought its first bytes; their paths."""
    async with Caller.connect(daemon.address) as caller:
        paths = [await caller.client.download(reference) for reference in references]
        for path in paths:
            await caller.progress(path, MIB // 2)
        return paths


async def jobs(daemon: Daemon) -> dict[str, JobInfo]:
    async with Caller.connect(daemon.address) as caller:
        return {job.path: job for job in await caller.client.jobs()}


def stored(daemon: Daemon, sha256: str) -> str:
    return hashlib.sha256((daemon.state / "images" / f"{sha256}.iso").read_bytes()).hexdigest()


async def test_downloads_go_on_by_themselves(daemon: Daemon, mirror: Mirror, images: Images) -> None:
    mirror.rate = SLOW
    paths = await begun(daemon, "distro:large", "distro:huge")
    assert await daemon.stop() == 0
    claims = json.loads((daemon.state / "incoming" / f"{images.large.sha256}.part.json").read_text())
    assert claims["downloaded_bytes"] >= MIB // 2
    mirror.rate = 0
    await daemon.start()
    async with Caller.connect(daemon.address) as caller:
        for path, image in zip(paths, (images.large, images.huge), strict=True):
            job = await caller.succeeded(path)
            assert job.resumed_bytes >= MIB // 2
            assert "taken up again" in " ".join(job.details.log)
            assert stored(daemon, image.sha256) == image.sha256


async def test_what_was_paused_stays_paused(daemon: Daemon, mirror: Mirror, images: Images) -> None:
    mirror.rate = SLOW
    async with Caller.connect(daemon.address) as caller:
        path = await caller.client.download("distro:large", priority=3)
        await caller.progress(path, MIB)
        await caller.client.pause(path)
        await caller.property(path, "State", "paused")
    await daemon.stop()
    mirror.rate = 0
    await daemon.start()
    async with Caller.connect(daemon.address) as caller:
        other = await caller.succeeded(await caller.client.download("distro:alpha"))
        assert other.path != path
        job = await caller.client.job(path)
        assert (job.state, job.details.priority) == (JobState.PAUSED, 3)
        await caller.client.resume(path)
        assert (await caller.succeeded(path)).resumed_bytes >= MIB


@pytest.mark.parametrize("stage", ["download", "boot-files", "write-image", "paused"])
async def test_a_stick_that_was_cut_is_told_as_failed(
    daemon: Daemon, target: Target, mirror: Mirror, images: Images, stage: str
) -> None:
    async with Caller.connect(daemon.address) as caller:
        if stage == "download":
            mirror.rate = SLOW
            references = ["distro:large"]
        else:
            references = [
                str((await caller.imported(image.path)).result["image"]) for image in (images.large, images.huge)
            ]
        device = await target.device(caller)
        path = await caller.client.create((await caller.plan([device], references)).token)
        await caller.stage(path, "filesystem" if stage == "paused" else stage)
        if stage == "paused":
            await caller.client.pause(path)
            await caller.property(path, "State", "paused")
        if stage == "download":
            child = next(job.path for job in await caller.client.jobs() if job.parent == path)
            await caller.progress(child, MIB)
        else:
            child = ""
        assert await daemon.stop() == 0
    check_no_mounts(daemon)
    mirror.rate = 0
    await daemon.start()
    async with Caller.connect(daemon.address) as caller:
        job = await caller.client.job(path)
        assert (job.state, job.error_name) == (JobState.FAILED, ERROR + "Interrupted")
        assert "create it again" in job.error_message
        assert job.details.finished > 0
        if child:
            assert (await caller.succeeded(child)).resumed_bytes >= MIB
        device = await target.device(caller)
        assert (await caller.client.device(device)).current_job == ""
        await caller.created([device], references)
        assert set(sticks.check(target.file).values()) >= {images.large.sha256}


async def test_a_change_that_was_cut_leaves_the_stick_as_it_was(daemon: Daemon, target: Target, images: Images) -> None:
    async with Caller.connect(daemon.address) as caller:
        big = [str((await caller.imported(image.path)).result["image"]) for image in (images.large, images.huge)]
        device = await target.device(caller)
        await caller.created([device], ["distro:alpha"])
        path = await caller.client.add_images(device, big)
        await caller.stage(path, "write-image")
        assert await daemon.stop() == 0
    assert sticks.check(target.file) == {"alpha.iso": images.alpha.sha256}
    await daemon.start()
    async with Caller.connect(daemon.address) as caller:
        job = await caller.client.job(path)
        assert (job.state, job.error_name) == (JobState.FAILED, ERROR + "Interrupted")
        assert "add the images again" in job.error_message
        device = await target.device(caller)
        await caller.succeeded(await caller.client.add_images(device, big[:1]))
    assert sticks.check(target.file) == {"alpha.iso": images.alpha.sha256, "large.iso": images.large.sha256}
    assert sticks.files(target.file, "/iso") == {"alpha.iso", "large.iso"}


async def test_an_import_that_was_cut(daemon: Daemon, images: Images, place: Path) -> None:
    wide = place / "wide.bin"
    with wide.open("wb") as file:
        file.truncate(1024 * MIB)
    async with Caller.connect(daemon.address) as caller:
        path = await caller.start_import(wide, "wide.bin")
        await caller.stage(path, "copy")
        await daemon.stop()
    check_files(daemon)
    await daemon.start()
    async with Caller.connect(daemon.address) as caller:
        job = await caller.client.job(path)
        assert (job.state, job.error_name) == (JobState.FAILED, ERROR + "Interrupted")
        assert "import it again" in job.error_message
        assert await caller.client.images() == ()


async def test_everything_at_once_ends_in_time(
    daemon: Daemon, stick: Path, place: Path, mirror: Mirror, images: Images
) -> None:
    """`Daemon.stop` allows ten seconds, and waits for every process; the fixture looks for other remains."""
    wide = place / "wide.bin"
    with wide.open("wb") as file:
        file.truncate(1024 * MIB)
    async with Caller.connect(daemon.address) as caller:
        big = [str((await caller.imported(image.path)).result["image"]) for image in (images.large, images.huge)]
        mirror.rate = SLOW
        download = await caller.client.download("distro:rescue")
        await caller.progress(download, 1)
        device = await caller.target(stick)
        path = await caller.client.create((await caller.plan([device], big)).token)
        await caller.start_import(wide, "wide.bin")
        await caller.stage(path, "boot-files", "filesystem")
        assert len(daemon.pids(WORKER)) == 1
        assert await daemon.stop() == 0
    assert "Traceback" not in daemon.log


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.2, 0.3, 0.4])
async def test_it_can_be_ended_while_it_starts(place: Path, catalogue: Path, delay: float) -> None:
    daemon = Daemon(place, catalogues=[catalogue])
    starting = asyncio.create_task(daemon.start())
    while not daemon.core:
        await asyncio.sleep(0)
        if starting.done():
            await starting
    # no synchronisation: each delay is as good as any other, only its place in the start differs
    await asyncio.sleep(delay)
    os.kill(daemon.core, 15)
    try:
        await starting
    except DaemonError:
        return  # it ended before it was ready, and `start` saw all its processes go
    assert await daemon.ended() in (0, -15)


async def test_a_second_daemon_is_refused(daemon: Daemon, caller: Caller) -> None:
    done = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "luxusbd", "--private", str(daemon.state)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    async with asyncio.timeout(30):
        out, err = await done.communicate()
    assert done.returncode == 1
    assert out == b""
    text = err.decode()
    assert text.startswith("luxusbd: ")
    assert "already" in text
    assert str(daemon.state) in text
    assert len(text.splitlines()) == 1
    # the first one is as well as before
    await caller.succeeded(await caller.client.download("distro:alpha"))


@pytest.mark.parametrize("damage", ["garbage", "middle", "empty"])
async def test_a_corrupt_database_is_set_aside(daemon: Daemon, mirror: Mirror, damage: str) -> None:
    mirror.rate = SLOW
    (path,) = await begun(daemon, "distro:large")
    await daemon.stop()
    database = daemon.state / "jobs.sqlite"
    whole = database.read_bytes()
    if damage == "garbage":
        database.write_bytes(b"this is no database\n" * 1000)
    elif damage == "middle":
        database.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    else:
        database.write_bytes(b"")
    await daemon.start()
    kept = [entry for entry in daemon.state.iterdir() if ".corrupt-" in entry.name]
    assert len(kept) == (0 if damage == "empty" else 1)
    if kept:
        assert "corrupt" in daemon.log
    mirror.rate = 0
    async with Caller.connect(daemon.address) as caller:
        assert await caller.client.jobs() == ()
        job = await caller.succeeded(await caller.client.download("distro:large"))
        # the bytes outlived the record of the job that fetched them
        assert job.resumed_bytes >= MIB // 2
        if kept:
            assert job.path != path


async def test_records_that_cannot_be_read_are_left_out(daemon: Daemon, caller: Caller) -> None:
    good = await caller.succeeded(await caller.client.download("distro:alpha"))
    await daemon.stop()
    with sqlite3.connect(daemon.state / "jobs.sqlite") as database:
        insert = "INSERT INTO jobs (owner_uid, finished, document) VALUES (0, 0, ?)"
        database.execute(insert, ('{"operation": "download", "st',))
        database.execute(insert, ('{"operation": "teleport"}',))
        database.execute(insert, ("[]",))
    database.close()
    for _start in range(2):
        await daemon.start()
        async with Caller.connect(daemon.address) as again:
            assert [job.path for job in await again.client.jobs()] == [good.path]
            assert await again.client.jobs(unfinished=True) == ()
        await daemon.stop()
    assert "cannot be read" in daemon.log
    await daemon.start()


@pytest.mark.parametrize("text", ['{"version": "2.0", "distribu', '{"version": "2.0"}', "", "[1, 2"])
async def test_a_broken_catalogue_does_not_keep_it_from_starting(place: Path, text: str) -> None:
    broken = place / "broken.json"
    broken.write_text(text)
    async with Daemon(place, catalogues=[broken, place / "absent.json"]) as daemon:
        assert f"{broken}" in daemon.log
        assert f"{place / 'absent.json'}: there is no such file" in daemon.log
        async with Caller.connect(daemon.address) as caller:
            assert len(await caller.client.distributions()) > 10
            with pytest.raises(CallError) as unknown:
                await caller.client.download("distro:alpha")
            assert unknown.value.name == ERROR + "DistributionNotFound"


async def test_finished_jobs_stay_finished(daemon: Daemon, mirror: Mirror) -> None:
    async with Caller.connect(daemon.address) as caller:
        done = await caller.succeeded(await caller.client.download("distro:alpha"))
        mirror.rate = SLOW
        path = await caller.client.download("distro:large")
        await caller.progress(path, 1)
        await caller.client.cancel(path)
        await caller.finished(path)
    before = await jobs(daemon)
    await daemon.stop()
    await daemon.start()
    assert await jobs(daemon) == before
    assert before[done.path].state is JobState.SUCCEEDED
    assert before[path].state is JobState.CANCELLED
