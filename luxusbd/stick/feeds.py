"""What the core tells a stick worker of images that are still being downloaded, and how the worker keeps book of it.

Each image comes in the order's numbering of `streams`. Its bytes are read from a descriptor that came with the first
message; how many of them there are, and whether some have changed, the messages say. The last one of each image brings
the finished file and what is known of it then, or the reason why it does not come.

An image that only passes through the machine has no finished file: each answer says how much of it need not be read
again, and that much is gone soon after. Once all of it has ended, and is on the medium, the core looks at it there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from luxusbd.errors import InternalError, LuxusbError, from_name
from luxusbd.stick import manifest as manifests
from luxusbd.stick.model import SourceImage


@dataclass(frozen=True)
class Standing:
    """How far a worker is with one image."""

    safe: int
    """Bytes from the start on that it does not read again."""
    landed: bool
    """Whether all of it can be read from the medium."""


def standing_from_json(document: Mapping[str, Any]) -> Standing:
    """What a worker answers to news."""
    return Standing(int(document["safe"]), bool(document["landed"]))


@dataclass(frozen=True)
class FeedNews:
    """One message about one image."""

    stream: int
    """Which of the order's `streams`."""
    available: int = 0
    """Bytes from the start on that may be read."""
    floor: int | None = None
    """From here on the bytes are others than those that could be read before; None where none are."""
    whole: tuple[SourceImage, ...] = ()
    """The finished image, and behind it the files that start it; empty while it is not finished."""
    failure: LuxusbError | None = None
    """Why it does not come."""
    ended: bool = False
    """Whether all bytes of one that passes through are there, and are the right ones."""
    passed: bool = False
    """Whether the first of `whole` has no file, because it passed through."""


def news_to_json(news: FeedNews) -> dict[str, Any]:
    """Everything but the descriptors: of the growing file, where there is a new one, or those of `whole`."""
    return {
        "stream": news.stream,
        "available": news.available,
        "floor": news.floor,
        "whole": [manifests.image_to_json(source.image) for source in news.whole],
        "sha512": [source.sha512 for source in news.whole],
        "failure": None if news.failure is None else [news.failure.dbus_name, news.failure.message],
        "ended": news.ended,
        "passed": news.passed,
    }


def news_from_json(document: Mapping[str, Any], fds: Sequence[int]) -> FeedNews:
    """The message, with descriptors in this process's numbering.

    Raises:
        InternalError: the number of descriptors does not fit.
    """
    whole, passed = document["whole"], document["passed"]
    fds = (-1, *fds) if passed else fds
    if len(fds) != len(whole) and (whole or len(fds) > 1):
        raise InternalError(f"{len(fds)} descriptors came with news of {len(whole)} images")
    failure = document["failure"]
    return FeedNews(
        stream=document["stream"],
        available=document["available"],
        floor=document["floor"],
        whole=tuple(
            SourceImage(fd, manifests.image_from_json(image), sha512)
            for fd, image, sha512 in zip(fds, whole, document["sha512"], strict=True)
        )
        if whole
        else (),
        failure=None if failure is None else from_name(failure[0], failure[1]),
        ended=document["ended"],
        passed=passed,
    )


class Feed:
    """One growing image, as the worker sees it."""

    def __init__(self) -> None:
        self.fd = -1
        self.available = 0
        self.floor: int | None = None
        """Set until the reader has gone back there."""
        self.whole: tuple[SourceImage, ...] = ()
        self.failure: LuxusbError | None = None
        self.ended = False
        """Whether all bytes of one that passes through are there, and are the right ones."""
        self.safe = 0
        """Bytes from the start on that are not read again, whatever place before `available` is gone back to."""
        self.landed = False
        """Whether all of it can be read from the medium."""
        self._held: list[int] = []

    def take(self, news: FeedNews, fds: Sequence[int]) -> Mapping[str, Any]:
        """Note what a message says; its descriptors are duplicated. The answer, for `Standing`."""
        copies = [os.dup(fd) for fd in fds]
        if copies:
            # a thread may be reading from the one before
            self._held += copies
            if not news.passed:
                self.fd = copies[0]
        if news.floor is not None:
            self.floor = news.floor if self.floor is None else min(self.floor, news.floor)
            # before anybody has gone back
            self.safe, self.landed = 0, False
        self.available = news.available
        self.ended = news.ended
        if news.whole:
            files = [-1, *copies] if news.passed else copies
            self.whole = tuple(
                SourceImage(fd, source.image, source.sha512) for fd, source in zip(files, news.whole, strict=True)
            )
            self.available = self.whole[0].image.size
        self.failure = news.failure
        return {"safe": self.safe, "landed": self.landed}

    def reached(self, mark: int) -> None:
        """The reader needs nothing before `mark` again, unless it has still to go back."""
        if self.floor is None:
            self.safe = mark

    def land(self) -> None:
        """All of it can be read from the medium, unless the reader has still to go back."""
        self.landed = self.floor is None

    def take_floor(self) -> int | None:
        """Where the reader has to go back to, once."""
        floor, self.floor = self.floor, None
        return floor

    def close(self) -> None:
        """Give the descriptors back; nobody reads any more."""
        for fd in self._held:
            os.close(fd)
        self._held.clear()
        self.fd, self.whole = -1, ()


class Feeds:
    """All of them; messages may come before the order whose images they are about."""

    def __init__(self) -> None:
        self._feeds: dict[int, Feed] = {}
        self._news = asyncio.Event()

    def of(self, stream: int) -> Feed:
        """The feed of one image."""
        return self._feeds.setdefault(stream, Feed())

    def take(self, document: Mapping[str, Any], fds: Sequence[int]) -> Mapping[str, Any]:
        """Note a message of the core; the answer."""
        news = news_from_json(document, fds)
        answer = self.of(news.stream).take(news, fds)
        self._news.set()
        return answer

    async def wait(self) -> None:
        """Return once a message has come since the last time."""
        await self._news.wait()
        self._news.clear()

    def close(self) -> None:
        """Give all descriptors back."""
        for feed in self._feeds.values():
            feed.close()
        self._feeds.clear()
