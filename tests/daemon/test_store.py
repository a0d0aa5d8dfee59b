"""The image store of the real daemon when it is full: who gives way, what stays, and what is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from luxusb_cli.errors import DaemonError
from luxusb_cli.images import ImageInfo
from luxusb_cli.model import JobState

from tests.daemon.caller import Caller
from tests.daemon.daemon import Daemon
from tests.daemon.images import MIB, Images, TestImage
from tests.harness.mirrors import Mirror

ERROR = "org.luxusb.Error."
SLOW = 2 * MIB


async def names(caller: Caller) -> list[str]:
    return sorted(image.name for image in await caller.client.images())


async def stored(caller: Caller, image: TestImage) -> ImageInfo:
    (found,) = [one for one in await caller.client.images() if one.sha256 == image.sha256]
    return found


@pytest.mark.parametrize("settings", ['[images]\nquota = "28MiB"\n'])
async def test_a_download_makes_room_of_what_nobody_wants(
    daemon: Daemon, caller: Caller, images: Images, place: Path
) -> None:
    await caller.succeeded(await caller.client.download("distro:alpha"))
    await caller.succeeded(await caller.client.download("distro:beta"))
    await caller.client.pin_image(images.alpha.reference, pinned=True)
    job = await caller.succeeded(await caller.client.download("distro:large"))
    assert "removed beta.iso" in " ".join(job.details.log)
    assert "removed beta.iso" in daemon.log
    assert await names(caller) == ["alpha.iso", "large.iso"]
    kept = {path.name for path in (daemon.state / "images").iterdir()}
    assert kept == {f"{image.sha256}.{kind}" for image in (images.alpha, images.large) for kind in ("iso", "json")}

    # an own import is never taken for it, and is not begun when it has no place
    device = await caller.target(place / "stick.img", 256 * MIB)
    await caller.plan([device], [images.large.reference])
    refused = await caller.failed(await caller.client.download("distro:huge"))
    assert refused.error_name == ERROR + "NotEnoughSpace"
    for said in ("60.", "quota of 28MiB", "2.4 MiB are pinned", "24.4 MiB are in use", "unpin"):
        assert said in refused.error_message, refused.error_message
    with pytest.raises(DaemonError) as imported:
        await caller.start_import(images.huge.path)
    assert imported.value.name == ERROR + "NotEnoughSpace"
    assert await names(caller) == ["alpha.iso", "large.iso"]


@pytest.mark.parametrize("settings", ['[images]\nquota = "40MiB"\n'])
async def test_two_downloads_are_not_promised_the_same_bytes(caller: Caller, mirror: Mirror, images: Images) -> None:
    mirror.rate = SLOW
    first = await caller.client.download("distro:large")
    await caller.progress(first, 1)
    refused = await caller.failed(await caller.client.download("distro:huge"))
    assert "in use or promised to jobs" in refused.error_message
    await caller.client.pause(first)
    await caller.property(first, "State", "paused")
    # what a paused job has is its own
    assert (await caller.failed(await caller.client.download("distro:huge"))).error_name == ERROR + "NotEnoughSpace"
    assert await caller.client.prune(dry_run=True) == ()
    mirror.rate = 0
    await caller.client.resume(first)
    await caller.succeeded(first)
    assert (await stored(caller, images.large)).last_used > 0


async def test_what_holds_an_image_is_named(caller: Caller, mirror: Mirror, images: Images, place: Path) -> None:
    await caller.imported(images.alpha.path)
    device = await caller.target(place / "stick.img", 256 * MIB)
    plan = await caller.plan([device], [images.alpha.reference])
    assert (await stored(caller, images.alpha)).in_use is True
    # who deletes an image of his own plan has changed his mind
    await caller.client.delete_image(images.alpha.reference)
    with pytest.raises(DaemonError) as expired:
        await caller.client.create(plan.token)
    assert (expired.value.name, "was deleted" in expired.value.why) == (ERROR + "PlanExpired", True)

    await caller.imported(images.alpha.path)
    mirror.rate = SLOW
    path = await caller.client.create((await caller.plan([device], [images.alpha.reference, "distro:large"])).token)
    await caller.stage(path, "download")
    with pytest.raises(DaemonError) as used:
        await caller.client.delete_image(images.alpha.reference)
    assert used.value.name == ERROR + "ImageInUse"
    assert path in used.value.why
    assert f"luxusb cancel {path.rpartition('_')[2]}" in used.value.why
    assert await caller.client.prune(imports=True) == ()
    await caller.client.cancel(path)
    assert (await caller.finished(path)).state is JobState.CANCELLED
    await caller.client.pin_image(images.alpha.reference, pinned=True)
    with pytest.raises(DaemonError) as pinned:
        await caller.client.delete_image(images.alpha.reference)
    assert pinned.value.name == ERROR + "ImagePinned"
    await caller.client.pin_image(images.alpha.reference, pinned=False)
    await caller.client.delete_image(images.alpha.reference)
    assert await names(caller) == []


async def test_pruning(daemon: Daemon, caller: Caller, mirror: Mirror, images: Images) -> None:
    await caller.imported(images.dull.path, "mine.iso")
    await caller.succeeded(await caller.client.download("distro:alpha"))
    mirror.rate = SLOW
    path = await caller.client.download("distro:large")
    await caller.progress(path, MIB)
    await caller.client.cancel(path, keep_partial=True)
    await caller.finished(path)
    would = await caller.client.prune(dry_run=True)
    assert {(one.kind, one.reference, one.name) for one in would} == {
        ("image", images.alpha.reference, "alpha.iso"),
        ("partial", "distro:large@1.0", "Large 1.0"),
    }
    assert await caller.client.prune(dry_run=True, older_than=3600) == ()
    assert len(await caller.client.prune(dry_run=True, imports=True)) == 3
    only = await caller.client.prune(only=[images.large.sha256])
    assert [one.kind for one in only] == ["partial"]
    assert list((daemon.state / "incoming").iterdir()) == []
    assert [one.name for one in await caller.client.prune()] == ["alpha.iso"]
    assert await names(caller) == ["mine.iso"]
    assert [one.kind for one in await caller.client.prune(imports=True)] == ["import"]
    assert list((daemon.state / "images").iterdir()) == []


async def test_old_unfinished_downloads_go_at_the_start_and_those_of_jobs_stay(
    daemon: Daemon, caller: Caller, mirror: Mirror, images: Images
) -> None:
    mirror.rate = SLOW
    for name, image, pause in (("large", images.large, True), ("huge", images.huge, False)):
        path = await caller.client.download(f"distro:{name}")
        await caller.progress(path, 1)
        if pause:
            await caller.client.pause(path)
            await caller.property(path, "State", "paused")
        else:
            await caller.client.cancel(path, keep_partial=True)
            await caller.finished(path)
        assert f"{image.sha256}.part" in {left.name for left in (daemon.state / "incoming").iterdir()}
    assert await daemon.stop() == 0
    for left in (daemon.state / "incoming").iterdir():
        os.utime(left, (1_000_000_000, 1_000_000_000))
    lost = daemon.state / "images" / f"{'7' * 64}.iso"
    lost.write_bytes(b"damaged")
    await daemon.start()
    async with Caller.connect(daemon.address) as again:
        while any(left.name.startswith(images.huge.sha256) for left in (daemon.state / "incoming").iterdir()):
            await again.client.service()
        assert {left.name.partition(".")[0] for left in (daemon.state / "incoming").iterdir()} == {images.large.sha256}
        while not (found := await again.client.prune(dry_run=True)):
            await again.client.service()
        assert [(one.kind, one.sha256, one.size) for one in found] == [("orphan", "7" * 64, 7)]
        await again.client.prune()
        assert not lost.exists()


async def test_an_own_import_needs_no_download(caller: Caller, mirror: Mirror, images: Images, place: Path) -> None:
    await caller.imported(images.beta.path, "Beta of mine")
    device = await caller.target(place / "stick.img", 256 * MIB)
    (planned,) = (await caller.plan([device], ["distro:beta"])).images
    assert (planned.download, planned.reference) == (False, images.beta.reference)
    requests = len(mirror.served)
    job = await caller.succeeded(await caller.client.download("distro:beta"))
    assert (job.result["image"], len(mirror.served)) == (images.beta.reference, requests)
    assert await names(caller) == ["Beta of mine"]
