"""Reading a feed once more from a transcript, which is written by whoever had the network."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.catalog.feeds.definitions import parse_feed
from luxusbd.catalog.feeds.model import Feed, Outcome
from luxusbd.errors import InvalidArgumentError, LuxusbError, NetworkError
from luxusbd.transfer.feeds import transcript
from luxusbd.transfer.feeds.again import read_again
from luxusbd.transfer.feeds.fetching import read_feed
from luxusbd.transfer.feeds.keys import KeyRing
from luxusbd.transfer.feeds.transcript import Recording, Replay
from luxusbd.transfer.smallmodel import NotThereError, Small, Version
from tests.transfer.feeds.web import TODAY, gnu
from tests.transfer.keys import Keys

SITE = "https://x.example/iso/"
SUMS = SITE + "SHA256SUMS"


class Pages:
    """A network of documents."""

    def __init__(self, pages: dict[str, bytes]) -> None:
        self.pages = pages

    async def get(self, url: str, most: int) -> Small:
        found = await self.get_if_changed(url, most, Version())
        assert found is not None
        return found

    async def get_if_changed(self, url: str, most: int, known: Version) -> Small | None:
        if url not in self.pages:
            raise NotThereError(url)
        if known.etag:
            return None
        assert len(self.pages[url]) <= most
        return Small(self.pages[url], url, Version('"e"', "today"))

    async def size(self, url: str) -> int:
        if url.endswith("-3.iso"):
            raise NetworkError("no answer")
        return len((await self.get(url, 10**9)).data)


@pytest.fixture(scope="module")
def pinned(keys: Keys) -> str:
    return keys.make("maker of again")


def feed_of(key: str) -> Feed:
    return parse_feed(
        {
            "id": "x", "strategy": "directory_index", "url": SITE, "listing": "sums", "sums": "SHA256SUMS",
            "signature": {"kind": "detached", "keys": [key], "address": "{sums}.gpg"},
            "images": [{"file": r"x-(?P<version>[0-9]+)\.iso", "architecture": "amd64"}],
        },
        "test",
    )  # fmt: skip


async def recorded(keys: Keys, pinned: str, name: str = "x-2.iso") -> tuple[Outcome, bytes]:
    """A genuine feed as whoever has the network reads it, and its transcript."""
    sums = gnu(name).encode()
    pages = {SUMS: sums, SUMS + ".gpg": keys.sign(sums, pinned), SITE + "x-2.iso": bytes(555)}
    feed = feed_of(pinned)
    recording = Recording(Pages(pages))
    ring = KeyRing(recording, feed, {pinned: keys.export(pinned)}, {})
    await ring.gather()
    return await read_feed(recording, feed, ring, TODAY, Version()), recording.transcript()


async def again(keys: Keys, pinned: str, data: bytes) -> Outcome:
    return await read_again(data, feed_of(pinned), {pinned: keys.export(pinned)}, TODAY, Version())


@pytest.mark.parametrize("name", ["x-2.iso", "x-3.iso", "x-4.iso"])
async def test_it_says_the_same(keys: Keys, pinned: str, name: str) -> None:
    """Be the image there, without a size, or not there."""
    outcome, data = await recorded(keys, pinned, name)
    assert await again(keys, pinned, data) == outcome
    assert [(one.version, one.size) for one in outcome.releases] == {
        "x-2.iso": [("2", 555)],
        "x-3.iso": [("3", 0)],
        "x-4.iso": [],
    }[name]


def changed(data: bytes, change: Callable[[list[Any], bytes], bytes]) -> bytes:
    """A transcript whose index and documents were changed."""
    start = 8 + int.from_bytes(data[:8], "little")
    index = json.loads(data[8:start])
    documents = change(index, data[start:])
    head = json.dumps(index).encode()
    return len(head).to_bytes(8, "little") + head + documents


async def test_what_was_signed_cannot_be_forged(keys: Keys, pinned: str) -> None:
    _outcome, data = await recorded(keys, pinned)
    forged = changed(data, lambda _index, documents: b"f" * 64 + documents[64:])
    found = await again(keys, pinned, forged)
    assert found.releases == ()
    assert "does not fit the list of hashes" in found.problems[0]
    # nor does the key of somebody else count
    stranger = keys.make("stranger")
    sums = gnu("x-9.iso").encode()
    signature = keys.sign(sums, stranger)

    def replaced(index: list[Any], _documents: bytes) -> bytes:
        index[0][2], index[1][2] = len(sums), len(signature)
        return sums + signature

    found = await again(keys, pinned, changed(data, replaced))
    assert (found.releases, len(found.problems)) == ((), 1)
    # without the key nothing counts
    found = await read_again(data, feed_of(pinned), {}, TODAY, Version())
    assert (found.releases, "not at hand" in found.problems[0]) == ((), True)


async def test_an_image_of_another_size_is_the_most_that_can_be_said(keys: Keys, pinned: str) -> None:
    outcome, data = await recorded(keys, pinned)

    def lie(index: list[Any], documents: bytes) -> bytes:
        index[-1][2] = 7
        return documents

    found = await again(keys, pinned, changed(data, lie))
    assert found.releases == tuple(replace(one, size=7) for one in outcome.releases)


def elsewhere(index: list[Any], documents: bytes) -> bytes:
    index[0][1] = SITE + "other"
    return documents


def too_few(index: list[Any], documents: bytes) -> bytes:
    del index[1:]
    return documents


def too_long(index: list[Any], documents: bytes) -> bytes:
    index[0][2] = len(documents) + 1
    return documents


def below_nothing(index: list[Any], documents: bytes) -> bytes:
    index[0][2] = -1
    return documents


def sizes(index: list[Any], documents: bytes) -> bytes:
    index[-1][2] = "7"
    return documents


@pytest.mark.parametrize("change", [elsewhere, too_few, too_long, below_nothing, sizes])
async def test_a_transcript_of_something_else(
    keys: Keys, pinned: str, change: Callable[[list[Any], bytes], bytes]
) -> None:
    _outcome, data = await recorded(keys, pinned)
    with pytest.raises(InvalidArgumentError, match="does not fit the reading"):
        await again(keys, pinned, changed(data, change))


async def test_what_is_too_large_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "MAX_TRANSCRIPT", 1000)
    recording = Recording(Pages({SITE: bytes(1000)}))
    await recording.get_if_changed(SITE, 10_000, Version())
    with pytest.raises(NetworkError, match="larger than"):
        recording.transcript()


async def test_the_same_and_what_has_no_keys() -> None:
    recording = Recording(Pages({SITE: b"x"}))
    assert await recording.get_if_changed(SITE, 10, Version("e")) is None
    replay = Replay(recording.transcript())
    assert await replay.get_if_changed(SITE, 10, Version("e")) is None
    with pytest.raises(NetworkError, match="there is no network here"):
        await replay.get(SITE, 10)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["document", "same", "gone", "size", SITE, SUMS]),
    lambda below: st.lists(below, max_size=5),
    max_leaves=20,
)


@given(st.one_of(st.binary(max_size=100), st.tuples(values, st.binary(max_size=20))))
async def test_no_bytes_raise_anything_else(given_one: Any) -> None:
    if isinstance(given_one, tuple):
        head = json.dumps(given_one[0]).encode()
        given_one = len(head).to_bytes(8, "little") + head + given_one[1]
    with contextlib.suppress(LuxusbError):
        outcome = await read_again(given_one, feed_of("A" * 40), {}, TODAY, Version())
        assert outcome.releases == ()
