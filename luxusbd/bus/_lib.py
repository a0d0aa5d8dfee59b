"""The D-Bus library: the one module that imports it, and the repairs that it needs.

dbus-next is the library in use. `LUXUSBD_DBUS_LIBRARY=dbus_fast` puts dbus-fast in its place, which has the same
names; the tests of this package pass with both. Only the low-level half is taken: messages in, messages out.
"""

from __future__ import annotations

import asyncio
import enum
import os
import socket
import struct
import sys
import types
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

LIBRARY_VARIABLE = "LUXUSBD_DBUS_LIBRARY"

if TYPE_CHECKING:

    class MessageType(enum.Enum):
        """What a message is."""

        METHOD_CALL = 1
        METHOD_RETURN = 2
        ERROR = 3
        SIGNAL = 4

    class MessageFlag(enum.IntFlag):
        """Header flags of a message."""

        NONE = 0
        NO_REPLY_EXPECTED = 1
        NO_AUTOSTART = 2
        ALLOW_INTERACTIVE_AUTHORIZATION = 4

    class BusType(enum.Enum):
        """The well-known buses."""

        SESSION = 1
        SYSTEM = 2

    class Variant:
        """A value with its signature; raises when they do not fit."""

        signature: str
        value: Any

        def __init__(self, signature: str, value: Any) -> None: ...

    class Message:
        """One message; `unix_fds` of a received one belong to whoever received it."""

        destination: str | None
        path: str | None
        interface: str | None
        member: str | None
        message_type: MessageType
        flags: MessageFlag
        error_name: str | None
        reply_serial: int | None
        sender: str | None
        unix_fds: list[int]
        signature: str
        body: list[Any]
        serial: int

        def __init__(
            self,
            *,
            destination: str | None = None,
            path: str | None = None,
            interface: str | None = None,
            member: str | None = None,
            message_type: MessageType = MessageType.METHOD_CALL,
            flags: MessageFlag = MessageFlag.NONE,
            error_name: str | None = None,
            reply_serial: int = 0,
            unix_fds: list[int] = ...,
            signature: str = "",
            body: list[Any] = ...,
            serial: int = 0,
        ) -> None: ...

        def _marshall(self, negotiate_unix_fd: bool) -> bytearray: ...

    class MessageBus:
        """A connection to a bus."""

        unique_name: str | None
        connected: bool
        _sock: socket.socket | None
        _stream: Any
        _writer: Any

        def __init__(
            self,
            bus_address: str | None = None,
            bus_type: BusType = BusType.SESSION,
            *,
            negotiate_unix_fd: bool = False,
        ) -> None: ...

        async def connect(self) -> MessageBus: ...

        def next_serial(self) -> int: ...

        def send(self, msg: Message) -> Any: ...

        def add_message_handler(self, handler: Callable[[Message], bool]) -> None: ...

        def disconnect(self) -> None: ...

        async def wait_for_disconnect(self) -> None: ...

elif os.environ.get(LIBRARY_VARIABLE, "dbus_next") == "dbus_fast":
    from dbus_fast import BusType, Message, MessageFlag, MessageType, Variant
    from dbus_fast.aio import MessageBus
else:
    # The package imports its GLib half, and with it all of GLib where the system has it; a privileged asyncio process
    # has no use for that.
    sys.modules.setdefault("dbus_next.glib", types.ModuleType("dbus_next.glib"))

    from dbus_next import BusType, Message, MessageFlag, MessageType, Variant
    from dbus_next.aio import MessageBus as _MessageBus
    from dbus_next.errors import AuthError
    from dbus_next.signature import SignatureTree

    class _BoundedCache(dict):
        """The library keeps every signature it ever saw; a peer can send any number of different ones."""

        def __setitem__(self, key, value):
            if len(self) >= 4096:
                self.clear()
            super().__setitem__(key, value)

    SignatureTree._cache = _BoundedCache()

    class MessageBus(_MessageBus):
        """dbus-next's connection without two faults of its start.

        When the bus hangs up during authentication, the original reads b"" for ever, without ever returning to the
        loop; and a socket that cannot be connected stays open.
        """

        def _setup_socket(self):
            try:
                super()._setup_socket()
            except BaseException:
                close_socket(self)
                raise

        async def _auth_readline(self):
            line = b""
            while not line.endswith(b"\r\n"):
                chunk = await self._loop.sock_recv(self._sock, 1)
                if not chunk:
                    raise AuthError("the bus closed the connection during authentication")
                line += chunk
            return line[:-2].decode()


_BODY_SIZE = struct.Struct("<I")
"""In bytes 4 to 8 of a message (D-Bus Specification, Message Format); both libraries write little endian."""


class EncodedMessage(Message):
    """A message whose body was encoded before; the body that it is made with only has to fit the signature."""

    encoded: bytes = b""

    def _marshall(self, negotiate_unix_fd: bool = False) -> bytearray:
        message = super()._marshall(negotiate_unix_fd)
        del message[len(message) - _BODY_SIZE.unpack_from(message, 4)[0] :]
        _BODY_SIZE.pack_into(message, 4, len(self.encoded))
        return message + self.encoded


def encode(signature: str, body: Sequence[Any]) -> bytes:
    """The bytes of a body, which begins at a multiple of 8.

    Raises ValueError, TypeError, struct.error or a class of the library: the body does not fit its signature.
    """
    message = Message(
        message_type=MessageType.METHOD_RETURN, reply_serial=1, serial=1, signature=signature, body=list(body)
    )._marshall(False)
    return bytes(message[len(message) - _BODY_SIZE.unpack_from(message, 4)[0] :])


class PatientSocket:
    """What the library's writer sees of its socket: a full send buffer is "nothing written yet", not an error.

    Both libraries close the connection on EAGAIN (dbus-next issue 153). They also take descriptors for sent as soon as
    `sendmsg` returns, so these are kept here until a byte has gone out with them.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._held: Sequence[tuple[int, int, Any]] = ()

    def send(self, data: memoryview) -> int:
        """Bytes taken by the kernel, 0 when it has no room."""
        if self._held:
            return self.sendmsg([data], self._held)
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0

    def sendmsg(self, buffers: Sequence[memoryview], ancillary: Sequence[tuple[int, int, Any]]) -> int:
        """As `send`, with descriptors."""
        try:
            sent = self._sock.sendmsg(buffers, ancillary)
        except BlockingIOError:
            sent = 0
        self._held = () if sent else ancillary
        return sent


async def connect(address: str | None) -> MessageBus:
    """Connect to the bus at `address`, or to the system bus, with descriptors and with the repaired writer.

    Raises whatever the library and the kernel raise; `connection.Connection.open` translates it.
    """
    bus = MessageBus(bus_address=address, bus_type=BusType.SYSTEM, negotiate_unix_fd=True)
    try:
        await bus.connect()
    except BaseException:
        close_socket(bus)
        raise
    assert bus._sock is not None
    bus._writer.sock = PatientSocket(bus._sock)
    return bus


def close_socket(bus: MessageBus) -> None:
    """Give the descriptor back; the libraries leave that to the garbage collector."""
    sock = getattr(bus, "_sock", None)
    if sock is not None and sock.fileno() >= 0:
        asyncio.get_running_loop().remove_reader(sock)
        asyncio.get_running_loop().remove_writer(sock)
    for part in (getattr(bus, "_stream", None), getattr(bus, "_sock", None)):
        if part is not None:
            part.close()


__all__ = [
    "LIBRARY_VARIABLE",
    "BusType",
    "EncodedMessage",
    "Message",
    "MessageBus",
    "MessageFlag",
    "MessageType",
    "PatientSocket",
    "Variant",
    "close_socket",
    "connect",
    "encode",
]
