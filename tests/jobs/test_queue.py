"""The queue's states, lanes and promises."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from luxusbd import journal
from luxusbd.errors import JobStateError, LimitExceededError, NetworkError
from luxusbd.jobs import codec
from luxusbd.jobs.api import Listener
from luxusbd.jobs.model import Job, JobState, Operation
from luxusbd.jobs.queue import JobQueue
from luxusbd.jobs.retirement import Retirement
from luxusbd.jobs.running import JobContext, Lane
from luxusbd.store import Store


class Recorder(Listener):
    """Remembers what was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, JobState]] = []
        self.busy: list[bool] = []

    def job_added(self, job: Job) -> None:
        self.told.append(("added", job.id, job.state))

    def job_changed(self, job: Job) -> None:
        self.told.append(("changed", job.id, job.state))

    def job_progress(self, job: Job) -> None:
        self.told.append(("progress", job.id, job.state))

    def job_finished(self, job: Job) -> None:
        self.told.append(("finished", job.id, job.state))

    def job_removed(self, job: Job) -> None:
        self.told.append(("removed", job.id, job.state))

    def busy_changed(self, busy: bool) -> None:
        self.busy.append(busy)


class Work:
    """A runner that the test steers."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.started = asyncio.Event()
        self.runs = 0
        self.cleaned = 0
        self.error: Exception | None = None

    async def __call__(self, context: JobContext) -> Mapping[str, Any]:
        async def clean() -> None:
            self.cleaned += 1

        context.on_cancel(clean)
        self.runs += 1
        self.started.set()
        context.report(self.runs, 10, stage="work")
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return {"runs": self.runs}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "jobs.sqlite")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def make(store: Store) -> Callable[..., JobQueue]:
    def queue(**changes: Any) -> JobQueue:
        settings: dict[str, Any] = {
            "slots": {Lane.DOWNLOAD: 1, Lane.IMPORT: 1, Lane.STICK: 1},
            "max_jobs": 4,
            "max_jobs_per_uid": 2,
            "keep_finished": 60.0,
            **changes,
        }
        return JobQueue(store, **settings)

    return queue


async def submit(queue: JobQueue, work: Work, **changes: Any) -> Job:
    settings: dict[str, Any] = {"owner_uid": 1000, "params": {}, "title": "t", **changes}
    return await queue.submit(Operation.DOWNLOAD, Lane.DOWNLOAD, work, **settings)


async def test_a_job_runs_to_its_end_and_is_told_once(make: Callable[..., JobQueue], store: Store) -> None:
    queue, recorder, work = make(), Recorder(), Work()
    queue.add_listener(recorder)
    work.go.set()
    job = await submit(queue, work)
    done = await queue.wait(job.id)
    assert done.state is JobState.SUCCEEDED
    assert done.result == {"runs": 1}
    assert done.progress == 1.0
    kinds = [kind for kind, _, _ in recorder.told]
    assert kinds.count("finished") == 1
    assert kinds[-3:] == ["progress", "changed", "finished"]
    assert recorder.busy == [True, False]
    assert codec.from_row((await store.rows())[0]) == done
    await queue.close()


async def test_one_lane_has_so_many_slots_and_priority_counts(make: Callable[..., JobQueue]) -> None:
    queue, first, second, third = make(max_jobs_per_uid=9), Work(), Work(), Work()
    await submit(queue, first)
    low = await submit(queue, second)
    high = await submit(queue, third, priority=5)
    await first.started.wait()
    assert queue.get(low.id).state is JobState.QUEUED
    first.go.set()
    await third.started.wait()
    assert queue.get(low.id).state is JobState.QUEUED
    assert queue.get(high.id).state is JobState.RUNNING
    await queue.close()


async def test_a_job_that_begins_in_a_moment_does_not_wait(make: Callable[..., JobQueue]) -> None:
    queue, first, second = make(), Work(), Work()
    begins, waits = await submit(queue, first), await submit(queue, second)
    assert [queue.waits(job.id) for job in (begins, waits)] == [False, True]
    first.go.set()
    await second.started.wait()
    assert not queue.waits(waits.id)
    await queue.close()


async def test_pause_ends_the_task_and_resume_runs_it_again(make: Callable[..., JobQueue]) -> None:
    queue, work = make(), Work()
    job = await submit(queue, work)
    await work.started.wait()
    queue.pause(job.id)
    await until(lambda: queue.get(job.id).state is JobState.PAUSED)
    with pytest.raises(JobStateError, match="cannot be paused"):
        queue.pause(job.id)
    work.go.set()
    queue.resume(job.id)
    assert (await queue.wait(job.id)).result == {"runs": 2}
    with pytest.raises(JobStateError, match="succeeded, not paused"):
        queue.resume(job.id)
    await queue.close()


async def test_a_hook_pauses_in_place(make: Callable[..., JobQueue]) -> None:
    queue, work = make(), Work()
    calls: list[bool] = []

    async def runner(context: JobContext) -> Mapping[str, Any]:
        context.on_pause(calls.append)
        return await work(context)

    job = await queue.submit(Operation.CREATE, Lane.STICK, runner, owner_uid=0, params={}, title="t")
    await work.started.wait()
    queue.pause(job.id)
    assert queue.get(job.id).state is JobState.PAUSED
    queue.resume(job.id)
    assert queue.get(job.id).state is JobState.RUNNING
    work.go.set()
    assert (await queue.wait(job.id)).result == {"runs": 1}
    assert calls == [True, False]
    await queue.close()


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("state", ["queued", "running", "paused"])
async def test_cancel_in_every_state(make: Callable[..., JobQueue], keep: bool, state: str) -> None:
    queue, blocker, work = make(), Work(), Work()
    other = await submit(queue, blocker) if state == "queued" else None
    job = await submit(queue, work)
    if state != "queued":
        await work.started.wait()
    if state == "paused":
        queue.pause(job.id)
        await until(lambda: queue.get(job.id).state is JobState.PAUSED)
    queue.cancel(job.id, keep_partial=keep)
    done = await queue.wait(job.id)
    assert done.state is JobState.CANCELLED
    assert done.error_name.endswith("Cancelled")
    assert work.cleaned == (0 if keep or state == "queued" else 1)
    with pytest.raises(JobStateError, match="has ended"):
        queue.cancel(job.id, keep_partial=False)
    if other is not None:
        queue.cancel(other.id, keep_partial=True)
    await queue.close()


async def test_failures_carry_name_and_text(make: Callable[..., JobQueue], caplog: pytest.LogCaptureFixture) -> None:
    queue, expected, defect = make(), Work(), Work()
    expected.error, defect.error = NetworkError("no mirror"), ZeroDivisionError("secret")
    expected.go.set()
    defect.go.set()
    one = await queue.wait((await submit(queue, expected)).id)
    assert (one.state, one.error_name, one.error_message) == (
        JobState.FAILED,
        "org.luxusb.Error.NetworkFailed",
        "no mirror",
    )
    two = await queue.wait((await submit(queue, defect)).id)
    assert two.error_name == "org.luxusb.Error.Internal"
    assert "secret" not in two.error_message
    assert "ZeroDivisionError" in caplog.text
    await queue.close()


async def test_no_secret_of_an_address_is_kept_or_logged(
    make: Callable[..., JobQueue], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    queue = make()

    async def fail(context: JobContext) -> Mapping[str, Any]:
        assert journal.subject() == journal.Subject(context.job.id, ("usb-x",), 1000, "download")
        context.note("asking https://me:S3CRET@mirror/x.iso?token=S3CRET")
        raise NetworkError("https://me:S3CRET@mirror/x.iso?token=S3CRET: 403")

    job = await queue.submit(
        Operation.DOWNLOAD, Lane.DOWNLOAD, fail, owner_uid=1000, params={}, title="x", device_ids=("usb-x",)
    )
    ended = await queue.wait(job.id)
    assert ended.error_message == "https://mirror/x.iso?...: 403"
    assert [line.text for line in ended.log][-2:] == ["asking https://mirror/x.iso?...", ended.error_message]
    assert f"download failed: {ended.error_message}" in caplog.text
    assert "S3CRET" not in caplog.text
    assert journal.subject() == journal.Subject()
    await queue.close()


async def test_caps_count_no_children_and_spare_root(make: Callable[..., JobQueue]) -> None:
    queue = make()
    first = await submit(queue, Work())
    await submit(queue, Work())
    with pytest.raises(LimitExceededError, match="you have 2 jobs"):
        await submit(queue, Work())
    await submit(queue, Work(), parent=first.id)
    await submit(queue, Work(), owner_uid=0)
    await submit(queue, Work(), owner_uid=0)
    with pytest.raises(LimitExceededError, match="4 jobs run or wait"):
        await submit(queue, Work(), owner_uid=0)
    await queue.close()


async def test_a_restart_takes_up_what_ran_and_leaves_paused_what_was(
    make: Callable[..., JobQueue], store: Store
) -> None:
    queue, running, paused = make(slots={Lane.DOWNLOAD: 2}), Work(), Work()
    one = await submit(queue, running)
    two = await submit(queue, paused)
    await paused.started.wait()
    queue.pause(two.id)
    await until(lambda: queue.get(two.id).state is JobState.PAUSED)
    await queue.close()

    again, work = make(slots={Lane.DOWNLOAD: 2}), Work()
    work.go.set()
    for row in reversed(await store.rows(unfinished=True)):
        again.restore(codec.from_row(row), Lane.DOWNLOAD, work)
    assert work.runs == 0
    again.begin()
    assert (await again.wait(one.id)).state is JobState.SUCCEEDED
    assert again.get(two.id).state is JobState.PAUSED
    assert work.runs == 1
    await again.close()


async def test_children_follow_their_parent(make: Callable[..., JobQueue]) -> None:
    queue, parent, child = make(slots={Lane.DOWNLOAD: 2}), Work(), Work()
    one = await submit(queue, parent)
    two = await submit(queue, child, parent=one.id)
    await child.started.wait()
    queue.pause(one.id)
    await until(lambda: queue.get(two.id).state is JobState.PAUSED)
    queue.resume(one.id)
    assert queue.get(two.id).state in (JobState.QUEUED, JobState.RUNNING)
    queue.cancel(one.id, keep_partial=False)
    assert (await queue.wait(two.id)).state is JobState.CANCELLED
    await queue.close()


async def test_finished_jobs_lose_their_object(make: Callable[..., JobQueue]) -> None:
    queue, recorder, work = make(keep_finished=0.01), Recorder(), Work()
    queue.add_listener(recorder)
    work.go.set()
    job = await submit(queue, work)
    await until(lambda: ("removed", job.id, JobState.SUCCEEDED) in recorder.told)
    assert queue.jobs() == ()
    await queue.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_task_that_is_cancelled_by_nobody_leaves_no_job_behind(make: Callable[..., JobQueue]) -> None:
    async def work(context: JobContext) -> Mapping[str, Any]:
        raise asyncio.CancelledError

    queue = make()
    job = await queue.submit(Operation.DOWNLOAD, Lane.DOWNLOAD, work, owner_uid=0, params={}, title="t")
    done = await asyncio.wait_for(queue.wait(job.id), 10)
    assert done.state is JobState.FAILED
    assert done.error_name == "org.luxusb.Error.Internal"


async def test_what_came_just_before_a_silence_is_told(make: Callable[..., JobQueue]) -> None:
    seen: list[int] = []
    enough = asyncio.Event()

    class Progress(Listener):
        def job_progress(self, job: Job) -> None:
            seen.append(job.bytes_done)
            if job.bytes_done == 3:
                enough.set()

    async def run(context: JobContext) -> Mapping[str, Any]:
        for done in (1, 2, 3):
            context.report(done, 0)
        await enough.wait()
        return {}

    queue = make()
    queue.add_listener(Progress())
    job = await queue.submit(Operation.IMPORT, Lane.IMPORT, run, owner_uid=0, params={}, title="x")
    async with asyncio.timeout(20):
        assert (await queue.wait(job.id)).state is JobState.SUCCEEDED
    assert seen == [1, 3, 3]


# ---- starting anew ----------------------------------------------------------------------------------------------


async def write(queue: JobQueue, work: Work, **changes: Any) -> Job:
    settings: dict[str, Any] = {"owner_uid": 1000, "params": {}, "title": "a stick", **changes}
    return await queue.submit(Operation.CREATE, Lane.STICK, work, **settings)


async def test_a_restart_waits_for_sticks_and_not_for_downloads(make: Callable[..., JobQueue]) -> None:
    queue, download, first, second = make(max_jobs_per_uid=9), Work(), Work(), Work()
    retirement = Retirement(queue, grace=0.0)
    await submit(queue, download)
    jobs = [await write(queue, first), await write(queue, second)]
    await first.started.wait()
    await download.started.wait()
    waiting = asyncio.create_task(retirement.wait())
    await until(lambda: queue.cut_by_restart == tuple(queue.get(job.id) for job in jobs))
    first.go.set()
    # one that waits in the queue would fail as well
    await second.started.wait()
    assert not waiting.done()
    second.go.set()
    await waiting
    assert [queue.get(job.id).state for job in jobs] == [JobState.SUCCEEDED] * 2
    assert queue.busy
    await queue.close()


async def test_while_a_restart_waits_no_more_sticks_are_taken(make: Callable[..., JobQueue]) -> None:
    queue, work = make(max_jobs_per_uid=9), Work()
    retirement = Retirement(queue, grace=0.0)
    job = await write(queue, work)
    await work.started.wait()
    waiting = asyncio.create_task(retirement.wait())
    await asyncio.sleep(0)
    with pytest.raises(LimitExceededError, match="starts anew"):
        await write(queue, Work())
    # what a stick's own job has fetched, and downloads, which go on afterwards
    await write(queue, Work(), parent=job.id)
    await submit(queue, Work())
    queue.cancel(job.id, keep_partial=False)
    await waiting
    assert queue.get(job.id).state is JobState.CANCELLED
    await queue.close()


async def test_a_restart_waits_for_a_paused_stick(make: Callable[..., JobQueue]) -> None:
    queue, work = make(), Work()
    retirement = Retirement(queue, grace=0.0)
    job = await write(queue, work)
    await work.started.wait()
    queue.pause(job.id)
    await until(lambda: queue.get(job.id).state is JobState.PAUSED)
    assert [left.id for left in queue.cut_by_restart] == [job.id]
    waiting = asyncio.create_task(retirement.wait())
    work.go.set()
    queue.resume(job.id)
    await waiting
    await queue.close()


async def test_with_nothing_to_cut_it_starts_anew_at_once(make: Callable[..., JobQueue]) -> None:
    queue, download = make(), Work()
    retirement = Retirement(queue, grace=3600.0)
    await submit(queue, download)
    await download.started.wait()
    await retirement.wait()
    await queue.close()
