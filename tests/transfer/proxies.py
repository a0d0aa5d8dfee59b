"""An HTTP proxy on loopback: forwards, tunnels by CONNECT, and lies on purpose."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Asked:
    """One request that the proxy got."""

    method: str
    target: str
    headers: Mapping[str, str]


Lie = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


def says(status: str, *fields: str, body: bytes = b"") -> Lie:
    """Answers by itself."""

    async def lie(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        head = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", "")
        writer.write("\r\n".join(head).encode() + body)
        await writer.drain()

    return lie


async def hangs_up(_asked: Asked, _writer: asyncio.StreamWriter) -> None:
    """Closes the connection without a word."""


@dataclass
class Proxy:
    """An async context manager.

    Attributes:
        hosts: port on loopback by the host names that only the proxy can resolve.
        credentials: `user:password` that it wants, or nothing.
        lie: what it does in place of its duty.
        context: of a proxy that is spoken to over TLS.
    """

    hosts: dict[str, int] = field(default_factory=dict)
    credentials: str = ""
    lie: Lie | None = None
    context: ssl.SSLContext | None = None
    log: list[Asked] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _version = lines[0].split(" ")
        fields = dict(line.split(": ", 1) for line in lines[1:] if line)
        asked = Asked(method, target, {name.lower(): value for name, value in fields.items()})
        self.log.append(asked)
        if self.credentials:
            wanted = "Basic " + base64.b64encode(self.credentials.encode()).decode()
            if asked.headers.get("proxy-authorization") != wanted:
                await says("407 Proxy Authentication Required", 'Proxy-Authenticate: Basic realm="x"')(asked, writer)
                return
        if self.lie is not None:
            await self.lie(asked, writer)
            return
        address = urlsplit(f"//{target}" if method == "CONNECT" else target)
        upstream = await asyncio.open_connection("127.0.0.1", self.hosts[address.hostname or ""])
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            kept = [f"{name}: {value}" for name, value in fields.items() if not name.lower().startswith("proxy-")]
            head = "\r\n".join([f"{method} {address.path} HTTP/1.1", *kept, "Connection: close", "", ""])
            upstream[1].write(head.encode("latin-1"))
        try:
            await asyncio.gather(_pipe(reader, upstream[1]), _pipe(upstream[0], writer))
        finally:
            upstream[1].close()


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except OSError:
        return
    finally:
        sink.close()
