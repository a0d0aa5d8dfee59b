"""Downloads that wait for room, and what makes them go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from luxusbd.errors import NotEnoughSpaceError
from luxusbd.jobs import codec, waiting
from luxusbd.jobs.model import Job, JobState, Operation, PauseReason
from luxusbd.jobs.queue import JobQueue
from luxusbd.jobs.running import HeldError, JobContext, Lane
from luxusbd.jobs.waiting import SPARE, SpaceWatch
from luxusbd.store import Store

SHA = "ab" * 32
SIZE = 1000
TICK = 0.01


class Disk:
    """How much is free, and what was asked of it; a download runs into its end as often as `full` says."""

    def __init__(self) -> None:
        self.free = 0
        self.full = 1
        self.asked: list[tuple[int, int]] = []
        self.ran: list[int] = []
        self.looked = asyncio.Event()
        self.freed_for = 0
        """There is room from the next look for this user on."""

    async def check(self, uid: int, size: int) -> None:
        self.asked.append((uid, size))
        self.looked.set()
        if uid == self.freed_for:
            self.free = 1 << 40
        if size > self.free:
            raise NotEnoughSpaceError("no room")

    async def run(self, context: JobContext) -> Mapping[str, Any]:
        self.ran.append(context.job.id)
        if self.full:
            self.full -= 1
            raise HeldError(PauseReason.SPACE, "the disk is full at http://x.example/a?secret")
        return {}


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[JobQueue]:
    store = Store(tmp_path / "jobs.sqlite")
    await store.open()
    made = JobQueue(store, slots={Lane.DOWNLOAD: 1}, max_jobs=9, max_jobs_per_uid=9, keep_finished=60)
    yield made
    await made.close()
    await store.close()


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
async def watch(queue: JobQueue, disk: Disk, tmp_path: Path) -> AsyncIterator[SpaceWatch]:
    (tmp_path / "incoming").mkdir()
    made = SpaceWatch(queue, disk.check, tmp_path / "incoming", lambda _job: SIZE, interval=TICK)
    yield made
    await made.close()


async def submit(queue: JobQueue, disk: Disk, priority: int = 0, uid: int = 1000) -> Job:
    return await queue.submit(
        Operation.DOWNLOAD,
        Lane.DOWNLOAD,
        disk.run,
        owner_uid=uid,
        params={"sha256": SHA},
        title="t",
        priority=priority,
    )


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(TICK / 2)


async def test_it_goes_on_when_there_is_room(queue: JobQueue, disk: Disk, watch: SpaceWatch) -> None:
    job = await submit(queue, disk)
    await until(lambda: queue.get(job.id).state is JobState.PAUSED)
    held = queue.get(job.id)
    assert held.pause_reason is PauseReason.SPACE
    assert held.pause_message == "the disk is full at http://x.example/a?..."
    assert queue.busy
    await until(lambda: len(disk.asked) >= 3)
    assert queue.get(job.id).state is JobState.PAUSED
    assert set(disk.asked) == {(1000, SIZE + SPARE)}
    disk.free = SIZE + SPARE - 1
    asked = len(disk.asked)
    await until(lambda: len(disk.asked) > asked + 1)
    assert queue.get(job.id).state is JobState.PAUSED
    disk.free += 1
    done = await queue.wait(job.id)
    assert (done.state, done.pause_reason, done.pause_message) == (JobState.SUCCEEDED, None, "")
    assert not queue.busy


async def test_what_is_on_the_disk_needs_no_room(
    queue: JobQueue, disk: Disk, watch: SpaceWatch, tmp_path: Path
) -> None:
    part = tmp_path / "incoming" / f"{SHA}.part"
    part.write_bytes(b"x" * SIZE)
    disk.free = SPARE
    job = await submit(queue, disk)
    assert (await queue.wait(job.id)).state is JobState.SUCCEEDED
    assert disk.asked == [(1000, SPARE)]


async def test_one_that_is_held_again_soon_waits_longer(
    queue: JobQueue, disk: Disk, watch: SpaceWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A used-up quota shows in no figure: the look says that there is room, and the write fails again."""
    monkeypatch.setattr(waiting, "LONGEST", 8 * TICK)
    disk.full, disk.free = 6, 1 << 40
    job = await submit(queue, disk)
    waits: list[float] = []
    async with asyncio.timeout(20):
        while not queue.get(job.id).state.finished:
            known = watch._known.get(job.id)
            if known is not None and (not waits or waits[-1] != known.wait):
                waits.append(known.wait)
            await asyncio.sleep(TICK / 4)
    assert waits == [TICK, 2 * TICK, 4 * TICK, 8 * TICK]
    assert disk.ran == [job.id] * 7


async def test_the_most_urgent_goes_on_first(queue: JobQueue, disk: Disk, watch: SpaceWatch) -> None:
    disk.full = 2
    first = await submit(queue, disk)
    second = await submit(queue, disk, priority=5, uid=1001)
    await until(lambda: all(job.state is JobState.PAUSED for job in queue.jobs()))
    asked = len(disk.asked)
    await until(lambda: len(disk.asked) > asked + 6)
    # not in the middle of a look at both, which would find room for the second one of them alone
    disk.freed_for = 1001
    for job in (first, second):
        await queue.wait(job.id)
    assert disk.ran[2:] == [second.id, first.id]


async def test_one_that_somebody_pauses_stays(queue: JobQueue, disk: Disk, watch: SpaceWatch) -> None:
    job = await submit(queue, disk)
    await until(lambda: queue.get(job.id).state is JobState.PAUSED)
    queue.pause(job.id)
    assert queue.get(job.id).pause_reason is PauseReason.USER
    assert not queue.busy
    other = await submit(queue, disk)
    disk.full, disk.free = 0, 1 << 40
    await queue.wait(other.id)
    await asyncio.sleep(5 * TICK)
    assert queue.get(job.id).state is JobState.PAUSED
    queue.resume(job.id)
    assert (await queue.wait(job.id)).state is JobState.SUCCEEDED


@pytest.mark.parametrize("ask", [False, True])
async def test_it_waits_through_a_restart(queue: JobQueue, disk: Disk, watch: SpaceWatch, ask: bool) -> None:
    job = await submit(queue, disk)
    await until(lambda: queue.get(job.id).state is JobState.PAUSED)
    stored = codec.from_row(codec.to_row(queue.get(job.id)))
    assert stored == queue.get(job.id)
    other = JobQueue(queue._store, slots={Lane.DOWNLOAD: 1}, max_jobs=9, max_jobs_per_uid=9, keep_finished=60)
    other.restore(stored, Lane.DOWNLOAD, disk.run, ask=ask)
    restored = other.get(job.id)
    assert restored.state is JobState.PAUSED
    assert restored.pause_reason is (PauseReason.RESTART if ask else PauseReason.SPACE)
    assert other.busy is not ask
    await other.close()


def test_a_record_of_an_older_version_is_read() -> None:
    job = Job(5, Operation.DOWNLOAD, 0, JobState.PAUSED, 1, {}, "t", pause_reason=PauseReason.USER)
    row = codec.to_row(job)
    old = {key: value for key, value in row.document.items() if not key.startswith("pause_")}
    read = codec.from_row(type(row)(row.id, row.owner_uid, row.finished, old))
    assert (read.state, read.pause_reason) == (JobState.PAUSED, None)
