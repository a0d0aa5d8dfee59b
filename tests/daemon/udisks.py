"""A stand-in for udisks2 on a private bus: knows real mounts, and unmounts them."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from luxusbd.bus._lib import Message, MessageType, Variant
from luxusbd.bus.connection import Connection
from luxusbd.bus.udisks import NAME
from tests.bus.client import plain

POLICY = f"""
<policy context="default">
  <allow own="{NAME}"/>
  <allow send_destination="{NAME}"/>
</policy>
"""
_PREFIX = "/org/freedesktop/UDisks2/block_devices/"
_DRIVES = "/org/freedesktop/UDisks2/drives/"


class FakeUdisks:
    """Unmounts with umount(8), and answers as udisks does when that fails."""

    def __init__(self, connection: Connection) -> None:
        self.unmounted: list[tuple[str, Any]] = []
        """Node and options of each call of Unmount."""
        self.off: list[tuple[str, str]] = []
        """Method and drive of each call of PowerOff and Eject."""
        self.can = {"CanPowerOff": True, "Ejectable": True}
        self._connection = connection
        connection.on_call = self._call

    def _call(self, message: Message) -> None:
        node = "/dev/" + (message.path or "").removeprefix(_PREFIX)
        if message.member == "ResolveDevice":
            wanted = plain(message.body[0])["path"]
            self._answer(message, "ao", [[_PREFIX + Path(wanted).name]])
        elif message.member == "Get" and message.body[1] == "Drive":
            self._answer(message, "v", [Variant("o", _DRIVES + Path(node).name)])
        elif message.member == "Get" and message.body[0] == NAME + ".Drive":
            self._answer(message, "v", [Variant("b", self.can[message.body[1]])])
        elif message.member in ("PowerOff", "Eject"):
            assert plain(message.body[0]) == {"auth.no_user_interaction": True}
            self.off.append((message.member, (message.path or "").removeprefix(_DRIVES)))
            self._answer(message, "", [])
        elif message.member == "Get":
            assert message.body == [NAME + ".Filesystem", "MountPoints"]
            points = [point.encode() + b"\0" for source, point in _mounts() if source == node]
            self._answer(message, "v", [Variant("aay", points)])
        elif message.member == "Unmount":
            self.unmounted.append((node, plain(message.body[0])))
            done = subprocess.run(["umount", node], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                self._answer(message, "", [])
            else:
                self._refuse(message, NAME + ".Error.DeviceBusy", done.stderr)
        else:
            self._refuse(message, "org.freedesktop.DBus.Error.UnknownMethod", message.member or "")

    def _answer(self, message: Message, signature: str, body: list[Any]) -> None:
        self._post(message, message_type=MessageType.METHOD_RETURN, signature=signature, body=body)

    def _refuse(self, message: Message, name: str, text: str) -> None:
        self._post(message, message_type=MessageType.ERROR, error_name=name, signature="s", body=[text])

    def _post(self, message: Message, **fields: Any) -> None:
        self._connection.post(Message(destination=message.sender, reply_serial=message.serial, **fields))


def _mounts() -> list[tuple[str, str]]:
    lines = Path("/proc/mounts").read_text().splitlines()
    return [(line.split()[0], line.split()[1]) for line in lines]


@contextlib.asynccontextmanager
async def fake_udisks(address: str) -> AsyncIterator[FakeUdisks]:
    connection = await Connection.open(address)
    fake = FakeUdisks(connection)
    assert await connection.own_name(NAME)
    try:
        yield fake
    finally:
        await connection.close()
