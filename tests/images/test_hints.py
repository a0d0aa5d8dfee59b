from __future__ import annotations

from pathlib import Path

import pytest

from luxusbd import resources
from luxusbd.catalog.files import read_layer
from luxusbd.catalog.model import Layer, Mirror, Release
from luxusbd.errors import CatalogError
from luxusbd.images.changeshints import Way, expected_ways, read_ways
from luxusbd.images.hints import RecipeHint, SecureBoot, family, read_hints, recipe_hints, secure_boot
from luxusbd.images.kernel import SHIM_VENDORS
from luxusbd.images.model import Store
from luxusbd.images.recipes import Recipe, packaged_recipes

SIGNER = "debian"
HINTS = {
    "signed": RecipeHint("debian-live", frozenset({SIGNER})),
    "other": RecipeHint("other", frozenset({"Somebody"})),
    "plain": RecipeHint("casper", frozenset()),
}
OFFICIAL = "https://cdimage.debian.org/a.iso"


def release(recipe: str, architecture: str = "amd64", url: str = OFFICIAL) -> Release:
    return Release("1", "", url, "0" * 64, 0, (Mirror(url),), architecture=architecture, recipe=recipe)


def test_the_packaged_recipes_are_read_as_the_full_reader_does() -> None:
    assert dict(recipe_hints()) == {
        recipe.id: RecipeHint(
            recipe.family,
            frozenset(vendor for variant in recipe.variants for vendor in variant.vendors if vendor in SHIM_VENDORS),
        )
        for recipe in packaged_recipes()
    }


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (release("signed"), SecureBoot.YES),
        (release("signed", ""), SecureBoot.YES),
        (release("signed", url="https://debian.org/a.iso"), SecureBoot.YES),
        (release("signed", url="https://derivative.example/a.iso"), SecureBoot.UNKNOWN),
        (release("signed", url="https://notdebian.org/a.iso"), SecureBoot.UNKNOWN),
        (release("other"), SecureBoot.UNKNOWN),
        (release("signed", "arm64"), SecureBoot.NO),
        (release("signed", "i386"), SecureBoot.NO),
        (release("plain"), SecureBoot.NO),
        (release(""), SecureBoot.UNKNOWN),
        (release("of-a-newer-version"), SecureBoot.UNKNOWN),
        (release("", "arm64"), SecureBoot.NO),
    ],
)
def test_what_is_expected_of_secure_boot(shown: Release, expected: SecureBoot) -> None:
    assert secure_boot(shown, HINTS) is expected


def test_a_recipe_of_debian_does_not_make_the_kernel_of_another_maker_signed() -> None:
    packaged = {entry.id: entry for entry in read_layer(resources.data("distros.json"), Layer.PACKAGED).distributions}
    states = {
        key: {secure_boot(shown, recipe_hints()) for shown in packaged[key].releases}
        for key in ("debian-live", "parrot", "ubuntu", "void", "truenas")
    }
    assert states == {
        "debian-live": {SecureBoot.YES},
        "parrot": {SecureBoot.UNKNOWN},
        "ubuntu": {SecureBoot.UNKNOWN},
        "void": {SecureBoot.NO},
        "truenas": {SecureBoot.UNKNOWN},
    }


def test_the_family() -> None:
    assert [family(recipe, HINTS) for recipe in ("plain", "", "of-a-newer-version")] == ["casper", "", ""]


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"7",
        b'{"id": "x"}',
        b'{"id": "x", "family": "y", "variants": 7}',
        b'{"id": "x", "family": "y", "variants": [{"secure_boot": {}}]}',
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(CatalogError, match=r"x\.json: not a recipe"):
        read_hints(tmp_path)


def test_the_ways_of_keeping_changes_are_those_of_the_full_reader() -> None:
    def ways(recipe: Recipe) -> tuple[Way, ...]:
        if (rule := recipe.persistence) is None:
            return ()
        return (*([Way(Store.FILE, rule.file_on)] if rule.file_add else []), Way(rule.store, rule.on))

    assert dict(expected_ways()) == {recipe.id: ways(recipe) for recipe in packaged_recipes()}


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"id": "x", "persistence": 7}', b'{"id": "x", "persistence": {}}'])
def test_ways_in_a_file_that_is_no_recipe(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(CatalogError, match=r"x\.json: not a recipe"):
        read_ways(tmp_path)
