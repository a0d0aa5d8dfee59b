"""Stand-ins for polkit on the private bus: one in this process, python-dbusmock's, and the real one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from luxusbd.bus._lib import Message, MessageType
from luxusbd.bus.authority import POLKIT_INTERFACE, POLKIT_NAME, POLKIT_PATH
from luxusbd.bus.connection import Connection
from luxusbd.bus.private import private_bus
from tests.bus.client import plain

NOBODY = 65534
POLICY = """
<policy context="default">
  <allow own="org.freedesktop.PolicyKit1"/>
  <allow send_destination="org.freedesktop.PolicyKit1"/>
</policy>
"""


TO_AGENTS = """
<policy user="polkitd">
  <allow send_interface="org.freedesktop.PolicyKit1.AuthenticationAgent"/>
</policy>
"""
"""As polkit's own file for the system bus has it."""


@contextlib.asynccontextmanager
async def with_room_for_polkit(directory: Path) -> AsyncIterator[str]:
    """A private bus that lets polkitd on, and asks it."""
    users = [NOBODY, *(entry.pw_uid for entry in pwd.getpwall() if entry.pw_name == "polkitd")]
    async with private_bus(directory, users=users, extra_policy=POLICY + TO_AGENTS) as running:
        yield running


class FakePolkit:
    """Answers with `answer`, or not at all while it is None; keeps what it was asked."""

    def __init__(self, connection: Connection) -> None:
        self.answer: tuple[bool, bool, dict[str, str]] | None = (False, False, {})
        self.when_silent: tuple[bool, bool, dict[str, str]] | None = None
        """In place of `answer` for checks that nobody may be asked for."""
        self.error = ""
        self.checks: list[list[Any]] = []
        self.cancelled: list[str] = []
        self.asked = asyncio.Event()
        self.told_to_cancel = asyncio.Event()
        self.waiting: list[Message] = []
        self._connection = connection
        connection.on_call = self._call

    def _call(self, message: Message) -> None:
        if message.member == "CancelCheckAuthorization":
            self.cancelled.append(message.body[0])
            self._reply(message, "", [])
            self.told_to_cancel.set()
            return
        self.checks.append(plain(message.body))
        self.waiting.append(message)
        self.asked.set()
        if self.error:
            self._connection.post(
                Message(
                    message_type=MessageType.ERROR,
                    destination=message.sender,
                    reply_serial=message.serial,
                    error_name=self.error,
                    signature="s",
                    body=["no such action"],
                )
            )
            return
        answer = self.answer if message.body[3] or self.when_silent is None else self.when_silent
        if answer is not None:
            self.release(answer)

    def release(self, answer: tuple[bool, bool, dict[str, str]]) -> None:
        """Answer all checks that wait."""
        for message in self.waiting:
            self._reply(message, "(bba{ss})", [list(answer)])
        self.waiting.clear()

    def _reply(self, message: Message, signature: str, body: list[Any]) -> None:
        self._connection.post(
            Message(
                message_type=MessageType.METHOD_RETURN,
                destination=message.sender,
                reply_serial=message.serial,
                signature=signature,
                body=body,
            )
        )


@contextlib.asynccontextmanager
async def fake_polkit(address: str) -> AsyncIterator[FakePolkit]:
    connection = await Connection.open(address)
    fake = FakePolkit(connection)
    assert await connection.own_name(POLKIT_NAME)
    try:
        yield fake
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def program(address: str, client: Connection, *argv: str, name: str = POLKIT_NAME) -> AsyncIterator[None]:
    """Run a service on the bus until it owns its name, and end it afterwards."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address, "PYTHONPATH": ""},
    )
    try:
        async with asyncio.timeout(30):
            while not (await client.call_bus("NameHasOwner", "s", [name]))[0]:
                assert process.returncode is None, f"{argv[0]} ended"
                await asyncio.sleep(0.02)
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def mock(client: Connection, member: str, signature: str, *args: Any) -> None:
    """Tell dbusmock's polkitd what to do."""
    await client.call(POLKIT_NAME, POLKIT_PATH, "org.freedesktop.DBus.Mock", member, signature, args)


def real_polkitd(actions: Path, rules: Path) -> tuple[str, ...]:
    """The real polkitd, which sees these directories in place of the system's; the mounts are its own."""
    script = (
        f"mount --bind {actions} /usr/share/polkit-1/actions && mount --bind {rules} /etc/polkit-1/rules.d"
        " && exec /usr/lib/polkit-1/polkitd --no-debug"
    )
    return ("unshare", "--mount", "--propagation", "slave", "sh", "-c", script)


__all__ = [
    "POLICY",
    "POLKIT_INTERFACE",
    "TO_AGENTS",
    "FakePolkit",
    "fake_polkit",
    "mock",
    "program",
    "real_polkitd",
    "with_room_for_polkit",
]
