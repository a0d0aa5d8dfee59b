"""Races: mirrors of a distribution measured on real ranges of its image, without or within an unfinished download."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from luxusbd.catalog.catalog import reference_to
from luxusbd.catalog.model import Distribution, Release
from luxusbd.errors import AlreadyExistsError, NetworkError
from luxusbd.jobs.downloads import Downloads
from luxusbd.jobs.downloadwords import release_title, shown
from luxusbd.jobs.mirrors import Mirrors, mirrors_of, params_of
from luxusbd.jobs.mirrorstats import host_of, reason_of
from luxusbd.jobs.model import Job, Operation
from luxusbd.jobs.partials import content_of
from luxusbd.jobs.queue import JobQueue
from luxusbd.jobs.room import Room
from luxusbd.jobs.running import JobContext, Lane
from luxusbd.jobs.transfers import Transfers
from luxusbd.jobs.vouching import digests_of
from luxusbd.transfer.model import DownloadProgress, SourceShare


class Races:
    """Measures mirrors."""

    def __init__(
        self,
        queue: JobQueue,
        transfers: Transfers,
        mirrors: Mirrors,
        downloads: Downloads,
        *,
        room: Room,
    ) -> None:
        self._queue = queue
        self._transfers = transfers
        self._mirrors = mirrors
        self._downloads = downloads
        self._room = room

    async def start(self, owner_uid: int, distribution: Distribution, release: Release, *, most: int) -> Job:
        """Start to measure at most `most` mirrors of a release.

        Raises:
            AlreadyExistsError: the image is being downloaded, which measures them, too.
            NoMirrorError: preferences leave no mirror.
            LimitExceededError: a cap is reached.
        """
        for job in self._queue.jobs():
            if job.operation not in (Operation.RACE, Operation.DOWNLOAD) or job.state.finished:
                continue
            if job.owner_uid != owner_uid or content_of(job.params) != release.content:
                continue
            if job.operation is Operation.RACE:
                return job
            if job.operation is Operation.DOWNLOAD:
                raise AlreadyExistsError(
                    f"job {job.id} is downloading {job.title}, which measures the mirrors too; wait for its end, or"
                    f" cancel it: luxusb cancel {job.id}"
                )
        await self._mirrors.choose(owner_uid, distribution.id, release.mirrors)
        params = {
            "reference": reference_to(distribution, release),
            "sha256": release.sha256,
            "content": release.content,
            # which hashes they are is of no use to it, only that bytes of several mirrors can be judged
            "digests": [] if release.sha256 else [asdict(digest) for digest in digests_of(release)],
            "size": release.size,
            "most": most,
            **params_of(release),
        }
        return await self._queue.submit(
            Operation.RACE,
            Lane.DOWNLOAD,
            self.run,
            owner_uid=owner_uid,
            params=params,
            title=release_title(distribution, release),
        )

    async def run(self, context: JobContext) -> Mapping[str, Any]:
        """The runner of a race."""
        params = context.job.params
        content = content_of(params)
        # an unfinished download has its room already, and without one nothing is written: this keeps it where it is
        async with self._downloads.alone(content), self._room.promised(context, 0, content=content):
            shares = await self._measure(context)
        ranked = sorted(shares, key=lambda share: (-share.measured, share.latency))
        if not any(share.measured or share.bytes_done for share in ranked):
            lines = "\n".join(f"{host_of(share.url)}: {reason_of(share)}" for share in ranked)
            raise NetworkError(f"no mirror of {context.job.title} could be measured\n{lines}".rstrip())
        countries = {mirror.url: mirror.country for mirror in mirrors_of(params)}
        return {
            "mirrors": [
                {
                    "url": share.url,
                    "host": host_of(share.url),
                    "country": countries.get(share.url, ""),
                    "rate": share.measured,
                    "latency": float(share.latency),
                    "reason": reason_of(share),
                }
                for share in ranked
            ]
        }

    async def _measure(self, context: JobContext) -> tuple[SourceShare, ...]:
        params = context.job.params
        request = await self._downloads.request(context, int(params["most"]))
        shares: tuple[SourceShare, ...] = ()

        def progress(now: DownloadProgress) -> None:
            nonlocal shares
            shares = now.sources or shares
            # the file's size is not what it goes for, and when it ends is not known
            context.report(sum(share.bytes_done for share in shares), 0, stage="measure")
            context.served_by(shown(now.sources, mirrors_of(params)))
            if now.note:
                context.note(now.note)

        context.report(0, 0, stage="measure")
        try:
            found = await self._transfers.race(
                context.job.id, lambda: replace(request, priority=context.job.priority), progress
            )
            shares = tuple(share for share in found if share.url in request.urls)
        finally:
            if params.get("shared"):
                self._mirrors.learn(request.urls, shares, verified=False)
        return shares
