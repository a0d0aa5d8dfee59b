"""A catalogue that was exported means the same as the one in force, and is right in the eyes of every layer."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from luxusb_cli.exporting import document_of

from luxusbd import resources
from luxusbd.bus import render
from luxusbd.bus.values import Typed
from luxusbd.catalog.catalog import Catalog, Sources
from luxusbd.catalog.model import Distribution, Layer
from luxusbd.catalog.schema import read_document, validate
from luxusbd.images.hints import SecureBoot
from luxusbd.jobs.listed import Listed, ListedRelease
from tests.catalog.test_schema import document
from tests.cli.conftest import Run


def plain(value: Any) -> Any:
    """A value as a client sees it, without what the bus is told of its type."""
    if isinstance(value, Typed):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def listed(entry: Distribution) -> Listed:
    releases = tuple(ListedRelease(one, "", SecureBoot.UNKNOWN, ended=False) for one in entry.releases)
    return Listed(entry, releases)


def exported(found: tuple[Distribution, ...]) -> bytes:
    """As the command writes what the bus tells."""
    wires = [plain(render.distribution(listed(entry), mirrors=True)) for entry in found]
    return json.dumps(document_of(wires)).encode()


def alike(entries: tuple[Distribution, ...]) -> list[Distribution]:
    return [replace(entry, layer=Layer.PACKAGED) for entry in entries]


def test_the_packaged_catalogue_survives_it(luxusb: Run, tmp_path: Path) -> None:
    empty = Sources(cache=tmp_path / "none", admin=tmp_path / "none.d")
    packaged = Catalog.load(empty).distributions()
    file = tmp_path / "exported.json"
    file.write_bytes(exported(packaged))
    assert luxusb("catalog", "check", file).out == f"{file}: good, {len(packaged)} distributions\n"
    sources = (
        replace(empty, packaged=file),
        replace(empty, cache=file),
        replace(empty, command_line=(file,)),
    )
    for each in sources:
        again = Catalog.load(each)
        assert again.problems == ()
        assert alike(again.distributions()) == alike(packaged)
    releases = [release for entry in packaged for release in entry.releases]
    for name in ("mirror_list", "key_fingerprint", "key_url", "sha512", "sums_url", "recipe", "rolling"):
        assert any(getattr(release, name) for release in releases), name


URL = st.from_regex(r"https://[a-z]{1,8}\.example/[!-~]{0,12}", fullmatch=True).filter(lambda url: "@" not in url)
HASH = st.text("0123456789abcdef", min_size=128, max_size=128)
LABEL = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,12}", fullmatch=True)
MIRROR = st.fixed_dictionaries({"url": URL, "country": st.sampled_from(["", "DE"])})
RELEASE = st.fixed_dictionaries(
    {
        "version": LABEL,
        "iso_url": URL,
        "sha256": HASH.map(lambda text: text[:64]),
        "size_mb": st.integers(0, 9_000_000),
    },
    optional={
        "release_date": st.dates().map(str),
        "mirrors": st.lists(URL | MIRROR, max_size=4),
        "size": st.integers(0, 2**40),
        "architecture": st.sampled_from(["", "amd64", "x86_64", "i386", "i686", "arm64", "aarch64"]),
        "edition": st.just("") | LABEL,
        "sha512": HASH,
        "blake2b": HASH,
        "sums_url": URL,
        "signature_url": URL,
        "key_fingerprint": st.just("AB" * 20),
        "key_url": URL,
        "metalink": URL,
        "recipe": st.just("casper"),
        "minimum_memory_mb": st.integers(0, 2**20),
        "end_of_life": st.just("") | st.dates().map(str),
        "rolling": st.booleans(),
    },
)
DISTRIBUTION = st.fixed_dictionaries(
    {"description": st.text(max_size=40), "popularity_rank": st.integers(0, 1_000_000)},
    optional={
        "feed": st.just("") | URL,
        "homepage": URL,
        "logo_url": URL,
        "key_fingerprint": st.just("CD" * 20),
        "key_url": URL,
        "recipe": st.just("live-boot"),
    },
)


@settings(deadline=None)
@given(DISTRIBUTION, st.lists(RELEASE, min_size=1, max_size=3, unique_by=lambda release: release["version"]))
def test_every_field_survives_it(fields: dict[str, Any], releases: list[dict[str, Any]]) -> None:
    data = document()
    (entry,) = data["distributions"]
    template = entry["releases"][0]
    entry.update(fields, releases=[{**copy.deepcopy(template), "release_date": "", **each} for each in releases])
    before = validate(data, "x", Layer.ADMIN)
    found = read_document(exported(before), "exported", Layer.ADMIN)
    assert found.warnings == ()
    assert found.distributions == before


SCHEMA = json.loads(resources.data("schemas", "catalog.schema.json").read_text("utf-8"))


@pytest.mark.parametrize("field", sorted(SCHEMA["$defs"]["release"]["properties"]))
def test_no_field_of_a_release_is_forgotten(field: str) -> None:
    """A field that the schema gets and the export does not know would be lost without a word."""
    value = {"mirrors": ["https://m.example/x"], "architecture": "amd64", "size_mb": 3, "size": 3, "rolling": True}
    sample: dict[str, Any] = {
        **document()["distributions"][0]["releases"][0],
        **dict.fromkeys(("sums_url", "signature_url", "key_url", "metalink"), "https://m.example/x"),
        **dict.fromkeys(("sha512", "blake2b"), "ab" * 64),
        **value, "edition": "kde", "key_fingerprint": "AB" * 20, "recipe": "casper", "minimum_memory_mb": 3,
        "end_of_life": "2030-01-01", "mirror_list": "debian", "mirror_path": "x.iso",
    }  # fmt: skip
    data = document(**sample)
    found = json.loads(exported(validate(data, "x", Layer.ADMIN)))["distributions"][0]["releases"][0]
    assert field in sample
    assert found[field] == sample[field]
