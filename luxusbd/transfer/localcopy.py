"""Copies and hashes of local regular files behind descriptors, in a thread, with progress and a stop switch."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from luxusbd.errors import CancelledError, FailedError, InvalidArgumentError, NotEnoughSpaceError
from luxusbd.text import size_text
from luxusbd.transfer.diskio import MIB, Flusher, Hash, disk_error, free_space, hash_span, write_all

STEP = 8 * MIB
"""Bytes between two looks at the stop switch."""

FICLONE = 0x40049409
"""ioctl_ficlonerange(2), linux/fs.h: _IOW(0x94, 9, int)."""
_NO_CLONE = (errno.EXDEV, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EPERM, errno.EACCES, errno.ETXTBSY)
_NO_FAST_COPY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY)


@dataclass(frozen=True)
class LocalFile:
    """What a file turned out to be."""

    sha256: str
    size: int
    cloned: bool = False
    """Whether it shares its blocks with the file that it was copied from."""


def hash_file(
    fd: int, progress: Callable[[int, int], None], stop: Callable[[], bool], *, running: Hash | None = None
) -> LocalFile:
    """Hash the regular file behind `fd`. `progress` gets bytes done and bytes in all, in this thread.

    `running` is a hash that gets all the bytes, in place of a sha256.

    Raises:
        InvalidArgumentError: it is no regular file.
        FailedError: it changed meanwhile.
        CancelledError: `stop` said yes.
    """
    before = _regular(fd, "the file")
    running = hashlib.sha256() if running is None else running
    position = 0
    while position < before.st_size:
        _go_on(stop)
        step = min(STEP, before.st_size - position)
        if hash_span(fd, running, position, position + step) != step:
            raise FailedError("the file became shorter while it was read")
        position += step
        progress(position, before.st_size)
    _unchanged(fd, before)
    return LocalFile(running.hexdigest(), before.st_size)


def copy_file(
    source: int,
    destination: int,
    size: int,
    progress: Callable[[int, int], None],
    stop: Callable[[], bool],
    *,
    running: Hash | None = None,
) -> LocalFile:
    """Copy the regular file behind `source`, which must have `size` bytes, and hash what arrived; synced at the end.

    Where the filesystem can, the copy shares its blocks with the source until one of them is written. What is hashed is
    the copy, so that the hash is right whatever becomes of the source. `running` is as for `hash_file`.

    Raises:
        InvalidArgumentError: one of them is no regular file, or the source has another size.
        FailedError: the source changed meanwhile, or a disk failed.
        NotEnoughSpaceError: it does not fit.
        CancelledError: `stop` said yes.
    """
    before = _regular(source, "the file to copy")
    _regular(destination, "the place to copy to")
    if before.st_size != size:
        raise InvalidArgumentError(f"the file to copy has {before.st_size} bytes, expected {size}")
    cloned = _clone(source, destination, size)
    lacking = size - free_space(destination)
    if lacking > 0 and not cloned:
        raise NotEnoughSpaceError(
            f"a copy needs {size_text(size)}, and {size_text(lacking)} too little are free: free some space, then try"
            " again"
        )
    running = hashlib.sha256() if running is None else running
    fast = True
    position = 0
    flusher = Flusher(destination)
    try:
        while position < size:
            _go_on(stop)
            step = min(STEP, size - position)
            count = step if cloned else _copy_fast(source, destination, position, step) if fast else None
            if count is None:
                fast = False
                count = _copy_slowly(source, destination, position, step)
            if count == 0:
                raise FailedError("the file became shorter while it was copied")
            if hash_span(destination, running, position, position + count) != count:
                raise FailedError("the copy became shorter while it was written")
            position += count
            if not cloned:
                flusher.wrote(count)
            progress(position, size)
        if not cloned:
            _unchanged(source, before)
        os.ftruncate(destination, size)
        os.fsync(destination)
    except OSError as error:
        raise disk_error(error, "the copy", size - position) from error
    return LocalFile(running.hexdigest(), size, cloned)


def _clone(source: int, destination: int, size: int) -> bool:
    """Let the destination have the blocks of the source, as they are at this moment."""
    try:
        fcntl.ioctl(destination, FICLONE, source)
    except OSError as error:
        if error.errno in _NO_CLONE:
            return False
        raise disk_error(error, "the copy", size) from error
    if os.fstat(destination).st_size != size:
        raise FailedError("the file changed while it was copied: is it still being written?")
    return True


def _copy_fast(source: int, destination: int, position: int, size: int) -> int | None:
    try:
        count = os.copy_file_range(source, destination, size, position, position)
    except OSError as error:
        if error.errno in _NO_FAST_COPY:
            return None
        raise
    # some fuse and network filesystems answer 0 for files that read(2) can read
    return count or None


def _copy_slowly(source: int, destination: int, position: int, size: int) -> int:
    data = os.pread(source, min(size, MIB), position)
    return write_all(destination, [data], position) if data else 0


def _regular(fd: int, what: str) -> os.stat_result:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise InvalidArgumentError(f"{what} is no regular file")
    return status


def _unchanged(fd: int, before: os.stat_result) -> None:
    after = os.fstat(fd)
    if after.st_size > before.st_size:
        raise FailedError("the file became longer while it was read: is it still being written?")
    if after.st_size != before.st_size or after.st_mtime_ns != before.st_mtime_ns:
        raise FailedError("the file changed while it was read")


def _go_on(stop: Callable[[], bool]) -> None:
    if stop():
        raise CancelledError("the copy was cancelled")
