"""One connection to one mirror of a shared file: fetches the ranges that its crew gives it, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from luxusbd.transfer.answers import AnswerKind, Asked, FailureKind, SourceError
from luxusbd.transfer.mirrors import Mirror
from luxusbd.transfer.model import DownloadStage
from luxusbd.transfer.plan import Claim
from luxusbd.transfer.segments import Span
from luxusbd.transfer.source import Body
from luxusbd.transfer.versions import check_version
from luxusbd.transfer.work import Work, host_of
from luxusbd.transfer.writer import BatchWriter

PATIENCE = 1.5
"""Seconds without an answer after which a worker no longer counts as one that is about to bring bytes."""


@dataclass(eq=False)
class Hold:
    """The bytes that a worker is at. Others may bring `end` forward while it reads."""

    start: int
    position: int
    end: int
    doubled: bool = False


class Worker:
    """Works until its crew has nothing more for it, its mirror fails, or it is dismissed."""

    def __init__(self, number: int, work: Work, mirror: Mirror, *, trial: bool) -> None:
        self.number = number
        self.mirror = mirror
        self.meter = work.meter()
        self.hold: Hold | None = None
        self.trial = trial
        """Whether it still has to show that it is worth its connection."""
        self.after = -1
        """End of what it fetched last."""
        self.task: asyncio.Task[None] | None = None
        self.header_timeout = 0.0
        self._work = work
        self._asked = work.clock()

    def speed(self, otherwise: float) -> float:
        """Bytes per second that it brings; `otherwise` while it just begins and nothing is known about its mirror."""
        now = self.meter.current()
        if now > 0 or self._work.clock() - self._asked > PATIENCE:
            return now
        return self.mirror.measured or self.mirror.expected or otherwise

    def claim(self, otherwise: float) -> Claim | None:
        """What it is at, for the plan."""
        hold = self.hold
        if hold is None:
            return None
        end = max(hold.end, hold.position)
        return Claim(self.number, hold.start, hold.position, end, self.speed(otherwise), hold.doubled)

    async def fetch(self, hold: Hold, replaceable: Callable[[], bool]) -> None:
        """Bring the bytes of `hold`; they are in the file afterwards, also when it fails or is cancelled.

        Raises:
            SourceError: the mirror failed.
            NotEnoughSpaceError: the disk is full.
            FailedError: the disk failed.
        """
        self.hold = hold
        self._asked = self._work.clock()
        try:
            while hold.position < hold.end:
                before = hold.position
                await self._request(hold, replaceable)
                if hold.position == before and hold.position < hold.end:
                    raise SourceError(FailureKind.TRANSIENT, "answered without bringing anything new")
            self._work.shares.succeeded(self.mirror.url)
        finally:
            self.hold = None
            self.after = hold.position
            self._work.measure(self.mirror, self.meter, now=True)

    async def _request(self, hold: Hold, replaceable: Callable[[], bool]) -> None:
        work, mirror = self._work, self.mirror
        assert work.keeper.total is not None
        work.shares.asked(mirror.url, host_of(mirror.url))
        size, older = work.keeper.total, work.request.older
        asked = Asked(hold.position, hold.end, ranged=True, size=size, hash_known=True, older=older)
        ticket = work.ticket(self.meter, self.header_timeout)
        async with work.means.source.open(mirror.url, asked, replaceable, ticket) as body:
            work.shares.answered(mirror.url, body.host, body.latency)
            await check_version(work, mirror, body.answer)
            if body.answer.kind is AnswerKind.WHOLE and hold.position > 0:
                mirror.without_range = True
                raise SourceError(FailureKind.NO_RANGE, "sends the whole file instead of a part (no ranges)")
            work.keeper.origins.set_validators(mirror.url, body.answer.validators)
            work.answers += 1
            work.host = body.host
            self.meter.begin()
            await self._receive(hold, body)

    async def _receive(self, hold: Hold, body: Body) -> None:
        work = self._work
        writer = BatchWriter(work.keeper, work.limits, self.mirror.url, lambda: work.tell(DownloadStage.TRANSFER))
        try:
            while hold.position < hold.end:
                chunk = await work.take(self.mirror, body, self.meter)
                if not chunk:
                    break
                start = hold.position
                if body.position > hold.end:
                    # somebody else has what lies behind
                    chunk = chunk[: max(0, hold.end - start)]
                hold.position = start + len(chunk)
                if chunk:
                    with self.meter.hold():
                        await writer.add(chunk, start)
        finally:
            await writer.flush()


def span_of(hold: Hold) -> Span | None:
    """What `hold` still needs, None when it is done."""
    return Span(hold.position, hold.end) if hold.position < hold.end else None
