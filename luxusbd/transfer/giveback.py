"""Gives the beginning of a growing file back to its filesystem, behind its readers and behind our own hashes."""

from __future__ import annotations

from concurrent.futures import Executor

from luxusbd.transfer.diskio import disk_error, first_difference, in_thread
from luxusbd.transfer.partfile import PartFile
from luxusbd.transfer.verifier import FurtherHashes, HashFollower
from luxusbd.transfer.window import Window


class GiveBack:
    """Of one part; its keeper calls one method at a time, while nothing is being saved."""

    def __init__(
        self, part: PartFile, window: Window, follower: HashFollower, further: FurtherHashes, disk: Executor
    ) -> None:
        self._part = part
        self._window = window
        self._follower = follower
        self._further = further
        self._disk = disk

    @property
    def needed_from(self) -> int:
        """Where bytes begin that may come anew without those before them: behind what is gone and what is hashed."""
        return max(self._window.punched, self._follower.position, self._further.reads_to)

    def hashable(self, checked: int) -> int:
        """How far the hashes may be; nobody wants to find out anything about the `checked` bytes at the start.

        Behind the first hole they do not run ahead of it: bytes that were hashed cannot come in another way any more,
        since there is nothing to hash them anew from.
        """
        return self._window.punched if self._window.holed else checked

    def due(self, checked: int) -> int:
        """The mark up to which something can be given back, 0 without one."""
        if not self._window.holed and self.needed_from > checked:
            return 0
        return self._window.due(checked)

    async def upto(self, mark: int) -> None:
        """Hash up to `mark`, which is due, and give back what lies before it; the first time without all claims.

        Raises:
            FailedError: the disk failed.
        """
        window = self._window
        await self._follower.advance(mark)
        await self._further.advance(mark)
        try:
            if not window.holed:
                # before it is so: who is cancelled meanwhile must not keep the part either
                window.holed = True
                await in_thread(self._disk, self._part.forget)
            await in_thread(self._disk, self._part.give_back, window.punched, mark)
        except OSError as error:
            raise disk_error(error, self._part.path) from error
        window.gone(mark)

    async def difference(self, data: bytes, start: int) -> int | None:
        """Index of the first byte of `data` that differs from the file at `start`, None when all are equal.

        What was given back cannot be compared, and counts as equal.
        """
        gone = min(len(data), max(0, self._window.punched - start))
        at = await in_thread(self._disk, first_difference, self._part.fd, data[gone:], start + gone)
        return gone + at if at is not None else None
