"""The hashes of a file that is still growing: threads read behind the bytes that are there without a hole."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import Executor

from luxusbd.errors import FailedError
from luxusbd.transfer.diskio import HASH_STEP, Hash, hash_span, in_thread
from luxusbd.transfer.model import Digest

FOLLOW_INTERVAL = 0.25
"""Seconds between two looks at how far the file has grown."""


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
                raise _shorter()
            if report is not None:
                report(self.position)
        return self._running.hexdigest()

    def _step(self, end: int) -> bool:
        # hash and position change together in the thread, so that a cancelled caller leaves them in step
        wanted = min(HASH_STEP, end - self.position)
        count = hash_span(self._fd, self._running, self.position, self.position + wanted)
        self.position += count
        return count == wanted


class FurtherHashes:
    """Hashes by other algorithms than the sha256 that `HashFollower` keeps in step with the claims.

    Each has a place in the file and a thread of its own, so that a slow one holds up neither the claims nor the others:
    sha512 is less than half as fast as sha256 where the processor has instructions for that.
    """

    def __init__(self, fd: int, algorithms: Iterable[str], executor: Executor) -> None:
        self._fd = fd
        self._executor = executor
        self._hashes = {algorithm: _Place(algorithm) for algorithm in dict.fromkeys(algorithms)}

    async def follow(self, available: Callable[[], int]) -> None:
        """Hash behind the first `available()` bytes; runs until cancelled.

        Raises:
            FailedError: as `finish`.
        """
        if not self._hashes:
            return
        async with asyncio.TaskGroup() as group:
            for algorithm in self._hashes:
                group.create_task(self._behind(algorithm, available))

    async def finish(self, total: int) -> tuple[Digest, ...]:
        """The hashes of the first `total` bytes, which are the whole file.

        Raises:
            FailedError: the file is shorter than that.
        """
        found = []
        for algorithm in self._hashes:
            await self._advance(algorithm, total)
            found.append(Digest(algorithm, self._hashes[algorithm].running.hexdigest()))
        return tuple(found)

    async def advance(self, end: int) -> None:
        """Bring all of them to `end` at least, one after the other.

        Raises:
            FailedError: the file is shorter than that.
        """
        for algorithm in self._hashes:
            await self._advance(algorithm, end)

    @property
    def reads_to(self) -> int:
        """Up to where bytes were read, or are being read, by any of them."""
        return max((place.reads_to for place in self._hashes.values()), default=0)

    def withdraw(self, start: int) -> None:
        """The bytes from `start` on are going to change."""
        for algorithm, place in self._hashes.items():
            if place.reads_to > start:
                self._hashes[algorithm] = _Place(algorithm)

    async def _behind(self, algorithm: str, available: Callable[[], int]) -> None:
        while True:
            await self._advance(algorithm, available())
            await asyncio.sleep(FOLLOW_INTERVAL)

    async def _advance(self, algorithm: str, end: int) -> None:
        while (place := self._hashes[algorithm]).position < end:
            async with place.lock:
                # before the thread begins, so that `withdraw` knows what it is going to read
                place.reads_to = min(end, place.position + HASH_STEP)
                if not await in_thread(self._executor, place.step, self._fd, end):
                    raise _shorter()


class _Place:
    """One hash and how far it is; thrown away when bytes before its place change, also in the middle of a step."""

    def __init__(self, algorithm: str) -> None:
        self.running: Hash = hashlib.new(algorithm)
        self.position = 0
        self.reads_to = 0
        """Up to where bytes were read, or are being read."""
        self.lock = asyncio.Lock()

    def step(self, fd: int, end: int) -> bool:
        """In a thread: hash some more bytes, and tell whether there were any left or none was needed."""
        wanted = min(HASH_STEP, end - self.position)
        if wanted <= 0:
            return True
        count = hash_span(fd, self.running, self.position, self.position + wanted)
        self.position += count
        return count == wanted


def _shorter() -> FailedError:
    return FailedError("the partial file became shorter while it was written: another program cut it")
