from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd import resources
from luxusbd.catalog.catalog import Catalog, Reference, Sources, parse_reference, reference_to
from luxusbd.catalog.fallback import FALLBACK
from luxusbd.catalog.model import Layer
from luxusbd.catalog.schema import parse_document, validate
from luxusbd.errors import DistributionNotFoundError, InvalidArgumentError
from luxusbd.images.recipes import packaged_recipes
from tests.catalog.test_schema import document

ALICE, BOB = 1000, 1001


def releases(*entries: tuple[str, str, str]) -> list[dict[str, Any]]:
    template = document()["distributions"][0]["releases"][0]
    return [
        {
            **template,
            "version": version,
            "edition": edition,
            "architecture": architecture,
            "sha256": f"{number:064x}",
            "iso_url": f"https://example.org/{version}-{edition}-{architecture}.iso",
        }
        for number, (version, edition, architecture) in enumerate(entries, 1)
    ]


def named(distribution_id: str, name: str = "Mine", **changes: Any) -> dict[str, Any]:
    data = document()
    data["distributions"][0].update(id=distribution_id, name=name, **changes)
    return data


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    (tmp_path / "admin").mkdir()
    packaged = tmp_path / "distros.json"
    packaged.write_text(json.dumps(named("mine", "Packaged")))
    return Sources(packaged, tmp_path / "cache.json", tmp_path / "admin")


@pytest.fixture
def debian() -> Catalog:
    wanted = releases(
        ("13.7.0", "kde", "amd64"),
        ("13.7.0", "gnome", "amd64"),
        ("13.7.0", "gnome", "arm64"),
        ("13.6.0", "gnome", "amd64"),
        ("12.15.0", "standard", "amd64"),
    )
    data = named("debian-live", "Debian Live", releases=wanted)
    return Catalog(validate(data, "x", Layer.PACKAGED))


def test_layers_override_each_other_in_order(sources: Sources, tmp_path: Path) -> None:
    assert Catalog.load(sources).get("mine").layer is Layer.PACKAGED
    sources.cache.write_text(json.dumps(named("mine", "Cached")))
    assert Catalog.load(sources).get("mine").name == "Cached"
    (sources.admin / "20.json").write_text(json.dumps(named("mine", "Admin 20")))
    (sources.admin / "10.json").write_text(json.dumps(named("mine", "Admin 10")))
    assert Catalog.load(sources).get("mine").name == "Admin 20"
    extra = tmp_path / "extra.json"
    extra.write_text(json.dumps(named("mine", "Given")))
    catalog = Catalog.load(Sources(sources.packaged, sources.cache, sources.admin, (extra,)))
    assert (catalog.get("mine").name, catalog.get("mine").layer) == ("Given", Layer.COMMAND_LINE)
    assert catalog.problems == ()
    assert catalog.get("systemrescue").layer is Layer.FALLBACK


def test_a_broken_layer_is_reported_and_skipped(sources: Sources, tmp_path: Path) -> None:
    sources.cache.write_text("{")
    (sources.admin / "bad.json").write_text(json.dumps(named("Bad Id")))
    (sources.admin / "good.json").write_text(json.dumps(named("good")))
    missing = tmp_path / "missing.json"
    catalog = Catalog.load(Sources(sources.packaged, sources.cache, sources.admin, (missing,)))
    assert {entry.id for entry in catalog.distributions()} == {"mine", "good", "ubuntu", "systemrescue"}
    assert [problem.split(": ")[0] for problem in catalog.problems] == [
        str(sources.cache),
        str(sources.admin / "bad.json"),
        str(missing),
    ]


def test_without_any_file_the_fallback_remains(tmp_path: Path) -> None:
    catalog = Catalog.load(Sources(tmp_path / "a", tmp_path / "b", tmp_path / "c"))
    assert {entry.id for entry in catalog.distributions()} == {"ubuntu", "systemrescue"}
    assert len(catalog.problems) == 1


def test_a_users_layer_is_seen_by_that_uid_alone(sources: Sources) -> None:
    catalog = Catalog.load(sources)
    own = catalog.with_user_layer(ALICE, validate(named("secret"), "x", Layer.USER))
    assert own.get("secret", ALICE).layer is Layer.USER
    sha256 = own.get("secret", ALICE).releases[0].sha256
    for uid in (BOB, None):
        with pytest.raises(DistributionNotFoundError):
            own.get("secret", uid)
        assert "secret" not in {entry.id for entry in own.distributions(uid)}
    found = own.find_by_hash(sha256, ALICE)
    assert found is not None
    with pytest.raises(DistributionNotFoundError):
        own.with_user_layer(ALICE, ()).get("secret", ALICE)
    with pytest.raises(DistributionNotFoundError):
        catalog.get("secret", ALICE)


@pytest.mark.parametrize(
    ("reference", "version", "edition", "architecture"),
    [
        ("debian-live", "13.7.0", "kde", "amd64"),
        ("distro:debian-live", "13.7.0", "kde", "amd64"),
        ("debian-live/gnome", "13.7.0", "gnome", "amd64"),
        ("debian-live/GNOME", "13.7.0", "gnome", "amd64"),
        ("debian-live/arm64", "13.7.0", "gnome", "arm64"),
        ("debian-live@13.6.0", "13.6.0", "gnome", "amd64"),
        ("debian-live@13", "13.7.0", "kde", "amd64"),
        ("debian-live@12/standard", "12.15.0", "standard", "amd64"),
        ("distro:debian-live/standard", "12.15.0", "standard", "amd64"),
    ],
)
def test_resolve(debian: Catalog, reference: str, version: str, edition: str, architecture: str) -> None:
    entry, release = debian.resolve(reference)
    assert (release.version, release.edition, release.architecture) == (version, edition, architecture)
    if architecture == "amd64":
        assert debian.resolve(reference_to(entry, release)) == (entry, release)


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("debian-liv", "did you mean debian-live?"),
        ("zzz", "`luxusb distros`"),
        ("debian-live@99", "no version '99'.*it has 13.7.0, 13.6.0, 12.15.0"),
        ("debian-live@1", "no version '1'"),
        ("debian-live@13.6.1", "did you mean 13.6.0"),
        ("debian-live/gnom", "no edition 'gnom'; did you mean gnome"),
        ("debian-live@12/kde", "no version '12'"),
    ],
)
def test_what_is_not_there_is_explained(debian: Catalog, reference: str, text: str) -> None:
    with pytest.raises(DistributionNotFoundError, match=text):
        debian.resolve(reference)


@pytest.mark.parametrize(
    "text", ["", "distro:", "Debian", "a b", "a@", "a/", "a@1/2/3", "a@1@2", "../x", "a\n", "x" * 400]
)
def test_malformed_references(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="distro:ID"):
        parse_reference(text)


label = st.text(st.characters(exclude_characters="/@", exclude_categories=["C", "Z"]), max_size=20)


@given(st.from_regex(r"[a-z0-9][a-z0-9.+_-]{0,20}", fullmatch=True), label, label)
def test_references_survive_being_written(identifier: str, version: str, edition: str) -> None:
    reference = Reference(identifier, version, edition)
    assert parse_reference(str(reference)) == reference
    assert parse_reference(str(reference).removeprefix("distro:")) == reference


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        found = str(parse_reference(text))
    except InvalidArgumentError as error:
        refusal = error.message
    else:
        refusal = ""
        assert found.removeprefix("distro:") == text.removeprefix("distro:")
    assert refusal == "" or refusal.isprintable()


def test_the_most_popular_come_first() -> None:
    entries = [
        ("b", "Beta", 2, "Server", ("1", "", "amd64")),
        ("a", "Alpha", 0, "Desktop", ("1", "", "arm64")),
        ("c", "Gamma", 1, "Desktop", ("1", "", "")),
    ]
    data = document()
    data["distributions"] = [
        {
            **copy.deepcopy(document()["distributions"][0]),
            "id": key, "name": name, "popularity_rank": rank, "category": category, "releases": releases(release),
        }
        for key, name, rank, category, release in entries
    ]  # fmt: skip
    catalog = Catalog(validate(data, "x", Layer.PACKAGED))
    assert [entry.id for entry in catalog.distributions()] == ["c", "b", "a"]


def test_find_by_hash(debian: Catalog) -> None:
    found = debian.find_by_hash(f"{2:064x}")
    assert found is not None
    assert reference_to(*found) == "distro:debian-live@13.7.0/gnome"
    assert debian.find_by_hash("f" * 64) is None


def test_a_release_that_is_known_by_its_sha512_alone() -> None:
    both, alone, unsized = releases(("1", "both", ""), ("1", "alone", ""), ("1", "unsized", ""))
    hashes = [f"{number:0128x}" for number in (7, 8, 9)]
    both.update(sha512=hashes[0], size=5)
    alone.update(sha256="", sha512=hashes[1], size=6)
    data = named("mine", releases=[both, alone])
    catalog = Catalog(validate(data, "x", Layer.ADMIN))
    found = catalog.find_by_hash("f" * 64, sha512=hashes[1])
    assert found is not None
    assert found[1].edition == "alone"
    # where there is a sha256, that decides
    assert catalog.find_by_hash("f" * 64, sha512=hashes[0]) is None
    assert catalog.find_by_hash("f" * 64) is None
    assert catalog.find_by_hash("") is None
    assert [catalog.needs_sha512(size) for size in (0, 5, 6)] == [True, False, True]
    unsized.update(sha256="", sha512=hashes[2])
    data = named("mine", releases=[both, unsized])
    assert Catalog(validate(data, "x", Layer.ADMIN)).needs_sha512(5) is True
    data = named("mine", releases=[both])
    assert Catalog(validate(data, "x", Layer.ADMIN)).needs_sha512(0) is False


def test_the_packaged_catalogue_is_valid_and_its_recipes_exist() -> None:
    entries = parse_document(resources.data("distros.json").read_bytes(), "distros.json", Layer.PACKAGED)
    recipes = {recipe.id for recipe in packaged_recipes()}
    hashes = [release.content for entry in entries for release in entry.releases]
    assert len(set(hashes)) == len(hashes)
    for entry in entries:
        for release in entry.releases:
            assert release.recipe in {*recipes, ""}
            assert release.size == 0 or release.size_mb == round(release.size / 1e6)
            assert release.architecture


def test_the_fallback_agrees_with_the_packaged_catalogue() -> None:
    entries = parse_document(resources.data("distros.json").read_bytes(), "distros.json", Layer.PACKAGED)
    packaged = {release.iso_url: release.sha256 for entry in entries for release in entry.releases}
    for entry in validate(FALLBACK, "fallback", Layer.FALLBACK):
        for release in entry.releases:
            assert packaged[release.iso_url] == release.sha256
