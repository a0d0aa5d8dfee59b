"""One download from its first request to its last byte: which mirror, which bytes, and what to make of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from yarl import URL

from luxusbd.errors import NetworkError, VerificationError
from luxusbd.transfer.answers import (
    Answer,
    AnswerKind,
    Asked,
    Change,
    Delimiter,
    FailureKind,
    SourceError,
    compare,
)
from luxusbd.transfer.diskio import first_difference, in_thread, settled
from luxusbd.transfer.keeper import PartKeeper
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.mirrors import Mirror, MirrorBook
from luxusbd.transfer.model import DownloadProgress, DownloadRequest, DownloadStage
from luxusbd.transfer.online import wait_for_route
from luxusbd.transfer.pace import Control, TokenBucket
from luxusbd.transfer.segments import Span
from luxusbd.transfer.shares import Shares
from luxusbd.transfer.source import Body, HttpSource
from luxusbd.transfer.writer import BatchWriter

Report = Callable[[DownloadProgress], None]


@dataclass(frozen=True)
class Means:
    """What all downloads of a process share."""

    source: HttpSource
    limits: TransferLimits
    disk: Executor
    bucket: TokenBucket


class DownloadRun:
    """The transfer of one request into one open part; afterwards the file is complete, verified and named."""

    def __init__(
        self, request: DownloadRequest, keeper: PartKeeper, means: Means, control: Control, report: Report
    ) -> None:
        self.resumed = 0
        self._request = request
        self._keeper = keeper
        self._means = means
        self._limits = means.limits
        self._control = control
        self._report = report
        self._book = MirrorBook(request.urls, means.limits, asyncio.get_running_loop().time)
        self._host = ""
        self._shares = Shares(asyncio.get_running_loop().time)
        self._answers = 0
        """How many answers the bytes were put together from, those of an earlier run counting as one."""
        self._told_by_close: Mirror | None = None
        """The mirror whose closed connection is all that tells the size; it may have been a break."""
        self._restarted_for_hash = False
        self._restarted_for_size = False
        self._blamed: list[str] = []

    async def run(self) -> str:
        """Fetch, verify and name the file; its sha256.

        Raises:
            NetworkError: every mirror was given up; the text lists what each one did.
            VerificationError: the bytes are complete and wrong; the part is gone.
            NotEnoughSpaceError: the disk is full; the part is kept.
            FailedError: the disk failed; the part is kept.
        """
        self.resumed = self._keeper.written.total
        self._answers = 1 if self.resumed else 0
        if self._keeper.total is not None:
            await self._keeper.begin()
        while True:
            while not self._keeper.complete:
                await self._step()
            self._tell(DownloadStage.VERIFY)
            try:
                return await self._keeper.finish(lambda _position: None)
            except VerificationError as error:
                await self._mismatch(str(error))

    async def _step(self) -> None:
        if self._control.paused:
            await self._stand_still()
        mirror = await self._next_mirror()
        if mirror is None:
            return
        before = self._keeper.written.total
        try:
            await self._unless_paused(self._attempt(mirror))
        except SourceError as error:
            self._book.failed(mirror, error, brought_bytes=self._keeper.written.total > before)
            self._shares.left(mirror.url, for_good=not self._book.alive(mirror))
            self._tell(DownloadStage.CONNECT, f"{_host(mirror.url)} {error}")
        else:
            if self._keeper.written.total > before:
                self._book.progressed(mirror)
            elif not self._keeper.complete and not self._control.paused:
                nothing = SourceError(FailureKind.TRANSIENT, "answered without bringing anything new")
                self._book.failed(mirror, nothing, brought_bytes=False)

    async def _stand_still(self) -> None:
        await self._keeper.checkpoint()
        self._tell(DownloadStage.WAIT, "paused")
        await self._control.wait_running()

    async def _next_mirror(self) -> Mirror | None:
        bound = "" if self._request.sha256 or not self._keeper.written else self._keeper.url
        choice = self._book.next(bound)
        if choice is None:
            await self._give_up()
            return None
        mirror, wait = choice
        if wait > 0:
            if self._book.offline:
                self._tell(DownloadStage.WAIT, "no mirror can be reached, waiting for the network")
            else:
                self._tell(DownloadStage.CONNECT, f"waiting {wait:.0f} s before asking {_host(mirror.url)} again")
            await self._unless_paused(self._rest(wait))
            return None if self._control.paused else mirror
        return mirror

    async def _rest(self, seconds: float) -> None:
        if not self._book.offline:
            await asyncio.sleep(seconds)
        elif await wait_for_route(seconds):
            self._book.wake()

    async def _give_up(self) -> None:
        other_size = any(mirror.last is FailureKind.WRONG_SIZE for mirror in self._book.mirrors)
        if not self._request.size and other_size and not self._restarted_for_size:
            # nobody but the first mirror vouches for the size, and it could not finish: the others may be right
            self._restarted_for_size = True
            await self._restart(frozenset(self._keeper.contributors))
            return
        await self._keeper.checkpoint()
        raise NetworkError(
            f"{self._request.name} could not be downloaded: {self._book.summary()}\n{self._book.report()}"
        )

    async def _attempt(self, mirror: Mirror) -> None:
        self._host = _host(mirror.url)
        self._shares.asked(mirror.url, self._host)
        self._tell(DownloadStage.CONNECT)
        asked = self._ask(mirror)
        async with self._means.source.open(mirror.url, asked, lambda: self._replaceable(mirror)) as body:
            answer = body.answer
            await self._check_version(mirror, asked, answer)
            self._host = body.host
            self._keeper.set_validators(mirror.url, answer.validators)
            if answer.total is not None and self._keeper.total is None:
                self._keeper.total = answer.total
                self._told_by_close = None
            await self._keeper.begin()
            if answer.kind is AnswerKind.COMPLETE:
                return
            self._answers += 1
            await self._receive(mirror, body)

    def _ask(self, mirror: Mirror) -> Asked:
        keeper = self._keeper
        if keeper.total is None:
            start, end = keeper.written.prefix, None
        else:
            gap = keeper.written.missing(keeper.total).spans[0]
            start, end = gap.start, gap.end
        known = keeper.validators(mirror.url) if start > 0 and not mirror.etag_unreliable else None
        return Asked(
            start=start,
            end=end,
            ranged=not mirror.without_range,
            size=keeper.total or 0,
            hash_known=bool(self._request.sha256),
            if_range=known,
        )

    def _replaceable(self, mirror: Mirror) -> bool:
        return bool(self._request.sha256) and self._book.replaceable(mirror)

    async def _check_version(self, mirror: Mirror, asked: Asked, answer: Answer) -> None:
        """Decide whether the answer belongs to the bytes that are there; withdraw those that it contradicts."""
        if not self._keeper.written:
            return
        if not self._request.sha256:
            await self._check_single_origin(mirror, answer)
            return
        known = self._keeper.validators(mirror.url)
        if known is not None and known.identity == answer.validators.identity and not mirror.etag_unreliable:
            change = compare(known, answer.validators)
            if change is Change.ETAG_ONLY or (change is Change.DIFFERENT and mirror.restarts > 0):
                mirror.etag_unreliable = True
            elif change is Change.DIFFERENT:
                await self._version_differs(mirror, answer)
        if answer.kind is AnswerKind.WHOLE and asked.start > self._limits.skip_limit and self._book.others(mirror):
            mirror.without_range = True
            raise SourceError(FailureKind.NO_RANGE, "sends the whole file instead of the rest (no ranges)")

    async def _check_single_origin(self, mirror: Mirror, answer: Answer) -> None:
        # without a checksum only one version from one server may be in the file, and only a strong ETag proves it
        known = self._keeper.validators(mirror.url)
        new = answer.validators
        if (
            known is not None
            and known.strong_etag
            and known.strong_etag == new.strong_etag
            and known.identity == new.identity
        ):
            return
        await self._keeper.clear()
        self._answers = 0
        if answer.start > 0 or answer.kind is AnswerKind.COMPLETE:
            raise SourceError(
                FailureKind.CHANGED, "cannot prove that its file is still the same: beginning from the start"
            )

    async def _version_differs(self, mirror: Mirror, answer: Answer) -> None:
        if self._book.others(mirror):
            await self._keeper.drop_source(mirror.url)
            self._book.drop(mirror, "its file changed during the download")
            raise SourceError(FailureKind.CHANGED, "its file changed during the download")
        # the only source there is: read its file from the start, keep what is equal, replace what is not
        mirror.restarts += 1
        if answer.kind is not AnswerKind.WHOLE:
            mirror.without_range = True
            raise SourceError(FailureKind.CHANGED, "its file changed during the download: comparing from the start")

    async def _receive(self, mirror: Mirror, body: Body) -> None:
        keeper = self._keeper
        writer = BatchWriter(keeper, self._limits, mirror.url, lambda: self._tell(DownloadStage.TRANSFER))
        whole = body.answer.kind is AnswerKind.WHOLE
        # the last byte that is worth reading; without a checksum the end of the body is proof that there is no more
        needed_end = None
        if keeper.total is not None and self._request.sha256:
            needed_end = keeper.written.missing(keeper.total).end
        try:
            while needed_end is None or body.position < needed_end:
                position = body.position
                chunk = await body.read(self._portion())
                if not chunk:
                    break
                self._shares.received(mirror.url, body.host, len(chunk))
                await self._control.bucket.pay(len(chunk))
                await self._means.bucket.pay(len(chunk))
                if keeper.total is not None and position + len(chunk) > keeper.total:
                    raise SourceError(FailureKind.WRONG_SIZE, f"sent more than the {keeper.total} bytes of the file")
                if whole and position < keeper.written.end:
                    await self._place(mirror, body, writer, chunk, position)
                else:
                    await writer.add(chunk, position)
        finally:
            await writer.flush()
        self._settle_end(mirror, body)

    def _settle_end(self, mirror: Mirror, body: Body) -> None:
        keeper = self._keeper
        if keeper.total is None:
            # the body ended without having told its length
            keeper.total = body.position
            self._told_by_close = mirror if body.answer.delimiter is Delimiter.CLOSE else None
        elif body.answer.end is None and body.position < keeper.total and not keeper.complete:
            raise SourceError(FailureKind.TRANSIENT, f"ended after {body.position} of {keeper.total} bytes")

    def _portion(self) -> int:
        rates = [bucket.rate for bucket in (self._control.bucket, self._means.bucket) if bucket.rate > 0]
        return max(4096, min(min(rates) // 10, self._limits.read_buffer)) if rates else -1

    async def _place(self, mirror: Mirror, body: Body, writer: BatchWriter, chunk: bytes, position: int) -> None:
        """Write what is missing of a chunk that overlaps bytes which are there, and compare the others."""
        here = Span(position, position + len(chunk))
        known = self._keeper.written.within(here)
        for span in known:
            data = chunk[span.start - position : span.end - position]
            at = await in_thread(self._means.disk, first_difference, self._keeper.part.fd, data, span.start)
            if at is None:
                continue
            if self._book.others(mirror) or body.answer.total is None:
                raise SourceError(FailureKind.BAD_ANSWER, "its file differs from the bytes that are there already")
            # nobody but this mirror can complete the file, so that its bytes are the ones that count
            await writer.flush()
            await self._keeper.drop_from(span.start + at)
            known = self._keeper.written.within(here)
            break
        for gap in known.missing(here.end).within(here):
            await writer.add(chunk[gap.start - position : gap.end - position], gap.start)

    async def _mismatch(self, found: str) -> None:
        keeper = self._keeper
        contributors = keeper.contributors
        if self._told_by_close is not None:
            # the size was a guess from a closed connection: the bytes may be right and too few
            mirror, self._told_by_close = self._told_by_close, None
            keeper.total = None
            self._book.failed(
                mirror,
                SourceError(FailureKind.TRANSIENT, "closed the connection, and the file is not complete"),
                brought_bytes=False,
            )
            return
        self._blamed.extend(url for url in contributors if url not in self._blamed)
        named = ", ".join(self._blamed) or "an earlier run"
        for mirror in self._book.mirrors:
            if mirror.url in contributors:
                mirror.did(f"took part in a file with wrong bytes ({found})")
        if not self._restarted_for_hash:
            self._restarted_for_hash = True
            # most bytes came from the first: if no other mirror is left, the one with fewer gets the benefit
            avoid = self._avoidable(contributors)
            if avoid is not None:
                self._tell(DownloadStage.CONNECT, f"wrong bytes from {named} ({found}): once more from the start")
                await self._restart(avoid)
                return
        await keeper.clear()
        raise VerificationError(
            f"{self._request.name} is not the expected file: {found}, expected {self._request.sha256.lower()}; "
            f"it came from {named}. The bytes were removed. Try again later, or with another mirror"
        )

    def _avoidable(self, contributors: tuple[str, ...]) -> frozenset[str] | None:
        """Which mirrors to leave out of the second try; None when there is no second try worth making."""
        urls = [mirror.url for mirror in self._book.mirrors if not mirror.dead]
        for avoid in (frozenset(contributors), frozenset(contributors[:1])):
            if any(url not in avoid for url in urls):
                return avoid
        # the only mirror: a file put together from several answers may mix two versions of it
        return frozenset() if self._answers > 1 else None

    async def _restart(self, avoid: frozenset[str]) -> None:
        await self._keeper.clear()
        self._answers = 0
        self._told_by_close = None
        self._book.begin_again(avoid)

    async def _unless_paused(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` to its end or until the pause switch; cancelled work has put its bytes on the disk."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(work)
        pause = loop.create_task(self._control.wait_paused())
        try:
            await asyncio.wait((task, pause), return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
            task.cancel()
            await settled(pause)
            await settled(task)
        if not task.cancelled():
            task.result()

    def _tell(self, stage: DownloadStage, note: str = "") -> None:
        keeper = self._keeper
        self._report(
            DownloadProgress(
                stage=stage,
                bytes_done=keeper.written.total,
                bytes_total=keeper.total or 0,
                resumed_bytes=self.resumed,
                source=self._host if stage is not DownloadStage.WAIT else "",
                note=note,
                sources=self._shares.picture(),
            )
        )


def _host(url: str) -> str:
    try:
        return URL(url).host or url
    except ValueError:
        return url
