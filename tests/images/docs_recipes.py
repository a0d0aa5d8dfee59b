"""Writes the table of recognised systems in docs/images.md: `python -m tests.images.docs_recipes`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from luxusbd.images.model import Store
from luxusbd.images.recipes import Recipe, packaged_recipes

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "images.md"
BEGIN = "<!-- Written by `python -m tests.images.docs_recipes` from data/recipes; do not edit. -->"
END = "<!-- End of what was written. -->"
_STORES = {Store.PARTITION: "partition", Store.FILE: "file", Store.DIRECTORY: "directory", Store.OWN: "own"}
_ORDER = ("ext4", "fat32", "exfat", "ntfs", "btrfs", "xfs", "f2fs")


def tables(recipes: tuple[Recipe, ...]) -> str:
    """What starts, and what does not."""
    lines = [
        "| recipe | systems | reads the image from | signed by | memory | from memory | keeps changes |",
        "|---|---|---|---|---|---|---|",
    ]
    ordered = sorted(recipes, key=lambda recipe: recipe.id)
    lines += [_row(recipe) for recipe in ordered if not recipe.reason]
    lines += ["", "What does not start from a file:", "", "| recipe | systems | why |", "|---|---|---|"]
    for recipe in ordered:
        if recipe.reason:
            lines.append(f"| `{recipe.id}` | {', '.join(_names(recipe))} | {recipe.reason} |")
        for system in recipe.systems:
            if system.reason:
                lines.append(f"| `{recipe.id}` | {system.name}, some versions | {system.reason} |")
    return "\n".join(lines)


def _names(recipe: Recipe) -> list[str]:
    startable = [system.name for system in recipe.systems if not system.reason]
    return list(dict.fromkeys([*startable, recipe.system]))


def _row(recipe: Recipe) -> str:
    vendors = sorted({vendor for variant in recipe.variants for vendor in variant.vendors})
    memory = f"{recipe.minimum_memory} MiB" if recipe.minimum_memory else ""
    toram = "always" if recipe.always_in_ram else ""
    if recipe.toram is not None:
        toram = " ".join(f"`{word}`" for word in recipe.toram.add)
    keeps = _STORES[recipe.persistence.store] if recipe.persistence is not None else ""
    cells = (f"`{recipe.id}`", ", ".join(_names(recipe)), "; ".join(_reads(recipe)), ", ".join(vendors))
    return f"| {' | '.join((*cells, memory, toram, keeps))} |"


def _reads(recipe: Recipe) -> Iterator[str]:
    """The filesystems of the family, and what some systems or versions have beyond them."""
    if not recipe.filesystems:
        yield "all that GRUB reads"
        return
    yield ", ".join(sorted(recipe.filesystems, key=_ORDER.index))
    more = {system.name for system in recipe.systems if system.filesystems - recipe.filesystems}
    if more:
        beyond = {one for system in recipe.systems for one in system.filesystems - recipe.filesystems}
        yield f"{', '.join(sorted(beyond))} too: {', '.join(sorted(more))} (not in every version)"


def rewritten(text: str) -> str:
    """The document with the tables of now."""
    part = f"{BEGIN}\n\n{tables(packaged_recipes())}\n\n{END}"
    return re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: part, text, flags=re.DOTALL)


if __name__ == "__main__":
    DOCUMENT.write_text(rewritten(DOCUMENT.read_text("utf-8")), "utf-8")
