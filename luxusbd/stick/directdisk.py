"""A disk or image file, read and written past the page cache (open(2), O_DIRECT): what is counted as written, the
device has taken. Blocking."""

from __future__ import annotations

import errno
import mmap
import os

from luxusbd.errors import DeviceError
from luxusbd.stick.blockio import CHUNK, MediumReader, size_of, sync, translated


class DirectDisk:
    """A `probing.Medium`, used by one thread at a time; offsets and lengths are whole sectors.

    Args:
        fd: opened read-write; stays the caller's, and can be closed while this is in use.
    """

    def __init__(self, fd: int) -> None:
        self.size = size_of(fd)
        """Bytes."""
        try:
            self._fd = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise translated(error, "opening") from error
            # an image file on a filesystem without O_DIRECT: the reader drops the cached pages
            self._fd = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
        self._reader = MediumReader(self._fd)
        self._buffer = mmap.mmap(-1, CHUNK)

    def close(self) -> None:
        """Give descriptors and buffers back."""
        self._reader.close()
        self._buffer.close()
        os.close(self._fd)

    def __enter__(self) -> DirectDisk:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes.

        Raises:
            DeviceError: they cannot be read, or the disk is gone.
        """
        return self._reader.read_at(offset, length)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Put bytes there.

        Raises:
            LuxusbError: as `blockio.translated` makes it.
        """
        view = memoryview(data)
        while view:
            count = min(CHUNK, len(view))
            self._buffer[:count] = view[:count]
            try:
                done = os.pwritev(self._fd, [memoryview(self._buffer)[:count]], offset)
            except OSError as error:
                raise translated(error, "writing") from error
            if done == 0:
                raise DeviceError(f"the medium takes nothing at byte {offset}")
            view = view[done:]
            offset += done

    def flush(self) -> None:
        """Until this returns, the device may lose what was written.

        Raises:
            LuxusbError: as `blockio.translated` makes it.
        """
        sync(self._fd)
