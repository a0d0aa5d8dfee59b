"""A bare connection: bytes on the socket, for messages that no library makes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from urllib.parse import unquote


def field(code: int, kind: str, value: str | int) -> bytes:
    """One header field: code, signature, value."""
    signature = bytes([code, len(kind)]) + kind.encode() + b"\0"
    if isinstance(value, int):
        body = struct.pack("<I", value)
    elif kind == "g":
        body = bytes([len(value)]) + value.encode() + b"\0"
    else:
        body = struct.pack("<I", len(value)) + value.encode() + b"\0"
    return signature + body


def message(kind: int, flags: int, fields: list[bytes], body: bytes = b"", serial: int = 7) -> bytes:
    """A message of any type with any flags; the fields are not checked."""
    array = b""
    for entry in fields:  # each starts at a multiple of 8; what follows the last one is not counted
        array += bytes(-len(array) % 8) + entry
    header = struct.pack("<BBBBIII", ord("l"), kind, flags, 1, len(body), serial, len(array)) + array
    return header + bytes(-len(header) % 8) + body


@contextlib.contextmanager
def _effective(uid: int | None) -> Iterator[None]:
    if uid is None:
        yield
        return
    before = os.geteuid()
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(before)


class RawClient:
    """Authenticates and says Hello; then anything goes."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._ahead = b""
        self.discarded = 0
        """Bytes that `discard` has read."""

    @classmethod
    async def connect(cls, address: str, uid: int | None = None) -> RawClient:
        """As another uid, which takes root: the bus asks the kernel who connected, and when, is all that counts."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        loop = asyncio.get_running_loop()
        with _effective(uid):
            sock.connect(unquote(address.removeprefix("unix:path=").split(",")[0]))
        sock.setblocking(False)
        said = str(os.getuid() if uid is None else uid).encode().hex().encode()
        await loop.sock_sendall(sock, b"\0AUTH EXTERNAL " + said + b"\r\n")
        assert (await loop.sock_recv(sock, 1000)).startswith(b"OK")
        await loop.sock_sendall(sock, b"NEGOTIATE_UNIX_FD\r\n")
        assert (await loop.sock_recv(sock, 1000)).startswith(b"AGREE")
        await loop.sock_sendall(sock, b"BEGIN\r\n")
        bus = "org.freedesktop.DBus"
        fields = [
            field(1, "o", "/org/freedesktop/DBus"),
            field(2, "s", bus),
            field(3, "s", "Hello"),
            field(6, "s", bus),
        ]
        await loop.sock_sendall(sock, message(1, 0, fields, serial=1))
        assert await loop.sock_recv(sock, 4000)
        return cls(sock)

    async def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Descriptors go with the first bytes, as the bus wants them."""
        while fds:
            try:
                data = data[socket.send_fds(self._socket, [data], list(fds)) :]
                break
            except BlockingIOError:
                await asyncio.sleep(0)
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def answer(self) -> tuple[int, int]:
        """Type and size in bytes of the next message that is a reply or an error; signals before it are passed over."""
        while True:
            head = await self._take(16)
            order = "<" if head[:1] == b"l" else ">"
            body, _serial, fields = struct.unpack(f"{order}III", head[4:])
            rest = fields + -fields % 8 + body
            await self._take(rest)
            if head[1] in (2, 3):
                return head[1], len(head) + rest

    async def _take(self, size: int) -> bytes:
        parts, have = [self._ahead], len(self._ahead)
        while have < size:
            chunk = await asyncio.get_running_loop().sock_recv(self._socket, 1 << 18)
            assert chunk, "the bus hung up"
            parts.append(chunk)
            have += len(chunk)
        data = b"".join(parts)
        self._ahead = data[size:]
        return data[:size]

    async def discard(self) -> None:
        """Read what comes until the other side hangs up."""
        with contextlib.suppress(ConnectionError):
            while chunk := await asyncio.get_running_loop().sock_recv(self._socket, 1 << 20):
                self.discarded += len(chunk)

    def close(self) -> None:
        """Leave the bus without a word."""
        self._socket.close()

    async def read_until(self, marker: bytes) -> None:
        """Read until these bytes came."""
        said = b""
        async with asyncio.timeout(20):
            while marker not in said:
                chunk = await asyncio.get_running_loop().sock_recv(self._socket, 65536)
                assert chunk, said
                said += chunk

    async def end(self) -> bytes:
        """Say no more; returns what the bus still had to say once it has dealt with everything that was sent."""
        self._socket.shutdown(socket.SHUT_WR)
        said = b""
        try:
            while chunk := await asyncio.get_running_loop().sock_recv(self._socket, 65536):
                said += chunk
        except ConnectionResetError:
            pass  # the bus did not even read to the end
        self._socket.close()
        return said
