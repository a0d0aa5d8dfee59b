"""A caller whose leaving the bus did not tell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from luxusbd.bus import callers
from luxusbd.bus.service import BusService
from tests.bus.client import Client
from tests.bus.fake import FakeEngine


async def test_a_caller_whose_end_was_not_told_is_found_out(
    service: BusService,
    client: Client,
    connect: Callable[[], Awaitable[Client]],
    engine: FakeEngine,
) -> None:
    """dbus-daemon drops signals for a connection with a full queue; the fuzzer made it do so."""

    parts = service._parts
    assert parts is not None
    parts.connection.on_signal = None
    other = await connect()
    for one in (client, other):
        await one.call("ListImages", "a{sv}", {})
    await other.close()
    await client.call("ListImages", "a{sv}", {})
    assert other.name in service.watchers
    await parts.callers.sweep()
    assert service.watchers == {client.name}
    assert engine.vanished == [other.name]
    assert 0 < callers.SWEEP_EVERY <= 300
