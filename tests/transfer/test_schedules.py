"""Random schedules of faults: whatever the mirrors do, the file is right or there is none."""

from __future__ import annotations

import asyncio
import hashlib
import random
import ssl
import tempfile
from collections.abc import Collection
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from luxusbd.errors import NetworkError, VerificationError
from luxusbd.transfer.engine import Downloader
from luxusbd.transfer.model import DownloadProgress, DownloadRequest, PieceHashes
from luxusbd.transfer.pace import Control
from luxusbd.transfer.partfile import PartFile
from luxusbd.transfer.source import default_session
from tests.transfer.conftest import DATA, FAST, SHA256
from tests.transfer.fault_server import (
    LATER,
    Connection,
    FaultServer,
    Move,
    Request,
    chunked,
    file,
    flip,
    half,
    only_without_range,
    other,
    random_etag,
    raw,
    redirect,
    status,
    until_close,
)

KIB = 1024
TLS = ssl.create_default_context()
LIMITS = replace(FAST, stall_timeout=0.2, header_timeout=2.0, backoff_first=0.001, backoff_cap=0.01)


def faults(chance: random.Random) -> Move:
    """One misdeed."""
    place = chance.randrange(0, 300_000)
    return chance.choice(
        [
            file(cut=place),
            file(cut=place),
            file(clamp=max(1, place)),
            file(ranges=False),
            file(ranges=False, cut=place),
            file(change=other, cut=place),
            file(change=other, etag='"v2"', date=LATER),
            file(change=flip, etag="", date=""),
            file(change=lambda data: data[: place + 1]),
            file(change=lambda data: data + b"more"),
            file(etag='W/"v"'),
            file(fields=lambda first, last, size: [f"Content-Range: bytes 0-{last}/{size}"]),
            file(fields=lambda first, last, size: [f"Content-Range: bytes {first}-{last}/*"]),
            file(extra=["Content-Encoding: gzip"]),
            random_etag(cut=place),
            chunked(part=0.5),
            chunked(part=0.7, terminated=False),
            until_close(0.5),
            half("reset"),
            half("hang"),
            only_without_range(),
            redirect("/a"),
            raw(b"garbage\r\n\r\n"),
            raw(),
            status("200 OK", "Content-Type: text/html", body=b"<html>"),
            status("403 No"),
            status("416 No", f"Content-Range: bytes */{place}"),
            status("500 Oops"),
            status("503 Busy", "Retry-After: 0"),
        ]
    )


@pytest.mark.parametrize("seed", range(40))
async def test_random_schedule(seed: int) -> None:
    chance = random.Random(seed)
    async with FaultServer(DATA) as server:
        urls = []
        for path in ("/a", "/b", "/c")[: chance.randint(1, 3)]:
            moves = [faults(chance) for _ in range(chance.randint(1, 6))]
            # most mirrors behave in the end
            urls.append(server.route(path, *moves, *([file()] if chance.random() < 0.7 else [])))
        with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
            size = chance.choice([0, len(DATA)])
            request = DownloadRequest(tuple(urls), SHA256, size, name, "x.iso")
            for _run in range(4):
                downloader = Downloader(lambda: default_session(TLS), LIMITS)
                steps = chance.choice([10**9, 10**9, chance.randint(1, 30)])
                if await _ended(downloader, request, steps):
                    break
                _check(Path(name))


SHARING = replace(
    LIMITS,
    share_min=16 * KIB,
    race_span=8 * KIB,
    race_stagger=0.002,
    race_time=0.1,
    settle=0.02,
    probe_interval=0.05,
    range_size=64 * KIB,
    piece_size=16 * KIB,
    range_time=0.0,
    steal_min=4 * KIB,
    steal_eta=0.01,
    steal_align=KIB,
    endgame_bytes=16 * KIB,
    sample=4 * KIB,
    batch_min=4 * KIB,
    batch_max=8 * KIB,
    read_buffer=4 * KIB,
)
"""Several mirrors share the small file of these tests as they would a large one."""


@pytest.mark.parametrize("seed", range(60))
async def test_random_schedule_of_several_mirrors(seed: int) -> None:
    """Faults, deaths, lies, slowness, pauses and kills over up to five mirrors at once."""
    chance = random.Random(1000 + seed)
    async with AsyncExitStack() as stack:
        urls = []
        for host in range(2, 2 + chance.randint(2, 5)):
            server = await stack.enter_async_context(FaultServer(DATA, address=f"127.0.0.{host}"))
            moves = [_unsteady(chance) for _ in range(chance.randint(0, 5))]
            ends: list[Move] = [steady(chance.choice([200_000, 2_000_000])), file(), faults(chance)]
            urls.append(server.route("/f", *moves, *chance.choices(ends, [4, 4, 2])))
        pieces = None
        if chance.random() < 0.3:
            data = DATA if chance.random() < 0.8 else other(DATA)
            length = chance.choice([16 * KIB, 50_000])
            values = [hashlib.sha256(data[at : at + length]).hexdigest() for at in range(0, len(data), length)]
            pieces = PieceHashes("sha256", length, tuple(values))
        with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
            size = chance.choice([0, len(DATA), len(DATA)])
            request = DownloadRequest(tuple(urls), SHA256, size, name, "x.iso", pieces=pieces)
            for _run in range(4):
                downloader = Downloader(lambda: default_session(TLS), SHARING)
                steps = chance.choice([10**9, 10**9, chance.randint(1, 60)])
                pauses = [chance.randint(1, 80) for _ in range(chance.choice([0, 0, 1, 3]))]
                if await _ended(downloader, request, steps, pauses):
                    break
                _check(Path(name))


def _unsteady(chance: random.Random) -> Move:
    return faults(chance) if chance.random() < 0.66 else steady(chance.choice([50_000, 500_000, 3_000_000]))


def steady(rate: int) -> Move:
    """A good server that sends so many bytes a second."""

    async def move(server: FaultServer, request: Request, connection: Connection) -> None:
        size = len(server.data)
        first, last = request.range or (0, size - 1)
        last = min(size - 1, size if last is None else last)
        line = "206 Partial Content" if request.range else "200 OK"
        told = [f"Content-Range: bytes {first}-{last}/{size}"] if request.range else []
        await connection.head(line, *told, f"Content-Length: {last - first + 1}", 'ETag: "v1"')
        portion = max(1, rate // 100)
        for offset in range(first, last + 1, portion):
            await connection.send(server.data[offset : min(last + 1, offset + portion)])
            await asyncio.sleep(0.01)

    return move


FETCHED_AT_MOST = 12
"""Times the size of the file that the worst of these schedules may make a run fetch."""


async def _ended(downloader: Downloader, request: DownloadRequest, steps: int, pauses: Collection[int] = ()) -> bool:
    """Download, but cancel after `steps` reports, and pause at some; whether it came to an end by itself."""
    reports = 0
    enough = asyncio.Event()
    control = Control()
    seen: list[DownloadProgress] = []

    def report(progress: DownloadProgress) -> None:
        nonlocal reports
        assert progress.bytes_done >= 0
        assert progress.bytes_total == 0 or progress.bytes_done <= progress.bytes_total
        seen.append(progress)
        reports += 1
        if reports == steps:
            enough.set()
        if reports in pauses:
            control.pause()
            asyncio.get_running_loop().call_later(0.02, control.resume)

    task = asyncio.create_task(downloader.download(request, report, control=control))
    stop = asyncio.create_task(enough.wait())
    await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    task.cancel()
    await asyncio.wait((task, stop))
    await downloader.close()
    fetched = sum(share.bytes_done for share in seen[-1].sources) if seen else 0
    assert fetched <= FETCHED_AT_MOST * len(DATA)
    if task.cancelled():
        return False
    error = task.exception()
    assert error is None or isinstance(error, NetworkError | VerificationError)
    if error is None:
        assert Path(request.directory, request.name).read_bytes() == DATA
        assert [path.name for path in Path(request.directory).iterdir()] == [request.name]
        return True
    _check(Path(request.directory))
    return False


def _check(directory: Path) -> None:
    """What is left after a failure or a cancellation is a part whose claims can be proven, or the right file."""
    if (directory / "x.iso").exists():
        # cancelled after the last rename
        assert (directory / "x.iso").read_bytes() == DATA
        return
    part = PartFile.open(str(directory), "x.iso")
    state, _reason = part.load()
    assert state is None or part.prove(state, lambda: False) is not None
    part.close()
