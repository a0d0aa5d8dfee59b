"""kill -9 at every step that changes the disk: the next run ends well and repeats one interval at most."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from luxusbd.transfer.partstate import decode
from tests.transfer.crash_child import LIMITS
from tests.transfer.fault_server import FaultServer, file

pytestmark = pytest.mark.chaos

DATA = random.Random(3).randbytes(50_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


class Downloads:
    """Downloads in processes that can be killed; `server` has the file."""

    def __init__(self, process: asyncio.subprocess.Process, server: FaultServer, directory: Path) -> None:
        self._process = process
        self.server = server
        self.directory = directory
        self.urls = [server.route("/a", file())]
        self.size = 0

    async def run(self, kill_at: int, window: int = 0) -> tuple[int, int, bool]:
        """Steps, bytes written and whether it was killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"urls": self.urls, "size": self.size, "sha256": SHA256, "window": window}
        order |= {"directory": str(self.directory), "kill_at": kill_at}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        answer = json.loads(await self._process.stdout.readline())
        return answer["steps"], answer["written"], answer["killed"]

    def check_claims(self) -> int:
        """Every claimed byte is right; how many there are."""
        state_file = self.directory / "file.iso.part.json"
        if not state_file.exists():
            return 0
        state = decode(state_file.read_bytes())
        part = self.directory / "file.iso.part"
        if part.exists():
            content = part.read_bytes()
            if not content and state.done:
                # the claims of a file that has its name already; they are believed of no shorter part
                assert (self.directory / "file.iso").read_bytes() == DATA
                return state.downloaded_bytes
            for span in state.done:
                assert content[span.start : span.end] == DATA[span.start : span.end]
        return state.downloaded_bytes

    def check_done(self) -> None:
        assert (self.directory / "file.iso").read_bytes() == DATA
        assert [path.name for path in self.directory.iterdir()] == ["file.iso"]


@contextlib.asynccontextmanager
async def downloads_in(directory: Path, server: FaultServer) -> AsyncIterator[Downloads]:
    """Ends the process that forks them at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.transfer.crash_child"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Downloads(process, server, directory)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        assert await process.wait() == 0


@pytest.fixture
async def downloads(memory_path: Path) -> AsyncIterator[Downloads]:
    async with FaultServer(DATA) as server, downloads_in(memory_path, server) as made:
        yield made


async def test_killed_at_every_step(downloads: Downloads) -> None:
    steps, _written, killed = await downloads.run(0)
    assert not killed
    assert steps > 20
    for kill_at in range(1, steps + 5):
        (downloads.directory / "file.iso").unlink(missing_ok=True)
        _steps, written, killed = await downloads.run(kill_at)
        claimed = downloads.check_claims()
        downloads.server.log.clear()
        assert (await downloads.run(0))[2] is False
        downloads.check_done()
        if killed and downloads.server.log:
            start = downloads.server.log[0].start
            assert start == claimed
            assert written - start <= LIMITS.checkpoint_bytes, f"step {kill_at} repeats {written - start} bytes"


@pytest.mark.parametrize("seed", range(12))
async def test_killed_again_and_again(downloads: Downloads, seed: int) -> None:
    random_steps = random.Random(seed)
    before = 0
    for _attempt in range(200):
        _steps, _written, killed = await downloads.run(random_steps.randint(1, 40))
        claimed = downloads.check_claims()
        if not killed:
            break
        assert claimed >= before or (downloads.directory / "file.iso").exists()
        before = claimed
    else:
        pytest.fail("never came to an end")
    downloads.check_done()


@pytest.mark.parametrize("seed", range(12))
async def test_killed_while_several_mirrors_share(downloads: Downloads, seed: int) -> None:
    """Every kill leaves true claims, wherever the holes are, and the end is the right file."""
    chance = random.Random(seed)
    async with FaultServer(DATA, address="127.0.0.2") as second, FaultServer(DATA, address="127.0.0.3") as third:
        downloads.urls = [downloads.urls[0], second.route("/b", file(clamp=9000)), third.route("/c", file(cut=7000))]
        downloads.size = len(DATA)
        before = 0
        for _attempt in range(200):
            _steps, _written, killed = await downloads.run(chance.randint(1, 40))
            claimed = downloads.check_claims()
            if not killed:
                break
            assert claimed >= before or (downloads.directory / "file.iso").exists()
            before = claimed
        else:
            pytest.fail("never came to an end")
        downloads.check_done()
        assert second.log
