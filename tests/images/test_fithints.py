"""Filesystems that are expected of a release, beside what the recipes themselves say."""

from __future__ import annotations

from pathlib import Path

import pytest

from luxusbd import resources
from luxusbd.errors import CatalogError
from luxusbd.images.fithints import expected_to_start, read_filesystems
from luxusbd.images.recipebook import packaged_layer


def test_the_hints_are_what_the_recipes_say() -> None:
    hints = read_filesystems(resources.data("recipes"))
    recipes = packaged_layer().recipes
    assert {recipe.id for recipe in recipes} == hints.keys()
    for recipe in recipes:
        own = [system.filesystems for system in recipe.systems if system.filesystems]
        assert hints[recipe.id] == (recipe.filesystems, *own)


def test_all_of_a_family_have_to_start_and_the_recipe_has_to_be_known(tmp_path: Path) -> None:
    assert expected_to_start("live-boot", "ext4")
    assert not expected_to_start("live-boot", "exfat")
    assert not expected_to_start("nobody-knows", "ext4")
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(CatalogError, match="not a recipe"):
        read_filesystems(tmp_path)
