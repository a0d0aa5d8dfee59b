"""The operations on whole disks: probe what they hold, make them plain drives, and switch them off."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import Any

from luxusbd.devices import detach, scsi
from luxusbd.devices.model import DeviceIdentity
from luxusbd.errors import NotSupportedError
from luxusbd.jobs.devicejobs import DeviceJobs
from luxusbd.jobs.model import Job, Operation
from luxusbd.jobs.planning import check_large
from luxusbd.jobs.registry import DeviceRegistry, name_of
from luxusbd.jobs.running import JobContext
from luxusbd.jobs.savedfiles import SavedFiles
from luxusbd.jobs.together import Overall
from luxusbd.jobs.unmounting import Unmounting
from luxusbd.jobs.views import Caller
from luxusbd.jobs.workshop import Workshop
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import Probe, StickOperation, StickOptions
from luxusbd.stick.wholedisk import check_plain

log = logging.getLogger(__name__)


class WholeDisks:
    """Starts and runs them."""

    def __init__(
        self,
        registry: DeviceRegistry,
        jobs: DeviceJobs,
        workshop: Workshop,
        unmounting: Unmounting,
        saved: SavedFiles,
    ) -> None:
        self._registry = registry
        self._jobs = jobs
        self._workshop = workshop
        self._unmounting = unmounting
        self._saved = saved

    async def probe(self, caller: Caller, identity: DeviceIdentity, mode: Probe, *, allow_large: bool) -> Job:
        """Start finding out what a disk holds.

        Raises:
            LuxusbError: it cannot be written now, or is large and all of it would be lost.
        """
        view = self._registry.check_writable(identity)
        if mode is Probe.FULL and not allow_large:
            check_large(view)

        async def run(context: JobContext) -> Mapping[str, Any]:
            overall = Overall(context, identity.size, 1)
            if mode is Probe.FULL:
                return await self._workshop.work(context, identity, StickOperation.PROBE, overall, probe=mode)
            files = await asyncio.to_thread(self._saved.open, identity.size)
            try:
                return await self._workshop.work(
                    context, identity, StickOperation.PROBE, overall, probe=mode, saved=files.fds
                )
            finally:
                files.close()

        return await self._jobs.submit(
            Operation.PROBE, caller, [identity], run, title=name_of(view), params={"mode": mode.value}
        )

    async def restore(
        self, caller: Caller, identity: DeviceIdentity, options: StickOptions, *, allow_large: bool
    ) -> Job:
        """Start making a plain drive of a disk, with the filesystem and the label of `options`.

        Raises:
            LuxusbError: it cannot be written now, or is large.
        """
        view = self._registry.check_writable(identity)
        if not allow_large:
            check_large(view)
        check_plain(Kind(options.filesystem), identity.size)

        async def run(context: JobContext) -> Mapping[str, Any]:
            overall = Overall(context, 1, 1)
            return await self._workshop.work(context, identity, StickOperation.RESTORE, overall, options=options)

        return await self._jobs.submit(Operation.RESTORE, caller, [identity], run, title=name_of(view), params={})

    async def eject(self, identity: DeviceIdentity) -> None:
        """Unmount a disk, write out what the kernel still holds for it, and switch it off.

        Raises:
            LuxusbError: it is in use, gone, an image file, or cannot be switched off.
        """
        view = self._registry.check_writable(identity)
        if not view.device.node:
            raise NotSupportedError(f"{name_of(view)} is an image file and cannot be ejected; name a disk")
        fd = await self._workshop.open(identity)
        try:
            await asyncio.to_thread(scsi.flush, fd)
        finally:
            os.close(fd)
        desktop = self._unmounting.desktop
        if desktop is not None and await desktop.power_off(view.device.node):
            return
        fd = await self._workshop.open(identity)
        try:
            number = os.fstat(fd).st_rdev
            await asyncio.to_thread(scsi.stop_unit, fd)
        finally:
            os.close(fd)
        if await asyncio.to_thread(detach.switch_off, number):
            return
        # the slot of a reader that has given up its card stays for the next one
        if not await asyncio.to_thread(scsi.look_for_medium, view.device.node):
            return
        if not await asyncio.to_thread(detach.forget, number):
            # one that has no motor and nothing to eject is done with all the same: nothing is held back
            log.info("%s is still there; it may be pulled out", name_of(view))
