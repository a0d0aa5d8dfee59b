"""Takes over sticks of LUXusb 0.6.3, and says beforehand what that will do."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

from luxusbd.devices.model import DeviceState
from luxusbd.errors import DeviceNotLuxusbError, NotSupportedError
from luxusbd.jobs import planfirmware
from luxusbd.jobs.comparison import How
from luxusbd.jobs.registry import name_of
from luxusbd.jobs.running import JobContext
from luxusbd.jobs.together import Overall
from luxusbd.jobs.views import DeviceView
from luxusbd.jobs.workshop import Workshop
from luxusbd.stick import grub
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.foreign import ForeignStick, Maker
from luxusbd.stick.model import StickOperation
from luxusbd.stick.tools import require_all


class Adoptions:
    """Runs the jobs that take sticks over."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    def plan(self, view: DeviceView) -> Mapping[str, Any]:
        """What a takeover will do; the Result of a dry run.

        Raises:
            DeviceNotLuxusbError: it is no stick of LUXusb 0.6.3.
            NotSupportedError: it is, or one of Ventoy, and cannot be taken over.
            ToolMissingError: no boot files can be made.
        """
        found = adoptable(view)
        firmware = require_all(image_file=not view.device.node, kind=Kind.EXT4)
        return {
            "dry_run": True,
            "found": [{"path": image.path, "size": image.size, "volume_id": image.volume_id} for image in found.images],
            "notes": list(found.notes),
            "firmware": sorted(firmware),
            "warnings": planfirmware.of_stick(firmware, Kind.EXT4, grub.signed()),
        }

    async def run(self, context: JobContext, view: DeviceView) -> Mapping[str, Any]:
        """Take a stick over; the Result of the job.

        Raises:
            LuxusbError: it cannot be; the images are whole, and as long as the new boot files are not, the old ones
                start, as far as the plan said so.
        """
        identity = view.device.identity
        overall = Overall(context, sum(image.size for image in view.foreign.images) if view.foreign else 0, 1)
        # held over all steps, so that nobody else changes the disk between the looks and the writing
        target = await self._workshop.open(identity)
        try:
            work = functools.partial(self._workshop.work, context, identity, overall=overall, target=target)
            names = (await work(StickOperation.ADOPT_BEGIN))["names"]
            how = How(thorough=True, mending=True, newcomers=True, kind=Kind.EXT4)
            found = await self._workshop.compare(context, identity, overall, target, how=how)
            made = await work(StickOperation.ADOPT, found=found.found)
        finally:
            os.close(target)
        told = found.result()
        return {
            **made,
            "dry_run": False,
            "added": told["added"],
            "skipped": told["skipped"],
            "renamed": [{"path": path, "name": name} for path, name in sorted(names.items())],
        }


def adoptable(view: DeviceView) -> ForeignStick:
    """What is known of a stick that can be taken over.

    Raises:
        DeviceNotLuxusbError, NotSupportedError: it cannot be.
    """
    found = view.foreign
    if view.state in (DeviceState.LUXUSB, DeviceState.DAMAGED):
        raise DeviceNotLuxusbError(f"{name_of(view)} is a stick of this version already; there is nothing to take over")
    if found is None:
        raise DeviceNotLuxusbError(f"{name_of(view)} is no stick of LUXusb 0.6.3, which alone can be taken over")
    if found.refusal:
        raise NotSupportedError(f"{name_of(view)} cannot be taken over: {found.refusal}")
    return found


def refusal(view: DeviceView) -> str:
    """Why a stick that is none of ours is not worked on, and what helps."""
    found = view.foreign
    if found is not None and found.maker is Maker.VENTOY:
        return f"{name_of(view)}: {found.refusal}"
    if found is not None:
        return f"{name_of(view)} is a stick of LUXusb 0.6.3; take it over first: luxusb adopt"
    return f"{name_of(view)} is no LUXusb stick; make one with: luxusb create"
