"""Requests of the transfer child about downloads, and how the core steers them while they run."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from luxusbd.children.params import descriptors, integer
from luxusbd.children.protocol import Params
from luxusbd.children.transfer_progress import Tell, pumping
from luxusbd.children.transfer_threads import Threads
from luxusbd.errors import AlreadyExistsError, InvalidArgumentError, JobStateError
from luxusbd.transfer.codec import progress_to_json, request_from_json, result_to_json, sources_to_json
from luxusbd.transfer.diskio import in_thread
from luxusbd.transfer.engine import Downloader
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.model import DownloadProgress, DownloadRequest, DownloadStage
from luxusbd.transfer.network import Network
from luxusbd.transfer.pace import Control
from luxusbd.transfer.pairmodel import pair_request_from_json
from luxusbd.transfer.partfile import PartFile
from luxusbd.transfer.source import default_session

REST_PATIENCE = 3.0
"""Seconds that all downloads together get to put their bytes on the disk before the machine sleeps, for which logind
waits 5 (logind.conf(5), InhibitDelayMaxSec=)."""


class DownloadRequests:
    """Handlers; `luxusbd.children.transfer_main` says what each takes and answers."""

    def __init__(self, threads: Threads, tell: Tell, limits: TransferLimits) -> None:
        self._threads = threads
        self._tell = tell
        self.limits = limits
        self._downloader = Downloader(limits=limits)
        self._controls: dict[int, Control] = {}
        self._standing: dict[int, asyncio.Event] = {}
        """By job: set while a paused download has all its bytes on the disk."""
        self._resting = False
        self._ended: dict[int, asyncio.Event] = {}

    @property
    def busy(self) -> bool:
        """Whether any download runs."""
        return bool(self._controls)

    def use(self, limits: TransferLimits, network: Network, context: ssl.SSLContext) -> None:
        """Download in this way from now on; what was downloaded with before is closed by then."""
        self.limits = limits
        self._downloader = Downloader(lambda: default_session(context, limits.read_buffer), limits, network)

    def set_bandwidth(self, rate: int) -> None:
        """Limit all downloads together to bytes per second; 0 is no limit."""
        self._downloader.bucket.set_rate(rate)

    async def close(self) -> None:
        """Let running downloads put their bytes on the disk and end."""
        await self._downloader.close()

    async def download(self, params: Params, _fds: Sequence[int]) -> dict[str, Any]:
        """Fetch a file."""
        async with self._transfer(params) as (request, progress, control):
            return result_to_json(await self._downloader.download(request, progress, control=control))

    async def race(self, params: Params, _fds: Sequence[int]) -> dict[str, Any]:
        """Measure mirrors."""
        async with self._transfer(params) as (request, progress, control):
            return {"sources": sources_to_json(await self._downloader.race(request, progress, control=control))}

    async def claims(self, params: Params, _fds: Sequence[int]) -> dict[str, Any]:
        """What a partial file claims to hold."""
        directory, name = params.get("directory"), params.get("name")
        if not isinstance(directory, str) or not isinstance(name, str):
            raise InvalidArgumentError("claims needs `directory` and `name`")
        total, done = await in_thread(self._threads.looks, _claimed, directory, name)
        return {"total": total, "done": done}

    async def discard(self, params: Params, _fds: Sequence[int]) -> None:
        """Remove a partial file."""
        directory, name = params.get("directory"), params.get("name")
        if not isinstance(directory, str) or not isinstance(name, str):
            raise InvalidArgumentError("discard needs `directory` and `name`")
        await self._downloader.discard(directory, name)

    async def fetch_pair(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        """Fetch a document and its signature."""
        document, signature = descriptors(fds, 2)
        request = pair_request_from_json(params)
        async with pumping(self._tell, integer(params, "job")) as pump:
            found = await self._downloader.fetch_pair(
                request,
                document,
                signature,
                lambda done, total: pump.put({"bytes_done": done, "bytes_total": total}),
            )
        return asdict(found)

    async def control(self, params: Params, _fds: Sequence[int]) -> None:
        """Pause, resume, slow down or favour one job, or the first three with all; or tell how far its readers are."""
        job = integer(params, "job")
        bandwidth = integer(params, "bandwidth") if "bandwidth" in params else None
        priority = integer(params, "priority") if "priority" in params else None
        released = integer(params, "released") if "released" in params else None
        paused = params.get("paused")
        if bandwidth is not None and bandwidth < 0:
            raise InvalidArgumentError("a bandwidth cannot be negative")
        if paused is not None and not isinstance(paused, bool):
            raise InvalidArgumentError(f"`paused` must be true or false, not {paused!r}")
        if job == 0:
            if bandwidth is not None:
                self._downloader.bucket.set_rate(bandwidth)
            if paused is not None:
                await self._rest(paused)
            return
        control = self._controls.get(job)
        if control is None and paused is not None and self._threads.stand_still(job, paused):
            return
        if control is None:
            raise JobStateError(f"job {job} is not being downloaded")
        if bandwidth is not None:
            control.set_bandwidth(bandwidth)
        if priority is not None:
            control.set_priority(priority)
        if released is not None:
            control.release(released, integer(params, "epoch"))
        if paused is not None:
            if paused:
                control.pause()
            else:
                control.resume()

    @asynccontextmanager
    async def _transfer(
        self, params: Params
    ) -> AsyncIterator[tuple[DownloadRequest, Callable[[DownloadProgress], None], Control]]:
        """What a transfer of a job needs, from a request of the core; the core can steer it meanwhile."""
        job = integer(params, "job")
        request = request_from_json(params)
        await self._wait_for_the_last_one(job)
        control = self._controls[job] = Control(request.bandwidth, request.priority)
        if self._resting:
            control.pause()
        standing = self._standing[job] = asyncio.Event()
        ended = self._ended[job] = asyncio.Event()
        try:
            async with pumping(self._tell, job) as pump:

                def report(progress: DownloadProgress) -> None:
                    if control.paused and progress.stage is DownloadStage.WAIT:
                        standing.set()
                    pump.put(progress_to_json(progress))

                yield request, report, control
        finally:
            del self._controls[job], self._ended[job], self._standing[job]
            standing.set()
            ended.set()

    async def _wait_for_the_last_one(self, job: int) -> None:
        # a job that was cancelled and started again at once: the first one is still putting its bytes on the disk
        try:
            async with asyncio.timeout(self.limits.lock_patience):
                while job in self._ended:
                    await self._ended[job].wait()
        except TimeoutError:
            raise AlreadyExistsError(f"job {job} is being downloaded already") from None

    async def _rest(self, paused: bool) -> None:
        """Let all downloads stand still, with their bytes on the disk, or go on; it holds for those to come as well."""
        self._resting = paused
        for job, control in self._controls.items():
            self._standing[job].clear()
            (control.pause if paused else control.resume)()
        if not paused or not self._standing:
            return
        waits = [asyncio.ensure_future(event.wait()) for event in self._standing.values()]
        _, late = await asyncio.wait(waits, timeout=REST_PATIENCE)
        for wait in late:
            wait.cancel()


def _claimed(directory: str, name: str) -> tuple[int, int]:
    """Bytes of the whole file (0: nobody knows) and of what an earlier run says to have left of it."""
    part = PartFile.open(directory, name)
    try:
        state, _ = part.load()
    finally:
        part.close()
    return (state.total_size, state.done.total) if state is not None else (0, 0)
