"""The catalogue as a user meets it: found by a few words, and narrowed down to what fits."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from luxusb_cli.catalog import DistroInfo, DistroQuery
from luxusb_cli.errors import DaemonError

from luxusbd import resources
from luxusbd.stick import layout
from luxusbd.stick.model import StickOptions
from tests.bench.catalogue import RETURN, SYSTEMS, call, more_systems
from tests.bus.raw import RawClient
from tests.daemon.caller import Caller
from tests.daemon.daemon import Daemon

GIB = 1 << 30


@pytest.fixture
async def service(place: Path) -> AsyncIterator[Daemon]:
    more_systems(place / "more.json")
    async with Daemon(place, catalogues=[place / "more.json"]) as running:
        yield running


@pytest.fixture
async def user(service: Daemon) -> AsyncIterator[Caller]:
    async with Caller.connect(service.address) as connected:
        yield connected


def releases(found: tuple[DistroInfo, ...]) -> int:
    return sum(len(distro.releases) for distro in found)


async def test_all_of_it_is_one_reply(service: Daemon, user: Caller) -> None:
    packaged = json.loads(resources.data("distros.json").read_bytes())["distributions"]
    found = await user.client.distributions()
    assert {entry["id"]: len(entry["releases"]) for entry in packaged}.items() <= {
        distro.id: len(distro.releases) for distro in found
    }.items()
    assert len(found) >= SYSTEMS
    client = await RawClient.connect(service.address)
    sizes = set()
    for _ in range(2):
        await client.send(call({}))
        kind, size = await client.answer()
        assert kind == RETURN
        sizes.add(size)
    # the second one is put together from what was kept of the first
    assert len(sizes) == 1
    assert min(sizes) > releases(found) * 100
    client.close()


async def test_words_and_filters(user: Caller) -> None:
    async def ids(query: DistroQuery) -> list[str]:
        return [distro.id for distro in await user.client.distributions(query)]

    assert (await ids(DistroQuery("linux-MINT")))[0] == "linuxmint"
    assert (await ids(DistroQuery("pop os")))[0] == "popos"
    assert (await ids(DistroQuery("ubuntu desktop")))[0] == "ubuntu"
    assert "debian-live" in await ids(DistroQuery(secure_boot=True))
    assert not {"ubuntu", "parrot", "void"} & set(await ids(DistroQuery(secure_boot=True)))
    by_name = await user.client.distributions(DistroQuery(sort="name", category="utility"))
    assert [distro.name for distro in by_name] == sorted((distro.name for distro in by_name), key=str.casefold)
    assert {distro.category for distro in by_name} == {"Utility"}
    with pytest.raises(DaemonError, match=r"allowed: .*casper") as error:
        await ids(DistroQuery(family="casperr"))
    assert error.value.name == "org.luxusb.Error.InvalidArgument"


async def test_what_fits_on_a_disk_and_then_on_the_stick_made_of_it(user: Caller, place: Path) -> None:
    size = 2 * GIB
    room = layout.capacity(layout.plan(size, StickOptions()))
    with (place / "stick.img").open("w+b") as file:
        path = await user.client.open_image_target(file.fileno(), size, "stick.img")
        everything = await user.client.distributions()
        found = await user.client.distributions(DistroQuery(device=path))
        assert 0 < releases(found) < releases(everything)
        for distro in found:
            for release in distro.releases:
                assert release.size <= room
                assert release.fits in ({"yes"} if release.size else {"yes", "unknown"})
        assert {release.fits for distro in everything for release in distro.releases} == {""}
        with (place / "tiny.img").open("w+b") as tiny:
            small = await user.client.open_image_target(tiny.fileno(), 16 << 20, "tiny.img")
            with pytest.raises(DaemonError, match="too small") as error:
                await user.client.distributions(DistroQuery(device=small))
            assert error.value.name == "org.luxusb.Error.NotEnoughSpace"
