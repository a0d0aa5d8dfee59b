"""Jobs that have devices for themselves from their start to their end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from luxusbd.devices.model import DeviceIdentity
from luxusbd.errors import LuxusbError
from luxusbd.jobs.holds import Holds
from luxusbd.jobs.model import Job, Operation
from luxusbd.jobs.queue import JobQueue
from luxusbd.jobs.registry import DeviceRegistry
from luxusbd.jobs.running import JobContext, Lane, Runner
from luxusbd.jobs.views import Caller


class DeviceJobs:
    """Submits them, and gives their devices free."""

    def __init__(self, queue: JobQueue, registry: DeviceRegistry, holds: Holds) -> None:
        self._queue = queue
        self._registry = registry
        self._holds = holds

    async def submit(
        self,
        operation: Operation,
        caller: Caller,
        identities: Sequence[DeviceIdentity],
        runner: Runner,
        *,
        title: str,
        params: Mapping[str, Any],
    ) -> Job:
        """Let a job have these devices; `params` may name the `images` that must stay until then.

        Raises:
            DeviceError: another job has one of them, or the guard refuses it.
            LimitExceededError: the caller has too many jobs.
        """

        async def run(context: JobContext) -> Mapping[str, Any]:
            try:
                return await runner(context)
            finally:
                # before the end is told: who waits for it wants to use the device right then
                await self.ended(context.job)

        # the plan is used up, and the job does not exist before it is stored: nothing may be removed in between
        with self._holds.keep(caller.uid, params.get("images", ())):
            job = await self._queue.submit(
                operation,
                Lane.STICK,
                run,
                owner_uid=caller.uid,
                params={**params, "devices": [identity.id for identity in identities]},
                title=title,
                device_ids=tuple(identity.id for identity in identities),
            )
        try:
            for identity in identities:
                self._registry.claim(identity, job.id)
        except LuxusbError:
            self._queue.cancel(job.id, keep_partial=True)
            raise
        return job

    async def ended(self, job: Job) -> None:
        """Give the devices of a finished job free and look at them anew."""
        for device_id in job.device_ids:
            await self._registry.release(device_id, job.id)
