"""What a job on a stick works with: the device open and locked, a worker for every order, a reader for the images."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from luxusbd.children.launch import Launcher
from luxusbd.devices.model import Device, DeviceIdentity
from luxusbd.errors import DeviceBusyError, DeviceChangedError, DeviceNotFoundError, InterruptedJobError, LuxusbError
from luxusbd.images.store import ImageStore
from luxusbd.jobs import worker
from luxusbd.jobs.comparison import Comparison, How
from luxusbd.jobs.model import Operation
from luxusbd.jobs.passage import Reader
from luxusbd.jobs.registry import DeviceRegistry
from luxusbd.jobs.rescan import Rescans
from luxusbd.jobs.running import JobContext
from luxusbd.jobs.streams import Streams
from luxusbd.jobs.together import Overall
from luxusbd.jobs.unmounting import Unmounting
from luxusbd.stick.model import (
    ManifestImage,
    MenuChange,
    Probe,
    RawImage,
    SourceImage,
    StickOperation,
    StickOptions,
    StickOrder,
    StickProgress,
)

AGAIN = {
    Operation.CREATE: "the stick is not complete: create it again",
    Operation.ADD: "the stick still starts what was on it before: add the images again",
    Operation.REMOVE: "the stick still starts: remove the images again",
    Operation.UPDATE: "the stick starts what it can with whole images, old ones or new ones: update it again",
    Operation.REFRESH: "refresh the stick again",
    Operation.VERIFY: "nothing was written: verify again",
    Operation.RESCAN: "the stick still starts what it started before: rescan it again",
    Operation.PERSIST: "the stick still starts: set the room for changes again",
    Operation.REPAIR: "the stick starts what it started before: repair it again",
    Operation.PROBE: "what it overwrote is kept on this machine: probe the disk again, and it is put back first; what a"
    " full probe has written is gone",
    Operation.RESTORE: "the disk has no filesystem: restore it again",
    Operation.WRITE_RAW: "unless nothing was written yet, the disk was erased and starts nothing: write the image"
    " again, or make it a plain drive (luxusb restore)",
    Operation.ADOPT: "no image was touched: adopt the stick again",
}
"""What helps when a job of this kind was cut."""


class Workshop:
    """Lets workers carry out orders on devices."""

    def __init__(
        self,
        registry: DeviceRegistry,
        store: ImageStore,
        rescans: Rescans,
        launcher: Launcher,
        *,
        unmounting: Unmounting,
    ) -> None:
        self._registry = registry
        self._store = store
        self._rescans = rescans
        self._launcher = launcher
        self._unmounting = unmounting

    async def work(
        self,
        context: JobContext,
        identity: DeviceIdentity,
        operation: StickOperation,
        overall: Overall,
        *,
        images: Sequence[ManifestImage] = (),
        remove: tuple[str, ...] = (),
        found: tuple[ManifestImage, ...] = (),
        persist: tuple[tuple[str, int], ...] = (),
        options: StickOptions | None = None,
        change: MenuChange | None = None,
        target: int | None = None,
        probe: Probe = Probe.NONE,
        saved: Sequence[int] = (),
        streams: Streams | None = None,
        sequence: tuple[str, ...] = (),
        raw: RawImage | None = None,
    ) -> Mapping[str, Any]:
        """Let a worker carry out one order; `target` is the device where it is open and locked already, `saved` what
        the order's `saved` is. The descriptors of `saved` and `raw` stay the caller's. `streams` brings images that
        are still being downloaded, `sequence` is the order of all new ones then.

        Raises:
            LuxusbError: what the worker says, or that the device is gone.
        """
        device = self._registry.current(identity).device
        fds = [await self.open(identity) if target is None else os.dup(target)]
        try:
            sources = []
            for image in images:
                uid = context.job.owner_uid
                stored = await asyncio.to_thread(self._store.get, uid, image.sha256)
                fds.append(await asyncio.to_thread(self._store.open, uid, image.sha256))
                sources.append(SourceImage(-1, image, stored.sha512))
            order = StickOrder(
                operation=operation,
                fd=-1,
                node=device.node,
                disk_seq=identity.disk_seq,
                size=identity.size,
                options=options or StickOptions(),
                add=tuple(sources),
                remove=remove,
                found=found,
                persist=persist,
                change=change or MenuChange(),
                probe=probe,
                streams=streams.images if streams is not None else (),
                sequence=sequence,
                in_step=overall.pack is not None,
                raw=raw,
                saved=(-1,) * len(saved),
            )
            fds += [os.dup(each) for each in saved]
            if raw is not None and raw.packed:
                fds.append(os.dup(raw.pipe))

            noted = ""

            def progress(now: StickProgress) -> None:
                nonlocal noted
                overall.device(identity.id, now)
                if now.note and now.note != noted:
                    # several workers that say theirs in turn would fill the history with it
                    noted = now.note
                    context.note(f"{device.node}: {now.note}" if overall.devices > 1 else now.note)

            def on_pause(hook: Callable[[bool], None] | None) -> None:
                overall.on_pause(identity.id, hook)

            reader = Reader(identity.id, fds[0], identity.size)
            return await worker.execute(
                *(self._launcher, order, fds),
                progress=progress,
                on_pause=on_pause,
                feed=functools.partial(streams.feed, reader) if streams is not None else None,
                pack=overall.pack,
                name=identity.id,
            )
        except InterruptedJobError as error:
            raise InterruptedJobError(f"{error}; {AGAIN[context.job.operation]}") from None
        except LuxusbError as error:
            await self._explain_absence(identity, device, context.job.operation, error)
            raise
        finally:
            for fd in fds:
                os.close(fd)

    async def open(self, identity: DeviceIdentity) -> int:
        """The device, unmounted and locked; the caller closes it."""
        await self._unmounting.release(identity)
        try:
            return await self._registry.open_for_writing(identity)
        except DeviceBusyError as error:
            explained = await self._unmounting.explained(identity, error)
            if explained is error:
                raise
            raise explained from error

    async def _explain_absence(
        self, identity: DeviceIdentity, device: Device, operation: Operation, error: LuxusbError
    ) -> None:
        """Whatever a tool complained of: when the disk is gone, that is the reason."""
        try:
            await self._registry.check_present(identity)
        except (DeviceNotFoundError, DeviceChangedError):
            raise DeviceNotFoundError(
                f"{device.node or 'the image file'} ({device.model}) went away during the job; plug it in again and"
                f" leave it in: {AGAIN[operation]} ({error})"
            ) from error

    async def compare(
        self, context: JobContext, identity: DeviceIdentity, overall: Overall, target: int, *, how: How
    ) -> Comparison:
        """Read what lies in /iso of a stick that is open at `target`; see `Rescans.compare`."""
        noted = ""

        def report(name: str, done: int, total: int) -> None:
            nonlocal noted
            if name != noted:
                context.note(f"reading {name}")
                noted = name
            overall.reading(done, total)

        overall.reading(0, 0)
        fd = await asyncio.to_thread(os.open, f"/proc/self/fd/{target}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return await self._rescans.compare(
                context.job.id,
                fd,
                identity.size,
                how=how,
                report=report,
                on_pause=functools.partial(overall.on_pause, identity.id),
            )
        finally:
            os.close(fd)
