"""The core's end of the channel to the transfer process: what each new one is told, progress, and its deaths."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from luxusbd.children.launch import Launcher
from luxusbd.children.protocol import Params
from luxusbd.children.supervisor import Child, TransferSupervisor
from luxusbd.errors import InterruptedJobError, InvalidArgumentError
from luxusbd.transfer.codec import sources_from_json
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.model import DownloadProgress, DownloadRequest, DownloadStage, SourceShare
from luxusbd.transfer.network import Network
from luxusbd.transfer.network import to_json as network_to_json

log = logging.getLogger(__name__)

MAX_DEATHS = 5
"""How often in a row the process may die under one download that gets no further before the job fails."""

ProgressCallback = Callable[[DownloadProgress], None]


@dataclass(frozen=True)
class TransferSetup:
    """What a transfer process is told before anything else."""

    network: Network = field(default_factory=Network)
    bandwidth: int = 0
    """Bytes per second of all downloads together, 0 without limit."""
    connections_per_host: int = TransferLimits.host_connections
    connections: int = TransferLimits.total_connections
    recipes: str = ""
    """The directory of the administrator's boot recipes; empty for none."""
    catalog_recipes: str = ""
    """The file with the boot recipes of the catalogue in force, which need not be there; empty for none."""

    def to_json(self) -> dict[str, Any]:
        """The params of `configure`."""
        return {
            "bandwidth": self.bandwidth,
            "host_connections": self.connections_per_host,
            "connections": self.connections,
            "network": network_to_json(self.network),
            "recipes": self.recipes,
            "catalog_recipes": self.catalog_recipes,
        }


class TransferLink:
    """The process, brought up anew as often as it dies, and the ways to ask it; for what, `Transfers` says."""

    def __init__(self, launcher: Launcher, setup: TransferSetup) -> None:
        """See `TransferSupervisor`; `setup` is what each new process is told first."""
        self._launcher = launcher
        self._setup = setup
        self.supervisor = TransferSupervisor(self._bring_up)
        self._progress: dict[int, ProgressCallback] = {}
        self._suspect = asyncio.Lock()

    async def start(self) -> None:
        """Start the process."""
        await self.supervisor.start()

    async def stop(self) -> None:
        """End the process; what it was asked fails with `InterruptedJobError`."""
        await self.supervisor.stop()

    async def _through_deaths(
        self, method: str, job_id: int, request: Callable[[], DownloadRequest], progress: ProgressCallback
    ) -> Params:
        furthest = 0
        deaths = 0

        def watch(now: DownloadProgress) -> None:
            nonlocal furthest, deaths
            if now.bytes_done > furthest:
                furthest, deaths = now.bytes_done, 0
            progress(now)

        self._progress[job_id] = watch
        try:
            while True:
                try:
                    answer: Params = await self.supervisor.request(method, {"job": job_id, **asdict(request())})
                except InterruptedJobError:
                    deaths += 1
                    if deaths >= MAX_DEATHS:
                        raise
                    log.warning("%s of job %d is taken up again after the transfer process died", method, job_id)
                    await asyncio.sleep(0.2 * deaths)
                else:
                    return answer
        finally:
            del self._progress[job_id]

    @contextlib.asynccontextmanager
    async def _bring_up(self) -> AsyncIterator[Child]:
        async with self._launcher.transfer(self._event) as running:
            await running.channel.request("configure", self._setup.to_json())
            yield running

    async def _again(self, method: str, params: Params, fds: Sequence[int]) -> Any:
        """Ask for what does no harm when it is done anew, through deaths of the process."""
        for deaths in range(1, MAX_DEATHS):
            try:
                return await self.supervisor.request(method, params, fds)
            except InterruptedJobError:
                log.warning("%s: asked again after the transfer process died (%d)", method, deaths)
        return await self.supervisor.request(method, params, fds)

    async def _alone_if_deadly(self, method: str, params: Params, fds: Sequence[int]) -> Any:
        """Ask for a look at foreign bytes, which may be what kills the process: or others, or somebody's signal.

        The second time only one suspect is looked at, so that the others are not blamed for its deed.
        """
        try:
            return await self.supervisor.request(method, params, fds)
        except InterruptedJobError:
            async with self._suspect:
                return await self.supervisor.request(method, params, fds)

    def _event(self, name: str, params: Params) -> None:
        if name != "progress":
            log.warning("the transfer process sent an unknown event %.40r", name)
            return
        callback = self._progress.get(integer_of(params, "job"))
        if callback is not None:
            callback(
                DownloadProgress(
                    stage=DownloadStage(params.get("stage", DownloadStage.TRANSFER)),
                    bytes_done=integer_of(params, "bytes_done"),
                    bytes_total=integer_of(params, "bytes_total"),
                    resumed_bytes=integer_of(params, "resumed_bytes"),
                    source=str(params.get("source", ""))[:255],
                    note=str(params.get("note", ""))[:500],
                    sources=sources_of(params),
                    prefix=None if params.get("prefix") is None else integer_of(params, "prefix"),
                    floor=integer_of(params, "floor"),
                    epoch=integer_of(params, "epoch"),
                )
            )


def sources_of(params: Params) -> tuple[SourceShare, ...]:
    """Who sent how much, of an answer.

    Raises:
        InterruptedJobError: it is something else.
    """
    try:
        return sources_from_json(params.get("sources", []))
    except InvalidArgumentError as error:
        raise InterruptedJobError(f"the transfer process sent nonsense: {error}") from None


def integer_of(params: Params, key: str) -> int:
    """A number of an answer, 0 where it is left out.

    Raises:
        InterruptedJobError: it is none, or negative, or larger than any size.
    """
    value: Any = params.get(key, 0)
    if not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise InterruptedJobError(f"the transfer process sent nonsense for {key}")
    return value
