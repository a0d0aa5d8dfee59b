"""Takes the body of a fast answer from the transport itself, into memory that is used again and again.

An HTTP library hands every portion out as a new object, which costs a core more than the network does once a mirror is
near. Where the bytes left are known by number and framed by nothing, nothing is left to parse: the protocol that the
connection has is replaced (`asyncio.BaseTransport.set_protocol`) by one that receives into large buffers
(`asyncio.BufferedProtocol`). The connection serves no further request afterwards, since the library has lost count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

BUFFER = 1024 * 1024
ENOUGH = 512 * 1024
"""Bytes for which a reader is woken at once."""
BRIEF = 0.01
"""Seconds for which fewer may wait."""
SPARE = 8
"""Buffers that are kept for use again."""

Memory = bytes | memoryview


class Intake(asyncio.BufferedProtocol):
    """Receives ahead of its reader by one buffer."""

    def __init__(self, transport: asyncio.Transport, former: asyncio.BaseProtocol) -> None:
        self._transport = transport
        self._former = former
        self._buffer = bytearray(BUFFER)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._spare: list[bytearray] = []
        self._ready = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._over = False
        self._error: Exception | None = None

    @classmethod
    def take_over(cls, transport: asyncio.BaseTransport | None) -> Intake | None:
        """Begin with the next byte that comes; None where the transport cannot change hands."""
        if not isinstance(transport, asyncio.Transport) or transport.is_closing():
            return None
        intake = cls(transport, transport.get_protocol())
        transport.set_protocol(intake)
        # whoever had it may have had too much
        transport.resume_reading()
        return intake

    async def read(self) -> Memory:
        """Some bytes; empty at the end of the connection.

        Raises:
            OSError: it broke, and everything that came before was read.
        """
        await self._ready.wait()
        if not self._filled:
            if self._error is not None:
                raise self._error
            return b""
        taken = self._view[: self._filled]
        self._buffer = self._spare.pop() if self._spare else bytearray(BUFFER)
        self._view = memoryview(self._buffer)
        self._filled = 0
        if not self._over:
            self._ready.clear()
            self._transport.resume_reading()
        return taken

    def give_back(self, chunks: Sequence[Memory]) -> None:
        """Nobody needs these any more, which are of what `read` gave. They must not be touched afterwards."""
        for chunk in chunks:
            if not isinstance(chunk, memoryview) or not isinstance(buffer := chunk.obj, bytearray):
                continue
            chunk.release()
            try:
                # fails while any other view of it exists, a part that is still to be written, say
                buffer.append(0)
            except BufferError:
                continue
            buffer.pop()
            if len(self._spare) < SPARE:
                self._spare.append(buffer)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio calls it so
        """Where the next bytes go."""
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """They came."""
        self._filled += nbytes
        if self._filled >= BUFFER:
            self._transport.pause_reading()
        if self._filled >= ENOUGH:
            self._wake()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BRIEF, self._wake)

    def eof_received(self) -> bool:
        """Nothing more comes; the transport closes itself."""
        self._end(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The same, or the connection broke."""
        self._end(exc)
        self._former.connection_lost(exc)

    def _end(self, error: Exception | None) -> None:
        if not self._over:
            self._over = True
            self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._filled or self._over:
            self._ready.set()
