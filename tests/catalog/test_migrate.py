"""Files of LUXusb before 1.0 become a catalogue; what is wrong in them is told, and nothing is made up."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.catalog.migrate import MAX_FILE, Migrated, migrate
from luxusbd.catalog.model import Layer
from luxusbd.catalog.schema import parse_document, validate
from luxusbd.errors import CatalogError

HASH = "3b1c" * 16
TODAY = "2026-11-26"


def old(identifier: str = "garden", **release: Any) -> dict[str, Any]:
    """A file in the shape of 0.6.3, of a system that does not exist."""
    return {
        "id": identifier,
        "name": "Garden Linux",
        "description": "A system for this test.",
        "homepage": "https://garden.example",
        "logo_url": "https://garden.example/logo.svg",
        "category": "Desktop",
        "family": "debian",
        "base_distro": "debian",
        "secure_boot_compatible": True,
        "popularity_rank": 7,
        "releases": [
            {
                "version": "4.2",
                "release_date": "2026-01-29",
                "iso_url": f"https://garden.example/{identifier}-4.2.iso",
                "sha256": HASH,
                "size_mb": 2400,
                "architecture": "x86_64",
                "mirrors": [f"https://mirror.example/{identifier}-4.2.iso"],
                "gpg_verified": True,
                **release,
            }
        ],
        "metadata": {"last_updated": "2026-01-29T08:56:25Z", "maintainer": "Somebody", "verified": True},
    }


def migrated(*files: dict[str, Any] | bytes) -> Migrated:
    named = [(f"{n}.json", f if isinstance(f, bytes) else json.dumps(f).encode()) for n, f in enumerate(files)]
    return migrate(named, TODAY)


def test_a_good_file_is_taken_over() -> None:
    found = migrated(old())
    assert (found.distributions, found.releases) == (1, 1)
    assert found.document["last_updated"] == "2026-01-29"
    (entry,) = parse_document(json.dumps(found.document).encode(), "x", Layer.USER)
    (release,) = entry.releases
    assert (entry.id, entry.name, entry.category, entry.popularity_rank) == ("garden", "Garden Linux", "Desktop", 7)
    assert (release.version, release.architecture, release.sha256, release.size_mb) == ("4.2", "amd64", HASH, 2400)
    assert [mirror.url for mirror in release.mirrors] == [
        "https://garden.example/garden-4.2.iso",
        "https://mirror.example/garden-4.2.iso",
    ]
    assert release.key_fingerprint == ""
    gone = "family, base_distro, secure_boot_compatible have no place in schema 2.0: the image itself tells this"
    assert [str(note) for note in found.notes] == [
        f"0.json: $: {gone}",
        "0.json: $.releases[0]: claims a signature, and names no key: the image reaches `hash` and not `signed`",
    ]


@pytest.mark.parametrize(
    ("change", "where", "text"),
    [
        ({"size_mb": 0}, "$.releases[0].size_mb", "found 0, which is no size; the server is asked for it"),
        ({"size_mb": "2 GB"}, "$.releases[0].size_mb", "no size"),
        ({"release_date": "January"}, "$.releases[0].release_date", "left out"),
        ({"release_date": "2026-02-30"}, "$.releases[0].release_date", "left out"),
        ({"mirrors": "none"}, "$.releases[0].mirrors", "expected a list"),
        ({"mirrors": ["ftp://x/y"]}, "$.releases[0].mirrors[0]", "expected an address; left out"),
        ({"sha256": HASH.upper()}, "$", "have no place"),
    ],
)
def test_what_is_no_harm_is_told_and_the_release_stays(change: dict[str, Any], where: str, text: str) -> None:
    found = migrated(old(**change))
    assert found.releases == 1
    assert found.document["distributions"][0]["releases"][0]["sha256"] == HASH
    assert any(note.where == where and text in note.text and not note.dropped for note in found.notes), found.notes


@pytest.mark.parametrize(
    ("change", "where", "text"),
    [
        ({"sha256": ""}, "$.releases[0].sha256", "expected the full SHA-256"),
        ({"sha256": None}, "$.releases[0].sha256", "expected the full SHA-256"),
        ({"sha256": "0" * 64}, "$.releases[0].sha256", "expected the full SHA-256"),
        ({"sha256": "ab" * 16}, "$.releases[0].sha256", "expected the full SHA-256"),
        ({"architecture": "riscv64"}, "$.releases[0].architecture", "expected one that LUXusb can start"),
        ({"architecture": ["x86_64"]}, "$.releases[0].architecture", "found a list"),
        ({"iso_url": "garden.iso"}, "$.releases[0].iso_url", "expected an http or https URL"),
        ({"iso_url": "https://u:p@host/x"}, "$.releases[0].iso_url", "without user name"),
        ({"version": "4/2"}, "$.releases[0].version", "without / and @"),
        ({"version": 4.2}, "$.releases[0].version", "expected a text"),
    ],
)
def test_what_cannot_be_right_is_left_out(change: dict[str, Any], where: str, text: str) -> None:
    found = migrated(old(**change), old("other", sha256="5c" * 31 + "5d"))
    assert [entry["id"] for entry in found.document["distributions"]] == ["other"]
    assert any(note.where == where and text in note.text and note.dropped for note in found.notes), found.notes
    assert any(note.file == "0.json" and note.where == "$.releases" and note.dropped for note in found.notes)


def test_one_hash_for_two_files_is_believed_of_neither() -> None:
    same = old("same", iso_url="https://elsewhere.example/garden-4.2.iso")
    assert migrated(old(), same).releases == 2
    found = migrated(old(), old("other"))
    assert found.releases == found.distributions == 0
    assert [note.file for note in found.notes if "stands for different files" in note.text] == ["0.json", "1.json"]
    validate(copy.deepcopy(found.document), "x", Layer.USER)


def test_what_is_there_twice_is_taken_once() -> None:
    twice = old()
    twice["releases"].append(copy.deepcopy(twice["releases"][0]))
    found = migrated(twice, old())
    assert found.releases == 1
    assert [(note.file, note.where) for note in found.notes if note.dropped] == [
        ("0.json", "$.releases[1]"),
        ("1.json", "$.id"),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"null", b"\xff", b'"x"', b"[" * 100_000, b" " * (MAX_FILE + 1), b'{"id": "a", "id": "b"}',
        b'{"version": "2.0", "last_updated": "2026-01-01", "distributions": []}', b'{"id": "x", "releases": {}}',
        b'{"id": [], "releases": []}', b'{"id": "x", "releases": [null, 1, [], {}]}',
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_told(data: bytes) -> None:
    found = migrated(data)
    assert found.distributions == 0
    assert any(note.dropped for note in found.notes)
    assert all(str(note).isprintable() for note in found.notes)


def test_a_file_of_the_old_format_says_so_to_everybody_else() -> None:
    with pytest.raises(CatalogError, match=r"before 1\.0.*luxusb catalog migrate"):
        parse_document(json.dumps(old()).encode(), "x", Layer.USER)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(sorted(old())), json_values, max_size=4),
    st.dictionaries(st.sampled_from(sorted(old()["releases"][0])), json_values, max_size=4),
)
def test_whatever_stands_in_a_file_what_comes_out_is_a_catalogue(top: dict[str, Any], inner: dict[str, Any]) -> None:
    found = migrated({**old(**inner), **top}, old("other", sha256="5c" * 31 + "5d"))
    entries = parse_document(json.dumps(found.document).encode(), "x", Layer.MIGRATED)
    assert "other" in {entry.id for entry in entries}
    assert {release.sha256 for entry in entries for release in entry.releases} <= {HASH, "5c" * 31 + "5d"}
    assert len(entries) == 2 or any(note.dropped for note in found.notes)
