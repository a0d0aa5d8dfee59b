"""Copying and reading back, without a stick: order, errors, cancellation, and how much waits in memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from luxusbd.errors import DeviceFailingError, FailedError, VerificationError
from luxusbd.stick import copying
from luxusbd.stick.blockio import CHUNK, MediumReader
from luxusbd.stick.duplex import Duplex
from luxusbd.stick.early import EarlyReading
from luxusbd.stick.isofiles import Piece
from luxusbd.stick.mediumwriter import MediumWriter
from luxusbd.stick.model import SourceImage
from tests.stick import helpers

SIZE = 5 * CHUNK + 1234


def content(size: int = SIZE) -> bytes:
    return random.Random(size).randbytes(size)


class Bytes:
    """A source in memory, of which only so much has come."""

    def __init__(self, data: bytes, there: int | None = None) -> None:
        self.data = data
        self.more = asyncio.Event()
        self.there = len(data) if there is None else there
        self.reads: list[int] = []

    async def read(self, offset: int, target: memoryview) -> int:
        self.reads.append(offset)
        while min(offset + len(target), len(self.data)) > self.there:
            await self.more.wait()
        found = self.data[offset : offset + len(target)]
        target[: len(found)] = found
        return len(found)


class Memory:
    """A sink that keeps what it gets, and has no more than `lag` bytes that are not accepted."""

    def __init__(self, size: int, lag: int = 0, fail_at: int = -1) -> None:
        self.data = bytearray(size)
        self.lag, self.fail_at = lag, fail_at
        self.late = 0
        self.syncs = 0
        self.busy = self.at_once = 0
        self.closed = False
        self._lock = threading.Lock()

    def write(self, data: memoryview, offset: int) -> int:
        with self._lock:
            assert not self.closed, "a writer was left behind"
            self.busy += 1
            self.at_once = max(self.at_once, self.busy)
        if 0 <= self.fail_at <= offset:
            raise DeviceFailingError("worn out")
        self.data[offset : offset + len(data)] = data
        with self._lock:
            self.busy -= 1
            self.late += len(data)
            accepted = max(0, self.late - self.lag)
            self.late -= accepted
            return accepted

    def sync(self) -> int:
        with self._lock:
            self.syncs += 1
            accepted, self.late = self.late, 0
            return accepted

    def close(self) -> None:
        self.closed = True


class Tally:
    """Counts, and never waits."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    async def wait(self) -> None:
        return

    def count(self, count: int) -> None:
        self.counts.append(count)

    @property
    def total(self) -> int:
        return sum(self.counts)


@pytest.mark.parametrize("lag", [0, CHUNK, 3 * CHUNK])
async def test_every_byte_arrives_and_is_hashed_in_order(lag: int) -> None:
    data = content()
    sink, tally, hashers = Memory(SIZE, lag), Tally(), (hashlib.sha256(), hashlib.sha512())
    await copying.copy(Bytes(data), sink, [(0, SIZE)], [hasher.update for hasher in hashers], tally)
    assert sink.data == data
    assert hashers[0].digest() == hashlib.sha256(data).digest()
    assert hashers[1].digest() == hashlib.sha512(data).digest()
    assert tally.total == SIZE
    assert sink.at_once <= copying.WRITES


async def test_only_the_spans_are_copied() -> None:
    data = content()
    spans = [(4096, 8192), (CHUNK, 2 * CHUNK + 4096)]
    sink, seen, tally = Memory(SIZE), bytearray(), Tally()
    await copying.copy(Bytes(data), sink, spans, [seen.extend], tally)
    assert seen == b"".join(data[start : start + length] for start, length in spans)
    assert sink.data[4096:12288] == data[4096:12288]
    assert not any(sink.data[:4096])
    assert not any(sink.data[3 * CHUNK + 4096 :])
    assert tally.total == sum(length for _start, length in spans)


async def test_what_has_come_is_written_while_the_rest_is_waited_for() -> None:
    source, sink, tally = Bytes(content(), 2 * CHUNK), Memory(SIZE), Tally()
    job = asyncio.create_task(copying.copy(source, sink, [(0, SIZE)], [], tally))
    while tally.total < 2 * CHUNK:
        await asyncio.sleep(0)
        assert not job.done()
    assert not any(sink.data[2 * CHUNK :])
    source.there = SIZE
    source.more.set()
    await job
    assert sink.data == source.data


async def test_a_source_is_read_ahead_by_no_more_than_the_buffers() -> None:
    class Stuck(Tally):
        async def wait(self) -> None:
            await asyncio.Event().wait()

    data = content(20 * CHUNK)
    source = Bytes(data)
    job = asyncio.create_task(copying.copy(source, Memory(len(data)), [(0, len(data))], [], Stuck()))
    while len(source.reads) < copying.BUFFERS:
        await asyncio.sleep(0)
    for _turn in range(1000):
        await asyncio.sleep(0)
    assert len(source.reads) == copying.BUFFERS
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job


async def test_the_disk_writes_down_what_it_keeps_in_its_own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "FLUSH_EVERY", CHUNK)
    sink = Memory(SIZE)
    await copying.copy(Bytes(content()), sink, [(0, SIZE)], [], Tally())
    # the last one, and more on the way
    assert sink.syncs > 2


async def test_a_source_that_ends_early_is_told() -> None:
    sink = Memory(SIZE)
    with pytest.raises(VerificationError, match=f"became shorter while it was copied, at byte {3 * CHUNK + 7}"):
        await copying.copy(Bytes(content()[: 3 * CHUNK + 7]), sink, [(0, SIZE)], [], Tally())
    sink.close()
    await asyncio.sleep(0.05)


async def test_an_error_of_the_sink_ends_it_all() -> None:
    source = Bytes(content(40 * CHUNK))
    sink = Memory(40 * CHUNK, fail_at=2 * CHUNK)
    with pytest.raises(DeviceFailingError, match="worn out"):
        await copying.copy(source, sink, [(0, 40 * CHUNK)], [], Tally())
    sink.close()
    assert len(source.reads) <= 3 + copying.BUFFERS
    await asyncio.sleep(0.05)


async def test_an_error_of_the_source_ends_it_all() -> None:
    class Broken(Bytes):
        async def read(self, offset: int, target: memoryview) -> int:
            if offset >= 2 * CHUNK:
                raise FailedError("the mirror is gone")
            return await super().read(offset, target)

    sink = Memory(SIZE)
    with pytest.raises(FailedError, match="the mirror is gone"):
        await copying.copy(Broken(content()), sink, [(0, SIZE)], [], Tally())
    sink.close()
    await asyncio.sleep(0.05)


async def test_an_error_of_a_hasher_ends_it_all() -> None:
    def look(_data: memoryview) -> None:
        raise FailedError("no")

    sink = Memory(SIZE)
    with pytest.raises(FailedError, match="no"):
        await copying.copy(Bytes(content()), sink, [(0, SIZE)], [look], Tally())
    sink.close()
    await asyncio.sleep(0.05)


async def test_a_cancelled_copy_leaves_no_writer_behind() -> None:
    source, sink, tally = Bytes(content(), 3 * CHUNK), Memory(SIZE), Tally()
    job = asyncio.create_task(copying.copy(source, sink, [(0, SIZE)], [], tally))
    while not tally.total:
        await asyncio.sleep(0)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    sink.close()
    assert not sink.busy


async def test_a_file_is_a_source_unless_it_has_another_size(tmp_path: Path) -> None:
    path = helpers.random_file(tmp_path / "one", 10_000, 1)
    fd = os.open(path, os.O_RDONLY)
    try:
        image = helpers.image("one.iso", size=10_000)
        target = memoryview(bytearray(4096))
        assert await copying.source_of(SourceImage(fd, image)).read(8192, target) == 1808
        assert target[:1808] == path.read_bytes()[8192:]
        with pytest.raises(VerificationError, match="has 10000 bytes instead of 10001"):
            copying.source_of(SourceImage(fd, helpers.image("one.iso", size=10_001)))
    finally:
        os.close(fd)


# ---- to a real file


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    path = tmp_path / "medium"
    path.write_bytes(bytes(3 * CHUNK))
    return path


@pytest.fixture
def disk(medium: Path) -> Iterator[int]:
    fd = os.open(medium, os.O_RDWR)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize(("offset", "length"), [(0, CHUNK), (4096, 5000), (100, 50), (4000, CHUNK), (512, 8192 + 13)])
def test_bytes_go_where_they_should_and_nowhere_else(medium: Path, direct: bool, offset: int, length: int) -> None:
    data = content(length)
    buffer = next(copying.buffers(1))
    with medium.open("r+b") as file:
        writer = MediumWriter(file.fileno(), direct=direct)
        (room,) = copying.buffers(1)
        room[:length] = data
        accepted = writer.write(room[:length], offset) + writer.sync()
        assert accepted == length
        assert writer.waiting == 0
        writer.close()
        found = medium.read_bytes()
        assert found[offset : offset + length] == data
        assert not any(found[:offset])
        assert not any(found[offset + length :])
        with MediumReader(file.fileno()) as reader:
            assert reader.read_into(buffer, offset, length) == data


@pytest.mark.parametrize("direct", [True, False])
async def test_little_waits_in_memory_whatever_is_written(tmp_path: Path, direct: bool) -> None:
    """What the device may not have yet is bounded, and what is counted as accepted, it has."""
    size = 12 * CHUNK + 100
    path = tmp_path / "file"
    with path.open("w+b") as file:
        file.truncate(size)

        class Watched:
            def __init__(self) -> None:
                self.writer = MediumWriter(file.fileno(), direct=direct)
                self.most = self.given = 0

            def write(self, data: memoryview, offset: int) -> int:
                self.given += len(data)
                accepted = self.writer.write(data, offset)
                self.most = max(self.most, self.writer.waiting)
                return accepted

            def sync(self) -> int:
                return self.writer.sync()

            def close(self) -> None:
                self.writer.close()

        class Behind(Tally):
            def __init__(self) -> None:
                super().__init__()
                self.most = 0

            def count(self, count: int) -> None:
                super().count(count)
                self.most = max(self.most, sink.given - self.total)

        sink, tally = Watched(), Behind()
        await copying.copy(Bytes(content(size)), sink, [(0, size)], [], tally)
        sink.close()
        assert sink.most <= CHUNK + copying.WRITES * CHUNK
        assert tally.most <= CHUNK + 2 * copying.WRITES * CHUNK
        assert tally.total == size
        if direct and writes_directly(tmp_path):
            assert sink.most <= 4096, "whole pages went through the page cache"
    assert path.read_bytes() == content(size)


def writes_directly(directory: Path) -> bool:
    """Whether the filesystem of the tests has O_DIRECT at all; tmpfs of old has not."""
    path = directory / "probe"
    path.write_bytes(b"")
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_DIRECT))
    except OSError:
        return False
    return True


async def test_pieces_are_read_in_order_with_their_holes(medium: Path) -> None:
    data = content(3 * CHUNK)
    medium.write_bytes(data)
    parts = (
        Piece(0, CHUNK + 512, 512, True),
        Piece(CHUNK + 512, 8192, None, True),
        Piece(CHUNK + 8704, 5000, 2 * CHUNK, True),
    )
    seen, tally = bytearray(), Tally()
    with medium.open("r+b") as file, MediumReader(file.fileno()) as reader:
        await copying.look_through(reader, 4096, parts, seen.extend, tally)
    want = data[4608 : 4608 + CHUNK + 512] + bytes(8192) + data[4096 + 2 * CHUNK : 4096 + 2 * CHUNK + 5000]
    assert seen == want
    assert tally.total == len(want)


# ---- read back while others are written


async def early_reading(disk: int, data: bytes, sha256: str) -> EarlyReading:
    """An image at byte 8192 of the medium, read back while nothing is written any more."""
    duplex = Duplex(lambda _count: None, lambda _count: None)
    early = EarlyReading(disk, 4096, duplex)
    early.add(
        SourceImage(-1, helpers.image("one.iso", size=len(data), sha256=sha256)),
        (Piece(0, len(data), 4096, True),),
    )
    duplex.nothing_to_write()
    job = asyncio.create_task(early.run())
    await asyncio.sleep(0)
    early.stop()
    await job
    return early


def write_image(medium: Path, size: int) -> bytes:
    data = content(size)
    with medium.open("r+b") as file:
        file.seek(8192)
        file.write(data)
    return data


async def test_an_image_that_was_read_early_need_not_be_read_again(medium: Path, disk: int) -> None:
    data = write_image(medium, CHUNK + 5000)
    early = await early_reading(disk, data, hashlib.sha256(data).hexdigest())
    # in two rows that are one
    where = (Piece(0, CHUNK, 4096, True), Piece(CHUNK, 5000, 4096 + CHUNK, True))
    assert await early.check({"one.iso": where}) == {"one.iso"}


async def test_an_image_that_is_read_early_and_differs_ends_the_job(medium: Path, disk: int) -> None:
    data = write_image(medium, CHUNK)
    with pytest.raises(VerificationError, match="read back from the medium differs"):
        await early_reading(disk, data, "0" * 64)


async def test_a_stick_that_wraps_over_an_image_that_was_read_already_is_found_out(medium: Path, disk: int) -> None:
    data = write_image(medium, CHUNK + 5000)
    early = await early_reading(disk, data, hashlib.sha256(data).hexdigest())
    with medium.open("r+b") as file:
        file.seek(8192 + 1_000_000)
        file.write(bytes(1_100_000))
    with pytest.raises(VerificationError, match="smaller than it claims"):
        await early.check({"one.iso": (Piece(0, len(data), 4096, True),)})


async def test_an_image_that_lies_elsewhere_than_it_was_read_is_found_out(medium: Path, disk: int) -> None:
    data = write_image(medium, CHUNK)
    early = await early_reading(disk, data, hashlib.sha256(data).hexdigest())
    with pytest.raises(DeviceFailingError, match="lies elsewhere"):
        await early.check({"one.iso": (Piece(0, len(data), 8192, True),)})
