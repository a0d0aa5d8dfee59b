"""JSON lines with descriptors over a socketpair: how the core and its children talk.

A message is one JSON object on one line; its key `fds` says how many descriptors travel with it (SCM_RIGHTS, unix(7)).
Requests hold `id`, `method` and `params`; replies `id` and either `result` or `error` ({`name`, `message`}); events
hold `event` and `params` and get no reply.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from luxusbd import journal
from luxusbd.errors import (
    CancelledError,
    FailedError,
    InternalError,
    InterruptedJobError,
    LuxusbError,
    from_name,
)

MESSAGE_LIMIT = 8 * 1024 * 1024
"""Bytes of one message. The other side may be hostile (it reads foreign bytes), so that it must not fill the memory."""
MAX_FDS = 128

Params = Mapping[str, Any]
Handler = Callable[[Params, Sequence[int]], Awaitable[Any]]
EventHandler = Callable[[str, Params], None]

log = logging.getLogger(__name__)


class Channel:
    """One end of the socketpair.

    `handlers` answer the peer's requests, each in its own task; the descriptors given to a handler are closed when it
    returns, so one that keeps a descriptor duplicates it. `on_event` is called in the loop and must not block.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        handlers: Mapping[str, Handler] | None = None,
        on_event: EventHandler | None = None,
    ) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._handlers = dict(handlers or {})
        self._on_event = on_event
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._next_id = 1
        self._send_lock = asyncio.Lock()
        self._fds: deque[int] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self.closed = False
        """Whether the peer has gone; a request can only fail then."""

    async def run(self) -> None:
        """Serve until the peer closes; then every pending request fails with `InterruptedJobError`."""
        try:
            await self._read_loop()
        finally:
            self.closed = True
            for task in tuple(self._tasks):
                # one that was cancelled by its caller is clearing up: a second time would cut that short
                if not task.cancelling():
                    task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._fail_pending()
            for fd in self._fds:
                os.close(fd)
            self._fds.clear()
            self._socket.close()

    async def request(self, method: str, params: Params | None = None, fds: Sequence[int] = ()) -> Any:
        """Ask the peer and wait for its answer; cancelling sends it a `cancel` event for this request.

        Raises:
            LuxusbError: whatever the peer answered, rebuilt by name.
            InterruptedJobError: the peer ended.
        """
        request_id = self._next_id
        self._next_id += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[request_id] = future
        try:
            about = journal.subject().to_json()
            await self._send({"id": request_id, "method": method, "params": dict(params or {}), "about": about}, fds)
            return await future
        except asyncio.CancelledError:
            if not future.done() or future.cancelled():
                await self._send_quietly({"cancel": request_id})
            raise
        finally:
            self._pending.pop(request_id, None)
            if future.done() and not future.cancelled():
                # both the sending and the answer failed: asyncio complains of an error that nobody looked at
                future.exception()

    async def event(self, name: str, params: Params) -> None:
        """Tell the peer something that needs no answer."""
        await self._send({"event": name, "params": dict(params)}, ())

    def close(self) -> None:
        """Shut the socket down; `run` ends on both sides."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # closed already, by us or by the peer

    async def _send_quietly(self, message: dict[str, Any]) -> None:
        try:
            await self._send(message, ())
        except LuxusbError:
            return  # the peer is gone, and with it what was to be cancelled

    async def _send(self, message: dict[str, Any], fds: Sequence[int]) -> None:
        if len(fds) > MAX_FDS:
            raise InternalError(f"{len(fds)} descriptors in one message")
        data = json.dumps({**message, "fds": len(fds)}, separators=(",", ":")).encode() + b"\n"
        # a caller that is cancelled must not leave half a line behind; the descriptors may be closed by then, too
        copies = [os.dup(fd) for fd in fds]
        writing = asyncio.get_running_loop().create_task(self._write(data, copies))
        self._tasks.add(writing)

        def written(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            for fd in copies:
                os.close(fd)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.debug("a message was not sent: %s", error)

        writing.add_done_callback(written)
        await asyncio.wait({writing})
        if writing.cancelled():
            # by `run`, which has ended; the caller was not cancelled and must not believe that it was
            raise InterruptedJobError("the child process is gone")
        writing.result()

    async def _write(self, data: bytes, fds: Sequence[int]) -> None:
        loop = asyncio.get_running_loop()
        async with self._send_lock:
            try:
                sent = await self._send_first(data, fds)
                await loop.sock_sendall(self._socket, memoryview(data)[sent:])
            except OSError as error:
                raise InterruptedJobError(f"the child process is gone ({error.strerror})") from error

    async def _send_first(self, data: bytes, fds: Sequence[int]) -> int:
        loop = asyncio.get_running_loop()
        while fds:
            try:
                return socket.send_fds(self._socket, [data], list(fds))
            except BlockingIOError:
                writable = asyncio.Event()
                loop.add_writer(self._socket, writable.set)
                try:
                    await writable.wait()
                finally:
                    loop.remove_writer(self._socket)
        return 0

    async def _read_loop(self) -> None:
        loop = asyncio.get_running_loop()
        buffer = bytearray()
        readable = asyncio.Event()
        fileno = self._socket.fileno()
        loop.add_reader(fileno, readable.set)
        try:
            while True:
                await readable.wait()
                readable.clear()
                while True:
                    try:
                        data, fds, _flags, _address = socket.recv_fds(
                            self._socket, 262144, MAX_FDS, socket.MSG_CMSG_CLOEXEC
                        )
                    except BlockingIOError:
                        break
                    except OSError:
                        return
                    self._fds.extend(fds)
                    if not data:
                        return
                    if len(self._fds) > MAX_FDS:
                        raise InternalError("the peer sent descriptors that belong to no message")
                    buffer += data
                    while (end := buffer.find(b"\n")) >= 0:
                        line = bytes(buffer[:end])
                        del buffer[: end + 1]
                        try:
                            self._receive(line)
                        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
                            # the peer reads foreign bytes and may have been taken over: nothing of it is trusted
                            raise InternalError(f"the peer sent a message that is none ({error!r})") from error
                    if len(buffer) > MESSAGE_LIMIT:
                        raise InternalError(f"a child sent a message of more than {MESSAGE_LIMIT} bytes")
                    # one busy peer must not starve the rest of the loop
                    await asyncio.sleep(0)
        finally:
            loop.remove_reader(fileno)

    def _receive(self, line: bytes) -> None:
        message = json.loads(line)
        fds = [self._fds.popleft() for _ in range(int(message.get("fds", 0)))]
        if "method" in message:
            task = asyncio.get_running_loop().create_task(self._answer(message, fds))
            task.set_name(f"request-{message['id']}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        if "cancel" in message:
            for task in self._tasks:
                if task.get_name() == f"request-{message['cancel']}":
                    task.cancel()
        elif "event" in message:
            if self._on_event is not None:
                self._on_event(message["event"], message["params"])
        elif (future := self._pending.get(message["id"])) is not None and not future.done():
            if "error" in message:
                future.set_exception(from_name(message["error"]["name"], message["error"]["message"]))
            else:
                future.set_result(message["result"])
        for fd in fds:
            os.close(fd)

    async def _answer(self, message: dict[str, Any], fds: Sequence[int]) -> None:
        reply: dict[str, Any] = {"id": message["id"]}
        journal.concerns(journal.Subject.from_json(message.get("about")))
        try:
            handler = self._handlers.get(message["method"])
            if handler is None:
                raise InternalError(f"no method {message['method']!r}")
            reply["result"] = await handler(message["params"], fds)
        except LuxusbError as error:
            reply["error"] = {"name": error.dbus_name, "message": error.message}
        except OSError as error:
            failed = FailedError(f"{message['method']}: {error}")
            reply["error"] = {"name": failed.dbus_name, "message": failed.message}
        except asyncio.CancelledError:
            cancelled = CancelledError(f"{message['method']} was cancelled")
            reply["error"] = {"name": cancelled.dbus_name, "message": cancelled.message}
        except Exception:
            log.exception("%s failed in a way nobody expected", message["method"])
            defect = InternalError(f"{message['method']} failed because of a defect; the log has the details")
            reply["error"] = {"name": defect.dbus_name, "message": defect.message}
        finally:
            for fd in fds:
                os.close(fd)
        await self._send_quietly(reply)

    def _fail_pending(self) -> None:
        for future in self._pending.values():
            if not future.done():
                future.set_exception(InterruptedJobError("the child process ended before it answered"))
