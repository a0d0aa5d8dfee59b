"""Layers put together by field and by release, with what is known of where each came from."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest

from luxusbd.catalog.catalog import Catalog, Sources
from luxusbd.catalog.layers import Layers, marked
from luxusbd.catalog.model import Distribution, Layer, Origin, Release
from luxusbd.catalog.schema import MAX_DOCUMENT, validate
from tests.catalog.test_catalog import releases
from tests.catalog.test_schema import document

ALICE = 1000


def entry(*wanted: tuple[str, str, str], site: str = "", **fields: Any) -> dict[str, Any]:
    """A document with one distribution; the addresses of its releases lie on `site`."""
    data = document()
    found = [
        {**each, "iso_url": each["iso_url"].replace("example.org", site or "example.org")} for each in releases(*wanted)
    ]
    data["distributions"][0].update(id="debian", releases=found, **fields)
    return data


EMPTY: dict[str, Any] = {"description": "", "homepage": "", "logo_url": "", "category": "", "popularity_rank": 0}
BELOW = entry(
    ("13.7", "kde", "amd64"), ("13.7", "gnome", "amd64"), ("13.7", "gnome", "arm64"), ("12.15", "kde", "amd64"),
    name="Debian", description="Below.", feed="https://example.org/feed", logo_url="https://example.org/logo",
)  # fmt: skip


def layered(*documents: tuple[dict[str, Any], Layer]) -> Distribution:
    layers = Layers()
    for data, layer in documents:
        layers.put(validate(copy.deepcopy(data), f"{layer}.json", layer))
    (found,) = layers.distributions()
    return found


def names(found: Distribution) -> list[tuple[str, str, str, Layer]]:
    return [(one.version, one.edition, one.architecture, one.layer) for one in found.releases]


def test_a_pinned_release_hides_no_other_and_stays_in_its_place() -> None:
    pin = entry(("13.7", "kde", "amd64"), site="mirror.example", name="Debian", **EMPTY)
    found = layered((BELOW, Layer.PACKAGED), (pin, Layer.ADMIN))
    assert names(found) == [
        ("13.7", "kde", "amd64", Layer.ADMIN),
        ("13.7", "gnome", "amd64", Layer.PACKAGED),
        ("13.7", "gnome", "arm64", Layer.PACKAGED),
        ("12.15", "kde", "amd64", Layer.PACKAGED),
    ]
    assert found.releases[0].iso_url.startswith("https://mirror.example/")
    assert Catalog([found]).resolve("debian")[1] is found.releases[0]


def test_fields_that_say_nothing_leave_what_is_below() -> None:
    pin = entry(("13.7", "kde", "amd64"), **{**EMPTY, "name": "Our Debian", "category": "School"})
    found = layered((BELOW, Layer.PACKAGED), (pin, Layer.ADMIN))
    assert (found.name, found.description, found.category) == ("Our Debian", "Below.", "School")
    assert (found.logo_url, found.feed, found.popularity_rank) == (
        "https://example.org/logo",
        "https://example.org/feed",
        3,
    )
    assert found.layer is Layer.ADMIN
    assert {origin.field: (origin.layer, origin.document) for origin in found.origins} == {
        "name": (Layer.ADMIN, "admin.json"),
        "category": (Layer.ADMIN, "admin.json"),
        **dict.fromkeys(
            ("description", "homepage", "logo_url", "popularity_rank", "feed"), (Layer.PACKAGED, "packaged.json")
        ),
    }
    assert {(release.layer, release.document) for release in found.releases} == {
        (Layer.ADMIN, "admin.json"),
        (Layer.PACKAGED, "packaged.json"),
    }


def test_further_releases_are_sorted_in() -> None:
    more = entry(("13.10", "kde", "amd64"), ("13.6", "kde", "amd64"), name="Debian", **EMPTY)
    found = layered((BELOW, Layer.PACKAGED), (more, Layer.USER))
    assert [release.version for release in found.releases] == ["13.10", "13.7", "13.7", "13.7", "13.6", "12.15"]
    assert found.custom
    assert [release.custom for release in found.releases] == [True, False, False, False, True, False]


def test_a_release_without_architecture_is_compared_as_amd64() -> None:
    pin = entry(("13.7", "GNOME", ""), name="Debian", **EMPTY)
    found = layered((BELOW, Layer.PACKAGED), (pin, Layer.ADMIN))
    assert [name[:3] for name in names(found)] == [
        ("13.7", "kde", "amd64"), ("13.7", "GNOME", ""), ("13.7", "gnome", "arm64"), ("12.15", "kde", "amd64"),
    ]  # fmt: skip


def test_replace_leaves_nothing_of_what_is_below() -> None:
    alone = entry(("12.15", "kde", "amd64"), name="Debian", replace=True, **EMPTY)
    found = layered((BELOW, Layer.PACKAGED), (alone, Layer.ADMIN))
    assert names(found) == [("12.15", "kde", "amd64", Layer.ADMIN)]
    assert (found.description, found.feed) == ("", "")
    assert [origin.field for origin in found.origins] == ["name"]
    over = layered((BELOW, Layer.PACKAGED), (alone, Layer.ADMIN), (entry(("13.8", "kde", "amd64")), Layer.USER))
    assert [release.version for release in over.releases] == ["13.8", "12.15"]


def test_a_newer_whole_list_takes_away_what_it_does_not_name() -> None:
    newer = entry(("13.8", "kde", "amd64"), name="Debian", **EMPTY)
    found = layered((BELOW, Layer.PACKAGED), (newer, Layer.CACHE))
    assert names(found) == [("13.8", "kde", "amd64", Layer.CACHE)]
    assert found.description == "Below."


def test_keys_of_one_document_are_not_those_of_another() -> None:
    signed = {"sums_url": "https://example.org/SHA256SUMS"}
    pin = entry(("13.6", "kde", "amd64"), key_fingerprint="AB" * 20)
    pin["distributions"][0]["releases"][0].update(signed)
    below = copy.deepcopy(BELOW)
    for release in below["distributions"][0]["releases"]:
        release.update(signed)
    found = layered((below, Layer.PACKAGED), (pin, Layer.ADMIN))
    assert {release.key_fingerprint for release in found.releases if release.layer is Layer.PACKAGED} == {""}


def test_what_is_no_document_marks_what_it_changed() -> None:
    before = layered((BELOW, Layer.PACKAGED))
    (fresh,) = validate(entry(("13.8", "kde", "amd64"), name="New"), "x", Layer.PACKAGED)
    after = Distribution(**{**vars(before), "name": "New", "releases": (*fresh.releases, *before.releases[1:])})
    found = marked(before, after, Layer.CACHE, "feed debian")
    assert [(one.layer, one.document) for one in found.releases][:2] == [
        (Layer.CACHE, "feed debian"),
        (Layer.PACKAGED, "packaged.json"),
    ]
    assert found.origins[-1] == Origin("name", Layer.CACHE, "feed debian")
    assert found.layer is Layer.CACHE
    assert marked(before, before, Layer.CACHE, "feed debian").layer is Layer.PACKAGED


def test_a_users_view_follows_what_lies_below_it(tmp_path: Path) -> None:
    packaged = tmp_path / "distros.json"
    packaged.write_text(json.dumps(BELOW))
    sources = Sources(packaged, tmp_path / "none", tmp_path / "none.d")
    catalog = Catalog.load(sources)
    own = entry(("13.6", "kde", "amd64"), name="Debian", **EMPTY)
    catalog.import_layer(ALICE, validate(own, "own", Layer.USER))
    assert [one.version for one in catalog.get("debian", ALICE).releases] == ["13.7", "13.7", "13.7", "13.6", "12.15"]
    assert not any(release.custom for release in catalog.get("debian").releases)
    packaged.write_text(json.dumps(entry(("14.0", "kde", "amd64"))))
    catalog.renew(Catalog.load(sources))
    assert [one.version for one in catalog.get("debian", ALICE).releases] == ["14.0", "13.6"]
    found = catalog.find_by_hash(catalog.get("debian", ALICE).releases[1].sha256, ALICE)
    assert found is not None
    catalog.import_layer(ALICE, ())
    assert [one.version for one in catalog.get("debian", ALICE).releases] == ["14.0"]


def broken_directory(place: Path) -> dict[str, str]:
    """What may lie in a directory in place of files, and what is said of it."""
    (place / "directory.json").mkdir()
    (place / "loop.json").symlink_to(place / "loop.json")
    (place / "nowhere.json").symlink_to(place / "missing")
    os.mkfifo(place / "pipe.json")
    (place / "device.json").symlink_to("/dev/zero")
    with (place / "huge.json").open("wb") as file:
        file.truncate(1 << 40)
    (place / "large.json").write_bytes(b" " * (MAX_DOCUMENT + 1))
    (place / "empty.json").touch()
    (place / "deep.json").write_text("[" * 100_000)
    (place / "twice.json").write_text('{"version": "2.0", "version": "2.0"}')
    (place / "binary.json").write_bytes(b"\xff\xfe\0")
    return {
        "directory": "no regular file",
        "loop": "Too many levels of symbolic links",
        "pipe": "no regular file",
        "device": "no regular file",
        "huge": "larger than 32 MiB",
        "large": "larger than 32 MiB",
        "empty": "not valid JSON",
        "deep": "not valid JSON",
        "twice": "has the key 'version' twice",
        "binary": "not UTF-8 text",
    }


def test_whatever_lies_in_the_directory_is_named_and_passed_over(tmp_path: Path) -> None:
    admin = tmp_path / "distros.d"
    admin.mkdir()
    said = broken_directory(admin)
    (admin / "zz-good.json").write_text(json.dumps(entry(("1", "", ""))))
    (admin / ".hidden.json").write_text("{")
    (admin / "readme.txt").write_text("{")
    catalog = Catalog.load(Sources(tmp_path / "none", tmp_path / "none", admin))
    assert catalog.get("debian").layer is Layer.ADMIN
    for name, text in said.items():
        (line,) = (each for each in catalog.problems if each.startswith(f"{admin}/{name}.json: "))
        assert text in line
    assert len(catalog.problems) == len(said) + 1, catalog.problems


def test_a_file_in_place_of_the_directory_is_named(tmp_path: Path) -> None:
    admin = tmp_path / "distros.d"
    admin.touch()
    assert f"{admin}: Not a directory" in Catalog.load(Sources(tmp_path / "a", tmp_path / "b", admin)).problems


def test_unknown_fields_of_a_newer_version_are_told(tmp_path: Path) -> None:
    data = entry(("1", "", ""), colour="red")
    data["version"] = "2.1"
    data["distributions"][0]["releases"][0]["mirrors"] = [{"url": "https://a.example/x", "speed": 3}]
    packaged = tmp_path / "distros.json"
    packaged.write_text(json.dumps(data))
    catalog = Catalog.load(Sources(packaged, tmp_path / "none", tmp_path / "none.d"))
    assert catalog.get("debian").layer is Layer.PACKAGED
    (field, mirror) = catalog.problems
    assert field.startswith(f"{packaged}: $.distributions[0]: found the unknown field 'colour', which a newer version")
    assert mirror.startswith(f"{packaged}: $.distributions[0].releases[0].mirrors[0]: found unknown fields")


@pytest.mark.parametrize("missing", [True, False])
def test_what_is_built_in_needs_no_file_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: bool) -> None:
    from luxusbd import resources
    from luxusbd.catalog import schema

    (tmp_path / "data").mkdir()
    if not missing:
        (tmp_path / "data" / "schemas").mkdir()
        for name in ("distros.json", "mirrors.json", "schemas/catalog.schema.json", "schemas/mirrors.schema.json"):
            (tmp_path / "data" / name).write_text("garbage")
    monkeypatch.setattr(resources, "root", lambda: tmp_path)
    schema._validator.cache_clear()
    try:
        catalog = Catalog.load(Sources(cache=tmp_path / "none", admin=tmp_path / "none.d"))
    finally:
        schema._validator.cache_clear()
    assert {one.id for one in catalog.distributions()} == {"ubuntu", "systemrescue"}
    assert len(catalog.problems) == 2


def test_releases_are_the_same_whatever_layer_has_them() -> None:
    first, second = layered((BELOW, Layer.PACKAGED)), layered((BELOW, Layer.CACHE))
    assert first.releases == second.releases
    assert isinstance(first.releases[0], Release)
    assert first.releases[0].document != second.releases[0].document
