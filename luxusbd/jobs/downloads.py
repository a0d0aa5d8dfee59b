"""Downloads: images that come into the store from mirrors."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from luxusbd.catalog.catalog import parse_reference
from luxusbd.catalog.model import SHA512_KEY, Distribution, Mirror, Release, Trust
from luxusbd.errors import (
    GoneError,
    InterruptedJobError,
    JobStateError,
    LuxusbError,
    MalformedImageError,
    NotEnoughSpaceError,
    VerificationError,
    host_error,
)
from luxusbd.images.model import Recognition, StoredImage
from luxusbd.images.store import ImageStore
from luxusbd.jobs import partials
from luxusbd.jobs.downloadwords import (
    Examined,
    further_digests,
    image_result,
    params_for,
    passes,
    release_title,
    shown,
    source_of,
    unrecognised,
)
from luxusbd.jobs.growth import Growths
from luxusbd.jobs.mirrorchoice import CANDIDATES
from luxusbd.jobs.mirrors import Mirrors, is_custom, mirrors_of
from luxusbd.jobs.model import Job, JobState, Operation, PauseReason
from luxusbd.jobs.queue import JobQueue
from luxusbd.jobs.renewal import Renewals
from luxusbd.jobs.room import Promise, Room
from luxusbd.jobs.running import HeldError, JobContext, Lane
from luxusbd.jobs.transfers import Transfers
from luxusbd.jobs.vouching import Makers, Verdict, Word
from luxusbd.transfer.model import (
    Digest,
    DownloadProgress,
    DownloadRequest,
    DownloadResult,
    DownloadStage,
    SourceShare,
)

log = logging.getLogger(__name__)

WINDOW_SLACK = 16 * 1024 * 1024
"""Bytes beyond the window of an image that passes through, until they are hashed and given back."""


class Downloads:
    """Brings images into the store."""

    def __init__(
        self,
        queue: JobQueue,
        transfers: Transfers,
        store: ImageStore,
        mirrors: Mirrors,
        *,
        room: Room,
        incoming: Path,
        makers: Makers,
        renewals: Renewals,
    ) -> None:
        """`incoming` is where the transfer process downloads to."""
        self._renewals = renewals
        self._queue = queue
        self._transfers = transfers
        self._store = store
        self._mirrors = mirrors
        self._room = room
        self._incoming = self.incoming = incoming
        self._makers = makers
        self._locks: dict[str, asyncio.Lock] = {}
        self.growths = Growths()

    async def download(
        self,
        owner_uid: int,
        distribution: Distribution,
        release: Release,
        *,
        parent: int | None = None,
        priority: int = 0,
        bandwidth: int = 0,
        window: int = 0,
    ) -> Job:
        """Start a download; the same image asked for twice by one uid is one job.

        With a `window` the image only passes through this machine: so many bytes of it are here at a time, for sticks
        alone, and the job ends when they have all of it. It is that job unless one of the other kind is under way.

        Raises:
            NoMirrorError: preferences leave no mirror.
            UntrustedError: it cannot become as sure as the administrator demands.
            LimitExceededError: a cap is reached.
        """
        held = self._store.held(owner_uid, release.content)
        if held is None or not held.trust.reaches(self._makers.policy.minimum):
            self._makers.policy.check_release(release, release_title(distribution, release))
        for job in self._queue.jobs():
            if (
                job.operation is Operation.DOWNLOAD
                and job.owner_uid == owner_uid
                and not job.state.finished
                and not passes(job.params)
                and partials.content_of(job.params) == release.content
            ):
                return job
        if self._store.held(owner_uid, release.content) is None:
            # told at once, and not by a job that fails
            await self._mirrors.choose(owner_uid, distribution.id, release.mirrors)
        return await self._queue.submit(
            Operation.DOWNLOAD,
            Lane.DOWNLOAD,
            self.run_download,
            owner_uid=owner_uid,
            params={**params_for(distribution, release), **({"window": window} if window else {})},
            title=release_title(distribution, release),
            parent=parent,
            priority=priority,
            bandwidth=bandwidth,
        )

    async def release(self, job: Job, upto: int, epoch: int) -> None:
        """Give back what sticks have of an image that passes through."""
        await self._transfers.release(job.id, upto, epoch)

    def handing_over(self, job: Job) -> bool:
        """Whether all of an image that passes through is here, verified, and only waits for sticks."""
        if job.state is JobState.SUCCEEDED:
            # one that came into the store meanwhile comes from there
            return "image" not in job.result
        return job.stage == DownloadStage.HAND_OVER.value

    async def drop_passing(self, job: Job) -> None:
        """Remove what is left of an image that passed through for a job that a restart cut, if that is possible now."""
        try:
            await partials.remove(self._incoming, partials.content_of(job.params))
        except LuxusbError as error:
            # the service has to start all the same; it goes when its space is needed
            log.warning("job %d: what is left of it stays for now: %s", job.id, error)

    async def steer(self, job: Job, *, priority: int | None, bandwidth: int | None) -> None:
        """Pass on to a running download what was changed; None for what was not."""
        try:
            await self._transfers.steer(job.id, priority=priority, bandwidth=bandwidth)
        except JobStateError as error:
            # it waits for room, or is over its last byte; a transfer takes what is stored when it begins
            log.debug("job %d: %s", job.id, error)

    def take_up(self, job: Job, *, ask: bool) -> None:
        """Let a stored, unfinished download go on, or wait until somebody says so."""
        content = partials.content_of(job.params)
        self._queue.restore(job, Lane.DOWNLOAD, self.run_download, ask=ask, cleanup=lambda: self.discard(content))

    async def tell_claims(self) -> None:
        """Tell of downloads that are not running how much there is of them."""
        for job in self._queue.jobs():
            if job.operation is not Operation.DOWNLOAD or job.state not in (JobState.QUEUED, JobState.PAUSED):
                continue
            try:
                total, done = await self._transfers.claims(str(self._incoming), partials.content_of(job.params))
            except LuxusbError as error:
                log.info("job %d: what there is of it already cannot be told: %s", job.id, error)
                continue
            self._queue.found(job.id, done, total or int(job.params["size"]))

    def bytes_wanted(self, job: Job) -> int:
        """Bytes of the whole file as far as known, else 0."""
        return max(job.bytes_total, int(job.params.get("expected", job.params["size"])))

    async def run_download(self, context: JobContext) -> Mapping[str, Any]:
        """The runner of a download job.

        The feed of a rolling release is asked first, and any feed when no mirror has the file any more. The downloads
        of a stick keep to what was planned: another image may be larger than its room.
        """
        if context.job.parent is None and context.job.bytes_done == 0 and self._renewals.rolling(context):
            await self._renew(context)
        try:
            return await self._bring_in(context)
        except GoneError as error:
            if not await self._renew(context, error):
                raise
        return await self._bring_in(context)

    async def _renew(self, context: JobContext, gone: GoneError | None = None) -> bool:
        """Let the job fetch the release that its maker tells of now; whether there is another one.

        Raises:
            GoneError: there is one, and the job is of a stick that was planned with the one that is gone.
        """
        job = context.job
        if gone is None and self._store.held(job.owner_uid, partials.content_of(job.params)) is not None:
            # it is not fetched at all
            return False
        context.report(job.bytes_done, job.bytes_total, stage="feeds")
        found = await self._renewals.newer(context)
        if found is None:
            return False
        title = release_title(found.distribution, found.release)
        if job.parent is not None:
            assert gone is not None
            raise GoneError(f"{gone.message}\nIts maker has {title} by now: plan anew to take that")
        try:
            self._makers.policy.check_release(found.release, title)
            await self._mirrors.choose(job.owner_uid, found.distribution.id, found.release.mirrors)
        except LuxusbError as error:
            context.note(f"{title} is newer, and cannot be fetched: {error.message}; the known release stays")
            return False
        before = partials.content_of(job.params)
        context.note(f"from {job.title} to {title}, of which its maker tells now")
        context.replace(params_for(found.distribution, found.release), title)
        if gone is not None and before not in self._locks:
            try:
                await self.discard(before)
            except LuxusbError as error:
                context.note(f"what was there of the one before stays for now: {error.message}")
        return True

    async def _bring_in(self, context: JobContext) -> Mapping[str, Any]:
        """Fetch what the job is about, or find it in the store."""
        params = context.job.params
        content = partials.content_of(params)
        context.on_cancel(lambda: self.discard(content))
        # one that has begun waits for room; one that has not is told at once that there is none
        begun = context.job.bytes_done > 0
        # two users may ask for the same bytes: the second waits, then finds them in the store
        async with self.alone(content), self._makers.beside(context) as word:
            try:
                image = await asyncio.to_thread(self._store.request, context.job.owner_uid, content)
                if image is None:
                    expected = int(params.get("expected", params["size"]))
                    if passes(params) and not await asyncio.to_thread((self._incoming / content).exists):
                        return await self._pass_through(context, content, expected, word)
                    async with self._promised(context, expected, content, begun=begun) as promise:
                        image, verdict = await self._fetch(context, content, promise, word)
                else:
                    image, verdict = await self._vouched_for(context, image, word)
            except VerificationError:
                await self._forget(context, content)
                raise
        return {**image_result(image), **verdict.result()}

    @contextlib.asynccontextmanager
    async def alone(self, content: str) -> AsyncIterator[None]:
        """Be the only one that fetches bytes of an image."""
        lock = self._locks.setdefault(content, asyncio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._locks.pop(content, None)

    async def request(
        self, context: JobContext, most: int = CANDIDATES, further: Sequence[Mirror] = ()
    ) -> DownloadRequest:
        """What the transfer process is asked for by a job; the mirrors as its user wants them now.

        `further` are mirrors beside those that the catalogue had when the job was started.

        Raises:
            NoMirrorError: preferences leave none.
        """
        params = context.job.params
        distribution = parse_reference(str(params["reference"])).id
        choice = await self._mirrors.choose(context.job.owner_uid, distribution, (*mirrors_of(params), *further), most)
        for note in choice.notes:
            context.note(note)
        return DownloadRequest(
            urls=choice.urls,
            sha256=str(params["sha256"]),
            size=int(params["size"]),
            directory=str(self._incoming),
            name=partials.content_of(params),
            bandwidth=context.job.bandwidth,
            priority=context.job.priority,
            hints=choice.hints,
            digests=further_digests(params),
            window=int(params.get("window", 0)),
        )

    async def discard(self, content: str) -> None:
        """Remove what an unfinished download left."""
        await self._transfers.discard(str(self._incoming), content)
        if content not in self._locks:
            # complete, and not in the store yet
            try:
                await asyncio.to_thread((self._incoming / content).unlink, missing_ok=True)
            except OSError as error:
                raise host_error(error, f"removing {self._incoming / content}") from error

    async def examine(self, path: Path, further: tuple[str, ...] = ()) -> Examined:
        """Hash and recognise a file of the store; `further` are algorithms beside sha256."""
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            hashes = {each.algorithm: each.value for each in await self._transfers.digests(fd, further)}
            recognition = await self.recognise(fd, os.fstat(fd).st_size)
            return Examined(hashes["sha256"], recognition, hashes.get("sha512", ""))
        finally:
            os.close(fd)

    async def recognise(self, fd: int, size: int) -> Recognition:
        """What an image is; one that cannot be read is told in the recognition's reason."""
        try:
            return await self._transfers.inspect(fd)
        except MalformedImageError as error:
            return unrecognised(size, error)

    @contextlib.asynccontextmanager
    async def _promised(self, context: JobContext, size: int, content: str, *, begun: bool) -> AsyncIterator[Promise]:
        async with contextlib.AsyncExitStack() as stack:
            try:
                promise = await stack.enter_async_context(self._room.promised(context, size, content=content))
            except NotEnoughSpaceError as error:
                if begun:
                    raise _held(error) from error
                raise
            yield promise

    async def _forget(self, context: JobContext, content: str) -> None:
        """Remove what is there of an image that is not what its maker signed."""
        try:
            await partials.remove(self._incoming, content)
        except LuxusbError as error:
            context.note(f"the bytes stay for now: {error}")

    async def _vouched_for(self, context: JobContext, image: StoredImage, word: Word) -> tuple[StoredImage, Verdict]:
        """An image that is there already, with the word of its maker where that was not had before."""
        if image.trust is Trust.SIGNED:
            return image, Verdict(Trust.SIGNED)
        uid = context.job.owner_uid
        fd = await asyncio.to_thread(self._store.open, uid, image.sha256)
        try:
            known = [Digest("sha256", image.sha256)]
            known += [Digest("sha512", image.sha512)] if image.sha512 else []
            verdict = await word.verdict(fd, tuple(known))
        finally:
            os.close(fd)
        image = await asyncio.to_thread(self._store.vouch, uid, image.sha256, verdict.trust)
        word.check(replace(verdict, trust=image.trust))
        return image, verdict

    async def _pass_through(self, context: JobContext, content: str, expected: int, word: Word) -> Mapping[str, Any]:
        """Let sticks have the image, of which no more than its window is here at a time."""
        params = context.job.params
        # what was hashed, and said to be on the sticks, is given back a moment later
        most = int(params["window"]) + WINDOW_SLACK
        async with self._promised(context, min(expected, most) or most, content, begun=False):
            result = await self._run_transfer(context, content, word)
        verdict = await word.verdict(None, (Digest("sha256", result.sha256), *result.digests))
        word.check(verdict)
        context.note(f"{result.size} bytes from {result.url}, which were not kept")
        return {"name": str(params["name"]), "size": result.size, "trust": verdict.trust.value, **verdict.result()}

    async def _run_transfer(self, context: JobContext, content: str, word: Word) -> DownloadResult:
        params = context.job.params
        context.report(context.job.bytes_done, int(params["size"]), stage=DownloadStage.CONNECT.value)
        found = await self._makers.directions(params)
        if found.note:
            context.note(found.note)
        known = mirrors_of(params)
        addresses = {mirror.url for mirror in known}
        further = tuple(Mirror(one.url, one.country) for one in found.mirrors if one.url not in addresses)
        request = word.shaped(await self.request(context, further=further), found)
        sources: tuple[SourceShare, ...] = ()
        verified = False

        def progress(now: DownloadProgress) -> None:
            nonlocal sources
            sources = now.sources or sources
            if now.prefix is not None:
                self.growths.told(content, now.prefix, now.floor, now.epoch)
            context.report(now.bytes_done, now.bytes_total, stage=now.stage.value, resumed=now.resumed_bytes)
            context.served_by(shown(() if now.stage is DownloadStage.VERIFY else now.sources, (*known, *further)))
            if now.note:
                context.note(now.note)

        try:
            result = await word.guard(
                self._transfers.download(
                    context.job.id,
                    lambda: replace(request, bandwidth=context.job.bandwidth, priority=context.job.priority),
                    progress,
                )
            )
            verified = True
            return result
        except NotEnoughSpaceError as error:
            # somebody else took the room that was promised
            raise _held(error) from error
        finally:
            self.growths.ended(content)
            if params.get("shared"):
                self._mirrors.learn(request.urls, sources, verified=verified)

    async def _fetch(
        self, context: JobContext, content: str, promise: Promise, word: Word
    ) -> tuple[StoredImage, Verdict]:
        params = context.job.params
        result = await self._run_transfer(context, content, word)
        # the path is ours, not the one that the process without privileges names
        path = self._incoming / content
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            context.report(size, size, stage=DownloadStage.VERIFY.value)
            verdict = await word.verdict(fd, (Digest("sha256", result.sha256), *result.digests))
            word.check(verdict)
            context.report(size, size, stage="inspect")
            recognition = await self.recognise(fd, size)
        finally:
            os.close(fd)
        context.note(f"{size} bytes from {result.url}")
        move = partial(
            self._store.add,
            path,
            sha256=str(params["sha256"]) or result.sha256,
            name=str(params["name"]),
            source=source_of(params),
            trust=verdict.trust,
            recognition=recognition,
            # what a user's own catalogue calls by a name is nothing that others should see, or take for that
            owner_uid=context.job.owner_uid if is_custom(params) else None,
            requested_by=None if is_custom(params) else context.job.owner_uid,
            sha512=content.removeprefix(SHA512_KEY) if not params["sha256"] else "",
        )

        def moved() -> StoredImage:
            try:
                return move()
            except NotEnoughSpaceError as error:
                raise _held(error) from error
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise _held(host_error(error, f"storing {params['name']}")) from error
                raise

        return await self._room.store(context, promise, size, moved), verdict


def cut_passing(job: Job) -> LuxusbError:
    """What is said of a download that a restart cut, and of which nothing was kept."""
    return InterruptedJobError(
        f"the daemon ended while {job.title} passed through to a stick, and nothing of it was kept; what is said of job"
        f" {job.parent} tells how to go on"
    )


def _held(error: LuxusbError) -> HeldError:
    return HeldError(PauseReason.SPACE, f"{error}. It goes on by itself when there is room")
