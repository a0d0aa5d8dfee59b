"""What each mirror does, as it is told to those who watch."""

from __future__ import annotations

import pytest

from luxusbd.errors import InvalidArgumentError
from luxusbd.transfer.codec import progress_from_json, progress_to_json, sources_from_json
from luxusbd.transfer.model import DownloadProgress, DownloadStage, SourceShare, SourceState
from luxusbd.transfer.shares import INTERVAL, MAX_SOURCES, Shares

A, B = "https://a.example/x.iso", "https://b.example/x.iso"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_who_serves_and_how_fast() -> None:
    clock = Clock()
    shares = Shares(clock)
    assert shares.picture() == ()
    shares.asked(A, "a.example")
    assert shares.picture() == (SourceShare(A, "a.example", SourceState.CONNECT, 0, 0),)
    for _step in range(40):
        shares.received(A, "cdn.example", 1000)
        clock.now += 0.1
    (share,) = shares.picture()
    assert (share.host, share.state, share.bytes_done) == ("cdn.example", SourceState.SERVING, 40_000)
    assert share.rate == pytest.approx(10_000, rel=0.01)
    # what is long ago counts no more
    clock.now += 60
    shares.received(A, "cdn.example", 1000)
    clock.now += INTERVAL
    assert shares.picture()[0].rate == 1000
    shares.failed(A, "broke", fault=True, rests_until=clock.now + 8, for_good=False)
    shares.asked(B, "b.example")
    shares.failed(B, "gone", fault=True, rests_until=0, for_good=True)
    assert [(share.state, share.rate) for share in shares.picture()] == [
        (SourceState.WAITING, 0),
        (SourceState.GIVEN_UP, 0),
    ]


def test_what_is_known_of_a_mirror() -> None:
    clock = Clock()
    shares = Shares(clock)
    shares.asked(A, "a.example")
    shares.answered(A, "cdn.example", 0.25)
    shares.received(A, "cdn.example", 1000)
    shares.measured(A, 5000.7)
    shares.measured(A, 0)
    shares.succeeded(A)
    shares.failed(A, "answered 503", fault=True, rests_until=clock.now + 60, for_good=False)
    clock.now += 20
    (share,) = shares.picture(now=True)
    assert share == SourceShare(
        A, "cdn.example", SourceState.WAITING, 0, 1000, 5000, 0.25, successes=1, failures=1, rests=40.0,
        reason="answered 503",
    )  # fmt: skip
    # the next range goes well: what was before is past
    shares.asked(A, "a.example")
    shares.succeeded(A)
    assert (shares.picture(now=True)[0].reason, shares.picture()[0].rests) == ("", 0.0)
    shares.banned(A, "a.example", "sent wrong bytes")
    assert shares.picture()[0].state is SourceState.BANNED
    shares.cleared(A)
    assert shares.picture()[0].state is SourceState.WAITING


def test_a_picture_lasts_a_second_unless_somebody_comes_or_goes() -> None:
    clock = Clock()
    shares = Shares(clock)
    shares.asked(A, "a.example")
    shares.received(A, "a.example", 10)
    first = shares.picture()
    clock.now += INTERVAL / 2
    shares.received(A, "a.example", 10)
    assert shares.picture() is first
    clock.now += INTERVAL / 2
    assert shares.picture()[0].bytes_done == 20
    clock.now += INTERVAL / 10
    shares.idle(A)
    assert shares.picture()[0].state is SourceState.WAITING


def test_a_picture_is_bounded() -> None:
    shares = Shares(Clock())
    for number in range(MAX_SOURCES + 5):
        shares.asked(f"https://{number}.example", f"{number}.example")
    assert len(shares.picture()) == MAX_SOURCES


def test_over_the_wire() -> None:
    share = SourceShare(A, "a.example", SourceState.SERVING, 5, 7)
    progress = DownloadProgress(DownloadStage.TRANSFER, 1, 2, 0, "a.example", sources=(share,))
    assert progress_from_json(progress_to_json(progress)) == progress
    good = {"url": A, "host": "a", "state": "serving", "rate": 1, "bytes_done": 2}
    assert len(sources_from_json([good] * 99)) == MAX_SOURCES
    wrong: tuple[object, ...] = (
        {},
        [3],
        [{**good, "state": "flying"}],
        [{**good, "rate": "1"}],
        [{**good, "host": None}],
    )
    for bad in wrong:
        with pytest.raises(InvalidArgumentError):
            sources_from_json(bad)
