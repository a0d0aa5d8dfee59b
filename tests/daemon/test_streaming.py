"""Sticks that are written while their images are downloaded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from luxusb_cli.model import JobInfo, JobState

from tests.daemon import sticks
from tests.daemon.caller import Caller
from tests.daemon.conftest import Target
from tests.daemon.daemon import Daemon
from tests.daemon.images import MIB, Images
from tests.daemon.leftovers import check_no_mounts
from tests.harness.mirrors import Faults, Mirror, write_catalogue

SLOW = 2 * MIB
CRAWL = 128 * 1024
"""Too slow to end before a test has looked."""


@pytest.fixture
async def other(images: Images) -> AsyncIterator[Mirror]:
    """A second mirror, which the catalogue names first."""
    async with Mirror({image.path.name: image.path for image in images.all}) as running:
        yield running


@pytest.fixture
def catalogue(images: Images, mirror: Mirror, other: Mirror, place: Path) -> Path:
    path = place / "catalogue.json"
    write_catalogue(path, [image.for_catalogue() for image in images.all], [other, mirror])
    return path


async def begin(caller: Caller, target: Target, references: Sequence[str]) -> str:
    device = await target.device(caller)
    return await caller.client.create((await caller.plan([device], references)).token)


async def child_of(caller: Caller, path: str, image: str) -> JobInfo:
    (found,) = [job for job in await caller.client.jobs() if job.parent == path and image in job.details.title.lower()]
    return found


async def first_part(caller: Caller, mirrors: Sequence[Mirror], path: str, image: str) -> JobInfo:
    """Let a few MiB of an image come, and hardly more until the rate is set; its download once some is written."""
    await caller.stage(path, "download", "write-image")
    child = await child_of(caller, path, image)
    await caller.progress(child.path, 5 * MIB)
    for mirror in mirrors:
        mirror.rate = CRAWL
    await caller.stage(path, "write-image")
    return await caller.client.job(child.path)


async def test_a_stick_is_written_while_its_image_comes(
    caller: Caller, target: Target, mirror: Mirror, other: Mirror, images: Images
) -> None:
    mirror.rate = other.rate = SLOW
    path = await begin(caller, target, ["distro:large", "distro:beta"])
    child = await first_part(caller, (mirror, other), path, "large")
    assert child.state is JobState.RUNNING
    assert child.bytes_done < images.large.size
    mirror.rate = other.rate = 0
    made = await caller.succeeded(path)
    assert made.result["images"] == ["large.iso", "beta.iso"]
    assert "lacking" not in made.result
    assert sticks.check(target.file) == {"large.iso": images.large.sha256, "beta.iso": images.beta.sha256}
    assert sticks.names(target.file) == ["large.iso", "beta.iso"]


@pytest.mark.parametrize("settings", ["[downloads]\nconnections_per_host = 1\n"])
async def test_an_image_that_waits_for_a_connection_does_not_hold_up_the_others(
    caller: Caller, stick: Path, mirror: Mirror, other: Mirror, images: Images
) -> None:
    """Its turn comes when the others have come, and until then it cannot be answered."""
    # the address of the other one names the same host; what is asked for first does not come to the end of its first
    # range, behind which the other image would have its turn
    mirror.rate = other.rate = CRAWL // 2
    target = Target(stick)
    path = await begin(caller, target, ["distro:large", "distro:huge"])
    await caller.stage(path, "partition")
    children = [await child_of(caller, path, name) for name in ("large", "huge")]
    waiting, coming = sorted(children, key=lambda child: child.bytes_done)
    assert (waiting.state, waiting.stage, waiting.bytes_done) == (JobState.RUNNING, "wait-for-connection", 0)
    assert coming.state is JobState.RUNNING
    mirror.rate = other.rate = 0
    await caller.succeeded(path)
    assert sticks.names(target.file) == ["large.iso", "huge.iso"]


async def test_wrong_bytes_of_a_mirror_do_not_stay_on_the_stick(
    caller: Caller, stick: Path, mirror: Mirror, other: Mirror, images: Images
) -> None:
    other.faults = Faults(corrupt_at=MIB)
    other.rate = SLOW
    # or it would bring most of the image by itself
    mirror.faults = Faults(status=503)
    target = Target(stick)
    path = await begin(caller, target, ["distro:large"])
    assert (await first_part(caller, (other,), path, "large")).state is JobState.RUNNING
    assert any(one.sent > MIB for one in other.served)
    mirror.faults = Faults()
    other.rate = 0
    await caller.succeeded(path)
    assert sticks.check(target.file) == {"large.iso": images.large.sha256}


async def test_what_came_is_on_the_stick_when_another_image_does_not_come(
    caller: Caller, stick: Path, mirror: Mirror, other: Mirror, images: Images
) -> None:
    mirror.rate = other.rate = SLOW
    target = Target(stick)
    path = await begin(caller, target, ["distro:beta", "distro:large"])
    await caller.client.cancel((await first_part(caller, (mirror, other), path, "large")).path)
    mirror.rate = other.rate = 0
    job = await caller.failed(path)
    for word in ("large.iso", "cancelled", "starts beta.iso", "luxusb add"):
        assert word in job.error_message
    assert sticks.check(target.file) == {"beta.iso": images.beta.sha256}
    # and it is none that has to be repaired
    device = await target.device(caller)
    await caller.succeeded(await caller.client.add_images(device, ["distro:large"]))
    assert sticks.names(target.file) == ["beta.iso", "large.iso"]


@pytest.mark.parametrize("references", [["distro:large"], ["distro:beta", "distro:large"]], ids=len)
async def test_an_image_that_no_mirror_has_is_refused_before_anything_is_erased(
    caller: Caller, stick: Path, mirror: Mirror, other: Mirror, references: list[str]
) -> None:
    del mirror.files["large.iso"], other.files["large.iso"]
    before = stick.stat().st_blocks
    job = await caller.failed(await begin(caller, Target(stick), references))
    assert "large.iso" in job.error_message
    assert stick.stat().st_blocks == before


async def test_an_image_that_starts_nothing_is_left_out(caller: Caller, stick: Path, images: Images) -> None:
    """That it does not is known when the disk is erased already."""
    job = await caller.failed(await begin(caller, Target(stick), ["distro:dull", "distro:alpha"]))
    assert job.error_name.endswith(".NotBootable")
    assert "dull.iso" in job.error_message
    assert sticks.check(stick) == {"alpha.iso": images.alpha.sha256}


async def test_a_daemon_that_is_killed_meanwhile_leaves_a_stick_that_says_what_it_lacks(
    daemon: Daemon, target: Target, mirror: Mirror, other: Mirror, images: Images
) -> None:
    async with Caller.connect(daemon.address) as caller:
        mirror.rate = other.rate = SLOW
        path = await begin(caller, target, ["distro:large"])
        await first_part(caller, (mirror, other), path, "large")
        await daemon.kill()
    check_no_mounts(daemon)
    assert "large.iso" in sticks.contents(target.file).damage
    mirror.rate = other.rate = 0
    await daemon.start()
    async with Caller.connect(daemon.address) as caller:
        job = await caller.client.job(path)
        assert (job.state, job.error_name) == (JobState.FAILED, "org.luxusb.Error.Interrupted")
        await caller.created([await target.device(caller)], ["distro:large"])
    assert sticks.check(target.file) == {"large.iso": images.large.sha256}
