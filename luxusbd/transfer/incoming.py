"""The bytes behind a descriptor that a user passed: a regular file, a pipe or a stream socket, read once."""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
from collections.abc import Callable
from typing import Self

from luxusbd.errors import CancelledError, FailedError, InvalidArgumentError, MalformedImageError, VerificationError

CHUNK = 64 * 1024
"""Bytes read at once; what a pipe holds (pipe(7))."""
STOP_INTERVAL = 200
"""Milliseconds of waiting for a writer between two looks at the stop switch."""


class Incoming:
    """Reads to the end with a stop switch that works while a writer is silent. A context manager.

    A pipe is never read with read(2): somebody else who has it may take the bytes that poll(2) promised, and the
    thread would hang for good. Nor is it made non-blocking, because it would be so for its owner too.

    Args:
        fd: stays the caller's.
        size: bytes that have to come, 0 when that is not known; only for pipes and sockets.
        stop: says yes when the reading is to end.

    Raises:
        InvalidArgumentError: it is something else.
    """

    def __init__(self, fd: int, size: int, stop: Callable[[], bool]) -> None:
        self._fd = fd
        self._stop = stop
        self._expected = size
        self._own: tuple[int, int] | None = None
        self._socket: socket.socket | None = None
        self.count = 0
        """Bytes read so far."""
        self.total = size
        """Bytes in all, 0 when that is not known."""
        mode = os.fstat(fd).st_mode
        self.regular = stat.S_ISREG(mode)
        if self.regular:
            self.before = os.fstat(fd)
            self.total = self.before.st_size
        elif stat.S_ISFIFO(mode):
            self._own = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        elif stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(fd))
            if self._socket.type != socket.SOCK_STREAM:
                self._socket.close()
                raise InvalidArgumentError("the socket is no stream; pass a regular file, a pipe or a stream socket")
        else:
            raise InvalidArgumentError("the descriptor is neither a regular file nor a pipe nor a stream socket")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for fd in self._own or ():
            os.close(fd)
        if self._socket is not None:
            self._socket.close()

    def read(self) -> bytes:
        """The next bytes, `CHUNK` at most; none at the end.

        Raises:
            CancelledError: `stop` said yes.
            MalformedImageError: nothing came at all, or less than was promised.
            VerificationError: more came than was promised.
            FailedError: reading failed.
        """
        try:
            data = self._next()
        except OSError as error:
            raise FailedError(f"reading failed after {self.count} bytes: {error.strerror}") from error
        self.count += len(data)
        if self._expected and self.count > self._expected:
            raise VerificationError(f"more than the {self._expected} bytes that were promised came; is the size right?")
        if not data:
            self._check_end()
        return data

    def check_unchanged(self) -> None:
        """Raise `FailedError` when a regular file was changed since the reading began."""
        if not self.regular:
            return
        after = os.fstat(self._fd)
        # the time of the last change of the inode, too: its owner can set the other one back
        if (after.st_size, after.st_mtime_ns, after.st_ctime_ns) != (
            self.before.st_size,
            self.before.st_mtime_ns,
            self.before.st_ctime_ns,
        ):
            raise FailedError("the file changed while it was read: is it still being written?")

    def check_stop(self) -> None:
        """Raise `CancelledError` when `stop` says yes."""
        if self._stop():
            raise CancelledError("the import was cancelled")

    def _check_end(self) -> None:
        if self._expected and self.count < self._expected:
            raise MalformedImageError(
                f"the stream ended after {self.count} of {self._expected} bytes: its writer stopped too early"
            )
        if not self.count:
            raise MalformedImageError("nothing came: the file, or what was written into the pipe, is empty")

    def _next(self) -> bytes:
        if self.regular:
            self.check_stop()
            return os.pread(self._fd, CHUNK, self.count)
        while True:
            self._wait()
            try:
                if self._socket is not None:
                    return self._socket.recv(CHUNK, socket.MSG_DONTWAIT)
                assert self._own is not None
                count = os.splice(self._fd, self._own[1], CHUNK, flags=os.SPLICE_F_NONBLOCK)
                return os.read(self._own[0], count) if count else b""
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    raise

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        self.check_stop()
        while not poll.poll(STOP_INTERVAL):
            self.check_stop()
