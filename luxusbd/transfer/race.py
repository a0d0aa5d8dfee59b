"""Measures all mirrors of a file, a few at a time, by real ranges of it; what a part still lacks is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from luxusbd.transfer.answers import AnswerKind, Asked, Change, FailureKind, SourceError, compare
from luxusbd.transfer.keeper import PartKeeper
from luxusbd.transfer.model import DownloadProgress, DownloadRequest, DownloadStage, SourceShare
from luxusbd.transfer.pace import Control, RateMeter
from luxusbd.transfer.plan import race_spans
from luxusbd.transfer.segments import Span, SpanSet
from luxusbd.transfer.shares import Shares
from luxusbd.transfer.source import Body, Ticket
from luxusbd.transfer.work import Means, host_of
from luxusbd.transfer.writer import BatchWriter

FINAL = (FailureKind.UNUSABLE, FailureKind.WRONG_SIZE)


class Race:
    """One measurement of every address of `request`. Without a `keeper` the bytes are dropped."""

    def __init__(
        self,
        request: DownloadRequest,
        keeper: PartKeeper | None,
        means: Means,
        control: Control,
        report: Callable[[DownloadProgress], None],
    ) -> None:
        self._request = request
        self._keeper = keeper
        self._means = means
        self._limits = means.limits
        self._control = control
        self._report = report
        self._clock = asyncio.get_running_loop().time
        self._shares = Shares(self._clock)
        self._urls = tuple(dict.fromkeys(request.urls))

    async def run(self) -> tuple[SourceShare, ...]:
        """What every address did, in the order of the request.

        Raises:
            ExceptionGroup: of NotEnoughSpaceError or FailedError: the disk is full or failed.
        """
        lanes = asyncio.Semaphore(self._limits.race)
        spans = self._spans()
        for url in self._urls:
            self._shares.listed(url, host_of(url))
        async with asyncio.TaskGroup() as group:
            for url in self._urls:
                await lanes.acquire()
                await self._control.wait_running()
                task = group.create_task(self._measure(url, next(spans)))
                task.add_done_callback(lambda _task: lanes.release())
                await asyncio.sleep(self._limits.race_stagger)
        self._tell(now=True)
        return self._shares.picture(now=True, most=len(self._urls))

    def _spans(self) -> Iterator[Span]:
        """A place for each measurement: what is missing first, spread; then anywhere."""
        size = self._request.size
        missing = SpanSet()
        if self._keeper is not None and self._keeper.total:
            size = self._keeper.total
            missing = self._keeper.written.missing(size)
        yield from race_spans(missing, len(self._urls), self._limits) if missing else ()
        yield from race_spans(SpanSet().missing(size), len(self._urls), self._limits)
        while True:
            yield Span(0, self._limits.race_span)

    async def _measure(self, url: str, span: Span) -> None:
        meter = RateMeter(self._clock, self._limits.slow_window)
        self._shares.asked(url, host_of(url))
        self._tell()
        size = (self._keeper.total if self._keeper is not None else None) or self._request.size
        known, older = self._request.hashed, self._request.older
        asked = Asked(span.start, span.end, ranged=True, size=size, hash_known=known, older=older)
        ticket = Ticket(self._control.claimant, meter, self._limits.race_header_timeout)
        try:
            async with self._means.source.open(url, asked, lambda: False, ticket) as body:
                self._shares.answered(url, body.host, body.latency)
                meter.begin()
                await self._receive(url, span, body, meter)
        except SourceError as error:
            self._shares.failed(
                url,
                str(error),
                fault=error.weight > 0,
                rests_until=self._clock() + error.retry_after,
                for_good=error.kind in FINAL,
            )
        else:
            self._shares.succeeded(url)
        finally:
            self._shares.measured(url, meter.estimate())
            self._shares.idle(url)
            self._tell()

    async def _receive(self, url: str, span: Span, body: Body, meter: RateMeter) -> None:
        writer = self._writer(url, span, body)
        left = len(span)
        deadline = self._clock() + self._limits.race_time
        try:
            while left > 0 and self._clock() < deadline:
                try:
                    async with asyncio.timeout_at(deadline):
                        chunk = await body.read()
                except TimeoutError:
                    return
                if not chunk:
                    return
                meter.add(len(chunk))
                self._shares.received(url, body.host, len(chunk))
                chunk = chunk[:left]
                with meter.hold():
                    if writer is not None:
                        await writer.add(chunk, span.end - left)
                    await self._control.bucket.pay(len(chunk))
                    await self._means.bucket.pay(len(chunk))
                left -= len(chunk)
        finally:
            if writer is not None:
                await writer.flush()

    def _writer(self, url: str, span: Span, body: Body) -> BatchWriter | None:
        """Where the bytes go, None when they are not wanted."""
        keeper = self._keeper
        if keeper is None or body.answer.start != span.start or body.answer.kind is AnswerKind.COMPLETE:
            return None
        known = keeper.origins.validators(url)
        if known is not None and compare(known, body.answer.validators) is not Change.SAME:
            return None  # whose version is right is for the download to find out
        keeper.origins.set_validators(url, body.answer.validators)
        return BatchWriter(keeper, self._limits, url, self._tell)

    def _tell(self, *, now: bool = False) -> None:
        keeper = self._keeper
        self._report(
            DownloadProgress(
                DownloadStage.TRANSFER,
                keeper.written.total if keeper is not None else 0,
                (keeper.total or 0) if keeper is not None else self._request.size,
                0,
                "",
                sources=self._shares.picture(now=now),
            )
        )
