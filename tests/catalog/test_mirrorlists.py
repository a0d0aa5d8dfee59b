"""Lists of shared mirrors: what they have to look like, and what releases get of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.catalog import mirrorlists
from luxusbd.catalog.catalog import Catalog, Sources
from luxusbd.catalog.mirrorlists import expanded, parse_lists, unknown_lists
from luxusbd.catalog.model import Layer, Mirror
from luxusbd.catalog.schema import validate
from luxusbd.errors import CatalogError
from tests.catalog.test_schema import document

LISTS = {
    "version": "2.0",
    "lists": {
        "mine": [
            {"country": "DE", "urls": ["https://one.example/pub/", "https://two.example/"]},
            {"urls": ["https://everywhere.example/"]},
        ]
    },
}
OWN = "https://example.org/mine.iso"


def lists(**changes: Any) -> bytes:
    return json.dumps({**LISTS, **changes}).encode()


def test_a_release_gets_the_addresses_of_its_list() -> None:
    data = document(
        mirror_list="mine",
        mirror_path="13/mine.iso",
        mirrors=["https://two.example/13/mine.iso", {"url": "https://own.example/mine.iso", "country": "FR"}],
    )
    (entry,) = validate(data, "x", Layer.ADMIN)
    known = parse_lists(lists(), "mirrors.json")
    assert [mirror.url for mirror in entry.releases[0].mirrors][1:] == [
        "https://two.example/13/mine.iso",
        "https://own.example/mine.iso",
    ]
    full = expanded(entry, known)
    assert full.releases[0].mirrors == (
        Mirror(OWN),
        Mirror("https://two.example/13/mine.iso", "DE"),
        Mirror("https://own.example/mine.iso", "FR"),
        Mirror("https://one.example/pub/13/mine.iso", "DE"),
        Mirror("https://everywhere.example/13/mine.iso"),
    )
    assert expanded(full, known) == full


def test_a_list_that_is_not_there_changes_nothing() -> None:
    (entry,) = validate(document(mirror_list="other", mirror_path="a.iso"), "x", Layer.ADMIN)
    known = parse_lists(lists(), "mirrors.json")
    assert expanded(entry, known) is entry
    assert unknown_lists(entry, known) == ("other",)


def test_a_release_has_a_bounded_number_of_mirrors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrorlists, "MAX_MIRRORS", 3)
    (entry,) = validate(document(mirror_list="mine", mirror_path="mine.iso"), "x", Layer.ADMIN)
    found = expanded(entry, parse_lists(lists(), "mirrors.json")).releases[0].mirrors
    assert [mirror.url for mirror in found] == [
        OWN,
        "https://one.example/pub/mine.iso",
        "https://two.example/mine.iso",
    ]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"version": "3.0"}, r"\$\.version: found 3\.0, expected 2\.x; update luxusbd"),
        ({"lists": []}, r"\$\.lists: found a list, expected an object that has a list of mirrors"),
        ({"lists": {"A": []}}, r"found \"A\", expected a name of a-z"),
        ({"lists": {"a": {}}}, r"\$\.lists\.a: found an object, expected a list of objects"),
        ({"lists": {"a": [{"country": "DE"}]}}, r"\$\.lists\.a\[0\]: found no urls, expected an object"),
        ({"lists": {"a": [{"urls": []}]}}, r"urls: found a list, expected a list of at least one address"),
        ({"lists": {"a": [{"urls": ["https://x.example/"], "country": "Germany"}]}}, r"expected a country code"),
        ({"lists": {"a": [{"urls": ["https://x.example/"], "country": "QQ"}]}}, r"found \"QQ\", expected a country of"),
        ({"lists": {"a": [{"urls": ["http://x.example/"]}]}}, r"urls\[0\]: found .*, expected an https URL"),
        (
            {"lists": {"a": [{"urls": ["https://x.example"]}]}},
            r"urls\[0\]: found .*, expected an https URL with a slash",
        ),
        ({"lists": {"a": [{"urls": ["https://x.example/?a=/"]}]}}, r"urls\[0\]: found .*, expected an https URL with"),
        ({"lists": {"a": [{"urls": ["https://u:p@x.example/"]}]}}, r"urls\[0\]: .* without user name and password"),
        (
            {"lists": {"a": [{"urls": ["https://x.example/"]}, {"urls": ["https://x.example/"]}]}},
            r"lists\.a\[1\]\.urls\[0\]: found \"https://x\.example/\" again, expected .* \$\.lists\.a\[0\]\.urls\[0\]",
        ),
        ({"colour": "blue"}, r"found the unknown field 'colour', expected only version, lists"),
    ],
)
def test_faults_are_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(CatalogError, match=text) as raised:
        parse_lists(lists(**changes), "mirrors.json")
    assert all(line.startswith("mirrors.json: ") for line in raised.value.message.splitlines())


def test_fields_of_a_newer_minor_version_are_ignored() -> None:
    data = lists(version="2.1", colour="blue")
    assert len(parse_lists(data, "mirrors.json")["mine"]) == 3


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(json_values | st.builds(lambda value: {**LISTS, "lists": {"a": value}}, json_values))
def test_anything_else_is_refused_in_words(value: object) -> None:
    found, refusal = {}, ""
    try:
        found = dict(parse_lists(json.dumps(value).encode(), "x"))
    except CatalogError as error:
        refusal = error.message
    assert refusal == "" or refusal.startswith("x: ")
    assert all(mirror.url.startswith("https://") for mirrors in found.values() for mirror in mirrors)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    packaged, mirrors = tmp_path / "distros.json", tmp_path / "mirrors.json"
    packaged.write_text(json.dumps(document(mirror_list="mine", mirror_path="mine.iso")))
    mirrors.write_bytes(lists())
    return Sources(packaged, tmp_path / "cache.json", tmp_path / "admin", mirrors=mirrors)


def test_the_catalogue_is_put_together_with_them(sources: Sources) -> None:
    catalog = Catalog.load(sources)
    assert catalog.problems == ()
    assert len(catalog.get("mine").releases[0].mirrors) == 4
    (own,) = validate(document(mirror_list="mine", mirror_path="own.iso"), "x", Layer.USER)
    of_alice = catalog.with_user_layer(1000, [own])
    assert of_alice.get("mine", 1000).releases[0].mirrors[1] == Mirror("https://one.example/pub/own.iso", "DE")
    assert of_alice.get("mine").releases[0].mirrors[1] == Mirror("https://one.example/pub/mine.iso", "DE")


def test_what_is_loaded_anew_has_the_new_lists(sources: Sources) -> None:
    catalog = Catalog.load(sources)
    assert sources.mirrors is not None
    sources.mirrors.write_bytes(lists(lists={"mine": [{"urls": ["https://new.example/"]}]}))
    catalog.renew(Catalog.load(sources))
    assert catalog.get("mine").releases[0].mirrors == (Mirror(OWN), Mirror("https://new.example/mine.iso"))
    (own,) = validate(document(mirror_list="mine", mirror_path="own.iso"), "x", Layer.USER)
    assert catalog.with_user_layer(1000, [own]).get("mine", 1000).releases[0].mirrors[1].url.startswith("https://new.")


@pytest.mark.parametrize("broken", [b"{", b"\xff", b'{"version": "3.0", "lists": {}}', None])
def test_a_broken_file_is_reported_and_the_rest_works(sources: Sources, broken: bytes | None) -> None:
    assert sources.mirrors is not None
    if broken is None:
        sources.mirrors.unlink()
    else:
        sources.mirrors.write_bytes(broken)
    catalog = Catalog.load(sources)
    assert [problem.startswith(f"{sources.mirrors}: ") for problem in catalog.problems] == [True]
    assert catalog.get("mine").releases[0].mirrors == (Mirror(OWN),)
    assert catalog.get("systemrescue").layer is Layer.FALLBACK


def test_a_list_that_a_layer_names_in_vain_is_reported(sources: Sources) -> None:
    assert sources.packaged is not None
    sources.packaged.write_text(json.dumps(document(mirror_list="nine", mirror_path="mine.iso")))
    catalog = Catalog.load(sources)
    assert catalog.problems == ("mine: there is no list of mirrors nine; its other addresses are used",)
    assert catalog.get("mine").releases[0].mirrors == (Mirror(OWN),)
