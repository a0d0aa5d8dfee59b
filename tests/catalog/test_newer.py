"""Which releases are newer than what somebody has."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.catalog import newer
from luxusbd.catalog.catalog import reference_to
from luxusbd.catalog.model import Distribution, Layer, Release, Trust
from luxusbd.catalog.newer import Known, Newer, Wishes, is_newer

TODAY = "2026-11-26"
ANY = Wishes(TODAY)


def release(version: str, **changes: Any) -> Release:
    values: dict[str, Any] = {
        "version": version,
        "release_date": "",
        "iso_url": f"https://example.org/{version}.iso",
        "sha256": f"{abs(hash((version, *sorted(changes.items())))):064x}",
        "size_mb": 1,
        "mirrors": (),
        "architecture": "amd64",
    }
    return Release(**{**values, **changes})


def known(version: str, **changes: Any) -> Known:
    return Known(**{"version": version, "edition": "", "architecture": "amd64", "sha256": "f" * 64, **changes})


def distribution(*releases: Release, id: str = "alpha") -> Distribution:
    return Distribution(id, id.title(), "", "", "", "", 0, releases, Layer.PACKAGED)


def find(have: Known, *releases: Release, wishes: Wishes = ANY, present: tuple[str, ...] = ()) -> Newer | None:
    return newer.newest(releases, have, wishes, reach=lambda one: one.trust, present=present)


def version_of(found: Newer | None) -> str:
    return found.release.version if found is not None else ""


RISING = (
    ("24.04-beta", "24.04-rc1", "24.04-rc2", "24.04", "24.04.1", "24.04.5.1", "24.10", "26.04"),
    ("13.0~alpha2", "13.0-rc.1", "13", "13.1.0", "13.7.0", "13.10"),
    ("43-1.6", "44-1.7", "44-1.10"),
    ("Snapshot20260820", "Snapshot20260930"),
    ("20260811T083102Z", "20260816T170110Z", "20260816T180000Z"),
    ("24.04-22", "24.04-27"),
    ("26.05.8111.5880666fd9eb", "26.05.8200.1880666fd9eb"),
    ("stable-20260818", "stable-20260819.1"),
    ("8.3.0", "8.3.0-20260806"),
    ("26.1-R15.0p2", "26.1.1"),
)


@pytest.mark.parametrize("versions", RISING, ids=lambda versions: versions[-1])
def test_versions_rise(versions: tuple[str, ...]) -> None:
    for older, later in pairwise(versions):
        assert is_newer(later, older)
        assert not is_newer(older, later)
    assert sorted(set(versions), key=newer.version_key) == list(versions)


@pytest.mark.parametrize(
    ("left", "right"), [("13", "13.0"), ("1.0-RC1", "1-rc1"), ("noble", "resolute"), ("rolling", "latest"), ("", "0")]
)
def test_neither_is_newer(left: str, right: str) -> None:
    assert not is_newer(left, right)
    assert not is_newer(right, left)


NUMBERS = st.lists(st.integers(0, 3), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
VERSIONS = st.one_of(
    NUMBERS,
    st.tuples(NUMBERS, st.sampled_from(("rc", "beta", "alpha2", "kde", "noble")), NUMBERS).map("-".join),
    st.text(max_size=20),
)


@given(VERSIONS, VERSIONS, VERSIONS)
def test_an_order_has_no_circles(first: str, second: str, third: str) -> None:
    assert not is_newer(first, first)
    assert not (is_newer(first, second) and is_newer(second, first))
    if is_newer(first, second) and is_newer(second, third):
        assert is_newer(first, third)


@given(NUMBERS, st.integers(0, 50), st.integers(1, 50))
def test_a_larger_number_is_newer_and_what_comes_before_a_release_is_older(start: str, last: int, more: int) -> None:
    assert is_newer(f"{start}.{last + more}", f"{start}.{last}")
    assert is_newer(f"{start}.{last}", f"{start}.{last}-rc{more}")
    assert is_newer(f"{start}.{last}-rc{last + more}", f"{start}.{last}-rc{last}")


@given(
    VERSIONS,
    st.lists(
        st.tuples(VERSIONS, st.sampled_from(Trust), st.sampled_from(("", "2026-01-01", "2030-01-01"))), max_size=6
    ),
    st.sampled_from((None, *Trust)),
    st.booleans(),
)
def test_nothing_is_ever_a_downgrade(
    version: str, others: list[tuple[str, Trust, str]], trust: Trust | None, same_series: bool
) -> None:
    releases = [release(text, trust=level, end_of_life=ends) for text, level, ends in others]
    have = known(version, trust=trust)
    found = find(have, *releases, wishes=Wishes(TODAY, same_series=same_series))
    certainly = [one for one in releases if is_newer(one.version, version)]
    if found is None:
        assert same_series or all(newer.is_early(one.version) for one in certainly)
        return
    assert found.respin or is_newer(found.release.version, version)
    assert found.respin == (not is_newer(found.release.version, version))
    assert found.less_trust == (trust is not None and not found.trust.reaches(trust))
    if found.less_trust and trust is not None:
        assert not any(
            one.trust.reaches(trust) for one in certainly if not newer.is_early(one.version) and not same_series
        )
    if same_series:
        assert not found.series_change


def test_of_the_same_edition_and_architecture() -> None:
    found = find(
        known("1", edition="kde"),
        release("4", edition="kde", architecture="arm64"),
        release("3", edition="gnome"),
        release("2", edition="KDE"),
    )
    assert version_of(found) == "2"
    assert find(known("1", architecture="i386"), release("2")) is None
    assert version_of(find(known("1", architecture="i386"), release("2", architecture=""))) == "2"
    # nobody knows: what a reference without it means
    assert version_of(find(known("1", architecture=""), release("3", architecture="arm64"), release("2"))) == "2"


def test_other_bytes_under_the_same_version() -> None:
    respun = release("1.0", sha256="a" * 64)
    found = find(known("1.0"), respun)
    assert found is not None
    assert (found.respin, found.release) == (True, respun)
    assert find(known("1.0", sha256="a" * 64), respun) is None
    # the catalogue has just these bytes, too: it is another file of that version
    assert find(known("1.0", genuine=True), respun) is None
    # by another hash nobody can tell that the bytes are others
    assert find(known("1.0"), release("1.0", sha256="", sha512="b" * 128)) is None
    newest = find(known("1.0"), respun, release("1.1"))
    assert newest is not None
    assert (newest.respin, newest.release.version) == (False, "1.1")


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ("24.04.3", "26.04", True),
        ("24.04.3", "24.04.5.1", False),
        ("12.15.0", "13.7.0", True),
        ("13.6.0", "13.7.0", False),
        ("43-1.6", "44-1.7", True),
        ("2026.05.01", "2026.09.01", False),
        ("2025.4", "2026.2", False),
        ("20250202", "20260101", False),
        ("260101", "260809", False),
        ("Snapshot20260820", "Snapshot20270930", False),
        ("3.23.2", "3.24.1", False),
        ("13.01", "13.02", False),
    ],
)
def test_a_series_ends(before: str, after: str, changes: bool) -> None:
    found = find(known(before), release(after))
    assert found is not None
    assert found.series_change is changes
    assert (find(known(before), release(after), wishes=Wishes(TODAY, same_series=True)) is None) is changes


def test_within_a_series_the_newest_of_it() -> None:
    releases = (release("26.04.1"), release("24.04.5"), release("24.04.4"))
    assert version_of(find(known("24.04.1"), *releases)) == "26.04.1"
    assert version_of(find(known("24.04.1"), *releases, wishes=Wishes(TODAY, same_series=True))) == "24.04.5"


def test_what_has_ended_comes_last() -> None:
    releases = (release("25.10", end_of_life="2026-07-01"), release("24.04", end_of_life="2029-04-01"))
    assert version_of(find(known("22.04"), *releases)) == "24.04"
    assert version_of(find(known("22.04"), releases[0])) == "25.10"
    assert find(known("24.10"), releases[1]) is None


def test_less_trust_comes_last_and_is_told() -> None:
    weak, sure = release("3", trust=Trust.HASH), release("2", trust=Trust.SIGNED)
    found = find(known("1", trust=Trust.SIGNED), weak, sure)
    assert (version_of(found), found is not None and found.less_trust) == ("2", False)
    found = find(known("1", trust=Trust.SIGNED), weak)
    assert found is not None
    assert found.less_trust is True
    for trust in (Trust.HASH, Trust.NONE, None):
        found = find(known("1", trust=trust), weak, sure)
        assert (version_of(found), found is not None and found.less_trust) == ("3", False)
    assert find(known("1"), weak, wishes=Wishes(TODAY, minimum=Trust.SIGNED)) is None


def test_what_comes_before_a_release_is_for_those_who_have_such() -> None:
    assert find(known("1.0"), release("2.0-beta1")) is None
    assert version_of(find(known("2.0-alpha"), release("2.0-beta1"))) == "2.0-beta1"


def test_what_is_there_already_is_not_fetched() -> None:
    newest = release("2")
    assert find(known("1"), newest, release("1.5"), present=(newest.content,)) is None


def test_an_image_is_known_by_its_reference_or_its_hash() -> None:
    old, new = release("1", edition="kde", trust=Trust.SIGNED, end_of_life="2026-01-01"), release("2", edition="kde")
    entry, other = distribution(old, new), distribution(release("9"), id="beta")
    catalogue = {"alpha": entry, "beta": other}
    by_hash = newer.identify(catalogue, "import", old.sha256, "", None)
    assert by_hash == (entry, Known("1", "kde", "amd64", old.sha256, True, Trust.SIGNED, "2026-01-01"))
    assert newer.identify(catalogue, reference_to(other, old), old.sha256, "", Trust.HASH) == (
        entry,
        dataclasses.replace(by_hash[1], trust=Trust.HASH),
    )
    gone = newer.identify(catalogue, "distro:alpha@0.9/kde", "e" * 64, "arm64", None)
    assert gone == (entry, Known("0.9", "kde", "arm64", "e" * 64))
    for source in ("import", "distro:gamma@1", "distro:alpha", "distro:@", "distro:alpha@1\n", "custom:alpha@1"):
        assert newer.identify(catalogue, source, "e" * 64, "", None) is None


@given(st.text(max_size=40), st.text(max_size=40))
def test_what_a_stick_says_of_a_source_does_no_harm(source: str, sha256: str) -> None:
    newer.identify({"alpha": distribution(release("1"))}, f"distro:{source}", sha256, "", None)
