"""The hash of a file that is still growing: reads behind the bytes that are there without a hole, in a thread."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Executor

from luxusbd.errors import FailedError
from luxusbd.transfer.diskio import HASH_STEP, Hash, hash_span, in_thread


class HashFollower:
    """The sha256 of the first `position` bytes of the file behind `fd`.

    It reads what pwrite put into the page cache a moment ago, so that it costs no disk access, and the hash of a
    complete file is ready almost as soon as its last byte.
    """

    def __init__(self, fd: int, executor: Executor) -> None:
        self._fd = fd
        self._executor = executor
        self._running: Hash = hashlib.sha256()
        self.position = 0

    def start_from(self, running: Hash, position: int) -> None:
        """Go on from a hash over the first `position` bytes that was computed elsewhere."""
        self._running = running
        self.position = position

    def reset(self) -> None:
        """Begin anew, because bytes that were hashed already are going to change."""
        self._running = hashlib.sha256()
        self.position = 0

    async def advance(self, end: int, report: Callable[[int], None] | None = None) -> str:
        """Hash on up to `end`; the hash of the bytes before it, in hex. `report` gets the position after each step.

        Raises:
            FailedError: the file is shorter than that.
        """
        while self.position < end:
            if not await in_thread(self._executor, self._step, end):
                raise FailedError("the partial file became shorter while it was written: another program cut it")
            if report is not None:
                report(self.position)
        return self._running.hexdigest()

    def _step(self, end: int) -> bool:
        # hash and position change together in the thread, so that a cancelled caller leaves them in step
        wanted = min(HASH_STEP, end - self.position)
        count = hash_span(self._fd, self._running, self.position, self.position + wanted)
        self.position += count
        return count == wanted
