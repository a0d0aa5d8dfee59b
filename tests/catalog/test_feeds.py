"""Descriptions of feeds: the packaged ones, and what is said of wrong ones."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd import resources
from luxusbd.catalog.feeds.definitions import packaged_feeds, parse_feeds
from luxusbd.catalog.feeds.model import SignatureKind, Strategy
from luxusbd.errors import CatalogError

KEY = "AB" * 20


def feed(**fields: Any) -> dict[str, Any]:
    return {
        "id": "x", "strategy": "page_index", "url": "https://x.example/",
        "images": [{"file": r"x-(?P<version>[0-9]+)\.iso", "architecture": "amd64"}], **fields,
    }  # fmt: skip


def signed(address: str, key: str) -> dict[str, Any]:
    return {"kind": "detached", "address": address, "keys": [key]}


def parse(*feeds: Any, **document: Any) -> Any:
    return parse_feeds(json.dumps({"version": 1, "feeds": feeds, **document}).encode(), "feeds.json")


def test_packaged_feeds() -> None:
    feeds = packaged_feeds()
    assert len({feed.distribution for feed in feeds}) >= 30
    assert {feed.strategy for feed in feeds} == set(Strategy)
    for entry in feeds:
        assert entry.hosts
        assert (entry.signing.kind is SignatureKind.NONE) == (not entry.signing.keys)


def test_the_file_is_as_it_would_be_written() -> None:
    """So that changes of it can be read."""
    text = resources.data("feeds.json").read_text("utf-8")
    assert text.isascii()
    assert "\t" not in text
    document = json.loads(text)
    assert [set(document), document["version"]] == [{"version", "feeds"}, 1]


def test_what_is_not_said_has_its_usual_value() -> None:
    (found,) = parse(feed())
    assert (found.distribution, found.keep, found.rolling, found.hosts) == ("x", 1, False, frozenset({"x.example"}))
    (found,) = parse(feed(hosts=["y.example"], sums="https://z.example/SUMS"))
    assert found.hosts == {"x.example", "y.example", "z.example"}


NAMED = {"file": "(?P<version>x)", "architecture": "amd64"}
IMAGE = {"file": "x", "architecture": "amd64"}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (feed(id="X"), r"\$.feeds\[0\].id: expected an identifier"),
        (feed(url="http://x.example/"), r"\$.feeds\[0\].url: expected an https URL"),
        (feed(strategy="guess"), "expected one of the six strategies"),
        (feed(more=1), "more"),
        (feed(images=[]), "at least one image"),
        (feed(keep=9), "a number from 1 to 5"),
        (feed(images=[{**IMAGE, "file": "("}]), "a pattern is malformed"),
        (feed(images=[IMAGE]), "has no group version"),
        (feed(images=[{**NAMED, "edition": "{e}"}]), "the pattern has no group e"),
        (feed(images=[{**NAMED, "architecture": "vax"}]), "amd64, i386 or arm64"),
        (feed(sums="{nothing}.sha256"), "nothing tells what {nothing} is"),
        (feed(sums="../../x"), None),
        (feed(metalink="{sums}"), "nothing tells what {sums} is"),
        (feed(sums="http://x.example/y"), "an https URL or a relative address"),
        (feed(sums="{file}.s", signature={"kind": "detached", "keys": [KEY]}), "address"),
        (feed(sums="{file}.s", signature=signed("{huh}", KEY)), "nothing tells what {huh} is"),
        (feed(sums="{file}.s", signature=signed("{sums}.gpg", KEY[:16])), "full fingerprint"),
        (feed(signature={"kind": "inline", "keys": [KEY]}), "a signature of a list of hashes, and no sums"),
        (feed(signature={"kind": "image", "keys": [KEY]}), "a signature of images without address"),
        (feed(strategy="json_api"), "found rows for a strategy without, or none for one with them"),
        (feed(rows={"paths": [[]], "fields": {"url": ["u"]}}), "found rows for a strategy without"),
        (feed(strategy="stable_symlink"), "without address, or no sums"),
        (feed(strategy="directory_index", listing="sums"), "found no sums"),
        (feed(strategy="directory_index", url="https://x.example/a"), "without / at its end"),
        (feed(version_url="https://x.example/a"), "one of version_url and version_title"),
        (feed(version_url="https://x.example/a", version_title="x"), "version_title has no group version"),
        (feed(url="https://[x/"), "an address is malformed"),
    ],
)  # fmt: skip
def test_wrong_descriptions(entry: dict[str, Any], said: str | None) -> None:
    if said is None:
        assert parse(entry)
        return
    with pytest.raises(CatalogError) as caught:
        parse(entry)
    assert said.replace("\\", "") in caught.value.message
    assert caught.value.message.startswith("feeds.json: ")


def test_the_example_of_the_documentation_is_one() -> None:
    text = (Path(__file__).parents[2] / "docs" / "catalogue.md").read_text("utf-8")
    example = text.partition("## Feeds")[2].partition("```json")[2].partition("```")[0]
    (found,) = parse(json.loads(example))
    assert found.images[0].file.fullmatch("kali-linux-2026.2-installer-netinst-amd64.iso")
    known = resources.data("schemas", "feeds.schema.json").read_text("utf-8")
    fields = json.loads(known)["$defs"]["feed"]["properties"]
    assert [name for name in fields if f"`{name}`" not in text.partition("## Feeds")[2]] == []


def test_wrong_documents() -> None:
    with pytest.raises(CatalogError, match=r"feeds\[1\]\.id: found 'x' again"):
        parse(feed(), feed())
    with pytest.raises(CatalogError, match="the number 1"):
        parse(version=2)
    with pytest.raises(CatalogError, match="not valid JSON"):
        parse_feeds(b"[" * 100_000, "f")
    with pytest.raises(CatalogError, match="larger than"):
        parse_feeds(bytes(2 << 20), "f")


@given(
    st.dictionaries(
        st.sampled_from([*feed(), "sums", "signature", "rows", "probe"]),
        st.none() | st.text(max_size=9) | st.just([]) | st.just({}),
    )
)
def test_nothing_but_catalog_errors(changes: dict[str, Any]) -> None:
    with suppress(CatalogError):
        parse({**feed(), **changes})
