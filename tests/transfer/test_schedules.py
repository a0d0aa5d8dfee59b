"""Random schedules of faults: whatever the mirrors do, the file is right or there is none."""

from __future__ import annotations

import asyncio
import random
import ssl
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from luxusbd.errors import NetworkError, VerificationError
from luxusbd.transfer.engine import Downloader
from luxusbd.transfer.model import DownloadProgress, DownloadRequest
from luxusbd.transfer.partfile import PartFile
from luxusbd.transfer.source import default_session
from tests.transfer.conftest import DATA, FAST, SHA256
from tests.transfer.fault_server import (
    LATER,
    FaultServer,
    Move,
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


async def _ended(downloader: Downloader, request: DownloadRequest, steps: int) -> bool:
    """Download, but cancel after `steps` reports; whether it came to an end by itself."""
    left = steps
    enough = asyncio.Event()

    def report(progress: DownloadProgress) -> None:
        nonlocal left
        assert progress.bytes_done >= 0
        left -= 1
        if left == 0:
            enough.set()

    task = asyncio.create_task(downloader.download(request, report))
    stop = asyncio.create_task(enough.wait())
    await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    task.cancel()
    await asyncio.wait((task, stop))
    await downloader.close()
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
