"""Serial and expiry: what may take the place of what."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.catalog import update
from luxusbd.catalog.model import Layer, Stamp
from luxusbd.catalog.schema import parse_document, read_document, validate
from luxusbd.catalog.update import Edition
from luxusbd.errors import CatalogError, FailedError, LuxusbError, VerificationError
from tests.catalog.test_catalog import named
from tests.catalog.test_schema import document

NOW = update.PROGRAM_MADE + 100 * 86400
A, B = "a" * 64, "b" * 64
GOOD = Edition(Stamp(NOW - 60, 5, NOW + 86400), A)


def edition(**changes: int) -> Edition:
    return replace(GOOD, stamp=replace(GOOD.stamp, **changes), sha256=B)


def test_a_newer_one_may() -> None:
    update.judge(GOOD, None, NOW)
    update.judge(edition(serial=6), GOOD, NOW)


def test_the_same_one_may() -> None:
    update.judge(GOOD, GOOD, NOW)


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (edition(serial=4), r"older than the one in force \(serial 4 < 5\)"),
        (edition(), "two different catalogues of the same serial 5"),
        (edition(serial=6, expires=NOW), r"expired on 2027-01-09 00:00 UTC \(serial 6\).*clock says 2027-01-09"),
        (edition(serial=0), "has no serial"),
        (edition(serial=6, expires=0), "does not say when it expires"),
    ],
)
def test_what_may_not(new: Edition, said: str) -> None:
    with pytest.raises(VerificationError, match=said):
        update.judge(new, GOOD, NOW)


def test_a_clock_that_is_behind_is_told_and_nothing_is_believed() -> None:
    with pytest.raises(FailedError, match=r"clock says 1970-01-01 00:00 UTC.*before this version of luxusbd"):
        update.check_clock(0)
    ahead = edition(serial=6, made=NOW + 2 * 86400, expires=NOW + 30 * 86400)
    with pytest.raises(FailedError, match=r"before the catalogue was made \(2027-01-11 00:00 UTC\); set it"):
        update.judge(ahead, GOOD, NOW)
    # a few hours are nothing
    update.judge(edition(serial=6, made=NOW + 3600), GOOD, NOW)


NUMBERS = st.integers(0, 2**53)
STAMPS = st.builds(Stamp, st.integers(-(2**40), 2**40), NUMBERS, st.integers(-(2**40), 2**40))
EDITIONS = st.builds(Edition, STAMPS, st.sampled_from([A, B]))


@given(EDITIONS, st.none() | EDITIONS, st.integers(0, 2**40))
def test_whatever_is_accepted_is_newer_and_not_expired(new: Edition, old: Edition | None, now: int) -> None:
    try:
        update.judge(new, old, now)
    except LuxusbError:
        return
    assert new.stamp.expires > now
    assert new.stamp.serial > 0
    assert old is None or new.stamp.serial > old.stamp.serial or (new.sha256, old.sha256) in ((A, A), (B, B))
    assert old is None or new.stamp.serial >= old.stamp.serial


@given(st.lists(EDITIONS, max_size=8))
def test_the_serial_never_falls(offered: list[Edition]) -> None:
    """Whatever is sent in whatever order."""
    in_force: Edition | None = None
    for new in offered:
        try:
            update.judge(new, in_force, NOW)
        except LuxusbError:
            continue
        assert in_force is None or new.stamp.serial >= in_force.stamp.serial
        in_force = new


def test_the_warning_of_one_that_has_expired() -> None:
    assert update.warning(GOOD.stamp, NOW) == ""
    assert update.warning(Stamp(), NOW) == ""
    assert update.warning(GOOD.stamp, NOW + 86400) == (
        "the catalogue expired on 2027-01-10 00:00 UTC; updates may be held back"
    )


def test_what_changed() -> None:
    old = [*validate(named("a"), "x", Layer.PACKAGED), *validate(named("b"), "x", Layer.ADMIN)]
    new = [*validate(named("b", "Other"), "x", Layer.CACHE), *validate(named("c"), "x", Layer.CACHE)]
    assert update.compare(old, new) == update.Changes(("c",), ("b",), ("a",))
    # where an entry comes from is no change of it
    moved = validate(named("a"), "x", Layer.CACHE)
    assert update.compare(old[:1], moved) == update.Changes((), (), ())


def test_times_that_no_calendar_has() -> None:
    assert update.moment(2**62) == f"{2**62} seconds after 1970"


def test_the_stamp_of_a_document() -> None:
    import json

    data = document() | {"last_updated": "2026-11-01T12:00:00+02:00", "serial": 7, "expires": "2027-01-01T00:00:00Z"}
    read = read_document(json.dumps(data).encode(), "x", Layer.CACHE)
    assert read.stamp == Stamp(made=1793527200, serial=7, expires=1798761600)
    assert read.distributions == parse_document(json.dumps(data).encode(), "x", Layer.CACHE)
    plain = read_document(json.dumps(document()).encode(), "x", Layer.CACHE).stamp
    assert (plain.serial, plain.expires) == (0, 0)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("serial", 0, "$.serial: found 0, expected a whole number"),
        ("serial", -1, "$.serial"),
        ("serial", "7", '$.serial: found "7"'),
        ("serial", True, "$.serial: found true"),
        ("serial", 2**53, "$.serial"),
        ("expires", "2027-01-01", "$.expires: found \"2027-01-01\", expected a moment in UTC"),
        ("expires", "2027-02-30T00:00:00Z", "T00:00:00Z\", expected a date of the calendar"),
        ("expires", 5, "$.expires"),
    ],
)  # fmt: skip
def test_a_stamp_that_is_none(field: str, value: object, expected: str) -> None:
    with pytest.raises(CatalogError) as caught:
        validate(document() | {field: value}, "x", Layer.CACHE)
    assert expected in caught.value.message
