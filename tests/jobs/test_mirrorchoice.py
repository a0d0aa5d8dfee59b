"""In which order mirrors are asked."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.catalog.model import Mirror
from luxusbd.config import MirrorsConfig
from luxusbd.errors import InvalidArgumentError
from luxusbd.jobs import mirrorchoice as choice
from luxusbd.jobs import mirrorstats as stats
from luxusbd.jobs import mirrorwishes
from luxusbd.jobs.mirrorchoice import MirrorState, Standing
from luxusbd.jobs.mirrorstats import Knowledge, Record, Rest
from luxusbd.jobs.mirrorwishes import Level, Wish, WishChange, Wishes

NOW = 1_800_000_000
MIB = 1024 * 1024
COUNTRIES = ["", "DE", "AT", "US"]
MIRRORS = tuple(Mirror(f"https://m{number}.example/x.iso", COUNTRIES[number % 4]) for number in range(24))


def record(rate: float = 0.0, age: int = 0, **fields: object) -> Record:
    standard: dict[str, object] = {"weight": 1.0, "successes": 5.0}
    return Record(NOW - age, NOW - age, rate, **{**standard, **fields})  # type: ignore[arg-type]


def host(number: int) -> str:
    return f"m{number}.example"


def order(
    known: Knowledge, wishes: Wishes | None = None, *, near: str = "", mirrors: tuple[Mirror, ...] = MIRRORS[:4]
) -> list[str]:
    return [one.host for one in choice.standings(mirrors, known, wishes or Wishes(), near, NOW)]


def states(known: Knowledge, wishes: Wishes | None = None) -> Mapping[str, MirrorState]:
    return {one.host: one.state for one in choice.standings(MIRRORS[:4], known, wishes or Wishes(), "", NOW)}


records = st.builds(
    record,
    rate=st.floats(0, 1e9),
    age=st.integers(0, 100 * stats.DAY),
    weight=st.floats(0, stats.MAX_WEIGHT),
    successes=st.floats(0, 50),
    failures=st.floats(0, 50),
    ban=st.sampled_from([Rest(), Rest(NOW + 50, banned=True), Rest(NOW - 50, banned=True)]),
)
rests = st.sampled_from([Rest(), Rest(NOW + 60), Rest(NOW + 70, banned=True), Rest(NOW - 1)])
codes = st.frozensets(st.sampled_from(["DE", "AT", "US", "CN"]), max_size=2)
wishes = st.builds(Wishes, prefer=codes, exclude=codes)
knowledge = st.builds(
    Knowledge,
    hosts=st.dictionaries(st.sampled_from([host(number) for number in range(24)]), records),
    addresses=st.dictionaries(st.sampled_from([mirror.url for mirror in MIRRORS]), rests),
)


@given(
    knowledge,
    wishes,
    st.integers(1, 24),
    st.sampled_from(["", "DE"]),
    st.integers(),
    st.sampled_from(["", MIRRORS[0].url, MIRRORS[23].url]),
)
def test_rules_of_every_choice(known: Knowledge, wanted: Wishes, count: int, near: str, seed: int, own: str) -> None:
    mirrors = MIRRORS[:count]
    found = choice.standings(mirrors, known, wanted, near, NOW)
    assert sorted(one.url for one in found) == sorted(mirror.url for mirror in mirrors)
    chosen = choice.candidates(found, random.Random(seed), own=own)
    assert len(set(chosen)) == len(chosen) <= choice.CANDIDATES
    usable = {one.url for one in found if one.state not in (MirrorState.EXCLUDED, MirrorState.BANNED)}
    assert own not in usable or own in {one.url for one in chosen}, "the maker's own address is asked, too"
    by_state = {state: [one for one in found if one.state is state] for state in MirrorState}
    allowed = [one for one in found if one.state is not MirrorState.EXCLUDED]
    assert all(one.country not in wanted.exclude for one in allowed)
    assert bool(chosen) == bool(allowed), "as long as one mirror is allowed, one is asked"
    assert not any(one.state is MirrorState.EXCLUDED for one in chosen)
    if len(by_state[MirrorState.BANNED]) < len(allowed):
        assert not any(one.state is MirrorState.BANNED for one in chosen)
    ranks = [_rank(one) for one in chosen]
    assert ranks == sorted(ranks), "preferred ones first, those that rest last"
    for index, one in enumerate(chosen):
        behind = [other.score for other in chosen[index + 1 :] if _rank(other) == ranks[index]]
        assert one.score >= choice.TIE * max(behind, default=0.0), "only what is nearly as good comes before the best"
    # what is listed is what is asked, but for ties
    assert [_rank(one) for one in found] == sorted(_rank(one) for one in found)


def _rank(one: Standing) -> int:
    last = {MirrorState.COOLING: 2, MirrorState.BANNED: 3, MirrorState.EXCLUDED: 4}
    return last.get(one.state, 0 if one.preferred else 1)


def test_the_faster_one_comes_first_and_an_untried_one_before_the_slow() -> None:
    known = Knowledge({host(0): record(1 * MIB), host(1): record(20 * MIB)})
    assert order(known) == [host(1), host(2), host(3), host(0)]
    assert set(states(known).values()) == {MirrorState.OK, MirrorState.UNTRIED}


def test_what_is_known_fades_towards_unknown() -> None:
    known = Knowledge({host(0): record(1 * MIB, age=60 * stats.DAY), host(1): record(20 * MIB, age=60 * stats.DAY)})
    scores = [one.score for one in choice.standings(MIRRORS[:4], known, Wishes(), "", NOW)]
    assert min(scores) > choice.TIE * max(scores), "after two months they are as good as each other"


def test_failures_weigh_only_from_three_transfers_on() -> None:
    few = record(20 * MIB, successes=0.0, failures=2.0)
    many = record(20 * MIB, successes=1.0, failures=9.0)
    slow = record(10 * MIB)
    assert order(Knowledge({host(0): few, host(1): slow}), mirrors=MIRRORS[:2]) == [host(0), host(1)]
    assert order(Knowledge({host(0): many, host(1): slow}), mirrors=MIRRORS[:2]) == [host(1), host(0)]


def test_ties_are_spread() -> None:
    found = choice.standings(MIRRORS[:4], Knowledge(), Wishes(), "", NOW)
    firsts = {choice.candidates(found, random.Random(seed))[0].host for seed in range(60)}
    assert firsts == {host(number) for number in range(4)}


def test_the_maker_s_own_address_is_raced_unless_it_is_slow() -> None:
    own = MIRRORS[23].url
    untried = choice.standings(MIRRORS, Knowledge(), Wishes(), "", NOW)
    places = [
        [one.url for one in choice.candidates(untried, random.Random(seed), own=own)].index(own) for seed in range(60)
    ]
    assert set(places) == {0, choice.OWN_PLACE}
    slow = Knowledge({host(23): record(1 * MIB), **{host(number): record(20 * MIB) for number in range(23)}})
    chosen = choice.candidates(choice.standings(MIRRORS, slow, Wishes(), "", NOW), random.Random(1), own=own)
    assert [one.url for one in chosen].index(own) == choice.CANDIDATES - 1
    assert len({choice.candidates(untried, random.Random(seed), 1, own)[0].url for seed in range(20)}) > 1


def test_of_untried_mirrors_those_of_the_own_country_come_first() -> None:
    found = choice.standings(MIRRORS, Knowledge(), Wishes(), "US", NOW)
    near = sum(1 for mirror in MIRRORS if mirror.country == "US")
    for seed in range(20):
        chosen = choice.candidates(found, random.Random(seed))
        assert {one.country for one in chosen[:near]} == {"US"}


def test_countries() -> None:
    assert order(Knowledge(), Wishes(prefer=frozenset({"AT"})))[0] == host(2)
    assert order(Knowledge(), near="US")[0] == host(3)
    # the own country is a mild reason: a clearly faster one elsewhere comes first
    assert order(Knowledge({host(1): record(20 * MIB), host(3): record(10 * MIB)}), near="US")[0] == host(1)
    # a preferred one is asked first however slow it is
    slow = Knowledge({host(1): record(20 * MIB), host(2): record(1 * MIB)})
    assert order(slow, Wishes(prefer=frozenset({"AT"})))[0] == host(2)


def test_who_rests_is_last_and_who_lied_is_out() -> None:
    known = Knowledge(
        {
            host(0): record(20 * MIB),
            host(1): record(5 * MIB),
            host(2): record(9 * MIB, ban=Rest(NOW + 9, True, "lied")),
        },
        {MIRRORS[0].url: Rest(NOW + 60, reason="answered 404")},
    )
    found = choice.standings(MIRRORS[:3], known, Wishes(), "", NOW)
    assert [(one.host, one.state, one.until - NOW, one.reason) for one in found] == [
        (host(1), MirrorState.OK, -NOW, ""),
        (host(0), MirrorState.COOLING, 60, "answered 404"),
        (host(2), MirrorState.BANNED, 9, "lied"),
    ]
    assert [one.host for one in choice.candidates(found, random.Random(1))] == [host(1), host(0)]


def test_when_all_are_banned_they_are_asked_all_the_same() -> None:
    known = Knowledge({host(number): record(ban=Rest(NOW + 9, banned=True)) for number in range(3)})
    found = choice.standings(MIRRORS[:4], known, Wishes(exclude=frozenset({"US"})), "", NOW)
    assert {one.host for one in choice.candidates(found, random.Random(1))} == {host(0), host(1), host(2)}


def test_a_pin_leaves_one() -> None:
    wanted = Wishes(pinned="https://m2.example/", pinned_at=Level.DISTRIBUTION, exclude=frozenset({"AT"}))
    banned = Knowledge({host(2): record(1 * MIB, ban=Rest(NOW + 9, True, "lied"))})
    found = choice.standings(MIRRORS[:4], banned, wanted, "", NOW)
    assert (found[0].host, found[0].state, found[0].reason) == (host(2), MirrorState.PINNED, "lied")
    assert [one.state for one in found[1:]] == [MirrorState.EXCLUDED] * 3
    assert [one.host for one in choice.candidates(found, random.Random(1))] == [host(2)]


def test_a_pin_that_is_gone_names_itself_and_the_way_out() -> None:
    wanted = Wishes(pinned="https://gone.example/x.iso", pinned_at=Level.DISTRIBUTION)
    found = choice.standings(MIRRORS[:4], Knowledge(), wanted, "", NOW)
    assert choice.candidates(found, random.Random(1)) == ()
    text = choice.none_left(found, wanted, "debian").message
    assert "https://gone.example/x.iso" in text
    assert "`luxusb mirrors debian --unpin`" in text
    # for all distributions it is a wish for those that have it
    everywhere = Wishes(pinned="https://gone.example/", pinned_at=Level.ALL)
    assert (
        len(choice.candidates(choice.standings(MIRRORS[:4], Knowledge(), everywhere, "", NOW), random.Random(1))) == 4
    )


@pytest.mark.parametrize(
    ("level", "said"),
    [
        (Level.DISTRIBUTION, "`luxusb mirrors debian --auto`"),
        (Level.ALL, "`luxusb mirrors --auto`"),
        (Level.CONFIG, "[mirrors] exclude"),
    ],
)
def test_when_all_are_excluded_the_text_says_who_did_it(level: Level, said: str) -> None:
    wanted = Wishes(exclude=frozenset({"DE", "AT"}), excluded_at=level)
    found = choice.standings(MIRRORS[1:3], Knowledge(), wanted, "", NOW)
    assert choice.candidates(found, random.Random(1)) == ()
    text = choice.none_left(found, wanted, "debian").message
    assert said in text
    assert "(AT, DE)" in text


def test_hints_hold_what_is_known() -> None:
    known = Knowledge(
        {host(0): record(5.9, latency=0.5, successes=1.0, failures=3.0), host(1): record(7.0, successes=1.0)}
    )
    found = choice.standings(MIRRORS[:3], known, Wishes(), "", NOW)
    hints = {hint.url: (hint.rate, hint.latency, hint.success) for hint in choice.hints(found)}
    assert hints == {MIRRORS[0].url: (5, 0.5, 0.25), MIRRORS[1].url: (7, 0.0, 1.0)}


def test_levels_of_wishes() -> None:
    config = MirrorsConfig(prefer=("DE",), exclude=("CN", "US"))
    assert mirrorwishes.merged(config, Wish(), Wish()) == Wishes(
        prefer=frozenset({"DE"}), exclude=frozenset({"CN", "US"}), excluded_at=Level.CONFIG
    )
    found = mirrorwishes.merged(config, Wish(prefer=("US",), pinned="https://a/"), Wish(exclude=("AT",)))
    assert found == Wishes("https://a/", Level.ALL, frozenset({"US"}), frozenset({"AT"}), Level.DISTRIBUTION)
    # preferring is allowing, where it is said more precisely
    assert mirrorwishes.merged(config, Wish(prefer=("US",)), Wish()).exclude == {"CN"}
    assert mirrorwishes.merged(config, Wish(exclude=("DE",)), Wish()).prefer == frozenset()
    # a pin for all does not reach where its country is excluded for one
    wanted = mirrorwishes.merged(config, Wish(pinned="https://m1.example"), Wish(exclude=("DE",)))
    assert states(Knowledge(), wanted)[host(1)] is MirrorState.EXCLUDED
    assert states(Knowledge(), wanted)[host(0)] is MirrorState.UNTRIED


def test_what_is_not_said_stays() -> None:
    wish = mirrorwishes.change(Wish(), WishChange(pinned="https://a/", prefer=("de", "at", "DE")))
    assert wish == Wish("https://a/", ("DE", "AT"))
    wish = mirrorwishes.change(wish, WishChange(exclude=("CN",)))
    assert mirrorwishes.change(wish, WishChange(pinned="", prefer=())) == Wish(exclude=("CN",))
    assert not mirrorwishes.change(wish, WishChange("", (), ()))
    with pytest.raises(InvalidArgumentError, match="did you mean GB"):
        mirrorwishes.change(wish, WishChange(prefer=("UK",)))
    with pytest.raises(InvalidArgumentError, match="CN cannot be preferred and excluded"):
        mirrorwishes.change(wish, WishChange(prefer=("CN",)))


def test_the_beginning_of_an_address_ends_at_a_slash() -> None:
    assert mirrorwishes.fits("https://a.example/x/y.iso", "https://a.example")
    assert mirrorwishes.fits("https://a.example/x/y.iso", "https://a.example/x/")
    assert mirrorwishes.fits("https://a.example/x/y.iso", "https://a.example/x/y.iso")
    assert not mirrorwishes.fits("https://a.example.evil/x/y.iso", "https://a.example")
    assert not mirrorwishes.fits("https://a.example/xy/y.iso", "https://a.example/x")


@given(st.text(), st.lists(st.text(max_size=3)), st.lists(st.text(max_size=3)))
def test_wishes_as_documents(pinned: str, prefer: list[str], exclude: list[str]) -> None:
    wish = Wish(pinned, tuple(prefer), tuple(exclude))
    document = mirrorwishes.wish_to_document(wish)
    assert mirrorwishes.wish_from_document(document) == wish
    for key in document:
        assert mirrorwishes.wish_from_document({**document, key: 1}) is None
