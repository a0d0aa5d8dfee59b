"""Writes the tables of systems in docs/boot.md: `python -m tests.images.docs_boot`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from luxusbd.images.kernel import SHIM_VENDORS
from luxusbd.images.model import Firmware, Store
from luxusbd.images.recipes import Recipe, System, packaged_recipes

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "boot.md"
BEGIN = "<!-- Written by `python -m tests.images.docs_boot` from data/recipes; do not edit. -->"
END = "<!-- End of what was written. -->"
_COLUMNS = (
    "system",
    "BIOS",
    "UEFI",
    "Secure Boot, if signed by",
    "ext4",
    "FAT32",
    "exFAT",
    "can keep changes",
    "from memory",
    "memory, MiB",
    "recipe",
)
_VENDORS = {"debian": "Debian", "fedora": "Fedora", "redhat": "Red Hat", "suse": "SUSE", "ubuntu": "Ubuntu"}
_STORES = {
    Store.PARTITION: "a partition",
    Store.FILE: "a file",
    Store.DIRECTORY: "a directory",
    Store.OWN: "by itself",
}


def rows(recipes: Sequence[Recipe]) -> list[tuple[str, ...]]:
    """What starts from a file: a row for each name that a recipe knows, sorted by name."""
    found = []
    for recipe in recipes:
        if recipe.reason:
            continue
        for name, known in _by_name(recipe):
            starting = [system for system in known if not system.reason]
            if starting:
                found.append(_row(recipe, name, starting))
    return sorted(found, key=lambda row: (row[0].casefold(), row[-1]))


def refusals(recipes: Sequence[Recipe]) -> list[tuple[str, str, str]]:
    """What does not: which systems, why, and what to do instead."""
    found = [(", ".join(_names(each)), each.reason, each.advice) for each in recipes if each.reason]
    found += [
        (f"{system.name}, some versions", system.reason, system.advice)
        for recipe in recipes
        for system in recipe.systems
        if system.reason and not recipe.reason
    ]
    return sorted(found, key=lambda row: row[0].casefold())


def tables(recipes: Sequence[Recipe]) -> str:
    """The text between the marks."""
    refused = ("What does not start from an image file:", "", "| system | why | what to do |", "|---|---|---|")
    head = (_line(_COLUMNS), f"|{'---|' * len(_COLUMNS)}")
    started = (_line(row) for row in rows(recipes))
    return "\n".join([*head, *started, "", *refused, *(_line(row) for row in refusals(recipes))])


def rewritten(text: str) -> str:
    """The document with the tables of now."""
    part = f"{BEGIN}\n\n{tables(packaged_recipes())}\n\n{END}"
    return re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: part, text, flags=re.DOTALL)


def _names(recipe: Recipe) -> list[str]:
    return list(dict.fromkeys([*(system.name for system in recipe.systems), recipe.system]))


def _by_name(recipe: Recipe) -> Iterator[tuple[str, list[System]]]:
    """Several entries of one name are several versions of it; the family's own name stands for all others."""
    family = System(recipe.system, recipe.condition)
    for name in _names(recipe):
        known = [system for system in recipe.systems if system.name == name]
        yield name, [*known, family] if name == recipe.system else known


def _row(recipe: Recipe, name: str, known: Sequence[System]) -> tuple[str, ...]:
    firmware = {each for variant in recipe.variants for each in variant.firmware}
    reads = [system.filesystems or recipe.filesystems for system in known]
    memory = sorted({system.minimum_memory or recipe.minimum_memory for system in known} - {0})
    toram = "always" if recipe.always_in_ram else "an entry" if recipe.toram is not None else ""
    return (
        name,
        _yes(Firmware.BIOS in firmware),
        _yes(Firmware.UEFI in firmware),
        _signers(recipe),
        *(_reading(filesystem, reads) for filesystem in ("ext4", "fat32", "exfat")),
        _STORES[recipe.persistence.store] if recipe.persistence is not None else "",
        toram,
        "–".join(str(size) for size in (*memory[:1], *memory[1:][-1:])),
        f"`{recipe.id}`",
    )


def _signers(recipe: Recipe) -> str:
    vendors = {vendor for variant in recipe.variants for vendor in variant.vendors}
    if not vendors:
        return "no"
    names = sorted(_VENDORS[vendor] for vendor in vendors)
    return " or ".join(names) + ("" if vendors & SHIM_VENDORS else ", key to be enrolled")


def _reading(filesystem: str, reads: Sequence[frozenset[str]]) -> str:
    can = {not known or filesystem in known for known in reads}
    return "some versions" if len(can) > 1 else _yes(can == {True})


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    DOCUMENT.write_text(rewritten(DOCUMENT.read_text("utf-8")), "utf-8")
