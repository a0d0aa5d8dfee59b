"""Several devices in one job: what is told of each, and what comes of all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from luxusbd.devices.model import DeviceIdentity
from luxusbd.errors import DeviceFailingError, FailedError, InterruptedJobError, LuxusbError, PartlyFailedError
from luxusbd.jobs import codec, shares
from luxusbd.jobs.model import DeviceShare, Job, JobState, Operation
from luxusbd.jobs.queue import JobQueue
from luxusbd.jobs.running import JobContext, Lane
from luxusbd.jobs.shares import Shares
from luxusbd.jobs.together import Overall, make_each
from luxusbd.stick.model import StickProgress
from luxusbd.store import Store

NAMES = ("a", "b", "c")
IDENTITIES = [DeviceIdentity(name, 1, 1000) for name in NAMES]


def some() -> Shares:
    return Shares(DeviceShare(name, f"/dev/sd{name}", "Stick") for name in NAMES)


async def run(tmp_path: Path, make: Any) -> tuple[Job, list[Job]]:
    """A job over three devices, and what was told of it."""
    from tests.jobs.test_queue import Recorder

    class Told(Recorder):
        def job_changed(self, job: Job) -> None:
            told.append(job)

    told: list[Job] = []
    store = Store(tmp_path / "jobs.sqlite")
    await store.open()
    queue = JobQueue(store, slots=dict.fromkeys(Lane, 1), max_jobs=9, max_jobs_per_uid=9, keep_finished=60)
    queue.add_listener(Told())

    async def runner(context: JobContext) -> Mapping[str, Any]:
        overall = Overall(context, 100, 3, shares=some())
        return await make_each(overall, IDENTITIES, lambda identity: make(overall, identity, queue, context.job.id))

    job = await queue.submit(
        Operation.CREATE, Lane.STICK, runner, owner_uid=0, params={}, title="three", device_ids=NAMES
    )
    ended = await queue.wait(job.id)
    (row,) = await store.rows()
    assert codec.from_row(row) == ended
    await queue.close()
    await store.close()
    return ended, told


async def test_one_that_fails_stops_no_other_and_the_result_tells_of_each(tmp_path: Path) -> None:
    failed = asyncio.Event()

    async def make(overall: Overall, identity: DeviceIdentity, *_rest: Any) -> Mapping[str, Any]:
        overall.device(identity.id, StickProgress("write-image", 50, 100))
        if identity.id == "b":
            failed.set()
            raise DeviceFailingError("input/output error; try another port")
        await failed.wait()
        overall.device(identity.id, StickProgress("read-back", 100, 100))
        return {"stick_id": identity.id}

    job, told = await run(tmp_path, make)
    assert job.state is JobState.FAILED
    assert job.error_name == PartlyFailedError.dbus_name
    assert "2 of 3" in job.error_message
    assert "/dev/sdb: input/output error" in job.error_message
    assert [(each["node"], each["state"]) for each in job.result["devices"]] == [
        ("/dev/sda", "succeeded"),
        ("/dev/sdb", "failed"),
        ("/dev/sdc", "succeeded"),
    ]
    assert job.result["devices"][1]["error_name"] == DeviceFailingError.dbus_name
    # told while the others went on
    states = [[share.state.value for share in each.devices] for each in told if each.state is JobState.RUNNING]
    assert ["queued"] * 3 in states
    assert ["running", "failed", "running"] in states
    assert (job.bytes_done, job.bytes_total) == (250, 250)


async def test_all_that_fail_are_no_part_of_it(tmp_path: Path) -> None:
    async def make(_overall: Overall, identity: DeviceIdentity, *_rest: Any) -> Mapping[str, Any]:
        raise DeviceFailingError(f"{identity.id} is broken")

    job, _told = await run(tmp_path, make)
    assert job.error_name == FailedError.dbus_name
    assert all(f"{name} is broken" in job.error_message for name in NAMES)


async def test_all_that_were_made_are_in_the_result(tmp_path: Path) -> None:
    async def make(_overall: Overall, identity: DeviceIdentity, *_rest: Any) -> Mapping[str, Any]:
        return {"stick_id": identity.id}

    job, _told = await run(tmp_path, make)
    assert job.state is JobState.SUCCEEDED
    assert [(each["id"], each["state"], each["stick_id"]) for each in job.result["devices"]] == [
        (name, "succeeded", name) for name in NAMES
    ]


async def test_a_cancelled_job_tells_which_were_ready(tmp_path: Path) -> None:
    async def make(_overall: Overall, identity: DeviceIdentity, queue: JobQueue, job_id: int) -> Mapping[str, Any]:
        if identity.id != "a":
            if identity.id == "c":
                queue.cancel(job_id, keep_partial=True)
            await asyncio.Event().wait()
        return {}

    job, _told = await run(tmp_path, make)
    assert job.state is JobState.CANCELLED
    assert [each["state"] for each in job.result["devices"]] == ["succeeded", "cancelled", "cancelled"]


def test_the_job_goes_from_stage_to_stage_and_never_back() -> None:
    found = some()
    seen = []
    order = ["partition", "write-image", "read-back", "menu"]
    for turn in range(12):
        for number, name in enumerate(NAMES):
            stage = order[min(len(order) - 1, turn // (number + 1))]
            found.progress(name, StickProgress(stage, turn, 20), float(turn))
            seen.append(found.stage)
    assert list(dict.fromkeys(seen)) == order
    assert seen == sorted(seen, key=order.index)


def test_each_has_its_own_rate_and_none_at_its_end() -> None:
    found = some()
    for second in range(6):
        found.progress("a", StickProgress("write-image", second * 1000, 9000), float(second))
        found.progress("b", StickProgress("write-image", second * 10, 9000), float(second))
    assert [share.rate for share in found.now(5.0)] == [1000, 10, 0]
    found.ended("a", JobState.SUCCEEDED)
    found.ended("b", JobState.FAILED, DeviceFailingError("broken, see https://user:secret@host/x"))
    first, second_share, _third = found.now(6.0)
    assert (first.rate, first.bytes_done, second_share.rate) == (0, 9000, 0)
    assert "secret" not in second_share.error_message


@pytest.mark.parametrize("done", [True, False])
def test_what_a_restart_cut_is_failed_and_what_was_ready_is_ready(done: bool) -> None:
    found = some()
    if done:
        found.ended("a", JobState.SUCCEEDED)
    error: LuxusbError = InterruptedJobError("the daemon ended; create it again")
    told = shares.outcome(shares.interrupted(found.now(0.0), error))["devices"]
    assert [each["state"] for each in told] == ["succeeded" if done else "failed", "failed", "failed"]
    assert told[1]["error_message"] == error.message
