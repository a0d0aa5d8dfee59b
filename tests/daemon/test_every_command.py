"""Every command of `luxusb` through the real daemon, as text and as JSON: one case each, and none is left out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import click
import pytest
import pytest_asyncio
from luxusb_cli.app import cli

from tests.cli import schemas
from tests.daemon.cli import ERROR
from tests.daemon.commands import catalogue, service, sticks
from tests.daemon.images import Images
from tests.daemon.remote import remote
from tests.daemon.shared import World, world_of
from tests.harness.maker import Maker
from tests.harness.pictures import png
from tests.harness.tls import make_authority

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


CASES = catalogue.CASES | service.CASES | sticks.CASES


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
