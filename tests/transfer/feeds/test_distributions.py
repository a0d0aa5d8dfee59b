"""Every packaged feed reads documents of its maker's shape, and takes what it should and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from luxusbd import resources
from luxusbd.catalog.feeds.definitions import packaged_feeds
from luxusbd.catalog.feeds.merge import merge
from luxusbd.catalog.feeds.model import HashTrust, SignatureKind, Strategy
from luxusbd.catalog.model import Layer
from luxusbd.catalog.schema import parse_document
from tests.transfer.feeds.shapes import SHAPES
from tests.transfer.feeds.web import Web, feed_of, read, sha256, sha512


def test_every_feed_has_a_shape_and_there_are_enough() -> None:
    assert {feed.id for feed in packaged_feeds()} == set(SHAPES)
    assert len({feed.distribution for feed in packaged_feeds()}) >= 30
    assert {feed.strategy for feed in packaged_feeds()} == set(Strategy)


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_shape(name: str) -> None:
    feed, shape = feed_of(name), SHAPES[name]
    outcome = read(feed, Web(shape.pages))
    found = {(r.edition, r.architecture, r.version, r.iso_url) for r in outcome.releases}
    assert found == set(shape.expected)
    assert len(outcome.releases) == len(shape.expected)
    # what a shape leaves out is told, and nothing else
    assert all(problem.startswith("no file is named") for problem in outcome.problems), outcome.problems
    signed = feed.signing.kind in (SignatureKind.DETACHED, SignatureKind.INLINE)
    for release in outcome.releases:
        assert release.distribution == feed.distribution
        assert release.sha256 or release.sha512
        assert release.size > 0
        assert release.trust is (HashTrust.SIGNED if signed else HashTrust.TLS)
        assert (release.signed_by in feed.signing.keys) is signed
        assert bool(release.signature_url) is (feed.signing.kind is not SignatureKind.NONE)
        assert release.rolling is feed.rolling


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_hashes_are_those_of_the_file_itself(name: str) -> None:
    """The names of a list, of links that stay too, are where the hashes of the shapes come from."""
    names = [
        r.iso_url.removesuffix("/download").rpartition("/")[2]
        for r in read(feed_of(name), Web(SHAPES[name].pages)).releases
    ]
    listed = {"opensuse-tumbleweed", "opensuse-leap", "nixos", "kde-neon"}
    for release, file in zip(read(feed_of(name), Web(SHAPES[name].pages)).releases, names, strict=True):
        if name not in listed:
            assert release.sha256 in ("", sha256(file))
            assert release.sha512 in ("", sha512(file))


@pytest.mark.parametrize(
    "name",
    [feed.id for feed in packaged_feeds() if feed.signing.kind in (SignatureKind.DETACHED, SignatureKind.INLINE)],
)
def test_a_signature_by_another_key_gives_no_release(name: str) -> None:
    feed = feed_of(name)
    pages = {
        url: page.replace("signed by ", "signed by 6A51BBABBA3D5467B6171221809A8D7CEB10B464 not ")
        if isinstance(page, str)
        else page
        for url, page in SHAPES[name].pages.items()
    }
    outcome = read(feed, Web(pages))
    assert outcome.releases == ()
    assert "not among those given" in " ".join(outcome.problems)


def test_no_key_of_the_facts_that_are_wrong() -> None:
    keys = {key for feed in packaged_feeds() for key in feed.signing.keys}
    assert not any(key.startswith("6A51BBAB") for key in keys)


def test_keys_agree_with_the_catalogue() -> None:
    document = json.loads(resources.data("distros.json").read_text("utf-8"))
    pinned = {entry["id"]: entry.get("key_fingerprint") for entry in document["distributions"]}
    for feed in packaged_feeds():
        expected = pinned.get(feed.distribution)
        if expected and feed.signing.keys:
            assert expected in feed.signing.keys, feed.id


def test_series_stand_beside_each_other() -> None:
    for name, series in (("ubuntu", {"24.04", "26.04"}), ("fedora-kde", {"43", "44"}), ("rocky", {""})):
        assert {release.series for release in read(feed_of(name), Web(SHAPES[name].pages)).releases} == series


def test_what_has_sha512_alone_is_known() -> None:
    """The catalogue needs SHA-256, so that whoever adds one here has to think of it."""
    alone = {
        name for name in SHAPES if any(not r.sha256 for r in read(feed_of(name), Web(SHAPES[name].pages)).releases)
    }
    assert alone == {"endeavouros", "opensuse-leap"}


def test_metalinks_lie_where_the_makers_have_them() -> None:
    (first, *_) = read(feed_of("fedora-kde"), Web(SHAPES["fedora-kde"].pages)).releases
    path = first.iso_url.removeprefix("https://download.fedoraproject.org/")
    assert first.metalink == f"https://mirrors.fedoraproject.org/metalink?path={path}"
    for name in ("opensuse-leap", "opensuse-tumbleweed"):
        for release in read(feed_of(name), Web(SHAPES[name].pages)).releases:
            assert release.metalink == release.iso_url + ".meta4"
    assert read(feed_of("arch"), Web(SHAPES["arch"].pages)).releases[0].metalink == ""


def test_editions_are_called_as_in_the_catalogue() -> None:
    """Or else a release of a feed would stand beside the one that it is newer than."""
    entries = json.loads(resources.data("distros.json").read_text("utf-8"))["distributions"]
    known = {entry["id"]: {release.get("edition", "") for release in entry["releases"]} for entry in entries}
    shared = [feed for feed in packaged_feeds() if feed.distribution in known]
    assert len(shared) >= 30
    for feed in shared:
        found = {release.edition for release in read(feed, Web(SHAPES[feed.id].pages)).releases}
        assert found & known[feed.distribution], feed.id
    # what the catalogue does not have (yet)
    new = {
        (feed.id, release.edition)
        for feed in shared
        for release in read(feed, Web(SHAPES[feed.id].pages)).releases
        if release.edition not in known[feed.distribution]
    }
    assert new == {("alpine", "extended"), ("cachyos", "handheld"), ("opensuse-leap", "online")}


def test_every_feed_can_refresh_the_packaged_catalogue() -> None:
    """A release of tomorrow, signed as the feed's are, is taken; what the catalogue calls signed stays so."""
    path = resources.data("distros.json")
    known = {one.id: one for one in parse_document(path.read_bytes(), str(path), Layer.PACKAGED)}
    refused: dict[str, list[str]] = {}
    for feed in packaged_feeds():
        if feed.distribution not in known:
            continue
        told = [
            replace(release, version=release.version + ".999")
            for release in read(feed, Web(SHAPES[feed.id].pages)).releases
            if any(one.edition == release.edition for one in known[feed.distribution].releases)
        ]
        assert told, feed.id
        merged = merge(known[feed.distribution], feed, told)
        # some of the shapes are older than the catalogue
        if notes := [note for note in merged.notes if ": older than " not in note]:
            refused[feed.id] = notes
    assert not refused
