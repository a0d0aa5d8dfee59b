from __future__ import annotations

from pathlib import Path

import pytest

from luxusbd.errors import CatalogError
from luxusbd.images.hints import RecipeHint, SecureBoot, family, read_hints, recipe_hints, secure_boot
from luxusbd.images.recipes import packaged_recipes

HINTS = {"signed": RecipeHint("debian-live", signed=True), "plain": RecipeHint("casper", signed=False)}


def test_the_packaged_recipes_are_read_as_the_full_reader_does() -> None:
    assert dict(recipe_hints()) == {
        recipe.id: RecipeHint(recipe.family, any(variant.signer for variant in recipe.variants))
        for recipe in packaged_recipes()
    }


@pytest.mark.parametrize(
    ("recipe", "architecture", "expected"),
    [
        ("signed", "amd64", SecureBoot.YES),
        ("signed", "", SecureBoot.YES),
        ("signed", "arm64", SecureBoot.NO),
        ("signed", "i386", SecureBoot.NO),
        ("plain", "amd64", SecureBoot.NO),
        ("", "amd64", SecureBoot.UNKNOWN),
        ("of-a-newer-version", "amd64", SecureBoot.UNKNOWN),
        ("", "arm64", SecureBoot.NO),
    ],
)
def test_what_is_expected_of_secure_boot(recipe: str, architecture: str, expected: SecureBoot) -> None:
    assert secure_boot(recipe, architecture, HINTS) is expected


def test_the_family() -> None:
    assert [family(recipe, HINTS) for recipe in ("plain", "", "of-a-newer-version")] == ["casper", "", ""]


@pytest.mark.parametrize("content", [b"{", b"[]", b"7", b'{"id": "x"}', b'{"id": "x", "family": "y", "variants": 7}'])
def test_a_file_that_is_no_recipe(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(CatalogError, match=r"x\.json: not a recipe"):
        read_hints(tmp_path)
