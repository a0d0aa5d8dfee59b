"""A connection to the bus: calls with time limits, sends that can be waited for, and an end that is noticed."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from luxusbd.bus import _lib
from luxusbd.bus._lib import Message, MessageFlag, MessageType
from luxusbd.errors import FailedError

BUS_NAME = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"

CALL_TIMEOUT = 25.0
"""Seconds; what libdbus takes by default."""

_DO_NOT_QUEUE = 4
_PRIMARY_OWNER = 1
_ALREADY_OWNER = 4

log = logging.getLogger(__name__)

MessageHandler = Callable[[Message], None]


@dataclass(frozen=True)
class SignalOf:
    """A signal of another service."""

    sender: str
    """Its well-known name."""
    path: str
    interface: str
    member: str

    @property
    def rule(self) -> str:
        """What the bus is asked for."""
        return (
            f"type='signal',sender='{self.sender}',path='{self.path}',interface='{self.interface}',"
            f"member='{self.member}'"
        )


class DisconnectedError(FailedError):
    """The connection to the bus is gone."""


class RemoteError(FailedError):
    """Another service on the bus answered with an error."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}" if text else name)
        self.remote_name = name


class Connection:
    """One connection; `on_call` and `on_signal` are set before anything can arrive that they are for.

    Descriptors that come with a method call belong to `on_call`, those of a reply to the one who called; all others are
    closed here.
    """

    def __init__(self, bus: _lib.MessageBus) -> None:
        self.on_call: MessageHandler | None = None
        self.on_signal: MessageHandler | None = None
        self._bus = bus
        self._replies: dict[int, asyncio.Future[Message]] = {}
        self._sending: set[asyncio.Future[Any]] = set()
        self._closed = asyncio.Event()
        bus.add_message_handler(self._receive)
        self._watch = asyncio.get_running_loop().create_task(self._watch_end(), name="bus-watch")

    @classmethod
    async def open(cls, address: str | None) -> Connection:
        """Connect to the bus at `address`, or to the system bus.

        Raises:
            FailedError: there is no bus, or it does not let us on.
        """
        try:
            return cls(await _lib.connect(address))
        except Exception as error:
            # The libraries raise classes of their own, bare Exception among them.
            where = address or "the system bus"
            raise FailedError(f"cannot connect to {where}: {str(error) or type(error).__name__}") from error

    @property
    def unique_name(self) -> str:
        """Our name on the bus, such as :1.7."""
        return self._bus.unique_name or ""

    @property
    def connected(self) -> bool:
        """Whether messages can still go out."""
        return self._bus.connected and not self._closed.is_set()

    async def send(self, message: Message) -> None:
        """Send and wait until the kernel has taken the last byte; so a burst never piles up in this process.

        Raises:
            DisconnectedError: the connection is gone.
            ValueError, TypeError, struct.error and the library's own: the body does not fit its signature.
        """
        future = self.post(message)
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            raise DisconnectedError(f"the connection to the bus is gone: {error}") from error

    def post(self, message: Message) -> asyncio.Future[Any]:
        """Send without waiting. A failure to deliver shows in `wait_closed` and in the future returned."""
        if not self.connected:
            raise DisconnectedError("the connection to the bus is gone")
        future: asyncio.Future[Any] = self._bus.send(message)
        self._sending.add(future)
        future.add_done_callback(self._sent)
        return future

    async def call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: Sequence[Any] = (),
        *,
        timeout: float | None = CALL_TIMEOUT,
        flags: MessageFlag = MessageFlag.NONE,
        unix_fds: Sequence[int] = (),
    ) -> Message:
        """Call a method and wait for its reply; None as time limit waits for ever.

        Raises:
            RemoteError: the other side answered with an error.
            TimeoutError: it did not answer.
            DisconnectedError: the connection is gone.
        """
        message = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
            flags=flags,
            unix_fds=list(unix_fds),
            serial=self._bus.next_serial(),
        )
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._replies[message.serial] = reply
        try:
            await self.send(message)
            async with asyncio.timeout(timeout):
                answer = await reply
        finally:
            del self._replies[message.serial]
        if answer.message_type is MessageType.ERROR:
            close_fds(answer)
            text = answer.body[0] if answer.body and isinstance(answer.body[0], str) else ""
            raise RemoteError(answer.error_name or "", text)
        return answer

    async def call_bus(self, member: str, signature: str = "", body: Sequence[Any] = ()) -> list[Any]:
        """Call a method of the bus itself; returns the reply's body."""
        return (await self.call(BUS_NAME, BUS_PATH, BUS_NAME, member, signature, body)).body

    async def own_name(self, name: str) -> bool:
        """Take a well-known name; False when somebody else has it."""
        (answer,) = await self.call_bus("RequestName", "su", [name, _DO_NOT_QUEUE])
        return answer in (_PRIMARY_OWNER, _ALREADY_OWNER)

    async def wait_closed(self) -> None:
        """Return when the connection has ended, by whomever."""
        await self._closed.wait()

    async def drain(self, timeout: float = 2.0) -> None:
        """Wait until everything posted has gone out, or `timeout` seconds."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=timeout)

    async def close(self) -> None:
        """Send what is posted, then hang up."""
        if not self._closed.is_set():
            await self.drain()
            self._bus.disconnect()
        # The library ends when it reads the end of the stream; nothing must wait for ever for that.
        await asyncio.wait([self._watch], timeout=2.0)
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        _lib.close_socket(self._bus)

    async def _watch_end(self) -> None:
        reason = "closed"
        try:
            await self._bus.wait_for_disconnect()
        except Exception as error:  # noqa: BLE001 - the libraries report the end of the stream by whatever ended it
            reason = str(error) or type(error).__name__
            log.info("the connection to the bus ended: %s", reason)
        finally:
            self._closed.set()
            for future in (*self._replies.values(), *self._sending):
                if not future.done():
                    future.set_exception(DisconnectedError(f"the connection to the bus is gone: {reason}"))

    def _sent(self, future: asyncio.Future[Any]) -> None:
        self._sending.discard(future)
        if not future.cancelled():
            future.exception()  # marks it as seen; the end of the connection is reported once, by _watch_end

    def _receive(self, message: Message) -> bool:
        if message.message_type is MessageType.METHOD_CALL:
            if self.on_call is None:
                close_fds(message)
            else:
                self.on_call(message)
            # Always "handled": the library's own answers show tracebacks and objects that a caller must not see.
            return True
        if message.message_type is MessageType.SIGNAL:
            close_fds(message)
            if self.on_signal is not None:
                self.on_signal(message)
            return False
        future = self._replies.get(message.reply_serial or 0)
        if future is None or future.done():
            close_fds(message)
            return False
        future.set_result(message)
        return True


def close_fds(message: Message) -> None:
    """Close the descriptors that came with a message."""
    fds, message.unix_fds = message.unix_fds, []
    for fd in fds or ():
        os.close(fd)
