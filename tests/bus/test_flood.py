"""What wears a connection out: bursts, full buffers, descriptors, malformed messages."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from pathlib import Path

import pytest

from luxusbd.bus._lib import Message, MessageType, PatientSocket, Variant
from luxusbd.bus.authority import PrivateAuthority
from luxusbd.bus.connection import Connection, RemoteError
from luxusbd.bus.service import BusService
from tests.bus.client import MANAGER_PATH, SERVICE, Client
from tests.bus.examples import SHA
from tests.bus.fake import FakeEngine
from tests.bus.raw import RawClient, field, message

PEER = "org.freedesktop.DBus.Peer"


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_twenty_thousand_signals_in_one_turn_of_the_loop(address: str) -> None:
    sender, receiver = await Connection.open(address), await Connection.open(address)
    got: list[int] = []
    done = asyncio.Event()

    def receive(signal: Message) -> None:
        if signal.member == "Burst":
            got.append(signal.body[0])
            if signal.body[0] == 19_999:
                done.set()

    receiver.on_signal = receive
    await receiver.call_bus("AddMatch", "s", ["type='signal',member='Burst'"])
    for number in range(20_000):
        sender.post(
            Message(
                message_type=MessageType.SIGNAL,
                path="/a",
                interface="a.b",
                member="Burst",
                signature="us",
                body=[number, "x" * 1000],
            )
        )
    async with asyncio.timeout(60):
        await done.wait()
    assert got == list(range(20_000))
    assert sender.connected
    await sender.close()
    await receiver.close()


def test_descriptors_go_out_with_the_first_byte_that_does() -> None:
    one, other = socket.socketpair()
    one.setblocking(False)
    while True:
        try:
            one.send(bytes(65536))
        except BlockingIOError:
            break
    patient = PatientSocket(one)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", one.fileno()))]
    assert patient.sendmsg([memoryview(b"message")], ancillary) == 0
    assert patient.send(memoryview(b"message")) == 0
    other.setblocking(False)
    while True:
        try:
            other.recv(1 << 20)
        except BlockingIOError:
            break
    assert patient.send(memoryview(b"message")) == 7
    data, fds, _flags, _address = socket.recv_fds(other, 100, 4)
    assert (data, len(fds)) == (b"message", 1)
    assert patient.send(memoryview(b"next")) == 4
    assert socket.recv_fds(other, 100, 4)[:2] == (b"next", [])
    for fd in fds:
        os.close(fd)
    one.close()
    other.close()


async def test_a_thousand_descriptors_behind_a_full_buffer_all_arrive(client: Client, service: BusService) -> None:
    for _ in range(10):
        replies = await asyncio.gather(*(client.raw("OpenImage", "sa{sv}", f"image:{SHA}", {}) for _ in range(100)))
        for reply in replies:
            (fd,) = reply.unix_fds
            assert os.pread(fd, 100, 0) == b"the image"
            os.close(fd)


@pytest.fixture
def no_catalogues(engine: FakeEngine) -> None:
    """The service has no engine for a member that takes a descriptor."""
    engine.features = tuple(name for name in engine.features if name != "ImportCatalog")


async def test_descriptors_are_closed_whatever_becomes_of_the_call(
    no_catalogues: None, client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "a.iso"
    file.write_bytes(b"content")
    await client.call("Ping", interface=PEER)
    with file.open("rb") as opened:
        fd = opened.fileno()
        before = open_descriptors()
        for _ in range(50):
            await client.call("InspectImage", "ha{sv}", 0, {}, fds=[fd])
            await client.fails("InspectImage", "ha{sv}", 0, {"nonsense": _wrong()}, fds=[fd])
            await client.fails("InspectImage", "hsa{sv}", 0, "", {}, fds=[fd])
            await client.fails("InspectImage", "ha{sv}", 5, {}, fds=[fd])
            await client.fails("InspectImage", "ha{sv}", 0, {})
            await client.fails("ImportCatalog", "ha{sv}", 0, {}, fds=[fd])
            beside = {"sums": Variant("h", 1), "key": Variant("h", 2)}
            await client.call("ImportImage", "hsa{sv}", 0, "x", beside, fds=[fd, fd, fd])
            await client.fails("ImportImage", "hsa{sv}", 0, "x", {**beside, "size": _wrong()}, fds=[fd, fd, fd])
            await client.fails("ImportImage", "hsa{sv}", 0, "x", {"sums": Variant("h", 7)}, fds=[fd, fd])
            reply = await client.raw("OpenImage", "sa{sv}", f"image:{SHA}", {})
            os.close(reply.unix_fds[0])
        assert open_descriptors() == before


def _wrong() -> object:
    return Variant("s", "x")


async def test_the_policy_lets_one_descriptor_through_where_one_is_taken(
    client: Client, engine: FakeEngine, tmp_path: Path
) -> None:
    file = tmp_path / "a.iso"
    file.write_bytes(b"content")
    await client.call("Ping", interface=PEER)
    denied = "org.freedesktop.DBus.Error.AccessDenied"
    with file.open("rb") as opened:
        fd = opened.fileno()
        before = open_descriptors()
        name, _text = await client.fails("InspectImage", "ha{sv}", 0, {}, fds=[fd, fd])
        assert name == denied
        for member, interface in (("ListImages", SERVICE), ("Ping", PEER)):
            name, _text = await client.fails(member, "", interface=interface, fds=[fd])
            assert name == denied
        # The owner's unique name is no way around it.
        owner = (await client.connection.call_bus("GetNameOwner", "s", [SERVICE]))[0]
        with pytest.raises(RemoteError, match="AccessDenied"):
            await client.connection.call(owner, MANAGER_PATH, PEER, "Ping", unix_fds=[fd])
        assert open_descriptors() == before
    assert engine.calls == []


async def test_the_policy_refuses_other_interfaces_and_signals(client: Client, service: BusService) -> None:
    name, _text = await client.fails("Anything", interface="org.example.Other")
    assert name == "org.freedesktop.DBus.Error.AccessDenied"
    seen: list[Message] = []
    parts = service._parts
    assert parts is not None
    parts.connection.on_signal = seen.append
    await client.connection.send(
        Message(message_type=MessageType.SIGNAL, destination=SERVICE, path="/a", interface="a.b", member="Sneaky")
    )
    await client.call("Ping", interface=PEER)
    assert [entry.member for entry in seen if entry.member == "Sneaky"] == []


async def test_nobody_can_pretend_that_a_watcher_left(lax_bus: str, engine: FakeEngine) -> None:
    service = BusService(engine, address=lax_bus, authority=PrivateAuthority())
    await service.start()
    liar, other = await Client.connect(lax_bus), await Client.connect(lax_bus)
    await other.call("Ping", interface=PEER)
    for destination in (None, SERVICE):
        await liar.connection.send(
            Message(
                message_type=MessageType.SIGNAL,
                destination=destination,
                path="/org/freedesktop/DBus",
                interface="org.freedesktop.DBus",
                member="NameOwnerChanged",
                signature="sss",
                body=[other.name, other.name, ""],
            )
        )
    await liar.call("Ping", interface=PEER)
    assert other.name in service.watchers
    for client in (liar, other):
        await client.close()
    await service.stop()


CALL = [field(1, "o", MANAGER_PATH), field(2, "s", SERVICE), field(3, "s", "ListJobs"), field(6, "s", SERVICE)]
SIGNATURE = field(8, "g", "a{sv}")
NO_OPTIONS = bytes(8)


@pytest.mark.parametrize("kind", [2, 3, 4, 5, 77, 255])
async def test_messages_of_other_types_do_not_reach_the_library(
    client: Client, service: BusService, address: str, kind: int
) -> None:
    raw = await RawClient.connect(address)
    await raw.send(message(kind, 0, [*CALL, field(4, "s", "org.example.Error"), field(5, "u", 1)]))
    await raw.end()
    assert await client.call("ListImages", "a{sv}", {})
    assert service._parts is not None
    assert service._parts.connection.connected


@pytest.mark.parametrize("flags", [0, 2, 4, 6, 8, 128, 254])
async def test_any_flags_are_answered(client: Client, engine: FakeEngine, address: str, flags: int) -> None:
    raw = await RawClient.connect(address)
    # The unknown field 99 would make both libraries hang up; the bus takes it out.
    await raw.send(message(1, flags, [*CALL, SIGNATURE, field(99, "s", "unknown")], NO_OPTIONS))
    await raw.read_until(b"aa{sv}")
    assert [call[0] for call in engine.calls] == ["list_jobs"]
    await raw.end()


async def test_a_message_of_a_megabyte_is_answered(client: Client) -> None:
    name, text = await client.fails("GetDistribution", "sa{sv}", "x" * (1 << 20), {})
    assert name == "org.luxusb.Error.DistributionNotFound"
    assert text
