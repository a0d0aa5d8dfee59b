"""A slice of `python -m tests.bus.fuzz`, and clients that are a burden: one never reads, one has 10000 rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from luxusbd.bus.service import BusService
from tests.bus import wire
from tests.bus.client import MANAGER_PATH, SERVICE, Client
from tests.bus.examples import job
from tests.bus.fake import FakeEngine
from tests.bus.fuzz import fuzz
from tests.bus.raw import RawClient

BUS = "org.freedesktop.DBus"
RULES = 10_000
CALLS = 20_000


@pytest.mark.root
@pytest.mark.parametrize(("lax", "seed"), [(False, 1), (True, 2)], ids=["own-policy", "lax-bus"])
async def test_random_messages_of_two_users(bus_directory: Path, lax: bool, seed: int) -> None:
    found = await fuzz(3000, seed, bus_directory, lax=lax)
    assert found.problems == []
    # Most came through and were answered: it is the service that was tested, and not only the bus.
    assert found.acted > 60
    assert found.answers > 100_000
    assert found.hung_up < 60


def bus_call(member: str, argument: str) -> bytes:
    body = wire.encode("s", [argument])
    path = "/org/freedesktop/DBus"
    return wire.build(wire.METHOD_CALL, BUS, path=path, interface=BUS, member=member, signature="s", body=body)


async def test_a_client_with_ten_thousand_rules(
    client: Client, service: BusService, address: str, engine: FakeEngine
) -> None:
    await client.call("ListImages", "a{sv}", {})  # from here on it is told what happens
    other = await RawClient.connect(address)
    for number in range(RULES):
        await other.send(bus_call("AddMatch", f"type='signal',sender='{SERVICE}',arg0='{number}'"))
    await other.send(bus_call("NoSuchMember", ""))
    await other.read_until(b"NoSuchMember")  # the bus has seen them all
    engine.put_job(job(1, 0))
    await client.until("InterfacesAdded", "/org/luxusb")
    assert len(await client.call("ListImages", "a{sv}", {})) == 1
    other.close()


async def test_a_client_that_never_reads(client: Client, service: BusService, address: str, engine: FakeEngine) -> None:
    """The bus keeps its answers up to a limit of its own; nobody else waits."""
    call = wire.build(
        wire.METHOD_CALL,
        SERVICE,
        path=MANAGER_PATH,
        interface=SERVICE,
        member="ListDistributions",
        signature="a{sv}",
        body=wire.encode("a{sv}", [{}]),
    )
    deaf = await RawClient.connect(address)
    for number in range(CALLS):
        await deaf.send(call)
        if number % 1000 == 0:
            assert len(await client.call("ListImages", "a{sv}", {})) == 1
    assert len(await client.call("ListImages", "a{sv}", {})) == 1
    deaf.close()
    while len(service.watchers) > 1:
        await client.call("ListImages", "a{sv}", {})
