"""The moment in which the daemon may start anew, after an upgrade, without cutting what a stick is waiting for.

Downloads and updates of the catalogue go on with the next start. What writes a stick does not, nor does an import,
whose file came as a descriptor: these are waited for, and no more of them are taken.
"""

from __future__ import annotations

import asyncio
import logging

from luxusbd.jobs.api import Listener
from luxusbd.jobs.model import Job
from luxusbd.jobs.queue import JobQueue

log = logging.getLogger(__name__)

GRACE = 5.0
"""Seconds in which who waited for such a job can still read what became of it: its object ends with this process."""


class Retirement(Listener):
    """Waits for that moment once it is asked to."""

    def __init__(self, queue: JobQueue, *, grace: float = GRACE) -> None:
        self._queue = queue
        self._grace = grace
        self._ended = asyncio.Event()
        queue.add_listener(self)

    async def wait(self) -> None:
        """Return when a restart cuts nothing; a paused job is waited for, too."""
        self._queue.retire()
        waited = False
        while left := self._queue.cut_by_restart:
            waited = True
            log.info("starting anew when these have ended: %s", ", ".join(f"{job.id} ({job.title})" for job in left))
            self._ended.clear()
            await self._ended.wait()
        if waited:
            await asyncio.sleep(self._grace)

    def job_finished(self, job: Job) -> None:  # noqa: ARG002 - which one does not matter
        """See `Listener`."""
        self._ended.set()
