"""Fetches the files that start images and are not in them (`luxusbd.images.startfile`), for a job on a stick."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace

from luxusbd.catalog.model import Distribution, Layer, Mirror, Release
from luxusbd.errors import LuxusbError, VerificationError, from_name
from luxusbd.images.model import StoredImage
from luxusbd.images.startfile import FAMILY, StartFile
from luxusbd.images.store import ImageStore
from luxusbd.jobs.checking import Checker, sealed_room
from luxusbd.jobs.childjobs import wait_for_children
from luxusbd.jobs.downloads import Downloads
from luxusbd.jobs.downloadwords import params_for
from luxusbd.jobs.keyring import Keyring
from luxusbd.jobs.model import Job, Operation
from luxusbd.jobs.queue import JobQueue
from luxusbd.jobs.running import JobContext, Lane
from luxusbd.jobs.together import Overall
from luxusbd.jobs.transfers import Transfers
from luxusbd.stick.beside import file_beside, started_by
from luxusbd.stick.model import ManifestImage
from luxusbd.transfer.feeds.transcript import MAX_TRANSCRIPT
from luxusbd.transfer.openpgp import MAX_KEY, binary_keys, in_memory
from luxusbd.transfer.proof import read_small
from luxusbd.transfer.startfile import FoundStartFile

DISTRIBUTION = "installer-files"
"""As which the files are downloaded: a reference that no catalogue resolves."""


class StartFiles:
    """Finds, fetches and keeps them; a stored one is found again by its hash."""

    def __init__(
        self,
        queue: JobQueue,
        transfers: Transfers,
        checker: Checker,
        keyring: Keyring,
        downloads: Downloads,
        store: ImageStore,
    ) -> None:
        self._queue = queue
        self._transfers = transfers
        self._checker = checker
        self._keyring = keyring
        self._downloads = downloads
        self._store = store

    async def complete(
        self,
        context: JobContext,
        images: Sequence[ManifestImage],
        stored: Sequence[StoredImage],
        overall: Overall,
        *,
        streamed: bool = False,
    ) -> tuple[ManifestImage, ...]:
        """Images for a stick with what starts them: the same ones, in their order, and behind them the files.

        Args:
            context: of the job on the stick.
            images: for the stick.
            stored: the same ones in the store.
            overall: is told of the bytes that come.
            streamed: whether the stick is being written already.

        Raises:
            LuxusbError: a file cannot be found, fetched or verified; the text names the image, and what to do.
        """
        made: list[ManifestImage] = []
        beside: dict[str, ManifestImage] = {}
        for image, there in zip(images, stored, strict=True):
            wanted = there.recognition.startfile
            if wanted is None:
                made.append(image)
                continue
            try:
                file = await self._bring(context, image, wanted, overall)
            except LuxusbError as error:
                raise from_name(
                    error.dbus_name,
                    f"{image.name} is started by a file that has to be fetched ({wanted.file}, from"
                    f" {wanted.archives[0]}), and that failed: {error}."
                    f" {'It was not' if streamed else 'Nothing was'} written; try again, or leave the image out",
                ) from error
            made.append(started_by(image, file.sha256))
            beside[file.sha256] = _listed(file, image)
        return (*made, *beside.values())

    async def _bring(
        self, context: JobContext, image: ManifestImage, wanted: StartFile, overall: Overall
    ) -> StoredImage:
        context.note(f"{image.name}: looking for the file that starts it, {wanted.file}")
        found = await self._find(wanted)
        job = await self._fetch(context, wanted, found)
        await wait_for_children(self._queue, [job], overall.downloads)
        return await asyncio.to_thread(self._store.get, context.job.owner_uid, found.sha256)

    async def _find(self, wanted: StartFile) -> FoundStartFile:
        """Where it is and what it has to be, by the word of the process that checks."""
        keys = await asyncio.to_thread(self._keys, wanted)
        with in_memory("keys", keys) as given, sealed_room("transcript", MAX_TRANSCRIPT) as room:
            length = await self._transfers.startfile(wanted, given, room)
            # the other process still holds the descriptor: what is checked is a copy of our own
            transcript = await asyncio.to_thread(os.pread, room, length, 0)
        return await self._checker.startfile(wanted, transcript, keys)

    def _keys(self, wanted: StartFile) -> bytes:
        found = b""
        for fingerprint in wanted.keys:
            fd = self._keyring.open(fingerprint)
            if fd is not None:
                try:
                    found += binary_keys(read_small(fd, MAX_KEY, "a key"))
                finally:
                    os.close(fd)
        if not found:
            raise VerificationError(
                f"there is no copy of a key that may sign it here: put {' or '.join(wanted.keys)} into the directory"
                " of keys (paths.keys_dir)"
            )
        return found

    async def _fetch(self, context: JobContext, wanted: StartFile, found: FoundStartFile) -> Job:
        mirrors = tuple(Mirror(f"{archive}/{found.path}", "") for archive in wanted.archives)
        release = Release(
            version=found.sha256[:16],
            release_date="",
            iso_url=mirrors[0].url,
            sha256=found.sha256,
            size_mb=wanted.size >> 20,
            mirrors=mirrors,
        )
        distribution = Distribution(
            DISTRIBUTION, wanted.file, "", "", "", "", popularity_rank=0, releases=(release,), layer=Layer.PACKAGED
        )
        return await self._queue.submit(
            Operation.DOWNLOAD,
            Lane.DOWNLOAD,
            self._downloads.run_download,
            owner_uid=context.job.owner_uid,
            params={
                **params_for(distribution, release),
                "name": file_beside(found.sha256),
                "signed_by": found.fingerprint,
            },
            title=f"{wanted.file} ({found.path})",
            parent=context.job.id,
        )


def _listed(file: StoredImage, image: ManifestImage) -> ManifestImage:
    """The file as a stick's manifest has it."""
    return replace(
        image,
        name=file_beside(file.sha256),
        title=f"starts {image.title}"[:200],
        sha256=file.sha256,
        size=file.size,
        source=file.source,
        recipe="",
        family=FAMILY,
        volume_id="",
        iso_uuid="",
        entries=(),
        trust=file.trust,
    )
