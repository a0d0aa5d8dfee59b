"""Keeps the machine awake while jobs run, and has downloads ready when it sleeps all the same.

A lock that blocks says why to whoever asks for sleep; closing a lid, or `systemctl suspend --ignore-inhibitors`, passes
over it (logind.conf(5), LidSwitchIgnoreInhibited=). So there is one beside it that delays sleep for the moment that it
takes to put bytes on the disk. Downloads would survive sleep anyhow; after it they go on at once, where they would
otherwise first find out by time-outs that their connections are dead.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass

from luxusbd.jobs.api import Listener, Power
from luxusbd.jobs.model import Job, JobState, Operation
from luxusbd.jobs.queue import JobQueue
from luxusbd.jobs.transfers import Transfers
from luxusbd.transfer.model import DownloadStage

log = logging.getLogger(__name__)

DOWNLOADING = "sleep:idle"
WRITING = "shutdown:sleep:idle"
"""As udisks2 does it for its jobs: a stick that is half written is worse than a machine that stays on."""


@dataclass(frozen=True)
class _Lock:
    what: str
    why: str


class Wakefulness(Listener):
    """Holds inhibitor locks of logind for as long as jobs run."""

    def __init__(self, queue: JobQueue, transfers: Transfers, *, enabled: bool) -> None:
        self._queue = queue
        self._transfers = transfers
        self._enabled = enabled
        self._power: Power | None = None
        self._held: _Lock | None = None
        self._fds: list[int] = []
        self._asleep = False
        self._stir = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def use(self, power: Power) -> None:
        """Begin, with this service."""
        self._power = power
        await power.on_sleep(self._told)
        self._task = asyncio.get_running_loop().create_task(self._keep(), name="wakefulness")
        self._stir.set()

    def enable(self, enabled: bool) -> None:
        """Whether locks are held at all."""
        self._enabled = enabled
        self._stir.set()

    async def close(self) -> None:
        """Let go of everything."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._let_go()

    def job_added(self, job: Job) -> None:  # noqa: ARG002
        """See `Listener`."""
        self._stir.set()

    def job_changed(self, job: Job) -> None:  # noqa: ARG002
        """See `Listener`."""
        self._stir.set()

    def _told(self, sleeping: bool) -> None:
        self._asleep = sleeping
        self._stir.set()

    def _wanted(self) -> _Lock | None:
        if not self._enabled:
            return None
        jobs = [job for job in self._queue.jobs() if job.state is JobState.RUNNING and not _waits(job)]
        if any(job.device_ids and job.stage != "download" for job in jobs):
            return _Lock(WRITING, "A USB stick is being written")
        # an import is not among them: it goes on after the sleep, and one from a silent pipe has no end
        if any(job.operation is Operation.DOWNLOAD for job in jobs):
            return _Lock(DOWNLOADING, "Images are being downloaded")
        return None

    async def _keep(self) -> None:
        resting = False
        while True:
            await self._stir.wait()
            self._stir.clear()
            if self._asleep != resting:
                resting = self._asleep
                log.info("the machine %s", "goes to sleep" if resting else "woke up")
                await self._transfers.rest(paused=resting)
                if resting:
                    self._let_go()
            if not resting:
                await self._hold(self._wanted())

    async def _hold(self, wanted: _Lock | None) -> None:
        assert self._power is not None
        if wanted == self._held:
            return
        old, self._fds = self._fds, []
        try:
            if wanted is not None:
                # the new ones before the old ones go
                for what, mode in ((wanted.what, "block"), ("sleep", "delay")):
                    fd = await self._power.inhibit(what, wanted.why, mode)
                    if fd is not None:
                        self._fds.append(fd)
        finally:
            for fd in old:
                os.close(fd)
        self._held = wanted

    def _let_go(self) -> None:
        fds, self._fds, self._held = self._fds, [], None
        for fd in fds:
            os.close(fd)


def _waits(job: Job) -> bool:
    """Whether it can do nothing, so that a machine without a network need not stay awake for it."""
    return job.operation is Operation.DOWNLOAD and job.stage == DownloadStage.WAIT.value
