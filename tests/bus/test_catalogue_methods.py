"""What is told over the wire of the catalogue and of mirrors."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from luxusbd.bus._lib import Variant
from luxusbd.jobs.listed import CatalogQuery, Fit, Order
from luxusbd.jobs.mirrorwishes import WishChange
from luxusbd.jobs.views import RemoteWishes
from tests.bus.client import Client
from tests.bus.examples import DISTRIBUTION, LISTED, view
from tests.bus.fake import FakeEngine
from tests.bus.test_methods import DEVICE, IDENTITY, JOB


async def test_catalogue(client: Client, engine: FakeEngine) -> None:
    (item,) = await client.call("ListDistributions", "a{sv}", {"text": Variant("s", "deb")})
    assert (item["id"], item["origin"], item["popularity_rank"]) == ("debian", "packaged", 1)
    assert "mirrors" not in item["releases"][0]
    assert engine.calls[0][2] == CatalogQuery(text="deb")
    (release,) = item["releases"]
    assert (release["secure_boot"], release["family"], release["ended"]) == ("unknown", "debian-live", True)
    assert "fits" not in release
    full = await client.call("GetDistribution", "sa{sv}", "debian", {})
    assert full["releases"][0]["mirrors"] == [{"url": "https://one.example/a.iso", "country": "DE"}]
    assert full["releases"][0]["trust"] == "hash"
    assert full["releases"][0]["origin"] == "packaged"
    assert (full["releases"][0]["size_mb"], full["releases"][0]["rolling"]) == (600, False)
    assert "origins" not in full
    assert "document" not in full["releases"][0]
    traced = await client.call("GetDistribution", "sa{sv}", "debian", {"origins": Variant("b", True)})
    assert traced["origins"] == [{"field": "name", "origin": "admin", "document": "/etc/luxusb/distros.d/a.json"}]
    assert traced["releases"][0]["document"] == "distros.json"
    name, _text = await client.fails("GetDistribution", "sa{sv}", "nothing", {})
    assert name == "org.luxusb.Error.DistributionNotFound"


async def test_filters_of_the_catalogue(client: Client, engine: FakeEngine) -> None:
    shown = view()
    engine.put_device(shown)
    (release,) = LISTED.releases
    engine.listed = (replace(LISTED, releases=(replace(release, fit=Fit.UNKNOWN),)),)
    options = {
        "category": Variant("s", "Desktop"),
        "architecture": Variant("s", "arm64"),
        "family": Variant("s", "casper"),
        "secure_boot": Variant("b", True),
        "device": Variant("o", DEVICE),
        "hide_end_of_life": Variant("b", True),
        "sort": Variant("s", "name"),
    }
    (item,) = await client.call("ListDistributions", "a{sv}", options)
    assert item["releases"][0]["fits"] == "unknown"
    assert engine.calls[-1][2] == CatalogQuery(
        category="Desktop",
        architecture="arm64",
        family="casper",
        secure_boot=True,
        hide_end_of_life=True,
        device=IDENTITY,
        order=Order.NAME,
    )
    engine.calls.clear()
    for wrong, said in (
        ({"architecture": Variant("s", "amd46")}, "did you mean amd64"),
        ({"sort": Variant("s", "size")}, "allowed: popularity, name"),
        ({"device": Variant("s", DEVICE)}, "object path"),
        ({"secureboot": Variant("b", True)}, "did you mean secure_boot"),
    ):
        name, text = await client.fails("ListDistributions", "a{sv}", wrong)
        assert name == "org.luxusb.Error.InvalidArgument"
        assert said in text
    name, _text = await client.fails("ListDistributions", "a{sv}", {"device": Variant("o", DEVICE + "x")})
    assert name == "org.freedesktop.DBus.Error.UnknownObject"
    assert engine.calls == []


async def test_many_systems_are_one_reply_and_follow_what_the_engine_has(client: Client, engine: FakeEngine) -> None:
    engine.listed = tuple(
        replace(
            LISTED,
            distribution=replace(DISTRIBUTION, id=f"system-{number}", description="long " * 400),
            releases=LISTED.releases * 20,
        )
        for number in range(200)
    )
    for _ in range(2):
        found = await client.call("ListDistributions", "a{sv}", {})
        assert [item["id"] for item in found] == [f"system-{number}" for number in range(200)]
        assert {len(item["releases"]) for item in found} == {20}
    engine.listed = (replace(LISTED, distribution=replace(DISTRIBUTION, name="Changed")),)
    assert [item["name"] for item in await client.call("ListDistributions", "a{sv}", {})] == ["Changed"]


async def test_the_boot_recipes(client: Client) -> None:
    assert await client.call("ListRecipes", "a{sv}", {}) == {
        "recipes": [
            {
                "origin": "admin",
                "id": "mine",
                "version": 2,
                "family": "mine",
                "priority": 60,
                "systems": ["Mine \ufffd"],
                "bootable": True,
                "filesystems": ["ext4"],
                "toram": "entry",
                "persistence": "file",
            }
        ],
        "problems": ["torn.json: no JSON"],
    }


async def test_update_of_the_catalogue(client: Client, engine: FakeEngine) -> None:
    assert await client.call("UpdateCatalog", "a{sv}", {}) == JOB["path"]
    assert engine.calls[-1][0] == "update_catalog"
    assert engine.calls[-1][2:] == (False, ())
    assert (await client.get_all(**JOB))["Operation"] == "update-catalog"
    await client.call("UpdateCatalog", "a{sv}", {"feeds": Variant("b", True), "ids": Variant("as", ["kali"])})
    assert engine.calls[-1][2:] == (True, ("kali",))
    assert await client.call("GetCatalogStatus", "a{sv}", {}) == {
        "url": "https://one.example/c",
        "updated": 1,
        "checked": 2,
        "made": 3,
        "serial": 4,
        "expires": 5,
        "fingerprint": "AB" * 20,
        "previous": False,
        "problems": ["old \ufffd"],
        "feeds": 54,
        "feeds_asked": 6,
        "feeds_failed": ["kali"],
        "migrated": [],
        "own": "",
    }


async def test_import_of_a_catalogue(client: Client, engine: FakeEngine, tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    file.write_text("{}")
    with file.open("rb") as opened:
        options = {"name": Variant("s", "own.json")}
        assert await client.call("ImportCatalog", "ha{sv}", 0, options, fds=[opened.fileno()]) == 3
    assert engine.calls[-1][2:] == (b"{}", "own.json")


async def test_another_remote(client: Client, engine: FakeEngine, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"the key")
    url = "https://school.example/d.json"
    with file.open("rb") as opened:
        options = {
            "key": Variant("h", 0),
            "fingerprints": Variant("as", ["CD" * 20]),
            "signature_url": Variant("s", url + ".sig"),
        }
        assert await client.call("SetCatalogRemote", "sa{sv}", url, options, fds=[opened.fileno()]) == ["CD" * 20]
    assert await client.call("SetCatalogRemote", "sa{sv}", "", {"configured": Variant("b", True)}) == ["AB" * 20]
    assert engine.calls == [
        ("set_catalog_remote", RemoteWishes(url, url + ".sig", ("CD" * 20,)), b"the key"),
        ("set_catalog_remote", RemoteWishes("", configured=True), None),
    ]
    name, text = await client.fails("SetCatalogRemote", "sa{sv}", "https://" + "x" * 2000, {})
    assert (name, "2000 characters" in text) == ("org.luxusb.Error.InvalidArgument", True)


async def test_mirrors(client: Client, engine: FakeEngine) -> None:
    first, second = await client.call("ListMirrors", "sa{sv}", "debian@12", {})
    assert engine.calls[-1][2:] == ("debian@12",)
    assert first == {
        "url": "https://one.example/a.iso",
        "host": "one.example",
        "country": "DE",
        "state": "ok",
        "rate": 5,
        "latency": 0.25,
        "success_rate": 0.5,
        "measured": 7,
        "until": 0,
        "reason": "",
        "preferred": True,
    }
    assert (second["state"], second["until"], second["reason"], second["success_rate"]) == ("banned", 9, "it lied", -1)
    assert await client.call("RaceMirrors", "sa{sv}", "debian", {"most": Variant("u", 3)}) == JOB["path"]
    assert engine.calls[-1][2:] == ("debian", 3)
    assert (await client.get_all(**JOB))["Operation"] == "race-mirrors"
    await client.call("RaceMirrors", "sa{sv}", "debian", {})
    assert engine.calls[-1][2:] == ("debian", 16)
    name, _text = await client.fails("RaceMirrors", "sa{sv}", "debian", {"most": Variant("u", 33)})
    assert name == "org.luxusb.Error.InvalidArgument"


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({}, WishChange()),
        ({"mode": Variant("s", "auto")}, WishChange(pinned="")),
        ({"mode": Variant("s", "pinned"), "url": Variant("s", "https://a/")}, WishChange(pinned="https://a/")),
        ({"prefer": Variant("as", ["DE", "AT"])}, WishChange(prefer=("DE", "AT"))),
        ({"prefer": Variant("as", []), "exclude": Variant("as", ["US"])}, WishChange(prefer=(), exclude=("US",))),
    ],
)
async def test_mirror_preferences(
    client: Client, engine: FakeEngine, options: dict[str, Variant], change: WishChange
) -> None:
    await client.call("SetMirrorPreference", "sa{sv}", "debian", options)
    assert engine.calls[-1][2:] == ("debian", change)
    assert engine.calls[-1][1].uid == os.getuid()


@pytest.mark.parametrize(
    "options",
    [
        {"mode": Variant("s", "pinned")},
        {"url": Variant("s", "https://a/")},
        {"mode": Variant("s", "auto"), "url": Variant("s", "https://a/")},
        {"mode": Variant("s", "pinned"), "url": Variant("s", "")},
        {"mode": Variant("s", "best")},
        {"prefer": Variant("s", "DE")},
    ],
)
async def test_mirror_preferences_that_contradict_themselves(
    client: Client, engine: FakeEngine, options: dict[str, Variant]
) -> None:
    name, _text = await client.fails("SetMirrorPreference", "sa{sv}", "debian", options)
    assert name == "org.luxusb.Error.InvalidArgument"
    assert engine.calls == []
