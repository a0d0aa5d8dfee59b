"""Hashes of single pieces, where the catalogue has them: a wrong one is found as soon as it is there, and refetched."""

from __future__ import annotations

import asyncio
import hashlib

from luxusbd.transfer.diskio import hash_span, in_thread
from luxusbd.transfer.model import DownloadStage
from luxusbd.transfer.segments import Span, SpanSet
from luxusbd.transfer.window import NO_LIMIT
from luxusbd.transfer.work import Work, host_of

TRIES = 3
"""Wrong versions of one piece after which it is the hash of the piece that is not believed."""


class PieceCheck:
    """Checks the pieces of one download. Without hashes, or with ones that do not fit the file, it does nothing."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._keeper = work.keeper
        self._pieces = work.request.pieces
        self._wrong: dict[int, list[tuple[str, str]]] = {}
        """For each piece that was wrong, the (mirror or empty, hash) of each time."""
        self._looking = asyncio.Lock()
        self._right = SpanSet()
        """The pieces that were right when they were checked last."""
        self.refetched = 0
        """Bytes that were thrown away."""

    async def run(self) -> None:
        """Check what comes in; runs until cancelled.

        Raises:
            FailedError: the disk failed.
        """
        while self._usable():
            await self._keeper.news.wait()
            self._keeper.news.clear()
            await self.look()

    @property
    def checked(self) -> int:
        """Bytes from the start on of which nothing more is to be found out: all that are there, without hashes."""
        keeper = self._keeper
        if not self._usable():
            return keeper.written.prefix
        # of what came meanwhile nobody knows whether it is what the piece had before
        return min(keeper.written.prefix, self._right.subtract(keeper.fresh).prefix)

    @property
    def passable(self) -> int:
        """How far a window may move: to the first piece that is there and still to be checked.

        One that is not all there may be larger than the window, and is not waited for.
        """
        checked = self.checked
        if self._pieces is None or not self._usable() or checked >= (self._keeper.total or NO_LIMIT):
            return NO_LIMIT
        return checked if self._keeper.written.covers(self._span(checked // self._pieces.length)) else NO_LIMIT

    async def look(self) -> None:
        """Check every piece that became complete. Wrong ones are withdrawn, so that they are missing again.

        Raises:
            FailedError: the disk failed.
        """
        async with self._looking:
            fresh, self._keeper.fresh = self._keeper.fresh, SpanSet()
            if not self._usable() or self._pieces is None:
                return
            length = self._pieces.length
            touched = {index for span in fresh for index in range(span.start // length, -(-span.end // length))}
            self._right = self._right.subtract(SpanSet.of(map(self._span, touched)))
            for index in sorted(touched):
                if self._usable() and self._keeper.written.covers(self._span(index)):
                    await self._check(index)
            self._keeper.window.news.set()

    def _usable(self) -> bool:
        pieces, total = self._pieces, self._keeper.total
        if pieces is None or pieces.length <= 0 or pieces.algorithm not in hashlib.algorithms_available:
            return False
        return total is None or len(pieces.values) == -(-total // pieces.length)

    def _span(self, index: int) -> Span:
        assert self._pieces is not None
        start = index * self._pieces.length
        return Span(start, min(start + self._pieces.length, self._keeper.total or start + self._pieces.length))

    async def _check(self, index: int) -> None:
        assert self._pieces is not None
        span = self._span(index)
        running = hashlib.new(self._pieces.algorithm, usedforsecurity=False)
        fd = self._keeper.part.fd
        await in_thread(self._work.means.hasher, hash_span, fd, running, span.start, span.end)
        digest = running.hexdigest()
        if digest == self._pieces.values[index].lower():
            self._right = self._right.add(span)
            self._convict(index)
        else:
            await self._refuse(index, span, digest)

    async def _refuse(self, index: int, span: Span, digest: str) -> None:
        work = self._work
        givers = [url for url, spans in self._keeper.origins.spans().items() if spans.within(span)]
        giver = givers[0] if len(givers) == 1 else ""
        before = self._wrong.setdefault(index, [])
        agreed = any(other != giver and known == digest for other, known in before if giver and other)
        before.append((giver, digest))
        if agreed or len(before) >= TRIES:
            self._pieces = None
            for released in work.book.release():
                work.shares.cleared(released.url)
            work.tell(DownloadStage.CONNECT, "the hashes of the pieces do not fit what the mirrors have: not used")
            return
        mirror = work.book.find(giver)
        if mirror is not None and work.book.others(mirror):
            mirror.suspected = True
            mirror.did("sent a piece with wrong bytes")
        await self._keeper.drop(SpanSet((span,)))
        self.refetched += len(span)
        named = ", ".join(map(host_of, givers)) or "an earlier run"
        note = f"wrong bytes from {named}: the {len(span)} bytes from {span.start} on are fetched again"
        work.tell(DownloadStage.CONNECT, note)

    def _convict(self, index: int) -> None:
        """The piece is right now: who sent it wrong before is proven to have done so."""
        for giver, _digest in self._wrong.get(index, ()):
            liar = self._work.book.find(giver)
            if liar is not None and liar.suspected:
                why = "sent a piece with wrong bytes, another mirror sent the right ones"
                self._work.book.ban(liar, why)
                self._work.shares.banned(liar.url, host_of(liar.url), why)
