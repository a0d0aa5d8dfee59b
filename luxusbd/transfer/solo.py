"""One mirror at a time: for small files, unknown sizes, files without a known hash, and servers without ranges."""

from __future__ import annotations

from luxusbd.transfer.answers import Answer, AnswerKind, Asked, Delimiter, FailureKind, SourceError
from luxusbd.transfer.keeper import LostBytesError
from luxusbd.transfer.mirrors import Mirror
from luxusbd.transfer.model import DownloadStage
from luxusbd.transfer.pace import RateMeter
from luxusbd.transfer.segments import Span
from luxusbd.transfer.source import Body
from luxusbd.transfer.versions import check_version
from luxusbd.transfer.work import Work, host_of
from luxusbd.transfer.writer import BatchWriter


class Solo:
    """Asks the mirror that it is given for the first bytes that are missing, and takes what comes."""

    def __init__(self, work: Work) -> None:
        self.told_by_close: Mirror | None = None
        """The mirror whose closed connection is all that tells the size; it may have been a break."""
        self._work = work
        self._keeper = work.keeper
        self._request = work.request
        self._limits = work.limits
        self._book = work.book

    async def attempt(self, mirror: Mirror) -> None:
        """One request; the bytes are in the file afterwards, also when it fails or is cancelled.

        Raises:
            SourceError: the mirror failed.
            NotEnoughSpaceError: the disk is full.
            FailedError: the disk failed.
        """
        work = self._work
        work.host = host_of(mirror.url)
        work.shares.asked(mirror.url, work.host)
        work.tell(DownloadStage.CONNECT)
        asked = self._ask(mirror)
        meter = work.meter()
        async with work.means.source.open(
            mirror.url, asked, lambda: self._replaceable(mirror), work.ticket(meter)
        ) as body:
            answer = body.answer
            work.shares.answered(mirror.url, body.host, body.latency)
            await self._check_version(mirror, asked, answer)
            work.host = body.host
            self._keeper.origins.set_validators(mirror.url, answer.validators)
            if answer.total is not None and self._keeper.total is None:
                self._keeper.total = answer.total
                self.told_by_close = None
            await self._keeper.begin()
            if answer.kind is AnswerKind.COMPLETE:
                return
            work.answers += 1
            meter.begin()
            try:
                await self._receive(mirror, body, meter)
            finally:
                work.measure(mirror, meter, now=True)
        work.shares.succeeded(mirror.url)

    def _ask(self, mirror: Mirror) -> Asked:
        keeper = self._keeper
        if keeper.total is None:
            start, end = keeper.written.prefix, None
            if self._request.hashed and not mirror.without_range:
                limit = keeper.window.limit if keeper.window.size else None
                # enough to learn the size: if the file is large, the mirrors share the rest
                end = start + self._limits.race_span if len(self._book.mirrors) > 1 else limit
                end = min(end, limit) if end is not None and limit is not None else end
        else:
            # without a hash every further request may mean to begin anew: such an answer is not cut by the window
            missing = keeper.fetchable if self._request.hashed else keeper.written.missing(keeper.total)
            start, end = missing.spans[0].start, missing.spans[0].end
        known = keeper.origins.validators(mirror.url) if start > 0 and not mirror.etag_unreliable else None
        return Asked(
            start=start,
            end=end,
            ranged=not mirror.without_range,
            size=keeper.total or 0,
            hash_known=self._request.hashed,
            older=self._request.older,
            if_range=known,
        )

    def _replaceable(self, mirror: Mirror) -> bool:
        return self._request.hashed and self._book.replaceable(mirror)

    async def _check_version(self, mirror: Mirror, asked: Asked, answer: Answer) -> None:
        """Decide whether the answer belongs to the bytes that are there; withdraw those that it contradicts."""
        if not self._keeper.written:
            return
        if not self._request.hashed:
            await self._check_single_origin(mirror, answer)
            return
        await check_version(self._work, mirror, answer)
        if answer.kind is AnswerKind.WHOLE and asked.start > self._limits.skip_limit and self._book.others(mirror):
            mirror.without_range = True
            raise SourceError(FailureKind.NO_RANGE, "sends the whole file instead of the rest (no ranges)")

    async def _check_single_origin(self, mirror: Mirror, answer: Answer) -> None:
        # without a checksum only one version from one server may be in the file, and only a strong ETag proves it
        known = self._keeper.origins.validators(mirror.url)
        new = answer.validators
        if (
            known is not None
            and known.strong_etag
            and known.strong_etag == new.strong_etag
            and known.identity == new.identity
        ):
            return
        if self._keeper.window.holed:
            raise LostBytesError("no mirror can prove that its file is still the same")
        await self._keeper.clear()
        self._work.answers = 0
        if answer.start > 0 or answer.kind is AnswerKind.COMPLETE:
            raise SourceError(
                FailureKind.CHANGED, "cannot prove that its file is still the same: beginning from the start"
            )

    async def _receive(self, mirror: Mirror, body: Body, meter: RateMeter) -> None:
        keeper = self._keeper
        work = self._work
        writer = BatchWriter(keeper, self._limits, mirror.url, lambda: work.tell(DownloadStage.TRANSFER))
        whole = body.answer.kind is AnswerKind.WHOLE
        # the last byte that is worth reading; without a checksum the end of the body is proof that there is no more
        needed_end = None
        if keeper.total is not None and self._request.hashed:
            needed_end = keeper.written.missing(keeper.total).end
        try:
            while needed_end is None or body.position < needed_end:
                position = body.position
                try:
                    chunk = await work.take(mirror, body, meter)
                except SourceError as error:
                    if not writer.held_up:
                        raise
                    # who is kept waiting long enough hangs up
                    why = "was kept waiting for the stick, and the connection broke"
                    raise SourceError(FailureKind.TRANSIENT, why, weight=0) from error
                if not chunk:
                    break
                if keeper.total is not None and position + len(chunk) > keeper.total:
                    raise SourceError(FailureKind.WRONG_SIZE, f"sent more than the {keeper.total} bytes of the file")
                with meter.hold():
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
            self.told_by_close = mirror if body.answer.delimiter is Delimiter.CLOSE else None
        elif body.answer.end is None and body.position < keeper.total and not keeper.complete:
            raise SourceError(FailureKind.TRANSIENT, f"ended after {body.position} of {keeper.total} bytes")

    async def _place(self, mirror: Mirror, body: Body, writer: BatchWriter, chunk: bytes, position: int) -> None:
        """Write what is missing of a chunk that overlaps bytes which are there, and compare the others."""
        here = Span(position, position + len(chunk))
        known = self._keeper.written.within(here)
        for span in known:
            data = chunk[span.start - position : span.end - position]
            at = await self._keeper.difference(data, span.start)
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
