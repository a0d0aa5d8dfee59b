"""The tables in docs/boot.md are those of the recipes, and say what a recipe says."""

from __future__ import annotations

from dataclasses import replace

from luxusbd.images.kernel import SIGNERS
from luxusbd.images.recipes import packaged_recipes, parse_recipe
from tests.images import docs_boot
from tests.images.builders import by_id
from tests.images.test_recipes import minimal


def test_the_page_is_current() -> None:
    text = docs_boot.DOCUMENT.read_text("utf-8")
    assert docs_boot.BEGIN in text
    assert text == docs_boot.rewritten(text), "run python -m tests.images.docs_boot"
    assert set(docs_boot._VENDORS) == set(SIGNERS)


def test_every_system_has_its_row() -> None:
    recipes = packaged_recipes()
    known = {
        (name, recipe.id)
        for recipe in recipes
        for name in [*(system.name for system in recipe.systems if not system.reason), recipe.system]
        if not recipe.reason
    }
    shown = docs_boot.rows(recipes)
    assert {(row[0], row[-1].strip("`")) for row in shown} == known
    assert len(shown) == len(known)
    assert len(docs_boot.refusals(recipes)) >= 10
    assert all(why and instead for _, why, instead in docs_boot.refusals(recipes))


def test_a_row_says_what_the_recipe_says() -> None:
    document = minimal(
        system="Family",
        minimum_memory_mb=512,
        filesystems=["ext4", "fat32"],
        systems=[
            {"name": "Own", "match": {"volume_id": "2"}, "filesystems": ["ext4", "exfat"], "minimum_memory_mb": 2048},
            {"name": "Own", "match": {"volume_id": "^OWN"}},
        ],
        variants=[{"id": "main", "method": "linux", "firmware": ["bios", "uefi"], "kernel": ["/k"],
                   "parameters": ["{iso}"], "secure_boot": {"vendors": ["suse"]}}],
        toram={"of": "main", "add": ["toram"]},
    )  # fmt: skip
    recipe = parse_recipe(document, "x")
    suse, common = "SUSE, key to be enrolled", ("", "an entry")
    assert docs_boot.rows([recipe]) == [
        ("Family", "yes", "yes", suse, "yes", "yes", "no", *common, "512", "`mine`"),
        ("Own", "yes", "yes", suse, "yes", "some versions", "some versions", *common, "512–2048", "`mine`"),
    ]
    everything = replace(recipe, filesystems=frozenset(), systems=(), toram=None, always_in_ram=True)
    ((*_, ext4, fat32, exfat, keeps, memory, _least, _name),) = docs_boot.rows([everything])
    assert (ext4, fat32, exfat, keeps, memory) == ("yes", "yes", "yes", "", "always")
    assert docs_boot.rows([by_id(packaged_recipes())["windows"]]) == []
