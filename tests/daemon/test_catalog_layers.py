"""The layers of the catalogue in the real daemon: what is broken, what is whose, and what an older LUXusb left."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from luxusb_cli.catalog import DistroInfo

from luxusbd import resources
from tests.catalog.test_layers import broken_directory
from tests.catalog.test_migrate import old
from tests.catalog.test_schema import document
from tests.daemon.caller import Caller
from tests.daemon.cli import Cli
from tests.daemon.daemon import Daemon
from tests.daemon.images import Images
from tests.daemon.leftovers import Machine
from tests.harness.mirrors import Mirror, catalogue

pytestmark = pytest.mark.root

BROKEN = ("distros.json", "mirrors.json", "schemas/catalog.schema.json", "schemas/mirrors.schema.json")


async def test_with_every_file_broken_it_still_has_what_is_built_in(place: Path) -> None:
    garbage = place / "garbage.json"
    garbage.write_text("garbage")
    admin = place / "s" / "distros.d"
    admin.mkdir(parents=True)
    said = broken_directory(admin)
    hidden = " && ".join(f"mount --bind {garbage} {resources.data(name)}" for name in BROKEN)
    machine = Machine.now()
    async with Daemon(place, catalogues=[garbage, place / "missing.json"], before=hidden) as daemon:
        cli = Cli(daemon.address, place)
        found = (await cli.json("distros"))["distributions"]
        assert {(one["id"], one["origin"]) for one in found} == {("ubuntu", "fallback"), ("systemrescue", "fallback")}
        problems = (await cli.json("catalog", "status"))["status"]["problems"]
        for name, text in said.items():
            assert any(line.startswith(f"{admin}/{name}.json: ") and text in line for line in problems), name
        for path, text in (
            (resources.data("distros.json"), "not valid JSON"),
            (resources.data("mirrors.json"), "not valid JSON"),
            (garbage, "not valid JSON"),
            (place / "missing.json", "there is no such file"),
        ):
            assert any(line.startswith(f"{path}: {text}") for line in problems), path
        shown = await cli.text("catalog", "show", "ubuntu", "--origin")
        assert "built in" in shown
    machine.check_nothing_left(daemon)


async def test_an_administrator_pins_one_release(daemon: Daemon, caller: Caller, place: Path) -> None:
    before = await caller.client.distribution("alpha")
    await daemon.stop()
    pin = document()
    entry = pin["distributions"][0]
    entry.update(id="alpha", name=before.name, description="", homepage="", category="", popularity_rank=0)
    entry["releases"][0].update(version="0.9", iso_url="https://example.org/old.iso")
    file = place / "s" / "distros.d" / "pin.json"
    file.parent.mkdir(exist_ok=True)
    # files of the command line lie above this directory
    file.write_text(json.dumps(pin))
    await daemon.start()
    cli = Cli(daemon.address, place)
    found = (await cli.json("catalog", "show", "alpha", "--origin"))["distribution"]
    assert [(one["version"], one["origin"]) for one in found["releases"]] == [("1.0", "command-line"), ("0.9", "admin")]
    assert found["description"] == before.description
    traced = await cli.text("catalog", "show", "alpha", "--origin")
    assert str(file) in traced
    assert str(place / "catalogue.json") in traced


async def test_a_users_own_catalogue(
    daemon: Daemon, caller: Caller, images: Images, mirror: Mirror, place: Path
) -> None:
    """As root's: that nobody else sees it is in test_users."""
    cli = Cli(daemon.address, place / "home")
    own = place / "home" / "config" / "luxusb" / "custom_distros.json"
    own.parent.mkdir(parents=True)
    data = catalogue([images.beta.for_catalogue()], [mirror])
    data["distributions"][0].update(id="mine", name="My system")
    own.write_text(json.dumps(data))
    (mine,) = (one for one in (await cli.json("distros"))["distributions"] if one["id"] == "mine")
    assert mine["origin"] == mine["releases"][0]["origin"] == "user"
    assert "My system [custom]" in await cli.text("distros")
    image = place / "stick.img"
    image.touch()
    os.truncate(image, 256 << 20)
    planned = await cli.json("plan", "--image-file", image, "mine", "alpha")
    assert [one["custom"] for one in planned["plan"]["images"]] == [True, False]
    assert "My system 1.0 [custom] (" in await cli.text("plan", "--image-file", image, "mine", "alpha")
    await cli.json("create", "--image-file", image, "--yes", "mine", "alpha")
    listed = (await cli.json("jobs"))["jobs"]
    assert {one["details"]["title"]: one["details"]["custom"] for one in listed if one["operation"] == "download"} == {
        "My system 1.0": True, "Alpha 1.0": False,
    }  # fmt: skip
    stored = {one["sha256"]: one for one in (await cli.json("images"))["images"]}
    assert (stored[images.beta.sha256]["custom"], stored[images.beta.sha256]["source"]) == (True, "custom:mine@1.0")
    assert stored[images.alpha.sha256]["custom"] is False
    on_it = (await cli.json("contents", "--image-file", image))["images"]
    assert [one["custom"] for one in on_it] == [True, False]
    assert "[custom]" in await cli.text("contents", "--image-file", image)
    await cli.json("remove", "--image-file", image, "--yes", "distro:mine@1.0")
    # it is gone with its file, and comes back after a restart without anybody's doing
    await daemon.stop()
    await daemon.start()
    cli = Cli(daemon.address, place / "home")
    assert "mine" in {one["id"] for one in (await cli.json("distros"))["distributions"]}
    own.write_text("{")
    said = await cli.run("distros")
    assert (said.code, said.err.count("\n")) == (0, 1)
    assert said.err.startswith(f"Your own catalogue is not used: {own}: not valid JSON")
    own.unlink()
    assert "mine" not in {one["id"] for one in (await cli.json("distros"))["distributions"]}


async def test_what_an_older_one_left_is_taken_over_at_the_first_start(place: Path) -> None:
    older = place / "lib" / "python3.99" / "site-packages" / "luxusb" / "data" / "distros"
    older.mkdir(parents=True)
    (older / "garden.json").write_text(json.dumps(old(size_mb=0)))
    (older / "lost.json").write_text(json.dumps(old("lost", sha256="")))
    config = f'[catalog]\nmigrate_from = ["{place}/lib/python3*/*-packages/luxusb/data/distros"]\n'
    machine = Machine.now()
    daemon = Daemon(place, config=config)
    for _start in range(2):
        async with daemon:
            cli = Cli(daemon.address, place)
            found = (await cli.json("catalog", "show", "garden"))["distribution"]
            assert found["origin"] == "migrated"
            said = (await cli.json("catalog", "status"))["status"]["migrated"]
            assert said[0].startswith("1 distributions with 1 releases of an older LUXusb")
            assert any("lost.json" in line and "SHA-256" in line for line in said)
            assert said[0] in await cli.text("catalog", "status")
    assert daemon.log.count("of an older LUXusb") == 1
    machine.check_nothing_left(daemon)


async def test_a_list_of_all_is_one_reply_and_exports_as_it_is(daemon: Daemon, caller: Caller, place: Path) -> None:
    found = await caller.client.distributions()
    cli = Cli(daemon.address, place)
    file = place / "out.json"
    await cli.json("catalog", "export", file)
    assert await cli.text("catalog", "check", file) == f"{file}: good, {len(found)} distributions\n"
    await daemon.stop()
    daemon.catalogues = [file]
    await daemon.start()
    async with Caller.connect(daemon.address) as again:
        assert list(map(bare, await again.client.distributions())) == list(map(bare, found))


def bare(distro: DistroInfo) -> tuple[object, ...]:
    return distro.id, distro.name, [(one.version, one.edition, one.url, one.sha256) for one in distro.releases]
