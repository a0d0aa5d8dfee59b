"""Whatever a server sends, there is a release that was really told, or one clear line; never anything else."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luxusbd.catalog.feeds.definitions import packaged_feeds
from luxusbd.catalog.feeds.model import Feed, Outcome, Strategy
from luxusbd.errors import CatalogError
from luxusbd.transfer.feeds import machine
from luxusbd.transfer.feeds.documents import MAX_LINKS, directories_of, files_of, links, size_hints, sums_of, titles
from luxusbd.transfer.feeds.flatyaml import MAX_ENTRIES, parse_flat_yaml
from luxusbd.transfer.feeds.found import date_of, whole
from luxusbd.transfer.feeds.machine import FeedRun
from luxusbd.transfer.feeds.reading import MAX_DOCUMENT
from luxusbd.transfer.feeds.requests import Answer, Body, Check, Checked, Fetch, Gone, Measure, Refused, Size
from luxusbd.transfer.feeds.rss import MAX_ITEMS, parse_items
from tests.transfer.feeds.shapes import SHAPES
from tests.transfer.feeds.test_strategies import SITE, described, listed
from tests.transfer.feeds.web import TODAY, Web, atom, feed_of, gnu, read

ONE_OF_EACH = {
    "json_api": "tails", "directory_index": "void", "sourceforge": "mx", "stable_symlink": "bazzite",
    "page_index": "memtest86plus", "yaml": "alpine",
}  # fmt: skip
LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><rss><channel><title>&b;</title></channel></rss>'


def first_answered(feed: Feed, data: bytes) -> object:
    """What becomes of a feed whose first document is this; everything behind it is gone."""
    run = FeedRun(feed, TODAY)
    step = run.begin()
    answer: Answer = Body(data)
    while not isinstance(step, Outcome):
        step = run.answer(answer)
        answer = Size(0) if isinstance(step, Measure) else Refused("no") if isinstance(step, Check) else Gone()
    return step


def test_one_of_each() -> None:
    assert {feed_of(name).strategy.value for name in ONE_OF_EACH.values()} == {strategy.value for strategy in Strategy}
    assert all(feed_of(name).strategy.value == strategy for strategy, name in ONE_OF_EACH.items())


@pytest.mark.parametrize("name", ONE_OF_EACH.values())
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body><h1>Sorry</h1></body></html>",
        b'<html><a href="/login">Log in to the network</a></html>',
        b'{"installations": [{"version": "7.5", "installation-pa',
        b"[" * 100_000,
        b"{" + b'"a":{' * 100_000,
        b"[NaN]",
        b"[" + b"9" * 5000 + b"]",
        b"null",
        b'"a text"',
        b"\xff\xfe\x00\x00",
        b"\0" * 1000,
        LAUGHS.encode(),
        b"<rss>" + b"<a>" * 100,
        b"<rss><channel><item>",
        b'<?xml version="1.0" encoding="utf-16"?><rss/>',
        b"- &a x: *a\n",
        b"a: &a [*a, *a]\n",
        b"d41d8cd98f00b204e9800998ecf8427e  x.iso\n",
        f"### BLAKE3SUMS:\n{'0' * 64}  void-live-x86_64-20250202-base.iso\n".encode(),
        f"{'0' * 70}  void-live-x86_64-20250202-base.iso\n".encode(),
    ],
)  # fmt: skip
def test_documents_that_are_none(name: str, data: bytes) -> None:
    with pytest.raises(CatalogError) as caught:
        first_answered(feed_of(name), data)
    text = caught.value.message
    assert text.startswith(f"feed {name}: ")
    assert "\n" not in text
    assert text.isprintable()
    assert len(text) < 1200


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("tails", "<!doctype HTML><p>Sorry", "latest.json: found a web page"),
        ("tails", '{"a": ', "not valid JSON: Expecting value"),
        ("tails", "[" * 100_000, "nested deeper than any real feed"),
        ("tails", "{}", "none of its images among what it names: nothing"),
        ("mx", LAUGHS, "has a document type"),
        ("mx", "<html><body/></html>", "found XML that begins with html, expected RSS or Atom"),
        ("alpine", "- a: &x b", "line 1 of the YAML has an anchor"),
        ("alpine", "- a: *x", "line 1 of the YAML has an alias"),
        ("alpine", "- a: !!python/object x", "line 1 of the YAML has a tag"),
        ("alpine", "- a: {b: c}", "line 1 of the YAML has a flow"),
        ("alpine", "a: b", "before the first entry"),
        ("debian-netinst", "d41d8cd98f00b204e9800998ecf8427e  x.iso", "holds MD5 alone"),
        ("debian-netinst", f"### BLAKE3SUMS:\n{'0' * 64}  x.iso", "holds no hash"),
        ("debian-netinst", f"{'0' * 70}  x.iso", "holds no hash"),
        ("bazzite", atom(), "none of its entries is a version"),
    ],
)  # fmt: skip
def test_the_text_says_what_it_is(name: str, data: str, said: str) -> None:
    feed = feed_of(name)
    if name == "debian-netinst":
        feed = described(listing="sums", sums="SHA512SUMS")
    with pytest.raises(CatalogError) as caught:
        first_answered(feed, data.encode())
    assert said in caught.value.message


def test_a_page_of_a_hundred_megabytes_is_refused_by_its_size() -> None:
    for name in ONE_OF_EACH.values():
        request = FeedRun(feed_of(name), TODAY).begin()
        assert isinstance(request, Fetch)
        assert request.most <= MAX_DOCUMENT
    with pytest.raises(CatalogError, match=r"more than 8\.0 MiB: is it the right address"):
        first_answered(feed_of("tails"), bytes(100 * 1024 * 1024))


def test_all_documents_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MAX_BYTES", 3000)
    feed = feed_of("opensuse-tumbleweed")
    with pytest.raises(CatalogError, match="of documents"):
        read(feed, Web({url: str(page) + "#" * 2000 for url, page in SHAPES[feed.id].pages.items()}))
    monkeypatch.setattr(machine, "MAX_STEPS", 3)
    with pytest.raises(CatalogError, match="more than 3 documents"):
        read(feed, Web(SHAPES[feed.id].pages))


def test_more_entries_than_any_real_feed() -> None:
    with pytest.raises(CatalogError, match="links"):
        list(links(b"<a href=x>" * (MAX_LINKS + 1)))
    with pytest.raises(CatalogError, match="entries"):
        parse_flat_yaml("- a: b\n" * (MAX_ENTRIES + 1))
    with pytest.raises(CatalogError, match="entries"):
        parse_items(b"<rss><channel>" + b"<item><link>x</link></item>" * (MAX_ITEMS + 1) + b"</channel></rss>")
    rows = described(strategy="json_api", rows={"paths": [["*", "*"]], "fields": {"url": ["u"]}})
    with pytest.raises(CatalogError, match="entries"):
        files_of(rows, json.dumps([[{}] * 101] * 200).encode(), SITE)
    editions = described(
        listing="sums", sums="S",
        images=[{"file": r"x-(?P<e>[0-9]+)-(?P<version>[0-9]+)\.iso", "architecture": "amd64", "edition": "{e}"}],
    )  # fmt: skip
    with pytest.raises(CatalogError, match="100 kinds of images"):
        read(editions, Web({SITE + "S": gnu(*(f"x-{n}-1.iso" for n in range(100)))}))


@pytest.mark.parametrize(
    "address",
    [
        "http://iso.example/x-1.iso", "https://evil.example/x-1.iso", "https://iso.example:8443/x-1.iso",
        "https://user:secret@iso.example/x-1.iso", "https://iso.example@evil.example/x-1.iso", "file:///x-1.iso",
        "https://iso.example.evil.example/x-1.iso", "https://[::1/x-1.iso", "https://iso.example:x/x-1.iso",
        "ftp://iso.example/x-1.iso", "https://iso.example/x-1.iso\n", "https://iso.example/x\u20101.iso",
        "//evil.example/x-1.iso",
        "https://iso.example/" + "a/" * 1100 + "x-1.iso", "javascript:alert(1)//x-1.iso", "https://iso.example/x-1.iso#x",
        "https://iso.example\\@evil.example/x-1.iso",
    ],
)  # fmt: skip
def test_a_feed_leads_nowhere_else(address: str) -> None:
    feed = described(strategy="json_api", rows={"paths": [["*"]], "fields": {"url": ["u"], "sha256": ["h"]}})
    with pytest.raises(CatalogError, match="none of its images"):
        read(feed, Web({SITE: json.dumps([{"u": address, "h": "0" * 64}])}))


def test_hashes_that_are_none() -> None:
    feed = described(
        strategy="json_api", rows={"paths": [["*"]], "fields": {"url": ["u"], "sha256": ["h"], "digest": ["d"]}}
    )
    for entry in (
        {"h": "0" * 63},
        {"h": "g" * 64},
        {"h": 5},
        {"h": "0" * 128},
        {"d": "md5:" + "0" * 32},
        {"d": "blake3:" + "0" * 64},
        {"h": "٠" * 64},
    ):
        outcome = read(feed, Web({SITE: json.dumps([{"u": "x-1.iso", **entry}])}))
        assert outcome.releases == ()
        assert "no hash of it is told" in outcome.problems[0]
    assert (
        read(feed, Web({SITE: json.dumps([{"u": "x-1.iso", "d": "sha256:" + "0" * 64}])})).releases[0].sha256
        == "0" * 64
    )


def test_yaml_values() -> None:
    text = (
        "# c\n---\n- a: \"x \\\"y\\\" \\\\\" # c\n  b: 'it''s'\n  c: plain # c\n  d: |\n\n    a: b\n  e:\n-\n    f: 2\n"
    )
    assert parse_flat_yaml(text) == [{"a": 'x "y" \\', "b": "it's", "c": "plain", "d": "\na: b\n", "e": ""}, {"f": "2"}]
    for bad in (
        "- a: b\n- - c",
        "- a:\n    b: c",
        "- a: b\n  a: c",
        '- a: "b',
        "- a: 'b",
        "- a: b\n---\n- c: d",
        "- a",
        "- a: b\nc: d",
        "-\n  - a: b",
    ):
        with pytest.raises(CatalogError, match=r"line \d+ of the YAML"):
            parse_flat_yaml(bad)


def test_dates_and_sizes() -> None:
    days = {"2026-09-01": "2026-09-01", "2026.09.01": "2026-09-01", "20260901": "2026-09-01", "260901": "2026-09-01",
            "2026-09-01T10:00:00Z": "2026-09-01", "Tue, 01 Sep 2026 10:11:12 UT": "2026-09-01", "2026-02-30": "",
            "": "",
            "Tue, 99 Sep 2026 10:11:12 UT": "", "261301": "", "x" * 100: "",
            "٢٠٢٦-٠٩-٠١": ""}  # fmt: skip
    assert {text: date_of(text) for text in days} == days
    sizes: tuple[object, ...] = ("1", 1, "01", "1" * 16, 1 << 41, 0, None, [], "1e3")
    assert [whole(value) for value in sizes] == [1, 1, 1, 0, 0, 0, 0, 0, 0]


def tried(function: Callable[[], object]) -> None:
    with suppress(CatalogError):
        function()


@settings(max_examples=300)
@given(st.binary(max_size=400) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for name in ONE_OF_EACH.values():
        tried(lambda name=name: first_answered(feed_of(name), data))  # type: ignore[misc]
    feed = listed()
    for function in (
        lambda: sums_of(data, "x.sha256"), lambda: size_hints(data), lambda: titles(data), lambda: list(links(data)),
        lambda: directories_of(feed, data, SITE), lambda: parse_flat_yaml(data.decode("utf-8", "replace")),
    ):  # fmt: skip
        tried(function)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
    | st.sampled_from(["x-1.iso", "https://download.tails.net/tails-amd64-7.5.iso", "0" * 64, "7.5", "iso"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["installations", "installation-paths", "target-files", "url", "sha256", "size", "type"]),
        inner,
        max_size=4,
    ),
    max_leaves=30,
)  # fmt: skip


@given(JSON)
def test_no_json_raises_anything_else(value: object) -> None:
    tried(lambda: first_answered(feed_of("tails"), json.dumps(value).encode()))


ANSWERS = st.sampled_from(
    [Gone(), Body(b""), Body(gnu("x-1.iso").encode()), Body(b"<html>"), Body(atom("44.1").encode())]
)


@settings(max_examples=150)
@given(st.sampled_from(packaged_feeds()), st.randoms(use_true_random=False))
def test_no_course_of_answers_raises_anything_else_or_goes_on_forever(feed: Feed, random: object) -> None:
    """True pages, pages of other feeds, nothing at all: in any order."""
    assert hasattr(random, "choice")
    pages = list(SHAPES[feed.id].pages.values()) + list(SHAPES["mx"].pages.values()) + ["", "<html>", "[]"]

    def go() -> None:
        run = FeedRun(feed, datetime.date(2026, 11, 26))
        step = run.begin()
        while not isinstance(step, Outcome):
            page = random.choice(pages)
            data = page if isinstance(page, bytes) else str(page).encode()
            true = SHAPES[feed.id].pages.get(getattr(step, "url", ""))
            if isinstance(step, Fetch):
                answer: Answer = random.choice(
                    [Body(data), Gone(), Body(str(true).encode()) if true is not None else Gone()]
                )
            elif isinstance(step, Check):
                answer = random.choice([Refused("no"), Checked(data, random.choice(sorted(step.keys)))])
            else:
                answer = random.choice([Gone(), Size(0), Size(5)])
            step = run.answer(answer)
        for release in step.releases:
            assert release.iso_url.startswith("https://")
            assert release.sha256 or release.sha512
            assert release.version

    tried(go)
