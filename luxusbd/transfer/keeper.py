"""The asynchronous owner of a partial file: what is written, what is safe on the disk, and the claims about it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from luxusbd.errors import VerificationError
from luxusbd.transfer.diskio import (
    Placed,
    allocated,
    crc_of,
    disk_error,
    forget_cached,
    in_thread,
    place_all,
    settled,
)
from luxusbd.transfer.giveback import GiveBack
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.model import Digest, DownloadRequest
from luxusbd.transfer.origins import Origins
from luxusbd.transfer.partfile import PartFile
from luxusbd.transfer.partstate import PartState
from luxusbd.transfer.segments import Span, SpanSet
from luxusbd.transfer.verdict import check_digests, foreign
from luxusbd.transfer.verifier import FurtherHashes, HashFollower
from luxusbd.transfer.window import NO_LIMIT, Window


class LostBytesError(VerificationError):
    """What is there can only be made right with bytes that were given back: all of it has to come again."""


@dataclass(frozen=True)
class Write:
    """Bytes on their way into the file."""

    url: str
    spans: SpanSet
    future: asyncio.Future[tuple[int, ...]]


class PartKeeper:
    """Keeps three sets apart: bytes written, bytes synced, bytes claimed; each one lies within the one before."""

    def __init__(
        self,
        part: PartFile,
        request: DownloadRequest,
        limits: TransferLimits,
        disk: Executor,
        hasher: Executor,
        window: Window | None = None,
    ) -> None:
        self.part = part
        self.window = window or Window()
        """How much of the file may lie on the disk; it is opened here, as wide as the request says."""
        self.window.open(request.window)
        self.window.patience = limits.window_patience
        self.window.file = lambda: (self.written.prefix, self.total or 0)
        self.checked: Callable[[], int] = lambda: self.written.prefix
        """Bytes from the start on of which nobody else still wants to find out anything before they are given back."""
        self.passable: Callable[[], int] = lambda: NO_LIMIT
        """How far the window may move, whatever the readers have."""
        self.total: int | None = request.size or None
        """Bytes of the whole file, None while nobody told."""
        self.written = SpanSet()
        self.origins = Origins()
        self.url = ""
        self.digests: tuple[Digest, ...] = ()
        """The further hashes that were asked for, once the file is finished."""
        self.loaded = False
        """Whether the claims of an earlier run were taken over, be it about no byte at all."""
        self._request = request
        self._limits = limits
        self._disk = disk
        self._claimed = SpanSet()
        self._lowest = 0
        self._saved_total: int | None = None
        self._follower = HashFollower(part.fd, hasher)
        further = [*(digest.algorithm for digest in request.digests), *request.also]
        self._further = FurtherHashes(part.fd, [name for name in further if name != "sha256"], hasher)
        self._behind = GiveBack(part, self.window, self._follower, self._further, disk)
        self._saving = asyncio.Lock()
        self._dirty = asyncio.Event()
        self._due = asyncio.Event()
        self._saved = asyncio.Event()
        self._unsynced = 0
        self._in_flight = SpanSet()
        self.waiting = 0
        """Bytes that were received and are not written yet; whoever takes some counts them here."""
        self._summed = request.hashed and len(set(request.urls)) > 1
        """Whether it can come to the question whose fault wrong bytes are."""
        self.news = asyncio.Event()
        """Set when bytes were written; whoever waits for it clears it."""
        self.fresh = SpanSet()
        """What was written since somebody took it from here."""

    @property
    def complete(self) -> bool:
        """Whether every byte was written."""
        return self.total is not None and not self.written.missing(self.total)

    @property
    def fetchable(self) -> SpanSet:
        """What is missing and may be written now."""
        limit = self.window.limit
        return self.written.missing(limit if self.total is None else min(self.total, limit))

    async def load(self) -> str:
        """Take over what an earlier run left, as far as its bytes can be proven; a note on what was lost, or empty.

        Raises:
            FailedError: the part cannot be read.
        """
        state, note = await in_thread(self._disk, self.part.load)
        if state is not None and (reason := foreign(self._request, state)):
            state, note = None, reason
        if state is not None:
            stop = threading.Event()
            try:
                running = await in_thread(self._disk, self.part.prove, state, stop.is_set, stop=stop)
            except OSError as error:
                raise disk_error(error, self.part.path) from error
            if running is None:
                state, note = None, "the partial file is not what was saved about it"
            else:
                self._follower.start_from(running, state.prefix_length)
        if state is None:
            return note
        self.loaded = True
        self.total = state.total_size or self.total
        self.written = self._claimed = self.fresh = state.done
        self._lowest = state.done.prefix
        if self.window.size:
            # before these bytes are given back somebody has to look at them
            self.news.set()
        self.url = state.url
        self.origins.take_over(state.sources)
        return note

    def take_prefix(self) -> tuple[int, int]:
        """Bytes without a hole from the start on that are written, and the fewest there were since the last call.

        Whoever copies them meanwhile begins anew behind the second figure, be it another run of this one that claims
        less than was told.
        """
        now = self.written.prefix
        lowest, self._lowest = min(self._lowest, now), now
        return now, lowest

    async def whole_hash(self) -> str:
        """The hash of the bytes [0, total) as they lie in the part, whoever wrote them."""
        assert self.total is not None
        self._follower.reset()
        digest = await self._follower.advance(self.total)
        self.written = SpanSet((Span(0, self.total),))
        return digest

    async def begin(self) -> None:
        """Set the space aside for a file whose size is known now, and save that; with a window only see to it that
        there is space for that.

        Raises:
            NotEnoughSpaceError: it does not fit.
            FailedError: the disk failed.
        """
        if not self.total or self._saved_total == self.total:
            return
        self._saved_total = self.total
        async with self._saving:
            reserve = self._limits.space_reserve
            if self.window.size:
                size = min(self.total, self.window.size)
                await in_thread(self._disk, self.part.make_window, size, reserve, self.written)
            else:
                await in_thread(self._disk, self.part.make_room, self.total, reserve)
            await self._sync_and_save(keep_old=True)

    def submit(self, url: str, chunks: Sequence[bytes], span: Span) -> Write:
        """Begin to write bytes from `url`; the caller awaits `Write.future` and then calls `wrote`.

        What is there already, or is being written, is left out: whatever two mirrors send for the same place, every
        byte is written once, so that it is known whose it is, and no byte changes that was hashed before.
        """
        spans = SpanSet((span,)).subtract(self.written).subtract(self._in_flight)
        if spans.spans == (span,):
            parts = [Placed(span, chunks)]
        else:
            whole = memoryview(b"".join(chunks))
            parts = [Placed(one, [whole[one.start - span.start : one.end - span.start]]) for one in spans]
        self._in_flight = self._in_flight.union(spans)
        write = partial(place_all, self.part.fd, parts, summed=self._summed)
        return Write(url, spans, asyncio.get_running_loop().run_in_executor(self._disk, write))

    def wrote(self, write: Write) -> None:
        """The bytes of `write` are in the file."""
        self._in_flight = self._in_flight.subtract(write.spans)
        for span in write.spans:
            self.written = self.written.add(span)
            self.fresh = self.fresh.add(span)
        self.origins.wrote(write.url, write.spans, write.future.result())
        self.url = write.url
        self._unsynced += write.spans.total
        self._dirty.set()
        self.news.set()
        if self._unsynced >= self._limits.sync_after:
            self._due.set()

    def failed(self, write: Write) -> None:
        """The bytes of `write` did not get into the file."""
        self._in_flight = self._in_flight.subtract(write.spans)

    async def spoiled(self) -> SpanSet:
        """The bytes that read from the disk otherwise than they were written in this run.

        Raises:
            FailedError: the disk cannot be read.
        """
        await self.checkpoint()
        stop = threading.Event()
        sums = self.origins.sums(self.written)

        def look() -> SpanSet:
            forget_cached(self.part.fd)
            return SpanSet.of(span for span, crc in sums if not stop.is_set() and crc_of(self.part.fd, span) != crc)

        try:
            return await in_thread(self._disk, look, stop=stop)
        except OSError as error:
            raise disk_error(error, self.part.path) from error

    async def wait_for_disk(self) -> None:
        """Return once not too many bytes would be lost by a power cut."""
        while (
            not self.window.holed
            and self.written.total + self.waiting - self._claimed.total >= self._limits.unsafe_limit
        ):
            self._due.set()
            await self._saved.wait()

    async def run(self) -> None:
        """Save a checkpoint when enough bytes or seconds have passed, and hash meanwhile; runs until cancelled.

        With a window, what the readers have is given back as well.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._further.follow(lambda: self._behind.hashable(self.checked())))
            if self.window.size:
                group.create_task(self._give_back_behind())
            await self._checkpoints()

    async def _checkpoints(self) -> None:
        while True:
            await self._dirty.wait()
            try:
                async with asyncio.timeout(self._limits.checkpoint_age):
                    await self._due.wait()
            except TimeoutError:
                pass  # time alone is reason enough
            await self.checkpoint()

    async def _give_back_behind(self) -> None:
        while True:
            await self.window.news.wait()
            self.window.news.clear()
            released = self.window.released
            await self.give_back()
            self.window.settle(min(released, self.passable()))

    async def give_back(self) -> None:
        """Give back what lies before the furthest mark of the readers up to which everything is hashed and checked.

        From the first time on nothing is claimed any more. A complete file is left as it is: if it turns out wrong, its
        bytes tell why.

        Raises:
            FailedError: the disk failed.
        """
        async with self._saving:
            mark = self._behind.due(self.checked())
            if mark and not self.complete:
                await self._behind.upto(mark)
                self._settle()
                self._wake()

    async def difference(self, data: bytes, start: int) -> int | None:
        """As `GiveBack.difference`."""
        async with self._saving:
            return await self._behind.difference(data, start)

    async def checkpoint(self) -> None:
        """Make everything written so far safe and claim it.

        Raises:
            NotEnoughSpaceError: the disk is full.
            FailedError: the disk failed.
        """
        async with self._saving:
            if self.written != self._claimed:
                await self._sync_and_save(keep_old=True)
            else:
                # what was to be saved has been withdrawn meanwhile
                self._settle()
                self._wake()

    async def drop_from(self, offset: int) -> None:
        """Withdraw all claims to bytes at and beyond `offset`, before they are written anew; raises as `drop`."""
        end = self.written.end
        if offset < end:
            await self.drop(SpanSet((Span(offset, end),)))

    async def drop_source(self, url: str) -> int:
        """Withdraw the claims to all bytes that came from `url`; how many there were. Raises as `drop`."""
        spans = self.origins.spans().get(url)
        if spans is None:
            return 0
        await self.drop(spans)
        self.origins.forget(url)
        return spans.total

    async def drop(self, spans: SpanSet) -> None:
        """Withdraw the claims to the bytes of `spans`, before they are written anew.

        Also when cancelled meanwhile: else what is saved would go on claiming bytes that somebody overwrites.

        Raises:
            LostBytesError: some of them were given back, or hashed together with such; nothing was withdrawn.
        """
        withdrawing = asyncio.ensure_future(self._withdraw(spans))
        try:
            await asyncio.shield(withdrawing)
        except asyncio.CancelledError:
            await settled(withdrawing)
            raise

    async def _withdraw(self, spans: SpanSet) -> None:
        async with self._saving:
            left = self.written.subtract(spans)
            if self.window.holed and left.prefix < self._behind.needed_from:
                raise LostBytesError(f"{spans.total} bytes turned out wrong, of which some are gone from the disk")
            self.written = left
            self.window.withdraw(left.prefix)
            self._lowest = min(self._lowest, self.written.prefix)
            self.origins.withdraw(spans, left)
            if self._follower.position > self.written.prefix:
                self._follower.reset()
            self._further.withdraw(self.written.prefix)
            await self._sync_and_save(keep_old=False)

    async def clear(self) -> None:
        """Forget everything and begin with an empty part; the size too, if only a mirror told it."""
        async with self._saving:
            self.written = self._claimed = SpanSet()
            self._lowest = 0
            self.origins.clear()
            self.url = ""
            self._settle()
            self._wake()
            self._follower.reset()
            self._further.withdraw(0)
            self.window.open(self._request.window)
            self.total = self._request.size or None
            self._saved_total = None
            try:
                await in_thread(self._disk, self.part.clear)
            except OSError as error:
                raise disk_error(error, self.part.path) from error
        await self.begin()

    async def finish(self, report: Callable[[int], None]) -> str:
        """Sync and hash the complete file and give it its name if the hash is right; the hash.

        With a window it gets no name, and `hand_over` is what comes next.

        Raises:
            VerificationError: it is not what was expected; everything stays as it is. A `ContradictionError` when one
                hash is right and another is not.
            FailedError: the disk failed.
        """
        assert self.total is not None
        async with self._saving:
            try:
                if not self.window.size:
                    await in_thread(self._disk, self.part.sync)
                digest = await self._follower.advance(self.total, report)
                self.digests = await self._further.finish(self.total)
                check_digests(self._request, digest, self.digests)
                if self.window.size:
                    return digest
                if not self._request.hashed:
                    # a crash after the rename leaves this as the only proof that the file is complete
                    await self._save(keep_old=True)
                await in_thread(self._disk, self.part.finish, self.total)
            except OSError as error:
                raise disk_error(error, self.part.path) from error
        return digest

    async def hand_over(self) -> None:
        """Wait until the readers have all of the complete file, then remove it.

        Raises:
            FailedError: the disk failed.
        """
        assert self.total is not None
        await self.window.wait_released(self.total)
        try:
            await in_thread(self._disk, self.part.discard)
        except OSError as error:
            raise disk_error(error, self.part.path) from error

    def disk_failure(self, error: OSError) -> Exception:
        """The failure to show for an error while writing, with how much space is missing."""
        whole = min(self.total or 0, self.window.size or self.total or 0)
        missing = max(0, whole - allocated(self.part.fd))
        return disk_error(error, self.part.path, missing)

    def _settle(self) -> None:
        self._dirty.clear()
        self._due.clear()
        self._unsynced = 0

    def _wake(self) -> None:
        self._saved.set()
        self._saved = asyncio.Event()

    async def _sync_and_save(self, *, keep_old: bool) -> None:
        self._settle()
        try:
            await self._save(keep_old=keep_old)
        except OSError as error:
            raise self.disk_failure(error) from error

    async def _save(self, *, keep_old: bool) -> None:
        # bytes that are written while we sync are claimed by the next checkpoint
        written, sources, url = self.written, self.origins.records, self.url
        if self.window.holed:
            # a file with holes can be taken up by nobody
            self._claimed = written
            self._wake()
            return
        done = written
        hashable = max(self._follower.position, self._behind.hashable(self.checked()))
        if self.window.size and hashable < done.prefix:
            # a claim needs the hash of all bytes up to its first hole
            done = done.before(hashable)
        await in_thread(self._disk, self.part.sync)
        state = PartState(
            url=url,
            total_size=self.total or 0,
            done=done,
            prefix_length=done.prefix,
            prefix_sha256=await self._follower.advance(done.prefix),
            timestamp=datetime.now(UTC),
            expected=self._request.identity,
            sources=sources,
        )
        await in_thread(self._disk, lambda: self.part.save(state, keep_old=keep_old))
        self._claimed = written
        self._wake()
