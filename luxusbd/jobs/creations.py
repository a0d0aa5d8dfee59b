"""Makes new sticks: brings the images of a plan, frees its disks, and has all of them written at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from luxusbd.devices.model import DeviceIdentity
from luxusbd.errors import NotEnoughSpaceError
from luxusbd.jobs.planning import StoredPlan, streams_of
from luxusbd.jobs.probing import Probing
from luxusbd.jobs.provision import Provision
from luxusbd.jobs.registry import DeviceRegistry, name_of
from luxusbd.jobs.running import JobContext
from luxusbd.jobs.shares import shares_of
from luxusbd.jobs.streams import check_lacking, taken_by
from luxusbd.jobs.together import Overall, make_each
from luxusbd.jobs.unmounting import Unmounting
from luxusbd.jobs.views import Caller
from luxusbd.jobs.wanted import Wanted, check_companion, room_for_changes
from luxusbd.jobs.workshop import Workshop
from luxusbd.stick import layout as stick_layout
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import ManifestImage, PartitionRole, StickOperation, StickOptions
from luxusbd.text import size_text


class Creations:
    """Runs the jobs that make sticks."""

    def __init__(
        self,
        registry: DeviceRegistry,
        workshop: Workshop,
        *,
        unmounting: Unmounting,
        probing: Probing,
        provision: Provision,
    ) -> None:
        self._registry = registry
        self._workshop = workshop
        self._unmounting = unmounting
        self._probing = probing
        self._provision = provision

    async def run(self, context: JobContext, caller: Caller, planned: StoredPlan) -> Mapping[str, Any]:
        """Make all sticks of a plan; the Result of the job.

        Raises:
            NotEnoughSpaceError: the images turned out too large; nothing was erased.
            LuxusbError: an image did not come, or none of the sticks could be made.
        """
        identities = planned.identities
        images: Sequence[Wanted] = planned.images
        options = planned.plan.options
        views = [device.view for device in planned.plan.devices]
        overall = Overall(context, 2 * sum(image.size for image in images), len(identities), shares=shares_of(views))
        kind = Kind(options.filesystem)
        streamed = streams_of(planned)
        supplied = self._provision.supply(
            *(context, caller, images, overall, kind, [identity.id for identity in identities]),
            streamed=streamed,
            keep=planned.keep,
            companion=options.companion > 0,
        )
        async with supplied as supply:
            sources, streams = supply.sources, supply.streams
            # what was downloaded meanwhile may keep no changes, or not here
            first = [image for image in images if image not in streamed]
            first = [replace(image, stored=self._provision.stored(caller, image)) for image in first]
            rooms = room_for_changes(first, options)
            coming_images = streams.images if streams is not None else ()
            _check_capacity(identities, options, (*sources, *coming_images), rooms)
            # before the first worker starts, whose mount namespace begins as a copy of this machine's
            refused = await self._unmounting.release_all(identities)
            names = {view.device.identity.id: name_of(view) for view in views}
            making = {key: name for key, name in names.items() if key not in refused}
            overall.keep_in_step(making, sum(image.size for image in sources))

            async def make(identity: DeviceIdentity) -> Mapping[str, Any]:
                async with taken_by(streams, identity.id):
                    if (refusal := refused.get(identity.id)) is not None:
                        raise refusal
                    return check_lacking(
                        await self._workshop.work(
                            context,
                            identity,
                            StickOperation.CREATE,
                            overall,
                            images=sources,
                            options=options,
                            probe=self._probing.first(self._registry.current(identity), planned.probe),
                            persist=tuple((image.name, image.persistence) for image in images if image.persistence),
                            streams=streams,
                            sequence=tuple(image.name for image in images),
                        )
                    )

            return await make_each(overall, identities, make)


def _check_capacity(
    identities: Sequence[DeviceIdentity],
    options: StickOptions,
    sources: Sequence[ManifestImage],
    rooms: Mapping[PartitionRole, int],
) -> None:
    """Refuse images that turned out too large for the sticks that were planned.

    Raises:
        NotEnoughSpaceError: with the figures; nothing was erased.
    """
    kind = Kind(options.filesystem)
    for identity in identities:
        layout = stick_layout.plan(identity.size, options)
        capacity = stick_layout.capacity(layout, kind)
        guests = [image.size for image in sources if image.partition is PartitionRole.COMPANION]
        check_companion("the new stick", guests, layout, changes=rooms[PartitionRole.COMPANION])
        here = [image.size for image in sources if image.partition is PartitionRole.DATA]
        needed = stick_layout.bytes_needed(here, kind) + rooms[PartitionRole.DATA]
        if needed > capacity:
            raise NotEnoughSpaceError(
                f"the downloaded images need {size_text(needed)} and the stick has room for {size_text(capacity)};"
                " nothing was erased"
            )
