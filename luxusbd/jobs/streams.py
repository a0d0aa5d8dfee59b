"""Images that go onto sticks while they are downloaded: the core's end, which tells the workers what has come.

The core reads none of it. It hands each worker a descriptor of the part file, says how many bytes of it are there
without a hole, and at the end brings the image from the store, with what was recognised in it. Of an image that only
passes through the machine it asks how far the worker is, and brings at the end what was recognised on a stick.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luxusbd.children.protocol import Channel
from luxusbd.errors import FailedError, LuxusbError, from_name, host_error, most_telling
from luxusbd.images.store import ImageStore
from luxusbd.jobs.growth import Growths, Watch
from luxusbd.jobs.passage import INTERVAL, Passage, Reader
from luxusbd.stick.feeds import FeedNews, Standing, news_to_json, standing_from_json
from luxusbd.stick.model import ManifestImage, SourceImage
from luxusbd.transfer.partfile import PART


@dataclass(frozen=True)
class Streamed:
    """One image that is on its way."""

    image: ManifestImage
    """As far as it is known: name, size and sha256 are right."""
    content: str
    """`Release.content`, by which its files are called."""
    arrival: Callable[[], Awaitable[tuple[ManifestImage, ...]]]
    """Waits for its download; what it turned out to be, and behind it the files that start it. Raises why it failed."""
    passage: Passage | None = None
    """Where it only passes through this machine."""


class Streams:
    """The images of one job on their way to all its sticks. `run` has to go on meanwhile."""

    def __init__(
        self, store: ImageStore, growths: Growths, incoming: Path, uid: int, streamed: Sequence[Streamed]
    ) -> None:
        self._store = store
        self._growths = growths
        self._incoming = incoming
        self._uid = uid
        self._streamed = tuple(streamed)
        self._arrivals = [asyncio.ensure_future(each.arrival()) for each in streamed]

    @property
    def images(self) -> tuple[ManifestImage, ...]:
        """What an order has as its `streams`."""
        return tuple(each.image for each in self._streamed)

    async def close(self) -> None:
        """Wait for nothing any more; the downloads go on as they like."""
        for arrival in self._arrivals:
            arrival.cancel()
        await asyncio.gather(*self._arrivals, return_exceptions=True)

    def expect(self, name: str) -> None:
        """Say that a stick gets them, before the first one does; `left` takes it back."""
        for each in self._streamed:
            if each.passage is not None:
                each.passage.expect(name)

    async def left(self, name: str) -> None:
        """Say that a stick has all that it gets."""
        for each in self._streamed:
            if each.passage is not None:
                await each.passage.left(name)

    async def feed(self, to: Reader, channel: Channel) -> None:
        """Tell one worker of all images until the last one has come or failed.

        Raises:
            LuxusbError: the worker is gone, or a part file is none.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(len(self._streamed)):
                    group.create_task(self._feed_one(to, channel, number))
        except BaseExceptionGroup as errors:
            raise most_telling(errors) from errors

    async def _feed_one(self, to: Reader, channel: Channel, number: int) -> None:
        arrival, passage = self._arrivals[number], self._streamed[number].passage
        asks = INTERVAL if passage is not None else None
        with self._growths.watch(self._streamed[number].content) as watch:
            path = self._incoming / f"{self._streamed[number].content}{PART}"
            reader = _Reader(path, watch, self._streamed[number].image.size)
            news = asyncio.ensure_future(watch.news.wait())
            try:
                while not arrival.done():
                    await asyncio.wait({arrival, news}, timeout=asks, return_when=asyncio.FIRST_COMPLETED)
                    if passage is not None:
                        epoch = passage.epoch
                        standing = await reader.tell(channel, number, ended=passage.ended)
                        if standing is not None:
                            await passage.told(to, standing, epoch)
                    elif news.done():
                        await reader.tell(channel, number)
                    if news.done():
                        news = asyncio.ensure_future(watch.news.wait())
            finally:
                news.cancel()
        await self._tell_end(channel, number)

    async def _tell_end(self, channel: Channel, number: int) -> None:
        fds: list[int] = []
        try:
            images = self._arrivals[number].result()
            passed = self._streamed[number].passage is not None and await self._unknown(images[0].sha256)
            sources = [SourceImage(-1, images[0])] if passed else []
            for image in images[len(sources) :]:
                stored = await asyncio.to_thread(self._store.get, self._uid, image.sha256)
                fds.append(await asyncio.to_thread(self._store.open, self._uid, image.sha256))
                sources.append(SourceImage(-1, image, stored.sha512))
            news = FeedNews(number, whole=tuple(sources), passed=passed)
            await channel.request("feed", news_to_json(news), fds)
        except LuxusbError as error:
            if channel.closed:
                raise
            await channel.request("feed", news_to_json(FeedNews(number, failure=error)))
        finally:
            for fd in fds:
                os.close(fd)

    async def _unknown(self, sha256: str) -> bool:
        """Whether the store has no such image for this user; somebody else may have fetched it meanwhile."""
        return await asyncio.to_thread(self._store.held, self._uid, sha256) is None


def taken_by(streams: Streams | None, name: str) -> AbstractAsyncContextManager[None]:
    """A stick that gets the images, which was expected, for the length of the block."""
    return contextlib.nullcontext() if streams is None else _taken(streams, name)


@contextlib.asynccontextmanager
async def _taken(streams: Streams, name: str) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await streams.left(name)


class _Reader:
    """What one worker knows of one part file."""

    def __init__(self, path: Path, watch: Watch, size: int) -> None:
        self._path = path
        self._watch = watch
        self._size = size
        self._known: tuple[int, int] | None = None
        """The file that the worker has, by device and inode."""

    async def tell(self, channel: Channel, number: int, *, ended: bool = False) -> Standing | None:
        """Say what there is now; how far the worker is, None where nothing could be said."""
        available, floor = self._watch.take()
        fd = await asyncio.to_thread(_open, self._path)
        if fd is None:
            if ended and self._known is not None:
                # it has all of it, and is not done with the medium
                answer = await channel.request("feed", news_to_json(FeedNews(number, self._size, ended=True)))
                return standing_from_json(answer)
            # whole by now, and in the store in a moment: that message brings it
            return None
        try:
            status = os.fstat(fd)
            file = (status.st_dev, status.st_ino)
            fresh = file != self._known
            if fresh and self._known is not None:
                floor = 0
            news = FeedNews(number, min(available, status.st_size), floor, ended=ended)
            answer = await channel.request("feed", news_to_json(news), [fd] if fresh else [])
            self._known = file
            return standing_from_json(answer)
        finally:
            os.close(fd)


def _open(path: Path) -> int | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise host_error(error, f"opening {path}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FailedError(f"{path} is no regular file")
    return fd


def check_lacking(made: Mapping[str, Any], again: str = "add {} another time (luxusb add)") -> Mapping[str, Any]:
    """The answer of a worker, whose images all came; `again` says what helps, with their place in it.

    Raises:
        LuxusbError: as the first that did not come; the text says what the stick has.
    """
    lacking = made.get("lacking") or ()
    if not lacking:
        return {key: value for key, value in made.items() if key != "lacking"}
    reasons = "; ".join(f"{one['name']}: {one['message']}" for one in lacking)
    there = ", ".join(made["images"]) or "nothing"
    them = "it" if len(lacking) == 1 else "them"
    raise from_name(
        lacking[0]["error"],
        f"{reasons}. The stick is in order and starts {there}; {again.format(them)}",
    )
