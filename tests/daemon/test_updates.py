"""Newer releases in the places of images on a stick, by the real daemon and its real workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from luxusb_cli.calls import Work
from luxusb_cli.connection import Typed
from luxusb_cli.errors import DaemonError
from luxusb_cli.model import JobInfo, JobState
from luxusb_cli.wire import wire_of

from tests.daemon import sticks
from tests.daemon.caller import Caller
from tests.daemon.conftest import CONFIG, Target
from tests.daemon.daemon import WORKER, Daemon
from tests.daemon.images import MIB, Images, TestImage, bootable
from tests.daemon.remote import remote
from tests.daemon.test_chaos import Case, cases, check_end, flush, strike
from tests.harness.mirrors import Mirror, write_catalogue

ERROR = "org.luxusb.Error."
DEVICE = "org.luxusb.Device"


@dataclass(frozen=True)
class Newer:
    """Releases that the catalogue has beside the usual ones."""

    alpha: TestImage
    beta: TestImage
    alpha_respun: TestImage
    large: TestImage
    rescue: TestImage


@pytest.fixture(scope="session")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Newer:
    place = tmp_path_factory.mktemp("newer")
    return Newer(
        alpha=bootable(place, "alpha-2", 3 * MIB),
        beta=bootable(place, "beta-2", 2 * MIB),
        alpha_respun=bootable(place, "alpha-respun", 2 * MIB),
        large=bootable(place, "large-2", 24 * MIB),
        rescue=bootable(place, "rescue-2", 9 * MIB),
    )


@pytest.fixture
def everywhere(mirror: Mirror, newer: Newer) -> Mirror:
    for image in (newer.alpha, newer.beta, newer.alpha_respun, newer.large, newer.rescue):
        mirror.files[image.path.name] = image.path
    return mirror


Release = tuple[str, str, TestImage]
"""(id of the distribution, version, file)"""


def write(path: Path, mirror: Mirror, images: Images, releases: Sequence[Release], **changes: object) -> None:
    """A catalogue of the usual images with these releases before them; of one version they take the place."""
    plain = [image.for_catalogue() for image in images.all]
    write_catalogue(path, [*plain, *(image.for_catalogue() for _id, _version, image in releases)], [mirror])
    document = json.loads(path.read_text())
    entries = {entry["id"]: entry for entry in document["distributions"]}
    for name, version, image in releases:
        (release,) = entries.pop(image.id)["releases"]
        others = [other for other in entries[name]["releases"] if other["version"] != version]
        entries[name]["releases"] = [{**release, "version": version, **changes}, *others]
    document["distributions"] = list(entries.values())
    path.write_text(json.dumps(document))


@pytest.fixture
def catalogue(images: Images, everywhere: Mirror, newer: Newer, place: Path) -> Path:
    """Alpha has got a newer release."""
    path = place / "catalogue.json"
    write(path, everywhere, images, [("alpha", "2.0", newer.alpha)])
    return path


async def start(caller: Caller, device: str, **options: object) -> str:
    kinds = {bool: "b", list: "as"}
    return await caller.client.work_on(
        device, Work.UPDATE, {name: Typed(kinds[type(value)], value) for name, value in options.items()}
    )


async def updated(caller: Caller, device: str, **options: object) -> JobInfo:
    return await caller.succeeded(await start(caller, device, **options))


async def refused(caller: Caller, device: str, **options: object) -> DaemonError:
    with pytest.raises(DaemonError) as error:
        await start(caller, device, **options)
    return error.value


async def shown(caller: Caller, device: str) -> list[Mapping[str, object]]:
    return list((await caller.client.device(device)).updates)


def told(updates: Any) -> list[tuple[object, ...]]:
    return [(each["name"], each["from_version"], each["to_version"], each["respin"]) for each in updates]


async def test_one_of_two_images(caller: Caller, target: Target, images: Images, newer: Newer) -> None:
    device = await target.device(caller)
    await caller.created([device], ["distro:alpha@1.0", "distro:beta"])
    assert await shown(caller, device) == [
        {
            "name": "alpha.iso",
            "title": "Alpha 1.0",
            "reference": "distro:alpha@2.0",
            "from_version": "1.0",
            "to_version": "2.0",
            "size": newer.alpha.size,
            "respin": False,
            "series_change": True,
            "end_of_life": "",
            "ended": False,
            "trust": "hash",
            "less_trust": False,
        }
    ]
    generation = sticks.grub_menu(target.file)[0]
    check: Mapping[str, Any] = (await updated(caller, device, check=True)).result
    assert told(check["updates"]) == [("alpha.iso", "1.0", "2.0", False)]
    assert (check["updates"][0]["new_name"], check["skipped"]) == ("", [])
    assert 0 < newer.alpha.size < check["bytes_needed"] == check["bytes_needed_one_at_a_time"] < check["free_bytes"]
    assert sticks.grub_menu(target.file)[0] == generation
    assert (await updated(caller, device, same_series=True)).result["updates"] == []

    job = await updated(caller, device)
    assert job.bytes_done == job.bytes_total == 3 * newer.alpha.size, "fetched, written and read back"
    assert [child.operation for child in await caller.client.jobs() if child.parent == job.path] == ["download"]
    result: Mapping[str, Any] = job.result
    assert result["updates"][0]["new_name"] == "alpha-2.iso"
    assert result["images"] == ["alpha-2.iso", "beta.iso"]
    assert sticks.check(target.file) == {"alpha-2.iso": newer.alpha.sha256, "beta.iso": images.beta.sha256}
    assert sticks.names(target.file) == ["alpha-2.iso", "beta.iso"], "it has the place of the old one"
    assert sticks.files(target.file, "/iso") == {"alpha-2.iso", "beta.iso"}
    image = sticks.contents(target.file).manifest.images[0]
    assert (image.title, image.source, image.trust) == ("Alpha 2.0", "distro:alpha@2.0", "hash")
    await caller.property(device, "Updates", [], DEVICE)
    assert (await caller.succeeded(await caller.client.verify(device))).result["ok"] is True

    generation = sticks.grub_menu(target.file)[0]
    nothing = await updated(caller, device)
    assert (nothing.result["updates"], nothing.bytes_total) == ([], 0)
    assert sticks.grub_menu(target.file)[0] == generation, "nothing is written"


@pytest.mark.root
async def test_a_stick_that_is_plugged_in(caller: Caller, attach: Callable[[Path], str], stick: Path) -> None:
    await caller.created([await caller.target(stick)], ["distro:alpha@1.0"])
    device = await caller.disk(attach(stick))
    updates = await caller.until(lambda _heard: caller.announced(device.path, DEVICE).get("Updates") or None)
    assert told(updates) == [("alpha.iso", "1.0", "2.0", False)]


async def test_images_that_are_named(
    caller: Caller, stick: Path, catalogue: Path, everywhere: Mirror, images: Images, newer: Newer, daemon: Daemon
) -> None:
    await caller.created([await caller.target(stick)], ["distro:alpha@1.0", "distro:beta", "distro:memtest"])
    await daemon.stop()
    write(catalogue, everywhere, images, [("alpha", "2.0", newer.alpha), ("beta", "1.1", newer.beta)])
    await daemon.start()
    async with Caller.connect(daemon.address) as again:
        device = await again.target(stick)
        assert told(await shown(again, device)) == [
            ("alpha.iso", "1.0", "2.0", False),
            ("beta.iso", "1.0", "1.1", False),
        ]
        error = await refused(again, device, images=["gamma.iso"])
        assert (error.name, "memtest86+x64.iso" in error.why) == (ERROR + "ImageNotFound", True)
        assert (await updated(again, device, images=["distro:memtest@1.0"])).result["updates"] == []
        await updated(again, device, images=[images.beta.reference])
        assert sticks.names(stick) == ["alpha.iso", "beta-2.iso", "memtest86+x64.iso"]
        await updated(again, device, same_series=True)
        assert told(await shown(again, device)) == [("alpha.iso", "1.0", "2.0", False)]
        await updated(again, device)
        assert sticks.names(stick) == ["alpha-2.iso", "beta-2.iso", "memtest86+x64.iso"]


async def test_other_bytes_under_the_same_version(
    caller: Caller, stick: Path, catalogue: Path, everywhere: Mirror, images: Images, newer: Newer, daemon: Daemon
) -> None:
    await caller.created([await caller.target(stick)], ["distro:alpha@1.0"])
    await daemon.stop()
    write(catalogue, everywhere, images, [("alpha", "1.0", newer.alpha_respun)])
    await daemon.start()
    async with Caller.connect(daemon.address) as again:
        device = await again.target(stick)
        assert told(await shown(again, device)) == [("alpha.iso", "1.0", "1.0", True)]
        await updated(again, device)
        assert sticks.check(stick) == {"alpha-respun.iso": newer.alpha_respun.sha256}
        assert sticks.contents(stick).manifest.images[0].title == "Alpha 1.0"
        assert await shown(again, device) == []


async def test_an_imported_image_is_known_by_its_hash(
    caller: Caller, stick: Path, images: Images, newer: Newer
) -> None:
    await caller.imported(images.alpha.path, "mine.iso")
    device = await caller.target(stick)
    await caller.created([device], [images.alpha.reference])
    assert told(await shown(caller, device)) == [("mine.iso", "1.0", "2.0", False)]
    await updated(caller, device)
    assert sticks.check(stick) == {"alpha-2.iso": newer.alpha.sha256}
    # the one who imported it keeps it
    assert any(image.reference == images.alpha.reference for image in await caller.client.images())


async def test_a_download_that_fails_leaves_the_stick_alone(
    caller: Caller, stick: Path, everywhere: Mirror, newer: Newer, images: Images
) -> None:
    device = await caller.target(stick)
    await caller.created([device], ["distro:alpha@1.0"])
    before = stick.read_bytes()
    path = everywhere.files.pop(newer.alpha.path.name)
    job = await caller.failed(await start(caller, device))
    assert "404 Not Found" in job.error_message
    assert stick.read_bytes() == before
    everywhere.files[path.name] = path
    await updated(caller, device)
    assert sticks.check(stick) == {"alpha-2.iso": newer.alpha.sha256}


async def test_an_image_is_written_while_it_comes(
    caller: Caller, target: Target, catalogue: Path, everywhere: Mirror, images: Images, newer: Newer, daemon: Daemon
) -> None:
    await caller.created([await target.device(caller)], ["distro:alpha@1.0", "distro:beta"])
    await daemon.stop()
    write(catalogue, everywhere, images, [("alpha", "2.0", newer.large), ("beta", "1.1", newer.beta)])
    await daemon.start()
    async with Caller.connect(daemon.address) as again:
        device = await target.device(again)
        everywhere.rate = 2 * MIB
        path = await start(again, device)
        await again.stage(path, "download", "write-image")
        large = next(job for job in await again.client.jobs() if job.parent == path and "Alpha" in job.details.title)
        assert (large.state, large.bytes_done < newer.large.size) == (JobState.RUNNING, True)
        await again.until(lambda _heard: sticks.names(target.file) == ["alpha.iso", "beta-2.iso"] or None)
        await again.client.cancel(large.path)
        everywhere.rate = 0
        job = await again.failed(path)
        for word in ("large-2.iso", "cancelled", "starts alpha.iso, beta-2.iso", "luxusb update"):
            assert word in job.error_message
        assert sticks.check(target.file) == {"alpha.iso": images.alpha.sha256, "beta-2.iso": newer.beta.sha256}
        await updated(again, device)
        assert sticks.check(target.file) == {"large-2.iso": newer.large.sha256, "beta-2.iso": newer.beta.sha256}
        assert sticks.names(target.file) == ["large-2.iso", "beta-2.iso"]


async def test_an_image_that_is_not_kept(caller: Caller, stick: Path, images: Images, newer: Newer) -> None:
    device = await caller.target(stick)
    await caller.created([device], ["distro:alpha@1.0", "distro:beta"])
    kept = [image.reference for image in await caller.client.images()]
    for contrary in ("one_at_a_time", "replace"):
        error = await refused(caller, device, keep_images=False, **{contrary: True})
        assert error.name == ERROR + "InvalidArgument"
        assert contrary in error.why
    await updated(caller, device, keep_images=False)
    assert sticks.check(stick) == {"alpha-2.iso": newer.alpha.sha256, "beta.iso": images.beta.sha256}
    assert [image.reference for image in await caller.client.images()] == kept


async def test_there_is_no_room_for_both(
    caller: Caller, place: Path, catalogue: Path, everywhere: Mirror, images: Images, newer: Newer, daemon: Daemon
) -> None:
    small = place / "small.img"
    wanted = ["distro:large", "distro:rescue", "distro:alpha@1.0", "distro:beta"]
    await caller.created([await caller.target(small, 200 * MIB)], wanted)
    await daemon.stop()
    write(catalogue, everywhere, images, [("large", "1.1", newer.large), ("rescue", "1.1", newer.rescue)])
    await daemon.start()
    async with Caller.connect(daemon.address) as again:
        device = await again.target(small)
        old = sticks.check(small)
        check: Mapping[str, Any] = (await updated(again, device, check=True)).result
        free = check["free_bytes"]
        assert check["bytes_needed_one_at_a_time"] < free < check["bytes_needed"], check
        error = await refused(again, device)
        assert error.name == ERROR + "NotEnoughSpace"
        assert "--one-at-a-time" in error.why
        assert sticks.check(small) == old
        job = await updated(again, device, one_at_a_time=True)
        assert job.bytes_done == job.bytes_total == 3 * (newer.large.size + newer.rescue.size)
        now = sticks.check(small)
        assert now == {
            "large-2.iso": newer.large.sha256,
            "rescue-2.iso": newer.rescue.sha256,
            "alpha.iso": images.alpha.sha256,
            "beta.iso": images.beta.sha256,
        }
        assert sticks.names(small) == list(now)


async def test_there_is_room_only_when_the_old_one_goes_first(
    caller: Caller, place: Path, catalogue: Path, everywhere: Mirror, images: Images, newer: Newer, daemon: Daemon
) -> None:
    small = place / "small.img"
    await caller.created([await caller.target(small, 204 * MIB)], ["distro:alpha@1.0", "distro:huge"])
    await daemon.stop()
    write(catalogue, everywhere, images, [("huge", "1.1", newer.large), ("alpha", "1.1", newer.alpha)])
    await daemon.start()
    async with Caller.connect(daemon.address) as again:
        device = await again.target(small)
        old = sticks.check(small)
        for options in ({}, {"one_at_a_time": True}):
            error = await refused(again, device, images=["huge.iso"], **options)
            assert error.name == ERROR + "NotEnoughSpace"
            assert "--replace-first" in error.why
        assert sticks.check(small) == old
        await updated(again, device, replace=True)
        assert sticks.check(small) == {"alpha-2.iso": newer.alpha.sha256, "large-2.iso": newer.large.sha256}
        assert sticks.names(small) == ["alpha-2.iso", "large-2.iso"]


@pytest.mark.parametrize("stage", ["write-image", "read-back", "menu"])
async def test_a_worker_that_is_killed(
    daemon: Daemon, target: Target, everywhere: Mirror, images: Images, newer: Newer, stage: str
) -> None:
    old, new = {"alpha.iso": images.alpha.sha256}, {"alpha-2.iso": newer.alpha.sha256}
    async with Caller.connect(daemon.address) as caller:
        device = await target.device(caller)
        await caller.created([device], ["distro:alpha@1.0"])
        path = await start(caller, device)
        await caller.stage(path, stage)
        daemon.kill_children(WORKER)
        job = await caller.finished(path)
        flush(target)
        assert sticks.grub_images(target.file) in (old, new)
        if check_end(job):
            assert sticks.check(target.file) == new
        fetched = len(everywhere.served)
        await updated(caller, device)
        await caller.succeeded(await caller.client.refresh(device))
        flush(target)
        assert sticks.check(target.file) == new
        assert sticks.files(target.file, "/iso") == set(new)
        assert len(everywhere.served) == fetched, "what was downloaded is kept for the next try"


@pytest.mark.chaos
@pytest.mark.timeout(180)
@pytest.mark.parametrize("case", cases(["update"], ["core", "worker"]), ids=str)
async def test_kills_at_any_moment(daemon: Daemon, target: Target, images: Images, newer: Newer, case: Case) -> None:
    old, new = {"alpha.iso": images.alpha.sha256}, {"alpha-2.iso": newer.alpha.sha256}
    async with Caller.connect(daemon.address) as caller:
        device = await target.device(caller)
        await caller.created([device], ["distro:alpha@1.0"])
        job = await strike(daemon, caller, case, await start(caller, device))
    flush(target)
    starts = sticks.grub_images(target.file)
    assert starts in (old, new)
    if check_end(job):
        assert starts == new
    async with Caller.connect(daemon.address) as caller:
        device = await target.device(caller)
        await updated(caller, device)
        await caller.succeeded(await caller.client.refresh(device))
    flush(target)
    assert sticks.check(target.file) == new
    assert sticks.files(target.file, "/iso") == set(new)


async def test_a_catalogue_that_changes_is_compared_with_every_stick(
    place: Path, stick: Path, catalogue: Path, everywhere: Mirror, images: Images, newer: Newer
) -> None:
    write(catalogue, everywhere, images, [])
    async with remote() as found:
        found.publish(found.edition("school"))
        async with (
            Daemon(place, catalogues=[catalogue], config=CONFIG.format(place=place) + found.config) as daemon,
            Caller.connect(daemon.address) as caller,
        ):
            device = await caller.target(stick)
            await caller.created([device], ["distro:alpha@1.0"])
            assert await shown(caller, device) == []
            write(catalogue, everywhere, images, [("alpha", "2.0", newer.alpha)], end_of_life="2031-01-01")
            await caller.succeeded(await caller.client.update_catalog())

            def heard(_heard: object) -> list[Mapping[str, object]] | None:
                for signalled in caller.signals(device, "PropertiesChanged"):
                    changed = wire_of(signalled.signal.body[1], "changed")
                    if updates := changed.get("Updates"):
                        assert set(changed) == {"Updates"}
                        return list(updates)  # type: ignore[call-overload, no-any-return]
                return None

            assert told(await caller.until(heard)) == [("alpha.iso", "1.0", "2.0", False)]
            assert told(await shown(caller, device)) == [("alpha.iso", "1.0", "2.0", False)]
            # the same edition again: the files on the disk are read anew all the same
            write(catalogue, everywhere, images, [])
            await caller.succeeded(await caller.client.update_catalog())
            await caller.property(device, "Updates", [], DEVICE)
