"""A machine that lacks something: room, programs, a network. The error says what, and all goes on once it is there."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from luxusb_cli.model import JobState

from tests.daemon import sticks
from tests.daemon.caller import Caller
from tests.daemon.cli import ERROR, Refusal, Said, check_json, check_text, fingerprint
from tests.daemon.images import MIB, Images
from tests.daemon.shared import World, world_of

pytestmark = pytest.mark.root


@dataclass
class Filler:
    """Takes the room on a filesystem, and gives it back."""

    file: Path

    def fill(self, leave: int = 0) -> None:
        """Take all but `leave` bytes."""
        fd = os.open(self.file, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            status = os.fstatvfs(fd)
            size = max(0, status.f_bavail * status.f_frsize - leave)
            size = size // MIB * MIB if leave else size
            with contextlib.suppress(OSError):
                os.posix_fallocate(fd, 0, size)
            if not leave:
                end = os.fstat(fd).st_size
                for step in (65536, 4096, 512):
                    with contextlib.suppress(OSError):
                        while True:
                            end += os.pwrite(fd, b"x" * step, end)
            os.fsync(fd)
        finally:
            os.close(fd)

    def free(self) -> None:
        self.file.unlink()
        os.sync()


@contextlib.asynccontextmanager
async def full_world(images: Images, small: Path) -> AsyncIterator[tuple[World, Filler]]:
    async with world_of(images, state=small / "s") as world:
        filler = Filler(small / "filler")
        yield world, filler
        filler.file.unlink(missing_ok=True)


FULL = ["free some space"]


@pytest.fixture(autouse=True)
def state_directory(small: Path) -> None:
    (small / "s").mkdir()


async def test_no_room_for_an_import(images: Images, small: Path) -> None:
    async with full_world(images, small) as (world, filler):
        filler.fill(leave=200 * MIB)
        refusal = Refusal("NotEnoughSpace", ["image store", "free", "reserve"], ["delete or unpin images"])
        async with world.untouched():
            await world.cli.refused(refusal, "import", images.huge.path)
        filler.free()
        await world.cli.json("import", images.huge.path)


async def test_the_disk_runs_full_during_an_import(images: Images, small: Path) -> None:
    """Somebody else takes the room that was there when the copy began."""
    async with full_world(images, small) as (world, filler):
        source = world.place / "wide.iso"
        with source.open("wb") as file:
            file.write(images.alpha.path.read_bytes())
            file.truncate(100 * MIB)
        async with Caller.connect(world.daemon.address) as caller:
            path = await caller.start_import(source)
            await caller.stage(path, "copy")
            filler.fill()
            job = await caller.finished(path)
        source.unlink()
        if job.state is JobState.FAILED:
            assert job.error_name == ERROR + "NotEnoughSpace"
            assert "disk is full" in job.error_message or "too little are free" in job.error_message
            check_text(await world.cli.run("watch", str(job.id)), Refusal("NotEnoughSpace", [], ["free some space"]))
        filler.free()
        assert sorted((world.daemon.state / "staging").iterdir()) == []
        await world.cli.json("import", images.alpha.path)
        await world.check_well()


async def test_no_room_for_a_download(images: Images, small: Path) -> None:
    async with full_world(images, small) as (world, filler):
        filler.fill(leave=50 * MIB)
        refusal = Refusal("NotEnoughSpace", ["image store", "more are needed", "reserve"], ["free some space"])
        said = await world.cli.run("download", "huge")
        check_text(said, refusal)
        check_json(await world.cli.run("download", "huge", "--json"), refusal, ["download", "huge"])
        await world.check_well()
        filler.free()
        await world.cli.json("download", "huge")


async def test_no_room_to_remember_a_job(images: Images, small: Path) -> None:
    """The job database cannot grow: nothing is begun, and reading still works."""
    async with full_world(images, small) as (world, filler):
        await world.cli.json("import", images.alpha.path)
        filler.fill()
        stick = world.disk_file("stick")
        # what is left in the last block of the database is used up first: what it remembers goes on
        said, made = Said(0, "", ""), None
        for _attempt in range(20):
            made = fingerprint(stick)
            said = await world.cli.run("create", "--image-file", stick, "--yes", images.alpha.reference)
            if "job database" in said.err:
                break
        check_text(said, Refusal("NotEnoughSpace", ["job database", "full"], FULL))
        assert fingerprint(stick) == made
        assert len((await world.cli.json("images"))["images"]) == 1
        assert (await world.cli.json("jobs", "--unfinished"))["jobs"] == []
        filler.free()
        await world.cli.json("create", "--image-file", stick, "--yes", images.alpha.reference)
        assert sticks.check(stick) == {"alpha.iso": images.alpha.sha256}
        await world.check_well()


async def test_a_start_on_a_full_disk(images: Images, small: Path) -> None:
    """It says what is wrong in one line, and starts once there is room; images and jobs are as before."""
    async with full_world(images, small) as (world, filler):
        await world.cli.json("import", images.alpha.path)
        jobs = await world.cli.json("jobs")
        assert await world.daemon.stop() == 0
        filler.fill()
        with contextlib.suppress(AssertionError):
            await world.daemon.start()
        if world.daemon.running:
            await world.daemon.stop()
        else:
            assert "free some space" in world.daemon.log
        assert "Traceback" not in world.daemon.log
        filler.free()
        await world.daemon.start()
        world.cli.address = world.daemon.address
        assert await world.cli.json("jobs") == jobs
        assert len((await world.cli.json("images"))["images"]) == 1


@dataclass(frozen=True)
class Lacking:
    """What is hidden from the daemon, and what it says then."""

    id: str
    hide: str
    why: tuple[str, ...]
    todo: tuple[str, ...]
    command: tuple[str, ...] = ("plan",)


def hidden(*programs: str) -> str:
    """Shell: in this namespace the programs are no programs."""
    paths = [path for name in programs for path in (Path(d, name) for d in ("/usr/bin", "/usr/sbin")) if path.is_file()]
    assert paths, programs
    return "\n".join(f"mount --bind /dev/null {path.resolve()}" for path in dict.fromkeys(paths))


EMPTY = "mount -t tmpfs none {}"

LACKING = [
    Lacking("mtools", hidden("mtools"), ("mmd", "mcopy", "not installed"), ("install the package mtools",)),
    Lacking("dosfstools", hidden("mkfs.fat"), ("mkfs.fat", "not installed"), ("install the package dosfstools",)),
    Lacking("e2fsprogs", hidden("mke2fs"), ("mke2fs", "not installed"), ("install the package e2fsprogs",)),
    Lacking("debugfs", hidden("debugfs"), ("debugfs", "not installed"), ("install the package e2fsprogs",)),
    Lacking("sfdisk", hidden("sfdisk"), ("sfdisk", "not installed"), ("package fdisk", "Fedora, Arch: util-linux")),
    Lacking(
        "several",
        hidden("sfdisk", "mkfs.fat"),
        ("sfdisk", "mkfs.fat", "not installed"),
        ("install the packages", "fdisk", "dosfstools"),
    ),
    Lacking(
        "grub-mkimage", hidden("grub-mkimage"), ("grub-mkimage", "not installed"), ("package grub-common", "grub2")
    ),
    Lacking(
        "grub",
        EMPTY.format("/usr/lib/grub"),
        ("no GRUB boot files", "no stick"),
        ("grub-pc-bin", "grub-efi-amd64-bin", "grub2-pc-modules"),
    ),
]


@pytest.mark.parametrize("lacking", LACKING, ids=lambda lacking: lacking.id)
async def test_a_program_that_is_not_installed(images: Images, lacking: Lacking) -> None:
    refusal = Refusal("ToolMissing", lacking.why, lacking.todo)
    async with world_of(images, before=lacking.hide) as world:
        stick = world.disk_file("stick")
        async with world.untouched(stick):
            await world.cli.refused(refusal, "plan", "--image-file", stick, "distro:alpha")
            await world.cli.refused(refusal, "create", "--image-file", stick, "--yes", "distro:alpha")
        # what takes no such program goes on
        await world.cli.json("download", "alpha")


async def test_half_a_grub(images: Images) -> None:
    """A stick for one kind of firmware is better than none, and the plan says what is missing."""
    without = " && ".join(EMPTY.format(f"/usr/lib/grub/{name}") for name in ("x86_64-efi", "x86_64-efi-signed"))
    async with world_of(images, before=without) as world:
        stick = world.disk_file("stick")
        plan = (await world.cli.json("plan", "--image-file", stick, "distro:alpha"))["plan"]
        assert plan["firmware"] == ["bios"]
        (warning,) = [line for line in plan["warnings"] if "UEFI" in line]
        assert "install grub-efi-amd64-bin" in warning
        assert warning in await world.cli.text("plan", "--image-file", stick, "distro:alpha")


async def test_no_signed_grub(images: Images) -> None:
    """The stick starts without Secure Boot then, and the plan says what is missing."""
    async with world_of(images, before=EMPTY.format("/usr/lib/shim")) as world:
        plan = (await world.cli.json("plan", "--image-file", world.disk_file("stick"), "distro:alpha"))["plan"]
        assert plan["firmware"] == ["bios", "uefi"]
        assert plan["secure_boot"] is False
        (warning,) = [line for line in plan["warnings"] if "Secure Boot" in line]
        assert "install shim-signed" in warning


async def test_no_bus_program(images: Images) -> None:
    from tests.daemon.daemon import DaemonError

    with pytest.raises(DaemonError) as caught:
        async with world_of(images, before=hidden("dbus-daemon")):
            pass
    assert "luxusbd: the program dbus-daemon is not installed; install the package dbus-daemon" in str(caught.value)
    assert "Traceback" not in str(caught.value)


async def test_no_network(images: Images) -> None:
    """A mirror that cannot be reached is waited for, which is told; the job goes on when it is back, or ends."""
    async with world_of(images) as world:
        await world.mirror.__aexit__(None, None, None)
        async with Caller.connect(world.daemon.address) as caller:
            job = (await world.cli.json("download", "large", "--no-wait"))["jobs"][0]
            await caller.stage(job["path"], "wait-for-network")
            await waits_visibly(world, job["id"])
            await world.cli.text("cancel", str(job["id"]))
            assert (await caller.finished(job["path"])).state is JobState.CANCELLED
            assert sorted((world.daemon.state / "incoming").iterdir()) == []

            job = (await world.cli.json("download", "large", "--no-wait"))["jobs"][0]
            await caller.stage(job["path"], "wait-for-network")
            await world.mirror.__aenter__()
            ended = await caller.succeeded(job["path"])
            assert ended.result["image"] == images.large.reference
        await world.check_well()


async def waits_visibly(world: World, job_id: int) -> None:
    (seen,) = [job for job in (await world.cli.json("jobs", "--unfinished"))["jobs"] if job["id"] == job_id]
    assert seen["state"] == "running"
    assert any("no mirror can be reached, waiting for the network" in line for line in seen["details"]["log"])
    watching = await world.cli.start("watch", str(job_id))
    assert watching.stdout is not None
    try:
        async with asyncio.timeout(30):
            said = ""
            while "wait-for-network" not in said:
                line = await watching.stdout.readline()
                assert line, said
                said += line.decode()
    finally:
        watching.kill()
        await watching.communicate()


async def test_no_interface_at_all(images: Images) -> None:
    """In this daemon's network namespace there is not even a loopback."""
    async with world_of(images, network=False) as world:
        async with Caller.connect(world.daemon.address) as caller:
            job = (await world.cli.json("download", "alpha", "--no-wait"))["jobs"][0]
            await caller.stage(job["path"], "wait-for-network")
            await waits_visibly(world, job["id"])
            await world.cli.text("cancel", str(job["id"]))
            await caller.finished(job["path"])
        await world.check_well()
