"""The rules that every strategy keeps, each of which a maker's release once broke for somebody."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from typing import Any

import pytest

from luxusbd.catalog.feeds.definitions import parse_feeds
from luxusbd.catalog.feeds.model import Feed, FeedRelease, HashTrust, Outcome
from luxusbd.errors import CatalogError, InternalError
from luxusbd.transfer.feeds.machine import FeedRun
from luxusbd.transfer.feeds.requests import Body, Checked, Fetch, Gone, Refused, Same, Size
from tests.transfer.feeds.shapes import SHAPES
from tests.transfer.feeds.web import Web, bsd, feed_of, framed, gnu, gnu512, listing, read, rss, sha256, sha512

KEY = "AB" * 20
SITE = "https://iso.example/"


def described(**fields: Any) -> Feed:
    """A feed of its own for a test."""
    images = fields.pop("images", [{"file": r"x-(?P<version>[0-9.]+)\.iso", "architecture": "amd64"}])
    entry = {"id": "x", "strategy": "directory_index", "url": SITE, "images": images, **fields}
    return parse_feeds(json.dumps({"version": 1, "feeds": [entry]}).encode(), "test")[0]


def one(outcome: Outcome) -> FeedRelease:
    assert len(outcome.releases) == 1, outcome
    return outcome.releases[0]


def one_of(step: object) -> FeedRelease:
    assert isinstance(step, Outcome)
    return one(step)


def listed(**fields: Any) -> Feed:
    return described(listing="sums", sums="SHA256SUMS", **fields)


def test_a_respin_has_another_hash_under_the_same_version() -> None:
    release = one(read(listed(), Web({SITE + "SHA256SUMS": gnu("x-1.iso")})))
    assert not release.replaces(release.sha256, "", "1")
    assert release.replaces("0" * 64, "", "1")
    assert replace(release, sha256="", sha512="1" * 128).replaces("", "0" * 128, "1")
    assert replace(release, sha256="").replaces("0" * 64, "", "0.9")
    assert not replace(release, sha256="").replaces("0" * 64, "", "1")


@pytest.mark.parametrize(
    "text",
    [
        gnu("x-1.iso", "y-2.iso"),
        gnu("x-1.iso", "y-2.iso", mark="*"),
        bsd("x-1.iso", "y-2.iso"),
        f"{sha256('x-1.iso')}  ./build/out/x-1.iso\n",
        f"### SHA256SUMS:\n{gnu('x-1.iso')}\n### BLAKE3SUMS:\n{'0' * 64}  x-1.iso\n",
        f"### BLAKE3SUMS:\n{'0' * 64}  x-1.iso\n### SHA256SUMS:\n{gnu('x-1.iso')}",
        f"### BLAKE2SUMS:\n{'1' * 128}  x-1.iso\n\n### SHA256SUMS:\n{gnu('x-1.iso')}",
    ],
)
def test_every_dialect_of_lists_of_hashes(text: str) -> None:
    release = one(read(listed(), Web({SITE + "SHA256SUMS": text})))
    assert (release.version, release.sha256, release.sha512) == ("1", sha256("x-1.iso"), "")


def test_a_list_around_whose_text_the_signature_stands() -> None:
    feed = listed(signature={"kind": "inline", "keys": [KEY]})
    release = one(read(feed, Web({SITE + "SHA256SUMS": framed(bsd("x-1.iso"), KEY)})))
    assert (release.trust, release.signed_by) == (HashTrust.SIGNED, KEY)
    assert release.signature_url == release.sums_url == SITE + "SHA256SUMS"


def test_names_match_as_a_whole() -> None:
    names = ("x-3.iso.zip", "a-x-3.iso", "x-3-beta.iso", "x-3.grub.iso", "x-3.iso.sha256", "x-2.iso", "x-10_beta1.iso")
    assert one(read(listed(), Web({SITE + "SHA256SUMS": gnu(*names)}))).version == "2"


def test_numbers_are_compared_as_numbers_and_four_parts_are_more_than_three() -> None:
    names = ("x-9.iso", "x-10.04.5.iso", "x-10.04.5.1.iso", "x-10.04.4.iso")
    assert one(read(listed(), Web({SITE + "SHA256SUMS": gnu(*names)}))).version == "10.04.5.1"


def test_an_address_that_stays_has_the_version_of_the_name_in_its_list() -> None:
    feed = described(
        strategy="stable_symlink", url=SITE, sums="{file}.sha256", rolling=True,
        images=[{"file": r"x-Snapshot(?P<version>(?P<date>[0-9]{8}))\.iso", "architecture": "amd64",
                 "address": SITE + "x-Current.iso"}],
    )  # fmt: skip
    release = one(read(feed, Web({SITE + "x-Current.iso.sha256": gnu("x-Snapshot20260929.iso")})))
    assert (release.version, release.iso_url, release.release_date) == (
        "20260929",
        SITE + "x-Current.iso",
        "2026-09-29",
    )
    assert release.sha256 == sha256("x-Snapshot20260929.iso")
    assert release.rolling
    outcome = read(feed, Web({SITE + "x-Current.iso.sha256": gnu("x-Snapshot20260929.iso", "x-Snapshot20260930.iso")}))
    assert outcome.releases == ()
    assert "names 2 files, expected the one that lies there now" in outcome.problems[0]


def test_sizes_come_from_the_file_and_comments_are_hints() -> None:
    web = Web({SITE + "SHA256SUMS": bsd("x-1.iso", size=1_480_048_640)}, sizes={SITE + "x-1.iso": 2_755_067_904})
    release = one(read(listed(), web))
    assert (release.size, release.size_hint) == (2_755_067_904, 1_480_048_640)
    assert one(read(listed(), Web(web.pages, size=0))).size == 0


def test_sizes_of_json_may_be_texts() -> None:
    feed = described(
        strategy="json_api", rows={"paths": [["*"]], "fields": {"url": ["u"], "sha256": ["h"], "size": ["s"]}}
    )
    for given, size in (
        ("2368383488", 2_368_383_488),
        (5, 5),
        ("5 MB", 7),
        (True, 7),
        (-1, 7),
        (1.5, 7),
        (10**30, 7),
        ("²", 7),
        (None, 7),
    ):
        document = json.dumps([{"u": "x-1.iso", "h": sha256("x").upper(), "s": given}])
        release = one(read(feed, Web({SITE: document}, size=7)))
        assert (release.size, release.sha256) == (size, sha256("x"))


def test_a_file_that_went_is_looked_for_anew() -> None:
    first, second = gnu("x-1.iso"), gnu("x-2.iso")

    class Moving(Web):
        def answer(self, request: object) -> Any:
            if isinstance(request, Fetch):
                self.pages = {SITE + "SHA256SUMS": first if not self.asked else second}
            return super().answer(request)

    web = Moving({}, sizes={SITE + "x-2.iso": 9}, size=None)
    release = one(read(listed(), web))
    assert (release.version, release.size) == ("2", 9)
    gone = read(listed(), Web({SITE + "SHA256SUMS": first}, size=None))
    assert gone.releases == ()
    assert gone.problems == ("1 amd64: https://iso.example/x-1.iso is not there",)


def test_a_subkey_counts_as_the_key_that_it_belongs_to_and_nothing_else_does() -> None:
    feed = listed(signature={"kind": "detached", "address": "{sums}.sig", "keys": [KEY]})
    run = FeedRun(feed, datetime.date(2026, 1, 1))
    run.begin()
    run.answer(Body(gnu("x-1.iso").encode()))
    check = run.answer(Body(b"a signature"))
    assert not isinstance(check, (Fetch, Outcome))
    # whoever checks tells the primary key; one that is not pinned is none, whoever says that it is good
    outcome = run.answer(Checked(gnu("x-1.iso").encode(), "CD" * 20))
    assert isinstance(outcome, Outcome)
    assert outcome.releases == ()
    assert "not among those pinned" in outcome.problems[0]


def test_what_is_not_signed_of_a_signed_list_does_not_count() -> None:
    feed = listed(signature={"kind": "inline", "keys": [KEY]})
    text = framed(bsd("x-1.iso"), KEY) + bsd("x-2.iso")
    assert one(read(feed, Web({SITE + "SHA256SUMS": text}))).version == "1"


def test_what_counts_is_what_was_checked_and_not_what_was_sent() -> None:
    feed = listed(signature={"kind": "inline", "keys": [KEY]})
    run = FeedRun(feed, datetime.date(2026, 1, 1))
    run.begin()
    run.answer(Body(gnu("x-2.iso").encode()))
    run.answer(Checked(gnu("x-1.iso").encode(), KEY))
    assert one_of(run.answer(Size(5))).version == "1"


@pytest.mark.parametrize("gone", [True, False])
def test_a_list_that_is_not_genuine_is_not_replaced_by_an_older_one(gone: bool) -> None:
    feed = listed(directories=["[0-9]+"], signature={"kind": "detached", "address": "{sums}.gpg", "keys": [KEY]})
    pages = {
        SITE: listing("1/", "2/"),
        SITE + "1/SHA256SUMS": gnu("x-1.iso"), SITE + "1/SHA256SUMS.gpg": f"signed by {KEY}",
        SITE + "2/SHA256SUMS": gnu("x-2.iso"), SITE + "2/SHA256SUMS.gpg": f"signed by {'CD' * 20}",
    }  # fmt: skip
    if gone:
        del pages[SITE + "2/SHA256SUMS.gpg"]
    web = Web(pages)
    outcome = read(feed, web)
    assert outcome.releases == ()
    assert ("is not there" if gone else "not among those given") in outcome.problems[0]
    assert SITE + "1/SHA256SUMS" not in web.asked


def test_a_directory_that_has_no_files_yet_is_left_for_the_one_before() -> None:
    feed = listed(directories=["[0-9.]+"])
    pages = {
        SITE: listing("1/", "2/", "10/"),
        SITE + "2/SHA256SUMS": gnu("x-2.iso"),
        SITE + "1/SHA256SUMS": gnu("x-1.iso"),
    }
    assert one(read(feed, Web(pages))).version == "2"
    page = "<!DOCTYPE html><html>Sorry</html>"
    outcome = read(feed, Web({**pages, SITE + "10/SHA256SUMS": page}))
    assert one(outcome).version == "2"
    assert "found a web page" in outcome.problems[0]


def test_only_so_many_directories_are_tried() -> None:
    web = Web({SITE: listing(*(f"{n}/" for n in range(100)))})
    with pytest.raises(CatalogError, match=r"none of its images|not there"):
        read(listed(directories=["[0-9]+"]), web)
    assert len(web.asked) < 10


def test_levels_of_directories_and_what_leads_out_of_them() -> None:
    feed = described(directories=["[0-9]+", "(?:live|iso)"], below="x86/", sums="{file}.sha256", listing="links")
    pages = {
        SITE: '<a href="2/">2</a><a href="../9/">9</a><a href="https://iso.example/3/">3</a><a href="/4/5/">5</a>'
        '<a href="https://evil.example/8/">8</a><a href="//evil.example/7/">7</a>',
        SITE + "3/": listing("live/", "doc/"),
        SITE + "3/live/x86/": listing(
            "x-3.iso", "x-3.iso.sha256", "https://evil.example/x-9.iso", "http://iso.example/x-8.iso"
        ),
        SITE + "3/live/x86/x-3.iso.sha256": gnu("x-3.iso"),
    }
    assert one(read(feed, Web(pages))).iso_url == SITE + "3/live/x86/x-3.iso"


def test_rss_names_every_file_twice_and_old_ones_first() -> None:
    feed = described(strategy="sourceforge", url="https://sourceforge.net/projects/p/rss?path=/F", sums="{file}.sha256")
    url = "https://sourceforge.net/projects/p/files/F/x-2.iso"
    web = Web(
        {feed.url: rss("p", "/F/x-1.iso", "/F/x-2.iso", "/F/x-2.iso.sha256"), url + ".sha256/download": gnu("x-2.iso")}
    )
    release = one(read(feed, web))
    assert (release.iso_url, release.size, release.release_date) == (url + "/download", 700_000_000, "2026-09-01")
    assert release.sums_url == url + ".sha256/download"
    assert len(web.asked) == 2


def test_a_hash_that_contradicts_the_signed_list_is_not_taken() -> None:
    feed = described(
        strategy="json_api", rows={"paths": [["*"]], "fields": {"url": ["u"], "sha256": ["h"]}}, sums="SHA256SUMS",
        signature={"kind": "detached", "address": "{sums}.gpg", "keys": [KEY]},
    )  # fmt: skip
    pages = {SITE + "SHA256SUMS": gnu("x-1.iso", "y"), SITE + "SHA256SUMS.gpg": f"signed by {KEY}"}
    wrong = json.dumps([{"u": SITE + "x-1.iso", "h": sha256("other")}])
    outcome = read(feed, Web({SITE: wrong, **pages}))
    assert outcome.releases == ()
    assert "another hash than the list of releases" in outcome.problems[0]
    # the list has another algorithm: the hash beside it is nobody's signed word
    pages[SITE + "SHA256SUMS"] = gnu512("x-1.iso", "y")
    release = one(read(feed, Web({SITE: wrong, **pages})))
    assert (release.sha256, release.sha512) == ("", sha512("x-1.iso"))


def test_a_list_of_all_files_has_to_name_this_one() -> None:
    feed = described(strategy="page_index", sums="SHA256SUMS")
    outcome = read(feed, Web({SITE: '<a href="x-1.iso">', SITE + "SHA256SUMS": gnu("x-0.9.iso")}))
    assert outcome.releases == ()
    assert "does not name x-1.iso; it names x-0.9.iso" in outcome.problems[0]
    alone = described(strategy="page_index", sums="{file}.sha256")
    assert (
        one(read(alone, Web({SITE: '<a href="x-1.iso">', SITE + "x-1.iso.sha256": gnu("x-1-Build7.iso")}))).version
        == "1"
    )


def test_a_list_that_contradicts_itself_or_has_blake_alone_gives_nothing() -> None:
    twice = read(listed(), Web({SITE + "SHA256SUMS": f"{'0' * 64}  x-1.iso\n{'1' * 64}  x-1.iso\n"}))
    assert (twice.releases, "more than one sha256" in twice.problems[0]) == ((), True)
    blake = read(listed(), Web({SITE + "SHA256SUMS": f"### BLAKE2B HASH\n{'1' * 128}  x-1.iso\n"}))
    assert (blake.releases, "only blake2b" in blake.problems[0]) == ((), True)


def test_releases_without_a_list_are_probed_from_today_backwards() -> None:
    pages = SHAPES["nixos"].pages
    web = Web(pages)
    read(feed_of("nixos"), web)
    assert [url[:40] for url in web.asked[:2]] == [
        "https://channels.nixos.org/nixos-26.11/l",
        "https://channels.nixos.org/nixos-26.05/l",
    ]
    early = Web(pages)
    with pytest.raises(CatalogError, match="feed nixos: "):
        read(feed_of("nixos"), early, datetime.date(2026, 4, 30))
    assert not any("26.05" in url for url in early.asked)


def test_an_unchanged_document_is_not_read_again() -> None:
    run = FeedRun(feed_of("tails"), datetime.date(2026, 1, 1), '"e7"', "Mon, 01 Jan 2024 10:00:00 GMT")
    first = run.begin()
    assert isinstance(first, Fetch)
    assert (first.etag, first.last_modified) == ('"e7"', "Mon, 01 Jan 2024 10:00:00 GMT")
    assert run.answer(Same()) == Outcome(
        "tails", unchanged=True, etag='"e7"', last_modified="Mon, 01 Jan 2024 10:00:00 GMT"
    )
    for name in ("tails", "debian-netinst", "alpine"):
        assert read(feed_of(name), Web(SHAPES[name].pages)).etag == '"e1"'


def test_where_more_than_one_document_counts_all_are_read() -> None:
    for name in ("ubuntu", "kali", "mx", "nixos", "systemrescue", "manjaro"):
        first = FeedRun(feed_of(name), datetime.date(2026, 11, 1), '"e7"', "").begin()
        assert isinstance(first, Fetch)
        assert first.etag == ""
    run = FeedRun(feed_of("kali"), datetime.date(2026, 1, 1))
    run.begin()
    with pytest.raises(CatalogError, match="which nobody asked"):
        run.answer(Same())


def test_an_answer_that_does_not_fit_is_a_defect_of_the_caller() -> None:
    run = FeedRun(feed_of("tails"), datetime.date(2026, 1, 1))
    with pytest.raises(InternalError):
        run.answer(Gone())
    run.begin()
    with pytest.raises(InternalError, match="Size is no answer to Fetch"):
        run.answer(Size(5))
    with pytest.raises(InternalError):
        run.begin()
    run.answer(Body(str(SHAPES["tails"].pages[feed_of("tails").url]).encode()))
    with pytest.raises(InternalError):
        run.answer(Refused("no"))


def test_images_that_are_no_more_are_told() -> None:
    images = [{"file": rf"{name}-(?P<version>[0-9]+)\.iso", "architecture": "amd64"} for name in ("x", "renamed")]
    outcome = read(listed(images=images), Web({SITE + "SHA256SUMS": gnu("x-1.iso")}))
    assert one(outcome).version == "1"
    assert outcome.problems == (r"no file is named renamed-(?P<version>[0-9]+)\.iso among x-1.iso",)
