"""An authentication agent before the real polkit, as a desktop's shell is one, and who sits before it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from enum import Enum
from pathlib import Path

from luxusbd.bus._lib import Message, MessageType, Variant
from luxusbd.bus.authority import POLKIT_INTERFACE, POLKIT_NAME, POLKIT_PATH
from luxusbd.bus.connection import Connection
from tests.bus.client import plain

INTERFACE = "org.freedesktop.PolicyKit1.AuthenticationAgent"
PATH = "/org/luxusb/test/Agent"
CANCELLED = "org.freedesktop.PolicyKit1.Error.Cancelled"


class Person(Enum):
    """What the user does with the dialogue."""

    CLOSES = "closes it"
    MISTYPES = "types a wrong password"
    CONSENTS = "types the right one"


class Agent:
    """Asked by polkit.

    PAM is what it leaves out: that the password was right is told to polkit by its root helper, which is this process.
    """

    def __init__(self, connection: Connection) -> None:
        self.person = Person.CLOSES
        self.asked: list[tuple[str, str]] = []
        """Action and text of every dialogue."""
        self._connection = connection
        connection.on_call = self._call

    def _call(self, message: Message) -> None:
        if message.member != "BeginAuthentication":
            self._answer(message)
            return
        action, text, _icon, _details, cookie, _identities = plain(message.body)
        self.asked.append((action, text))
        if self.person is Person.CLOSES:
            self._answer(message, CANCELLED)
            return
        if self.person is Person.CONSENTS:
            root = ["unix-user", {"uid": Variant("u", 0)}]
            # both go to polkit, in this order
            self._post(POLKIT_PATH, "AuthenticationAgentResponse2", "us(sa{sv})", [os.getuid(), cookie, root])
        self._answer(message)

    def _post(self, path: str, member: str, signature: str, body: list[object]) -> None:
        self._connection.post(
            Message(
                destination=POLKIT_NAME,
                path=path,
                interface=POLKIT_INTERFACE,
                member=member,
                signature=signature,
                body=body,
            )
        )

    def _answer(self, message: Message, error: str = "") -> None:
        self._connection.post(
            Message(
                message_type=MessageType.ERROR if error else MessageType.METHOD_RETURN,
                destination=message.sender,
                reply_serial=message.serial,
                error_name=error or None,
                signature="s" if error else "",
                body=["the dialogue was closed"] if error else [],
            )
        )


@contextlib.asynccontextmanager
async def agent(address: str) -> AsyncIterator[Agent]:
    """An agent for this process.

    Args:
        address: of the bus on which polkit is.
    """
    connection = await Connection.open(address)
    made = Agent(connection)
    # field 22 of stat, counted after the name, which may hold anything (proc(5))
    began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    subject = [
        "unix-process",
        {"pid": Variant("u", os.getpid()), "start-time": Variant("t", began), "uid": Variant("i", os.geteuid())},
    ]
    try:
        await connection.call(
            *(POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE, "RegisterAuthenticationAgent", "(sa{sv})ss"),
            [subject, "en_US.UTF-8", PATH],
        )
        yield made
    finally:
        await connection.close()
