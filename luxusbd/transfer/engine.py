"""Downloads: from a request to a verified file in its directory. The only room of `transfer` that others enter."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp

from luxusbd.errors import InvalidArgumentError, VerificationError, most_telling
from luxusbd.transfer.diskio import HASH_STEP, disk_error, hash_span, in_thread
from luxusbd.transfer.gate import HostGate
from luxusbd.transfer.keeper import PartKeeper
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.model import (
    Digest,
    DownloadProgress,
    DownloadRequest,
    DownloadResult,
    DownloadStage,
    SourceShare,
)
from luxusbd.transfer.network import Network
from luxusbd.transfer.pace import Control, TokenBucket
from luxusbd.transfer.pair import fetch_pair
from luxusbd.transfer.pairmodel import Pair, PairRequest
from luxusbd.transfer.partfile import PART, PartBusyError, PartFile, check_name
from luxusbd.transfer.race import Race
from luxusbd.transfer.run import DownloadRun
from luxusbd.transfer.source import HttpSource, SessionFactory, default_session
from luxusbd.transfer.work import Means, Work

_SHA256 = re.compile(r"[0-9a-fA-F]{64}\Z")
DISK_THREADS = 4
HASH_THREADS = 2


class Downloader:
    """All downloads of one process. Belongs to one event loop; `close` it at the end.

    `bucket` limits all downloads together, on top of the limit of each.
    """

    def __init__(
        self,
        session_factory: SessionFactory = default_session,
        limits: TransferLimits | None = None,
        network: Network | None = None,
    ) -> None:
        self._network = network or Network()
        self._limits = limits or TransferLimits()
        self._session_factory = session_factory
        self._session: aiohttp.ClientSession | None = None
        self._gate = HostGate(self._limits.host_connections, self._limits.total_connections)
        self._disk = ThreadPoolExecutor(DISK_THREADS, "disk")
        self._hasher = ThreadPoolExecutor(HASH_THREADS, "hash")
        self.bucket = TokenBucket()

    async def close(self) -> None:
        """Close the connections; no download may run any more."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        self._disk.shutdown()
        self._hasher.shutdown()

    async def download(
        self,
        request: DownloadRequest,
        progress: Callable[[DownloadProgress], None],
        *,
        control: Control | None = None,
    ) -> DownloadResult:
        """Fetch one file, going on from what an earlier run left.

        Cancelling puts everything on the disk first and keeps the part. With a window (`DownloadRequest.window`) the
        bytes are for those who read the part meanwhile: it is gone at the end, in any case once the first of its bytes
        were given back, and nothing gets the final name. A file that has this name already is taken all the same, as
        without a window; it stays.

        Raises:
            InvalidArgumentError: the request makes no sense.
            NetworkError: no mirror gave the file; the text lists what each one did.
            VerificationError: the mirrors gave another file; the part is gone.
            NotEnoughSpaceError: it does not fit; the part is kept.
            PartBusyError: the same file is being downloaded already.
            FailedError: the directory or the disk failed; with a window also, if the filesystem cannot take back parts
                of a file.
        """
        _check(request)
        control = control or Control(request.bandwidth, request.priority)
        part = await self._open(request.directory, request.name)
        try:
            found = await self._already_there(part, request, progress)
            if found is not None:
                return found
            return await self._fetch(part, request, progress, control)
        except VerificationError:
            # its bytes were withdrawn; the room that was reserved for better ones is given back, too
            await self._drop(part)
            raise
        finally:
            await in_thread(self._disk, part.close)

    async def fetch_pair(
        self, request: PairRequest, document: int, signature: int, progress: Callable[[int, int], None]
    ) -> Pair:
        """Fetch a small document and its signature; see `luxusbd.transfer.pair.fetch_pair`."""
        return await fetch_pair(self._source(), request, document, signature, self._limits, progress)

    async def race(
        self,
        request: DownloadRequest,
        progress: Callable[[DownloadProgress], None],
        *,
        control: Control | None = None,
    ) -> tuple[SourceShare, ...]:
        """Measure every address of the request by a few MiB of the file each, three at a time.

        Where a part is there that lacks bytes, they are what is fetched, and kept; else the bytes are dropped, and
        nothing is left behind. With a window they are always dropped. A mirror that fails is a result, too: its state
        and reason tell.

        Raises:
            InvalidArgumentError: the request makes no sense.
            NotEnoughSpaceError: the disk is full.
            FailedError: the directory or the disk failed.
        """
        _check(request)
        control = control or Control(request.bandwidth, request.priority)
        part = await self._open_if_there(request)
        if part is None:
            return await self._run_race(Race(request, None, self._means(), control, progress), None)
        try:
            keeper = PartKeeper(part, request, self._limits, self._disk, self._hasher)
            await keeper.load()
            wanted = request.hashed and not request.window and keeper.loaded
            kept = keeper if wanted and keeper.total and not keeper.complete else None
            if kept is not None:
                await kept.begin()
            try:
                return await self._run_race(Race(request, kept, self._means(), control, progress), kept)
            finally:
                if kept is not None:
                    await kept.checkpoint()
        finally:
            await in_thread(self._disk, part.close)

    async def _run_race(self, race: Race, keeper: PartKeeper | None) -> tuple[SourceShare, ...]:
        try:
            async with asyncio.TaskGroup() as group:
                saving = group.create_task(keeper.run()) if keeper is not None else None
                shares = await race.run()
                if saving is not None:
                    saving.cancel()
            return shares
        except BaseExceptionGroup as errors:
            raise most_telling(errors) from errors

    async def _open_if_there(self, request: DownloadRequest) -> PartFile | None:
        """The part of the file, None without one or while it is being downloaded."""
        if not await in_thread(self._disk, (Path(request.directory) / (request.name + PART)).exists):
            return None
        try:
            return await in_thread(self._disk, PartFile.open, request.directory, request.name, undo=PartFile.close)
        except PartBusyError:
            return None

    async def discard(self, directory: str, name: str) -> None:
        """Remove the part of a file and what belongs to it; the finished file stays.

        Raises:
            PartBusyError: it is being downloaded.
            FailedError: the directory or the disk failed.
        """
        check_name(name)
        part = await self._open(directory, name)
        try:
            await self._drop(part)
        finally:
            await in_thread(self._disk, part.close)

    def _source(self) -> HttpSource:
        if self._session is None:
            self._session = self._session_factory()
        return HttpSource(self._session, self._gate, self._limits, self._network)

    async def _drop(self, part: PartFile) -> None:
        if part.finished:
            return  # somebody else may have begun one of the same name
        try:
            await in_thread(self._disk, part.discard)
        except OSError as error:
            raise disk_error(error, part.path) from error

    async def _open(self, directory: str, name: str) -> PartFile:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.lock_patience
        while True:
            try:
                return await in_thread(self._disk, PartFile.open, directory, name, undo=PartFile.close)
            except PartBusyError:
                if loop.time() >= deadline:
                    raise
            await asyncio.sleep(self._limits.lock_interval)

    async def _fetch(
        self, part: PartFile, request: DownloadRequest, progress: Callable[[DownloadProgress], None], control: Control
    ) -> DownloadResult:
        if request.window:
            await in_thread(self._disk, part.check_holes)
        keeper = PartKeeper(part, request, self._limits, self._disk, self._hasher, control.window)
        means = self._means()
        work = Work(request, keeper, means, control, progress)
        note = await self._prepare(part, keeper, request)
        if note:
            progress(DownloadProgress(DownloadStage.CONNECT, 0, request.size, 0, "", note))
        stage = DownloadStage.CONNECT
        try:
            async with asyncio.TaskGroup() as group:
                run = DownloadRun(work)
                beside = [group.create_task(keeper.run()), group.create_task(run.pieces.run())]
                digest = await run.run()
                for task in beside:
                    task.cancel()
            stage = DownloadStage.VERIFY
        except BaseExceptionGroup as errors:
            raise means.source.explained(most_telling(errors)) from errors
        finally:
            if not part.finished:
                await keeper.checkpoint()
            # whoever keeps statistics of mirrors reads them from the last picture, however the download ended
            work.host = ""
            work.tell(stage, final=True)
            if keeper.window.holed:
                await self._drop(part)
        assert keeper.total is not None
        return DownloadResult(part.path, keeper.total, digest, keeper.url, work.resumed, keeper.digests)

    def _means(self) -> Means:
        return Means(self._source(), self._limits, self._disk, self._hasher, self.bucket)

    async def _prepare(self, part: PartFile, keeper: PartKeeper, request: DownloadRequest) -> str:
        note = await keeper.load()
        if keeper.loaded:
            return note
        length = await in_thread(self._disk, lambda: os.fstat(part.fd).st_size)
        if request.hashed and length and length == request.size and await self._proven(part, keeper, request):
            return note  # its claims were lost, and the checksum of the whole file proves every byte
        await keeper.clear()
        return note

    async def _proven(self, part: PartFile, keeper: PartKeeper, request: DownloadRequest) -> bool:
        if not request.sha256:
            stop = threading.Event()
            for known in request.digests:
                found = await in_thread(
                    self._hasher, _hash_whole, part.fd, request.size, known.algorithm, stop, stop=stop
                )
                if found != known.value:
                    return False
        return await keeper.whole_hash() == request.sha256.lower() or not request.sha256

    async def _already_there(
        self, part: PartFile, request: DownloadRequest, progress: Callable[[DownloadProgress], None]
    ) -> DownloadResult | None:
        fd = await in_thread(self._disk, part.open_final, undo=lambda fd: os.close(fd) if fd is not None else None)
        if fd is None:
            return None
        try:
            size = os.fstat(fd).st_size
            expected = request.sha256.lower()
            if not request.hashed:
                expected = await in_thread(self._disk, _left_by_a_crash, part, size)
            if not (expected or request.hashed) or (request.size and size != request.size):
                return None
            progress(DownloadProgress(DownloadStage.VERIFY, 0, size, 0, "", "a file of this name is there already"))
            stop = threading.Event()
            digest = await in_thread(self._hasher, _hash_whole, fd, size, "sha256", stop, stop=stop)
            if expected and digest != expected:
                return None
            digests = []
            for name in dict.fromkeys([*(one.algorithm for one in request.digests), *request.also]):
                value = await in_thread(self._hasher, _hash_whole, fd, size, name, stop, stop=stop)
                digests.append(Digest(name, value))
            if not set(request.digests) <= set(digests):
                return None
            await in_thread(self._disk, part.drop_leftovers)
        except OSError as error:
            raise disk_error(error, part.path) from error
        finally:
            os.close(fd)
        progress(DownloadProgress(DownloadStage.VERIFY, size, size, size, ""))
        return DownloadResult(part.path, size, digest, "", size, tuple(digests))


def _check(request: DownloadRequest) -> None:
    check_name(request.name)
    if not request.urls:
        raise InvalidArgumentError(f"there is no address to download {request.name} from")
    if request.sha256 and not _SHA256.match(request.sha256):
        raise InvalidArgumentError(f"{request.sha256!r} is no sha256: 64 hexadecimal digits are needed")
    if request.size < 0 or request.bandwidth < 0 or request.window < 0:
        raise InvalidArgumentError("neither a size nor a bandwidth nor a window can be negative")
    if not Path(request.directory).is_absolute():
        raise InvalidArgumentError(f"{request.directory!r} is no absolute path")


def _left_by_a_crash(part: PartFile, size: int) -> str:
    """The hash of a file whose claims were not removed yet when the last run ended; empty without such claims.

    Only for downloads without a known checksum: the part was renamed, so that it was complete, and its last claims
    tell the hash of all its bytes.
    """
    if os.fstat(part.fd).st_size:
        return ""
    state = part.load_claims()
    return state.prefix_sha256 if state is not None and state.total_size == state.prefix_length == size else ""


def _hash_whole(fd: int, size: int, algorithm: str, stop: threading.Event) -> str:
    running = hashlib.new(algorithm)
    position = 0
    while position < size and not stop.is_set():
        position += hash_span(fd, running, position, min(size, position + HASH_STEP)) or size
    return running.hexdigest()
