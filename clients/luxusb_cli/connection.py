"""The bus. The only module that imports dbus_next, and only its low-level half.

Values cross this module as plain Python: variants are taken off what comes in, and `Typed` says the type of what goes
out as a variant.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from luxusb_cli.errors import FREEDESKTOP, DaemonError, NoDaemonError
from luxusb_cli.i18n import _
from luxusb_cli.wire import ProtocolError

# The package imports its GLib half, and with it all of GLib where the system has it; that takes longer than the rest of
# a command, and nothing here uses it.
sys.modules.setdefault("dbus_next.glib", types.ModuleType("dbus_next.glib"))

from dbus_next.aio.message_bus import MessageBus  # noqa: E402
from dbus_next.constants import BusType, MessageFlag, MessageType  # noqa: E402
from dbus_next.message import Message  # noqa: E402
from dbus_next.signature import Variant  # noqa: E402

BUS_NAME = "org.luxusb.Manager"
_DBUS = "org.freedesktop.DBus"
_DBUS_PATH = "/org/freedesktop/DBus"


@dataclass(frozen=True)
class Typed:
    """A value to be sent as a variant of this D-Bus signature."""

    signature: str
    value: object


Options = Mapping[str, Typed]


@dataclass(frozen=True)
class Signal:
    """A signal of the daemon."""

    path: str
    interface: str
    member: str
    body: Sequence[object]
    order: int
    """Its place among everything that came over this connection."""


@dataclass(frozen=True)
class OwnerChanged:
    """The daemon came (`owner` is its unique name), or went (empty)."""

    owner: str


@dataclass(frozen=True)
class Disconnected:
    """The bus itself is gone."""


Event = Signal | OwnerChanged | Disconnected


class _PatientSocket:
    """What the library's writer writes to: a full socket buffer means later, not the end of the connection.

    dbus-next 0.2.3 takes EAGAIN for a lost connection (its issue 153). A message with descriptors must not be put off
    in the same way, because the writer forgets the descriptors after the first attempt; it waits for room instead.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def send(self, data: memoryview) -> int:
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0

    def sendmsg(self, buffers: list[memoryview], ancillary: list[tuple[int, int, bytes]]) -> int:
        while True:
            try:
                return self._sock.sendmsg(buffers, ancillary)
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._sock, select.POLLOUT)
                poll.poll()


class _Bus(MessageBus):
    """The library's connection with its two leaks stopped: a failed connect, and a disconnect that never closes."""

    def __init__(self, address: str | None) -> None:
        try:
            super().__init__(bus_address=address, bus_type=BusType.SYSTEM, negotiate_unix_fd=True)  # type: ignore[arg-type]  # None is the default
        except BaseException:
            self.close_sockets()
            raise
        self._writer.sock = _PatientSocket(self._sock)

    def close_sockets(self) -> None:
        for name in ("_stream", "_sock"):
            handle = self.__dict__.get(name)
            if handle is not None:
                # The stream flushes when it is closed, into a connection that may be gone.
                with suppress(OSError):
                    handle.close()


def _plain(value: object) -> object:
    if isinstance(value, Variant):
        return _plain(value.value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _wire(value: object) -> object:
    if isinstance(value, Typed):
        return Variant(value.signature, value.value)
    if isinstance(value, Mapping):
        return {key: _wire(item) for key, item in value.items()}
    return value


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


class Connection:
    """A connection to the bus and, over it, to the daemon.

    Calls have no time limit: one may wait for a person at a password dialogue.
    """

    def __init__(self, bus: _Bus, *, interactive: bool) -> None:
        self._bus = bus
        self._interactive = interactive
        self._owner = ""
        self._daemon_seen = False
        self._received = 0
        self._answered = 0
        self._reply_orders: dict[int, int] = {}
        self._queues: list[asyncio.Queue[Event]] = []
        self._watchdog: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, address: str | None, *, interactive: bool) -> Connection:
        """Connect to the bus at `address`, or to the system bus.

        Args:
            address: D-Bus server address; None for $DBUS_SYSTEM_BUS_ADDRESS or the usual place.
            interactive: whether the daemon may have a password asked for.

        Raises:
            NoDaemonError: no bus there.
        """
        where = address or os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or _("the system bus")
        try:
            bus = _Bus(address)
        except Exception as error:
            raise _no_bus(where, error) from error
        try:
            await bus.connect()
        except Exception as error:
            bus.close_sockets()
            raise _no_bus(where, error) from error
        connection = cls(bus, interactive=interactive)
        try:
            await connection._begin()
        except BaseException:
            await connection.close()
            raise
        return connection

    @property
    def daemon_seen(self) -> bool:
        """Whether the daemon was on the bus at any time since the connection began."""
        return self._daemon_seen

    @property
    def answered(self) -> int:
        """The place of the answer that the last call returned, to be compared with that of a signal.

        Holds for the caller until it next waits for something.
        """
        return self._answered

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _begin(self) -> None:
        self._bus.add_message_handler(self._on_message)
        self._watchdog = asyncio.create_task(self._await_end())
        what = _("The bus refused the connection")
        for rule in (
            f"type='signal',sender='{_DBUS}',member='NameOwnerChanged',arg0='{BUS_NAME}'",
            f"type='signal',sender='{BUS_NAME}'",
        ):
            await self._send(_DBUS, _DBUS_PATH, _DBUS, "AddMatch", "s", [rule], (), what)
        try:
            reply = await self._send(_DBUS, _DBUS_PATH, _DBUS, "GetNameOwner", "s", [BUS_NAME], (), what)
        except DaemonError as error:
            # It is started by the first call, and NameOwnerChanged then says who it is.
            if error.name != FREEDESKTOP + "NameHasNoOwner":
                raise
        else:
            self._owner = str(reply.body[0])
            self._daemon_seen = True

    async def serves(self, name: str) -> bool:
        """Whether somebody has this name on the bus, or is started when it is called."""
        what = _("The bus refused the connection")
        reply = await self._send(_DBUS, _DBUS_PATH, _DBUS, "NameHasOwner", "s", [name], (), what)
        if reply.body[0]:
            return True
        reply = await self._send(_DBUS, _DBUS_PATH, _DBUS, "ListActivatableNames", "", [], (), what)
        return name in reply.body[0]

    async def close(self) -> None:
        """Leave the bus; image targets of this connection go with it."""
        if self._bus.connected:
            self._bus.disconnect()  # type: ignore[no-untyped-call]
        if self._watchdog is not None:
            await self._watchdog
        self._bus.close_sockets()

    async def call(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str,
        body: Sequence[object],
        *,
        what: str,
        fds: Sequence[int] = (),
    ) -> Sequence[object]:
        """Call a member of the daemon and return the body of its answer.

        Args:
            path: object path.
            interface: its interface.
            member: the method.
            signature: D-Bus signature of `body`.
            body: arguments; `Typed` values become variants, `h` is an index into `fds`.
            what: how an error message begins: what could not be done.
            fds: descriptors to send; they stay the caller's.

        Raises:
            DaemonError: the daemon, or the bus in its place, answered with an error.
            NoDaemonError: the connection was lost.
        """
        reply = await self._send(BUS_NAME, path, interface, member, signature, body, fds, what)
        _close_all(reply.unix_fds)
        return [_plain(value) for value in reply.body]

    async def call_for_file(
        self, path: str, interface: str, member: str, signature: str, body: Sequence[object], *, what: str
    ) -> int:
        """Call a member that answers with a descriptor, which then is the caller's. Raises as `call_for_files`."""
        (found,) = await self.call_for_files(path, interface, member, signature, body, what=what)
        return found

    async def call_for_files(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str,
        body: Sequence[object],
        *,
        what: str,
        count: int = 1,
    ) -> list[int]:
        """Call a member that answers with `count` descriptors, which then are the caller's.

        Raises:
            DaemonError, NoDaemonError: as `call`.
            ProtocolError: the answer has other ones.
        """
        reply = await self._send(BUS_NAME, path, interface, member, signature, body, (), what)
        fds = list(reply.unix_fds)
        named = [index for index in reply.body[:count] if isinstance(index, int) and 0 <= index < len(fds)]
        if len(set(named)) != count:
            _close_all(fds)
            raise ProtocolError("the answer has no file descriptor")
        _close_all([fd for index, fd in enumerate(fds) if index not in named])
        return [fds[index] for index in named]

    async def _send(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str,
        body: Sequence[object],
        fds: Sequence[int],
        what: str,
    ) -> Message:
        if not self._bus.connected:
            raise NoDaemonError(what, _("The connection to the bus is lost."))
        flags = MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION if self._interactive else MessageFlag.NONE
        message = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            flags=flags,
            signature=signature,
            body=[_wire(value) for value in body],
            unix_fds=list(fds),
        )
        try:
            reply = await self._bus.call(message)
        except (OSError, EOFError) as error:
            raise NoDaemonError(what, _("The connection to the bus is lost.")) from error
        if reply is None:
            raise NoDaemonError(what, _("The connection to the bus is lost."))
        self._answered = self._reply_orders.pop(reply.reply_serial or 0, 0)
        if reply.message_type is MessageType.ERROR:
            _close_all(reply.unix_fds)
            explanation = reply.body[0] if reply.body and isinstance(reply.body[0], str) else ""
            raise DaemonError(what, str(reply.error_name), explanation)
        return reply

    @contextmanager
    def events(self) -> Iterator[asyncio.Queue[Event]]:
        """What the daemon and the bus say from now on, in order."""
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self._queues.append(queue)
        try:
            yield queue
        finally:
            self._queues.remove(queue)

    def _tell(self, event: Event) -> None:
        for queue in self._queues:
            queue.put_nowait(event)

    def _on_message(self, message: Message) -> bool:
        self._received += 1
        if message.message_type in (MessageType.METHOD_RETURN, MessageType.ERROR):
            self._reply_orders[message.reply_serial or 0] = self._received
        if message.message_type is not MessageType.SIGNAL:
            return False
        _close_all(message.unix_fds)
        if message.sender == _DBUS:
            if message.member == "NameOwnerChanged" and message.body and message.body[0] == BUS_NAME:
                self._owner = message.body[2]
                self._daemon_seen = True
                self._tell(OwnerChanged(self._owner))
        elif self._owner and message.sender == self._owner:
            # Anybody may send a signal straight to this connection; only the daemon's count.
            body = [_plain(value) for value in message.body]
            self._tell(Signal(message.path or "", message.interface or "", message.member or "", body, self._received))
        return False

    async def _await_end(self) -> None:
        with suppress(Exception):
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        self._tell(Disconnected())


def _no_bus(where: str, error: Exception) -> NoDaemonError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return NoDaemonError(
        _("No connection to the message bus"),
        f"{where}: {reason or type(error).__name__}.",
        _("Check that D-Bus runs, and the address in --address or DBUS_SYSTEM_BUS_ADDRESS."),
    )
