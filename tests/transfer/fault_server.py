"""An HTTP server on a raw socket that misbehaves on purpose: one list of moves for each path.

The n-th request for a path is answered by the n-th move of its list, all further ones by the last. A move writes raw
bytes, so that every fault of a real mirror can be shown, also those that no HTTP library would send.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

DATE = "Mon, 01 Jan 2024 10:00:00 GMT"
LATER = "Tue, 02 Jan 2024 10:00:00 GMT"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]

    @property
    def range(self) -> tuple[int, int | None] | None:
        """First and last byte asked for."""
        value = self.headers.get("range")
        if value is None:
            return None
        first, _, last = value.removeprefix("bytes=").partition("-")
        return int(first), int(last) if last else None

    @property
    def start(self) -> int:
        return self.range[0] if self.range else 0


@dataclass
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    open: bool = True
    served: int = 0

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status: str, *fields: str) -> None:
        await self.send("\r\n".join((f"HTTP/1.1 {status}", *fields, "", "")).encode("latin-1"))

    def close(self) -> None:
        self.open = False

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.open = False
        if self.writer.transport.is_closing():
            return
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def hang(self) -> None:
        """Wait until the client gives up."""
        while await self.reader.read(65536):
            pass
        self.open = False


Move = Callable[["FaultServer", Request, Connection], Awaitable[None]]


@dataclass
class FaultServer:
    """`data` is the right file. Use as an asynchronous context manager."""

    data: bytes
    context: ssl.SSLContext | None = None
    name: str = "127.0.0.1"
    address: str = "127.0.0.1"
    """Where it listens; each address of 127.0.0.0/8 is a host of its own."""
    log: list[Request] = field(default_factory=list)
    connections: int = 0
    most_open: int = 0
    """Connections at once since the last `route`."""
    _routes: dict[str, Sequence[Move]] = field(default_factory=dict)
    _hits: dict[str, int] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> FaultServer:
        self._server = await asyncio.start_server(self._connected, self.address, 0, ssl=self.context)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def base(self) -> str:
        assert self._server is not None
        scheme = "https" if self.context else "http"
        name = self.name if self.address == "127.0.0.1" else self.address
        return f"{scheme}://{name}:{self._server.sockets[0].getsockname()[1]}"

    def route(self, path: str, *moves: Move) -> str:
        """Answer requests for `path` by `moves`; the address."""
        self._routes[path] = moves
        self._hits[path] = 0
        self.most_open = 0
        return self.base + path

    def asked(self, path: str) -> list[Request]:
        """The requests for `path` (without query), in order."""
        return [request for request in self.log if request.path.partition("?")[0] == path]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.most_open = max(self.most_open, len(self._tasks))
        connection = Connection(reader, writer)
        try:
            while connection.open and (request := await _read_request(reader)) is not None:
                self.log.append(request)
                path = request.path.partition("?")[0]
                moves = self._routes.get(path, (status("404 Not Found"),))
                hit = self._hits.get(path, 0)
                self._hits[path] = hit + 1
                await moves[min(hit, len(moves) - 1)](self, request, connection)
                connection.served += 1
        except (ConnectionError, asyncio.CancelledError, ssl.SSLError):
            pass  # the client hung up, or the test is over
        finally:
            self._tasks.discard(task)
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    lines = head.decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ")
    fields = (line.partition(":") for line in lines[1:] if line)
    return Request(method, path, {name.lower(): value.strip() for name, _, value in fields})


def file(
    *,
    change: Callable[[bytes], bytes] = lambda data: data,
    etag: str = '"v1"',
    date: str = DATE,
    cut: int | None = None,
    clamp: int | None = None,
    ranges: bool = True,
    if_range: bool = True,
    extra: Sequence[str] = (),
    fields: Callable[[int, int, int], Sequence[str]] | None = None,
) -> Move:
    """A correct server of the file as `change` makes it, apart from what the other arguments spoil.

    `cut`: close after so many bytes of the body. `clamp`: at most so many bytes of a range. `fields` replaces the
    headers of a 206, given first byte, last byte and size.
    """

    async def move(server: FaultServer, request: Request, connection: Connection) -> None:
        data = change(server.data)
        common = [*extra, "Accept-Ranges: bytes"]
        if etag:
            common.append(f"ETag: {etag}")
        if date:
            common.append(f"Last-Modified: {date}")
        wanted = request.range if ranges else None
        condition = request.headers.get("if-range")
        if wanted is not None and if_range and condition is not None and condition != etag:
            wanted = None
        if wanted is None:
            body, line = data, "200 OK"
            common.append(f"Content-Length: {len(data)}")
        elif wanted[0] >= len(data):
            await connection.head(
                "416 Range Not Satisfiable", f"Content-Range: bytes */{len(data)}", "Content-Length: 0"
            )
            return
        else:
            first = wanted[0]
            last = min(len(data) - 1, len(data) if wanted[1] is None else wanted[1])
            if clamp is not None:
                last = min(last, first + clamp - 1)
            body, line = data[first : last + 1], "206 Partial Content"
            common += (
                fields(first, last, len(data))
                if fields
                else (f"Content-Range: bytes {first}-{last}/{len(data)}", f"Content-Length: {len(body)}")
            )
        await connection.head(line, *common)
        if cut is not None and cut < len(body):
            await connection.send(body[:cut])
            connection.close()
        else:
            await connection.send(body)

    return move


def status(line: str, *fields: str, body: bytes = b"") -> Move:
    async def move(_server: FaultServer, _request: Request, connection: Connection) -> None:
        await connection.head(line, *fields, f"Content-Length: {len(body)}")
        await connection.send(body)

    return move


def redirect(where: str, line: str = "302 Found") -> Move:
    return status(line, f"Location: {where}", body=b"moved")


def raw(*parts: bytes, then: str = "close") -> Move:
    """Bytes as they are, then `close`, `reset` or `hang`."""

    async def move(_server: FaultServer, _request: Request, connection: Connection) -> None:
        for part in parts:
            await connection.send(part)
        if then == "reset":
            connection.reset()
        elif then == "hang":
            await connection.hang()
        else:
            connection.close()

    return move


def half(then: str) -> Move:
    """The first half of what was asked for, then `close`, `reset` or `hang`."""

    async def move(server: FaultServer, request: Request, connection: Connection) -> None:
        size = len(server.data)
        await connection.head(
            "206 Partial Content",
            'ETag: "v1"',
            f"Last-Modified: {DATE}",
            f"Content-Range: bytes {request.start}-{size - 1}/{size}",
            f"Content-Length: {size - request.start}",
        )
        await connection.send(server.data[request.start : (request.start + size) // 2])
        if then == "reset":
            # let the bytes arrive: an RST throws away what the other side has not read
            await asyncio.sleep(0.05)
            connection.reset()
        elif then == "close":
            connection.close()
        else:
            await connection.hang()

    return move


def drip(rate: int, burst: int = 0) -> Move:
    """`burst` bytes at once, then `rate` bytes a second."""

    async def move(server: FaultServer, request: Request, connection: Connection) -> None:
        size = len(server.data)
        await connection.head(
            "206 Partial Content",
            f"Content-Range: bytes {request.start}-{size - 1}/{size}",
            f"Content-Length: {size - request.start}",
        )
        body = server.data[request.start :]
        await connection.send(body[:burst])
        for offset in range(burst, len(body), max(1, rate // 20)):
            await connection.send(body[offset : offset + max(1, rate // 20)])
            await asyncio.sleep(0.05)

    return move


def chunked(*, part: float = 1.0, terminated: bool = True, extra: Sequence[str] = ()) -> Move:
    """The whole file as a chunked 200, or the first `part` of it."""

    async def move(server: FaultServer, _request: Request, connection: Connection) -> None:
        await connection.head("200 OK", "Transfer-Encoding: chunked", *extra)
        body = server.data[: int(len(server.data) * part)]
        for offset in range(0, len(body), 10_000):
            piece = body[offset : offset + 10_000]
            await connection.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if terminated:
            await connection.send(b"0\r\n\r\n")
        else:
            connection.close()

    return move


def until_close(part: float = 1.0) -> Move:
    """A 200 without any length, ended by closing."""

    async def move(server: FaultServer, _request: Request, connection: Connection) -> None:
        await connection.head("200 OK", "Connection: close")
        await connection.send(server.data[: int(len(server.data) * part)])
        connection.close()

    return move


def random_etag(*, cut: int | None = None, date: str = DATE) -> Move:
    """A new ETag for every answer, as clusters send whose nodes make up their own."""

    async def move(server: FaultServer, request: Request, connection: Connection) -> None:
        await file(etag=f'"{os.urandom(8).hex()}"', cut=cut, date=date)(server, request, connection)

    return move


def only_without_range(line: str = "403 Forbidden") -> Move:
    async def move(server: FaultServer, request: Request, connection: Connection) -> None:
        await (status(line) if request.range else file())(server, request, connection)

    return move


def only_with_query(query: str, *, cut: int | None = None) -> Move:
    """403 unless the address carries the signature that is valid now."""

    async def move(server: FaultServer, request: Request, connection: Connection) -> None:
        good = request.path.endswith("?" + query)
        await (file(cut=cut) if good else status("403 Forbidden"))(server, request, connection)

    return move


def closing_while_idle() -> Move:
    """A complete answer that promises keep-alive, and then the connection closes all the same."""

    async def move(server: FaultServer, request: Request, connection: Connection) -> None:
        await file(clamp=len(server.data) // 3)(server, request, connection)
        connection.close()

    return move


def flip(data: bytes, at: float = 0.3) -> bytes:
    """`data` with one bit changed."""
    place = int(len(data) * at)
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def other(data: bytes) -> bytes:
    """Another file of the same length."""
    return data[::-1]
