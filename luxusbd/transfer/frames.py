"""Bytes through a pipe whose end is told: whoever reads knows a stream that was cut from one that is complete.

Each frame is its length as 32 bits, little endian, and so many bytes; one of length 0 is the good end.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
from collections.abc import Callable, Sequence

from luxusbd.errors import CancelledError, InterruptedJobError, MalformedImageError

MAX_FRAME = 1024 * 1024
"""Bytes of one frame."""
PIPE = 1024 * 1024
"""Bytes that the kernel holds between the two, as far as it lets us (fcntl(2), F_SETPIPE_SZ)."""
STOP_INTERVAL = 200
"""Milliseconds of waiting between two looks at the stop switch."""
_LENGTH = struct.Struct("<I")


class Fan:
    """Writes the same frames to several pipes; one whose reader went away is left out from then on. Blocking."""

    def __init__(self, fds: Sequence[int]) -> None:
        self._fds = list(fds)

    def write(self, data: bytes) -> None:
        """Send a piece of at most `MAX_FRAME` bytes to all who still read.

        Raises:
            InterruptedJobError: nobody does.
        """
        if data:
            self._send(_LENGTH.pack(len(data)) + data)

    def end(self) -> None:
        """Tell of the good end; errors as for `write`."""
        self._send(_LENGTH.pack(0))

    def _send(self, frame: bytes) -> None:
        for fd in tuple(self._fds):
            try:
                view = memoryview(frame)
                while view:
                    view = view[os.write(fd, view) :]
            except BrokenPipeError:
                self._fds.remove(fd)
        if not self._fds:
            raise InterruptedJobError("nobody reads what is unpacked any more")


class Frames:
    """Reads what `Fan` writes, as one stream. Blocking, with a stop switch that works while nothing comes.

    Args:
        fd: the pipe, which stays the caller's and which nobody else reads.
        stopped: says yes when the reading is to end.
    """

    def __init__(self, fd: int, stopped: Callable[[], bool]) -> None:
        self._fd = fd
        self._stopped = stopped
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._left = 0
        self._ended = False

    def read(self, length: int) -> bytes:
        """The next `length` bytes; fewer at the good end alone.

        Raises:
            CancelledError: `stopped` said yes.
            MalformedImageError: the stream was cut.
        """
        data = bytearray()
        while len(data) < length and not self._ended:
            if not self._left:
                (self._left,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
                if self._left > MAX_FRAME:
                    raise MalformedImageError("what is unpacked came in pieces that are too long")
                self._ended = self._left == 0
                continue
            piece = self._some(min(self._left, length - len(data)))
            self._left -= len(piece)
            data += piece
        return bytes(data)

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            data += self._some(length - len(data))
        return data

    def _some(self, most: int) -> bytes:
        while not self._poll.poll(STOP_INTERVAL):
            if self._stopped():
                raise CancelledError("the writing was cancelled")
        if self._stopped():
            raise CancelledError("the writing was cancelled")
        if piece := os.read(self._fd, most):
            return piece
        raise MalformedImageError("unpacking ended before the image did")


def make_pipe() -> tuple[int, int]:
    """A pipe for frames: the end to read from and the one to write to."""
    ends = os.pipe2(os.O_CLOEXEC)
    try:
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, PIPE)
    except OSError as error:
        # the user's pipes hold too much already; a small one works too
        if error.errno not in (errno.EPERM, errno.EBUSY):
            raise
    return ends
