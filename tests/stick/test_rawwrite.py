"""Images written byte for byte into image files: the writer alone, without root, loop device or service."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from luxusbd.errors import (
    CancelledError,
    InternalError,
    InterruptedJobError,
    MalformedImageError,
    NotEnoughSpaceError,
    VerificationError,
)
from luxusbd.images.model import BlockMap, MappedRange
from luxusbd.stick import codec, writer
from luxusbd.stick.directdisk import DirectDisk
from luxusbd.stick.model import MIB, RawImage, StickOperation, StickOrder, StickProgress
from luxusbd.transfer import frames
from luxusbd.transfer.frames import Fan, make_pipe
from tests.stick import helpers

SIZE = 24 * MIB
OLD = b"\xa5" * SIZE


class Bench:
    """A disk in a file that is full of old bytes, and an image for it."""

    def __init__(self, place: Path, size: int = 9 * MIB + 1536) -> None:
        self.disk = place / "disk"
        self.disk.write_bytes(OLD)
        self.fd = os.open(self.disk, os.O_RDWR)
        self.image = helpers.random_file(place / "image", size, 7)
        self.data = self.image.read_bytes()
        self.progress: list[StickProgress] = []
        self.steps: list[str] = []

    def order(self, raw: RawImage | None = None, **changes: Any) -> StickOrder:
        source = helpers.source(self.image, "image.iso", **changes)
        return helpers.order(
            StickOperation.WRITE_RAW, self.fd, size=SIZE, add=(source,), raw=raw or RawImage(len(self.data))
        )

    async def write(self, raw: RawImage | None = None, after: Any = None, **changes: Any) -> dict[str, Any]:
        def step(name: str) -> None:
            self.steps.append(name)
            if after is not None:
                after(name)

        return await writer.execute(self.order(raw, **changes), self.progress.append, after_step=step)

    @property
    def content(self) -> bytes:
        return self.disk.read_bytes()

    def check_starts_nothing(self) -> None:
        assert not any(self.content[:MIB])


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    os.close(made.fd)


async def test_every_byte(bench: Bench) -> None:
    result = await bench.write()
    after = len(bench.data) + 4096 - len(bench.data) % 4096
    assert bench.content[: len(bench.data)] == bench.data
    assert not any(bench.content[len(bench.data) : after]), "what is left of the last block is zeros"
    assert bench.content[after:-MIB] == OLD[after:-MIB], "no more is written than has to be"
    assert not any(bench.content[-MIB:]), "a second partition table would be there"
    assert result == {
        "image_size": len(bench.data),
        "bytes_written": len(bench.data),
        "skipped": 0,
        "sha256": hashlib.sha256(bench.data).hexdigest(),
        "packed": False,
    }
    assert bench.steps == ["wiped", "body", "head"]
    done = [each.bytes_done for each in bench.progress]
    assert done == sorted(done)
    assert (done[-1], bench.progress[-1].bytes_total) == (2 * len(bench.data), 2 * len(bench.data))


@pytest.mark.parametrize("size", [1, 512, MIB - 1, MIB, MIB + 1, 4 * MIB, 4 * MIB + 1, SIZE])
async def test_images_of_all_sizes(tmp_path: Path, size: int) -> None:
    bench = Bench(tmp_path, size)
    await bench.write()
    assert bench.content[:size] == bench.data
    assert len(bench.content) == SIZE
    os.close(bench.fd)


@pytest.mark.parametrize("step", ["wiped", "body"])
async def test_a_disk_that_is_cut_starts_nothing(bench: Bench, step: str) -> None:
    seen = []

    def look(name: str) -> None:
        if name == step:
            bench.check_starts_nothing()
            assert not any(bench.content[-MIB:])
            seen.append(name)
            raise InterruptedJobError("pulled out")

    with pytest.raises(InterruptedJobError):
        await bench.write(after=look)
    assert seen == [step]


async def test_a_disk_that_is_too_small_is_left_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SIZE + 1)
    with pytest.raises(NotEnoughSpaceError, match="Nothing was changed"):
        await bench.write()
    assert bench.content == OLD
    os.close(bench.fd)


async def test_an_image_that_is_not_what_was_stored(bench: Bench) -> None:
    with pytest.raises(VerificationError, match=r"sha256 is .* the disk was erased and starts nothing"):
        await bench.write(sha256="0" * 64)
    bench.check_starts_nothing()
    with pytest.raises(VerificationError, match="should have"):
        await bench.write(RawImage(len(bench.data) + 1))


class LyingDisk(DirectDisk):
    """Changes one byte on its way to the medium."""

    place = 0

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        changed = bytearray(data)
        if offset <= self.place < offset + len(data):
            changed[self.place - offset] ^= 1
        super().write(offset, changed)


@pytest.mark.parametrize("place", [5, MIB - 1, MIB, 6 * MIB + 77, 9 * MIB + 1535])
async def test_a_disk_that_changes_a_byte(bench: Bench, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    monkeypatch.setattr("luxusbd.stick.rawwrite.DirectDisk", LyingDisk)
    monkeypatch.setattr(LyingDisk, "place", place)
    wrote, reads = bench.data[place], bench.data[place] ^ 1
    with pytest.raises(VerificationError, match=f"at byte {place}: {wrote:02x} was written and {reads:02x} is read"):
        await bench.write()
    assert not any(byte for byte in bench.content[:MIB] if byte != 1), "the head does not stay behind"


def mapped(data: bytes, *parts: tuple[int, int], algorithm: str = "sha256") -> BlockMap:
    ranges = tuple(MappedRange(start, end, hashlib.new(algorithm, data[start:end]).hexdigest()) for start, end in parts)
    return BlockMap(len(data), ranges, algorithm)


async def test_what_a_block_map_leaves_out(bench: Bench) -> None:
    parts = (0, 4096), (MIB - 4096, MIB + 4096), (3 * MIB, 3 * MIB + 8192), (9 * MIB, len(bench.data))
    result = await bench.write(RawImage(len(bench.data), map=mapped(bench.data, *parts, algorithm="sha1")))
    content = bench.content
    for start, end in parts:
        assert content[start:end] == bench.data[start:end]
    assert not any(content[4096 : MIB - 4096]), "the head was wiped"
    assert content[MIB + 4096 : 3 * MIB] == OLD[MIB + 4096 : 3 * MIB]
    assert content[3 * MIB + 8192 : 9 * MIB] == OLD[3 * MIB + 8192 : 9 * MIB]
    kept = sum(end - start for start, end in parts)
    assert (result["bytes_written"], result["skipped"]) == (kept, len(bench.data) - kept)
    assert bench.progress[-1].bytes_done == bench.progress[-1].bytes_total == 2 * kept


async def test_a_block_map_whose_hash_does_not_fit(bench: Bench) -> None:
    found = mapped(bench.data, (0, 4096), (2 * MIB, 7 * MIB))
    wrong = BlockMap(found.size, (found.ranges[0], MappedRange(2 * MIB, 7 * MIB, "0" * 64)), "sha256")
    with pytest.raises(VerificationError, match=f"bytes {2 * MIB} to {7 * MIB} of the image"):
        await bench.write(RawImage(found.size, map=wrong))
    bench.check_starts_nothing()


class Piped:
    """Somebody who unpacks `pieces` into a pipe, in a thread."""

    def __init__(self, *pieces: bytes, complete: bool = True) -> None:
        self.read, self._write = make_pipe()
        self._pieces, self._complete = pieces, complete
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        fan = Fan([self._write])
        try:
            for piece in self._pieces:
                for start in range(0, len(piece), frames.MAX_FRAME):
                    fan.write(piece[start : start + frames.MAX_FRAME])
            if self._complete:
                fan.end()
        except InterruptedJobError:
            pass  # the reader had enough
        finally:
            os.close(self._write)

    def close(self) -> None:
        os.close(self.read)
        self._thread.join(30)
        assert not self._thread.is_alive()


async def test_what_comes_through_a_pipe(bench: Bench) -> None:
    data = random.Random(3).randbytes(7 * MIB + 512)
    piped = Piped(data[:5], data[5 : 3 * MIB], data[3 * MIB :])
    result = await bench.write(RawImage(0, packed=True, pipe=piped.read))
    piped.close()
    assert bench.content[: len(data)] == data
    assert (result["image_size"], result["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert bench.progress[-1].bytes_done == bench.progress[-1].bytes_total == 2 * len(data)


async def test_a_pipe_that_breaks_off(bench: Bench) -> None:
    piped = Piped(b"x" * 3 * MIB, complete=False)
    with pytest.raises(MalformedImageError, match="unpacking ended before the image did; the disk was erased"):
        await bench.write(RawImage(0, packed=True, pipe=piped.read))
    piped.close()
    bench.check_starts_nothing()


async def test_what_unpacks_to_more_than_the_disk_has(bench: Bench) -> None:
    piped = Piped(bytes([7]) * (SIZE + 1))
    with pytest.raises(NotEnoughSpaceError, match=r"unpacks to more than the 24.0 MiB .* the disk was erased"):
        await bench.write(RawImage(0, packed=True, pipe=piped.read))
    piped.close()
    bench.check_starts_nothing()


async def test_a_compressed_file_that_changed_erases_nothing(bench: Bench) -> None:
    piped = Piped(b"x")
    with pytest.raises(VerificationError, match="not what was stored any more"):
        await bench.write(RawImage(0, packed=True, pipe=piped.read), sha256="0" * 64)
    piped.close()
    assert bench.content == OLD


async def test_a_silent_pipe_can_be_cancelled(bench: Bench) -> None:
    read, write = make_pipe()
    task = asyncio.create_task(bench.write(RawImage(0, packed=True, pipe=read)))
    while "wiped" not in bench.steps:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises((asyncio.CancelledError, CancelledError)):
        await task
    os.close(read)
    os.close(write)
    bench.check_starts_nothing()


def test_frames_of_a_stranger(tmp_path: Path) -> None:
    read, write = make_pipe()
    os.write(write, (frames.MAX_FRAME + 1).to_bytes(4, "little"))
    with pytest.raises(MalformedImageError, match="too long"):
        frames.Frames(read, lambda: False).read(1)
    os.close(write)
    os.close(read)


def test_a_fan_goes_on_without_a_reader_that_left() -> None:
    (first, to_first), (second, to_second) = make_pipe(), make_pipe()
    fan = Fan([to_first, to_second])
    fan.write(b"one")
    os.close(first)
    fan.write(b"two")
    fan.end()
    assert frames.Frames(second, lambda: False).read(100) == b"onetwo"
    os.close(second)
    with pytest.raises(InterruptedJobError):
        fan.write(b"three")
    os.close(to_first)
    os.close(to_second)


def test_orders_cross_the_socket(bench: Bench) -> None:
    found = mapped(bench.data, (0, 4096))
    order = bench.order()
    for raw in (RawImage(7, map=found), RawImage(0, packed=True, pipe=9)):
        order = bench.order(raw)
        again = codec.order_from_json(codec.order_to_json(order), codec.order_fds(order))
        assert again == order
    with pytest.raises(InternalError):
        codec.order_from_json(codec.order_to_json(order), codec.order_fds(order)[:-1])
