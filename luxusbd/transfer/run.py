"""One download from its first request to its last byte: who is asked, and what to make of a file that is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from luxusbd.errors import GoneError, NetworkError, VerificationError, most_telling
from luxusbd.transfer.answers import FailureKind, SourceError
from luxusbd.transfer.blame import Blame, names
from luxusbd.transfer.crew import Crew
from luxusbd.transfer.diskio import settled
from luxusbd.transfer.keeper import LostBytesError
from luxusbd.transfer.mirrors import Mirror
from luxusbd.transfer.model import DownloadStage
from luxusbd.transfer.online import wait_for_route
from luxusbd.transfer.pieces import PieceCheck
from luxusbd.transfer.solo import Solo
from luxusbd.transfer.verdict import ContradictionError
from luxusbd.transfer.work import Work, host_of


class DownloadRun:
    """The transfer of one request into one open part; afterwards the file is complete, verified and named."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._keeper = work.keeper
        self._request = work.request
        self._control = work.control
        self._book = work.book
        self._solo = Solo(work)
        self._crew = Crew(work)
        self._blame = Blame(work)
        self.pieces = PieceCheck(work)
        if self._request.window:
            self._keeper.checked = lambda: self.pieces.checked
            self._keeper.passable = lambda: self.pieces.passable
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
        work = self._work
        work.resumed = self._keeper.written.total
        work.answers = 1 if work.resumed else 0
        if self._keeper.total is not None:
            await self._keeper.begin()
        digest = ""
        while not digest:
            lost: BaseException | None = None
            try:
                digest = await self._try()
            except* LostBytesError as errors:
                lost = most_telling(errors)
            if lost is not None:
                await self._lost(str(lost))
        if self._keeper.window.size:
            work.tell(DownloadStage.HAND_OVER)
            await self._keeper.hand_over()
        return digest

    async def _try(self) -> str:
        """The sha256 of the file once it is right, empty when there is more to be done for that."""
        while not self._keeper.complete:
            await self._step()
        await self.pieces.look()
        if not self._keeper.complete:
            return ""
        self._work.tell(DownloadStage.VERIFY)
        try:
            digest = await self._keeper.finish(lambda _position: None)
        except ContradictionError:
            raise
        except VerificationError as error:
            await self._mismatch(str(error))
            return ""
        self._blame.proven()
        return digest

    async def _step(self) -> None:
        if self._control.paused:
            await self._stand_still()
        if not self._keeper.fetchable:
            await self._unless_paused(self._keeper.window.wait(self._keeper.window.limit))
            return
        mirror = await self._next_mirror()
        if mirror is None:
            return
        if self._crew.possible:
            await self._unless_paused(self._crew.run())
        else:
            await self._ask_one(mirror)

    async def _ask_one(self, mirror: Mirror) -> None:
        before = self._keeper.written.total
        try:
            await self._unless_paused(self._solo.attempt(mirror))
        except SourceError as error:
            self._work.failed(mirror, error, brought_bytes=self._keeper.written.total > before)
        else:
            if self._keeper.written.total > before:
                self._book.progressed(mirror)
            elif not self._keeper.complete and not self._control.paused:
                nothing = SourceError(FailureKind.TRANSIENT, "answered without bringing anything new")
                self._work.failed(mirror, nothing, brought_bytes=False)

    async def _stand_still(self) -> None:
        await self._keeper.checkpoint()
        self._work.tell(DownloadStage.WAIT, "paused")
        await self._control.wait_running()

    async def _next_mirror(self) -> Mirror | None:
        bound = "" if self._request.hashed or not self._keeper.written else self._keeper.url
        choice = self._book.next(bound)
        if choice is None:
            await self._give_up()
            return None
        mirror, wait = choice
        if wait > 0:
            if self._book.offline:
                self._work.tell(DownloadStage.WAIT, "no mirror can be reached, waiting for the network")
            else:
                note = f"waiting {wait:.0f} s before asking {host_of(mirror.url)} again"
                self._work.tell(DownloadStage.CONNECT, note)
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
            await self._restart(frozenset(self._keeper.origins.urls))
            return
        released = self._book.release()
        if released:
            # a doubt is no proof, and there is nobody else
            for mirror in released:
                self._work.shares.cleared(mirror.url)
            return
        await self._keeper.checkpoint()
        kind = GoneError if self._book.absent else NetworkError
        raise kind(f"{self._request.name} could not be downloaded: {self._book.summary()}\n{self._book.report()}")

    async def _mismatch(self, found: str) -> None:
        keeper = self._keeper
        contributors = keeper.origins.urls
        if self._solo.told_by_close is not None:
            # the size was a guess from a closed connection: the bytes may be right and too few
            mirror, self._solo.told_by_close = self._solo.told_by_close, None
            keeper.total = None
            short = SourceError(FailureKind.TRANSIENT, "closed the connection, and the file is not complete")
            self._work.failed(mirror, short, brought_bytes=False)
            return
        self._blamed.extend(url for url in contributors if url not in self._blamed)
        for mirror in self._book.mirrors:
            if mirror.url in contributors:
                mirror.did(f"took part in a file with wrong bytes ({found})")
        # what was given back cannot be compared with what others send
        search = self._request.hashed and not self._keeper.window.holed
        if search and (verdict := await self._search()):
            self._work.tell(DownloadStage.CONNECT, f"{verdict} ({found})")
            return
        if not self._restarted_for_hash and not self._blame.agreeing:
            self._restarted_for_hash = True
            # most bytes came from the first: if no other mirror is left, the one with fewer gets the benefit
            avoid = self._avoidable(contributors)
            if avoid is not None:
                note = f"wrong bytes from {names(self._blamed)} ({found}): once more from the start"
                self._work.tell(DownloadStage.CONNECT, note)
                await self._restart(avoid)
                return
        await keeper.clear()
        same = [url for url in self._blame.agreeing if url not in self._blamed]
        others = f" ({names(same)} sent the same bytes: the catalogue may be out of date)" if same else ""
        raise VerificationError(
            f"{self._request.name} is not the expected file: {found}; "
            f"it came from {names(self._blamed)}{others}. The bytes were removed. Try again later, or with another "
            "mirror"
        )

    async def _lost(self, why: str) -> None:
        """Bytes that were given back are wanted again: everything has to come once more, and only once."""
        keeper = self._keeper
        came_from = names(keeper.origins.urls)
        if self._restarted_for_hash:
            await keeper.clear()
            raise VerificationError(
                f"{self._request.name} could not pass through: {why}, again; it came from {came_from}. The bytes were"
                " removed. Try again later, with another mirror, or leave the image on the host"
            )
        self._restarted_for_hash = True
        self._work.tell(DownloadStage.CONNECT, f"{why} (from {came_from}): once more from the start")
        await self._restart(self._avoidable(keeper.origins.urls) or frozenset())

    async def _search(self) -> str:
        """What `Blame` finds, or empty; a pause stops it, and it begins anew after that."""
        found: list[str] = []

        async def judge() -> None:
            found.append(await self._blame.judge())

        while not found:
            if self._control.paused:
                await self._stand_still()
            await self._unless_paused(judge())
        return found[0]

    def _avoidable(self, contributors: tuple[str, ...]) -> frozenset[str] | None:
        """Which mirrors to leave out of the second try; None when there is no second try worth making."""
        urls = [mirror.url for mirror in self._book.mirrors if not mirror.dead]
        for avoid in (frozenset(contributors), frozenset(contributors[:1])):
            if any(url not in avoid for url in urls):
                return avoid
        # the only mirror: a file put together from several answers may mix two versions of it
        return frozenset() if self._work.answers > 1 else None

    async def _restart(self, avoid: frozenset[str]) -> None:
        await self._keeper.clear()
        self._work.answers = 0
        self._solo.told_by_close = None
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
