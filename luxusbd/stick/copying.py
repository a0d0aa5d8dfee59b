"""Copies an image onto a stick and reads it back; nothing waits for what could be done meanwhile.

A few buffers go around: while one is filled from the source, others are hashed and written. The device always has
another write before it, and no more is in memory than these buffers hold and `mediumwriter` allows.
"""

from __future__ import annotations

import asyncio
import hashlib
import mmap
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from luxusbd.errors import VerificationError, host_error, most_telling
from luxusbd.stick import reader
from luxusbd.stick.blockio import ALIGNMENT, CHUNK, MediumReader, in_thread
from luxusbd.stick.isofiles import Piece, check_beginning, pieces
from luxusbd.stick.model import Layout, Pace, PartitionRole, SourceImage
from luxusbd.stick.progress import Progress
from luxusbd.stick.room import Sink

WRITES = 2
"""In flight at once, so that the device has the next one when it is done with one."""
READS = 4
BUFFERS = WRITES + 3
"""One more is being filled, one hashed, and one waits."""
FLUSH_EVERY = 64 * 1024 * 1024
"""A disk that keeps what it accepted in a memory of its own (most that are no sticks) is made to write that down so
often, while the writing goes on: so the flush at the end has twice as much to do at most."""

Count = Callable[[int], None]
Look = Callable[[memoryview], None]


class Turns(Protocol):
    """Counts bytes, and says when the medium may be asked for more of them."""

    async def wait(self) -> None:
        """Return when it may."""

    def count(self, count: int) -> None:
        """So many bytes more are written or read."""


class Source(Protocol):
    """The bytes of an image, which need not all be there yet."""

    async def read(self, offset: int, target: memoryview) -> int:
        """Fill `target` from byte `offset` on, and wait for bytes that are still to come.

        Returns:
            How many bytes were put there: all of them, or fewer where the source ends.

        Raises:
            LuxusbError: they will not come.
        """


class FileSource:
    """A file that is whole; a `Source`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    async def read(self, offset: int, target: memoryview) -> int:
        """Fill `target`."""
        return await in_thread(self._read, offset, target)

    def _read(self, offset: int, target: memoryview) -> int:
        done = 0
        try:
            while done < len(target) and (count := os.preadv(self._fd, [target[done:]], offset + done)):
                done += count
        except OSError as error:
            raise host_error(error, "reading the image") from error
        return done


@dataclass(frozen=True)
class Paced:
    """A `Source` that others read, too, at one pace."""

    source: Source
    pace: Pace

    async def read(self, offset: int, target: memoryview) -> int:
        """Fill `target` when it may be."""
        await self.pace.before(len(target))
        return await self.source.read(offset, target)


class AtOnce:
    """For a medium that has nothing else to do; a `Turns`."""

    def __init__(self, counted: Count) -> None:
        self.count = counted

    async def wait(self) -> None:
        """Return at once."""


def source_of(source: SourceImage) -> Source:
    """Where the bytes of an image come from.

    Raises:
        VerificationError: it has not the size that it should have.
    """
    size = os.fstat(source.fd).st_size
    if size != source.image.size:
        raise VerificationError(f"{source.image.name}: the file has {size} bytes instead of {source.image.size}")
    return FileSource(source.fd)


@dataclass
class _Chunk:
    """A buffer on its way; it is free again when all its `users` are done with it."""

    buffer: memoryview
    offset: int
    count: int
    users: int

    @property
    def data(self) -> memoryview:
        return self.buffer[: self.count]


class _Copy:
    def __init__(self, source: Source, sink: Sink, hashers: Sequence[Look], turns: Turns) -> None:
        self._source = source
        self._sink = sink
        self._hashers = hashers
        self._turns = turns
        self._free: asyncio.Queue[memoryview] = asyncio.Queue()
        for buffer in buffers(BUFFERS):
            self._free.put_nowait(buffer)
        self._to_hash: asyncio.Queue[_Chunk | None] = asyncio.Queue()
        self._to_write: asyncio.Queue[_Chunk | None] = asyncio.Queue()
        self._unflushed = 0
        self._flush: asyncio.Task[None] | None = None

    async def run(self, spans: Iterable[tuple[int, int]]) -> None:
        async with together() as group:
            group.create_task(self._read(spans))
            group.create_task(self._hash())
            writers = [group.create_task(self._write(group)) for _number in range(WRITES)]
            await asyncio.gather(*writers)
            if self._flush is not None:
                await self._flush
            await self._sync()

    async def _read(self, spans: Iterable[tuple[int, int]]) -> None:
        for start, length in spans:
            for offset in range(start, start + length, CHUNK):
                wanted = min(CHUNK, start + length - offset)
                buffer = await self._free.get()
                count = await self._source.read(offset, buffer[:wanted])
                if count < wanted:
                    raise VerificationError(
                        f"the image file became shorter while it was copied, at byte {offset + count}"
                    )
                chunk = _Chunk(buffer, offset, count, 2)
                self._to_hash.put_nowait(chunk)
                self._to_write.put_nowait(chunk)
        self._to_hash.put_nowait(None)
        for _writer in range(WRITES):
            self._to_write.put_nowait(None)

    async def _hash(self) -> None:
        while (chunk := await self._to_hash.get()) is not None:
            data = chunk.data
            async with together() as group:
                for look in self._hashers:
                    group.create_task(in_thread(look, data))
            self._done_with(chunk)

    async def _write(self, group: asyncio.TaskGroup) -> None:
        while (chunk := await self._to_write.get()) is not None:
            await self._turns.wait()
            self._turns.count(await in_thread(self._sink.write, chunk.data, chunk.offset))
            self._unflushed += chunk.count
            self._done_with(chunk)
            if self._unflushed >= FLUSH_EVERY and self._flush is not None:
                await asyncio.wait([self._flush])
            # not if the other writer came first
            if self._unflushed >= FLUSH_EVERY:
                self._unflushed = 0
                self._flush = group.create_task(self._sync())

    async def _sync(self) -> None:
        self._turns.count(await in_thread(self._sink.sync))

    def _done_with(self, chunk: _Chunk) -> None:
        chunk.users -= 1
        if not chunk.users:
            self._free.put_nowait(chunk.buffer)


async def copy(
    source: Source, sink: Sink, spans: Iterable[tuple[int, int]], hashers: Sequence[Look], turns: Turns
) -> None:
    """Write parts of a source to the same places of a file, until the device has them.

    Args:
        source: what is copied.
        sink: stays open.
        spans: (start, length) in bytes of what is copied; of a whole image one from 0 on.
        hashers: get these bytes in their order, each in a thread of its own.
        turns: is told how many more bytes the device has accepted.

    Raises:
        VerificationError: the source ends before one of the spans does.
        LuxusbError: of source or sink. Nothing is read or written any more then.
    """
    await _Copy(source, sink, hashers, turns).run(spans)


async def hash_file(fd: int, layout: Layout, path: str, size: int, progress: Progress) -> str:
    """SHA-256 of a file on the data partition, read from the medium without mounting.

    Raises:
        MalformedImageError: the file is not there, or GRUB could not read it.
    """
    with MediumReader(fd) as medium:
        filesystem = await in_thread(reader.open_data, medium.read_at, layout)
        extents = await in_thread(filesystem.extents, path)
        parts = tuple(pieces(extents, filesystem.block_size, size))
        check_beginning(parts)
        hasher = hashlib.sha256()
        await look_through(
            medium, layout.partition(PartitionRole.DATA).start, parts, hasher.update, AtOnce(progress.advance)
        )
        return hasher.hexdigest()


async def look_through(medium: MediumReader, base: int, parts: Sequence[Piece], look: Look, turns: Turns) -> None:
    """Read what lies on the medium in places of a partition, the next part under way while one is looked at.

    Args:
        medium: stays open.
        base: first byte of the partition.
        parts: in the order of the file.
        look: gets the bytes in their order, in a thread.
        turns: is told of bytes when they were looked at.

    Raises:
        DeviceError: the medium cannot be read.
    """
    free = list(buffers(READS + 1))
    under_way: deque[tuple[asyncio.Task[memoryview], memoryview]] = deque()
    ahead = chunks(parts)
    async with together() as group:

        async def read(place: int | None, count: int, buffer: memoryview) -> memoryview:
            if place is None:
                # a copy made by hand may have holes, which GRUB reads as zeros
                return memoryview(bytes(count))
            await turns.wait()
            return await in_thread(medium.read_into, buffer, base + place, count)

        def start() -> None:
            while len(under_way) < READS and (chunk := next(ahead, None)) is not None:
                buffer = free.pop()
                under_way.append((group.create_task(read(*chunk, buffer)), buffer))

        start()
        while under_way:
            task, buffer = under_way.popleft()
            data = await task
            start()
            await in_thread(look, data)
            turns.count(len(data))
            free.append(buffer)


def chunks(parts: Iterable[Piece]) -> Iterator[tuple[int | None, int]]:
    """(place on the partition, length) of what `look_through` shows at a time; the place of a hole is None."""
    for piece in parts:
        for offset in range(0, piece.length, CHUNK):
            yield None if piece.place is None else piece.place + offset, min(CHUNK, piece.length - offset)


def buffers(count: int) -> Iterator[memoryview]:
    """Buffers for direct reads and writes, which begin at the start of a page.

    Each holds `CHUNK` bytes, and a page more for a read that begins within a sector.
    """
    size = CHUNK + ALIGNMENT
    # given back when the last view of it goes
    memory = memoryview(mmap.mmap(-1, size * count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    for number in range(count):
        yield memory[number * size : (number + 1) * size]


@asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group that raises what went wrong, not a group of it."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        raise most_telling(errors) from errors
