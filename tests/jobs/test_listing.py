"""The list of systems: filters, order, the calendar, keys and the room on a stick."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from luxusbd.catalog.catalog import Catalog
from luxusbd.catalog.model import Distribution, Layer, Mirror, Release, Trust
from luxusbd.devices.model import DeviceIdentity, DeviceState
from luxusbd.errors import DeviceBusyError, DeviceDamagedError, InvalidArgumentError, NotEnoughSpaceError
from luxusbd.images.hints import RecipeHint, SecureBoot
from luxusbd.jobs.keyring import Keyring
from luxusbd.jobs.listed import CatalogQuery, Fit, Listed, Order
from luxusbd.jobs.listing import Listing
from luxusbd.jobs.registry import DeviceRegistry
from luxusbd.jobs.views import DeviceView
from luxusbd.stick import layout
from luxusbd.stick.model import MIB, StickOptions
from tests.jobs.disks import plain_stick

ME, OTHER = 1000, 1001
HINTS = {
    "live": RecipeHint("debian-live", frozenset({"debian"})),
    "casper": RecipeHint("casper", frozenset()),
}
STICK = DeviceIdentity("usb-stick", 7, 2048 * MIB)
KEY = "AB" * 20


def release(version: str = "1", **fields: Any) -> Release:
    url = f"https://cdimage.debian.org/{version}.iso"
    standard: dict[str, Any] = {"architecture": "amd64", "recipe": "casper", "size": 100 * MIB}
    return Release(version, "", url, "0" * 64, 0, (Mirror(url),), **{**standard, **fields})


def system(key: str, name: str, rank: int, category: str, *releases: Release, about: str = "") -> Distribution:
    return Distribution(key, name, about, "", "", category, rank, releases, Layer.PACKAGED)


UBUNTU = system("ubuntu", "Ubuntu", 3, "Desktop", release("26.04"), release("20.04", end_of_life="2025-05-31"))
MINT = system("linuxmint", "Linux Mint", 1, "Desktop", release("22", edition="xfce"), about="Made of Ubuntu.")
DEBIAN = system(
    "debian", "Debian Live", 2, "Server",
    release("13", recipe="live", edition="kde"),
    release("13", recipe="live", architecture="arm64"),
    release("12", recipe="live", architecture=""),
)  # fmt: skip
NIX = system("nixos", "NixOS", 0, "Developer", release(recipe="", size=0))


class Registry:
    def __init__(self) -> None:
        self.view = DeviceView(plain_stick(STICK), DeviceState.BLANK)
        self.looked: list[DeviceIdentity] = []

    async def looked_at(self, identities: list[DeviceIdentity]) -> None:
        self.looked += identities

    def current(self, wanted: DeviceIdentity) -> DeviceView:
        assert wanted == STICK
        return self.view


class Calendar:
    today = datetime.date(2025, 5, 31)


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture
def catalog() -> Catalog:
    return Catalog([UBUNTU, MINT, DEBIAN, NIX])


@pytest.fixture
def listing(catalog: Catalog, registry: Registry, calendar: Calendar, tmp_path: Path) -> Listing:
    keyring = Keyring(tmp_path / "admin", tmp_path / "cache", tmp_path / "packaged")
    return Listing(catalog, keyring, cast("DeviceRegistry", registry), hints=HINTS, today=lambda: calendar.today)


def ids(found: tuple[Listed, ...]) -> list[str]:
    return [item.distribution.id for item in found]


def versions(found: tuple[Listed, ...]) -> list[tuple[str, str]]:
    return [(each.release.version, each.release.architecture) for item in found for each in item.releases]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (CatalogQuery(), ["linuxmint", "debian", "ubuntu", "nixos"]),
        (CatalogQuery(order=Order.NAME), ["debian", "linuxmint", "nixos", "ubuntu"]),
        (CatalogQuery("ubuntu"), ["ubuntu", "linuxmint"]),
        (CatalogQuery("ubuntu", order=Order.NAME), ["linuxmint", "ubuntu"]),
        (CatalogQuery("casper"), ["linuxmint", "ubuntu"]),
        (CatalogQuery("xfce"), ["linuxmint"]),
        (CatalogQuery("ubuntu", category="server"), []),
        (CatalogQuery(category="desktop"), ["linuxmint", "ubuntu"]),
        (CatalogQuery(family="Debian Live"), ["debian"]),
        (CatalogQuery(secure_boot=True), ["debian"]),
    ],
)
async def test_what_is_found(listing: Listing, query: CatalogQuery, expected: list[str]) -> None:
    assert ids(await listing.find(ME, query)) == expected


async def test_releases_that_are_not_wanted_go_and_what_has_none_left(listing: Listing) -> None:
    assert versions(await listing.find(ME, CatalogQuery(architecture="arm64"))) == [("13", "arm64"), ("12", "")]
    assert versions(await listing.find(ME, CatalogQuery(secure_boot=True))) == [("13", "amd64"), ("12", "")]


async def test_secure_boot_has_three_answers(listing: Listing) -> None:
    found = await listing.find(ME, CatalogQuery(order=Order.NAME))
    assert [[each.secure_boot for each in item.releases] for item in found] == [
        [SecureBoot.YES, SecureBoot.NO, SecureBoot.YES],
        [SecureBoot.NO],
        [SecureBoot.UNKNOWN],
        [SecureBoot.NO, SecureBoot.NO],
    ]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (
            CatalogQuery(category="Desctop"),
            "category cannot be 'Desctop' (did you mean Desktop?); allowed: Desktop, Developer, Server",
        ),
        (CatalogQuery(family="zzz"), "family cannot be 'zzz'; allowed: casper, debian-live"),
        (CatalogQuery(category="!"), "category cannot be '!'"),
    ],
)
async def test_a_value_that_does_not_exist(listing: Listing, query: CatalogQuery, said: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        await listing.find(ME, query)
    assert said in error.value.message


async def test_the_end_of_life_is_that_of_the_day_of_the_call(listing: Listing, calendar: Calendar) -> None:
    async def ended() -> list[bool]:
        return [each.ended for each in (await listing.one(ME, "ubuntu")).releases]

    hidden = CatalogQuery("ubuntu", category="Desktop", hide_end_of_life=True)
    assert await ended() == [False, False]
    assert ("20.04", "amd64") in versions(await listing.find(ME, hidden))
    calendar.today = datetime.date(2025, 6, 1)
    assert await ended() == [False, True]
    assert versions(await listing.find(ME, hidden)) == [("26.04", "amd64"), ("22", "amd64")]
    assert ("20.04", "amd64") in versions(await listing.find(ME, CatalogQuery("ubuntu")))


async def test_what_fits_on_a_disk_that_would_be_erased(listing: Listing, catalog: Catalog, registry: Registry) -> None:
    room = layout.capacity(layout.plan(STICK.size, StickOptions()))
    size = max(size for size in range(room - 4 * MIB, room, 4096) if layout.bytes_needed([size]) <= room)
    catalog.renew(
        Catalog(
            [
                system("a", "A", 1, "X", release("1", size=size), release("2", size=size + 4096)),
                system("b", "B", 2, "X", release("3", size=0)),
                system("c", "C", 3, "X", replace(release("4", size=0), size_mb=5000)),
                system("d", "D", 4, "X", replace(release("5", size=0), size_mb=5)),
            ]
        )
    )
    found = await listing.find(ME, CatalogQuery(device=STICK))
    assert [(each.release.version, each.fit) for item in found for each in item.releases] == [
        ("1", Fit.YES),
        ("3", Fit.UNKNOWN),
        ("5", Fit.YES),
    ]
    assert registry.looked == [STICK]
    assert {each.fit for item in await listing.find(ME, CatalogQuery()) for each in item.releases} == {None}


async def test_what_fits_on_a_stick_is_what_it_has_free(listing: Listing, registry: Registry) -> None:
    registry.view = replace(registry.view, state=DeviceState.LUXUSB, free_bytes=layout.bytes_needed([100 * MIB]))
    assert ids(await listing.find(ME, CatalogQuery("ubuntu", device=STICK))) == ["ubuntu", "linuxmint"]
    registry.view = replace(registry.view, free_bytes=registry.view.free_bytes - 1)
    assert ids(await listing.find(ME, CatalogQuery(device=STICK))) == ["nixos"]


async def test_a_stick_whose_room_cannot_be_told(listing: Listing, registry: Registry) -> None:
    query = CatalogQuery(device=STICK)
    blank = registry.view
    registry.view = replace(blank, state=DeviceState.BUSY, current_job=3)
    with pytest.raises(DeviceBusyError, match="job 3"):
        await listing.find(ME, query)
    registry.view = replace(blank, state=DeviceState.DAMAGED)
    with pytest.raises(DeviceDamagedError, match="repair it first"):
        await listing.find(ME, query)
    tiny = replace(blank.device, identity=replace(STICK, size=16 * MIB))
    registry.view = replace(blank, device=tiny)
    with pytest.raises(NotEnoughSpaceError, match="too small"):
        await listing.find(ME, query)


async def test_the_same_catalogue_gives_the_same_objects_and_a_new_one_gives_others(
    listing: Listing, catalog: Catalog, tmp_path: Path
) -> None:
    first = await listing.find(ME, CatalogQuery())
    # the others are filtered away, so what is left is what it was
    again = (*await listing.find(OTHER, CatalogQuery("mint")), *await listing.find(ME, CatalogQuery(family="casper")))
    assert {id(item) for item in again} <= {id(item) for item in first}
    assert await listing.one(ME, "linuxmint") is first[0]
    catalog.renew(Catalog([replace(MINT, name="Newer"), DEBIAN]))
    assert [item.distribution.name for item in await listing.find(ME, CatalogQuery())] == ["Newer", "Debian Live"]


async def test_trust_follows_the_keys_that_come(listing: Listing, catalog: Catalog, tmp_path: Path) -> None:
    signed = release(trust=Trust.SIGNED, key_fingerprint=KEY)
    catalog.renew(Catalog([system("a", "A", 1, "X", signed)]))

    async def trust() -> list[Trust]:
        return [each.release.trust for item in await listing.find(ME, CatalogQuery()) for each in item.releases]

    assert await trust() == [Trust.HASH]
    (tmp_path / "packaged").mkdir()
    (tmp_path / "packaged" / f"{KEY}.asc").write_bytes(b"key")
    assert await trust() == [Trust.SIGNED]


async def test_a_layer_of_one_user_is_seen_by_nobody_else(registry: Registry, tmp_path: Path) -> None:
    catalog = Catalog([MINT]).with_user_layer(ME, [system("mine", "Mine", 9, "Own", release())])
    keyring = Keyring(tmp_path, tmp_path, tmp_path)
    listing = Listing(catalog, keyring, cast("DeviceRegistry", registry), hints=HINTS)
    assert ids(await listing.find(ME, CatalogQuery())) == ["linuxmint", "mine"]
    assert ids(await listing.find(ME, CatalogQuery(category="own"))) == ["mine"]
    assert ids(await listing.find(OTHER, CatalogQuery())) == ["linuxmint"]
    with pytest.raises(InvalidArgumentError) as error:
        await listing.find(OTHER, CatalogQuery(category="own"))
    assert "Own" not in error.value.message
