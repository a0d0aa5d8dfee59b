"""Somebody on the bus who is not the daemon."""

from __future__ import annotations

import asyncio

from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import MessageType
from dbus_next.message import Message


def send_finished(address: str, destination: str, path: str) -> None:
    """Tell `destination` that a job failed."""
    asyncio.run(_send(address, destination, path))


async def _send(address: str, destination: str, path: str) -> None:
    bus = await MessageBus(bus_address=address).connect()
    await bus.send(
        Message(
            destination=destination,
            path=path,
            interface="org.luxusb.Job",
            member="Finished",
            message_type=MessageType.SIGNAL,
            signature="sssa{sv}",
            body=["failed", "org.luxusb.Error.Failed", "a lie", {}],
        )
    )
    # The answer comes after the bus has passed the signal on.
    await bus.call(
        Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
            member="GetId",
        )
    )
    bus.disconnect()  # type: ignore[no-untyped-call]
    await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
    bus._stream.close()
    bus._sock.close()
