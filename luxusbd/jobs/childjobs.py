"""Downloads that belong to another job, which waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from luxusbd.errors import CancelledError, from_name
from luxusbd.jobs.model import Job, JobState
from luxusbd.jobs.queue import JobQueue

REPORT_INTERVAL = 0.25
"""Seconds between two looks at the downloads of a stick."""


async def wait_for_children(queue: JobQueue, children: Sequence[Job], report: Callable[[int, int], None]) -> None:
    """Wait for download jobs to the end of the last one, reporting the sum of their bytes.

    The others go on when one fails: what they fetch is there when the user tries again.

    Raises:
        LuxusbError: as the first child that failed, with the texts of all.
        CancelledError: a child was cancelled.
    """
    now = {child.id: child for child in children}
    pending = {asyncio.ensure_future(queue.wait(child.id)) for child in children}
    try:
        while pending:
            done, pending = await asyncio.wait(pending, timeout=REPORT_INTERVAL)
            for task in done:
                now[task.result().id] = task.result()
            for job_id, job in now.items():
                if not job.state.finished:
                    now[job_id] = queue.get(job_id)
            report(
                sum(job.bytes_done for job in now.values()),
                sum(max(job.bytes_total, int(job.params["size"])) for job in now.values()),
            )
    finally:
        for task in pending:
            task.cancel()
    failed = [job for job in now.values() if job.state is JobState.FAILED]
    if failed:
        raise from_name(failed[0].error_name, "; ".join(f"{job.title}: {job.error_message}" for job in failed))
    for job in now.values():
        if job.state is JobState.CANCELLED:
            raise CancelledError(f"the download of {job.title} was cancelled, so the stick cannot be made as planned")
