"""The stick operations: create, add, remove, update, refresh, verify, rescan and repair."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

from luxusbd.devices.model import DeviceIdentity, DeviceState
from luxusbd.errors import (
    AlreadyExistsError,
    DeviceDamagedError,
    DeviceNotLuxusbError,
    InterruptedJobError,
    InvalidArgumentError,
    LuxusbError,
    NotEnoughSpaceError,
    VerificationError,
)
from luxusbd.images.model import Certificate
from luxusbd.jobs import fitting
from luxusbd.jobs.adoptions import Adoptions, refusal
from luxusbd.jobs.changes import check_existing
from luxusbd.jobs.comparison import How
from luxusbd.jobs.creations import Creations
from luxusbd.jobs.devicejobs import DeviceJobs
from luxusbd.jobs.model import Job, Operation
from luxusbd.jobs.planning import Planner
from luxusbd.jobs.provision import Provision
from luxusbd.jobs.queue import JobQueue
from luxusbd.jobs.registry import DeviceRegistry, name_of
from luxusbd.jobs.repairs import Repairs
from luxusbd.jobs.running import JobContext, Lane
from luxusbd.jobs.sticknames import files_named
from luxusbd.jobs.stickupdates import StickUpdates
from luxusbd.jobs.streams import check_lacking, taken_by
from luxusbd.jobs.together import Overall
from luxusbd.jobs.views import Caller, DeviceView, UpdateWishes
from luxusbd.jobs.wanted import Wanted, arriving, fetched_sizes, staying
from luxusbd.jobs.workshop import AGAIN, Workshop
from luxusbd.stick import layout as stick_layout
from luxusbd.stick.model import ManifestImage, MenuChange, StickOperation, StickOptions
from luxusbd.text import size_text


class Sticks:
    """Starts and runs jobs on sticks."""

    def __init__(
        self,
        queue: JobQueue,
        registry: DeviceRegistry,
        planner: Planner,
        workshop: Workshop,
        *,
        jobs: DeviceJobs,
        creations: Creations,
        updates: StickUpdates,
        provision: Provision,
    ) -> None:
        self._jobs = jobs
        self._queue = queue
        self._registry = registry
        self._planner = planner
        self._workshop = workshop
        self._repairs = Repairs(workshop)
        self._adoptions = Adoptions(workshop)
        self._creations = creations
        self._updates = updates
        self._provision = provision

    async def create(self, caller: Caller, token: str) -> Job:
        """Use a plan up and start its job."""
        self._queue.check_room(caller.uid)
        planned = self._planner.take(caller, token, raw=False)
        identities = planned.identities

        async def run(context: JobContext) -> Mapping[str, Any]:
            return await self._creations.run(context, caller, planned)

        return await self._jobs.submit(
            Operation.CREATE,
            caller,
            identities,
            run,
            title=f"{_count(planned.images)} on {', '.join(name_of(each.view) for each in planned.plan.devices)}",
            params={**_params(planned.images), "keep": planned.keep},
        )

    async def add(
        self, caller: Caller, identity: DeviceIdentity, references: Sequence[str], *, keep: bool = True
    ) -> Job:
        """Start adding images to a stick; without `keep` they do not stay on this machine.

        Raises:
            LuxusbError: the stick is none or damaged, an image is there already, or there is no room.
        """
        view = self._stick(identity)
        images = self._planner.resolve(caller, references, [image.name for image in view.images])
        for image in images:
            if any(there.sha256 == image.content for there in view.images):
                raise AlreadyExistsError(f"{image.title} is on {name_of(view)} already")
        kind = view.filesystem
        fitting.check(kind, [image.guest for image in images], companion=view.companion, planned=False)
        here = [image.size for image in images if not view.companion or not fitting.obstacle(kind, image.guest)]
        here += fetched_sizes(images)
        needed = stick_layout.bytes_needed(here, kind)
        if needed > view.free_bytes:
            raise NotEnoughSpaceError(
                f"{name_of(view)} has {size_text(view.free_bytes)} free and the images need"
                f" {size_text(needed)}; remove an image first"
            )

        async def run(context: JobContext) -> Mapping[str, Any]:
            overall = Overall(context, 2 * sum(image.size for image in images), 1)
            # nothing is lost by it; on which of two partitions an image goes is known only of a whole one
            streamed = [image for image in images if not view.companion and arriving(image)]
            supplied = self._provision.supply(
                *(context, caller, images, overall, kind, [identity.id]),
                streamed=streamed,
                keep=keep,
                companion=view.companion,
            )
            async with supplied as supply, taken_by(supply.streams, identity.id):
                made = check_lacking(
                    await self._workshop.work(
                        context,
                        identity,
                        StickOperation.ADD,
                        overall,
                        images=supply.sources,
                        streams=supply.streams,
                        sequence=tuple(image.name for image in images),
                    )
                )
            return {**made, "kept_images": [] if keep else staying(images, companion=view.companion)}

        return await self._jobs.submit(
            Operation.ADD,
            caller,
            [identity],
            run,
            title=f"{_count(images)} to {name_of(view)}",
            params={**_params(images), "keep": keep},
        )

    async def remove(self, caller: Caller, identity: DeviceIdentity, names: Sequence[str]) -> Job:
        """Start removing images, named by reference or file name.

        Raises:
            LuxusbError: the stick is none, or has no such image.
        """
        view = self._stick(identity)
        if not names:
            raise InvalidArgumentError("no image was named")
        files = files_named(view, names)

        async def run(context: JobContext) -> Mapping[str, Any]:
            overall = Overall(context, 0, 1)
            return await self._workshop.work(context, identity, StickOperation.REMOVE, overall, remove=tuple(files))

        return await self._jobs.submit(
            Operation.REMOVE,
            caller,
            [identity],
            run,
            title=f"{', '.join(files)} from {name_of(view)}",
            params={"names": files},
        )

    async def update(self, caller: Caller, identity: DeviceIdentity, wishes: UpdateWishes) -> Job:
        """Start putting newer releases in the places of images on a stick, or finding out which there are.

        Raises:
            LuxusbError: the stick is none or damaged, an image that was named is not there, there is no room, all
                newer releases are less sure than what is on the stick, or the wishes contradict each other.
        """
        if not wishes.keep and (wishes.one_at_a_time or wishes.replace):
            raise InvalidArgumentError(
                "keep_images=false goes with neither one_at_a_time nor replace: there an image is here and whole before"
                " an old one goes for it; leave one of them out"
            )
        view = self._stick(identity, damaged=wishes.check, idle=not wishes.check)
        plan = self._updates.plan(caller, view, wishes)
        title = f"newer images for {name_of(view)}"

        if wishes.check:

            async def check(_context: JobContext) -> Mapping[str, Any]:
                return self._updates.plan(caller, self._stick(identity, damaged=True, idle=False), wishes).result()

            # nothing is written, so that the device is left to others; what the catalogue says after an update counts
            return await self._queue.submit(
                Operation.UPDATE,
                Lane.CATALOG,
                check,
                owner_uid=caller.uid,
                params={"check": True},
                title=title,
                device_ids=(identity.id,),
            )
        images = plan.images
        kind = view.filesystem
        fitting.check(kind, [image.guest for image in images], companion=view.companion, planned=False)

        async def run(context: JobContext) -> Mapping[str, Any]:
            if not images:
                return plan.result()
            overall = Overall(context, 2 * sum(image.size for image in images), 1)
            supplied = self._provision.supply(
                *(context, caller, images, overall, kind, [identity.id]),
                streamed=plan.streamed,
                keep=wishes.keep,
                companion=view.companion,
            )
            async with supplied as supply, taken_by(supply.streams, identity.id):
                return await self._updates.run(context, identity, overall, plan, supply)

        return await self._jobs.submit(
            Operation.UPDATE,
            caller,
            [identity],
            run,
            title=f"{_count(images)} on {name_of(view)}" if images else title,
            params={**_params(images), "keep": wishes.keep},
        )

    async def refresh(
        self,
        caller: Caller,
        identity: DeviceIdentity,
        certificates: tuple[Certificate, ...] = (),
        change: MenuChange | None = None,
    ) -> Job:
        """Start writing boot files and menu anew, with these certificates beside those that are there."""
        view = self._stick(identity, damaged=True)
        options = StickOptions(certificates=certificates)

        async def run(context: JobContext) -> Mapping[str, Any]:
            overall = Overall(context, sum(image.size for image in view.images), 1)
            return await self._workshop.work(
                context, identity, StickOperation.REFRESH, overall, options=options, change=change
            )

        return await self._jobs.submit(Operation.REFRESH, caller, [identity], run, title=name_of(view), params={})

    async def verify(self, caller: Caller, identity: DeviceIdentity) -> Job:
        """Start comparing everything on the stick with its manifest."""
        view = self._stick(identity, damaged=True)
        return await self._simple(caller, view, Operation.VERIFY, StickOperation.VERIFY)

    async def rescan(self, caller: Caller, identity: DeviceIdentity, *, thorough: bool) -> Job:
        """Start making manifest and menu fit the files on the stick."""
        view = self._stick(identity, damaged=True)
        how = How(thorough=thorough, kind=None if view.companion else view.filesystem)

        async def run(context: JobContext) -> Mapping[str, Any]:
            overall = Overall(context, 0, 1)
            # held over all steps, so that nobody else changes the disk between the look and the writing
            target = await self._workshop.open(identity)
            try:
                work = functools.partial(self._workshop.work, context, identity, overall=overall, target=target)
                made = await work(StickOperation.CHECK)
                found = await self._workshop.compare(context, identity, overall, target, how=how)
                if not found.empty:
                    made = await work(StickOperation.RESCAN, found=found.found, remove=found.removed)
            finally:
                os.close(target)
            return {**made, **found.result()}

        return await self._jobs.submit(Operation.RESCAN, caller, [identity], run, title=name_of(view), params={})

    async def set_persistence(self, caller: Caller, identity: DeviceIdentity, named: str, size: int) -> Job:
        """Start giving an image on a stick room for changes, or taking it away with 0; also by the room's own name,
        where it belongs to no image.

        Raises:
            LuxusbError: the stick is none or damaged, has no such image, or cannot give it that room.
        """
        view = self._stick(identity)
        name = named
        if size or all(room.name != named for room in view.stray):
            (name, *more) = files_named(view, [named])
            if more:
                raise InvalidArgumentError(
                    f"{named} is more than one image on {name_of(view)}; name one by its file name"
                )
        if size:
            check_existing(view, next(image for image in view.images if image.name == name), size)

        async def run(context: JobContext) -> Mapping[str, Any]:
            overall = Overall(context, 0, 1)
            return await self._workshop.work(
                context, identity, StickOperation.PERSIST, overall, persist=((name, size),)
            )

        title = f"{size_text(size)} for changes of {name}" if size else f"no changes of {name} any more"
        return await self._jobs.submit(
            Operation.PERSIST, caller, [identity], run, title=f"{title} on {name_of(view)}", params={"names": [name]}
        )

    async def repair(self, caller: Caller, identity: DeviceIdentity) -> Job:
        """Start mending a stick."""
        view = self._stick(identity, damaged=True)

        async def run(context: JobContext) -> Mapping[str, Any]:
            return await self._repairs.run(context, view)

        return await self._jobs.submit(Operation.REPAIR, caller, [identity], run, title=name_of(view), params={})

    async def adopt(self, caller: Caller, identity: DeviceIdentity, *, dry_run: bool) -> Job:
        """Start taking over a stick of LUXusb 0.6.3, or saying what that would do.

        Raises:
            LuxusbError: it is none, or cannot be taken over.
        """
        view = self._registry.current(identity) if dry_run else self._registry.check_writable(identity)
        plan = self._adoptions.plan(view)
        if dry_run:

            async def check(_context: JobContext) -> Mapping[str, Any]:
                return plan

            # nothing is written, so that the device is left to others
            return await self._queue.submit(
                Operation.ADOPT,
                Lane.CATALOG,
                check,
                owner_uid=caller.uid,
                params={"dry_run": True},
                title=name_of(view),
                device_ids=(identity.id,),
            )

        async def run(context: JobContext) -> Mapping[str, Any]:
            return await self._adoptions.run(context, view)

        return await self._jobs.submit(Operation.ADOPT, caller, [identity], run, title=name_of(view), params={})

    async def images(self, identity: DeviceIdentity) -> tuple[ManifestImage, ...]:
        """The images on a stick in menu order."""
        return self._stick(identity, damaged=True, idle=False).images

    def interrupted(self, job: Job) -> LuxusbError:
        """What is said of a stick job that a restart of the daemon cut."""
        return InterruptedJobError(
            f"the daemon ended while job {job.id} was at the step {job.stage or 'waiting'!r}; {AGAIN[job.operation]}"
            + (
                "; what was downloaded is kept"
                if job.operation in (Operation.CREATE, Operation.ADD, Operation.UPDATE, Operation.WRITE_RAW)
                and job.params.get("keep", True)
                else ""
            )
        )

    async def _simple(self, caller: Caller, view: DeviceView, operation: Operation, order: StickOperation) -> Job:
        identity = view.device.identity

        async def run(context: JobContext) -> Mapping[str, Any]:
            overall = Overall(context, sum(image.size for image in view.images), 1)
            result = await self._workshop.work(context, identity, order, overall)
            if order is StickOperation.VERIFY and not result["ok"]:
                raise VerificationError(_verdict(name_of(view), result))
            return result

        return await self._jobs.submit(operation, caller, [identity], run, title=name_of(view), params={})

    def _stick(self, identity: DeviceIdentity, *, damaged: bool = False, idle: bool = True) -> DeviceView:
        view = self._registry.check_writable(identity) if idle else self._registry.current(identity)
        if view.state is DeviceState.DAMAGED and not damaged:
            raise DeviceDamagedError(f"{name_of(view)} is damaged: {view.damage}; mend it with: luxusb repair")
        if view.state not in (DeviceState.LUXUSB, DeviceState.DAMAGED, DeviceState.BUSY):
            raise DeviceNotLuxusbError(refusal(view))
        return view


def _verdict(name: str, result: Mapping[str, Any]) -> str:
    bad = [f"{part['name']} is {part['state']}" for part in result["images"] if part["state"] != "ok"]
    bad += [f"{part['what']} is {part['state']}" for part in result["boot_files"] if part["state"] != "ok"]
    return f"{name}: {', '.join(bad)}; repair the stick, remove and add the bad images again, or create it anew"


def _params(images: Sequence[Wanted]) -> Mapping[str, Any]:
    return {"images": [image.content for image in images], "references": [image.reference for image in images]}


def _count(images: Sequence[object]) -> str:
    return f"{len(images)} image" if len(images) == 1 else f"{len(images)} images"
