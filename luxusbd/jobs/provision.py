"""The images that a job writes to sticks: what is here or fetched first, and what is written while it comes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from luxusbd.images.model import StoredImage
from luxusbd.images.store import ImageStore
from luxusbd.jobs import fitting
from luxusbd.jobs.arrivals import Arrivals
from luxusbd.jobs.childjobs import wait_for_children
from luxusbd.jobs.downloads import Downloads
from luxusbd.jobs.planning import Planner
from luxusbd.jobs.queue import JobQueue
from luxusbd.jobs.running import JobContext
from luxusbd.jobs.startfiles import StartFiles
from luxusbd.jobs.streams import Streams
from luxusbd.jobs.together import Overall
from luxusbd.jobs.views import Caller
from luxusbd.jobs.wanted import Wanted, kept_all_the_same, staying
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import ManifestImage


@dataclass(frozen=True)
class Supply:
    """What the workers of one job get."""

    sources: tuple[ManifestImage, ...]
    """In the store, in the order in which they were wanted, and behind them the files that start them."""
    streams: Streams | None
    """Those that are written while they come."""


class Provision:
    """Brings images for jobs on sticks."""

    def __init__(
        self,
        queue: JobQueue,
        store: ImageStore,
        downloads: Downloads,
        planner: Planner,
        startfiles: StartFiles,
        arrivals: Arrivals,
    ) -> None:
        self._queue = queue
        self._store = store
        self._downloads = downloads
        self._planner = planner
        self._startfiles = startfiles
        self._arrivals = arrivals

    @contextlib.asynccontextmanager
    async def supply(
        self,
        context: JobContext,
        caller: Caller,
        images: Sequence[Wanted],
        overall: Overall,
        kind: Kind,
        names: Sequence[str],
        *,
        streamed: Sequence[Wanted],
        keep: bool,
        companion: bool,
    ) -> AsyncIterator[Supply]:
        """Fetch those of `images` that are not `streamed`, and begin the downloads of the others.

        `names` are the sticks, each of which has to be told of by `streams.taken_by` within the block. Without `keep`,
        images of which that is possible do not stay on this machine; the job's log names the others.

        Raises:
            LuxusbError: one of them did not come, or may not be written.
        """
        for line in () if keep else kept_all_the_same(staying(images, companion=companion)):
            context.note(line)
        async with self._arrivals.begun(context, caller, streamed, overall, kind, keep=keep) as coming:
            first = [image for image in images if image not in streamed]
            sources = await self._fetch(context, caller, first, overall, kind, companion=companion)
            yield Supply(sources, await self._arrivals.ready(coming, names))

    def stored(self, caller: Caller, image: Wanted) -> StoredImage:
        """An image that is here.

        Raises:
            LuxusbError: it is not, or may not be written.
        """
        stored = self._store.get(caller.uid, self._store.named(image.content))
        self._planner.check_stored(stored)
        return stored

    async def _fetch(
        self,
        context: JobContext,
        caller: Caller,
        images: Sequence[Wanted],
        overall: Overall,
        kind: Kind,
        *,
        companion: bool,
    ) -> tuple[ManifestImage, ...]:
        children = [
            await self._downloads.download(caller.uid, image.distribution, image.release, parent=context.job.id)
            for image in images
            if image.stored is None and image.distribution is not None and image.release is not None
        ]
        if children:
            await wait_for_children(self._queue, children, overall.downloads)
        stored = [self.stored(caller, image) for image in images]
        # what was downloaded meanwhile is known only now
        guests = [fitting.Guest(image.name, image.size, image.recognition.filesystems) for image in stored]
        fitting.check(kind, guests, companion=companion, planned=True)
        # the worker notes when it is on the stick; a file that was changed after that is found by a rescan
        fetched = tuple(
            replace(image.manifest_image(there, 0), partition=fitting.home(kind, guest, companion=companion))
            for image, there, guest in zip(images, stored, guests, strict=True)
        )
        return await self._startfiles.complete(context, fetched, stored, overall)
