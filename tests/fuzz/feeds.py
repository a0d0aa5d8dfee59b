"""The reader of feeds: documents of every kind, as first document and as all that follow."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress

from luxusbd.catalog.feeds.model import Feed, Outcome
from luxusbd.errors import CatalogError
from luxusbd.transfer.feeds.machine import FeedRun
from luxusbd.transfer.feeds.requests import Answer, Body, Check, Checked, Fetch, Size
from tests.fuzz.engine import Target
from tests.fuzz.mutate import mutate_text
from tests.transfer.feeds.shapes import SHAPES
from tests.transfer.feeds.web import TODAY, feed_of

_FEEDS = ("tails", "manjaro", "opensuse-leap", "debian-netinst", "mx", "bazzite", "systemrescue", "alpine")
_TOKENS = (
    b"<", b">", b"<item>", b"</item>", b"<link>", b"<!DOCTYPE a [", b"<!ENTITY a 'b'>", b"&a;", b"<a href=",
    b"href='", b'"', b"https://", b"http://", b"//evil.example/", b"../", b"/download", b"#", b"?", b"%2f", b"%00",
    b"@", b":99999/", b"[::1", b"{", b"}", b"[", b"]", b",", b":", b"null", b"true", b"-1", b"1e999", b"9" * 5000,
    b'"\\ud800"', b"- ", b"\n-\n", b"  a: &x *x\n", b"|", b"!!", b"'", b"\n", b"\t", b"0" * 64, b"0" * 128,
    b"### BLAKE3SUMS:\n", b"SHA256 (", b") = ", b" *", b"# x: 5 bytes\n", b"\0", b"\xff", b"\xef\xbb\xbf",
    "\u2028".encode(), "\u0661".encode(), b"(" * 3000, b"[" * 3000,
)  # fmt: skip


def _corpus() -> tuple[bytes, ...]:
    """A number for the feed, and a document of it."""
    return tuple(
        bytes([number]) + (page if isinstance(page, bytes) else page.encode())[:3000]
        for number, name in enumerate(_FEEDS)
        for page in list(SHAPES[name].pages.values())[:2]
    )


def _mutate(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    changed = mutate_text(rng, data[1:], corpus, _TOKENS)
    return (data[:1] if rng.random() < 0.95 else bytes([rng.randrange(len(_FEEDS))])) + changed


def _check(data: bytes) -> None:
    feed = feed_of(_FEEDS[data[0] % len(_FEEDS)] if data else _FEEDS[0])
    pages = SHAPES[feed.id].pages
    # the mutated document stands for the first one, and for one that comes later
    for position in (0, 1):
        with suppress(CatalogError):
            _read(feed, data[1:], pages, position)


def _read(feed: Feed, data: bytes, pages: object, position: int) -> None:
    run = FeedRun(feed, TODAY)
    step = run.begin()
    fetched = 0
    assert isinstance(pages, dict)
    while not isinstance(step, Outcome):
        answer: Answer = Size(0)
        if isinstance(step, Fetch):
            true = pages.get(step.url, "")
            answer = Body(data if fetched == position else true if isinstance(true, bytes) else true.encode())
            fetched += 1
        elif isinstance(step, Check):
            answer = Checked(step.data, min(step.keys))
        step = run.answer(answer)
    for release in step.releases:
        assert release.iso_url.startswith("https://")
        assert len(release.sha256) in (0, 64)
        assert len(release.sha512) in (0, 128)
        assert release.sha256 or release.sha512
        assert (release.version + release.edition).isprintable()
        assert release.size >= 0
    assert all(problem for problem in step.problems)


TARGETS = (Target("feeds", _corpus, _mutate, _check, ("luxusbd/transfer/feeds",)),)
