"""The operation that writes one image byte for byte to whole disks."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from luxusbd.devices.model import DeviceIdentity
from luxusbd.errors import MalformedImageError
from luxusbd.images.model import StoredImage
from luxusbd.images.store import ImageStore
from luxusbd.jobs.childjobs import wait_for_children
from luxusbd.jobs.devicejobs import DeviceJobs
from luxusbd.jobs.downloads import Downloads
from luxusbd.jobs.model import Job, Operation
from luxusbd.jobs.planning import Planner, StoredPlan
from luxusbd.jobs.probing import Probing
from luxusbd.jobs.queue import JobQueue
from luxusbd.jobs.rawplans import RawPlans, check_room, check_starts
from luxusbd.jobs.registry import DeviceRegistry, name_of
from luxusbd.jobs.running import JobContext
from luxusbd.jobs.shares import shares_of
from luxusbd.jobs.together import Overall, make_each
from luxusbd.jobs.unmounting import Unmounting
from luxusbd.jobs.unpacking import Unpacker, Unpacking
from luxusbd.jobs.views import Caller
from luxusbd.jobs.wanted import Wanted
from luxusbd.jobs.workshop import Workshop
from luxusbd.stick.model import RawImage, StickOperation
from luxusbd.transfer.rawmodel import RawLook


class RawWrites:
    """Starts and runs such jobs."""

    def __init__(
        self,
        queue: JobQueue,
        registry: DeviceRegistry,
        store: ImageStore,
        downloads: Downloads,
        planner: Planner,
        plans: RawPlans,
        workshop: Workshop,
        *,
        jobs: DeviceJobs,
        unmounting: Unmounting,
        unpacker: Unpacker,
        probing: Probing,
    ) -> None:
        self._queue = queue
        self._registry = registry
        self._store = store
        self._downloads = downloads
        self._planner = planner
        self._plans = plans
        self._workshop = workshop
        self._jobs = jobs
        self._unmounting = unmounting
        self._unpacker = unpacker
        self._probing = probing

    async def start(self, caller: Caller, token: str) -> Job:
        """Use a plan up and start its job.

        Raises:
            LuxusbError: the plan is gone or is none for this, or a disk cannot be written now.
        """
        self._queue.check_room(caller.uid)
        planned = self._planner.take(caller, token, raw=True)
        identities = planned.identities
        (wanted,) = planned.images

        async def run(context: JobContext) -> Mapping[str, Any]:
            return await self._run(context, caller, identities, planned)

        return await self._jobs.submit(
            Operation.WRITE_RAW,
            caller,
            identities,
            run,
            title=f"{wanted.called} to {', '.join(name_of(each.view) for each in planned.plan.devices)}",
            params={"images": [wanted.content], "references": [wanted.reference]},
        )

    async def _run(
        self, context: JobContext, caller: Caller, identities: Sequence[DeviceIdentity], planned: StoredPlan
    ) -> Mapping[str, Any]:
        (wanted,) = planned.images
        views = [device.view for device in planned.plan.devices]
        overall = Overall(context, 2 * wanted.size, len(identities), shares=shares_of(views))
        stored = await self._fetch(context, caller, wanted, overall)
        look = planned.raw or await self._plans.look(caller.uid, stored.sha256)
        check_starts(stored, look, unbootable=planned.unbootable)
        for device in planned.plan.devices:
            check_room(device.view, look.size)
        overall.expected = 2 * (look.map.mapped if look.map is not None else look.size)
        image = wanted.manifest_image(stored, 0)
        # before the first worker starts, whose mount namespace begins as a copy of this machine's
        refused = await self._unmounting.release_all(identities)
        if look.packing is None:
            # what is unpacked is unpacked once, for all of them
            names = {view.device.identity.id: name_of(view) for view in views}
            overall.keep_in_step({key: name for key, name in names.items() if key not in refused}, look.size)
        async with self._unpacked(caller, stored, look, len(identities)) as going:

            async def write(identity: DeviceIdentity) -> Mapping[str, Any]:
                number = identities.index(identity)
                try:
                    if (refusal := refused.get(identity.id)) is not None:
                        raise refusal
                    pipe = going.pipe(number) if going is not None else -1
                    raw = RawImage(look.size, going is not None, pipe, look.map)
                    probe = self._probing.first(self._registry.current(identity), planned.probe)
                    return await self._workshop.work(
                        context, identity, StickOperation.WRITE_RAW, overall, images=[image], probe=probe, raw=raw
                    )
                except MalformedImageError as error:
                    # the worker saw that what is unpacked broke off; whoever unpacks knows why
                    if going is None or going.failure is None:
                        raise
                    raise type(going.failure)(f"{stored.name}: {going.failure} ({error})") from error
                finally:
                    if going is not None:
                        going.drop(number)

            return await make_each(overall, identities, write)

    @contextlib.asynccontextmanager
    async def _unpacked(
        self, caller: Caller, stored: StoredImage, look: RawLook, readers: int
    ) -> AsyncIterator[Unpacking | None]:
        """What is in a compressed image, on its way to so many disks; None for one that is not compressed."""
        if look.packing is None:
            yield None
            return
        fd = await asyncio.to_thread(self._store.open, caller.uid, stored.sha256)
        try:
            async with self._unpacker.unpacked(fd, readers) as going:
                yield going
        finally:
            os.close(fd)

    async def _fetch(self, context: JobContext, caller: Caller, wanted: Wanted, overall: Overall) -> StoredImage:
        if wanted.stored is None and wanted.distribution is not None and wanted.release is not None:
            child = await self._downloads.download(
                caller.uid, wanted.distribution, wanted.release, parent=context.job.id
            )
            await wait_for_children(self._queue, [child], overall.downloads)
        stored = self._store.get(caller.uid, self._store.named(wanted.content))
        self._planner.check_trust(stored)
        return stored
