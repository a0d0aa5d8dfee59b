"""Writes to a disk or a file so that hardly anything waits in memory: what is counted as accepted, the device has.

Whole pages go past the page cache (open(2), O_DIRECT). What does not fill pages, and everything where that is not to be
had, goes through the cache and is pushed out at once (sync_file_range(2), as its manual page and Linus Torvalds
recommend for writing at the speed of a disk: start the newest part, wait for the one before it, and drop it).
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections import deque

from luxusbd.stick.blockio import ALIGNMENT, CHUNK, sync, translated, write_all

_WAIT_BEFORE, _WRITE, _WAIT_AFTER = 1, 2, 4

_libc = ctypes.CDLL(None, use_errno=True)
_libc.sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]


class MediumWriter:
    """Writes that any number of threads may do at once, to places that do not overlap; blocking.

    Args:
        fd: opened for writing; stays the caller's.
        direct: False to go through the page cache in any case.
    """

    def __init__(self, fd: int, *, direct: bool = True) -> None:
        self._fd = fd
        self._direct = _open_direct(fd) if direct else -1
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, int]] = deque()

    @property
    def waiting(self) -> int:
        """Bytes that were written and that the device may not have yet."""
        with self._lock:
            return sum(length for _offset, length in self._waiting)

    def close(self) -> None:
        """Give the own descriptor back; without `sync` nothing is sure."""
        if self._direct >= 0:
            os.close(self._direct)
            self._direct = -1

    def write(self, data: memoryview, offset: int) -> int:
        """Write everything at an offset.

        Returns:
            How many bytes more the device has accepted, maybe of earlier writes.

        Raises:
            LuxusbError: as `blockio.translated` makes it, maybe for an earlier write.
        """
        accepted = 0
        if self._direct >= 0:
            head = min(len(data), -offset % ALIGNMENT)
            whole = (len(data) - head) // ALIGNMENT * ALIGNMENT
            done = self._write_direct(data[head : head + whole], offset + head)
            accepted += done
            if done:
                rest = data[head + done :]
                accepted += self._push(data[:head], offset) + self._push(rest, offset + head + done)
                return accepted
        return accepted + self._push(data, offset)

    def sync(self) -> int:
        """Return when the device has everything, and how many bytes more that are.

        Raises:
            LuxusbError: as `write`.
        """
        with self._lock:
            waiting = list(self._waiting)
        sync(self._fd)
        return sum(self._forget(part) for part in waiting)

    def _write_direct(self, data: memoryview, offset: int) -> int:
        done = 0
        try:
            while done < len(data):
                count = os.pwritev(self._direct, [data[done:]], offset + done)
                done += count
                if count % ALIGNMENT:
                    # what is left is no whole page any more
                    break
        except OSError as error:
            # the memory or the filesystem does not suit: the rest goes through the page cache
            if error.errno != errno.EINVAL:
                raise translated(error, "writing") from error
        return done

    def _push(self, data: memoryview, offset: int) -> int:
        """Write through the page cache, and wait for what was written before this."""
        if not data:
            return 0
        write_all(self._fd, data, offset)
        self._flush_range((offset, len(data)), _WRITE)
        accepted = 0
        with self._lock:
            self._waiting.append((offset, len(data)))
            total = sum(length for _offset, length in self._waiting)
            oldest: list[tuple[int, int]] = []
            while total > CHUNK:
                part = self._waiting[len(oldest)]
                oldest.append(part)
                total -= part[1]
        for part in oldest:
            self._flush_range(part, _WAIT_BEFORE | _WRITE | _WAIT_AFTER)
            accepted += self._forget(part)
            os.posix_fadvise(self._fd, *part, os.POSIX_FADV_DONTNEED)
        return accepted

    def _forget(self, part: tuple[int, int]) -> int:
        """Count a part as accepted, once."""
        with self._lock:
            try:
                self._waiting.remove(part)
            except ValueError:
                return 0
        return part[1]

    def _flush_range(self, part: tuple[int, int], flags: int) -> None:
        if _libc.sync_file_range(self._fd, *part, flags) != 0:
            error = OSError(number := ctypes.get_errno(), os.strerror(number))
            raise translated(error, "flushing") from error


def _open_direct(fd: int) -> int:
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError as error:
        # the filesystem of an image file has no O_DIRECT, or the file was opened by somebody with other rights
        if error.errno in (errno.EINVAL, errno.EACCES, errno.EPERM, errno.EROFS):
            return -1
        raise translated(error, "opening") from error
