"""What feeds said, kept on the disk: what comes back is what was written, or nothing; and the layer that it makes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.catalog import feedcache
from luxusbd.catalog.catalog import Catalog, Sources
from luxusbd.catalog.feedcache import FeedCache, FeedRecord
from luxusbd.catalog.feeds.definitions import parse_descriptions
from luxusbd.catalog.feeds.model import Description, FeedRelease, HashTrust, Outcome
from luxusbd.catalog.model import Layer
from luxusbd.text import natural_key

KEY = "AB" * 20
SITE = "https://x.example/"


def described(name: str = "mine", **changes: Any) -> Description:
    entry = {
        "id": name, "strategy": "directory_index", "url": SITE, "listing": "sums", "sums": "SHA256SUMS",
        "signature": {"kind": "detached", "address": "{sums}.gpg", "keys": [KEY]},
        "images": [{"file": r"(?P<version>[0-9]+)\.iso", "architecture": "amd64"}], **changes,
    }  # fmt: skip
    return parse_descriptions(json.dumps({"version": 1, "feeds": [entry]}).encode(), "test")[0]


MINE = described()


def told(version: str, **fields: Any) -> FeedRelease:
    release = FeedRelease(
        "mine", "", "amd64", version, f"{SITE}{version}.iso", sha256=f"{int(version):064x}", size=5_000_000,
        sums_url=f"{SITE}SHA256SUMS", signature_url=f"{SITE}SHA256SUMS.gpg", trust=HashTrust.SIGNED, signed_by=KEY,
    )  # fmt: skip
    return replace(release, **fields)


def record(*releases: FeedRelease, **fields: Any) -> FeedRecord:
    return replace(FeedRecord.of(MINE), releases=releases, asked=5, answered=5, **fields)


lines = st.text(st.characters(min_codepoint=32, max_codepoint=0x17F, exclude_categories=["C", "Z"]), max_size=50)
versions = st.integers(1, 99).map(str)
labels = st.sampled_from(["", "kde", "xfce"])
releases = st.builds(told, versions, edition=labels, series=labels, size=st.integers(0, 1 << 40))
outcomes = st.one_of(
    st.builds(
        Outcome, st.just("mine"), st.lists(releases, max_size=5).map(tuple),
        st.lists(lines, max_size=2).map(tuple), etag=lines, last_modified=lines,
    ),
    st.builds(Outcome, st.just("mine"), unchanged=st.just(True)),
)  # fmt: skip
records = st.builds(
    FeedRecord, st.just("mine"), st.just(MINE.digest), st.integers(0, 1 << 40), st.integers(0, 1 << 40), lines, lines,
    st.lists(releases, max_size=5).map(tuple), st.lists(lines, max_size=3).map(tuple), st.booleans(),
)  # fmt: skip


@given(records)
def test_what_is_written_comes_back(tmp_path_factory: pytest.TempPathFactory, given_one: FeedRecord) -> None:
    cache = FeedCache(tmp_path_factory.mktemp("c") / "deep" / "feeds.json")
    cache.write([given_one])
    found, problems = cache.read([MINE])
    assert problems == ()
    assert dict(found) == {"mine": given_one}
    # by another description other releases may be meant
    assert cache.read([described(keep=2)]) == ({}, ())


@given(st.data(), records)
def test_a_file_of_whatever_content_is_reported_and_no_more(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, given_one: FeedRecord
) -> None:
    path = tmp_path_factory.mktemp("c") / "feeds.json"
    good = feedcache.to_bytes([given_one])
    document = json.loads(good)
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    )
    harm = data.draw(st.sampled_from(["cut", "bytes", "document", "record", "field", "release"]))
    if harm == "cut":
        path.write_bytes(good[: data.draw(st.integers(0, len(good) - 2))])
    elif harm == "bytes":
        path.write_bytes(data.draw(st.binary(max_size=200)))
    else:
        entry = document["feeds"]["mine"]
        if harm == "document":
            document = data.draw(anything)
        elif harm == "record":
            document["feeds"]["mine"] = data.draw(anything)
        elif harm == "field":
            entry[data.draw(st.sampled_from(sorted(entry)))] = data.draw(anything)
        elif entry["releases"]:
            entry["releases"][0][data.draw(st.sampled_from(sorted(entry["releases"][0])))] = data.draw(anything)
        path.write_bytes(json.dumps(document).encode())
    found, problems = FeedCache(path).read([MINE])
    assert all(line.startswith(f"{path}: ") and "not used" in line for line in problems)
    for release in (one for each in found.values() for one in each.releases):
        assert release.iso_url.startswith(SITE)
        assert release.signed_by == KEY
    if harm in ("cut", "bytes"):
        assert (found, len(problems)) == ({}, 1)


@given(st.lists(outcomes, max_size=6))
def test_no_outcome_takes_a_newer_release_away(said: list[Outcome]) -> None:
    now = FeedRecord.of(MINE)
    for time, outcome in enumerate(said, 1):
        before = {(one.edition, one.series): one.version for one in now.releases}
        now = now.told(outcome, time)
        after = {(one.edition, one.series): one.version for one in now.releases}
        assert now.asked == time
        for kind in before.keys() & after.keys():
            assert natural_key(after[kind]) >= natural_key(before[kind])
        if outcome.unchanged or outcome.problems:
            assert before.keys() <= after.keys()
        # with a problem everything is read anew the next time
        assert not (now.problems and not outcome.unchanged and (now.etag or now.last_modified))
        assert all(line.startswith("feed mine: ") for line in now.problems)


def test_how_it_went() -> None:
    good = record(told("1")).told(Outcome("mine", (told("2"),), etag="e"), 9)
    assert (good.answered, good.failed, good.etag, good.releases) == (9, False, "e", (told("2"),))
    bad = good.told(Outcome("mine", (), ("not genuine",)), 10)
    assert (bad.asked, bad.answered, bad.failed, bad.etag) == (10, 9, True, "")
    assert (bad.releases, bad.problems) == ((told("2"),), ("feed mine: not genuine",))
    gone = good.broken("no network", 11)
    assert (gone.answered, gone.failed, gone.etag, gone.problems) == (9, True, "e", ("feed mine: no network",))
    assert gone.told(Outcome("mine", unchanged=True), 12) == replace(good, asked=12, answered=12)
    older = good.told(Outcome("mine", (told("1"),)), 13)
    assert (older.releases, older.problems) == (
        (told("2"),), ("feed mine: tells of 1, and told of 2 before, which stays",)
    )  # fmt: skip


def test_a_file_that_is_too_large_or_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = FeedCache(tmp_path / "feeds.json")
    assert cache.read([MINE]) == ({}, ())
    cache.write([record(told("1"))])
    monkeypatch.setattr(feedcache, "MAX_FILE", 100)
    assert cache.read([MINE]) == ({}, (f"{cache.path}: larger than 0 MiB; it is not used",))
    assert FeedCache(tmp_path).read([MINE]) == ({}, (f"{tmp_path}: Is a directory",))


# The layer


def entry(version: str, **fields: Any) -> dict[str, Any]:
    release = {
        "version": version, "release_date": "", "iso_url": f"{SITE}{version}.iso", "sha256": "c" * 64, "size_mb": 7,
        "mirrors": ["https://y.example/x.iso"], "architecture": "amd64", **fields,
    }  # fmt: skip
    return {
        "id": "mine", "name": "Mine", "description": "", "homepage": "", "logo_url": "", "category": "Desktop",
        "popularity_rank": 1, "releases": [release],
    }  # fmt: skip


def document(*entries: dict[str, Any]) -> str:
    return json.dumps({"version": "2.0", "last_updated": "2026-11-01", "distributions": entries})


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """A packaged release 1, and a feed that told of 2."""
    (tmp_path / "packaged.json").write_text(document(entry("1")))
    (tmp_path / "descriptions.json").write_text(json.dumps({"version": 1, "feeds": [MINE.entry]}))
    (tmp_path / "admin").mkdir()
    FeedCache(tmp_path / "feeds.json").write([record(told("2"))])
    return Sources(
        tmp_path / "packaged.json", tmp_path / "cache.json", tmp_path / "admin", feeds=tmp_path / "feeds.json",
        feed_files=(tmp_path / "descriptions.json",),
    )  # fmt: skip


def newest(sources: Sources) -> tuple[str, Layer]:
    catalog = Catalog.load(sources)
    assert catalog.problems == ()
    found = catalog.get("mine")
    return found.releases[0].version, found.layer


def test_the_layer_lies_between_the_update_and_the_administrator(sources: Sources) -> None:
    assert newest(sources) == ("2", Layer.FEED)
    assert newest(replace(sources, feeds=None)) == ("1", Layer.PACKAGED)
    sources.cache.write_text(document(entry("1.5")))
    assert newest(sources) == ("2", Layer.FEED)
    # what is newer than what a feed once told is not taken back
    sources.cache.write_text(document(entry("3")))
    assert newest(sources) == ("3", Layer.CACHE)
    (sources.admin / "a.json").write_text(document(entry("4")))
    assert newest(sources) == ("4", Layer.ADMIN)
    (sources.admin / "a.json").write_text(document({**entry("1.7"), "replace": True}))
    assert newest(sources) == ("1.7", Layer.ADMIN)


def test_what_a_feed_told_is_marked_and_the_rest_is_not(sources: Sources) -> None:
    (sources.admin / "a.json").write_text(document(entry("0.9", edition="exam")))
    found = Catalog.load(sources).get("mine")
    assert [(one.version, one.layer, one.document) for one in found.releases] == [
        ("2", Layer.FEED, MINE.feed.url),
        ("0.9", Layer.ADMIN, str(sources.admin / "a.json")),
    ]
    assert {origin.layer for origin in found.origins} == {Layer.ADMIN}


def test_a_release_of_a_feed_has_all_that_it_told(sources: Sources) -> None:
    (release,) = Catalog.load(sources).get("mine").releases
    assert (release.sha256, release.size, release.size_mb) == (f"{2:064x}", 5_000_000, 5)
    assert (release.key_fingerprint, release.sums_url, release.trust) == (KEY, f"{SITE}SHA256SUMS", "signed")
    assert [mirror.url for mirror in release.mirrors] == [f"{SITE}2.iso"]


def test_descriptions_that_are_none_are_reported_and_skipped(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "descriptions.json").write_text("{")
    catalog = Catalog.load(replace(sources, feed_files=(tmp_path / "descriptions.json", tmp_path / "none")))
    assert [problem.partition(": ")[0] for problem in catalog.problems] == [
        str(tmp_path / "descriptions.json"), str(tmp_path / "none"),
    ]  # fmt: skip
    assert catalog.get("mine").releases[0].version == "1"
    assert len(catalog.feeds.descriptions) > 40
    assert catalog.feeds.of("mine") == ()


def test_a_renewed_catalogue_knows_what_feeds_said(sources: Sources) -> None:
    catalog = Catalog.load(replace(sources, feeds=None, feed_files=()))
    catalog.renew(Catalog.load(sources))
    assert catalog.feeds.records["mine"].releases == (told("2"),)
    assert catalog.with_user_layer(5, ()).feeds is catalog.feeds
