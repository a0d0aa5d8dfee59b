"""Several mirrors at one file: who brings what, and what happens when one of them fails."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from luxusbd.transfer.engine import Downloader
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.model import DownloadRequest, SourceState
from tests.transfer.conftest import FAST, Client, Outcome
from tests.transfer.fault_server import FaultServer, Move, status

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


@pytest.fixture
async def mirrors() -> AsyncIterator[Mirrors]:
    async with AsyncExitStack() as stack:
        yield Mirrors(
            [await stack.enter_async_context(FaultServer(DATA, address=f"127.0.0.{host}")) for host in range(2, 10)]
        )


async def fetch(client: Client, urls: Sequence[str], limits: TransferLimits = SMALL, **more: object) -> Outcome:
    return await client.fetch(urls, sha256=SHA256, size=SIZE, limits=limits, **more)  # type: ignore[arg-type]


def brought(outcome: Outcome) -> dict[str, int]:
    return {share.url: share.bytes_done for share in outcome.seen[-1].sources}


def steady(rate: int) -> Move:
    """A good server that sends `rate` bytes a second."""

    async def move(server: FaultServer, request, connection) -> None:  # type: ignore[no-untyped-def]
        first, last = request.range
        await connection.head(
            "206 Partial Content",
            'ETag: "v1"',
            f"Content-Range: bytes {first}-{last}/{len(server.data)}",
            f"Content-Length: {last - first + 1}",
        )
        portion = max(1, rate // 50)
        for offset in range(first, last + 1, portion):
            await connection.send(server.data[offset : min(last + 1, offset + portion)])
            await asyncio.sleep(0.02)

    return move


async def test_two_mirrors_share_a_file(client: Client, mirrors: Mirrors) -> None:
    urls = mirrors.route(steady(2_000_000), steady(2_000_000))
    outcome = await fetch(client, urls)
    assert outcome.error is None
    assert outcome.content == DATA
    assert outcome.left == {"file.iso"}
    assert all(count > SIZE // 5 for count in brought(outcome).values()), brought(outcome)
    assert sum(brought(outcome).values()) < SIZE * 1.1
    assert any([share.state for share in one.sources].count(SourceState.SERVING) == 2 for one in outcome.seen)


async def test_race_measures_every_mirror(client: Client, mirrors: Mirrors) -> None:
    urls = mirrors.route(steady(2_000_000), status("404 Not Found"), steady(300_000), steady(20_000_000))
    downloader = Downloader(limits=replace(SMALL, race_span=256 * KIB))
    request = DownloadRequest(tuple(urls), SHA256, SIZE, str(client.directory), "file.iso")
    shares = await downloader.race(request, lambda _progress: None)
    await downloader.close()
    assert [share.url for share in shares] == urls
    assert shares[0].measured > shares[2].measured > 0
    assert shares[3].measured > shares[0].measured
    assert shares[1].measured == 0
    assert "404" in shares[1].reason
    assert not list(client.directory.iterdir())
