"""The threads of the transfer child: looks at foreign bytes, which may hang, and copies, which take long."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from luxusbd.children.transfer_progress import Tell, pumping
from luxusbd.errors import FailedError
from luxusbd.transfer.diskio import in_thread

INSPECT_TIMEOUT = 60.0
"""Seconds for one look at foreign bytes; the thread itself cannot be stopped and stays behind."""
COPY_THREADS = 8
"""A silent pipe holds one; the core starts no more imports than there are threads."""
PAUSE_LOOK = 0.2
"""Seconds after which a copy that stands still looks whether it was cancelled meanwhile."""
LOOK_THREADS = 8

_R = TypeVar("_R")


class Threads:
    """Keeps blocking work on files out of the loop."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._going: dict[int, threading.Event] = {}
        """By job: cleared while a copy or hash is to stand still."""
        self._copies = ThreadPoolExecutor(COPY_THREADS, "copy")
        self.looks = ThreadPoolExecutor(LOOK_THREADS, "look")

    async def copy(self, job: int, work: Callable[[Callable[[int, int], None], Callable[[], bool]], _R]) -> _R:
        """Let a thread read or write a file for long, tell of its progress, and pause it by `stand_still`."""
        loop = asyncio.get_running_loop()
        stop = threading.Event()
        going = self._going[job] = threading.Event()
        going.set()

        def stopped() -> bool:
            while not stop.is_set() and not going.wait(PAUSE_LOOK):
                continue
            return stop.is_set()

        async with pumping(self._tell, job) as pump:

            def report(done: int, total: int) -> None:
                loop.call_soon_threadsafe(pump.put, {"bytes_done": done, "bytes_total": total})

            try:
                return await in_thread(self._copies, work, report, stopped, stop=stop)
            finally:
                if self._going.get(job) is going:
                    del self._going[job]

    def stand_still(self, job: int, paused: bool) -> bool:
        """Pause the copy of a job, or let it go on; false when the job has none."""
        if job not in self._going:
            return False
        (self._going[job].clear if paused else self._going[job].set)()
        return True

    async def look(self, fd: int, work: Callable[[int], _R]) -> _R:
        """Let a thread look at foreign bytes, on a descriptor of its own, and wait only so long for it."""
        own = os.dup(fd)

        def look() -> _R:
            try:
                return work(own)
            finally:
                os.close(own)

        future = self.looks.submit(look)
        try:
            async with asyncio.timeout(INSPECT_TIMEOUT):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise FailedError(f"looking at the file took longer than {INSPECT_TIMEOUT:g} seconds") from None
        finally:
            if future.cancel():
                os.close(own)  # the thread never began, so that it never closes it
