"""The file with a filesystem of its own in which a system keeps changes: made, read from a stick, written to one."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from luxusbd import process
from luxusbd.errors import NotEnoughSpaceError, ToolFailedError
from luxusbd.images.model import Persistence
from luxusbd.stick import copying, kinds, room, skeleton
from luxusbd.stick.blockio import CHUNK, finish, in_thread
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.isofiles import StickFile
from luxusbd.stick.layout import BLOCK
from luxusbd.stick.session import Session

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


async def write(session: Session, made: Path, size: int, path: str, old: Contents | None = None) -> None:
    """Write a filesystem in a file to a stick; of its blocks only those that mean something to it.

    Args:
        session: of the stick.
        made: the file.
        size: bytes of the filesystem.
        path: where it goes.
        old: where to read what is in its files, when `made` does not have it.

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
            await copying.copy(_Made(source, old), sink, spans, (), copying.AtOnce(session.progress.advance))
        finally:
            os.close(source)
    finally:
        await in_thread(sink.close)
    session.after_step("persistence-written")
    await session.room.publish(partial, path)


@dataclass(frozen=True)
class _Made:
    """A `copying.Source`."""

    fd: int
    old: Contents | None

    async def read(self, offset: int, target: memoryview) -> int:
        """Fill `target`; the file may end before the filesystem does."""
        return await in_thread(self._read, offset, target)

    def _read(self, offset: int, target: memoryview) -> int:
        data = os.pread(self.fd, len(target), offset).ljust(len(target), b"\0")
        target[:] = data if self.old is None else self.old.completed(data, offset)
        return len(target)


@dataclass(frozen=True)
class Contents:
    """What is in the files of a filesystem, where it was before its size was changed."""

    file: StickFile
    marks: bytearray
    """1 for each block that holds some of it."""

    def completed(self, data: bytes, offset: int) -> bytes:
        """A part of the filesystem with what is in its files; blocks that somebody has written stay as they are."""
        first, count = offset // BLOCK, len(data) // BLOCK
        if 1 not in self.marks[first : first + count]:
            return data
        old = skeleton.read_all(self.file, offset, len(data))
        whole = bytearray(data)
        for index in range(count):
            block = slice(index * BLOCK, (index + 1) * BLOCK)
            if first + index < len(self.marks) and self.marks[first + index] and not any(data[block]):
                whole[block] = old[block].ljust(BLOCK, b"\0")
        return bytes(whole)


def take_out(file: StickFile, target: Path, *, whole: bool) -> bool:
    """Copy a filesystem in a file of a stick; blocks of zeros become holes.

    Args:
        file: on the stick.
        target: the copy.
        whole: False to leave out what is in the files of the filesystem, where these can be told.

    Returns:
        Whether all of it was copied.

    Raises:
        NotEnoughSpaceError: it holds more than there is room for temporary files.
        MalformedImageError: it cannot be read, or is not there.
    """
    out = None if whole else skeleton.dispensable(file, BLOCK)
    try:
        with target.open("wb") as copy:
            copy.truncate(file.size)
            for offset in range(0, file.size, CHUNK):
                first = offset // BLOCK
                if out is not None and 0 not in out[first : first + CHUNK // BLOCK]:
                    continue
                data = skeleton.read_all(file, offset, CHUNK)
                for start in range(0, len(data), BLOCK):
                    number = first + start // BLOCK
                    left_out = out is not None and number < len(out) and out[number]
                    if not left_out and any(block := data[start : start + BLOCK]):
                        os.pwrite(copy.fileno(), block, offset + start)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise NotEnoughSpaceError(
            "more of what is in it would have to be moved than this service can hold at once, so that its size stays;"
            " choose a larger size than it has, or save what you need from it and make it anew"
        ) from error
    return out is None


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
