"""Releases whose maker publishes SHA-512 alone, by the real daemon: as good as all others."""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from luxusb_cli.errors import DaemonError
from luxusb_cli.model import JobState

from tests.daemon import sticks
from tests.daemon.caller import Caller
from tests.daemon.conftest import CONFIG
from tests.daemon.daemon import Daemon
from tests.daemon.images import MIB, Images, TestImage
from tests.daemon.importing import streamed
from tests.daemon.leftovers import Machine, check_files
from tests.daemon.test_jobs import ERROR
from tests.harness.mirrors import Faults, Mirror
from tests.harness.mirrors import catalogue as document_of

SLOW = 2 * MIB


def sha512(image: TestImage) -> str:
    return hashlib.sha512(image.path.read_bytes()).hexdigest()


@pytest.fixture
async def mirrors(images: Images) -> AsyncIterator[Sequence[Mirror]]:
    async with AsyncExitStack() as stack:
        served = {image.path.name: image.path for image in images.all}
        yield [await stack.enter_async_context(Mirror(served)) for _ in range(3)]


def publish(path: Path, images: Images, mirrors: Sequence[Mirror], **other: str) -> None:
    """The catalogue, with another SHA-512 for some."""
    document = document_of([image.for_catalogue() for image in images.all], mirrors)
    hashes = {image.id: sha512(image) for image in images.all} | other
    for entry in document["distributions"]:
        entry["releases"][0] |= {"sha256": "", "sha512": hashes[entry["id"]]}
    path.write_text(json.dumps(document))


@pytest.fixture
def catalogue(images: Images, mirrors: Sequence[Mirror], place: Path) -> Path:
    path = place / "catalogue.json"
    publish(path, images, mirrors)
    return path


@pytest.fixture
async def daemon(place: Path, catalogue: Path, settings: str) -> AsyncIterator[Daemon]:
    machine = Machine.now()
    async with Daemon(place, catalogues=[catalogue], config=CONFIG.format(place=place) + settings) as running:
        yield running
    machine.check_nothing_left(running)


def requests(mirrors: Sequence[Mirror]) -> int:
    return sum(len(mirror.served) for mirror in mirrors)


def stored(daemon: Daemon) -> set[str]:
    return {path.stem for path in (daemon.state / "images").glob("*.iso")}


async def again(daemon: Daemon, mirrors: Sequence[Mirror], image: TestImage, name: str) -> None:
    """It is there: neither a download nor a plan fetches anything."""
    before = requests(mirrors)
    async with Caller.connect(daemon.address) as caller:
        job = await caller.succeeded(await caller.client.download(f"distro:{name}"))
        assert (job.result["image"], job.result["trust"]) == (image.reference, "hash")
        target = await caller.target(daemon.directory / "plan.img", 256 * MIB)
        (planned,) = (await caller.plan([target], [f"distro:{name}"])).images
        assert (planned.reference, planned.download, planned.trust) == (image.reference, False, "hash")
    assert requests(mirrors) == before


async def test_it_is_fetched_once(daemon: Daemon, caller: Caller, mirrors: Sequence[Mirror], images: Images) -> None:
    (found,) = [entry for entry in await caller.client.distributions() if entry.id == "alpha"]
    assert [(one.sha256, one.sha512, one.trust) for one in found.releases] == [("", sha512(images.alpha), "hash")]
    job = await caller.succeeded(await caller.client.download("distro:alpha"))
    assert (job.result["image"], job.result["trust"]) == (images.alpha.reference, "hash")
    (image,) = await caller.client.images()
    assert (image.sha256, image.genuine, image.genuine_reference) == (
        images.alpha.sha256,
        "Alpha 1.0",
        "distro:alpha@1.0",
    )
    await again(daemon, mirrors, images.alpha, "alpha")
    check_files(daemon)
    assert await daemon.stop() == 0
    await daemon.start()
    await again(daemon, mirrors, images.alpha, "alpha")


async def test_a_wrong_one_is_said(
    daemon: Daemon, caller: Caller, catalogue: Path, mirrors: Sequence[Mirror], images: Images
) -> None:
    await daemon.stop()
    publish(catalogue, images, mirrors, alpha="f" * 128)
    await daemon.start()
    async with Caller.connect(daemon.address) as other:
        job = await other.failed(await other.client.download("distro:alpha"))
        assert job.error_name == ERROR + "VerificationFailed"
        assert f"its sha512 is {sha512(images.alpha)}, expected {'f' * 128}" in job.error_message
        assert "the catalogue may be out of date" in job.error_message
        assert await other.client.images() == ()
    assert list((daemon.state / "incoming").iterdir()) == []


async def test_the_liar_is_found(daemon: Daemon, caller: Caller, mirrors: Sequence[Mirror], images: Images) -> None:
    liar = mirrors[1]
    for mirror in mirrors:
        mirror.rate = 0 if mirror is liar else 4 * MIB
    await caller.succeeded(await caller.client.race_mirrors("large"))
    assert (await caller.client.mirrors("large"))[0].url == f"{liar.url}/large.iso"
    liar.faults = Faults(corrupt_at=MIB)
    job = await caller.succeeded(await caller.client.download("distro:large"))
    assert job.result["image"] == images.large.reference
    assert stored(daemon) == {images.large.sha256}
    banned = [mirror.url for mirror in await caller.client.mirrors("large") if mirror.state == "banned"]
    assert banned == [f"{liar.url}/large.iso"]


async def test_the_only_liar_is_named(
    daemon: Daemon, catalogue: Path, mirrors: Sequence[Mirror], images: Images
) -> None:
    await daemon.stop()
    publish(catalogue, images, mirrors[:1])
    await daemon.start()
    mirrors[0].faults = Faults(corrupt_at=MIB)
    async with Caller.connect(daemon.address) as caller:
        job = await caller.failed(await caller.client.download("distro:alpha"))
    assert job.error_name == ERROR + "VerificationFailed"
    assert f"expected {sha512(images.alpha)}; it came from {mirrors[0].url}/alpha.iso" in job.error_message


async def test_it_goes_on_after_a_restart(daemon: Daemon, mirrors: Sequence[Mirror], images: Images) -> None:
    for mirror in mirrors:
        mirror.rate = SLOW
    async with Caller.connect(daemon.address) as caller:
        path = await caller.client.download("distro:large")
        await caller.progress(path, MIB)
        # it is one job, also for who asks twice
        assert await caller.client.download("distro:large") == path
    await daemon.kill()
    part = daemon.state / "incoming" / f"sha512-{sha512(images.large)}.part.json"
    claims = json.loads(part.read_text())
    assert claims["expected"] == {"algorithm": "sha512", "value": sha512(images.large)}
    for mirror in mirrors:
        mirror.rate = 0
    await daemon.start()
    async with Caller.connect(daemon.address) as caller:
        job = await caller.succeeded(path)
        assert job.resumed_bytes >= claims["downloaded_bytes"]
        assert job.result["image"] == images.large.reference
    check_files(daemon)


async def test_an_unfinished_one_is_pruned_by_its_name(
    caller: Caller, mirrors: Sequence[Mirror], images: Images
) -> None:
    for mirror in mirrors:
        mirror.rate = SLOW
    path = await caller.client.download("distro:large")
    await caller.progress(path, MIB)
    assert await caller.client.prune(dry_run=True) == ()
    await caller.client.cancel(path, keep_partial=True)
    assert (await caller.finished(path)).state is JobState.CANCELLED
    (would,) = await caller.client.prune(dry_run=True)
    assert (would.kind, would.reference, would.name) == ("partial", "distro:large@1.0", "Large 1.0")
    assert would.sha256 == f"sha512-{sha512(images.large)}"
    (pruned,) = await caller.client.prune(only=(would.sha256,))
    # how many blocks a file takes, its filesystem may decide later
    assert replace(pruned, size=would.size) == would
    assert await caller.client.prune(dry_run=True) == ()


async def test_a_respin_is_noticed(
    daemon: Daemon, caller: Caller, catalogue: Path, mirrors: Sequence[Mirror], images: Images
) -> None:
    await caller.succeeded(await caller.client.download("distro:alpha"))
    await daemon.stop()
    document = json.loads(catalogue.read_text())
    entries = {entry["id"]: entry["releases"][0] for entry in document["distributions"]}
    # other bytes under the same version
    entries["alpha"] |= {key: entries["beta"][key] for key in ("iso_url", "sha512", "mirrors", "size_mb", "size")}
    catalogue.write_text(json.dumps(document))
    await daemon.start()
    async with Caller.connect(daemon.address) as other:
        job = await other.succeeded(await other.client.download("distro:alpha"))
        assert job.result["image"] == images.beta.reference
        genuine = {image.reference: image.genuine for image in await other.client.images()}
    assert genuine == {images.alpha.reference: "", images.beta.reference: "Alpha 1.0"}


@pytest.mark.parametrize("way", ["file", "pipe", "compressed"])
async def test_an_import_is_recognised(
    daemon: Daemon, caller: Caller, mirrors: Sequence[Mirror], images: Images, place: Path, way: str
) -> None:
    if way == "pipe":
        job = await streamed(caller, images.alpha.path.read_bytes(), "mine.iso")
        assert job.state is JobState.SUCCEEDED, job.error_message
    elif way == "compressed":
        packed = place / "mine.iso.xz"
        packed.write_bytes(lzma.compress(images.alpha.path.read_bytes(), preset=0))
        job = await caller.imported(packed)
    else:
        job = await caller.imported(images.alpha.path, "mine.iso")
    assert (job.result["genuine"], job.result["trust"]) == ("Alpha 1.0", "hash")
    (image,) = await caller.client.images()
    assert (image.name, image.genuine_reference) == ("mine.iso", "distro:alpha@1.0")
    await again(daemon, mirrors, images.alpha, "alpha")


async def test_an_import_that_is_another_file(daemon: Daemon, caller: Caller, images: Images, place: Path) -> None:
    data = bytearray(images.alpha.path.read_bytes())
    data[-1] ^= 1
    path = place / "nearly.iso"
    path.write_bytes(data)
    job = await caller.imported(path)
    assert (job.result["genuine"], job.result["trust"]) == ("", "none")


async def test_a_lost_description_is_made_anew(
    daemon: Daemon, caller: Caller, mirrors: Sequence[Mirror], images: Images
) -> None:
    await caller.succeeded(await caller.client.download("distro:alpha"))
    await daemon.stop()
    (daemon.state / "images" / f"{images.alpha.sha256}.json").unlink()
    await daemon.start()
    async with Caller.connect(daemon.address) as other:
        while not (found := await other.client.images()):
            # it is made in the background; a download of the same image waits for nothing
            await other.client.jobs()
        assert [(image.genuine, image.trust, image.source) for image in found] == [
            ("Alpha 1.0", "hash", "distro:alpha@1.0")
        ]
    await again(daemon, mirrors, images.alpha, "alpha")


async def test_a_stick_is_made_of_it(caller: Caller, mirrors: Sequence[Mirror], images: Images, stick: Path) -> None:
    device = await caller.target(stick)
    plan = await caller.plan([device], ["distro:alpha", "distro:large"])
    assert [(image.reference, image.download) for image in plan.images] == [
        ("distro:alpha@1.0", True),
        ("distro:large@1.0", True),
    ]
    with pytest.raises(DaemonError) as twice:
        await caller.plan([device], ["distro:alpha", "distro:alpha@1.0"])
    assert twice.value.name == ERROR + "AlreadyExists"
    for mirror in mirrors:
        mirror.rate = SLOW
    path = await caller.client.create(plan.token)
    while not any(image.name == "alpha.iso" for image in await caller.client.images()):
        await caller.news(len(caller.heard))
    # what the job named before it was there is held now that it is
    assert [image.in_use for image in await caller.client.images()] == [True]
    with pytest.raises(DaemonError) as used:
        await caller.client.delete_image(images.alpha.reference)
    assert (used.value.name, path in used.value.why) == (ERROR + "ImageInUse", True)
    for mirror in mirrors:
        mirror.rate = 0
    await caller.succeeded(path)
    assert sticks.check(stick) == {"alpha.iso": images.alpha.sha256, "large.iso": images.large.sha256}


async def test_a_worker_looks_at_it_too(daemon: Daemon, caller: Caller, images: Images, stick: Path) -> None:
    """The sha256 is the word of a process without privileges: what it slipped in has that, and not the SHA-512."""
    await caller.succeeded(await caller.client.download("distro:alpha"))
    await daemon.stop()
    sidecar = daemon.state / "images" / f"{images.alpha.sha256}.json"
    document = json.loads(sidecar.read_text())
    assert document["sha512"] == sha512(images.alpha)
    sidecar.write_text(json.dumps(document | {"sha512": sha512(images.beta)}))
    await daemon.start()
    async with Caller.connect(daemon.address) as other:
        device = await other.target(stick)
        path = await other.client.create((await other.plan([device], [images.alpha.reference])).token)
        job = await other.failed(path)
        assert job.error_name == ERROR + "VerificationFailed"
        assert f"the file's sha512 is {sha512(images.alpha)}" in job.error_message


async def test_a_race_without_and_within_a_download(caller: Caller, mirrors: Sequence[Mirror]) -> None:
    await caller.raced_into("large", MIB)
