from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from luxusbd import journal
from luxusbd.bus._lib import Message, MessageFlag, MessageType, Variant
from luxusbd.bus.authority import PrivateAuthority
from luxusbd.bus.private import private_bus
from luxusbd.bus.service import BusService
from luxusbd.errors import FailedError, ImageNotFoundError
from tests.bus.client import MANAGER_PATH, SERVICE, Client
from tests.bus.examples import SHA, job
from tests.bus.fake import FakeEngine

STANDARD = "org.freedesktop.DBus.Error."
PROPERTIES = "org.freedesktop.DBus.Properties"
PEER = "org.freedesktop.DBus.Peer"
DEVICE = "/org/luxusb/devices/usb_2dAcme_5fStick_2d1"
Connect = Callable[[], Awaitable[Client]]


@pytest.mark.parametrize(
    ("path", "interface", "member", "signature", "args", "kind"),
    [
        ("/org/luxusb/Nobody", SERVICE, "ListImages", "a{sv}", [{}], "UnknownObject"),
        ("/org/luxusb/jobs/_77", "org.luxusb.Job", "Cancel", "a{sv}", [{}], "UnknownObject"),
        (MANAGER_PATH, "org.luxusb.Job", "Cancel", "a{sv}", [{}], "UnknownInterface"),
        (MANAGER_PATH, SERVICE, "Explode", "a{sv}", [{}], "UnknownMethod"),
        (MANAGER_PATH, SERVICE, "ListImages", "", [], "InvalidArgs"),
        (MANAGER_PATH, SERVICE, "ListImages", "s", ["x"], "InvalidArgs"),
        (MANAGER_PATH, PROPERTIES, "Get", "ss", ["org.luxusb.Nothing", "Busy"], "UnknownInterface"),
        (MANAGER_PATH, PROPERTIES, "Get", "ss", [SERVICE, "Nothing"], "UnknownProperty"),
        (MANAGER_PATH, PROPERTIES, "Get", "ss", [PEER, "Nothing"], "UnknownProperty"),
        (MANAGER_PATH, PROPERTIES, "GetAll", "s", ["org.luxusb.Nothing"], "UnknownInterface"),
        (MANAGER_PATH, PROPERTIES, "Set", "ssv", [SERVICE, "Busy", Variant("b", True)], "PropertyReadOnly"),
        (MANAGER_PATH, PROPERTIES, "Set", "ssv", [SERVICE, "Nothing", Variant("b", True)], "UnknownProperty"),
        ("/org/luxusb/devices", PROPERTIES, "GetAll", "s", [""], "UnknownInterface"),
    ],
)
async def test_calls_that_the_contract_does_not_have(
    client: Client, path: str, interface: str, member: str, signature: str, args: list[object], kind: str
) -> None:
    name, _text = await client.fails(member, signature, *args, path=path, interface=interface)
    assert name == STANDARD + kind


async def test_options_are_checked_before_anything_else(client: Client, engine: FakeEngine) -> None:
    name, text = await client.fails("Download", "sa{sv}", "distro:debian", {"priorty": Variant("i", 1)})
    assert name == "org.luxusb.Error.InvalidArgument"
    assert "did you mean priority?" in text
    name, _text = await client.fails("UpdateStick", "oa{sv}", DEVICE, {"x": Variant("i", 1)})
    assert name == "org.luxusb.Error.InvalidArgument"
    assert engine.calls == []


@pytest.mark.parametrize(
    ("member", "signature", "args"),
    [("RestoreDisk", "oa{sv}", [DEVICE, {}]), ("Eject", "oa{sv}", [DEVICE, {}])],
)
async def test_a_member_without_engine_says_so(client: Client, member: str, signature: str, args: list[object]) -> None:
    name, text = await client.fails(member, signature, *args)
    assert name == "org.luxusb.Error.NotSupported"
    assert member in text


async def test_a_member_that_the_engine_does_not_announce_is_not_there(
    client: Client, engine: FakeEngine, address: str
) -> None:
    features = (await client.get_all(MANAGER_PATH, SERVICE))["Features"]
    assert "ListImages" in features
    assert "Eject" not in features


async def test_expected_errors_travel_by_name(client: Client) -> None:
    assert await client.fails("OpenImage", "sa{sv}", "image:0", {}) == (
        ImageNotFoundError.dbus_name,
        f"{ImageNotFoundError.dbus_name}: no image image:0",
    )


async def test_an_unexpected_error_tells_the_log_and_not_the_caller(
    client: Client, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.failure = RuntimeError("secret /root/path")
    name, text = await client.fails("ListDistributions", "a{sv}", {})
    assert name == "org.luxusb.Error.Internal"
    assert "secret" not in text
    assert "Traceback" not in text
    assert "secret" in caplog.text


class Subjects(logging.Handler):
    """Keeps whose call it was that something was logged about."""

    def __init__(self) -> None:
        super().__init__()
        self.uids: list[int] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.uids.append(journal.subject().uid)


async def test_the_log_knows_whose_call_it_was(client: Client, engine: FakeEngine) -> None:
    handler = Subjects()
    logger = logging.getLogger("luxusbd.bus.dispatcher")
    logger.addHandler(handler)
    try:
        engine.failure = RuntimeError("a defect")
        await client.fails("ListDistributions", "a{sv}", {})
    finally:
        logger.removeHandler(handler)
    assert handler.uids == [os.getuid()]
    assert journal.subject().uid == -1


async def test_a_value_that_cannot_be_sent_is_an_internal_error(
    client: Client, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.put_job(job(1, os.getuid(), rate=2**70))
    name, _text = await client.fails("GetAll", "s", "org.luxusb.Job", path="/org/luxusb/jobs/_1", interface=PROPERTIES)
    assert name == "org.luxusb.Error.Internal"
    assert await client.call("Ping", interface=PEER) is None


async def test_the_caller_is_answered_when_the_service_stops(
    service: BusService, engine: FakeEngine, client: Client
) -> None:
    engine.hold = asyncio.Event()
    waiting = asyncio.create_task(client.fails("ListDistributions", "a{sv}", {}))
    while not engine.calls:
        await client.call("Ping", interface=PEER)
    await service.stop()
    name, text = await waiting
    assert name == "org.luxusb.Error.Failed"
    assert "stopping" in text


async def test_a_call_that_wants_no_answer_gets_none(
    client: Client, service: BusService, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The bus would drop such an answer, so that a client cannot see it: look at what leaves the service.
    assert service._parts is not None
    connection = service._parts.connection
    sent: list[Message] = []
    send = connection.send

    async def spy(message: Message) -> None:
        sent.append(message)
        await send(message)

    monkeypatch.setattr(connection, "send", spy)
    for member in ("ListDistributions", "Explode"):
        await client.connection.send(
            Message(
                destination=SERVICE,
                path=MANAGER_PATH,
                interface=SERVICE,
                member=member,
                signature="a{sv}",
                body=[{}],
                flags=MessageFlag.NO_REPLY_EXPECTED,
            )
        )
    while not engine.calls:
        await client.call("Ping", interface=PEER)
    await client.call("Ping", interface=PEER)
    assert [message.signature for message in sent if message.destination == client.name and message.body] == []


async def test_the_interface_may_be_missing(lax_bus: str, engine: FakeEngine) -> None:
    running = BusService(engine, address=lax_bus, authority=PrivateAuthority())
    await running.start()
    client = await Client.connect(lax_bus)
    try:
        message = Message(destination=SERVICE, path=MANAGER_PATH, member="ListImages", signature="a{sv}", body=[{}])
        message.serial = client.connection._bus.next_serial()
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        client.connection._replies[message.serial] = reply
        await client.connection.send(message)
        answer = await asyncio.wait_for(reply, 20)
        assert answer.message_type is MessageType.METHOD_RETURN
        assert answer.body[0][0]["sha256"].value == SHA
    finally:
        await client.close()
        await running.stop()


async def test_standard_interfaces(client: Client) -> None:
    machine_id = await client.call("GetMachineId", interface=PEER)
    assert len(machine_id) == 32
    assert await client.call("Get", "ss", SERVICE, "Version", interface=PROPERTIES)
    assert await client.call("Get", "ss", "", "Busy", interface=PROPERTIES) is False
    assert await client.call("GetAll", "s", PEER, interface=PROPERTIES) == {}
    introspectable = "org.freedesktop.DBus.Introspectable"
    for path, children in (("/", ["org"]), ("/org", ["luxusb"]), ("/org/luxusb", ["Manager", "devices", "jobs"])):
        shown = await client.call("Introspect", path=path, interface=introspectable)
        assert [f'<node name="{child}"/>' in shown for child in children] == [True] * len(children)
    shown = await client.call("Introspect", path=DEVICE, interface=introspectable)
    assert "Stable name of the disk" in shown
    assert "EmitsChangedSignal" in shown


async def test_a_second_service_is_refused(service: BusService, address: str) -> None:
    second = BusService(FakeEngine(), address=address, authority=PrivateAuthority())
    with pytest.raises(FailedError, match="another luxusbd already runs on this bus"):
        await second.start()
    assert second.watchers == frozenset()
    await second.stop()


async def test_no_bus_is_a_clear_error() -> None:
    with pytest.raises(FailedError, match="cannot connect to unix:path=/nonexistent/bus"):
        await BusService(FakeEngine(), address="unix:path=/nonexistent/bus").start()


async def test_the_end_of_the_bus_is_noticed(tmp_path: Path, engine: FakeEngine) -> None:
    async with private_bus(tmp_path) as address:
        running = BusService(engine, address=address, authority=PrivateAuthority())
        await running.start()
        ended = asyncio.create_task(running.wait_disconnected())
        await asyncio.sleep(0)
        assert not ended.done()
    await asyncio.wait_for(ended, 20)
    engine.put_job(job(1, os.getuid()))  # nobody is told, and nothing is raised
    await running.stop()


async def test_watchers_come_and_go(service: BusService, client: Client, connect: Connect, engine: FakeEngine) -> None:
    assert service.watchers == frozenset()
    other = await connect()
    await other.call("Ping", interface=PEER)
    await client.call("Ping", interface=PEER)
    assert service.watchers == {client.name, other.name}
    name = other.name
    await other.close()
    while name in service.watchers:
        await client.call("Ping", interface=PEER)
    assert engine.vanished == [name]
    assert service.watchers == {client.name}


async def test_the_change_of_watchers_is_told(address: str, engine: FakeEngine, connect: Connect) -> None:
    seen: list[frozenset[str]] = []
    running = BusService(
        engine, address=address, authority=PrivateAuthority(), watchers_changed=lambda: seen.append(running.watchers)
    )
    await running.start()
    client = await connect()
    await client.call("Ping", interface=PEER)
    await client.call("Ping", interface=PEER)
    assert seen == [frozenset({client.name})]
    await running.stop()


async def test_the_flag_for_interaction_is_seen(
    client: Client, service: BusService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    for flags in range(256):
        if not flags & MessageFlag.NO_REPLY_EXPECTED:
            await client.raw("Ping", interface=PEER, flags=MessageFlag(flags))
    assert caplog.records == []
