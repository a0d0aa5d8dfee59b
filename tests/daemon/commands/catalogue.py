"""Commands about systems: what the catalogue, its mirrors, its recipes and bundles say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.catalog.test_migrate import old
from tests.catalog.test_schema import document
from tests.daemon.commands.case import Arguments, Cases, new_file, succeeded
from tests.daemon.shared import World
from tests.harness.pictures import png
from tests.harness.service import ROOT

CASES = Cases()

CASES.plain(
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
CASES.plain("info", "alpha", says=["alpha@1.0"], holds=lambda found: found["distribution"]["id"] == "alpha")
CASES.plain(
    "catalog show", "alpha", "--origin", says=["alpha@1.0", "catalogue.json"], holds=lambda found: found["origins"]
)


@CASES.case("mirrors", says=["MIRROR", "  ok", "127.0.0.1: "], holds=lambda found: found["mirrors"][0]["rate"] > 0)
async def _mirrors(_world: World) -> Arguments:
    return "alpha", "--race"


@CASES.case("logo", says=["Saved as"], holds=lambda found: found["size"] == len(png()))
async def _logo(world: World) -> Arguments:
    return "alpha", await new_file(world, "logo.png")


async def bundle_of(world: World, *references: str) -> Path:
    """A bundle with these images, for one run of a command."""
    world.undo.close()
    directory = world.place / "bundle"
    world.undo.callback(shutil.rmtree, directory, ignore_errors=True)
    await world.cli.json("bundle", "create", directory, *references)
    return directory


@CASES.case(
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


@CASES.case(
    "bundle add", says=["has 2 images"], holds=lambda found: found["added"] == ["beta@1.0"], feature="GetProofs"
)
async def _bundle_add(world: World) -> Arguments:
    return await bundle_of(world, "alpha"), "beta"


@CASES.case("bundle remove", says=["gone: alpha@1.0"], holds=lambda found: found["removed"] == ["alpha@1.0"])
async def _bundle_remove(world: World) -> Arguments:
    return await bundle_of(world, "alpha", "beta"), "alpha"


@CASES.case("bundle update", says=["has 1 image"], holds=lambda found: found["added"] == [], feature="GetProofs")
async def _bundle_update(world: World) -> Arguments:
    return (await bundle_of(world, "alpha"),)


@CASES.case("bundle use", says=["1 image can be used: alpha@1.0"], holds=lambda found: found["bundle"]["serial"] > 1)
async def _bundle_use(world: World) -> Arguments:
    directory = await bundle_of(world, "alpha")
    for name in ("custom_distros.json", "bundles.json"):
        world.undo.callback(own_catalogue(world).with_name(name).unlink, missing_ok=True)
    return (directory,)


@CASES.case("bundle check", says=["alpha@1.0", "not signed", "whole"], holds=lambda found: found["problems"] == [])
async def _bundle_check(world: World) -> Arguments:
    return (await bundle_of(world, "alpha"),)


@CASES.case("bundle leave", says=["not used any more"], holds=lambda found: found["distributions"] == ["alpha"])
async def _bundle_leave(world: World) -> Arguments:
    await world.cli.json("bundle", "use", await bundle_of(world, "alpha"))
    return ()


def own_catalogue(world: World) -> Path:
    """What the command keeps for its user."""
    return world.place / "home" / "config" / "luxusb" / "custom_distros.json"


@CASES.case("catalog update", says=["The catalogue"], holds=succeeded)
async def _catalog_update(world: World) -> Arguments:
    assert world.remote is not None
    world.remote.publish(world.remote.edition("school"))
    return ()


@CASES.case(
    "catalog remote", says=["remote", "signed by", "configured"], holds=lambda found: found["remote"]["fingerprints"]
)
async def _catalog_remote(_world: World) -> Arguments:
    return ()


@CASES.case("catalog status", says=["remote", "last updated"], holds=lambda found: "serial" in found["status"])
async def _catalog_status(_world: World) -> Arguments:
    return ()


@CASES.case("catalog sign", says=["Signed: ", "update_fingerprints"], holds=lambda found: found["serial"] > 0)
async def _catalog_sign(world: World) -> Arguments:
    assert world.remote is not None
    file = world.place / "mine.json"
    file.write_bytes(world.remote.document("school"))
    world.cli.settings = {"GNUPGHOME": str(world.remote.keys.home)}
    world.undo.callback(world.cli.settings.clear)
    return file, "--key", world.remote.maker, "--output", world.place / "signed"


@CASES.case("catalog import", says=["added"], holds=lambda found: found["distributions"] == 1)
async def _catalog_import(world: World) -> Arguments:
    world.undo.close()
    world.undo.callback(own_catalogue(world).unlink)
    return (world.file("own.json", json.dumps(document()).encode()),)


@CASES.case("catalog export", holds=lambda found: found["file"].endswith("out.json"))
async def _catalog_export(world: World) -> Arguments:
    return (await new_file(world, "out.json"),)


@CASES.case("catalog migrate", says=["Saved as", "no size"], holds=lambda found: found["releases"] == 1)
async def _catalog_migrate(world: World) -> Arguments:
    world.undo.close()
    return world.file("old.json", json.dumps(old(size_mb=0)).encode()), "-o", await new_file(world, "migrated.json")


@CASES.case("catalog check", says=["catalogue.json: good"])
async def _catalog_check(world: World) -> Arguments:
    return (world.place / "catalogue.json",)


@CASES.case(
    "recipes list",
    says=["debian-netboot"],
    holds=lambda found: len(found["recipes"]) > 40 and found["service"],
    feature="ListRecipes",
)
async def _recipes_list(world: World) -> Arguments:
    del world
    return ()


@CASES.case("recipes check", says=["casper.json: good"])
async def _recipes_check(world: World) -> Arguments:
    return (ROOT / "data" / "recipes" / "casper.json",)
