"""What a desktop has on the session bus: somebody who shows notifications, and the portal's dialogue for files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from luxusbd.bus._lib import Message, MessageType, Variant
from luxusbd.bus.connection import Connection
from tests.bus.client import plain

NOTIFICATIONS = "org.freedesktop.Notifications"
NOTIFICATIONS_PATH = "/org/freedesktop/Notifications"
PORTAL = "org.freedesktop.portal.Desktop"
PORTAL_PATH = "/org/freedesktop/portal/desktop"
CHOOSER = "org.freedesktop.portal.FileChooser"
REQUEST = "org.freedesktop.portal.Request"


@contextlib.asynccontextmanager
async def service(name: str, answer: Callable[[Connection, Message], None]) -> AsyncIterator[Connection]:
    """Own a name on the session bus and answer its calls."""
    connection = await Connection.open(os.environ["DBUS_SESSION_BUS_ADDRESS"])
    connection.on_call = lambda message: answer(connection, message)
    assert await connection.own_name(name)
    try:
        yield connection
    finally:
        await connection.close()


def reply(connection: Connection, message: Message, signature: str = "", body: Sequence[Any] = ()) -> None:
    """Answer a call."""
    connection.post(
        Message(
            message_type=MessageType.METHOD_RETURN,
            destination=message.sender,
            reply_serial=message.serial,
            signature=signature,
            body=list(body),
        )
    )


def refuse(connection: Connection, message: Message) -> None:
    """Answer a call of something that is not there."""
    connection.post(
        Message(
            message_type=MessageType.ERROR,
            destination=message.sender,
            reply_serial=message.serial,
            error_name="org.freedesktop.DBus.Error.UnknownMethod",
            signature="s",
            body=[f"no {message.interface}.{message.member}"],
        )
    )


def signal(
    connection: Connection,
    path: str,
    interface: str,
    member: str,
    signature: str,
    body: Sequence[Any],
    to: str | None = None,
) -> None:
    """Tell everybody, or one."""
    connection.post(
        Message(
            message_type=MessageType.SIGNAL,
            destination=to,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
        )
    )


@dataclass
class Notifications:
    """What was shown, as (title, body)."""

    connection: Connection
    shown: list[tuple[str, str]] = field(default_factory=list)

    def click(self) -> None:
        """Click on the last one."""
        signal(
            self.connection,
            *(NOTIFICATIONS_PATH, NOTIFICATIONS, "ActionInvoked", "us", [len(self.shown), "default"]),
        )


@contextlib.asynccontextmanager
async def notifications() -> AsyncIterator[Notifications]:
    """Somebody who shows notifications (Desktop Notifications Specification 1.2)."""
    seen: list[tuple[str, str]] = []

    def answer(connection: Connection, message: Message) -> None:
        if message.member == "Notify":
            _app, _replaces, _icon, title, body, *_more = plain(message.body)
            seen.append((title, body))
            reply(connection, message, "u", [len(seen)])
        else:
            refuse(connection, message)

    async with service(NOTIFICATIONS, answer) as connection:
        yield Notifications(connection, seen)


@dataclass
class Chooser:
    """The portal's dialogue for files: answers with these addresses of files, or is closed when there are none."""

    files: list[str] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    """Options of the questions so far, with their title as `title`."""


@contextlib.asynccontextmanager
async def chooser() -> AsyncIterator[Chooser]:
    """A portal that knows files alone (org.freedesktop.portal.FileChooser).

    Begin it after the application, which asks a portal that is there for more when it starts and waits for the answer:
    both are in one process here.
    """
    found = Chooser()

    def answer(connection: Connection, message: Message) -> None:
        if message.interface == CHOOSER and message.member == "OpenFile":
            _parent, title, options = plain(message.body)
            found.asked.append({**options, "title": title})
            caller = str(message.sender).removeprefix(":").replace(".", "_")
            handle = f"{PORTAL_PATH}/request/{caller}/{options['handle_token']}"
            reply(connection, message, "o", [handle])
            results = {"uris": Variant("as", found.files)} if found.files else {}
            # to the caller alone, who asks the bus for no other signals
            body = [0 if found.files else 1, results]
            signal(connection, handle, REQUEST, "Response", "ua{sv}", body, to=message.sender)
        else:
            refuse(connection, message)

    async with service(PORTAL, answer):
        yield found
