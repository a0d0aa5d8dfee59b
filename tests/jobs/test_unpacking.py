"""The process that looks at an image to be written byte for byte, and unpacks it: the real one."""

from __future__ import annotations

import asyncio
import contextlib
import lzma
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from luxusbd.children.launch import Spawner
from luxusbd.children.supervisor import Child
from luxusbd.errors import InterruptedJobError, InvalidArgumentError, MalformedImageError
from luxusbd.images.startable import Starts
from luxusbd.jobs.unpacking import Unpacker
from luxusbd.transfer.frames import Frames
from luxusbd.transfer.packing import Packing
from luxusbd.transfer.rawmodel import RawLook

DATA = random.Random(4).randbytes(3 * 1024 * 1024)


@pytest.fixture
def unpacker(tmp_path: Path) -> Unpacker:
    return Unpacker(Spawner(user="", memory=512 << 20, staging=tmp_path))


@pytest.fixture
def packed(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "image.xz").write_bytes(lzma.compress(DATA, preset=0))
    fd = os.open(tmp_path / "image.xz", os.O_RDONLY)
    yield fd
    os.close(fd)


def everything(pipe: int) -> bytes:
    return Frames(pipe, lambda: False).read(1 << 30)


async def test_a_look(unpacker: Unpacker, packed: int, tmp_path: Path) -> None:
    assert await unpacker.look(packed) == RawLook(Packing.XZ, len(DATA), Starts.NOTHING)
    (tmp_path / "map").write_text("<bmap version='2.0'/>")
    with (tmp_path / "map").open("rb") as bmap, pytest.raises(InvalidArgumentError, match="the block map does not say"):
        await unpacker.look(packed, bmap.fileno())


async def test_several_read_it_and_one_leaves(unpacker: Unpacker, packed: int) -> None:
    async with unpacker.unpacked(packed, 3) as going:
        going.drop(1)
        both = [asyncio.to_thread(everything, going.pipe(number)) for number in (0, 2)]
        assert [found == DATA for found in await asyncio.gather(*both)] == [True, True]
    assert going.failure is None


async def test_nobody_reads(unpacker: Unpacker, packed: int) -> None:
    async with unpacker.unpacked(packed, 1) as going:
        pass
    assert isinstance(going.failure, InterruptedJobError)


class Noting(Spawner):
    """Knows which process it started last."""

    pid = 0

    @contextlib.asynccontextmanager
    async def check(self) -> AsyncIterator[Child]:
        async with super().check() as running:
            self.pid = running.pid
            yield running


async def test_the_process_dies_over_it(packed: int, tmp_path: Path) -> None:
    """Whoever reads sees a stream that was cut, and why is known by then."""
    spawner = Noting(user="", memory=512 << 20, staging=tmp_path)
    async with Unpacker(spawner).unpacked(packed, 1) as going:
        frames = Frames(going.pipe(0), lambda: False)
        # there is more to come than a pipe holds
        assert len(await asyncio.to_thread(frames.read, 1000)) == 1000
        os.kill(spawner.pid, signal.SIGKILL)
        with pytest.raises(MalformedImageError, match="ended before the image did"):
            await asyncio.to_thread(frames.read, 1 << 30)
        assert isinstance(going.failure, InterruptedJobError)
