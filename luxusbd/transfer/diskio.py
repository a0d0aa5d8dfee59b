"""Blocking file primitives of the data path; every one of them runs in a thread, never in the loop."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import threading
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from luxusbd.errors import FailedError, LuxusbError, NotEnoughSpaceError
from luxusbd.text import size_text
from luxusbd.transfer.segments import Span

MIB = 1024 * 1024
HASH_STEP = 16 * MIB
"""Bytes hashed in one go by a thread; between two steps a cancellation is noticed."""
READ_SIZE = 1 * MIB
FLUSH_STEP = 64 * MIB
"""Bytes of a file that is written in one go, after which the disk has to have them."""
MAX_VECTORS = 512
"""Chunks in one pwritev; Linux allows 1024 (IOV_MAX)."""

_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = _libc.fallocate64 if hasattr(_libc, "fallocate64") else _libc.fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_fallocate.restype = ctypes.c_int

FALLOC_FL_KEEP_SIZE = 1
FALLOC_FL_PUNCH_HOLE = 2
HOLE_ALIGN = 1 * MIB
"""A hole begins at a multiple of it: a block is given back only by a hole that covers all of it, also where the blocks
are large (bigalloc of ext4, clusters of ntfs3)."""
NO_HOLES = (errno.EOPNOTSUPP, errno.ENOSYS)

_R = TypeVar("_R")


class Flusher:
    """Brings a file to the disk while it is written, a part at a time.

    A flush cannot be stopped, nor can a process be ended that waits for one: of a file of gigabytes the last one would
    take as long as the disk needs for all that memory still holds.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waiting = 0

    def wrote(self, count: int) -> None:
        """So many bytes more; returns when no more than `FLUSH_STEP` are left to be flushed.

        Raises:
            OSError: the disk does not take them.
        """
        self._waiting += count
        if self._waiting >= FLUSH_STEP:
            os.fdatasync(self._fd)
            self._waiting = 0


class Hash(Protocol):
    """A running hash, as hashlib makes them."""

    def update(self, data: Any, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """The hash of all bytes so far, which may go on afterwards."""


async def in_thread(
    executor: Executor | None,
    function: Callable[..., _R],
    *args: Any,
    stop: threading.Event | None = None,
    undo: Callable[[_R], None] | None = None,
) -> _R:
    """Run `function` in `executor` (None: the loop's own) and wait for its end, also when cancelled meanwhile.

    `stop` is set when the caller is cancelled, for a function that looks at it and ends early; `undo` gets the result
    that a cancelled caller does not take any more. Unlike with `asyncio.to_thread`, nothing goes on behind the back of
    a cancelled caller, so that it may close the descriptors which the thread used.
    """
    future = asyncio.get_running_loop().run_in_executor(executor, function, *args)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if stop is not None:
            stop.set()
        await settled(future)
        if undo is not None and not future.cancelled() and future.exception() is None:
            undo(future.result())
        raise


async def settled(future: asyncio.Future[Any]) -> None:
    """Wait until `future` is done whatever cancels the caller, and take note of its exception."""
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError:
            continue
    if not future.cancelled():
        future.exception()


def allocate(fd: int, size: int) -> bool:
    """Reserve `size` bytes for a file, which is that long afterwards.

    Returns whether the space is really reserved. Where the filesystem cannot (vfat, exfat, many fuse ones) the file is
    made that long and nothing is reserved; posix_fallocate would write zeros there, gigabytes of them.

    Raises:
        OSError: ENOSPC and everything else.
    """
    while _fallocate(fd, 0, 0, size) != 0:
        code = ctypes.get_errno()
        if code == errno.EINTR:
            continue
        if code in (errno.EOPNOTSUPP, errno.ENOSYS):
            os.ftruncate(fd, size)
            return False
        raise OSError(code, os.strerror(code))
    return True


def punch(fd: int, start: int, end: int) -> None:
    """Give the bytes [start, end) of a file back to the filesystem; they read as zeros, and its length stays.

    Of the blocks at both ends the rest is kept: whoever punches a file bit by bit from its start on begins each time at
    the last end, rounded down by `HOLE_ALIGN`.

    Raises:
        OSError: one of `NO_HOLES` where the filesystem cannot do it; everything else.
    """
    while _fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start, end - start) != 0:
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))


def write_all(fd: int, chunks: Sequence[bytes | memoryview], offset: int) -> int:
    """Write `chunks` one after the other at `offset`; the number of bytes.

    Raises:
        OSError: from pwritev(2).
    """
    pending: list[bytes | memoryview] = list(chunks)
    done = 0
    while pending:
        count = os.pwritev(fd, pending[:MAX_VECTORS], offset + done)
        if count == 0:
            raise OSError(errno.EIO, "the device took no bytes")
        done += count
        while pending and count >= len(pending[0]):
            count -= len(pending.pop(0))
        if count:
            pending[0] = memoryview(pending[0])[count:]
    return done


@dataclass(frozen=True)
class Placed:
    """Bytes that belong into a file at `span`."""

    span: Span
    chunks: Sequence[bytes | memoryview]


def place_all(fd: int, parts: Sequence[Placed], *, summed: bool) -> tuple[int, ...]:
    """Write every part to its place.

    With `summed`, the CRC-32 of each, by which a fault of the disk is known from one of a mirror; it costs 0.3 s of a
    core for a GiB.

    Raises:
        OSError: from pwritev(2).
    """
    sums = []
    for part in parts:
        write_all(fd, part.chunks, part.span.start)
        if summed:
            crc = 0
            for chunk in part.chunks:
                crc = zlib.crc32(chunk, crc)
            sums.append(crc)
    return tuple(sums)


def crc_of(fd: int, span: Span) -> int:
    """The CRC-32 of the bytes of `span` as they are in the file now."""
    crc = 0
    for position in range(span.start, span.end, READ_SIZE):
        crc = zlib.crc32(os.pread(fd, min(READ_SIZE, span.end - position), position), crc)
    return crc


def forget_cached(fd: int) -> None:
    """Have the next reads come from the disk itself, where the kernel agrees. Synced bytes only."""
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def hash_span(fd: int, running: Hash, start: int, end: int) -> int:
    """Feed the bytes [start, end) of a file to `running`; how many there were, fewer only at the end of the file."""
    buffer = bytearray(min(READ_SIZE, max(1, end - start)))
    view = memoryview(buffer)
    position = start
    while position < end:
        count = os.preadv(fd, [view[: min(len(view), end - position)]], position)
        if count == 0:
            break
        running.update(view[:count])
        position += count
    return position - start


def first_difference(fd: int, data: bytes, offset: int) -> int | None:
    """Index of the first byte of `data` that differs from the file at `offset`, None when all are equal."""
    there = os.pread(fd, len(data), offset)
    if there == data:
        return None
    low, high = 0, min(len(there), len(data))
    if there[:high] == data[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if there[low:middle] == data[low:middle]:
            low = middle
        else:
            high = middle
    return low


def free_space(fd: int) -> int:
    """Bytes that this process may still write to the filesystem of `fd`."""
    status = os.fstatvfs(fd)
    return status.f_bavail * status.f_frsize


def allocated(fd: int) -> int:
    """Bytes that the file occupies on the disk."""
    return os.fstat(fd).st_blocks * 512


def disk_error(error: OSError, path: str, missing: int = 0) -> LuxusbError:
    """The failure to show for an error of the disk that holds `path`; `missing` is how many bytes did not fit."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = "the disk quota is used up" if error.errno == errno.EDQUOT else "the disk is full"
        much = f"; {size_text(missing)} more are needed" if missing > 0 else ""
        return NotEnoughSpaceError(f"{what} while writing {path}{much}: free some space, then resume the job")
    return FailedError(f"the disk failed while writing {path}: {error.strerror or error}")
