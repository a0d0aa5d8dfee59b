"""A file larger than any counter of 32 bits: paused, with the daemon restarted and killed, resumed, verified."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from luxusb_cli.model import JobState

from tests.daemon.caller import Caller
from tests.daemon.conftest import CONFIG
from tests.daemon.daemon import Daemon
from tests.harness.images import RealImage
from tests.harness.mirrors import Mirror, write_catalogue

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

MIB = 1024 * 1024
SIZE = 5 * 1024 * MIB
PATIENCE = 180.0


def sparse(path: Path) -> None:
    """Holes with a few bytes in them, also beyond 4 GiB, so that bytes in the wrong place are noticed."""
    chosen = random.Random(5)
    with path.open("wb") as file:
        file.truncate(SIZE)
        for at in range(0, SIZE, 256 * MIB):
            os.pwrite(file.fileno(), chosen.randbytes(4096), at + chosen.randrange(255 * MIB))


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture
async def served(place: Path) -> AsyncIterator[tuple[Mirror, Path]]:
    path = place / "large.iso"
    await asyncio.to_thread(sparse, path)
    async with Mirror({path.name: path}) as running:
        yield running, path


async def test_five_gib_paused_restarted_killed_and_resumed(place: Path, served: tuple[Mirror, Path]) -> None:
    mirror, path = served
    image = RealImage("large", "Large", "Bytes", "https://example.org", "test", "1", path, frozenset())
    catalogue = place / "catalogue.json"
    await asyncio.to_thread(write_catalogue, catalogue, [image], [mirror])
    async with Daemon(place, catalogues=[catalogue], config=CONFIG.format(place=place)) as daemon:
        mirror.rate = 256 * MIB
        async with Caller.connect(daemon.address) as caller:
            job = await caller.client.download("distro:large")
            await caller.progress(job, 512 * MIB)
            await caller.client.pause(job)
            await caller.property(job, "State", "paused")
        assert await daemon.stop() == 0
        first = sum(one.sent for one in mirror.served)
        await daemon.start()
        async with Caller.connect(daemon.address) as caller:
            assert (await caller.client.job(job)).state is JobState.PAUSED
            await caller.client.resume(job)
            await caller.progress(job, SIZE // 3)
        await daemon.kill()
        mirror.rate = 0
        await daemon.start()
        async with Caller.connect(daemon.address) as caller:
            done = await caller.succeeded(job, timeout=PATIENCE)
        assert done.resumed_bytes > SIZE // 3 - 128 * MIB
        # the pause lost nothing, and the kill no more than what lies between two checkpoints, sent or on its way
        sent = sum(one.sent for one in mirror.served)
        assert first >= 512 * MIB
        assert sent - SIZE <= 192 * MIB
        stored = daemon.state / "images" / f"{image.sha256()}.iso"
        assert await asyncio.to_thread(sha256_of, stored) == image.sha256()
