"""From which filesystems a release's system is expected to start, by its boot recipe, before its image is there.

As in `hints`, only these few fields are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from luxusbd import resources
from luxusbd.images.hints import read_fields

Choices = tuple[frozenset[str], ...]
"""What the recipe says of its family and of each system of it that has a word of its own; an empty set is all."""


def expected_to_start(recipe: str, filesystem: str) -> bool:
    """Whether every system for which this recipe is made starts from a filesystem; not where nobody knows the recipe.

    Raises:
        CatalogError: a packaged recipe cannot be read.
    """
    choices = expected_filesystems().get(recipe)
    return choices is not None and all(not one or filesystem in one for one in choices)


@cache
def expected_filesystems() -> Mapping[str, Choices]:
    """By the ids of the recipes that came with the program. Reads them the first time.

    Raises:
        CatalogError: one of them cannot be read.
    """
    return read_filesystems(resources.data("recipes"))


def read_filesystems(directory: Path) -> Mapping[str, Choices]:
    """By the ids of the recipes in a directory.

    Raises:
        CatalogError: one of them cannot be read.
    """
    return read_fields(directory, _choices)


def _choices(document: Mapping[str, Any]) -> Choices:
    systems = [system["filesystems"] for system in document.get("systems", ()) if "filesystems" in system]
    return tuple(frozenset(one) for one in (document.get("filesystems", ()), *systems))
