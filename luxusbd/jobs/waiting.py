"""Downloads that wait for room on the disk: looks now and then whether there is some, and lets them go on.

Nothing tells of free space, so that it is asked for. A download that finds the disk full again soon after it went on
waits longer each time: room may come and go, and a used-up quota shows in no figure that we could look at.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from luxusbd.errors import JobStateError, LuxusbError, NotEnoughSpaceError
from luxusbd.jobs import partials
from luxusbd.jobs.api import Listener
from luxusbd.jobs.model import Job, JobState, PauseReason
from luxusbd.jobs.queue import JobQueue

log = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds between two looks."""
LONGEST = 300.0
"""Seconds that a download waits at most for the next look."""
SOON = 60.0
"""Seconds; one that is held again within them waits twice as long as before."""
SPARE = 16 * 1024 * 1024
"""Bytes that have to be free beyond what is missing, so that it does not stop again at once."""


@dataclass
class _Waiting:
    wait: float = INTERVAL
    next_look: float = 0.0
    went_on: float = float("-inf")


class SpaceWatch(Listener):
    """Resumes jobs that are paused for want of space. Call `close` at the end."""

    def __init__(
        self,
        queue: JobQueue,
        check: Callable[[int, int], Awaitable[None]],
        incoming: Path,
        wanted: Callable[[Job], int],
        *,
        interval: float = INTERVAL,
    ) -> None:
        """Prepare.

        Args:
            queue: has the jobs.
            check: raises `NotEnoughSpaceError` while there is no room for so many bytes (second) of a uid (first).
            incoming: where unfinished downloads lie.
            wanted: gives the bytes of the whole file of a job.
            interval: seconds between two looks.
        """
        self._queue = queue
        self._check = check
        self._incoming = incoming
        self._wanted = wanted
        self._interval = interval
        self._known: dict[int, _Waiting] = {}
        self._task: asyncio.Task[None] | None = None
        queue.add_listener(self)

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def job_added(self, job: Job) -> None:
        """See `Listener`."""
        self.job_changed(job)

    def job_changed(self, job: Job) -> None:
        """See `Listener`."""
        if not _held(job):
            if job.state.finished:
                self._known.pop(job.id, None)
            elif job.id in self._known:
                self._known[job.id].next_look = 0.0
            return
        loop = asyncio.get_running_loop()
        known = self._known.setdefault(job.id, _Waiting(self._interval))
        if not known.next_look:
            again = loop.time() - known.went_on < SOON
            known.wait = min(known.wait * 2, LONGEST) if again else self._interval
            known.next_look = loop.time() + known.wait
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._watch(), name="space watch")

    async def _watch(self) -> None:
        while any(_held(job) for job in self._queue.jobs()):
            await asyncio.sleep(self._interval)
            # the most urgent first, as the queue does it
            for job in sorted(self._queue.jobs(), key=lambda job: (-job.priority, job.id)):
                if _held(job) and self._due(job) and await self._has_room(job):
                    self._let_go_on(job)

    def _due(self, job: Job) -> bool:
        return self._known[job.id].next_look <= asyncio.get_running_loop().time()

    async def _has_room(self, job: Job) -> bool:
        try:
            found = await asyncio.to_thread(partials.scan, self._incoming)
            there = sum(part.size for part in found if part.content == partials.content_of(job.params))
            await self._check(job.owner_uid, max(0, self._wanted(job) - there) + SPARE)
        except NotEnoughSpaceError as error:
            log.debug("job %d still waits for room: %s", job.id, error)
            return False
        except LuxusbError as error:
            log.warning("job %d waits for room, and how much there is cannot be told: %s", job.id, error)
            return False
        return True

    def _let_go_on(self, job: Job) -> None:
        self._known[job.id].went_on = asyncio.get_running_loop().time()
        try:
            self._queue.resume(job.id)
        except JobStateError as error:
            # somebody cancelled or resumed it while we looked
            log.debug("job %d: %s", job.id, error)


def _held(job: Job) -> bool:
    return job.state is JobState.PAUSED and job.pause_reason is PauseReason.SPACE
