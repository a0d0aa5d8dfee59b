"""One download while it runs: what the rooms that carry it out share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from yarl import URL

from luxusbd.transfer.answers import FailureKind, SourceError
from luxusbd.transfer.keeper import PartKeeper
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.mirrors import Mirror, MirrorBook
from luxusbd.transfer.model import DownloadProgress, DownloadRequest, DownloadStage
from luxusbd.transfer.pace import Control, RateMeter, TokenBucket, Turn
from luxusbd.transfer.shares import Shares
from luxusbd.transfer.source import Body, HttpSource, Ticket

Report = Callable[[DownloadProgress], None]
UNDISTURBED = 0.1
"""Share of the time up to which our own breaks leave a measured rate valid."""
MEASURE_INTERVAL = 0.5


@dataclass(frozen=True)
class Means:
    """What all downloads of a process share."""

    source: HttpSource
    limits: TransferLimits
    disk: Executor
    hasher: Executor
    bucket: TokenBucket


class Work:
    """The request, the part, the mirrors and the limits of one download, and the voice by which it tells of itself."""

    def __init__(
        self, request: DownloadRequest, keeper: PartKeeper, means: Means, control: Control, report: Report
    ) -> None:
        self.request = request
        self.keeper = keeper
        self.means = means
        self.limits: TransferLimits = means.limits
        self.control = control
        self.clock = asyncio.get_running_loop().time
        self.book = MirrorBook(request.urls, means.limits, self.clock, hints=request.hints)
        self.shares = Shares(self.clock)
        self.resumed = 0
        self.answers = 0
        """How many answers the bytes were put together from, those of an earlier run counting as one."""
        self.host = ""
        self._report = report
        self._measured = 0.0
        self._turn = Turn(means.bucket)
        keeper.window.waits = self._tell_of_readers

    def meter(self) -> RateMeter:
        """A new one for one connection to a mirror."""
        return RateMeter(self.clock, self.limits.slow_window)

    def ticket(self, meter: RateMeter, header_timeout: float = 0.0) -> Ticket:
        """To ask a mirror with."""
        return Ticket(self.control.claimant, meter, header_timeout, self._waits)

    def _waits(self) -> None:
        if not self.control.claimant.held:
            self.tell(DownloadStage.QUEUE)

    @property
    def bandwidth(self) -> int:
        """The lowest limit that holds for this download, in bytes per second; 0 without one."""
        return min((bucket.rate for bucket in (self.control.bucket, self.means.bucket) if bucket.rate > 0), default=0)

    async def take(self, mirror: Mirror, body: Body, meter: RateMeter) -> bytes:
        """The next bytes of `body`, paid for; empty at its end.

        Raises:
            SourceError: the mirror failed.
        """
        rate = self.bandwidth
        chunk = await body.read(max(4096, min(rate // 10, self.limits.read_buffer)) if rate else -1)
        if not chunk:
            return chunk
        meter.add(len(chunk))
        self.shares.received(mirror.url, body.host, len(chunk))
        self.measure(mirror, meter)
        with meter.hold():
            await self.control.bucket.pay(len(chunk))
            await self._turn.pay(len(chunk))
        return chunk

    def measure(self, mirror: Mirror, meter: RateMeter, *, now: bool = False) -> None:
        """Note how fast `mirror` is, unless it was us who held it up."""
        if (now or self.clock() - self._measured >= MEASURE_INTERVAL) and meter.held < UNDISTURBED:
            self._measured = self.clock()
            rate = meter.current()
            if rate > 0:
                mirror.measured = rate
                self.shares.measured(mirror.url, rate)

    def failed(self, mirror: Mirror, error: SourceError, *, brought_bytes: bool) -> None:
        """One request to `mirror` ended in `error`."""
        self.book.failed(mirror, error, brought_bytes=brought_bytes)
        fault = error.weight > 0 and not (error.kind is FailureKind.NO_NETWORK and self.book.offline)
        self.shares.failed(
            mirror.url,
            str(error),
            fault=fault,
            rests_until=max(mirror.rests_until, mirror.absent_until),
            for_good=mirror.dead or (not self.book.alive(mirror) and mirror.absent_until <= self.clock()),
        )
        self.tell(DownloadStage.CONNECT, f"{host_of(mirror.url)} {error}")

    def _tell_of_readers(self) -> None:
        # a pause has its own words for standing still, once the bytes are on the disk
        if not self.control.paused:
            self.tell(DownloadStage.WAIT_FOR_STICK)

    def tell(self, stage: DownloadStage, note: str = "", *, final: bool = False) -> None:
        """Send a progress; with `final` its picture of the mirrors is not an old one."""
        prefix, floor = self.keeper.take_prefix()
        self._report(
            DownloadProgress(
                stage=stage,
                bytes_done=self.keeper.written.total,
                bytes_total=self.keeper.total or 0,
                resumed_bytes=self.resumed,
                source=self.host if stage is not DownloadStage.WAIT else "",
                note=note,
                sources=self.shares.picture(now=final),
                prefix=prefix,
                floor=floor,
                epoch=max(0, self.keeper.window.epoch),
            )
        )


def host_of(url: str) -> str:
    """The host in an address, or the address itself if it has none."""
    try:
        return URL(url).host or url
    except ValueError:
        return url
