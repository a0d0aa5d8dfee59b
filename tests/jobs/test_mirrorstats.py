"""What downloads teach about mirrors, and how it fades."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.jobs import mirrorstats as stats
from luxusbd.jobs.mirrorstats import Knowledge, Record, Rest
from luxusbd.transfer.model import SourceShare, SourceState

NOW = 1_800_000_000
A, B = "https://a.example/x.iso", "http://b.example:8080/x.iso"
MIB = 1024 * 1024


def share(url: str = A, state: SourceState = SourceState.SERVING, **fields: object) -> SourceShare:
    standard: dict[str, object] = {"latency": 0.1, "successes": 4, "measured": MIB, "bytes_done": MIB}
    return SourceShare(url, "behind.example", state, 0, **{**standard, **fields})  # type: ignore[arg-type]


shares = st.builds(
    SourceShare,
    url=st.sampled_from([A, B, "https://a.example/y.iso", "https://stranger.example/x.iso", "nonsense", "http://["]),
    host=st.text(max_size=5),
    state=st.sampled_from(SourceState),
    rate=st.integers(0, 1 << 62),
    bytes_done=st.integers(0, 1 << 62),
    measured=st.integers(0, 1 << 62),
    latency=st.floats(0, 1e12),
    successes=st.integers(0, 1 << 62),
    failures=st.integers(0, 1 << 62),
    rests=st.floats(0, 1e12),
    reason=st.text(max_size=400),
)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://A.Example/x", "a.example"),
        ("https://a.example:443/x", "a.example"),
        ("https://a.example:80/x", "a.example:80"),
        ("http://127.0.0.1:8080/x", "127.0.0.1:8080"),
        ("http://[::1]:80/x", "[::1]"),
        ("http://[::1]:81/x", "[::1]:81"),
        ("http://user:secret@a.example/x", "a.example"),
        ("nonsense", ""),
        ("http://[", ""),
        ("http://a.example:99999/", ""),
    ],
)
def test_the_host_of_an_address(url: str, host: str) -> None:
    assert stats.host_of(url) == host


@given(st.lists(shares, max_size=8), st.booleans(), st.integers(0, 400 * stats.DAY))
def test_whatever_is_said_stays_within_bounds(said: list[SourceShare], verified: bool, later: int) -> None:
    known = Knowledge()
    now = NOW
    for _ in range(3):
        now += later
        news = stats.learn(known, {A, B}, said, now, verified=verified)
        known = Knowledge({**known.hosts, **news.hosts}, {**known.addresses, **news.addresses})
    assert set(known.hosts) <= {"a.example", "b.example:8080"}
    assert set(known.addresses) <= {A, B}
    for record in known.hosts.values():
        assert 0 <= record.rate <= stats.MAX_RATE * 1.001
        assert 0 <= record.weight <= stats.MAX_WEIGHT * 1.001
        assert 0 <= record.latency <= stats.MAX_LATENCY
        assert record.successes + record.failures <= stats.MAX_TRANSFERS * 1.001
        assert not record.ban.until or record.ban.banned
        assert verified or not record.ban.until
        assert record.success(now) is None or 0 <= (record.success(now) or 0) <= 1
        assert stats.record_from_document(json.loads(json.dumps(stats.record_to_document(record)))) == record
    for rest in [*known.addresses.values(), *(record.ban for record in known.hosts.values())]:
        assert rest.until <= now + stats.BAN
        assert not rest.holds(now + stats.BAN)
        assert len(rest.reason) <= stats.REASON_LIMIT
        assert stats.rest_from_document(json.loads(json.dumps(stats.rest_to_document(rest)))) == rest


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_fading(seen: int, first: int, second: int) -> None:
    early, late = sorted((seen + first, seen + second))
    assert 0 <= stats.fading(seen, late) <= stats.fading(seen, early) <= 1
    assert stats.fading(seen, seen - first) == 1
    assert stats.fading(seen, early + stats.HALF_LIFE) == pytest.approx(stats.fading(seen, early) / 2)


@given(st.integers(1, stats.MAX_RATE), st.integers(1, stats.MAX_RATE), st.integers(0, 400 * stats.DAY))
def test_a_new_rate_counts_for_a_fifth_at_least(old: int, new: int, later: int) -> None:
    known = Knowledge()
    for _ in range(10):
        known = stats.learn(known, {A}, [share(measured=old)], NOW, verified=True)
    found = stats.learn(known, {A}, [share(measured=new)], NOW + later, verified=True).hosts["a.example"]
    moved = abs(found.rate - old)
    assert moved >= abs(new - old) / 5 * 0.999 - 1e-6
    assert moved <= abs(new - old) * 1.001 + 1e-6
    assert found.measured == NOW + later


def test_enough_is_needed_to_judge_and_it_is_forgotten() -> None:
    two = stats.learn(Knowledge(), {A}, [share(successes=2)], NOW, verified=True).hosts["a.example"]
    assert two.success(NOW) is None
    four = stats.learn(Knowledge(), {A}, [share(successes=3, failures=1)], NOW, verified=True).hosts["a.example"]
    assert four.success(NOW) == 0.75
    assert four.success(NOW + stats.HALF_LIFE) is None


def test_one_download_does_not_drown_the_others() -> None:
    known = Knowledge()
    for _ in range(3):
        known = stats.learn(known, {A}, [share(successes=stats.PER_DOWNLOAD)], NOW, verified=True)
    found = stats.learn(known, {A}, [share(successes=0, failures=10**9)], NOW, verified=True).hosts["a.example"]
    assert found.success(NOW) == pytest.approx(0.75)


def test_a_liar_is_banned_for_a_day_when_the_right_bytes_were_found() -> None:
    lie = share(state=SourceState.BANNED, reason="it sent\nwrong bytes")
    news = stats.learn(Knowledge(), {A, B}, [lie, share(B)], NOW, verified=True)
    ban = news.hosts["a.example"].ban
    assert ban == Rest(NOW + stats.DAY, banned=True, reason="it sent wrong bytes")
    assert (ban.holds(NOW + stats.DAY - 1), ban.holds(NOW + stats.DAY)) == (True, False)
    assert not news.hosts["b.example:8080"].ban.holds(NOW)
    # further news of it neither end nor prolong that
    again = stats.learn(news, {A}, [share()], NOW + 5, verified=True)
    assert again.hosts["a.example"].ban == ban


def test_without_the_right_bytes_only_the_file_is_blamed() -> None:
    lies = [share(url, SourceState.BANNED) for url in (A, B)]
    news = stats.learn(Knowledge(), {A, B}, lies, NOW, verified=False)
    assert [record.ban.holds(NOW) for record in news.hosts.values()] == [False, False]
    assert {url: (rest.banned, rest.until - NOW) for url, rest in news.addresses.items()} == {
        A: (True, stats.DAY),
        B: (True, stats.DAY),
    }


def test_a_file_that_is_not_there_rests_alone_and_comes_back() -> None:
    gone = share(state=SourceState.GIVEN_UP, reason="answered 404", successes=0)
    busy = share(B, SourceState.WAITING, rests=90.5, reason="answered 503")
    news = stats.learn(Knowledge(), {A, B}, [gone, busy], NOW, verified=True)
    assert news.addresses == {
        A: Rest(NOW + stats.MAX_REST, reason="answered 404"),
        B: Rest(NOW + 90, reason="answered 503"),
    }
    assert not news.hosts["a.example"].ban.holds(NOW)
    assert stats.learn(news, {A}, [share()], NOW + 1, verified=True).addresses == {A: Rest()}


def test_a_network_that_is_down_teaches_nothing() -> None:
    dead = [share(url, SourceState.WAITING, latency=0.0, bytes_done=0, failures=5, rests=300.0) for url in (A, B)]
    assert stats.learn(Knowledge(), {A, B}, dead, NOW, verified=False) == Knowledge()


def test_a_rest_that_no_clock_can_have_meant_does_not_hold() -> None:
    assert not Rest(NOW + 10 * stats.DAY, banned=True).holds(NOW)
    assert not Rest(NOW + stats.MAX_REST + 1).holds(NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"rate": "fast"},
        {"rate": -1},
        {"rate": float("nan")},
        {"weight": True},
        {"seen": None},
        {"ban": {}},
        {"ban": []},
    ],
)
def test_damaged_documents_are_left_out(change: dict[str, object]) -> None:
    good = stats.record_to_document(Record(NOW))
    assert stats.record_from_document(good) == Record(NOW)
    assert stats.record_from_document({**good, **change}) is None
    assert stats.record_from_document({}) is None
