"""Judging status and headers alone, what servers' versions mean, and who is asked next."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from luxusbd.transfer.answers import (
    AnswerKind,
    Asked,
    Change,
    FailureKind,
    SourceError,
    compare,
    judge,
    retry_after,
)
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.mirrors import Mirror, MirrorBook
from luxusbd.transfer.partstate import Validators

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def headers(**fields: str) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict({name.replace("_", "-"): value for name, value in fields.items()}))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", 0),
        ("120", 120),
        ("-5", 0),
        ("soon", 0),
        ("9" * 400, 999999999),
        ("Fri, 02 Jan 2026 03:05:05 GMT", 60),
        ("Fri, 02 Jan 2026 03:05:05 -0000", 60),
        ("Thu, 01 Jan 2026 00:00:00 GMT", 0),
        ("Fri, 99 Jan 2026 00:00:00 GMT", 0),
    ],
)
def test_retry_after(value: str, seconds: float) -> None:
    assert retry_after(headers(Retry_After=value), NOW) == seconds


def validators(etag: str = "", date: str = "", total: int = 5) -> Validators:
    return Validators("https://a/b", etag, date, total)


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        (validators('"1"', "d"), validators('"1"', "e"), Change.SAME),
        (validators('"1"', "d"), validators('"2"', "d"), Change.ETAG_ONLY),
        (validators('"1"'), validators('"2"'), Change.DIFFERENT),
        (validators('"1"', "d"), validators('"2"', "e"), Change.DIFFERENT),
        (validators("", "d"), validators("", "e"), Change.DIFFERENT),
        (validators("", "d"), validators("", ""), Change.SAME),
        (validators('"1"', "d"), validators("", "d"), Change.SAME),
        (validators('"1"', "d", 5), validators('"1"', "d", 6), Change.DIFFERENT),
        (validators('"1"', total=0), validators('"1"', total=6), Change.SAME),
    ],
)
def test_versions(old: Validators, new: Validators, change: Change) -> None:
    assert compare(old, new) is change


@pytest.mark.parametrize(
    ("etag", "strong"), [('"a"', '"a"'), ('W/"a"', ""), ("a", ""), ('"', ""), ('""', ""), ("", "")]
)
def test_only_strong_etags_are_conditions(etag: str, strong: str) -> None:
    assert validators(etag).strong_etag == strong


def test_signed_addresses_are_one_server() -> None:
    one = Validators("https://cdn/a.iso?sig=1")
    assert one.identity == Validators("https://cdn/a.iso?sig=2#x").identity != Validators("https://cdn/b.iso").identity


ASKED = Asked(start=100, end=200, ranged=True, size=200, hash_known=True)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300) | st.none(), st.integers(0, 300) | st.none())
def test_a_part_is_taken_only_if_it_is_the_one_asked_for(
    first: int, last: int, total: int | None, length: int | None
) -> None:
    fields = {"Content_Range": f"bytes {first}-{last}/{'*' if total is None else total}"}
    if length is not None:
        fields["Content_Length"] = str(length)
    right = (
        first == 100 and 100 <= last < 200 and total in (None, 200) and (length is None or length == last - first + 1)
    )
    try:
        answer = judge(206, "", headers(**fields), ASKED, "http://a/")
    except SourceError:
        assert not right
    else:
        assert right
        assert (answer.start, answer.end, answer.total) == (100, last + 1, 200)


@given(
    st.integers(100, 599),
    st.dictionaries(
        st.sampled_from(
            ["Content-Range", "Content-Length", "Transfer-Encoding", "Content-Encoding", "Content-Type", "ETag"]
        ),
        st.text(max_size=12)
        | st.sampled_from(["bytes 100-199/200", "bytes */200", "200", "gzip", "chunked", "text/html"]),
    ),
    st.builds(
        Asked,
        start=st.integers(0, 200),
        end=st.none(),
        ranged=st.booleans(),
        size=st.sampled_from([0, 200]),
        hash_known=st.booleans(),
    ),
)
def test_no_answer_crashes_it(status: int, fields: dict[str, str], asked: Asked) -> None:
    try:
        answer = judge(status, "reason", CIMultiDictProxy(CIMultiDict(fields)), asked, "http://a/b")
    except SourceError:
        return
    assert status in (200, 206, 416)
    assert answer.start in (0, asked.start)
    assert answer.kind is not AnswerKind.PART or (asked.ranged or asked.start == 0)
    if asked.size:
        assert answer.total in (None, asked.size)


def test_control_characters_of_a_server_do_not_reach_the_terminal() -> None:
    with pytest.raises(SourceError) as caught:
        judge(404, "\x1b[31mNot\x07 Found", headers(), ASKED, "http://a/")
    assert str(caught.value) == "answered 404 [31mNot Found"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


LIMITS = TransferLimits()


def book(*urls: str) -> tuple[MirrorBook, Clock]:
    clock = Clock()
    return MirrorBook(urls, LIMITS, clock, lambda: 1.0), clock


def ask(some: MirrorBook) -> tuple[str, float]:
    choice = some.next()
    assert choice is not None
    return choice[0].url, choice[1]


def fail(some: MirrorBook, kind: FailureKind, *, brought: bool = False, after: float = 0.0) -> Mirror:
    choice = some.next()
    assert choice is not None
    some.failed(choice[0], SourceError(kind, "oops", retry_after=after), brought_bytes=brought)
    return choice[0]


def test_best_mirror_first_then_the_next_while_it_rests() -> None:
    some, clock = book("a", "b")
    assert ask(some) == ("a", 0)
    fail(some, FailureKind.TRANSIENT)
    assert ask(some) == ("b", 0)
    fail(some, FailureKind.TRANSIENT)
    assert ask(some) == ("a", 1)
    clock.now += 1
    assert ask(some) == ("a", 0)


def test_backoff_doubles_up_to_its_cap() -> None:
    some, clock = book("a")
    waits = []
    for _ in range(LIMITS.attempts - 1):
        fail(some, FailureKind.TRANSIENT)
        waits.append(ask(some)[1])
        clock.now += waits[-1]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    fail(some, FailureKind.TRANSIENT)
    assert some.next() is None


def test_without_network_it_is_more_patient() -> None:
    some, clock = book("a")
    total = 0.0
    for _ in range(LIMITS.network_attempts - 1):
        fail(some, FailureKind.NO_NETWORK)
        assert some.offline
        wait = ask(some)[1]
        assert wait <= LIMITS.backoff_cap
        total += wait
        clock.now += wait
    assert total > 3600
    fail(some, FailureKind.NO_NETWORK)
    assert some.next() is None
    assert "check the network" in some.summary()


def test_progress_gives_everybody_new_chances() -> None:
    some, clock = book("a", "b")
    for _ in range(8):
        fail(some, FailureKind.TRANSIENT)
        clock.now += 300
    mirror, _wait = some.next() or pytest.fail("given up")
    some.progressed(mirror)
    assert {one.strikes for one in some.mirrors} == {0}


def test_retry_after_is_kept_and_others_serve_meanwhile() -> None:
    some, _clock = book("a", "b")
    fail(some, FailureKind.BUSY, after=600)
    assert ask(some) == ("b", 0)
    some.drop(some.mirrors[1], "gone")
    assert ask(some) == ("a", 600)


def test_a_mirror_without_the_file_is_asked_again_after_an_hour() -> None:
    some, clock = book("a", "b")
    absent = fail(some, FailureKind.ABSENT)
    assert not some.alive(absent)
    clock.now += LIMITS.absent_for
    assert some.alive(absent)


def test_wrong_lengths_weigh_more() -> None:
    some, _clock = book("a")
    assert fail(some, FailureKind.BAD_ANSWER).strikes == 2
    assert fail(some, FailureKind.TRANSIENT).strikes == 3


def test_redirected_wrong_size_is_no_end() -> None:
    some, _clock = book("a", "b")
    error = SourceError(FailureKind.WRONG_SIZE, "its file has 1 bytes")
    some.failed(some.mirrors[0], error, brought_bytes=False)
    error.redirected = True
    some.failed(some.mirrors[1], error, brought_bytes=False)
    assert [some.alive(one) for one in some.mirrors] == [False, True]


def test_slow_mirror_rests_though_it_brought_bytes() -> None:
    some, _clock = book("a", "b")
    fail(some, FailureKind.SLOW, brought=True)
    assert ask(some) == ("b", 0)


@pytest.mark.parametrize("brought", [True, False])
@pytest.mark.parametrize("kind", [FailureKind.STALLED, FailureKind.SLOW, FailureKind.TRANSIENT])
def test_a_rest_that_is_over_does_not_bring_it_back_before_the_others(kind: FailureKind, brought: bool) -> None:
    some, clock = book("a", "b")
    fail(some, kind, brought=brought)
    clock.now += 1000
    assert ask(some) == ("a" if kind is FailureKind.TRANSIENT and brought else "b", 0)


def test_the_report_counts_what_repeats() -> None:
    some, _ = book("http://a/", "http://b/")
    for _ in range(2):
        some.failed(some.mirrors[0], SourceError(FailureKind.TRANSIENT, "oops"), brought_bytes=False)
    assert some.report() == "  http://a/: oops (2 times)\n  http://b/: was not asked"


def test_the_same_address_twice_is_one_mirror() -> None:
    assert len(book("a", "b", "a")[0].mirrors) == 2
