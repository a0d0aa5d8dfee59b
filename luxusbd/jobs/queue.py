"""The queue: who may run at once, and how jobs begin, pause, go on and end.

Each running job has one task; pausing and cancelling end that task, and a runner that is started again goes on where it
left off (a download from its .part).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from luxusbd import journal
from luxusbd.errors import (
    CancelledError,
    InternalError,
    JobStateError,
    LimitExceededError,
    LuxusbError,
    host_error,
)
from luxusbd.jobs import codec, history, shares
from luxusbd.jobs.api import Listener
from luxusbd.jobs.ledger import JobLedger
from luxusbd.jobs.model import Job, JobState, Operation, PauseReason
from luxusbd.jobs.running import TAKEN_UP, Entry, HeldError, JobContext, Lane, Runner, Stop
from luxusbd.store import Store
from luxusbd.text import without_secrets

log = logging.getLogger(__name__)

ROOT = 0


class JobQueue:
    """All jobs of the daemon."""

    def __init__(
        self, store: Store, *, slots: Mapping[Lane, int], max_jobs: int, max_jobs_per_uid: int, keep_finished: float
    ) -> None:
        self._store = store
        self._slots = dict(slots)
        self._max_jobs = max_jobs
        self._max_jobs_per_uid = max_jobs_per_uid
        self._ledger = JobLedger(store, keep_finished=keep_finished)
        self._background: set[asyncio.Task[None]] = set()
        self._closing = False
        self._retiring = False

    def add_listener(self, listener: Listener) -> None:
        """Tell `listener` everything from now on."""
        self._ledger.add_listener(listener)

    @property
    def busy(self) -> bool:
        """Whether any job runs or waits; one that somebody paused does neither."""
        return self._ledger.busy

    @property
    def cut_by_restart(self) -> tuple[Job, ...]:
        """Unfinished jobs that an end of the daemon would make fail, also those that are paused."""
        entries = self._ledger.entries.values()
        return tuple(entry.job for entry in entries if entry.lane not in TAKEN_UP and not entry.job.state.finished)

    def retire(self) -> None:
        """From now on refuse jobs that a restart would cut; what is there goes on."""
        self._retiring = True

    def jobs(self) -> tuple[Job, ...]:
        """Unfinished jobs, and those that ended not long ago."""
        return self._ledger.jobs()

    def set_limits(self, *, slots: Mapping[Lane, int], max_jobs: int, max_jobs_per_uid: int) -> None:
        """Change some of what was given to the constructor; what runs goes on, whatever the new limits."""
        self._slots.update(slots)
        self._max_jobs, self._max_jobs_per_uid = max_jobs, max_jobs_per_uid
        self._schedule()

    def get(self, job_id: int) -> Job:
        """One of `jobs()`.

        Raises:
            JobStateError: it is not there any more.
        """
        return self._ledger.entry(job_id).job

    def check_room(self, uid: int) -> None:
        """Whether `uid` may have another job.

        Raises:
            LimitExceededError: a cap is reached.
        """
        waiting = [
            entry.job
            for entry in self._ledger.entries.values()
            if not entry.job.state.finished and entry.job.parent is None
        ]
        if len(waiting) >= self._max_jobs:
            raise LimitExceededError(f"{self._max_jobs} jobs run or wait already; try again when some have ended")
        if uid != ROOT and sum(job.owner_uid == uid for job in waiting) >= self._max_jobs_per_uid:
            raise LimitExceededError(
                f"you have {self._max_jobs_per_uid} jobs already; wait for one to end or cancel one"
            )

    async def submit(
        self,
        operation: Operation,
        lane: Lane,
        runner: Runner,
        *,
        owner_uid: int,
        params: Mapping[str, Any],
        title: str,
        device_ids: tuple[str, ...] = (),
        parent: int | None = None,
        priority: int = 0,
        bandwidth: int = 0,
    ) -> Job:
        """Store a new job and start it when there is room.

        Raises:
            LimitExceededError: a cap is reached; jobs with a parent do not count. Or the daemon is about to start anew.
        """
        if parent is None:
            self.check_room(owner_uid)
            if self._retiring and lane not in TAKEN_UP:
                raise LimitExceededError(
                    "luxusbd starts anew, as a newer version, when what it writes now is done; try again then"
                )
        job = Job(
            id=0,
            operation=operation,
            owner_uid=owner_uid,
            state=JobState.QUEUED,
            created=int(time.time()),
            params=dict(params),
            title=title,
            device_ids=device_ids,
            parent=parent,
            priority=priority,
            bandwidth=bandwidth,
        )
        job = replace(job, id=await self._store.insert(owner_uid, codec.to_document(job)))
        self._ledger.put(Entry(job, lane, runner))
        self._schedule()
        return job

    def restore(
        self,
        job: Job,
        lane: Lane,
        runner: Runner,
        *,
        ask: bool = False,
        cleanup: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Take a stored, unfinished job up again: what ran or waited waits, what was paused stays so.

        Nothing of it runs before `begin`, so that the most urgent one is the first.

        With `ask` what would go on by itself is paused until somebody resumes it. `cleanup` is what the runner says by
        `JobContext.on_cancel`, for a job that is cancelled before it runs again.
        """
        if ask and job.going_on:
            job = replace(job, state=JobState.PAUSED, pause_reason=PauseReason.RESTART, pause_message="")
        if job.state is JobState.RUNNING:
            job = replace(job, state=JobState.QUEUED)
        job = replace(
            job, rate=0, expected_end=0, log=history.longer(job.log, "taken up again after a restart of the daemon")
        )
        self._ledger.put(Entry(job, lane, runner, cleanup=cleanup))

    def begin(self) -> None:
        """Let restored jobs run."""
        self._schedule()

    def found(self, job_id: int, done: int, total: int) -> None:
        """Note what an earlier run has left of a restored job, unless it began meanwhile."""
        entry = self._ledger.entries.get(job_id)
        if entry is None or entry.task is not None or entry.job.state.finished:
            return
        self._ledger.change(entry, bytes_done=done, bytes_total=total or entry.job.bytes_total, resumed_bytes=done)

    async def restore_failed(self, job: Job, error: LuxusbError) -> None:
        """End a stored job that cannot go on."""
        failed = replace(
            job,
            state=JobState.FAILED,
            finished=int(time.time()),
            rate=0,
            expected_end=0,
            error_name=error.dbus_name,
            error_message=without_secrets(error.message),
            devices=(devices := shares.interrupted(job.devices, error)),
            result=shares.outcome(devices),
            log=history.longer(job.log, error.message),
        )
        await self._store.save(codec.to_row(failed))

    async def wait(self, job_id: int) -> Job:
        """Wait for the end of a job and return its last value."""
        entry = self._ledger.entry(job_id)
        await entry.finished.wait()
        return entry.job

    def pause(self, job_id: int) -> None:
        """Pause a job that waits or runs.

        Raises:
            JobStateError: it is in another state, or at a step that cannot be paused.
        """
        entry = self._ledger.entry(job_id)
        state = entry.job.state
        self._take_back(entry)
        if entry.job.pause_reason is PauseReason.SPACE:
            # from now on it does not go on by itself any more
            self._ledger.change(
                entry, pause_reason=PauseReason.USER, pause_message="", log=history.longer(entry.job.log, "paused")
            )
            self._ledger.tell_busy()
            return
        if state not in (JobState.QUEUED, JobState.RUNNING) or entry.stop is not None:
            raise JobStateError(f"job {job_id} is {_now(entry)} and cannot be paused")
        for child in self._ledger.children(job_id):
            if child.job.going_on and child.stop is None:
                self.pause(child.job.id)
        if state is JobState.RUNNING:
            if entry.pause_hook is not None:
                entry.pause_hook(True)
            else:
                assert entry.task is not None
                entry.stop = Stop.PAUSE
                entry.task.cancel()
                return
        self._paused(entry, PauseReason.USER)

    def resume(self, job_id: int) -> None:
        """Let a paused job go on.

        Raises:
            JobStateError: it is not paused.
        """
        entry = self._ledger.entry(job_id)
        if entry.job.state is not JobState.PAUSED:
            raise JobStateError(f"job {job_id} is {_now(entry)}, not paused")
        entry.meter.reset()
        going_on = entry.task is not None
        if going_on and entry.pause_hook is not None:
            entry.pause_hook(False)
        self._ledger.change(
            entry, state=JobState.RUNNING if going_on else JobState.QUEUED, log=history.longer(entry.job.log, "resumed")
        )
        for child in self._ledger.children(job_id):
            if child.job.state is JobState.PAUSED:
                self.resume(child.job.id)
        self._schedule()

    def cancel(self, job_id: int, *, keep_partial: bool) -> None:
        """Begin to end a job and its children.

        Raises:
            JobStateError: it has ended.
        """
        entry = self._ledger.entry(job_id)
        if entry.job.state.finished:
            raise JobStateError(f"job {job_id} has ended already ({entry.job.state})")
        entry.keep_partial = keep_partial
        for child in self._ledger.children(job_id):
            if not child.job.state.finished:
                self.cancel(child.job.id, keep_partial=keep_partial)
        if entry.stop is Stop.CANCEL:
            return
        entry.stop = Stop.CANCEL
        self._take_back(entry)
        if entry.task is None:
            self._keep(self._end_cancelled(entry))
            return
        if entry.job.state is JobState.PAUSED and entry.pause_hook is not None:
            entry.pause_hook(False)
        entry.task.cancel()

    def modify(self, job_id: int, *, priority: int | None, bandwidth: int | None) -> Job:
        """Change what can be changed while a job waits or runs.

        Raises:
            JobStateError: it has ended.
        """
        entry = self._ledger.entry(job_id)
        if entry.job.state.finished:
            raise JobStateError(f"job {job_id} has ended already ({entry.job.state})")
        changes: dict[str, Any] = {}
        if priority is not None:
            changes["priority"] = priority
        if bandwidth is not None:
            changes["bandwidth"] = bandwidth
        self._ledger.change(entry, **changes)
        self._schedule()
        return entry.job

    def waits(self, job_id: int) -> bool:
        """Whether a job has to wait until another one ends, instead of beginning in a moment.

        Raises:
            JobStateError: it is not there any more.
        """
        entry = self._ledger.entry(job_id)
        return entry.job.state is JobState.QUEUED and entry.task is None

    async def close(self) -> None:
        """Stop all tasks so that the jobs can be taken up again, and store everything."""
        self._closing = True
        running = []
        for entry in self._ledger.entries.values():
            if entry.task is not None:
                entry.stop = entry.stop or Stop.SHUTDOWN
                entry.task.cancel()
                running.append(entry.task)
        self._ledger.close()
        await asyncio.gather(*running, *self._background, return_exceptions=True)

    def _take_back(self, entry: Entry) -> None:
        if entry.task is not None and not entry.begun:
            entry.task.cancel()
            entry.task = None

    def _schedule(self) -> None:
        if self._closing:
            return
        for lane, slots in self._slots.items():
            in_lane = [entry for entry in self._ledger.entries.values() if entry.lane is lane]
            free = slots - sum(entry.task is not None for entry in in_lane)
            waiting = [entry for entry in in_lane if entry.job.state is JobState.QUEUED and entry.task is None]
            waiting.sort(key=lambda entry: (-entry.job.priority, entry.job.id))
            for entry in waiting[: max(0, free)]:
                entry.task = asyncio.get_running_loop().create_task(self._run(entry), name=f"job {entry.job.id}")

    async def _run(self, entry: Entry) -> None:
        entry.begun = True
        journal.concerns(_subject(entry.job))
        self._ledger.change(entry, state=JobState.RUNNING, started=entry.job.started or int(time.time()))
        entry.meter.reset()
        context = JobContext(self._ledger, entry)
        log.info("%s begins: %s", entry.job.operation, entry.job.title)
        try:
            try:
                result = await entry.runner(context)
            finally:
                entry.pause_hook = None
                entry.task = None
                entry.begun = False
                entry.job = replace(entry.job, mirrors=())
        except asyncio.CancelledError:
            await self._stopped(entry)
        except HeldError as held:
            if entry.stop is None:
                log.warning("%s is paused: %s", entry.job.operation, without_secrets(str(held)))
                self._paused(entry, held.reason, str(held))
            else:
                await self._stopped(entry)
        except LuxusbError as error:
            if entry.stop is Stop.CANCEL:
                await self._end_cancelled(entry)
            elif entry.stop in (Stop.PAUSE, Stop.SHUTDOWN) and isinstance(error, CancelledError):
                await self._stopped(entry)
            else:
                await self._ledger.end(entry, JobState.FAILED, error=error)
        except OSError as error:
            log.exception("job %d failed at the daemon's own files", entry.job.id)
            await self._ledger.end(
                entry, JobState.FAILED, error=host_error(error, f"job {entry.job.id} ({entry.job.title})")
            )
        except Exception:
            log.exception("job %d failed in a way nobody expected", entry.job.id)
            await self._ledger.end(entry, JobState.FAILED, error=_defect(entry.job))
        else:
            await self._ledger.end(entry, JobState.SUCCEEDED, result=result)
        self._schedule()

    def _paused(self, entry: Entry, reason: PauseReason, text: str = "") -> None:
        said = without_secrets(text)
        self._ledger.change(
            entry,
            state=JobState.PAUSED,
            pause_reason=reason,
            pause_message=said,
            rate=0,
            expected_end=0,
            log=history.longer(entry.job.log, f"paused: {said}" if said else "paused"),
        )

    async def _stopped(self, entry: Entry) -> None:
        if entry.stop is Stop.PAUSE:
            entry.stop = None
            self._paused(entry, PauseReason.USER)
        elif entry.stop is Stop.CANCEL:
            await self._end_cancelled(entry)
        elif entry.stop is Stop.SHUTDOWN:
            # the stored state stays what it was, so that the next start takes the job up
            await self._ledger.save(entry.job)
        else:
            log.error("the task of job %d was cancelled, and nobody asked for it", entry.job.id)
            await self._ledger.end(entry, JobState.FAILED, error=_defect(entry.job))

    async def _end_cancelled(self, entry: Entry) -> None:
        journal.concerns(_subject(entry.job))
        if entry.cleanup is not None and not entry.keep_partial:
            try:
                await entry.cleanup()
            except LuxusbError as error:
                self._ledger.noted(entry, f"what was there could not be removed: {error}")
        await self._ledger.end(entry, JobState.CANCELLED, error=CancelledError(f"job {entry.job.id} was cancelled"))

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _subject(job: Job) -> journal.Subject:
    return journal.Subject(job.id, job.device_ids, job.owner_uid, job.operation.value)


def _defect(job: Job) -> InternalError:
    return InternalError(f"job {job.id} ({job.title}) failed because of a defect in luxusbd; its log has the details")


def _now(entry: Entry) -> str:
    return "being cancelled" if entry.stop is Stop.CANCEL else entry.job.state.value
