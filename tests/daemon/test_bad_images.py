"""Images that are none, names that are none, and what the catalogue and the store do not have."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from luxusb_cli.errors import DaemonError

from tests.daemon import sticks
from tests.daemon.caller import Caller
from tests.daemon.cli import ERROR, Refusal, fingerprint
from tests.daemon.images import MIB
from tests.daemon.shared import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

FETCH_AGAIN = ["get the file again", "checksum"]


@dataclass(frozen=True)
class BadFile:
    """A file that is no image."""

    id: str
    make: Callable[[World], Path]
    why: tuple[str, ...]
    todo: tuple[str, ...] = ("get the file again", "checksum")
    name: str = "MalformedImage"
    inspected: bool = True
    """Whether a look alone is refused too."""


def cut(world: World, name: str, size: int) -> Path:
    return world.file(name, world.images.large.path.read_bytes()[:size])


def directory(world: World) -> Path:
    path = world.place / "directory.iso"
    path.mkdir()
    world.undo.callback(path.rmdir)
    return path


def pipe(world: World) -> Path:
    path = world.place / "pipe.iso"
    os.mkfifo(path)
    world.undo.callback(path.unlink)
    return path


def sparse(world: World) -> Path:
    """An exbibyte that holds nothing; only a filesystem in memory lets a file be that long."""
    path = Path("/dev/shm", f"luxusb-sparse-{os.getpid()}.iso")
    path.touch()
    world.undo.callback(path.unlink)
    os.truncate(path, 1 << 60)
    return path


def text_with_nul(world: World) -> Path:
    return world.file("noise.iso", b"\xff\0" * MIB)


FILES = [
    BadFile("empty", lambda world: world.file("empty.iso"), ("empty",)),
    BadFile("short", lambda world: world.file("short.iso", b"hello\n" * 1000), ("is a text, not an image",)),
    BadFile("not-iso", text_with_nul, ("not an ISO 9660 or UDF image",)),
    BadFile("truncated", lambda world: cut(world, "cut.iso", 8 * MIB), ("truncated", "8388608", "again")),
    BadFile("end-missing", lambda world: cut(world, "end.iso", world.images.large.size - MIB), ("truncated",)),
    BadFile("descriptors-only", lambda world: cut(world, "head.iso", 20 * 2048), ("truncated",)),
    BadFile("sparse", sparse, ("image store", "free"), ("delete or unpin images",), "NotEnoughSpace", False),
    BadFile("directory", directory, ("not a regular file",), ("name a file",), "Failed"),
    BadFile("device", lambda _world: Path("/dev/zero"), ("not a regular file",), ("name a file",), "Failed"),
    BadFile("absent", lambda world: world.place / "no.iso", ("no such file",), ("check the name",), "Failed"),
]


@pytest.mark.parametrize("bad", FILES, ids=lambda bad: bad.id)
async def test_a_file_that_is_no_image(world: World, bad: BadFile) -> None:
    path = bad.make(world)
    refusal = Refusal(bad.name, bad.why, [path.name, *bad.todo])
    watched = (path,) if path.is_file() and bad.id != "sparse" else ()
    async with world.untouched(*watched):
        await world.cli.refused(refusal, "import", path)
        if bad.inspected:
            await world.cli.refused(refusal, "inspect", path)
        stick = world.disk_file("stick")
        made = fingerprint(stick)
        await world.cli.refused(refusal, "create", "--image-file", stick, "--yes", path)
        assert fingerprint(stick) == made


async def test_a_huge_file_without_bytes_is_looked_at_at_once(world: World) -> None:
    """A hole of an exbibyte is no image, and no reason to read all of it."""
    path = sparse(world)
    refusal = Refusal("MalformedImage", ["zeros alone"], [path.name, *FETCH_AGAIN])
    async with world.untouched():
        await world.cli.refused(refusal, "inspect", path)


async def test_a_pipe_cannot_be_looked_at(world: World) -> None:
    """It could be read once only, and an import may want it."""
    refusal = Refusal("Failed", ["not a regular file"], ["pipe.iso", "name a file"])
    async with world.untouched():
        await world.cli.refused(refusal, "inspect", pipe(world))


async def test_an_image_that_starts_from_no_stick(world: World) -> None:
    stick = world.disk_file("stick")
    reason = ["dull.iso", "cannot be started from a stick"]
    refusal = Refusal("NotBootable", reason, ["luxusb inspect"])
    await world.cli.json("import", world.images.dull.path)
    async with world.untouched(stick):
        await world.cli.refused(refusal, "plan", "--image-file", stick, world.images.dull.reference)
        await world.cli.refused(
            refusal, "create", "--image-file", stick, "--yes", "distro:alpha", world.images.dull.reference
        )
    await world.cli.json("delete", world.images.dull.reference, "--yes")


NAMES = [
    ("300 characters", "x" * 300, ["300 characters", "200"], ["shorter"]),
    ("only dots", "....", ["only dots"], ["my-system.iso"]),
    ("blanks and dots", " .. ", ["only dots"], ["my-system.iso"]),
    ("a newline", "one\ntwo.iso", ["one two.iso", "line break"], ["without"]),
    ("an escape", "one\x1b[2Jtwo.iso", ["cannot be shown"], ["without"]),
    ("a path", "../../etc/passwd", ["is a path"], ["name alone"]),
    ("blank", "   ", ["no name"], ["give it one"]),
]


@pytest.mark.parametrize(("name", "why", "todo"), [case[1:] for case in NAMES], ids=[case[0] for case in NAMES])
async def test_a_name_that_is_none(world: World, name: str, why: list[str], todo: list[str]) -> None:
    refusal = Refusal("InvalidArgument", why, todo, code=2)
    async with world.untouched():
        await world.cli.refused(refusal, "import", world.images.alpha.path, "--name", name)
    assert (await world.cli.json("jobs", "--unfinished"))["jobs"] == []


async def test_a_file_with_a_name_that_is_none(world: World) -> None:
    """The name of the file counts where no other is given; another one helps."""
    path = world.place / "two\nlines.iso"
    shutil.copy(world.images.alpha.path, path)
    world.undo.callback(path.unlink)
    refusal = Refusal("InvalidArgument", ["two lines.iso", "line break"], ["give it a name"], code=2)
    async with world.untouched(path):
        await world.cli.refused(refusal, "import", path)
    await world.cli.json("import", path, "--name", "lines.iso")
    await world.cli.json("delete", "lines.iso", "--yes")


async def test_two_images_of_one_name(world: World) -> None:
    """The store keeps both and guesses at neither; on a stick the second has another name, and it is said."""
    first, second = world.images.alpha, world.images.beta
    for image in (first, second):
        await world.cli.json("import", image.path, "--name", "same.iso")
    refusal = Refusal("InvalidArgument", [first.reference, second.reference], ["same.iso", "more of the hash"], code=2)
    target = world.place / "out.iso"
    async with world.untouched():
        await world.cli.refused(refusal, "delete", "same.iso", "--yes")
        await world.cli.refused(refusal, "export", "same.iso", target)
        assert not target.exists()
    stick = world.disk_file("stick")
    command = ("--image-file", stick, first.reference, second.reference)
    plan = (await world.cli.json("plan", *command))["plan"]
    assert [image["name"] for image in plan["images"]] == ["same.iso", "same-2.iso"]
    (warning,) = [line for line in plan["warnings"] if "another image has that name" in line]
    assert warning in await world.cli.text("plan", *command)
    await world.cli.json("create", *command, "--yes")
    assert sticks.check(stick) == {"same.iso": first.sha256, "same-2.iso": second.sha256}
    there = Refusal("AlreadyExists", ["is on", "already"], [])
    async with world.untouched(stick):
        await world.cli.refused(there, "add", "--image-file", stick, first.reference)
    for image in (first, second):
        await world.cli.json("delete", image.reference, "--yes")


async def test_one_image_named_twice(world: World) -> None:
    stick = world.disk_file("stick")
    refusal = Refusal("AlreadyExists", ["named twice"], ["alpha"])
    async with world.untouched(stick):
        await world.cli.refused(refusal, "plan", "--image-file", stick, "distro:alpha", "distro:alpha@1.0")


UNKNOWN = [
    (("info", "alhpa"), Refusal("DistributionNotFound", ["no distribution", "alhpa"], ["did you mean alpha"])),
    (("download", "alhpa"), Refusal("DistributionNotFound", ["no distribution", "alhpa"], ["did you mean alpha"])),
    (("download", "zzz"), Refusal("DistributionNotFound", ["no distribution", "zzz"], ["luxusb distros"])),
    (("download", "alpha@9"), Refusal("DistributionNotFound", ["no version", "9", "1.0"], ["luxusb distros"])),
    (("download", "alpha/kde"), Refusal("DistributionNotFound", ["edition", "kde"], ["luxusb distros"])),
    (("plan", "alhpa"), Refusal("DistributionNotFound", ["no distribution", "alhpa"], ["did you mean alpha"])),
    (("plan", "alpha@9"), Refusal("DistributionNotFound", ["no version", "9", "1.0"], ["luxusb distros"])),
    (("plan", "image:" + "0" * 64), Refusal("ImageNotFound", ["image store has no image"], ["luxusb images"])),
    (("delete", "nothing.iso", "--yes"), Refusal("ImageNotFound", ["nothing.iso"], ["luxusb images"])),
]


@pytest.mark.parametrize(("command", "refusal"), UNKNOWN, ids=[" ".join(case[0])[:20] for case in UNKNOWN])
async def test_what_is_unknown(world: World, command: tuple[str, ...], refusal: Refusal) -> None:
    stick = world.disk_file("stick")
    name, *rest = command
    target = ["--image-file", str(stick)] if name == "plan" else []
    async with world.untouched(stick):
        await world.cli.refused(refusal, name, *target, *rest)


async def test_a_wrong_checksum(world: World) -> None:
    refusal = Refusal("VerificationFailed", ["alpha.iso", "sha256", "nothing was imported"], ["not " + "0" * 64])
    async with world.untouched():
        await world.cli.refused(refusal, "import", world.images.alpha.path, "--sha256", "0" * 64)


async def test_a_job_of_nobody(world: World) -> None:
    for command in ("pause", "resume", "cancel", "watch"):
        refusal = Refusal("org.freedesktop.DBus.Error.UnknownObject", ["99999"], ["luxusb jobs"])
        async with world.untouched():
            await world.cli.refused(refusal, command, "99999")


async def test_an_ended_job(world: World) -> None:
    await world.cli.json("import", world.images.alpha.path)
    job = (await world.cli.json("jobs", "--limit", "1"))["jobs"][0]
    for command in ("pause", "resume", "cancel"):
        refusal = Refusal("WrongJobState", [str(job["id"])], ["luxusb jobs"])
        await world.cli.refused(refusal, command, str(job["id"]))
    await world.cli.json("delete", "alpha.iso", "--yes")


async def test_a_plan_for_nothing(world: World) -> None:
    stick = world.disk_file("stick")
    async with Caller.connect(world.daemon.address) as caller:
        device = await caller.target(stick)
        for images in ([], ["image:short"], ["nonsense"], [""]):
            with pytest.raises(DaemonError) as caught:
                await caller.plan([device], images)
            assert caught.value.name.startswith(ERROR)
            assert caught.value.name != ERROR + "Internal"
