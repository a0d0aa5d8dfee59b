"""QEMU's control channel (docs/interop/qmp-spec.rst of QEMU): one JSON object a line, events in between."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Mapping
from typing import Any


class QmpError(Exception):
    """QEMU refused a command, or went away."""


class Qmp:
    """A connected control channel. One command at a time; events are dropped."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._lock = asyncio.Lock()

    @classmethod
    async def attach(cls, sock: socket.socket, timeout: float = 20.0) -> Qmp:
        """Read the greeting and leave capability negotiation.

        Raises:
            QmpError: QEMU ended before it said anything.
            TimeoutError: it said nothing in `timeout` seconds.
        """
        reader, writer = await asyncio.open_connection(sock=sock, limit=4 * 1024 * 1024)
        channel = cls(reader, writer)
        try:
            async with asyncio.timeout(timeout):
                if "QMP" not in await channel._read():
                    raise QmpError("QEMU's control channel does not start with a greeting")
                await channel.command("qmp_capabilities")
        except BaseException:
            await channel.close()
            raise
        return channel

    async def command(self, name: str, arguments: Mapping[str, Any] | None = None, timeout: float = 20.0) -> Any:
        """Run one command and return its answer.

        Raises:
            QmpError: QEMU refused it or is gone.
            TimeoutError: no answer in `timeout` seconds.
        """
        async with self._lock, asyncio.timeout(timeout):
            try:
                self._writer.write(json.dumps({"execute": name, "arguments": dict(arguments or {})}).encode() + b"\n")
                await self._writer.drain()
            except OSError as error:
                raise QmpError(f"QEMU is gone ({error.strerror}), {name} was not run") from error
            while True:
                message = await self._read()
                if "error" in message:
                    raise QmpError(f"QEMU refused {name}: {message['error'].get('desc', 'no reason')}")
                if "return" in message:
                    return message["return"]

    async def close(self) -> None:
        """Let the socket go; also when QEMU has gone before."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _read(self) -> dict[str, Any]:
        try:
            line = await self._reader.readline()
        except OSError as error:
            raise QmpError(f"QEMU is gone ({error.strerror})") from error
        if not line:
            raise QmpError("QEMU closed its control channel")
        message = json.loads(line)
        if not isinstance(message, dict):
            raise QmpError(f"QEMU's control channel said {line[:200]!r}")
        return message
