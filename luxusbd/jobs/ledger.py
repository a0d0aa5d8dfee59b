"""The ledger: which jobs there are, what each is now, what is told of it to whom, and what is stored.

A job's value is replaced on every change.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from luxusbd.errors import JobStateError, LuxusbError
from luxusbd.jobs import codec, history
from luxusbd.jobs.api import Listener
from luxusbd.jobs.model import DeviceShare, Job, JobState, MirrorShare
from luxusbd.jobs.running import Entry
from luxusbd.jobs.shares import outcome
from luxusbd.store import Store
from luxusbd.text import without_secrets

log = logging.getLogger(__name__)

PROGRESS_INTERVAL = 0.25
"""Seconds between two ProgressChanged signals of one job."""


class JobLedger:
    """All jobs that have an object; the queue decides what becomes of them."""

    def __init__(self, store: Store, *, keep_finished: float) -> None:
        self._store = store
        self._keep_finished = keep_finished
        self.entries: dict[int, Entry] = {}
        self._listeners: list[Listener] = []
        self._removals: dict[int, asyncio.TimerHandle] = {}
        self._was_busy = False
        self._closing = False

    def add_listener(self, listener: Listener) -> None:
        """Tell `listener` everything from now on."""
        self._listeners.append(listener)

    @property
    def busy(self) -> bool:
        """Whether any job runs or waits; one that somebody paused does neither."""
        return any(entry.job.going_on for entry in self.entries.values())

    def jobs(self) -> tuple[Job, ...]:
        """Unfinished jobs, and those that ended not long ago."""
        return tuple(entry.job for entry in self.entries.values())

    def entry(self, job_id: int) -> Entry:
        """One of `entries`.

        Raises:
            JobStateError: it is not there any more.
        """
        try:
            return self.entries[job_id]
        except KeyError:
            raise JobStateError(f"job {job_id} has ended long ago") from None

    def children(self, job_id: int) -> Iterable[Entry]:
        """The jobs that belong to one."""
        return [entry for entry in self.entries.values() if entry.job.parent == job_id]

    def put(self, entry: Entry) -> None:
        """Take a job in."""
        job = entry.job
        self.entries[job.id] = entry
        for listener in self._listeners:
            listener.job_added(job)
        self._save_soon(job)
        self.tell_busy()

    def change(self, entry: Entry, **changes: Any) -> None:
        """Replace a job by one with other values, tell it and store it."""
        if changes.get("state", JobState.PAUSED) is not JobState.PAUSED:
            changes |= {"pause_reason": None, "pause_message": ""}
        entry.job = replace(entry.job, **changes)
        for listener in self._listeners:
            listener.job_changed(entry.job)
        self._save_soon(entry.job)
        if "state" in changes:
            self.tell_busy()

    def reported(self, entry: Entry, done: int, total: int, stage: str | None, resumed: int | None) -> None:
        """Take a report of a runner: note it, and tell it on at most four times a second."""
        job = entry.job
        now = time.monotonic()
        slow: dict[str, Any] = {}
        if stage is not None and stage != job.stage:
            entry.meter.reset()
            slow = {"stage": stage, "log": history.longer(job.log, stage)}
        if resumed is not None and resumed != job.resumed_bytes:
            slow["resumed_bytes"] = resumed
        entry.meter.add(now, done)
        entry.job = replace(job, bytes_done=done, bytes_total=total)
        if slow:
            self.change(entry, **slow)
        if now - entry.told >= PROGRESS_INTERVAL:
            self._tell_progress(entry)
        elif entry.late is None:
            # nothing may come for long, and what came last is to be seen meanwhile
            wait = PROGRESS_INTERVAL - (now - entry.told)
            entry.late = asyncio.get_running_loop().call_later(wait, self._tell_late, entry)

    def served(self, entry: Entry, mirrors: tuple[MirrorShare, ...]) -> None:
        """Tell which mirrors serve a job; this comes once a second and is not worth storing."""
        if mirrors == entry.job.mirrors:
            return
        entry.job = replace(entry.job, mirrors=mirrors)
        for listener in self._listeners:
            listener.job_changed(entry.job)

    def shared(self, entry: Entry, devices: tuple[DeviceShare, ...]) -> None:
        """Note how far the devices of a job are; figures are told with the next progress, an end at once."""
        before = [share.state for share in entry.job.devices]
        entry.job = replace(entry.job, devices=devices)
        if before != [share.state for share in devices]:
            self.change(entry)

    def noted(self, entry: Entry, text: str) -> None:
        """Add a line to a job's history; one that repeats itself, as while there is no network, stands there once."""
        self.change(entry, log=history.noted(entry.job.log, text))

    def replaced(self, entry: Entry, params: Mapping[str, Any], title: str) -> None:
        """Let a job be about something else."""
        self.change(entry, params=dict(params), title=title, bytes_done=0, bytes_total=0, resumed_bytes=0)

    async def end(
        self,
        entry: Entry,
        state: JobState,
        *,
        error: LuxusbError | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> None:
        """Note how a job ended, store it, and tell it."""
        entry.stop = None
        job = entry.job
        said = without_secrets(error.message) if error else ""
        if state is JobState.FAILED:
            log.warning("%s failed: %s", job.operation, said)
        else:
            log.info("%s %s", job.operation, state)
        entry.job = replace(
            job,
            state=state,
            pause_reason=None,
            pause_message="",
            finished=int(time.time()),
            rate=0,
            expected_end=0,
            bytes_done=job.bytes_total if state is JobState.SUCCEEDED and job.bytes_total else job.bytes_done,
            error_name=error.dbus_name if error else "",
            error_message=said,
            result=dict(result or outcome(job.devices)),
            log=history.longer(job.log, said if state is JobState.FAILED else state.value),
        )
        # stored before it is told: who hears of the end must find it after a crash, too
        await self.save(entry.job)
        for listener in self._listeners:
            listener.job_progress(entry.job)
            listener.job_changed(entry.job)
            listener.job_finished(entry.job)
        entry.finished.set()
        self.tell_busy()
        self._removals[job.id] = asyncio.get_running_loop().call_later(self._keep_finished, self._remove, job.id)

    def tell_busy(self) -> None:
        """Tell when the daemon begins or ceases to be busy."""
        if self.busy != self._was_busy:
            self._was_busy = self.busy
            for listener in self._listeners:
                listener.busy_changed(self._was_busy)

    async def save(self, job: Job) -> None:
        """Store a job and wait for it."""
        # a failure is logged and the job goes on: a full disk must not end a transfer
        await asyncio.wait({self._save_soon(job)})

    def close(self) -> None:
        """Leave everything as it is: nothing is removed, and no progress told, from now on."""
        self._closing = True
        for timer in self._removals.values():
            timer.cancel()

    def _remove(self, job_id: int) -> None:
        self._removals.pop(job_id, None)
        entry = self.entries.pop(job_id)
        for listener in self._listeners:
            listener.job_removed(entry.job)

    def _tell_late(self, entry: Entry) -> None:
        entry.late = None
        if entry.job.state is JobState.RUNNING and not self._closing:
            self._tell_progress(entry)

    def _tell_progress(self, entry: Entry) -> None:
        now = time.monotonic()
        if entry.late is not None:
            entry.late.cancel()
            entry.late = None
        entry.told = now
        estimate = entry.meter.estimate(now, entry.job.bytes_total)
        expected = int(time.time() + estimate.remaining) if estimate.remaining is not None else 0
        entry.job = replace(entry.job, rate=estimate.rate, expected_end=expected)
        for listener in self._listeners:
            if entry.job.devices:
                listener.job_changed(entry.job)
            listener.job_progress(entry.job)

    def _save_soon(self, job: Job) -> asyncio.Future[None]:
        """Hand the job to the store now, so that writes keep the order of the changes; await it to know it is there."""
        saved = self._store.save(codec.to_row(job))
        saved.add_done_callback(_log_failure)
        return saved


def _log_failure(saved: asyncio.Future[None]) -> None:
    if not saved.cancelled() and (error := saved.exception()) is not None:
        log.error("a job could not be stored: %s", error)
