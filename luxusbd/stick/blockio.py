"""Reading and writing a disk or an image file through its descriptor; blocking, so called in threads.

`MediumReader` reads past the page cache: what it returns has come from the medium, not from memory that was meant to
be written there (open(2), O_DIRECT).
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import mmap
import os
import stat
import struct
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from luxusbd.errors import (
    DeviceError,
    DeviceFailingError,
    DeviceNotFoundError,
    DeviceReadOnlyError,
    FailedError,
    LuxusbError,
    NotEnoughSpaceError,
)

ALIGNMENT = 4096
CHUNK = 4 * 1024 * 1024
BLKGETSIZE64 = 0x80081272
BLKSSZGET = 0x1268
BLKFLSBUF = 0x1261

ReadAt = Callable[[int, int], bytes]
"""(offset, length) to exactly that many bytes, or an error."""

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run blocking work; a cancellation waits until it has ended, so that nothing writes behind the caller's back."""
    return await finish(asyncio.to_thread(function, *args, **kwargs))


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Await `work` to its end even when cancelled meanwhile; then the cancellation goes on."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            # what the caller was cancelled for is more telling, and asyncio complains of an error that nobody looked at
            task.exception()
        raise


def size_of(fd: int) -> int:
    """Bytes of the disk or file behind a descriptor."""
    status = os.fstat(fd)
    if stat.S_ISBLK(status.st_mode):
        return int(struct.unpack("Q", fcntl.ioctl(fd, BLKGETSIZE64, bytes(8)))[0])
    return status.st_size


def sector_size_of(fd: int) -> int:
    """Logical sector size in bytes; 512 for a file."""
    if stat.S_ISBLK(os.fstat(fd).st_mode):
        return int(struct.unpack("I", fcntl.ioctl(fd, BLKSSZGET, bytes(4)))[0])
    return 512


def read_at(fd: int) -> ReadAt:
    """Plain reads through the page cache, for a descriptor that someone else gave."""

    def read(offset: int, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            try:
                piece = os.pread(fd, length - len(data), offset + len(data))
            except OSError as error:
                raise translated(error, "reading") from error
            if not piece:
                raise DeviceError(f"the medium ends at byte {offset + len(data)}, before byte {offset + length}")
            data += piece
        return bytes(data)

    return read


def write_all(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write everything at an offset.

    Raises:
        LuxusbError: as `translated` makes it.
    """
    view = memoryview(data)
    try:
        while view:
            done = os.pwrite(fd, view, offset)
            view = view[done:]
            offset += done
    except OSError as error:
        raise translated(error, "writing") from error


def sync(fd: int) -> None:
    """Until this returns, the device may still lose what was written (fdatasync(2))."""
    try:
        os.fdatasync(fd)
    except OSError as error:
        raise translated(error, "flushing") from error


def translated(error: OSError, doing: str) -> LuxusbError:
    """The project's error for what the kernel says about a device."""
    if error.errno in (errno.ENODEV, errno.ENXIO, errno.ENOMEDIUM):
        return DeviceNotFoundError(f"the disk went away while {doing} it")
    if error.errno == errno.EIO:
        return DeviceFailingError(
            f"input/output error while {doing} the disk: it is worn out, pulled or badly plugged; try another port"
        )
    if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        return NotEnoughSpaceError(f"no space left while {doing}")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return DeviceReadOnlyError(f"{doing} is refused: {error.strerror}")
    return FailedError(f"{doing} failed: {error.strerror}")


class MediumReader:
    """Reads from the medium itself, with aligned buffers; used by one thread at a time."""

    def __init__(self, fd: int) -> None:
        self._source = fd
        self._buffer = mmap.mmap(-1, CHUNK)
        self._size = size_of(fd)
        try:
            self._fd = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
            self._direct = True
        except OSError as error:
            if error.errno != errno.EINVAL:
                self._buffer.close()
                raise translated(error, "reading") from error
            # a filesystem without O_DIRECT: drop the cached pages instead
            self._fd = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
            self._direct = False

    def close(self) -> None:
        """Give the descriptor back; the buffer goes with its last view, which an error of a read may still hold."""
        os.close(self._fd)

    def __enter__(self) -> MediumReader:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`.

        Raises:
            DeviceError: the medium is shorter, or cannot be read.
        """
        if offset < 0 or length < 0 or offset + length > self._size:
            raise DeviceError(f"bytes {offset} to {offset + length} lie beyond the medium of {self._size} bytes")
        parts: list[bytes] = []
        while length:
            start = offset // ALIGNMENT * ALIGNMENT
            skip = offset - start
            wanted = min(CHUNK, -(-(skip + length) // ALIGNMENT) * ALIGNMENT)
            got = self._fill(start, memoryview(self._buffer)[:wanted])
            piece = self._buffer[skip : min(got, skip + length)]
            if not piece:
                raise DeviceError(f"the medium could not be read at byte {offset}")
            parts.append(piece)
            offset += len(piece)
            length -= len(piece)
        return b"".join(parts)

    def read_into(self, buffer: memoryview, offset: int, length: int) -> memoryview:
        """As `read_at`, into a buffer that the caller gives, and so by any number of threads at once.

        Args:
            buffer: begins at the start of a page, and has room for `length` bytes and a page more.
            offset: of the first byte.
            length: bytes.

        Returns:
            The part of `buffer` with the bytes.
        """
        if offset < 0 or length < 0 or offset + length > self._size:
            raise DeviceError(f"bytes {offset} to {offset + length} lie beyond the medium of {self._size} bytes")
        start = offset // ALIGNMENT * ALIGNMENT
        skip = offset - start
        wanted = -(-(skip + length) // ALIGNMENT) * ALIGNMENT
        done = 0
        while done < skip + length:
            # the page in which a read ended early is read once more
            again = done // ALIGNMENT * ALIGNMENT
            got = again + self._fill(start + again, buffer[again:wanted])
            if got <= done:
                raise DeviceError(f"the medium could not be read at byte {start + done}")
            done = got
        return buffer[skip : skip + length]

    def _fill(self, start: int, target: memoryview) -> int:
        try:
            if not self._direct:
                os.fdatasync(self._source)
                os.posix_fadvise(self._fd, start, len(target), os.POSIX_FADV_DONTNEED)
            return os.preadv(self._fd, [target], start)
        except OSError as error:
            raise translated(error, "reading") from error
