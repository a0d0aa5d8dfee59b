"""Disks that must not, or cannot, be made a stick: each is refused by name, and nothing of it is touched."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from luxusb_cli.errors import DaemonError

from tests.cli.process import Spawned
from tests.daemon import sticks
from tests.daemon.caller import Caller
from tests.daemon.cli import ERROR, Cli, Refusal, check_text, fingerprint
from tests.daemon.images import MIB, Images
from tests.daemon.shared import World, world_of
from tests.daemon.sticks import run
from tests.devices.loops import call

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.root]


@dataclass(frozen=True)
class Arranged:
    """A target as the command names it, and the files that must stay as they are."""

    target: tuple[str | Path, ...]
    watched: tuple[Path, ...]
    words: tuple[str, ...] = ()
    """What the refusal says beside the words of the case."""


@dataclass(frozen=True)
class Case:
    """One kind of bad disk."""

    id: str
    arrange: Callable[[World], Arranged]
    refusal: Refusal
    blocked: bool = False
    """Whether `luxusb devices` says the reason too."""
    images: tuple[str, ...] = ("distro:alpha",)


def disk(world: World, size: int = 256 * MIB, *options: str) -> Arranged:
    file = world.disk_file(size=size)
    node = world.attach(file, *options)
    return Arranged(("--device", node), (file,), (node,))


def small(world: World) -> Arranged:
    return disk(world, 100 * MIB)


def read_only(world: World) -> Arranged:
    return disk(world, 256 * MIB, "-r")


def switched_read_only(world: World) -> Arranged:
    arranged = disk(world)
    # the switch is the node's, not the file's: the next file behind it would be read-only too
    world.undo.callback(run, "blockdev", "--setrw", str(arranged.target[1]))
    run("blockdev", "--setro", str(arranged.target[1]))
    return arranged


def mounted(world: World) -> Arranged:
    arranged = disk(world)
    node = str(arranged.target[1])
    call("mkfs.ext4", "-q", "-F", node)
    return replace(arranged, words=(node, str(mount(world, node))))


def mount(world: World, node: str) -> Path:
    point = world.place / "mnt"
    point.mkdir()
    world.undo.callback(point.rmdir)
    # what is mounted writes to its disk now and then; read-only it does not
    call("mount", "-o", "ro,noload", node, point)
    world.undo.callback(run, "umount", str(point))
    return point


def partition(world: World) -> tuple[Arranged, str]:
    file = world.disk_file()
    call("sfdisk", "-q", file, stdin="label: gpt\nstart=2048, size=65536\n")
    node = world.attach(file)
    call("partx", "-u", node)
    (part,) = [f"/dev/{path.name}" for path in Path("/sys/block", Path(node).name).glob("loop*p*")]
    return Arranged(("--device", part), (file,), (part, node)), part


def mounted_partition(world: World) -> Arranged:
    arranged, part = partition(world)
    call("mkfs.ext4", "-q", "-F", part)
    node = arranged.words[1]
    return Arranged(("--device", node), arranged.watched, (node, str(mount(world, part))))


def loop_on_top(world: World) -> Arranged:
    arranged = disk(world)
    node = str(arranged.target[1])
    upper = world.attach(Path(node))
    return replace(arranged, words=(node, upper))


def not_named(world: World) -> Arranged:
    """A loop device on a file that the configuration does not allow."""
    file = world.file("other.raw")
    os.truncate(file, 256 * MIB)
    node = world.attach(file)
    return Arranged(("--device", node), (file,), (node,))


def gone(world: World) -> Arranged:
    arranged = disk(world)
    world.undo.close()
    return replace(arranged, watched=())


def image_file(world: World, size: int) -> Arranged:
    file = world.disk_file("file", size)
    return Arranged(("--image-file", file), (file,), (str(file.name),) if size % 512 else ())


CASES = [
    Case("small", small, Refusal("NotEnoughSpace", ["too small", "100.0 MiB", "at least 195.0 MiB"], ["larger"])),
    Case(
        "small-for-the-images",
        lambda world: disk(world, 200 * MIB),
        Refusal("NotEnoughSpace", ["too small", "the images need", "has room for"], ["leave an image out", "larger"]),
        images=("distro:alpha", "distro:large", "distro:huge"),
    ),
    Case("read-only", read_only, Refusal("DeviceReadOnly", ["write-protected"], ["lock switch", "release"]), True),
    Case(
        "switched-to-read-only",
        switched_read_only,
        Refusal("DeviceReadOnly", ["write-protected"], ["lock switch", "release"]),
        True,
    ),
    Case("mounted", mounted, Refusal("DeviceMounted", ["in use", "mounted at"], ["unmount", "umount"]), True),
    Case(
        "mounted-partition",
        mounted_partition,
        Refusal("DeviceMounted", ["in use", "mounted at"], ["unmount", "umount"]),
        True,
    ),
    Case(
        "built-upon", loop_on_top, Refusal("DeviceHasHolders", ["in use", "built on it"], ["losetup -d", "stop"]), True
    ),
    Case(
        "partition",
        lambda world: partition(world)[0],
        Refusal("DeviceIsPartition", ["partition", "whole disk"], ["name the whole disk"]),
    ),
    Case("not-allowed", not_named, Refusal("DeviceNotFound", ["the daemon knows"], ["luxusb devices"])),
    Case("gone", gone, Refusal("DeviceNotFound", [], ["luxusb devices"])),
    Case(
        "small-image-file",
        lambda world: image_file(world, 100 * MIB),
        Refusal("NotEnoughSpace", ["the image file", "too small", "at least 195.0 MiB"], ["larger"]),
    ),
    Case(
        "odd-image-file",
        lambda world: image_file(world, 256 * MIB + 1),
        Refusal("InvalidArgument", ["multiple of 512 bytes"], ["give another size"], code=2),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_a_disk_that_is_no_good(world: World, case: Case) -> None:
    arranged = case.arrange(world)
    node = str(arranged.target[1])
    if case.blocked:
        # the look of a person comes first: the list of disks says why this one cannot be taken
        node = arranged.words[0]
        await world.shown(node, lambda device: bool(device.blocked_reason))
        (shown,) = [found for found in (await world.cli.json("devices"))["devices"] if found["node"] == node]
        for word in (*case.refusal.why, *arranged.words):
            assert word in shown["blocked_reason"]
        assert shown["blocked_reason"] in await world.cli.text("devices")
    elif case.id in ("gone", "not-allowed", "partition"):
        await world.forgotten(node)
    elif arranged.target[0] == "--device":
        await world.shown(node)
    refusal = case.refusal
    # which disk is meant stands in the text for people, whatever part of it says so
    refusal = replace(refusal, todo=[*refusal.todo, *arranged.words])
    async with world.untouched(*arranged.watched):
        await world.cli.refused(refusal, "plan", *arranged.target, *case.images)
        # a file is not even copied into the store for a disk that cannot be taken
        if case.blocked:
            await world.cli.refused(refusal, "plan", *arranged.target, world.images.dull.path)
    if case.blocked:
        async with world.untouched(*arranged.watched):
            await world.cli.refused(refusal, "add", *arranged.target, world.images.dull.path)


async def test_the_disk_of_the_running_system(images: Images, tmp_path: Path) -> None:
    """In the mount namespace of this daemon a loop device holds /boot."""
    with contextlib.ExitStack() as undo:
        file = tmp_path / "system.img"
        with file.open("wb") as opened:
            opened.truncate(256 * MIB)
        node = call("losetup", "-f", "--show", file)
        undo.callback(run, "losetup", "-d", node)
        call("mkfs.ext4", "-q", "-F", node)
        before = f"mount -o ro,noload {node} /boot"
        async with world_of(images, before=before, loops=(str(file),)) as world:
            refusal = Refusal("SystemDevice", [node, "the running system", "/boot"], ["another disk"])
            async with world.untouched(file):
                await world.cli.refused(refusal, "plan", "--device", node, "distro:alpha")
                assert node in await world.cli.text("devices")


@pytest.fixture
def terminal(world: World) -> Iterator[Callable[..., Spawned]]:
    running: list[Spawned] = []

    def begin(*arguments: str | Path) -> Spawned:
        settings = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG"))}
        settings |= {"DBUS_SYSTEM_BUS_ADDRESS": world.cli.address, "LANG": "C.UTF-8", "TERM": "dumb", "COLUMNS": "200"}
        command = [sys.executable, "-m", "luxusb_cli", *map(str, arguments)]
        running.append(Spawned(command, settings, terminal=True))
        return running[-1]

    yield begin
    for command in running:
        command.close()


async def test_a_disk_that_was_exchanged_after_the_plan(world: World, terminal: Callable[..., Spawned]) -> None:
    """Another medium in the same place: the kernel's count of disks tells them apart, and here their sizes do."""
    file = world.disk_file()
    node = world.attach(file)
    await world.shown(node)
    async with Caller.connect(world.daemon.address) as caller:
        command = terminal("create", "--device", node, "distro:alpha")
        await asyncio.to_thread(command.wait_for, f"Type {Path(node).name} to erase it")
        device = (await caller.disk(node)).path
        token = (await caller.plan([device], ["distro:alpha"])).token
        run("losetup", "-d", node)
        os.truncate(file, 300 * MIB)
        before = fingerprint(file)
        run("losetup", "-P", node, str(file))
        await world.shown(node, lambda device: device.size == 300 * MIB)
        command.type(f"{Path(node).name}\n")
        assert await asyncio.to_thread(command.finish) == 1
        for words in ("luxusb: Could not create the stick", "another disk or medium", "look at it again"):
            assert words in command.output
        with pytest.raises(DaemonError) as caught:
            await caller.client.create(token)
        assert caught.value.name == ERROR + "DeviceChanged"
        assert "look at it again" in caught.value.why
        assert fingerprint(file) == before
        assert (await world.cli.json("jobs", "--unfinished"))["jobs"] == []
    await world.check_well()


async def test_a_disk_that_was_pulled_after_the_plan(world: World, terminal: Callable[..., Spawned]) -> None:
    file = world.disk_file()
    node = world.attach(file)
    await world.shown(node)
    async with world.untouched(file), Caller.connect(world.daemon.address) as caller:
        command = terminal("create", "--device", node, "distro:alpha")
        await asyncio.to_thread(command.wait_for, f"Type {Path(node).name} to erase it")
        device = (await caller.disk(node)).path
        run("losetup", "-d", node)
        await caller.until(lambda _heard: caller.signals("/org/luxusb", "InterfacesRemoved") or None)
        command.type(f"{Path(node).name}\n")
        assert await asyncio.to_thread(command.finish) == 1
        for words in ("the device is gone", "plug it in again", "luxusb devices"):
            assert words in command.output
        assert device


async def test_an_id_of_another_disk(world: World) -> None:
    file = world.disk_file()
    node = world.attach(file)
    there = await world.shown(node)
    refusal = Refusal("DeviceChanged", ["--device-id", there], ["luxusb devices"])
    async with world.untouched(file):
        command = ("create", "--device", node, "--yes", "--device-id", "usb-other", "distro:alpha")
        text = await world.cli.run(*command)
        assert text.code == 1
        assert all(word in text.err for word in (*refusal.why, *refusal.todo))
        await world.cli.refused(replace(refusal, why=[there]), *command)


async def test_a_used_token(world: World, images: Images) -> None:
    """Every plan is good for one job; a daemon that was started anew knows none of the old ones."""
    file = world.disk_file("file")
    async with Caller.connect(world.daemon.address) as caller:
        device = await caller.target(file)
        plan = await caller.plan([device], ["distro:alpha"])
        await caller.succeeded(await caller.client.create(plan.token))
        made = fingerprint(file)
        for token in (plan.token, "never", ""):
            with pytest.raises(DaemonError) as caught:
                await caller.client.create(token)
            assert caught.value.name == ERROR + "PlanExpired"
            assert "ten minutes" in caught.value.why
            assert "plan again" in caught.value.why
        assert fingerprint(file) == made
    await world.check_well()


async def busy_case(world: World, node: str, cli: Cli) -> None:
    refusal = Refusal("DeviceBusy", [node, "job"], ["wait"])
    await cli.refused(refusal, "plan", "--device", node, "distro:alpha")


async def test_a_disk_that_a_job_has(world: World) -> None:
    file = world.disk_file()
    node = world.attach(file)
    there = await world.shown(node)
    world.mirror.rate = 2 * MIB
    command = ("create", "--device", node, "--yes", "--device-id", there, "distro:large")
    job = (await world.cli.json(*command, "--no-wait"))["job"]
    try:
        await busy_case(world, node, world.cli)
    finally:
        world.mirror.rate = 0
        async with Caller.connect(world.daemon.address) as caller:
            await caller.succeeded(job["path"])
    assert sticks.names(file) == ["large.iso"]
    await world.cli.json("delete", "large.iso", "--yes")
    await world.check_well()


@pytest.mark.parametrize("kind", ["loop", "file"])
async def test_a_full_stick(world: World, images: Images, kind: str) -> None:
    """More than its room is refused before anything is downloaded or written, and what is on it stays."""
    file = world.disk_file("full", 210 * MIB)
    if kind == "loop":
        node = world.attach(file)
        target: tuple[str | Path, ...] = ("--device", node)
        consent: tuple[str, ...] = ("--yes", "--device-id", await world.shown(node))
    else:
        target, consent = ("--image-file", file), ("--yes",)
    await world.cli.json("create", *target, *consent, "distro:alpha", "distro:large")
    before = sticks.check(file)
    refusal = Refusal("NotEnoughSpace", ["free", "the images need"], ["remove an image first"])
    async with world.untouched(file):
        await world.cli.refused(refusal, "add", *target, "distro:huge")
    assert sticks.check(file) == before
    await world.cli.json("add", *target, "distro:memtest")
    assert set(sticks.check(file)) == {*before, "memtest86+x64.iso"}


async def test_a_medium_that_runs_full_while_it_is_written(world: World, images: Images) -> None:
    """The file behind the disk cannot grow: what a counterfeit or dying stick does, and a full disk under an image."""
    small = world.place / "small"
    small.mkdir()
    world.undo.callback(small.rmdir)
    call("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", small)
    world.undo.callback(run, "umount", str(small))
    file = small / "stick.img"
    with file.open("wb") as opened:
        opened.truncate(256 * MIB)
    node = world.attach(file)
    for target, said_by in (
        (("--image-file", file), {"NotEnoughSpace": "no space left"}),
        (
            ("--device", node, "--no-probe"),
            {"DeviceFailing": "input/output error", "NotEnoughSpace": "no space left"},
        ),
        (("--device", node, "--probe"), {"DeviceCounterfeit": "past that everything is an error"}),
    ):
        consent = ["--yes"]
        if target[0] == "--device":
            consent += ["--device-id", await world.shown(node)]
        said = await world.cli.run("create", *target, *consent, "distro:alpha", "distro:large")
        assert said.code == 1, said
        assert "what to do" in said.err or ";" in said.err
        known = (await world.cli.json("jobs"))["jobs"]
        job = next(one for one in known if one["operation"] == "create")
        assert job["state"] == "failed"
        assert said_by[job["error_name"].removeprefix(ERROR)] in said.err.lower(), (job, said)
        await world.check_well()


async def test_a_stick_that_goes_while_it_is_written(world: World) -> None:
    """The kernel cuts the disk short: to whoever writes to it, it is pulled."""
    file = world.disk_file()
    node = world.attach(file)
    there = await world.shown(node)
    # it is written as it comes: what is there already could be written before anybody heard that it begins
    world.mirror.rate = 2 * MIB
    async with Caller.connect(world.daemon.address) as caller:
        command = ("create", "--device", node, "--yes", "--device-id", there, "distro:huge")
        job = (await world.cli.json(*command, "--no-wait"))["job"]
        try:
            await caller.stage(job["path"], "write-image")
            os.truncate(file, MIB)
            run("losetup", "-c", node)
        finally:
            world.mirror.rate = 0
        ended = await caller.failed(job["path"])
    why = [node, "went away", "plug it in again", "create it again"]
    assert ended.error_name == ERROR + "DeviceNotFound"
    assert all(word in ended.error_message for word in why), ended.error_message
    check_text(await world.cli.run("watch", str(ended.id)), Refusal("DeviceNotFound", why, ["luxusb devices"]))
    await world.check_well()
