"""Download and import: the two ways in which an image comes into the store."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from luxusbd.catalog.catalog import Catalog, reference_to
from luxusbd.catalog.model import Distribution, Release, Trust
from luxusbd.errors import (
    CancelledError,
    InvalidArgumentError,
    MalformedImageError,
    VerificationError,
    from_name,
)
from luxusbd.images.model import Recognition, StoredImage
from luxusbd.images.store import ImageStore
from luxusbd.jobs.model import Job, JobState, Operation
from luxusbd.jobs.queue import JobQueue
from luxusbd.jobs.room import Promise, Room
from luxusbd.jobs.running import JobContext, Lane
from luxusbd.jobs.transfers import Transfers
from luxusbd.transfer.model import DownloadProgress, DownloadRequest, DownloadStage

MIB = 1024 * 1024
REPORT_INTERVAL = 0.25
"""Seconds between two looks at the downloads of a stick."""


def release_title(distribution: Distribution, release: Release) -> str:
    """A release's name for people."""
    parts = [distribution.name, release.version, release.edition]
    return " ".join(part for part in parts if part)


def file_name(url: str) -> str:
    """The last part of a URL's path, as a name for the image."""
    return PurePosixPath(unquote(urlsplit(url).path)).name or "image.iso"


@dataclass(frozen=True)
class Examined:
    """What a look at the bytes of a file says."""

    sha256: str
    recognition: Recognition


class Downloads:
    """Brings images into the store."""

    def __init__(
        self,
        queue: JobQueue,
        transfers: Transfers,
        store: ImageStore,
        catalog: Catalog,
        *,
        room: Room,
        incoming: Path,
        staging: Path,
    ) -> None:
        """`incoming` is where the transfer process downloads to; `staging`, ours alone, where imports are copied to."""
        self._queue = queue
        self._transfers = transfers
        self._store = store
        self._catalog = catalog
        self._room = room
        self._incoming = incoming
        self._staging = staging
        self._locks: dict[str, asyncio.Lock] = {}
        self._import_fds: dict[int, int] = {}

    async def download(
        self,
        owner_uid: int,
        distribution: Distribution,
        release: Release,
        *,
        parent: int | None = None,
        priority: int = 0,
        bandwidth: int = 0,
    ) -> Job:
        """Start a download; the same image asked for twice by one uid is one job."""
        for job in self._queue.jobs():
            if (
                job.operation is Operation.DOWNLOAD
                and job.owner_uid == owner_uid
                and not job.state.finished
                and job.params["sha256"] == release.sha256
            ):
                return job
        params = {
            "reference": reference_to(distribution, release),
            "sha256": release.sha256,
            "size": release.size,
            "expected": release.size or release.size_mb * MIB,
            "name": file_name(release.iso_url),
            "trust": release.trust.value,
            "urls": [mirror.url for mirror in release.mirrors],
        }
        return await self._queue.submit(
            Operation.DOWNLOAD,
            Lane.DOWNLOAD,
            self.run_download,
            owner_uid=owner_uid,
            params=params,
            title=release_title(distribution, release),
            parent=parent,
            priority=priority,
            bandwidth=bandwidth,
        )

    async def set_bandwidth(self, job: Job, bandwidth: int) -> None:
        """Pass a changed limit on to a running download."""
        await self._transfers.set_bandwidth(job.id, bandwidth)

    async def run_download(self, context: JobContext) -> Mapping[str, Any]:
        """The runner of a download job."""
        params = context.job.params
        sha256 = str(params["sha256"])
        context.on_cancel(lambda: self._transfers.discard(str(self._incoming), sha256))
        # two users may ask for the same bytes: the second waits, then finds them in the store
        lock = self._locks.setdefault(sha256, asyncio.Lock())
        try:
            async with lock:
                image = await asyncio.to_thread(self._store.request, context.job.owner_uid, sha256)
                if image is None:
                    expected = int(params.get("expected", params["size"]))
                    async with self._room.promised(context, expected, sha256=sha256) as promise:
                        image = await self._fetch(context, sha256, promise)
        finally:
            if not lock.locked():
                self._locks.pop(sha256, None)
        return image_result(image)

    async def import_image(self, owner_uid: int, fd: int, name: str, sha256: str) -> Job:
        """Start an import of the regular file behind `fd`, which is duplicated.

        Raises:
            InvalidArgumentError: no regular file, or not open for reading.
            MalformedImageError: it is empty.
            NotEnoughSpaceError: the store has no room.
        """
        size = readable_size(fd)
        await self._room.check(owner_uid, size)
        copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
        try:
            job = await self._queue.submit(
                Operation.IMPORT,
                Lane.IMPORT,
                self._run_import,
                owner_uid=owner_uid,
                params={"name": name, "sha256": sha256, "size": size, "fd": copy},
                title=name,
            )
        except BaseException:
            os.close(copy)
            raise
        self._import_fds[job.id] = copy
        return job

    def job_ended(self, job: Job) -> None:
        """Give back what an import held."""
        if (fd := self._import_fds.pop(job.id, None)) is not None:
            os.close(fd)

    async def examine(self, path: Path) -> Examined:
        """Hash and recognise a file of the store."""
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            sha256 = await self._transfers.sha256(fd)
            return Examined(sha256, await self.recognise(fd, os.fstat(fd).st_size))
        finally:
            os.close(fd)

    async def recognise(self, fd: int, size: int) -> Recognition:
        """What an image is; one that cannot be read is told in the recognition's reason."""
        try:
            return await self._transfers.inspect(fd)
        except MalformedImageError as error:
            return unrecognised(size, error)

    async def _fetch(self, context: JobContext, sha256: str, promise: Promise) -> StoredImage:
        params = context.job.params

        def progress(now: DownloadProgress) -> None:
            context.report(now.bytes_done, now.bytes_total, stage=now.stage.value, resumed=now.resumed_bytes)
            if now.note:
                context.note(now.note)

        def request() -> DownloadRequest:
            return DownloadRequest(
                urls=tuple(params["urls"]),
                sha256=sha256,
                size=int(params["size"]),
                directory=str(self._incoming),
                name=sha256,
                bandwidth=context.job.bandwidth,
            )

        context.report(0, int(params["size"]), stage=DownloadStage.CONNECT.value)
        result = await self._transfers.download(context.job.id, request, progress)
        # the path is ours, not the one that the process without privileges names
        path = self._incoming / sha256
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            context.report(size, size, stage="inspect")
            recognition = await self.recognise(fd, size)
        finally:
            os.close(fd)
        context.note(f"{size} bytes from {result.url}")
        move = partial(
            self._store.add,
            path,
            sha256=sha256,
            name=str(params["name"]),
            source=str(params["reference"]),
            trust=Trust(params["trust"]),
            recognition=recognition,
            owner_uid=None,
            requested_by=context.job.owner_uid,
        )
        return await self._room.store(context, promise, size, move)

    async def _run_import(self, context: JobContext) -> Mapping[str, Any]:
        params = context.job.params
        size = int(params["size"])
        source = self._import_fds.get(context.job.id, int(params["fd"]))
        target = self._staging / f"import-{context.job.id}"

        def progress(now: DownloadProgress) -> None:
            context.report(now.bytes_done, size, stage="copy")

        stack = contextlib.AsyncExitStack()
        fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            context.report(0, size, stage="copy")
            promise = await stack.enter_async_context(self._room.promised(context, size, place=target))
            sha256, copied = await self._transfers.copy(context.job.id, source, fd, size, progress)
            if params["sha256"] and sha256 != params["sha256"]:
                raise VerificationError(
                    f"{params['name']}: its sha256 is {sha256}, not {params['sha256']}; nothing was imported"
                )
            context.report(copied, copied, stage="inspect")
            recognition = await self._transfers.inspect(fd)
            move = partial(
                self._store.add,
                target,
                sha256=sha256,
                name=str(params["name"]),
                source="import",
                trust=Trust.NONE if self._catalog.find_by_hash(sha256) is None else Trust.HASH,
                recognition=recognition,
                owner_uid=context.job.owner_uid,
            )
            image = await self._room.store(context, promise, copied, move)
        finally:
            os.close(fd)
            await asyncio.to_thread(target.unlink, missing_ok=True)
            await stack.aclose()
        return image_result(image)


def readable_size(fd: int) -> int:
    """Size of the regular file behind a descriptor that a caller passed.

    Raises:
        InvalidArgumentError: no regular file, or not open for reading.
        MalformedImageError: it is empty.
    """
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise InvalidArgumentError("the descriptor is no regular file; pass an image file opened for reading")
    if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
        raise InvalidArgumentError("the descriptor is not open for reading")
    if status.st_size == 0:
        raise MalformedImageError("the file is empty")
    return status.st_size


def unrecognised(size: int, error: MalformedImageError) -> Recognition:
    """What is said of a file that cannot be read as an image."""
    return Recognition(
        size=size,
        volume_id="",
        iso_uuid="",
        recipe="",
        family="",
        system="",
        version="",
        architecture="",
        reason=error.message,
        advice="Check that the download is complete and that it is an ISO image.",
    )


def image_result(image: StoredImage) -> Mapping[str, Any]:
    """The Result of a job that brought an image in."""
    return {"image": image.reference, "name": image.name, "size": image.size, "trust": image.trust.value}


async def wait_for_children(queue: JobQueue, children: Sequence[Job], report: Callable[[int, int], None]) -> None:
    """Wait for download jobs to the end of the last one, reporting the sum of their bytes.

    The others go on when one fails: what they fetch is there when the user tries again.

    Raises:
        LuxusbError: as the first child that failed, with the texts of all.
        CancelledError: a child was cancelled.
    """
    now = {child.id: child for child in children}
    pending = {asyncio.ensure_future(queue.wait(child.id)) for child in children}
    try:
        while pending:
            done, pending = await asyncio.wait(pending, timeout=REPORT_INTERVAL)
            for task in done:
                now[task.result().id] = task.result()
            for job_id, job in now.items():
                if not job.state.finished:
                    now[job_id] = queue.get(job_id)
            report(
                sum(job.bytes_done for job in now.values()),
                sum(max(job.bytes_total, int(job.params["size"])) for job in now.values()),
            )
    finally:
        for task in pending:
            task.cancel()
    failed = [job for job in now.values() if job.state is JobState.FAILED]
    if failed:
        raise from_name(failed[0].error_name, "; ".join(f"{job.title}: {job.error_message}" for job in failed))
    for job in now.values():
        if job.state is JobState.CANCELLED:
            raise CancelledError(f"the download of {job.title} was cancelled, so the stick cannot be made as planned")
