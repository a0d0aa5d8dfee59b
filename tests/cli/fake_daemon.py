"""A daemon with the members that the command uses and nothing behind them.

It runs in a thread of its own on dbus_next's low-level half. Calls are checked against dbus/*.xml, signals go straight
to everybody who called before, and jobs run by themselves (`auto`) or wait for the test to move them.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import MessageFlag, MessageType, NameFlag
from dbus_next.message import Message
from dbus_next.signature import Variant

from tests.cli import contract
from tests.cli.fake_handlers import Handlers
from tests.cli.fake_jobs import RefusalError

NAME = "org.luxusb.Manager"
ERROR = "org.luxusb.Error."
PROPERTIES = "org.freedesktop.DBus.Properties"
PATIENCE = 20.0
T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """A call that arrived."""

    member: str
    body: list[Any]
    interactive: bool
    sender: str


class FakeDaemon(Handlers):
    """Lives in a thread; the public methods are for the test's thread."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.errors: dict[str, tuple[str, str]] = {}
        """Error name and text by member, for calls that are to fail."""
        self.lent: list[int] = []
        """Descriptors that were sent; closed at the end, when they have arrived."""
        self.silent: set[str] = set()
        """Members that are never answered."""
        self._address = address
        self._bus: MessageBus | None = None
        self._news = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake daemon")

    # The test's side

    def start(self) -> None:
        self._thread.start()
        self._run(self._connect())

    def stop(self) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()
        for fd in self.lent:
            os.close(fd)

    def vanish(self) -> None:
        """Leave the bus as a crashed daemon does; jobs are kept."""
        self._run(self._disconnect())

    def come_back(self) -> None:
        self._run(self._connect())

    def own(self, name: str) -> None:
        """Take another name on the bus as well."""
        assert self._bus is not None
        self._run(self._bus.request_name(name, NameFlag.DO_NOT_QUEUE))

    def disown(self, name: str) -> None:
        """Give a name of `own` back."""
        assert self._bus is not None
        self._run(self._bus.release_name(name))

    def do(self, act: Callable[[], T]) -> T:
        """Run `act` in the daemon's thread."""

        async def run() -> T:
            return act()

        return self._run(run())

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a call or a change makes `condition` true."""
        with self._news:
            assert self._news.wait_for(condition, PATIENCE), f"never came: {what}; calls: {self.calls}"

    def wait_for_call(self, member: str, count: int = 1) -> None:
        self.wait_for(lambda: len(self.called(member)) >= count, member)

    def called(self, member: str) -> list[Call]:
        return [call for call in self.calls if call.member == member]

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    # The daemon's side

    async def _connect(self) -> None:
        bus = MessageBus(bus_address=self._address, negotiate_unix_fd=True)
        await bus.connect()
        bus.add_message_handler(self._on_message)
        rule = "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged'"
        await bus.call(
            Message(
                destination="org.freedesktop.DBus",
                path="/org/freedesktop/DBus",
                interface="org.freedesktop.DBus",
                member="AddMatch",
                signature="s",
                body=[rule],
            )
        )
        self._bus = bus
        await bus.request_name(NAME, NameFlag.DO_NOT_QUEUE)

    async def _disconnect(self) -> None:
        bus = self._bus
        self._bus = None
        self.watchers.clear()
        if bus is not None:
            bus.disconnect()  # type: ignore[no-untyped-call]
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
            bus._stream.close()
            bus._sock.close()

    async def _end(self) -> None:
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self._disconnect()

    def news(self) -> None:
        with self._news:
            self._news.notify_all()

    def _on_message(self, message: Message) -> Message | bool:
        if message.message_type is MessageType.SIGNAL:
            if message.member == "NameOwnerChanged" and message.body[2] == "":
                self.vanished(message.body[0])
            return False
        if message.message_type is not MessageType.METHOD_CALL:
            return False
        try:
            answer = self._answer(message)
        finally:
            for fd in message.unix_fds:
                os.close(fd)
        return answer

    def _answer(self, message: Message) -> Message | bool:
        sender, member, interface = str(message.sender), str(message.member), str(message.interface)
        self.watchers.add(sender)
        interactive = bool(message.flags & MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION)
        self.calls.append(Call(member, message.body, interactive, sender))
        self.news()
        if member in self.silent:
            return True
        try:
            if member in self.errors:
                raise RefusalError(*self.errors[member])
            signature, body = self._dispatch(message, interface, member, sender)
            if signature == "h":
                fd = os.memfd_create(member)
                os.pwrite(fd, body[0], 0)
                reply = Message.new_method_return(message, signature, [0], [fd])
                self.lent.append(fd)
                return reply
        except RefusalError as refusal:
            return Message.new_error(message, refusal.name, refusal.text)
        return Message.new_method_return(message, signature, body)

    def _dispatch(self, message: Message, interface: str, member: str, sender: str) -> tuple[str, list[Any]]:
        path = str(message.path)
        if interface == PROPERTIES and member == "GetAll":
            return "a{sv}", [self.properties(path, message.body[0], sender)]
        if interface == "org.freedesktop.DBus.ObjectManager" and member == "GetManagedObjects":
            return "a{oa{sa{sv}}}", [self.objects(path, sender)]
        if interface not in {"org.luxusb.Manager", "org.luxusb.Job"}:
            raise RefusalError("org.freedesktop.DBus.Error.UnknownInterface", interface)
        methods = contract.interface(interface).methods
        if member not in methods:
            raise RefusalError("org.freedesktop.DBus.Error.UnknownMethod", member)
        expected, answer = methods[member]
        if message.signature != expected:
            raise RefusalError(
                "org.freedesktop.DBus.Error.InvalidArgs", f"{member} takes {expected}, got {message.signature}"
            )
        if expected.endswith("a{sv}") and member != "SetSettings":
            _check_options(member, message.body[-1])
        if interface == "org.luxusb.Manager":
            if path != "/org/luxusb/Manager":
                raise RefusalError("org.freedesktop.DBus.Error.UnknownObject", path)
            result: Any = self.manager(member, message.body, message.unix_fds, sender)
        else:
            self.job_method(path, member, message.body[0])
            result = None
        return answer, [] if not answer else [result]

    def send_signal(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        if self._bus is None:
            return
        for watcher in sorted(self.watchers):
            self._bus.send(
                Message(
                    destination=watcher,
                    path=path,
                    interface=interface,
                    member=member,
                    message_type=MessageType.SIGNAL,
                    signature=signature,
                    body=body,
                )
            )


def _check_options(member: str, options: dict[str, Variant]) -> None:
    allowed = contract.OPTIONS.get(member, {}) | contract.COMMON_OPTIONS
    for key, value in options.items():
        if allowed.get(key) != value.signature:
            raise RefusalError(f"{ERROR}InvalidArgument", f"{member} has no option {key} of type {value.signature}")
