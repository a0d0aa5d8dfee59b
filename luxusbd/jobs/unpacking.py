"""Images that are written byte for byte, looked at and unpacked by a process that lives for this one image.

It is not the transfer process: what that one would hand over, nobody could check, since the image's hash is that of the
compressed file. This one has no network and no rights, and gets that file alone, whose hash the stick worker checks.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

from luxusbd.children.launch import Launcher
from luxusbd.children.supervisor import Child
from luxusbd.errors import FailedError, InterruptedJobError, InvalidArgumentError, LuxusbError, MalformedImageError
from luxusbd.transfer import rawmodel
from luxusbd.transfer.frames import make_pipe
from luxusbd.transfer.rawmodel import RawLook

TIMEOUT = 120.0
"""Seconds for one look."""


class Unpacking:
    """An image on its way through pipes."""

    def __init__(self, readers: int) -> None:
        self.failure: LuxusbError | None = None
        """Why it did not come to its end."""
        self.writing: list[int] = []
        self._reading: dict[int, int] = {}
        for number in range(readers):
            self._reading[number], write = make_pipe()
            self.writing.append(write)

    def pipe(self, number: int) -> int:
        """Where one reader gets it; stays this object's."""
        return self._reading[number]

    def drop(self, number: int) -> None:
        """A reader wants no more, or does not come: nobody waits for it from now on."""
        if (fd := self._reading.pop(number, None)) is not None:
            os.close(fd)

    def end(self) -> None:
        """Nothing more is written."""
        while self.writing:
            os.close(self.writing.pop())

    def drop_all(self) -> None:
        """Nobody wants more."""
        for number in tuple(self._reading):
            self.drop(number)

    def close(self) -> None:
        """Nothing is read or written any more."""
        self.end()
        self.drop_all()


class Unpacker:
    """Has images looked at and unpacked."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher

    async def look(self, image: int, bmap: int | None = None) -> RawLook:
        """See `luxusbd.transfer.rawlook.look`, which says what is raised besides.

        Raises:
            FailedError: it took too long.
            MalformedImageError: the process died over it.
        """
        fds = [image] if bmap is None else [image, bmap]
        try:
            async with asyncio.timeout(TIMEOUT), self._launcher.check() as running:
                answer = await running.channel.request("raw-look", {"map": bmap is not None}, fds)
        except TimeoutError:
            raise FailedError(f"looking at the image took longer than {TIMEOUT:g} seconds") from None
        except InterruptedJobError as error:
            raise MalformedImageError(f"the process that looks at the image died over it: {error}") from None
        try:
            return rawmodel.from_json(answer)
        except InvalidArgumentError as error:
            raise FailedError(f"the process that looks at the image sent nonsense: {error}") from None

    @asynccontextmanager
    async def unpacked(self, image: int, readers: int) -> AsyncIterator[Unpacking]:
        """An image on its way, for the length of the block, to so many readers, the slowest of whom all wait for."""
        with closing(Unpacking(readers)) as going:
            async with self._launcher.check() as running:
                task = asyncio.get_running_loop().create_task(_run(running, image, going))
                try:
                    yield going
                finally:
                    # with the last reader the process stops writing, and its answer comes
                    going.drop_all()
                    await asyncio.wait([task])


async def _run(running: Child, image: int, going: Unpacking) -> None:
    try:
        await running.channel.request("raw-unpack", {}, [image, *going.writing])
    except LuxusbError as error:
        going.failure = error
    finally:
        going.end()
