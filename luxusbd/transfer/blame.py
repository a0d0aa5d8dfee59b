"""A file came out wrong: finds whose bytes are to blame, so that only they are fetched again.

First the disk is asked whether it still holds what was written. Then the bytes of each mirror are compared with what
another one sends for the same places, a few samples first. Where two differ, a third one decides; where there is none,
the hash of the file does, once the bytes of the first have been replaced.
"""

from __future__ import annotations

from collections.abc import Sequence

from luxusbd.errors import FailedError
from luxusbd.text import size_text
from luxusbd.transfer.answers import AnswerKind, Asked, FailureKind, SourceError
from luxusbd.transfer.diskio import first_difference, in_thread
from luxusbd.transfer.mirrors import Mirror
from luxusbd.transfer.model import DownloadStage
from luxusbd.transfer.segments import MIB, Span, SpanSet
from luxusbd.transfer.work import Work, host_of

DISK_ROUNDS = 2


class Blame:
    """One for a download; asked each time its whole file is wrong."""

    def __init__(self, work: Work) -> None:
        self.agreeing: tuple[str, ...] = ()
        """Mirrors that send the very bytes that are wrong."""
        self._work = work
        self._keeper = work.keeper
        self._book = work.book
        self._replaced: set[str] = set()
        """Mirrors whose bytes were thrown away once."""
        self._disk_rounds = 0
        self._spent = 0

    async def judge(self) -> str:
        """Withdraw the bytes that are to be fetched again; what was found, or empty when there is nothing to be done.

        Raises:
            FailedError: the disk does not keep what is written.
        """
        spoiled = await self._keeper.spoiled()
        if spoiled:
            return await self._disk(spoiled)
        # without the bytes of those who were suspected the file is still wrong: nothing is proven against them
        for mirror in self._book.release():
            self._work.shares.cleared(mirror.url)
        self.agreeing = ()
        sources = self._keeper.origins.spans()
        contributors = sorted((url for url in sources if url not in self._replaced), key=lambda url: sources[url].total)
        for places in (self._samples, lambda spans: spans):
            for url in contributors:
                verdict = await self._compare(url, places(sources[url]))
                if verdict:
                    return verdict
        return ""

    def proven(self) -> None:
        """The file is right now: those whose bytes had to go for it are banned."""
        for mirror in self._book.release():
            self._ban(mirror, "without its bytes the file is right")

    async def _disk(self, spoiled: SpanSet) -> str:
        self._disk_rounds += 1
        if self._disk_rounds > DISK_ROUNDS:
            raise FailedError(
                f"the disk does not keep what is written to {self._keeper.part.path}: {spoiled.total} bytes came back "
                "changed, again and again"
            )
        await self._keeper.drop(spoiled)
        return f"the disk gave back {size_text(spoiled.total)} otherwise than written: they are fetched again"

    def _samples(self, spans: SpanSet) -> SpanSet:
        """A few small places within `spans`, evenly spread."""
        limits = self._work.limits
        found = []
        for number in range(limits.samples):
            passed = spans.total * (2 * number + 1) // (2 * limits.samples)
            for span in spans:
                if passed < len(span):
                    start = max(span.start, min(span.start + passed, span.end - limits.sample))
                    found.append(Span(start, min(span.end, start + limits.sample)))
                    break
                passed -= len(span)
        return SpanSet.of(found)

    async def _compare(self, url: str, places: SpanSet) -> str:
        for witness in self._witnesses(url):
            if self._spent + places.total > self._work.limits.blame_budget * (self._keeper.total or 0):
                return ""
            try:
                differing = await self._differing(witness, places)
            except SourceError as error:
                if error.kind is FailureKind.WRONG_SIZE and not self._work.request.size:
                    return ""  # the size, too, is only one mirror's word: that is for a new start to find out
                self._work.failed(witness, error, brought_bytes=False)
                continue
            if differing is None:
                self.agreeing = (*self.agreeing, witness.url)
                return ""
            return await self._decide(url, witness, differing)
        return ""

    def _witnesses(self, url: str) -> list[Mirror]:
        """Who may be asked about the bytes of `url`: those who brought nothing themselves first."""
        sources = self._keeper.origins.spans()
        able = [mirror for mirror in self._book.ready() if mirror.url != url]
        return sorted(able, key=lambda mirror: mirror.url in sources)

    async def _decide(self, url: str, witness: Mirror, differing: Span) -> str:
        accused = self._book.find(url)
        for third in self._witnesses(url):
            if third is witness:
                continue
            try:
                with_disk = await self._differing(third, SpanSet((differing,))) is None
            except SourceError as error:
                self._work.failed(third, error, brought_bytes=False)
                continue
            if with_disk:
                self._ban(witness, "two other mirrors agree on other bytes")
                return (
                    await self._replace(witness.url)
                    if witness.url in self._keeper.origins.spans()
                    else await self.judge()
                )
            if accused is not None:
                accused.suspected = True
            return await self._replace(url)
        if accused is not None:
            accused.suspected = True
        return await self._replace(url)

    async def _replace(self, url: str) -> str:
        self._replaced.add(url)
        size = await self._keeper.drop_source(url)
        self._spent += size
        return f"wrong bytes from {host_of(url)}: {size_text(size)} that came from it are fetched again"

    def _ban(self, mirror: Mirror, why: str) -> None:
        self._book.ban(mirror, f"sent wrong bytes: {why}")
        self._work.shares.banned(mirror.url, host_of(mirror.url), f"sent wrong bytes: {why}")

    async def _differing(self, witness: Mirror, places: SpanSet) -> Span | None:
        """The first stretch in which `witness` sends other bytes than the file has, None without one.

        Raises:
            SourceError: it failed.
        """
        for place in places:
            found = await self._differing_in(witness, place)
            if found is not None:
                return found
        return None

    async def _differing_in(self, witness: Mirror, place: Span) -> Span | None:
        work = self._work
        assert self._keeper.total is not None
        asked = Asked(place.start, place.end, ranged=True, size=self._keeper.total, hash_known=True)
        meter = work.meter()
        work.shares.asked(witness.url, host_of(witness.url))
        work.tell(DownloadStage.VERIFY)
        async with work.means.source.open(witness.url, asked, lambda: True, work.ticket(meter)) as body:
            if body.answer.kind is not AnswerKind.PART and place.start > 0:
                witness.without_range = True
                raise SourceError(FailureKind.NO_RANGE, "sends the whole file instead of a part (no ranges)")
            meter.begin()
            while body.position < place.end:
                start = body.position
                chunk = (await work.take(witness, body, meter))[: place.end - start]
                if not chunk:
                    raise SourceError(FailureKind.TRANSIENT, f"ended at byte {start} of a range up to {place.end}")
                self._spent += len(chunk)
                at = await in_thread(work.means.disk, first_difference, self._keeper.part.fd, chunk, start)
                if at is not None:
                    begin = start + at
                    return Span(begin, min(place.end, begin + min(work.limits.sample, MIB)))
        work.shares.succeeded(witness.url)
        work.shares.idle(witness.url)
        return None


def names(urls: Sequence[str]) -> str:
    """For a message."""
    return ", ".join(urls) or "an earlier run"
