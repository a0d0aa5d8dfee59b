"""Images that only pass through this machine on their way to sticks: how far all sticks have them, and what they are.

The download keeps a part of the image that has no more bytes than its window. What every stick has is given back to the
filesystem here, and gone: so an image is looked at on a stick that has all of it, as a rescan does.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from luxusbd.errors import DeviceError, MalformedImageError
from luxusbd.images.model import Recognition
from luxusbd.jobs.downloadwords import unrecognised
from luxusbd.jobs.growth import Growths
from luxusbd.jobs.transfers import Transfers
from luxusbd.stick.feeds import Standing
from luxusbd.stick.isofiles import PARTIAL

log = logging.getLogger(__name__)

INTERVAL = 0.25
"""Seconds between two questions how far a stick is."""


@dataclass(frozen=True)
class Reader:
    """A stick that images go onto."""

    name: str
    fd: int
    """The disk or image file, the caller's own."""
    size: int
    """Its bytes."""


class Passage:
    """One image on its way through."""

    def __init__(
        self,
        content: str,
        growths: Growths,
        transfers: Transfers,
        *,
        ended: Callable[[], bool],
        release: Callable[[int, int], Awaitable[None]],
    ) -> None:
        """Begin with no stick.

        Args:
            content: `Release.content` of its download.
            growths: what downloads tell.
            transfers: look at images.
            ended: whether all its bytes came, and are the right ones.
            release: gives back the bytes up to a place, in a run of the download.
        """
        self._content = content
        self._growths = growths
        self._transfers = transfers
        self._ended = ended
        self._release = release
        self._marks: dict[str, int] = {}
        self._landed: dict[str, Reader] = {}
        self._news = asyncio.Event()
        self._released = (0, 0), 0

    @property
    def ended(self) -> bool:
        """Whether all its bytes came, and are the right ones."""
        return self._ended()

    def expect(self, name: str) -> None:
        """A stick that is to have it: nothing goes before that one has it."""
        self._marks[name] = 0

    @property
    def epoch(self) -> tuple[int, int]:
        """Of what run of the download the bytes are that are there now."""
        return self._growths.epoch(self._content)

    async def told(self, reader: Reader, standing: Standing, epoch: tuple[int, int]) -> None:
        """How far a stick is with the bytes of one run of the download.

        Raises:
            LuxusbError: what it does not need any more cannot be given back.
        """
        if reader.name not in self._marks:
            return
        fresh = epoch == self.epoch
        self._marks[reader.name] = standing.safe if fresh else 0
        if standing.landed and fresh:
            self._landed[reader.name] = reader
        else:
            self._landed.pop(reader.name, None)
        self._news.set()
        await self._give_back()

    async def left(self, name: str) -> None:
        """A stick needs no more of it, or gets no more.

        Raises:
            LuxusbError: as `told`.
        """
        self._marks.pop(name, None)
        self._landed.pop(name, None)
        self._news.set()
        if self._marks:
            await self._give_back()

    async def recognise(self, name: str, size: int) -> Recognition:
        """What the image is that is called `name`, of `size` bytes, as soon as any stick has all of it.

        Raises:
            DeviceError: the last stick that had it cannot be read.
        """
        while True:
            while not self._landed:
                self._news.clear()
                await self._news.wait()
            reader = next(iter(self._landed.values()))
            try:
                return await self._look(reader, f"{name}{PARTIAL}")
            except MalformedImageError as error:
                return unrecognised(size, error)
            except DeviceError as error:
                self._landed.pop(reader.name, None)
                if not self._marks.keys() - {reader.name}:
                    raise
                log.info("%s cannot be looked at on %s: %s", name, reader.name, error)

    async def _look(self, reader: Reader, name: str) -> Recognition:
        # by a descriptor of its own: the disk is closed when its worker ends
        fd = await asyncio.to_thread(os.open, f"/proc/self/fd/{reader.fd}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            # what was read before it was written there
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            return await self._transfers.inspect_on_stick(fd, reader.size, name)
        finally:
            os.close(fd)

    async def _give_back(self) -> None:
        now = self.epoch, min(self._marks.values())
        # a process that died and began anew counts its epochs from the start: less than before may be right
        if now != self._released and now[1] > 0:
            self._released = now
            await self._release(now[1], now[0][1])
