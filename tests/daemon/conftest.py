"""Mirrors, images, and the real daemon on a bus of its own."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.daemon.caller import Caller
from tests.daemon.daemon import Daemon
from tests.daemon.images import Images, make_images
from tests.daemon.leftovers import Machine
from tests.daemon.loops import detach
from tests.daemon.shared import World, world_of
from tests.daemon.sticks import run
from tests.harness.mirrors import Mirror, write_catalogue
from tests.harness.tls import Authority, make_authority
from tests.transfer.keys import Keys, made

MIB = 1024 * 1024
STICK = 256 * MIB
CONFIG = """
[devices]
allow_loop = ["{place}/*.img"]
"""


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    return make_images(tmp_path_factory.mktemp("isos"))


@pytest.fixture
def place() -> Iterator[Path]:
    """A short directory, since a socket's path has to fit into 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="lux-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
async def mirror(images: Images) -> AsyncIterator[Mirror]:
    async with Mirror({image.path.name: image.path for image in images.all}) as running:
        yield running


@pytest.fixture
def catalogue(images: Images, mirror: Mirror, place: Path) -> Path:
    """A catalogue in which every image is on the mirror."""
    path = place / "catalogue.json"
    write_catalogue(path, [image.for_catalogue() for image in images.all], [mirror])
    return path


@pytest.fixture
def settings() -> str:
    """Further lines of the configuration; tests replace it by parametrize."""
    return ""


@pytest.fixture
async def daemon(place: Path, catalogue: Path, settings: str) -> AsyncIterator[Daemon]:
    """A running daemon; at its end nothing of it may be left."""
    machine = Machine.now()
    async with Daemon(place, catalogues=[catalogue], config=CONFIG.format(place=place) + settings) as running:
        yield running
    machine.check_nothing_left(running)


@pytest.fixture
async def caller(daemon: Daemon) -> AsyncIterator[Caller]:
    async with Caller.connect(daemon.address) as connected:
        yield connected


@pytest.fixture
def stick(place: Path) -> Path:
    """A sparse file to make a stick of."""
    path = place / "stick.img"
    with path.open("wb") as file:
        file.truncate(STICK)
    return path


@dataclass(frozen=True)
class Target:
    """What a stick is made on: an image file, or a loop device over one."""

    file: Path
    node: str = ""

    async def device(self, caller: Caller) -> str:
        """Path of its device object."""
        return (await caller.disk(self.node)).path if self.node else await caller.target(self.file)


@pytest.fixture
def attach() -> Iterator[Callable[[Path], str]]:
    """Puts loop devices over files; they are taken down at the end."""
    made: list[tuple[str, Path]] = []

    def one(file: Path) -> str:
        node = run("losetup", "-P", "-f", "--show", str(file))
        made.append((node, file))
        return node

    yield one
    for node, file in made:
        detach(node, file)


@pytest.fixture(params=["file", pytest.param("loop", marks=pytest.mark.root)])
def target(request: pytest.FixtureRequest, stick: Path) -> Target:
    if request.param == "file":
        return Target(stick)
    node: str = request.getfixturevalue("attach")(stick)
    return Target(stick, node)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of its own for the state, with room for a few images; needs root."""
    image, point = tmp_path / "state.ext4", tmp_path / "state"
    with image.open("wb") as file:
        file.truncate(420 * MIB)
    point.mkdir()
    run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
    run("mount", "-o", "loop", str(image), str(point))
    point.chmod(0o755)
    try:
        yield point
    finally:
        run("umount", "-l", str(point))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed shows the end of its daemon's log."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for value in item.funcargs.values():
            if isinstance(value, Daemon):
                report.sections.append(("luxusbd.log", "\n".join(value.log.splitlines()[-60:])))
    return report


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(images: Images) -> AsyncIterator[World]:
    """One daemon for a module; `world` is the same for one test."""
    async with world_of(images) as made:
        yield made


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The module's daemon; what the test made is undone at its end."""
    yield shared
    shared.undo.close()
    shared.undo = contextlib.ExitStack()


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    """A keyring in which keys can be made."""
    # the agent's socket needs a short path
    with tempfile.TemporaryDirectory(prefix="lux-") as place, made(Path(place) / "gpg") as found:
        yield found


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who vouches for servers on this machine."""
    return make_authority(tmp_path_factory.mktemp("tls"))
