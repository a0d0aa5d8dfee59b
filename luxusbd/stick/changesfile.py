"""The file with a filesystem of its own in which a system keeps changes: made, read from a stick, written to one."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from luxusbd import process
from luxusbd.errors import NotEnoughSpaceError, ToolFailedError
from luxusbd.images.model import Persistence
from luxusbd.stick import kinds, room
from luxusbd.stick.blockio import CHUNK, finish, in_thread
from luxusbd.stick.filesystem import DataFilesystem, Kind
from luxusbd.stick.isofiles import pieces
from luxusbd.stick.layout import BLOCK
from luxusbd.stick.model import PartitionRole
from luxusbd.stick.session import SYNC_EVERY, Session

_FREE = re.compile(rb"^  Free blocks: *(.*)$", re.MULTILINE)
_COUNT = re.compile(rb"^Block count: *(\d+)$", re.MULTILINE)


async def make(session: Session, way: Persistence, path: str, size: int) -> None:
    """A file with an ext4 of its own; of its blocks only those are written that mean something to it."""
    size = size // BLOCK * BLOCK
    with tempfile.TemporaryDirectory(prefix="luxusb-work-") as directory:
        made = Path(directory) / "changes"
        inside = Path(directory) / "inside"
        await in_thread(lay_out, inside, way.files)
        command = room.mke2fs_for_changes(str(made), size, kinds.new_uuid(Kind.EXT4), way.name, str(inside))
        await finish(process.run(command, timeout=1800))
        await write(session, made, size, path)


async def write(session: Session, made: Path, size: int, path: str) -> None:
    """Write a filesystem in a file to a stick; of its blocks only those that mean something to it.

    Raises:
        ToolFailedError: it is not of `size` bytes.
    """
    spans = await _used(made, size)
    session.progress.expect(session.progress.done + sum(length for _start, length in spans))
    partial = f"{path}.tmp"
    sink = await session.room.allocate(partial, size)
    try:
        source = await in_thread(os.open, made, os.O_RDONLY | os.O_CLOEXEC)
        try:
            unsynced = 0
            for start, length in spans:
                for offset in range(start, start + length, CHUNK):
                    count = min(CHUNK, start + length - offset)
                    data = await in_thread(os.pread, source, count, offset)
                    await in_thread(sink.write, memoryview(data.ljust(count, b"\0")), offset)
                    unsynced += count
                    if unsynced >= SYNC_EVERY:
                        await in_thread(sink.sync)
                        session.progress.advance(unsynced)
                        unsynced = 0
            await in_thread(sink.sync)
            session.progress.advance(unsynced)
        finally:
            os.close(source)
    finally:
        await in_thread(sink.close)
    session.after_step("persistence-written")
    await session.room.publish(partial, path)


def take_out(session: Session, path: str, target: Path) -> None:
    """Copy a file of a stick; blocks of zeros become holes.

    Raises:
        NotEnoughSpaceError: it holds more than there is room for temporary files.
        MalformedImageError: it cannot be read, or is not there.
    """

    def places(filesystem: DataFilesystem) -> tuple[int, tuple[tuple[int | None, int], ...]]:
        node = filesystem.lookup(path)
        size = 0 if node is None else node.size
        found = pieces(filesystem.extents(path), filesystem.block_size, size)
        return size, tuple((piece.place if piece.initialised else None, piece.length) for piece in found)

    size, found = session.on_medium(places)
    base = session.layout.partition(PartitionRole.DATA).start
    try:
        with session.medium() as medium, target.open("wb") as file:
            file.truncate(size)
            at = 0
            for place, length in found:
                for offset in range(0, length if place is not None else 0, CHUNK):
                    assert place is not None
                    data = medium.read_at(base + place + offset, min(CHUNK, length - offset))
                    for start in range(0, len(data), BLOCK):
                        block = data[start : start + BLOCK]
                        if any(block):
                            os.pwrite(file.fileno(), block, at + offset + start)
                at += length
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise NotEnoughSpaceError(
            "what is in it is more than this service can hold while it makes the file anew, so that its size stays"
        ) from error


def lay_out(root: Path, files: Sequence[tuple[str, str]]) -> None:
    """Make a directory with what a system wants in its room for changes."""
    root.mkdir()
    for path, text in files:
        target = root / path.lstrip("/")
        if text:
            target.write_text(text, "ascii")
        else:
            target.mkdir()


async def _used(path: Path, size: int) -> tuple[tuple[int, int], ...]:
    """(start, length) in bytes of what a filesystem in a file has in use."""
    said = (await process.run(["dumpe2fs", str(path)], timeout=600)).stdout
    count = _COUNT.search(said)
    if count is None or int(count.group(1)) * BLOCK != size:
        raise ToolFailedError("dumpe2fs says another size of a filesystem than mke2fs was told")
    return tuple(_between(list(_ranges(said)), size // BLOCK))


def _ranges(said: bytes) -> Iterator[tuple[int, int]]:
    for line in _FREE.findall(said):
        for part in filter(None, (each.strip() for each in line.split(b","))):
            first, _dash, last = part.partition(b"-")
            yield int(first), int(last or first) + 1


def _between(free: Sequence[tuple[int, int]], blocks: int) -> Iterator[tuple[int, int]]:
    at = 0
    for first, end in sorted(free):
        if first > at:
            yield at * BLOCK, (first - at) * BLOCK
        at = end
    if at < blocks:
        yield at * BLOCK, (blocks - at) * BLOCK
