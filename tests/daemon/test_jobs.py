"""Jobs of the real daemon: pausing, cancelling, changing, and what is told of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from luxusb_cli.calls import DEVICE, JOB, PROPERTIES
from luxusb_cli.errors import DaemonError
from luxusb_cli.model import JobState
from luxusb_cli.wire import number, wire_of, wires

from tests.daemon import sticks
from tests.daemon.caller import Caller
from tests.daemon.conftest import STICK, Target
from tests.daemon.daemon import WORKER, Daemon, children
from tests.daemon.images import MIB, Images
from tests.harness.mirrors import Faults, Mirror

ERROR = "org.luxusb.Error."
SLOW = 2 * MIB
UNANNOUNCED = {"Progress", "BytesDone", "BytesTotal", "Rate", "ExpectedEnd"}


def stored(daemon: Daemon, sha256: str) -> str:
    """Hash of the bytes that the store keeps under this name."""
    return hashlib.sha256((daemon.state / "images" / f"{sha256}.iso").read_bytes()).hexdigest()


def unfinished(daemon: Daemon) -> list[str]:
    return sorted(path.name for path in (daemon.state / "incoming").iterdir())


async def test_a_download_is_paused_and_resumed(daemon: Daemon, caller: Caller, mirror: Mirror, images: Images) -> None:
    mirror.rate = SLOW
    path = await caller.client.download("distro:large")
    await caller.progress(path, MIB)
    await caller.client.pause(path)
    await caller.property(path, "State", "paused")
    with pytest.raises(DaemonError) as twice:
        await caller.client.pause(path)
    assert twice.value.name == ERROR + "WrongJobState"
    assert f"{images.large.sha256}.part.json" in unfinished(daemon)
    requests = len(mirror.served)
    mirror.rate = 0
    await caller.client.resume(path)
    job = await caller.succeeded(path)
    assert job.resumed_bytes >= MIB
    assert [served.range.startswith("bytes=0-") for served in mirror.served[requests:]] == [False]
    assert mirror.served[requests].sent == images.large.size - job.resumed_bytes
    assert stored(daemon, images.large.sha256) == images.large.sha256
    assert unfinished(daemon) == []
    with pytest.raises(DaemonError) as ended:
        await caller.client.resume(path)
    assert ended.value.name == ERROR + "WrongJobState"


async def test_a_download_tells_who_serves_it(caller: Caller, mirror: Mirror) -> None:
    mirror.rate = SLOW
    path = await caller.client.download("distro:large")
    await caller.progress(path, MIB)
    (share,) = (await caller.client.job(path)).details.mirrors
    assert (share.host, share.state) == ("127.0.0.1", "serving")
    assert share.bytes_done > 0

    def told(_heard: object) -> bool | None:
        for heard in caller.signals(path, "PropertiesChanged"):
            details = wire_of(heard.signal.body[1], "changed").get("Details")
            found = wires(wire_of(details, "Details").get("mirrors", []), "mirrors") if details else []
            if any(number(each, "rate") > 0 for each in found):
                return True
        return None

    await caller.until(told)
    await caller.client.pause(path)
    await caller.property(path, "State", "paused")
    assert (await caller.client.job(path)).details.mirrors == ()
    mirror.rate = 0
    await caller.client.resume(path)
    assert (await caller.succeeded(path)).details.mirrors == ()


async def test_a_cancelled_download_keeps_its_bytes_when_asked_to(
    daemon: Daemon, caller: Caller, mirror: Mirror, images: Images
) -> None:
    mirror.rate = SLOW
    path = await caller.client.download("distro:large")
    await caller.progress(path, MIB)
    await caller.client.cancel(path, keep_partial=True)
    job = await caller.finished(path)
    assert (job.state, job.error_name) == (JobState.CANCELLED, ERROR + "Cancelled")
    assert f"{images.large.sha256}.part" in unfinished(daemon)
    mirror.rate = 0
    again = await caller.succeeded(await caller.client.download("distro:large"))
    assert again.resumed_bytes >= MIB
    assert stored(daemon, images.large.sha256) == images.large.sha256


@pytest.mark.parametrize("paused", [False, True])
async def test_a_cancelled_download_leaves_nothing_behind(
    daemon: Daemon, caller: Caller, mirror: Mirror, paused: bool
) -> None:
    mirror.rate = SLOW
    path = await caller.client.download("distro:large")
    await caller.progress(path, MIB)
    if paused:
        await caller.client.pause(path)
        await caller.property(path, "State", "paused")
    await caller.client.cancel(path)
    assert (await caller.finished(path)).state is JobState.CANCELLED
    assert unfinished(daemon) == []
    with pytest.raises(DaemonError) as ended:
        await caller.client.cancel(path)
    assert ended.value.name == ERROR + "WrongJobState"
    mirror.rate = 0
    again = await caller.succeeded(await caller.client.download("distro:large"))
    assert again.resumed_bytes == 0


async def test_a_limit_is_taken_off_a_running_download(caller: Caller, images: Images) -> None:
    # at this rate it would take more than six minutes
    path = await caller.client.download("distro:large", bandwidth=64 * 1024)
    await caller.progress(path, 1)
    assert (await caller.client.job(path)).details.bandwidth == 64 * 1024
    await caller.client.modify(path, priority=None, bandwidth=0)
    job = await caller.succeeded(path)
    assert job.details.bandwidth == 0
    imported = await caller.imported(images.alpha.path)
    with pytest.raises(DaemonError) as ended:
        await caller.client.modify(imported.path, priority=None, bandwidth=5)
    assert ended.value.name == ERROR + "WrongJobState"


@pytest.mark.parametrize("settings", ["[limits]\nactive_downloads = 1\n"])
async def test_priority_decides_who_is_next(caller: Caller, mirror: Mirror) -> None:
    mirror.rate = SLOW
    first = await caller.client.download("distro:large")
    await caller.progress(first, 1)
    second = await caller.client.download("distro:alpha")
    third = await caller.client.download("distro:beta")
    assert {job.path for job in await caller.client.jobs(unfinished=True) if job.state is JobState.QUEUED} == {
        second,
        third,
    }
    await caller.client.modify(third, priority=5, bandwidth=None)
    mirror.rate = 0
    await asyncio.gather(*(caller.succeeded(path) for path in (first, second, third)))
    ended = [heard.signal.path for heard in caller.heard if heard.signal.member == "Finished"]
    assert ended == [first, third, second]


async def test_the_same_image_twice_is_one_job(caller: Caller, mirror: Mirror) -> None:
    mirror.rate = SLOW
    path = await caller.client.download("distro:large")
    assert await caller.client.download("large@1.0") == path
    mirror.rate = 0
    await caller.succeeded(path)
    # it is there now, so that a new job has nothing to fetch
    requests = len(mirror.served)
    assert (await caller.succeeded(await caller.client.download("distro:large"))).path != path
    assert len(mirror.served) == requests


async def test_what_is_told_of_a_download(caller: Caller, mirror: Mirror, images: Images) -> None:
    mirror.rate = 12 * MIB
    path = await caller.client.download("distro:large")
    job = await caller.succeeded(path)
    heard = [entry for entry in caller.heard if entry.signal.path == path]
    progress = [entry for entry in heard if entry.signal.member == "ProgressChanged"]
    # at most four a second and the last one; what is late on its way only makes the time longer
    assert 3 <= len(progress) <= 4 * (progress[-1].time - progress[0].time) + 2
    assert [entry.signal.member for entry in heard].count("Finished") == 1
    assert heard[-1].signal.member == "Finished"
    assert [entry.signal.member for entry in heard if entry.signal.member != "PropertiesChanged"][-2] == (
        "ProgressChanged"
    )
    done = [entry.signal.body[1] for entry in progress]
    assert done == sorted(done)  # type: ignore[type-var]
    assert progress[-1].signal.body[:3] == [1.0, images.large.size, images.large.size]
    state, name, message, result = heard[-1].signal.body
    assert (state, name, message) == ("succeeded", "", "")
    assert wire_of(result, "result")["image"] == images.large.reference == job.result["image"]
    states = [
        wire_of(entry.signal.body[1], "changed")["State"]
        for entry in heard
        if entry.signal.member == "PropertiesChanged" and "State" in wire_of(entry.signal.body[1], "changed")
    ]
    assert states in (["running", "succeeded"], ["succeeded"])
    log = " ".join(job.details.log)
    for stage in ("connect", "transfer", "verify", "inspect", "succeeded"):
        assert stage in log
    assert job.details.created <= job.details.started <= job.details.finished
    assert await properties(caller, path, JOB) == told(caller, path, JOB)


async def test_what_is_told_of_a_stick(caller: Caller, target: Target, mirror: Mirror) -> None:
    device = await target.device(caller)
    plan = await caller.plan([device], ["distro:beta"])
    path = await caller.client.create(plan.token)
    job = await caller.succeeded(path)
    await caller.succeeded(await caller.client.verify(device))
    members = [entry.signal.member for entry in caller.heard if entry.signal.path == path]
    assert members.count("Finished") == 1
    assert members[-1] == "Finished"
    done = [entry.signal.body[1] for entry in caller.signals(path, "ProgressChanged")]
    assert done == sorted(done)  # type: ignore[type-var]
    assert done[-1] == job.bytes_total
    assert await properties(caller, path, JOB) == told(caller, path, JOB)
    if not target.node:  # a disk was there before the caller
        assert await properties(caller, device, DEVICE) == told(caller, device, DEVICE)
    busy = [
        wire_of(entry.signal.body[1], "changed")["Busy"]
        for entry in caller.signals("/org/luxusb/Manager", "PropertiesChanged")
        if "Busy" in wire_of(entry.signal.body[1], "changed")
    ]
    assert busy == [True, False, True, False]


async def properties(caller: Caller, path: str, interface: str) -> dict[str, object]:
    reply = await caller.connection.call(path, PROPERTIES, "GetAll", "s", [interface], what="properties")
    return {name: value for name, value in wire_of(reply[0], "properties").items() if name not in UNANNOUNCED}


def told(caller: Caller, path: str, interface: str) -> dict[str, object]:
    return {name: value for name, value in caller.announced(path, interface).items() if name not in UNANNOUNCED}


@pytest.mark.parametrize("settings", ["[daemon]\nkeep_finished = 1\n"])
async def test_the_object_of_a_finished_job_goes_and_its_record_stays(caller: Caller) -> None:
    path = (await caller.succeeded(await caller.client.download("distro:alpha"))).path
    await caller.until(
        lambda heard: next((entry for entry in heard if entry.signal.member == "InterfacesRemoved"), None)
    )
    with pytest.raises(DaemonError) as gone:
        await properties(caller, path, JOB)
    assert gone.value.name == "org.freedesktop.DBus.Error.UnknownObject"
    recorded = await caller.client.job(path)
    assert recorded.state is JobState.SUCCEEDED
    assert "verify" in " ".join(recorded.details.log)


async def stopped(daemon: Daemon, workers: int) -> None:
    """Wait until so many stick workers are there and the kernel has stopped all of them."""
    async with asyncio.timeout(20):
        while True:
            pids = daemon.pids(WORKER)
            if len(pids) == workers and all(_is_stopped(pid) for pid in pids):
                return
            await asyncio.sleep(0.01)


def _is_stopped(pid: int) -> bool:
    state = _state(pid)
    if state == "D":
        # a signal that comes while it starts a tool stops the child before its execve(2), and vfork(2) lets the parent
        # sleep uninterruptibly until then
        return any(_state(child) == "T" for child in children(pid))
    return state == "T"


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "gone"


def at(on_both: Sequence[str], *, file: Sequence[str] = (), loop: Sequence[str] = ()) -> pytest.MarkDecorator:
    """Stages on both kinds of target where these are written in different ways, and on one of them elsewhere."""
    cases = [pytest.param("file", stage) for stage in (*file, *on_both)]
    cases += [pytest.param("loop", stage, marks=pytest.mark.root) for stage in (*loop, *on_both)]
    return pytest.mark.parametrize(("target", "stage"), cases, indirect=["target"])


@at(["filesystem", "write-image"], file=["running"], loop=["boot-files"])
async def test_a_stick_is_paused_while_it_is_made(
    daemon: Daemon, caller: Caller, target: Target, images: Images, stage: str
) -> None:
    big = [str((await caller.imported(image.path)).result["image"]) for image in (images.large, images.huge)]
    device = await target.device(caller)
    path = await caller.client.create((await caller.plan([device], big)).token)
    if stage != "running":
        await caller.stage(path, stage)
    await caller.client.pause(path)
    await caller.property(path, "State", "paused")
    await stopped(daemon, 1)
    assert (await caller.client.device(device)).current_job == path
    await caller.client.resume(path)
    await caller.succeeded(path)
    assert sticks.check(target.file) == {"large.iso": images.large.sha256, "huge.iso": images.huge.sha256}


async def test_all_workers_of_a_job_are_paused(daemon: Daemon, caller: Caller, stick: Path, place: Path) -> None:
    await caller.succeeded(await caller.client.download("distro:large"))
    other = place / "other.img"
    devices = [await caller.target(stick), await caller.target(other, STICK)]
    path = await caller.client.create((await caller.plan(devices, ["distro:large"])).token)
    await caller.client.pause(path)
    await stopped(daemon, 2)
    await caller.client.resume(path)
    await caller.succeeded(path)
    assert sticks.check(stick) == sticks.check(other)


async def test_a_stick_is_paused_while_it_waits_for_its_download(
    caller: Caller, stick: Path, mirror: Mirror, images: Images
) -> None:
    mirror.rate = SLOW
    path = await caller.client.create((await caller.plan([await caller.target(stick)], ["distro:large"])).token)
    await caller.stage(path, "download")
    child = next(job for job in await caller.client.jobs() if job.parent == path)
    await caller.progress(child.path, MIB)
    await caller.client.pause(path)
    await caller.property(child.path, "State", "paused")
    mirror.rate = 0
    await caller.client.resume(path)
    await caller.succeeded(path)
    assert (await caller.client.job(child.path)).resumed_bytes >= MIB
    assert sticks.check(stick) == {"large.iso": images.large.sha256}


@at(["filesystem", "write-image"], file=["download"], loop=["boot-files", "paused"])
async def test_a_stick_is_cancelled_while_it_is_made(
    daemon: Daemon, caller: Caller, target: Target, images: Images, mirror: Mirror, stage: str
) -> None:
    if stage == "download":
        mirror.rate = SLOW
    else:
        for image in (images.large, images.huge):
            await caller.imported(image.path)
    device = await target.device(caller)
    names = (images.large, images.huge)
    references = [f"distro:{image.id}" if stage == "download" else image.reference for image in names]
    path = await caller.client.create((await caller.plan([device], references)).token)
    await caller.stage(path, stage if stage != "paused" else "filesystem")
    if stage == "paused":
        await caller.client.pause(path)
        await stopped(daemon, 1)
    await caller.client.cancel(path)
    job = await caller.finished(path)
    assert (job.state, job.error_name) == (JobState.CANCELLED, ERROR + "Cancelled")
    assert daemon.pids(WORKER) == ()
    if stage == "download":
        assert target.file.read_bytes() == bytes(STICK)
        assert unfinished(daemon) == []
    shown = await caller.client.device(device)
    assert shown.current_job == ""
    if shown.state == "luxusb":
        # it was far enough to be a stick: one without images then
        assert sticks.check(target.file) == {}
    mirror.rate = 0
    await caller.created([device], ["distro:alpha"])
    assert sticks.check(target.file) == {"alpha.iso": images.alpha.sha256}


@pytest.mark.parametrize("stage", ["filesystem", "write-image"])
async def test_a_cancelled_change_leaves_the_stick_as_it_was(
    caller: Caller, target: Target, images: Images, stage: str
) -> None:
    for image in (images.large, images.huge):
        await caller.imported(image.path)
    device = await target.device(caller)
    await caller.created([device], ["distro:alpha"])
    path = await caller.client.add_images(device, [images.large.reference, images.huge.reference])
    await caller.stage(path, stage)
    await caller.client.cancel(path)
    assert (await caller.finished(path)).state is JobState.CANCELLED
    assert sticks.check(target.file) == {"alpha.iso": images.alpha.sha256}
    assert sticks.files(target.file, "/iso") == {"alpha.iso"}
    assert (await caller.client.device(device)).state == "luxusb"
    await caller.succeeded(await caller.client.add_images(device, [images.large.reference]))
    assert (await caller.succeeded(await caller.client.verify(device))).result["ok"] is True


async def test_an_import_is_cancelled(daemon: Daemon, caller: Caller, images: Images) -> None:
    path = await caller.start_import(images.huge.path)
    await caller.client.cancel(path)
    job = await caller.finished(path)
    if job.state is not JobState.SUCCEEDED:
        assert (job.state, job.error_name) == (JobState.CANCELLED, ERROR + "Cancelled")
        assert await caller.client.images() == ()
    assert list((daemon.state / "staging").iterdir()) == []


async def test_an_import_with_another_hash(caller: Caller, images: Images, daemon: Daemon) -> None:
    with images.alpha.path.open("rb") as file:
        path = await caller.client.import_image(file.fileno(), "alpha.iso", sha256="0" * 64)
    job = await caller.failed(path)
    assert job.error_name == ERROR + "VerificationFailed"
    assert await caller.client.images() == ()
    assert list((daemon.state / "staging").iterdir()) == []


async def test_a_mirror_that_lies(daemon: Daemon, caller: Caller, mirror: Mirror, images: Images) -> None:
    mirror.faults = Faults(corrupt_at=MIB)
    job = await caller.failed(await caller.client.download("distro:alpha"))
    assert job.error_name == ERROR + "VerificationFailed"
    assert unfinished(daemon) == []
    mirror.faults = Faults()
    await caller.succeeded(await caller.client.download("distro:alpha"))
    assert stored(daemon, images.alpha.sha256) == images.alpha.sha256
