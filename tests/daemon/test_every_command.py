"""Every command of `luxusb` through the real daemon, as text and as JSON: one case each, and none is left out."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import pytest_asyncio
from luxusb_cli.app import cli

from tests.catalog.test_migrate import old
from tests.catalog.test_schema import document
from tests.cli import schemas
from tests.daemon.cli import ERROR
from tests.daemon.images import MIB, Images, debian_live
from tests.daemon.remote import remote
from tests.daemon.shared import World, world_of
from tests.harness.maker import Maker
from tests.harness.pictures import png
from tests.harness.service import ROOT
from tests.harness.tls import make_authority
from tests.images.test_certificate import made as certificate
from tests.stick import oldsticks

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(images: Images, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One daemon for the module, which is told of a remote for its catalogue, and of a logo."""
    authority = make_authority(tmp_path_factory.mktemp("tls"))
    config = f'[network]\nca_file = "{authority.file}"\n'
    async with remote() as found, Maker(authority.good) as maker:
        logo = maker.put("logo.png", png())
        async with world_of(images, remote=found, logo=logo, config=config) as made:
            yield made


Arguments = Sequence[str | Path]
Arrange = Callable[[World], Awaitable[Arguments]]


@dataclass(frozen=True)
class Case:
    """One command.

    Attributes:
        arrange: makes what the command needs, before each of its two runs, and returns its arguments.
        says: what stands in its text.
        holds: whether its document says what it should; for `watch`, the list of its documents.
        feature: member of the bus behind it. Where the daemon has none, `NotSupported` is the right answer.
    """

    arrange: Arrange
    says: tuple[str, ...] = ()
    holds: Callable[[Any], bool] = bool
    feature: str = ""


CASES: dict[str, Case] = {}


def case(
    command: str, says: Sequence[str] = (), holds: Callable[[Any], bool] = bool, feature: str = ""
) -> Callable[[Arrange], Arrange]:
    """Make a function that arranges things the case of a command."""

    def add(arrange: Arrange) -> Arrange:
        CASES[command] = Case(arrange, tuple(says), holds, feature)
        return arrange

    return add


def plain(command: str, *arguments: str, says: Sequence[str] = (), holds: Callable[[Any], bool] = bool) -> None:
    """The case of a command that needs nothing made for it."""

    async def nothing(_world: World) -> Arguments:
        return arguments

    CASES[command] = Case(nothing, tuple(says), holds)


async def stick(world: World, *images: str) -> tuple[str, Path]:
    """An image file that is a stick with these images."""
    world.undo.close()
    file = world.disk_file("stick")
    await world.cli.json("create", "--image-file", file, "--yes", *images)
    return "--image-file", file


async def blank(world: World) -> tuple[str, Path]:
    world.undo.close()
    return "--image-file", world.disk_file("stick")


async def stored(world: World) -> str:
    """An image that is stored; it is taken away before the next run."""
    world.undo.close()
    await world.cli.json("import", world.images.beta.path)
    return world.images.beta.reference


async def new_file(world: World, name: str) -> Path:
    path = world.place / name
    path.unlink(missing_ok=True)
    world.undo.callback(path.unlink, missing_ok=True)
    return path


async def downloading(world: World, *options: str) -> int:
    """A download that goes on for as long as the mirror is slow."""
    unfinished = (await world.cli.json("jobs", "--unfinished"))["jobs"]
    for job in unfinished:
        await world.cli.run("cancel", str(job["id"]))
        await world.cli.run("watch", str(job["id"]))
    if any(image["name"] == "large.iso" for image in (await world.cli.json("images"))["images"]):
        await world.cli.json("delete", "large.iso", "--yes")
    # so that it cannot end before the command is there
    world.mirror.rate = MIB // 2
    number: int = (await world.cli.json("download", "large", "--no-wait", *options))["jobs"][0]["id"]
    return number


def own_catalogue(world: World) -> Path:
    """What the command keeps for its user."""
    return world.place / "home" / "config" / "luxusb" / "custom_distros.json"


def succeeded(document: Any) -> bool:
    return bool(document["job"]["state"] == "succeeded")


plain("devices", holds=lambda found: isinstance(found["devices"], list))
plain(
    "distros",
    "MEM-test",
    "--architecture",
    "amd64",
    "--sort",
    "name",
    "--hide-end-of-life",
    says=["memtest", "NEWEST"],
    holds=lambda found: len(found["distributions"]) == 1,
)
plain("info", "alpha", says=["alpha@1.0"], holds=lambda found: found["distribution"]["id"] == "alpha")
plain("catalog show", "alpha", "--origin", says=["alpha@1.0", "catalogue.json"], holds=lambda found: found["origins"])
plain("settings", says=["authorization.backend"], holds=lambda found: "limits.jobs" in found["settings"])
plain("completion", "bash", says=["luxusb"])
plain("report", says=["luxusbd"], holds=lambda found: bool(found["report"]))


@case("mirrors", says=["MIRROR", "  ok", "127.0.0.1: "], holds=lambda found: found["mirrors"][0]["rate"] > 0)
async def _mirrors(_world: World) -> Arguments:
    return "alpha", "--race"


@case("logo", says=["Saved as"], holds=lambda found: found["size"] == len(png()))
async def _logo(world: World) -> Arguments:
    return "alpha", await new_file(world, "logo.png")


async def bundle_of(world: World, *references: str) -> Path:
    """A bundle with these images, for one run of a command."""
    world.undo.close()
    directory = world.place / "bundle"
    world.undo.callback(shutil.rmtree, directory, ignore_errors=True)
    await world.cli.json("bundle", "create", directory, *references)
    return directory


@case(
    "bundle create",
    says=["Copying alpha.iso", "new: alpha@1.0", "has 1 image"],
    holds=lambda found: found["added"] == ["alpha@1.0"],
    feature="GetProofs",
)
async def _bundle_create(world: World) -> Arguments:
    world.undo.close()
    directory = world.place / "bundle"
    world.undo.callback(shutil.rmtree, directory, ignore_errors=True)
    return directory, "alpha"


@case("bundle add", says=["has 2 images"], holds=lambda found: found["added"] == ["beta@1.0"], feature="GetProofs")
async def _bundle_add(world: World) -> Arguments:
    return await bundle_of(world, "alpha"), "beta"


@case("bundle remove", says=["gone: alpha@1.0"], holds=lambda found: found["removed"] == ["alpha@1.0"])
async def _bundle_remove(world: World) -> Arguments:
    return await bundle_of(world, "alpha", "beta"), "alpha"


@case("bundle update", says=["has 1 image"], holds=lambda found: found["added"] == [], feature="GetProofs")
async def _bundle_update(world: World) -> Arguments:
    return (await bundle_of(world, "alpha"),)


@case("bundle use", says=["1 image can be used: alpha@1.0"], holds=lambda found: found["bundle"]["serial"] > 1)
async def _bundle_use(world: World) -> Arguments:
    directory = await bundle_of(world, "alpha")
    for name in ("custom_distros.json", "bundles.json"):
        world.undo.callback(own_catalogue(world).with_name(name).unlink, missing_ok=True)
    return (directory,)


@case("bundle check", says=["alpha@1.0", "not signed", "whole"], holds=lambda found: found["problems"] == [])
async def _bundle_check(world: World) -> Arguments:
    return (await bundle_of(world, "alpha"),)


@case("bundle leave", says=["not used any more"], holds=lambda found: found["distributions"] == ["alpha"])
async def _bundle_leave(world: World) -> Arguments:
    await world.cli.json("bundle", "use", await bundle_of(world, "alpha"))
    return ()


@case("catalog update", says=["The catalogue"], holds=succeeded)
async def _catalog_update(world: World) -> Arguments:
    assert world.remote is not None
    world.remote.publish(world.remote.edition("school"))
    return ()


@case("catalog remote", says=["remote", "signed by", "configured"], holds=lambda found: found["remote"]["fingerprints"])
async def _catalog_remote(_world: World) -> Arguments:
    return ()


@case("catalog status", says=["remote", "last updated"], holds=lambda found: "serial" in found["status"])
async def _catalog_status(_world: World) -> Arguments:
    return ()


@case("catalog sign", says=["Signed: ", "update_fingerprints"], holds=lambda found: found["serial"] > 0)
async def _catalog_sign(world: World) -> Arguments:
    assert world.remote is not None
    file = world.place / "mine.json"
    file.write_bytes(world.remote.document("school"))
    world.cli.settings = {"GNUPGHOME": str(world.remote.keys.home)}
    world.undo.callback(world.cli.settings.clear)
    return file, "--key", world.remote.maker, "--output", world.place / "signed"


@case("catalog import", says=["added"], holds=lambda found: found["distributions"] == 1)
async def _catalog_import(world: World) -> Arguments:
    world.undo.close()
    world.undo.callback(own_catalogue(world).unlink)
    return (world.file("own.json", json.dumps(document()).encode()),)


@case("catalog export", holds=lambda found: found["file"].endswith("out.json"))
async def _catalog_export(world: World) -> Arguments:
    return (await new_file(world, "out.json"),)


@case("catalog migrate", says=["Saved as", "no size"], holds=lambda found: found["releases"] == 1)
async def _catalog_migrate(world: World) -> Arguments:
    world.undo.close()
    return world.file("old.json", json.dumps(old(size_mb=0)).encode()), "-o", await new_file(world, "migrated.json")


@case("catalog check", says=["catalogue.json: good"])
async def _catalog_check(world: World) -> Arguments:
    return (world.place / "catalogue.json",)


@case(
    "recipes list",
    says=["debian-netboot"],
    holds=lambda found: len(found["recipes"]) > 40 and found["service"],
    feature="ListRecipes",
)
async def _recipes_list(world: World) -> Arguments:
    del world
    return ()


@case("recipes check", says=["casper.json: good"])
async def _recipes_check(world: World) -> Arguments:
    return (ROOT / "data" / "recipes" / "casper.json",)


@case("images", says=["beta.iso"], holds=lambda found: "beta.iso" in {image["name"] for image in found["images"]})
async def _images(world: World) -> Arguments:
    await stored(world)
    return ()


@case("import", says=["Stored beta.iso"], holds=succeeded)
async def _import(world: World) -> Arguments:
    return (world.images.beta.path,)


@case("export", says=["Saved as"], holds=lambda found: found["size"] > 0)
async def _export(world: World) -> Arguments:
    return await stored(world), await new_file(world, "out.iso")


@case("inspect", says=["It starts from a file"], holds=lambda found: found["image"]["bootable"])
async def _inspect(world: World) -> Arguments:
    return (world.images.alpha.path,)


@case("delete", holds=lambda found: found["deleted"].startswith("image:"))
async def _delete(world: World) -> Arguments:
    return await stored(world), "--yes"


@case("pin", says=["beta.iso"], holds=lambda found: found["pinned"] is True)
async def _pin(world: World) -> Arguments:
    return (await stored(world),)


@case("unpin", says=["beta.iso"], holds=lambda found: found["pinned"] is False)
async def _unpin(world: World) -> Arguments:
    return (await stored(world),)


@case("download", says=["Stored alpha.iso"], holds=lambda found: found["jobs"][0]["state"] == "succeeded")
async def _download(_world: World) -> Arguments:
    return ("alpha",)


@case("plan", says=["needs", "alpha.iso", "Kernels-of-a-vendor"], holds=lambda found: len(found["plan"]["images"]) == 1)
async def _plan(world: World) -> Arguments:
    of_admin = world.daemon.state / "certificates.d" / "vendor.pem"
    of_admin.parent.mkdir(exist_ok=True)
    of_admin.write_bytes(certificate(world.place, "/CN=Kernels of a vendor"))
    return *(await blank(world)), "alpha"


@case("create", says=["is ready, written and read back"], holds=succeeded)
async def _create(world: World) -> Arguments:
    return *(await blank(world)), "--yes", "alpha"


@case("contents", says=["alpha.iso"], holds=lambda found: [image["name"] for image in found["images"]] == ["alpha.iso"])
async def _contents(world: World) -> Arguments:
    return await stick(world, "alpha")


@case("add", says=["Added to"], holds=succeeded)
async def _add(world: World) -> Arguments:
    return *(await stick(world, "alpha")), "memtest"


@case("remove", says=["Removed from"], holds=succeeded)
async def _remove(world: World) -> Arguments:
    return *(await stick(world, "alpha", "memtest")), "alpha.iso", "--yes"


@case("refresh", says=["are new"], holds=succeeded)
async def _refresh(world: World) -> Arguments:
    given = world.place / "authority.pem"
    given.write_bytes(certificate(world.place, "/CN=Somebody"))
    return *(await stick(world, "alpha")), "--certificate", given


@case("rescan", says=["fits what is on it"], holds=succeeded)
async def _rescan(world: World) -> Arguments:
    return await stick(world, "alpha")


@case("adopt", says=["is taken over, with 1 image"], holds=succeeded)
async def _adopt(world: World) -> Arguments:
    old = oldsticks.old(await new_file(world, "old.img"), {"rescue/rescue.iso": world.images.rescue.path})
    return "--image-file", old, "--yes"


@case("verify", says=["is sound"], holds=lambda found: found["job"]["result"]["ok"])
async def _verify(world: World) -> Arguments:
    return await stick(world, "alpha")


@case("update", says=["There is nothing newer"], holds=lambda found: found["job"]["result"]["updates"] == [])
async def _update(world: World) -> Arguments:
    return await stick(world, "alpha")


@case(
    "repair",
    says=["the first copy of the partition table is broken", "is mended"],
    holds=lambda found: not found["job"]["result"]["sound"],
)
async def _repair(world: World) -> Arguments:
    made = await stick(world, "alpha")
    with made[1].open("r+b") as file:
        file.seek(512)
        file.write(bytes(512))
    return made


@case("persistence", feature="SetPersistence")
async def _persistence(world: World) -> Arguments:
    image = str(debian_live(world.place))
    return *(await stick(world, image, "--persistence-partition", "16MiB")), "debian.iso", "16MiB", "--yes"


@case("write-raw", feature="WriteRaw")
async def _write_raw(world: World) -> Arguments:
    return *(await blank(world)), "--yes", "memtest"


@case("restore", holds=lambda found: found["job"]["result"]["filesystem"] == "exfat")
async def _restore(world: World) -> Arguments:
    return *(await stick(world, "alpha")), "--yes"


@case(
    "probe", says=["holds what it says"], holds=lambda found: found["job"]["result"]["verdict"] in ("genuine", "slow")
)
async def _probe(world: World) -> Arguments:
    return *(await blank(world)), "--yes"


@case("eject")
async def _eject(world: World) -> Arguments:
    _, file = await stick(world, "alpha")
    node = world.attach(file)
    await world.shown(node)
    return "--device", node


@case("jobs", says=["download"], holds=lambda found: len(found["jobs"]) > 0)
async def _jobs(world: World) -> Arguments:
    await world.cli.json("download", "alpha")
    return ()


@case("watch", says=["succeeded"], holds=lambda found: found[-1]["job"]["state"] == "succeeded")
async def _watch(world: World) -> Arguments:
    number = await downloading(world)
    world.mirror.rate = 8 * MIB
    return (str(number),)


@case("pause")
async def _pause(world: World) -> Arguments:
    return (str(await downloading(world)),)


@case("resume")
async def _resume(world: World) -> Arguments:
    number = str(await downloading(world))
    await world.cli.json("pause", number)
    return (number,)


@case("cancel")
async def _cancel(world: World) -> Arguments:
    return (str(await downloading(world)),)


@case("modify")
async def _modify(world: World) -> Arguments:
    return str(await downloading(world)), "--priority", "3"


@case("try", says=["nothing on it is changed"], holds=lambda found: found["firmware"] == "bios")
async def _try(world: World) -> Arguments:
    """Instead of QEMU a program that ends at once: what is booted is the business of other tests."""
    world.undo.close()
    programs = world.place / "bin"
    programs.mkdir(exist_ok=True)
    program = programs / "qemu-system-x86_64"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    world.cli.settings = {"PATH": f"{programs}:/usr/bin:/bin", "DISPLAY": ":9"}
    world.undo.callback(world.cli.settings.clear)
    return (world.disk_file("stick"),)


def commands(group: click.Group = cli, before: str = "") -> Iterator[str]:
    """The names of all commands, those of groups with the group's."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield before + name


async def test_every_command_has_a_case() -> None:
    assert sorted(commands()) == sorted(CASES)


@pytest_asyncio.fixture(loop_scope="module")
async def features(shared: World) -> frozenset[str]:
    return frozenset((await shared.cli.json("--version"))["features"])


@pytest.fixture
def quick(world: World) -> Iterator[World]:
    world.mirror.rate = 0
    yield world
    world.mirror.rate = 0


@pytest.mark.parametrize(
    "command", [pytest.param(name, marks=pytest.mark.root) if name == "eject" else name for name in commands()]
)
async def test_a_command(quick: World, features: frozenset[str], command: str) -> None:
    what = CASES[command]
    words = command.split()
    arguments = await what.arrange(quick)
    text = await quick.cli.run(*words, *arguments)
    if what.feature and what.feature not in features:
        assert text.code == 1
        assert "what to do" in text.err
    else:
        assert (text.code, text.err) == (0, ""), text
        assert [word for word in what.says if word not in text.out] == []
    if command == "completion":
        return  # what it prints is read by a shell
    again = [*words, *map(str, await what.arrange(quick)), "--json"]
    said = await quick.cli.run(*again)
    assert said.err == ""
    schemas.check_output(again, said.out)
    if what.feature and what.feature not in features:
        assert said.code == 1
        assert json.loads(said.out)["error"]["name"] == ERROR + "NotSupported"
        return
    assert said.code == 0, said
    found = [json.loads(line) for line in said.out.splitlines()] if command == "watch" else json.loads(said.out)
    assert what.holds(found), found
