"""Runs inside the virtual machine: writes down, with the same clock, what udev tells and what the service tells.

Its argument is the file to write, one JSON line an event. It is a client like any other: it asks for all objects, which
makes it somebody whom the service tells what changes.
"""

import asyncio
import json
import sys
import time
from typing import Any

sys.path.insert(0, "/usr/lib/luxusb")

import pyudev
from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import BusType, MessageType
from dbus_next.message import Message

NAME, ROOT = "org.luxusb.Manager", "/org/luxusb"


async def main() -> None:
    with open(sys.argv[1], "w", buffering=1) as file:  # noqa: PTH123 - written a line at a time

        def note(source: str, what: str, node: str, **more: Any) -> None:
            line = {"time": time.monotonic(), "source": source, "what": what, "node": node, **more}
            file.write(json.dumps(line) + "\n")

        monitor = pyudev.Monitor.from_netlink(pyudev.Context(), "udev")
        monitor.filter_by("block")
        monitor.start()

        def uevent() -> None:
            while (device := monitor.poll(timeout=0)) is not None:
                note("udev", device.action or "", device.device_node or "")

        asyncio.get_running_loop().add_reader(monitor.fileno(), uevent)
        bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        nodes: dict[str, str] = {}

        def take(path: str, interfaces: dict[str, Any]) -> None:
            if (device := interfaces.get("org.luxusb.Device")) is not None:
                nodes[path] = device["DeviceNode"].value

        def signal(message: Message) -> None:
            if message.message_type is not MessageType.SIGNAL:
                return
            if message.member == "InterfacesAdded":
                take(*message.body)
                note("bus", "added", nodes.get(message.body[0], ""))
            elif message.member == "InterfacesRemoved":
                note("bus", "removed", nodes.get(message.body[0], ""))
            elif message.member == "PropertiesChanged" and message.path in nodes:
                plain = {name: value.value for name, value in message.body[1].items()}
                note("bus", "changed", nodes[message.path], properties=plain)

        bus.add_message_handler(signal)
        await bus.call(
            Message(
                destination="org.freedesktop.DBus",
                path="/org/freedesktop/DBus",
                interface="org.freedesktop.DBus",
                member="AddMatch",
                signature="s",
                body=[f"type='signal',sender='{NAME}'"],
            )
        )
        reply = await bus.call(
            Message(
                destination=NAME,
                path=ROOT,
                interface="org.freedesktop.DBus.ObjectManager",
                member="GetManagedObjects",
            )
        )
        assert reply is not None
        for path, interfaces in reply.body[0].items():
            take(path, interfaces)
        note("bus", "ready", "")
        await asyncio.Event().wait()


asyncio.run(main())
