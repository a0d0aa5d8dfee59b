"""For every packaged feed, documents of the shape that its maker publishes, with what stands there to mislead.

None of it is a copy: the names follow the makers' patterns, the hashes are those of the names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.transfer.feeds.web import Page, feed_of, gnu

Expected = tuple[str, str, str, str]
"""Edition, architecture, version, address."""


@dataclass(frozen=True)
class Shape:
    """What a feed answers, and what it means."""

    feed: str
    pages: Mapping[str, Page]
    expected: tuple[Expected, ...]


SHAPES: dict[str, Shape] = {}


def shape(feed: str, pages: Mapping[str, Page], *expected: Expected) -> None:
    SHAPES[feed] = Shape(feed, pages, expected)


def key(feed: str) -> str:
    return min(feed_of(feed).signing.keys)


def signature(feed: str) -> str:
    return f"signed by {key(feed)}\n"


def signed(feed: str, url: str, text: str, suffix: str) -> dict[str, Page]:
    """A list of hashes with its signature beside it."""
    return {url: text, url + suffix: signature(feed)}


def sidecars(suffix: str, *urls: str) -> dict[str, Page]:
    """A list of one hash beside each file."""
    pages: dict[str, Page] = {}
    for url in urls:
        behind = "/download" if url.endswith("/download") else ""
        plain = url.removesuffix("/download")
        pages[plain + suffix + behind] = gnu(plain.rpartition("/")[2])
    return pages
