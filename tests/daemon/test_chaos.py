"""SIGKILL at random moments to the core, the transfer process and stick workers.

Whatever was going on, it ends with the right bytes or with an error that says what to do; a stick that was changed
starts its old or its new menu with whole images; and nothing is left behind. LUXUSB_CHAOS_SEED repeats a run,
LUXUSB_CHAOS_ROUNDS is how often each kind of kill comes (`make chaos`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from luxusb_cli.calls import Work
from luxusb_cli.errors import DaemonError
from luxusb_cli.model import JobInfo, JobState

from tests.daemon import sticks
from tests.daemon.byhand import Hand
from tests.daemon.caller import JOB_TIMEOUT, Caller, check_explained
from tests.daemon.conftest import Target
from tests.daemon.daemon import TRANSFER, WORKER, Daemon
from tests.daemon.images import MIB, Images
from tests.daemon.leftovers import check_no_mounts, waiting_for_disks
from tests.harness.mirrors import Mirror

SEED = int(os.environ.get("LUXUSB_CHAOS_SEED", "20261122"))
ROUNDS = int(os.environ.get("LUXUSB_CHAOS_ROUNDS", "1"))
ERROR = "org.luxusb.Error."
RATE = 8 * MIB
"""Bytes a second of the mirror, so that a download lasts long enough to be hit."""
LATER = "or wait a moment"
LONGEST = {
    "download": 1.0,
    "import": 0.2,
    "create": 1.5,
    "add": 0.8,
    "remove": 0.5,
    "update": 1.2,
    "refresh": 0.8,
    "verify": 0.5,
    "rescan": 1.0,
    "repair": 1.5,
}
"""Seconds after which the kill comes at the latest: about as long as the work takes."""

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]


@dataclass(frozen=True)
class Case:
    """One kill."""

    work: str
    victim: str
    number: int

    @property
    def delay(self) -> float:
        """Seconds between the start of the work and the kill."""
        return random.Random(f"{SEED} {self}").uniform(0.0, LONGEST[self.work])


def cases(works: list[str], victims: list[str]) -> list[Case]:
    return [Case(work, victim, number) for work in works for victim in victims for number in range(ROUNDS)]


async def strike(daemon: Daemon, caller: Caller, case: Case, path: str) -> JobInfo:
    """Kill the victim in the middle of the job at `path`; the job's end, after a restart where the core was hit."""
    await asyncio.sleep(case.delay)
    if case.victim != "core":
        daemon.kill_children(TRANSFER if case.victim == "transfer" else WORKER)
        return await caller.finished(path)
    await daemon.kill()
    check_no_mounts(daemon)
    await daemon.start()
    async with Caller.connect(daemon.address) as again:
        return await again.finished(path)


def check_end(job: JobInfo) -> bool:
    """Whether it succeeded; a failure has to explain itself."""
    if job.state is not JobState.SUCCEEDED:
        assert job.state is JobState.FAILED
        check_explained(job)
    return job.state is JobState.SUCCEEDED


def flush(target: Target) -> None:
    """No power was cut: what the kernel accepted for a loop device reaches its file."""
    if target.node:
        subprocess.run(["blockdev", "--flushbufs", target.node], check=True, timeout=60)


def at_rest(target: Target) -> dict[str, str]:
    """The images of a stick on which everything has to agree: manifest, menu and what GRUB reads."""
    flush(target)
    return sticks.check(target.file)


@pytest.mark.parametrize("case", cases(["download"], ["core", "transfer"]), ids=str)
async def test_downloads(daemon: Daemon, mirror: Mirror, images: Images, case: Case) -> None:
    mirror.rate = RATE
    async with Caller.connect(daemon.address) as caller:
        job = await strike(daemon, caller, case, await caller.client.download("distro:large"))
    assert job.state is JobState.SUCCEEDED, job.error_message
    assert stored(daemon, images.large.sha256) == images.large.sha256


@pytest.mark.parametrize("case", cases(["import"], ["core", "transfer"]), ids=str)
async def test_imports(daemon: Daemon, images: Images, case: Case) -> None:
    async with Caller.connect(daemon.address) as caller:
        job = await strike(daemon, caller, case, await caller.start_import(images.huge.path))
    if not check_end(job):
        async with Caller.connect(daemon.address) as caller:
            await caller.imported(images.huge.path)
    assert stored(daemon, images.huge.sha256) == images.huge.sha256


@pytest.mark.parametrize("case", cases(["create"], ["core", "transfer", "worker"]), ids=str)
async def test_new_sticks(daemon: Daemon, target: Target, mirror: Mirror, images: Images, case: Case) -> None:
    mirror.rate = 4 * RATE
    wanted = ["distro:alpha", "distro:large"]
    async with Caller.connect(daemon.address) as caller:
        device = await target.device(caller)
        plan = await caller.plan([device], wanted)
        job = await strike(daemon, caller, case, await caller.client.create(plan.token))
    if not check_end(job):
        async with Caller.connect(daemon.address) as caller:

            async def again() -> str:
                plan = await caller.plan([await target.device(caller)], wanted)
                return await caller.client.create(plan.token)

            await once_free(caller, again)
    assert at_rest(target) == {"alpha.iso": images.alpha.sha256, "large.iso": images.large.sha256}


@pytest.mark.parametrize("case", cases(["add", "remove"], ["core", "worker"]), ids=str)
async def test_changes(daemon: Daemon, target: Target, images: Images, case: Case) -> None:
    old = {"alpha.iso": images.alpha.sha256}
    new = {**old, "large.iso": images.large.sha256}
    if case.work == "remove":
        old, new = new, old
    async with Caller.connect(daemon.address) as caller:
        large = str((await caller.imported(images.large.path)).result["image"])
        device = await target.device(caller)
        await caller.created([device], ["distro:alpha", *([large] if case.work == "remove" else [])])
        path = await change(caller, case, device, large)
        job = await strike(daemon, caller, case, path)
    flush(target)
    starts = sticks.grub_images(target.file)
    assert starts in (old, new)
    if check_end(job):
        assert starts == new
    async with Caller.connect(daemon.address) as caller:
        device = await target.device(caller)

        async def again() -> str:
            try:
                return await change(caller, case, device, large)
            except DaemonError as error:
                # the manifest was switched, the menu perhaps not: a refresh makes them one
                if error.name not in (ERROR + "AlreadyExists", ERROR + "ImageNotFound"):
                    raise
                return await caller.client.refresh(device)

        await once_free(caller, again)
        await caller.succeeded(await caller.client.verify(device))
    assert at_rest(target) == new
    assert sticks.files(target.file, "/iso") == set(new)


@pytest.mark.parametrize("case", cases(["refresh", "verify"], ["core", "worker"]), ids=str)
async def test_work_that_keeps_the_images(daemon: Daemon, target: Target, images: Images, case: Case) -> None:
    held = {"alpha.iso": images.alpha.sha256, "large.iso": images.large.sha256}
    async with Caller.connect(daemon.address) as caller:
        device = await target.device(caller)
        await caller.created([device], ["distro:alpha", "distro:large"])
        job = await strike(daemon, caller, case, await caller.client.work_on(device, Work[case.work.upper()]))
    check_end(job)
    flush(target)
    assert sticks.grub_images(target.file) == held
    if case.work == "verify":
        assert at_rest(target) == held, "it writes nothing"
    async with Caller.connect(daemon.address) as caller:
        device = await target.device(caller)
        await once_free(caller, lambda: caller.client.refresh(device))
        await caller.succeeded(await caller.client.verify(device))
    assert at_rest(target) == held


async def once_free(caller: Caller, start: Callable[[], Awaitable[str]]) -> None:
    """Do a job when the kernel has let go of what a killed worker had mounted.

    Until then it is refused, or fails at its begin where that is noticed only there; the error says to wait a moment.
    """
    said = "a job does not end"
    with contextlib.suppress(TimeoutError):
        # what it holds is written out first, after whatever others have given the machine's disk to write
        async with asyncio.timeout(2 * JOB_TIMEOUT):
            while True:
                try:
                    job = await caller.finished(await start())
                except DaemonError as error:
                    said = error.why
                    if LATER not in said:
                        raise
                else:
                    said = job.error_message
                    if LATER not in said:
                        assert job.state is JobState.SUCCEEDED, f"{job.operation}: {job.error_name}: {said}"
                        return
                await asyncio.sleep(0.1)
    raise AssertionError(f"{said}; {waiting_for_disks()}")


@pytest.mark.parametrize("case", cases(["rescan"], ["core", "transfer", "worker"]), ids=str)
async def test_rescans(daemon: Daemon, target: Target, images: Images, case: Case) -> None:
    old = {"alpha.iso": images.alpha.sha256}
    new = {"large.iso": images.large.sha256}
    async with Caller.connect(daemon.address) as caller:
        device = await target.device(caller)
        await caller.created([device], ["distro:alpha", "distro:beta"])
        hand = Hand(target)
        await hand.copy(images.large.path, "large.iso")
        hand.delete("beta.iso")
        job = await strike(daemon, caller, case, await caller.client.work_on(device, Work.RESCAN))
    flush(target)
    if check_end(job):
        assert at_rest(target) == old | new
    else:
        assert case.victim != "transfer", "it is asked again after its death"
        assert menu_images(target) in ({"alpha.iso", "beta.iso"}, {"alpha.iso", "large.iso"})
    # whatever was cut, no file that lay there may be gone
    assert sticks.files(target.file, "/iso") == {"alpha.iso", "large.iso"}
    async with Caller.connect(daemon.address) as caller:
        device = await target.device(caller)
        await once_free(caller, lambda: caller.client.work_on(device, Work.RESCAN))
    assert at_rest(target) == old | new


@pytest.mark.parametrize("case", cases(["repair"], ["core", "transfer", "worker"]), ids=str)
async def test_repairs(daemon: Daemon, target: Target, images: Images, case: Case) -> None:
    """A stick without its ESP and without its list of images."""
    held = {"alpha.iso": images.alpha.sha256, "large.iso": images.large.sha256}
    async with Caller.connect(daemon.address) as caller:
        device = await target.device(caller)
        await caller.created([device], ["distro:alpha", "distro:large"])
        Hand(target).debugfs("rm /luxusb/stick.json")
        with Path(target.node or target.file).open("r+b") as disk:
            disk.seek(2 * MIB)
            disk.write(bytes(MIB))
        flush(target)
        job = await strike(daemon, caller, case, await caller.client.work_on(device, Work.REPAIR))
    flush(target)
    if check_end(job):
        assert at_rest(target) == held
    assert sticks.grub_images(target.file) == held, "the menu is whole all the time"
    async with Caller.connect(daemon.address) as caller:
        device = await target.device(caller)
        await once_free(caller, lambda: caller.client.work_on(device, Work.REPAIR))
        await caller.succeeded(await caller.client.verify(device))
    assert at_rest(target) == held


def menu_images(target: Target) -> set[str]:
    """The images that GRUB's menu names, whether their files are there or not."""
    return set(sticks.IN_MENU.findall(sticks.grub_menu(target.file)[1]))


async def change(caller: Caller, case: Case, device: str, image: str) -> str:
    if case.work == "add":
        return await caller.client.add_images(device, [image])
    return await caller.client.remove_images(device, ["large.iso"])


def stored(daemon: Daemon, sha256: str) -> str:
    return hashlib.sha256(Path(daemon.state / "images" / f"{sha256}.iso").read_bytes()).hexdigest()
