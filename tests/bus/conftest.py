"""A private bus with the project's own policy, the service on it with a fake engine, and clients."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from luxusbd.bus.authority import PrivateAuthority
from luxusbd.bus.private import private_bus
from luxusbd.bus.service import BusService
from tests.bus.client import Client, OtherUser
from tests.bus.examples import view
from tests.bus.fake import FakeEngine
from tests.bus.polkit import NOBODY


@pytest.fixture
def bus_directory() -> Iterator[Path]:
    """Short, and open to other uids."""
    path = Path(tempfile.mkdtemp(prefix="lux-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def address(bus_directory: Path) -> AsyncIterator[str]:
    async with private_bus(bus_directory, users=[NOBODY]) as running:
        yield running


@pytest.fixture
async def lax_bus(tmp_path: Path) -> AsyncIterator[str]:
    """A bus that lets everything through to the service; the project's policy does not."""
    everything = '<policy context="mandatory"><allow send_destination="org.luxusb.Manager"/></policy>'
    async with private_bus(tmp_path, extra_policy=everything) as running:
        yield running


@pytest.fixture
def engine() -> FakeEngine:
    shown = view()
    return FakeEngine(views={shown.device.identity.id: shown})


@pytest.fixture
async def service(address: str, engine: FakeEngine) -> AsyncIterator[BusService]:
    running = BusService(engine, address=address, authority=PrivateAuthority())
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def connect(address: str) -> AsyncIterator[Callable[[], Awaitable[Client]]]:
    async with contextlib.AsyncExitStack() as stack:

        async def one() -> Client:
            client = await Client.connect(address)
            stack.push_async_callback(client.close)
            return client

        yield one


@pytest.fixture
async def client(service: BusService, connect: Callable[[], Awaitable[Client]]) -> Client:
    return await connect()


@pytest.fixture
async def nobody(service: BusService, address: str) -> AsyncIterator[OtherUser]:
    """Needs root, to become another uid."""
    user = await OtherUser.start(address, NOBODY)
    yield user
    await user.stop()
