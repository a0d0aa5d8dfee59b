"""Downloads of a job on sticks whose images are written while they come.

Nothing is erased before each of them has been answered, so that its size is known and it is known to be there. What can
be known only of the whole image (whether it starts, who signed it) is known when the disk is long erased: an image that
is refused then is left out, and the job fails and says so, with a stick that starts the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from luxusbd.catalog.model import Trust
from luxusbd.errors import CancelledError, from_name
from luxusbd.images.model import StoredImage
from luxusbd.images.store import ImageStore
from luxusbd.jobs import fitting
from luxusbd.jobs.childjobs import REPORT_INTERVAL, wait_for_children
from luxusbd.jobs.downloads import Downloads
from luxusbd.jobs.downloadwords import passes, source_of
from luxusbd.jobs.model import Job, JobState
from luxusbd.jobs.passage import Passage
from luxusbd.jobs.queue import JobQueue
from luxusbd.jobs.running import JobContext
from luxusbd.jobs.startfiles import StartFiles
from luxusbd.jobs.streams import Streamed, Streams
from luxusbd.jobs.together import Overall
from luxusbd.jobs.transfers import Transfers
from luxusbd.jobs.views import Caller
from luxusbd.jobs.wanted import Wanted, passable
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import ManifestImage
from luxusbd.transfer.model import DownloadStage


class Arrivals:
    """Begins such downloads, and says what came of them."""

    def __init__(
        self,
        queue: JobQueue,
        downloads: Downloads,
        store: ImageStore,
        startfiles: StartFiles,
        check: Callable[[StoredImage], None],
        transfers: Transfers,
        *,
        incoming: Path,
        window: int,
    ) -> None:
        """Begin with nothing.

        Args:
            queue: of the jobs.
            downloads: bring images.
            store: where they are kept.
            startfiles: fetches what starts them.
            check: refuses an image that came and may not be written.
            transfers: look at images on sticks.
            incoming: where downloads are written to.
            window: bytes of an image that is not kept, which are here at a time.
        """
        self._queue = queue
        self._downloads = downloads
        self._store = store
        self._startfiles = startfiles
        self._check = check
        self._transfers = transfers
        self._incoming = incoming
        self._window = window

    @contextlib.asynccontextmanager
    async def begun(
        self,
        context: JobContext,
        caller: Caller,
        images: Sequence[Wanted],
        overall: Overall,
        kind: Kind,
        *,
        keep: bool,
    ) -> AsyncIterator[Coming]:
        """The downloads of these images, which go on for the length of the block, and those to be kept after it.

        Without `keep`, images of which that is possible only pass through this machine.
        """
        children = []
        for image in images:
            assert image.distribution is not None
            assert image.release is not None
            children.append(
                await self._downloads.download(
                    caller.uid,
                    image.distribution,
                    image.release,
                    parent=context.job.id,
                    window=self._window if not keep and passable(image) else 0,
                )
            )
        coming = Coming(self, context, caller, list(zip(images, children, strict=True)), overall, kind)
        try:
            yield coming
        finally:
            await coming.close()

    async def ready(self, coming: Coming, names: Sequence[str]) -> Streams | None:
        """Return once every download has been answered and its size is known; None where there are none.

        `names` are the sticks; each of them has to be told of by `taken_by`.

        Raises:
            LuxusbError: one of them failed; the others went on to their ends.
        """
        if not coming.pairs:
            return None
        while True:
            now = [(image, self._queue.get(child.id)) for image, child in coming.pairs]
            if any(job.state in (JobState.FAILED, JobState.CANCELLED) for _image, job in now):
                children = [child for _image, child in coming.pairs]
                await wait_for_children(self._queue, children, coming.overall.downloads)
            if all(self._answered(image, job) for image, job in now):
                break
            coming.report()
            await asyncio.sleep(REPORT_INTERVAL)
        streamed = []
        for image, job in now:
            size = image.size if image.exact else job.bytes_total
            early = _early(image, size)
            fitting.check(coming.kind, [fitting.Guest(early.name, size, ())], companion=False, planned=False)
            passage = self._passage(image, job) if passes(job.params) else None
            arrival = functools.partial(self.arrived, coming, image, job, passage)
            streamed.append(Streamed(early, image.content, arrival, passage))
        streams = Streams(self._store, self._downloads.growths, self._incoming, coming.caller.uid, streamed)
        for name in names:
            streams.expect(name)
        return coming.stream(streams)

    def _answered(self, image: Wanted, job: Job) -> bool:
        """Whether a download is under way, and its size known; one that others keep waiting has to be believed."""
        if job.state is JobState.SUCCEEDED:
            return True
        known = image.exact or job.bytes_total > 0
        waits = self._queue.waits(job.id) or job.stage == DownloadStage.QUEUE.value
        return known and (job.bytes_done > 0 or waits)

    def _passage(self, image: Wanted, child: Job) -> Passage:
        return Passage(
            image.content,
            self._downloads.growths,
            self._transfers,
            ended=lambda: self._downloads.handing_over(self._queue.get(child.id)),
            release=functools.partial(self._downloads.release, child),
        )

    async def arrived(
        self, coming: Coming, image: Wanted, child: Job, passage: Passage | None
    ) -> tuple[ManifestImage, ...]:
        """Wait for one download; what it brought, and behind it the files that start that.

        Raises:
            LuxusbError: why it did not come, or may not be written.
        """
        job = await self._queue.wait(child.id)
        if job.state is JobState.FAILED:
            raise from_name(job.error_name, job.error_message)
        if job.state is JobState.CANCELLED:
            raise CancelledError(f"the download of {job.title} was cancelled")
        stored = await self._brought(coming, image, job, passage)
        self._check(stored)
        guest = fitting.Guest(image.name, stored.size, stored.recognition.filesystems)
        fitting.check(coming.kind, [guest], companion=False, planned=False)
        made = image.manifest_image(stored, 0)
        return await self._startfiles.complete(coming.context, (made,), (stored,), coming.overall, streamed=True)

    async def _brought(self, coming: Coming, image: Wanted, job: Job, passage: Passage | None) -> StoredImage:
        """The image in the store; of one that passed through what would be there, had it been kept."""
        uid = coming.caller.uid
        kept = await asyncio.to_thread(self._store.held, uid, image.content)
        if passage is None or kept is not None:
            return await asyncio.to_thread(self._store.get, uid, self._store.named(image.content))
        assert image.release is not None
        size = int(job.result["size"])
        return StoredImage(
            sha256=image.release.sha256,
            name=image.name,
            size=size,
            added=0,
            source=source_of(job.params),
            trust=Trust(job.result["trust"]),
            recognition=await passage.recognise(image.name, size),
        )

    def stop_passing(self, coming: Coming) -> None:
        """End the downloads of images that only pass through."""
        for _image, child in coming.pairs:
            if passes(child.params) and not self._queue.get(child.id).state.finished:
                self._queue.cancel(child.id, keep_partial=False)

    def report(self, coming: Coming) -> None:
        """Tell how far the downloads are."""
        jobs = [self._queue.get(child.id) for _image, child in coming.pairs]
        coming.overall.streaming(
            sum(job.bytes_done for job in jobs),
            sum(max(job.bytes_total, image.size) for (image, _child), job in zip(coming.pairs, jobs, strict=True)),
        )


class Coming:
    """The downloads of one job."""

    def __init__(
        self,
        arrivals: Arrivals,
        context: JobContext,
        caller: Caller,
        pairs: Sequence[tuple[Wanted, Job]],
        overall: Overall,
        kind: Kind,
    ) -> None:
        self._arrivals = arrivals
        self.context = context
        self.caller = caller
        self.pairs = pairs
        self.overall = overall
        self.kind = kind
        self._streams: Streams | None = None
        self._reporting: asyncio.Task[None] | None = None

    def report(self) -> None:
        """Tell how far they are."""
        self._arrivals.report(self)

    def stream(self, streams: Streams) -> Streams:
        """Have what comes go to workers from now on."""
        self._streams = streams
        self._reporting = asyncio.ensure_future(self._report())
        return streams

    async def close(self) -> None:
        """Let nobody wait for them any more. The downloads go on, but for those that nobody takes any more."""
        self._arrivals.stop_passing(self)
        if self._reporting is not None:
            self._reporting.cancel()
            await asyncio.gather(self._reporting, return_exceptions=True)
        if self._streams is not None:
            await self._streams.close()

    async def _report(self) -> None:
        while True:
            self.report()
            await asyncio.sleep(REPORT_INTERVAL)


def _early(image: Wanted, size: int) -> ManifestImage:
    """What is known of an image before it has come."""
    assert image.release is not None
    return ManifestImage(
        name=image.name,
        title=image.title,
        sha256=image.release.sha256,
        size=size,
        source=image.reference,
        recipe="",
        family="",
        version=image.release.version,
        architecture=image.release.architecture,
        volume_id="",
        iso_uuid="",
        added=0,
        entries=(),
    )
