"""Imports: a user's own images, copied into the store from a descriptor."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luxusbd.catalog.catalog import Catalog
from luxusbd.catalog.model import Trust
from luxusbd.errors import InvalidArgumentError, MalformedImageError, VerificationError
from luxusbd.images.store import ImageStore
from luxusbd.jobs.downloads import image_result
from luxusbd.jobs.model import Job, Operation
from luxusbd.jobs.queue import JobQueue
from luxusbd.jobs.running import JobContext, Lane
from luxusbd.jobs.transfers import Transfers
from luxusbd.transfer.model import DownloadProgress


class Imports:
    """Copies files of users into the store."""

    def __init__(
        self, queue: JobQueue, transfers: Transfers, store: ImageStore, catalog: Catalog, *, staging: Path
    ) -> None:
        """`staging`, ours alone, is where images are copied to before they are moved into the store."""
        self._queue = queue
        self._transfers = transfers
        self._store = store
        self._catalog = catalog
        self._staging = staging
        self._fds: dict[int, int] = {}

    async def start(self, owner_uid: int, fd: int, name: str, sha256: str) -> Job:
        """Start an import of the regular file behind `fd`, which is duplicated.

        Raises:
            InvalidArgumentError: no regular file, or not open for reading.
            MalformedImageError: it is empty.
            NotEnoughSpaceError: the store has no room.
        """
        size = readable_size(fd)
        self._store.require_space(size)
        copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
        try:
            job = await self._queue.submit(
                Operation.IMPORT,
                Lane.IMPORT,
                self._run,
                owner_uid=owner_uid,
                params={"name": name, "sha256": sha256, "size": size, "fd": copy},
                title=name,
            )
        except BaseException:
            os.close(copy)
            raise
        self._fds[job.id] = copy
        return job

    def job_ended(self, job: Job) -> None:
        """Give back what an import held."""
        if (fd := self._fds.pop(job.id, None)) is not None:
            os.close(fd)

    async def _run(self, context: JobContext) -> Mapping[str, Any]:
        params = context.job.params
        size = int(params["size"])
        source = self._fds.get(context.job.id, int(params["fd"]))
        target = self._staging / f"import-{context.job.id}"

        def progress(now: DownloadProgress) -> None:
            context.report(now.bytes_done, size, stage="copy")

        fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            context.report(0, size, stage="copy")
            sha256, copied = await self._transfers.copy(context.job.id, source, fd, size, progress)
            if params["sha256"] and sha256 != params["sha256"]:
                raise VerificationError(
                    f"{params['name']}: its sha256 is {sha256}, not {params['sha256']}; nothing was imported"
                )
            context.report(copied, copied, stage="inspect")
            recognition = await self._transfers.inspect(fd)
            image = await asyncio.to_thread(
                self._store.add,
                target,
                sha256=sha256,
                name=str(params["name"]),
                source="import",
                trust=Trust.NONE if self._catalog.find_by_hash(sha256) is None else Trust.HASH,
                recognition=recognition,
                owner_uid=context.job.owner_uid,
            )
        finally:
            os.close(fd)
            await asyncio.to_thread(target.unlink, missing_ok=True)
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
