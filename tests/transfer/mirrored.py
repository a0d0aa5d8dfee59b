"""Several mirrors of one file that is large enough to be shared among them."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.transfer.conftest import FAST
from tests.transfer.fault_server import DATE, Connection, FaultServer, Move, Request

KIB = 1024
DATA = random.Random(11).randbytes(4096 * KIB)
SHA256 = hashlib.sha256(DATA).hexdigest()
SIZE = len(DATA)

SMALL = replace(
    FAST,
    share_min=64 * KIB,
    race_span=32 * KIB,
    race_stagger=0.01,
    race_time=1.0,
    settle=0.2,
    probe_interval=0.5,
    range_size=512 * KIB,
    piece_size=128 * KIB,
    steal_min=64 * KIB,
    steal_eta=0.2,
    steal_align=16 * KIB,
    endgame_bytes=128 * KIB,
    read_buffer=16 * KIB,
)
"""A file of 4 MiB is to these limits what one of 1 GiB is to the real ones."""


class Mirrors:
    """Mirrors of the same file, each on a host of its own."""

    def __init__(self, servers: Sequence[FaultServer]) -> None:
        self.servers = servers

    def route(self, *moves: Move | Sequence[Move]) -> list[str]:
        """One mirror for each argument."""
        return [
            server.route("/f", *([move] if callable(move) else move))
            for server, move in zip(self.servers, moves, strict=False)
        ]

    def bytes_asked(self) -> list[int]:
        return [len(server.log) for server in self.servers]


def steady(
    rate: int,
    *,
    change: Callable[[bytes], bytes] = lambda data: data,
    stop: int = SIZE,
    then: str = "",
    crawl: int = SIZE,
    etag: str = '"v1"',
    date: str = DATE,
) -> Move:
    """A good server that sends `rate` bytes a second, of what `change` makes of the file.

    After `stop` bytes of an answer it does what `then` says: hang, reset, or go on with that many bytes a second. From
    the byte `crawl` of the file on it sends 2000 a second.
    """

    async def move(server: FaultServer, request: Request, connection: Connection) -> None:
        assert request.range is not None
        first, last = request.range
        last = len(server.data) - 1 if last is None else min(last, len(server.data) - 1)
        await connection.head(
            "206 Partial Content",
            f"ETag: {etag}",
            f"Last-Modified: {date}",
            f"Content-Range: bytes {first}-{last}/{len(server.data)}",
            f"Content-Length: {last - first + 1}",
        )
        data = change(server.data)
        offset, pace = first, rate
        while offset <= last:
            if offset - first >= stop and then in ("hang", "reset"):
                await asyncio.sleep(0.05)
                await connection.hang() if then == "hang" else connection.reset()
                return
            if offset - first >= stop:
                pace = int(then)
            if offset >= crawl:
                pace = 2000
            portion = max(1, pace // 50)
            await connection.send(data[offset : min(last + 1, offset + portion)])
            offset += portion
            await asyncio.sleep(0.02)

    return move
