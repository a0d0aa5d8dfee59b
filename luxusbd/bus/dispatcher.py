"""From a message to a handler and back: everything a call has to pass, driven by the contract.

Each call gets a task of its own that is kept until its reply is out, exactly one reply unless the caller wants none,
and its descriptors are closed whatever happens.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from luxusbd import journal
from luxusbd.bus._lib import EncodedMessage, Message, MessageFlag, MessageType, Variant
from luxusbd.bus.callers import CallerGoneError, Callers
from luxusbd.bus.connection import Connection, DisconnectedError, close_fds
from luxusbd.bus.contract import (
    INTROSPECTABLE,
    OBJECT_MANAGER,
    PEER,
    PROPERTIES,
    Interface,
    Method,
    Property,
    standard,
)
from luxusbd.bus.tree import ROOT_PATH, Exported, Tree, unknown
from luxusbd.bus.values import convert, text
from luxusbd.errors import FailedError, InternalError, LimitExceededError, LuxusbError
from luxusbd.jobs.views import Caller

MAX_CALLS_PER_UID = 256
"""Calls of one uid that may wait for their answer at the same time; root has no limit."""

STANDARD_ERROR = "org.freedesktop.DBus.Error."

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """One method call that has passed the contract."""

    caller: Caller
    interactive: bool
    """Whether the caller lets polkit ask the user (message flag ALLOW_INTERACTIVE_AUTHORIZATION)."""
    path: str
    interface: str
    method: Method
    args: tuple[Any, ...]
    fds: tuple[int, ...]
    """Descriptors that came along; closed after the handler returned."""


@dataclass(frozen=True)
class Answer:
    """What a handler returns: plain values in the order of the contract, and descriptors, closed once they are sent."""

    values: tuple[Any, ...] = ()
    fds: tuple[int, ...] = ()
    encoded: bytes | None = None
    """The whole body, ready to be sent, in place of `values`; for methods that return arrays alone."""


Handler = Callable[[Call], Awaitable[Answer]]
Getter = Callable[[Any], Any]


@dataclass(frozen=True)
class Implementation:
    """What stands behind one interface of the contract."""

    interface: Interface
    handlers: Mapping[str, Handler]
    getters: Mapping[str, Getter]
    """By property: from the object's value to a plain value."""
    hidden_calls: bool = False
    """Methods also reach objects that the caller does not see; their handlers decide."""

    def __post_init__(self) -> None:
        """Compare with the contract, so that a gap is an error at start and not at the first call."""
        for what, wanted, present in (
            ("method", self.interface.methods.keys(), self.handlers.keys()),
            ("property", self.interface.properties.keys(), self.getters.keys()),
        ):
            missing, superfluous = sorted(wanted - present), sorted(present - wanted)
            if missing or superfluous:
                raise InternalError(
                    f"{self.interface.name}: the code does not match the contract; {what} without code: "
                    f"{', '.join(missing) or 'none'}; code without {what}: {', '.join(superfluous) or 'none'}"
                )

    def read(self, prop: Property, value: Any) -> Any:
        """One property of an object, ready for a message."""
        return convert(prop.type, self.getters[prop.name](value))

    def read_all(self, value: Any) -> dict[str, Any]:
        """All properties of an object, ready for a message."""
        return {name: self.read(prop, value) for name, prop in self.interface.properties.items()}


class ProtocolError(LuxusbError):
    """A call that the contract does not allow, with one of the names that D-Bus has for it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = STANDARD_ERROR + kind


def translate(error: BaseException, what: str) -> tuple[str, str]:
    """The D-Bus name and the text for whatever a handler raised; the one place that does this."""
    if isinstance(error, ProtocolError):
        return error.kind, error.message
    if isinstance(error, InternalError):
        log.error("%s: %s", what, error, exc_info=error)
        return InternalError.dbus_name, _neutral(what)
    if isinstance(error, LuxusbError):
        return error.dbus_name, error.message
    if isinstance(error, asyncio.CancelledError):
        return FailedError.dbus_name, f"{what} was not carried out: the service is stopping"
    log.error("%s failed in a way nobody expected", what, exc_info=error)
    return InternalError.dbus_name, _neutral(what)


def _neutral(what: str) -> str:
    return f"{what} failed because of a defect in luxusbd; its log has the details"


class Dispatcher:
    """Answers all method calls on a connection."""

    def __init__(
        self,
        connection: Connection,
        callers: Callers,
        tree: Tree,
        implementations: Mapping[str, Implementation],
        standard_handlers: Mapping[str, Mapping[str, Handler]],
    ) -> None:
        """`standard_handlers` by interface and member: what every object (Peer, Properties, Introspectable) has."""
        self._connection = connection
        self._callers = callers
        self._tree = tree
        self._implementations = implementations
        self._standard = {
            name: Implementation(standard()[name], handlers, {}) for name, handlers in standard_handlers.items()
        }
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls: Counter[int] = Counter()

    def receive(self, message: Message) -> None:
        """Take a method call; its answer comes from a task."""
        for fd in message.unix_fds or ():
            os.set_inheritable(fd, False)  # the library leaves descriptors open for programs that are started
        if message.sender is None:
            close_fds(message)
            return
        self._callers.arrived(message.sender)
        task = asyncio.get_running_loop().create_task(self._serve(message), name=f"call-{message.member}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Cancel what is in flight; each of these callers gets an error."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, message: Message) -> None:
        what = message.member or ""
        answer = Answer()
        try:
            try:
                method, answer = await self._answer(message)
                reply = _reply(message, method, answer)
            except CallerGoneError:
                return
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - translate() sorts and logs them
                reply = _error(message, *translate(error, what))
            finally:
                close_fds(message)
            if not message.flags & MessageFlag.NO_REPLY_EXPECTED:
                await self._send(message, reply, what)
        finally:
            for fd in answer.fds:
                os.close(fd)

    async def _send(self, message: Message, reply: Message, what: str) -> None:
        try:
            await self._connection.send(reply)
        except DisconnectedError:
            log.debug("the answer to %s has nobody left to go to", what)
        except asyncio.CancelledError:
            log.debug("stopping while the answer to %s is on its way", what)
        except Exception as error:  # noqa: BLE001 - the libraries have several classes for a body that does not fit
            self._connection.post(_error(message, *translate(error, what)))

    async def _answer(self, message: Message) -> tuple[Method, Answer]:
        assert message.sender is not None
        caller = await self._callers.identify(message.sender)
        journal.concerns(journal.Subject(uid=caller.uid))
        if caller.uid != 0 and self._calls[caller.uid] >= MAX_CALLS_PER_UID:
            raise LimitExceededError(f"uid {caller.uid} has {MAX_CALLS_PER_UID} calls that wait for their answer")
        self._calls[caller.uid] += 1
        try:
            handler, call = self._resolve(message, caller)
            return call.method, await handler(call)
        finally:
            self._calls[caller.uid] -= 1
            if not self._calls[caller.uid]:
                del self._calls[caller.uid]

    def _resolve(self, message: Message, caller: Caller) -> tuple[Handler, Call]:
        path = message.path or "/"
        exported = self._tree.get(path)
        try:
            return self._resolve_visible(message, caller, self._candidates(exported, path, caller))
        except ProtocolError:
            if exported is not None and not exported.visible(caller.uid):
                raise unknown(path) from None  # how a call is wrong would tell that something is there
            raise

    def _resolve_visible(
        self, message: Message, caller: Caller, candidates: dict[str, Implementation]
    ) -> tuple[Handler, Call]:
        path, member = message.path or "/", message.member or ""
        if message.interface:
            candidates = {name: impl for name, impl in candidates.items() if name == message.interface}
            if not candidates:
                raise ProtocolError("UnknownInterface", f"{path} has no interface {message.interface}")
        implementation = next((impl for impl in candidates.values() if member in impl.handlers), None)
        if implementation is None:
            of = message.interface or path
            raise ProtocolError("UnknownMethod", f"{of} has no method {member}")
        method = implementation.interface.methods[member]
        if message.signature != method.in_signature:
            raise ProtocolError(
                "InvalidArgs",
                f"{member} takes ({method.in_signature}), not ({message.signature})",
            )
        fds = tuple(message.unix_fds or ())
        call = Call(
            caller=caller,
            interactive=bool(message.flags & MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION),
            path=path,
            interface=implementation.interface.name,
            method=method,
            args=_arguments(method, message, fds),
            fds=fds,
        )
        return implementation.handlers[member], call

    def _candidates(self, exported: Exported | None, path: str, caller: Caller) -> dict[str, Implementation]:
        """The interfaces that this caller finds at a path, its own one first."""
        if exported is not None:
            own = self._implementations[exported.interface]
            if exported.visible(caller.uid):
                return {exported.interface: own, **self._standard_of(path)}
            if own.hidden_calls:
                return {exported.interface: own}
            raise unknown(path)
        if self._tree.is_node(path, caller.uid):
            return self._standard_of(path)
        raise unknown(path)

    def _standard_of(self, path: str) -> dict[str, Implementation]:
        return {name: impl for name, impl in self._standard.items() if name in standard_interfaces(self._tree, path)}


def standard_interfaces(tree: Tree, path: str) -> tuple[str, ...]:
    """Names of the standard interfaces that a path has."""
    names = [INTROSPECTABLE, PEER]
    if tree.get(path) is not None:
        names.append(PROPERTIES)
    if path == ROOT_PATH:
        names.append(OBJECT_MANAGER)
    return tuple(names)


def _arguments(method: Method, message: Message, fds: tuple[int, ...]) -> tuple[Any, ...]:
    """The body, with each index into the descriptors replaced by the descriptor, also in a dictionary of options."""
    wanted = sum(arg.type == "h" for arg in method.inputs)
    for arg, value in zip(method.inputs, message.body, strict=True):
        if arg.type == "a{sv}":
            wanted += sum(_descriptors_in(variant) for variant in value.values())
    if wanted != len(fds):
        raise ProtocolError("InvalidArgs", f"{method.name} takes {wanted} file descriptor(s), not {len(fds)}")

    def descriptor(index: Any) -> int:
        if not isinstance(index, int) or not 0 <= index < len(fds):
            raise ProtocolError("InvalidArgs", f"{method.name}: the file descriptor does not exist")
        return fds[index]

    values: list[Any] = []
    for arg, value in zip(method.inputs, message.body, strict=True):
        if arg.type == "h":
            values.append(descriptor(value))
        elif arg.type == "a{sv}":
            values.append(
                {
                    name: (
                        Variant("h", descriptor(variant.value))
                        if variant.signature == "h"
                        else Variant("ah", [descriptor(index) for index in variant.value])
                        if variant.signature == "ah"
                        else variant
                    )
                    for name, variant in value.items()
                }
            )
        else:
            values.append(value)
    return tuple(values)


def _descriptors_in(variant: Variant) -> int:
    if variant.signature == "ah":
        return len(variant.value)
    return int(variant.signature == "h")


def _reply(message: Message, method: Method, answer: Answer) -> Message:
    if answer.encoded is not None:
        reply = EncodedMessage(
            message_type=MessageType.METHOD_RETURN,
            destination=message.sender,
            reply_serial=message.serial,
            signature=method.out_signature,
            body=[[] for _ in method.outputs],
        )
        reply.encoded = answer.encoded
        return reply
    if len(answer.values) != len(method.outputs):
        raise InternalError(f"{method.name} returned {len(answer.values)} values instead of {len(method.outputs)}")
    return Message(
        message_type=MessageType.METHOD_RETURN,
        destination=message.sender,
        reply_serial=message.serial,
        signature=method.out_signature,
        body=[convert(arg.type, value) for arg, value in zip(method.outputs, answer.values, strict=True)],
        unix_fds=list(answer.fds),
    )


def _error(message: Message, name: str, said: str) -> Message:
    return Message(
        message_type=MessageType.ERROR,
        destination=message.sender,
        reply_serial=message.serial,
        error_name=name,
        signature="s",
        body=[text(said)],
    )
