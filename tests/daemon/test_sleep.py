"""Sleep of the machine: kept off while jobs run, and prepared for when it comes all the same. logind is dbusmock's."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from luxusb_cli.connection import Typed
from luxusb_cli.model import JobState

from luxusbd.bus._lib import Message, MessageType
from luxusbd.bus.connection import Connection
from luxusbd.bus.logind import MANAGER, NAME, PATH
from luxusbd.bus.private import private_bus
from tests.bus.polkit import program
from tests.daemon.caller import Caller
from tests.daemon.daemon import Daemon
from tests.daemon.images import MIB, Images
from tests.daemon.leftovers import Machine
from tests.harness.mirrors import Mirror

pytestmark = pytest.mark.root

SLOW = 2 * MIB
MOCK = ("/usr/bin/python3", "-m", "dbusmock", "--system", "--template", "logind")
POLICY = f"""
<policy context="default">
  <allow own="{NAME}"/>
  <allow send_destination="{NAME}"/>
</policy>
"""
CONFIG = """
[daemon]
idle_exit = 0
[paths]
state_dir = "{place}/s"
download_dir = "{place}/s/incoming"
cache_dir = "{place}/s/cache"
catalog_dir = "{place}/s/distros.d"
[authorization]
backend = "private"
[transfer]
user = ""
[devices]
allow_loop = ["{place}/*.img"]
"""

Lock = tuple[str, str, str, str]
"""What, who, why, mode."""
DOWNLOADING = {
    ("sleep:idle", "LUXusb", "Images are being downloaded", "block"),
    ("sleep", "LUXusb", "Images are being downloaded", "delay"),
}
WRITING = {
    ("shutdown:sleep:idle", "LUXusb", "A USB stick is being written", "block"),
    ("sleep", "LUXusb", "A USB stick is being written", "delay"),
}


class Login:
    """dbusmock's logind, and a bus client beside it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def locks(self) -> set[Lock]:
        reply = await self.connection.call(NAME, PATH, MANAGER, "ListInhibitors")
        return {(one[0], one[1], one[2], one[3]) for one in reply.body[0]}

    async def until(self, holds: Callable[[set[Lock]], bool]) -> set[Lock]:
        """Wait until the locks are as `holds` wants them."""
        async with asyncio.timeout(30):
            while not holds(found := await self.locks()):
                await asyncio.sleep(0.02)
        return found

    async def prepare_for_sleep(self, sleeping: bool) -> None:
        """Say that the machine is about to sleep, or that it woke up."""
        from luxusbd.bus._lib import Variant

        body = [MANAGER, "PrepareForSleep", "b", [Variant("b", sleeping)]]
        await self.connection.call(NAME, PATH, "org.freedesktop.DBus.Mock", "EmitSignal", "sssav", body)


@contextlib.asynccontextmanager
async def logind(address: str) -> AsyncIterator[Login]:
    connection = await Connection.open(address)
    try:
        async with program(address, connection, *MOCK, name=NAME):
            yield Login(connection)
    finally:
        await connection.close()


@pytest.fixture
async def address(place: Path) -> AsyncIterator[str]:
    async with private_bus(place / "b", extra_policy=POLICY) as running:
        yield running


@pytest.fixture
async def login(address: str) -> AsyncIterator[Login]:
    async with logind(address) as running:
        yield running


@pytest.fixture
async def service(place: Path, address: str, login: Login, catalogue: Path) -> AsyncIterator[Daemon]:
    machine = Machine.now()
    daemon = Daemon(place, catalogues=[catalogue], config=CONFIG.format(place=place), address=address)
    async with daemon:
        yield daemon
    machine.check_nothing_left(daemon)


@pytest.fixture
async def root(service: Daemon) -> AsyncIterator[Caller]:
    async with Caller.connect(service.address) as connected:
        yield connected


async def test_the_machine_stays_awake_for_a_download(login: Login, root: Caller, mirror: Mirror) -> None:
    assert await login.locks() == set()
    mirror.rate = SLOW
    path = await root.client.download("distro:large")
    await root.progress(path, MIB)
    assert await login.until(bool) <= DOWNLOADING
    await login.until(lambda found: found == DOWNLOADING)
    await root.client.pause(path)
    await login.until(lambda found: not found)
    await root.client.resume(path)
    await login.until(lambda found: found == DOWNLOADING)
    mirror.rate = 0
    await root.succeeded(path)
    await login.until(lambda found: not found)


async def test_a_stick_keeps_it_from_shutting_down_too(login: Login, root: Caller, stick: Path, mirror: Mirror) -> None:
    mirror.rate = SLOW
    path = await root.client.create((await root.plan([await root.target(stick)], ["distro:large"])).token)
    await root.stage(path, "download")
    # a stick whose images are not there yet is not being written
    await login.until(lambda found: found == DOWNLOADING)
    mirror.rate = 0
    await login.until(lambda found: found == WRITING)
    await root.succeeded(path)
    await login.until(lambda found: not found)


async def test_the_locks_go_with_the_service(service: Daemon, login: Login, root: Caller, mirror: Mirror) -> None:
    mirror.rate = SLOW
    path = await root.client.download("distro:large")
    await root.progress(path, MIB)
    await login.until(lambda found: found == DOWNLOADING)
    await service.kill()
    await login.until(lambda found: not found)
    await service.start()
    await login.until(lambda found: found == DOWNLOADING)
    mirror.rate = 0
    async with Caller.connect(service.address) as again:
        await again.succeeded(path)


async def test_it_can_be_switched_off(login: Login, root: Caller, mirror: Mirror) -> None:
    mirror.rate = SLOW
    path = await root.client.download("distro:large")
    await login.until(lambda found: found == DOWNLOADING)
    await root.client.change_settings({"daemon.inhibit_sleep": Typed("b", False)})
    await login.until(lambda found: not found)
    await root.client.change_settings({"daemon.inhibit_sleep": Typed("b", True)})
    await login.until(lambda found: found == DOWNLOADING)
    mirror.rate = 0
    await root.succeeded(path)


async def test_what_waits_for_a_network_keeps_nobody_awake(login: Login, root: Caller, mirror: Mirror) -> None:
    mirror.rate = SLOW
    path = await root.client.download("distro:large")
    await root.progress(path, MIB)
    await login.until(lambda found: found == DOWNLOADING)
    await mirror.__aexit__(None, None, None)
    await root.stage(path, "wait-for-network")
    await login.until(lambda found: not found)
    mirror.rate = 0
    await mirror.__aenter__()
    await root.succeeded(path)


async def test_before_sleep_the_bytes_are_on_the_disk_and_after_it_they_go_on(
    service: Daemon, login: Login, root: Caller, mirror: Mirror, images: Images
) -> None:
    mirror.rate = SLOW
    path = await root.client.download("distro:large")
    await root.progress(path, 3 * MIB)
    await login.until(lambda found: found == DOWNLOADING)
    await login.prepare_for_sleep(True)
    # logind lets the machine sleep once nobody delays it any more
    await login.until(lambda found: not found)
    claims = json.loads((service.state / "incoming" / f"{images.large.sha256}.part.json").read_text())
    assert claims["downloaded_bytes"] >= 3 * MIB
    requests, sent = len(mirror.served), mirror.served[-1].sent
    assert (await root.client.job(path)).state is JobState.RUNNING
    # one that is asked for meanwhile does not begin to fetch
    other = await root.client.download("distro:huge")
    await root.property(other, "State", "running")
    assert (len(mirror.served), mirror.served[-1].sent) == (requests, sent)
    mirror.rate = 0
    await login.prepare_for_sleep(False)
    done = await root.succeeded(path)
    await root.succeeded(other)
    assert mirror.served[requests].sent > 0
    assert done.result["image"] == images.large.reference
    fetched = sum(one.sent for one in mirror.served if one.name == "large.iso")
    assert fetched < images.large.size + 4 * MIB


async def test_only_logind_sends_it_to_sleep(address: str, login: Login, root: Caller, mirror: Mirror) -> None:
    """A signal of that name from somebody else, sent to the service directly."""
    mirror.rate = SLOW
    path = await root.client.download("distro:large")
    await root.progress(path, MIB)
    await login.until(lambda found: found == DOWNLOADING)
    stranger = await Connection.open(address)
    (owner,) = await stranger.call_bus("GetNameOwner", "s", ["org.luxusb.Manager"])
    fields: dict[str, Any] = {"signature": "b", "body": [True]}
    await stranger.send(
        Message(
            message_type=MessageType.SIGNAL,
            destination=owner,
            path=PATH,
            interface=MANAGER,
            member="PrepareForSleep",
            **fields,
        )
    )
    await root.progress(path, 6 * MIB)
    assert await login.locks() == DOWNLOADING
    await stranger.close()
    mirror.rate = 0
    await root.succeeded(path)


async def test_without_logind_it_is_said_once(place: Path, catalogue: Path) -> None:
    async with private_bus(place / "b") as address:
        config = CONFIG.format(place=place)
        async with Daemon(place, catalogues=[catalogue], config=config, address=address) as daemon:
            async with Caller.connect(daemon.address) as caller:
                for name in ("alpha", "beta", "large"):
                    await caller.succeeded(await caller.client.download(f"distro:{name}"))
            assert daemon.log.count("logind does not keep it awake") == 1
