"""What the boot recipe tells of a release's ways to keep changes, before its image is there.

As in `hints`, only these few fields are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from luxusbd import resources
from luxusbd.images.hints import read_fields
from luxusbd.images.model import Store


@dataclass(frozen=True)
class Way:
    """One way of keeping changes, as a recipe has it."""

    store: Store
    on: frozenset[str]
    """Filesystems of the data partition; empty for all."""


@cache
def expected_ways() -> Mapping[str, tuple[Way, ...]]:
    """By the ids of the recipes that came with the program, the preferred way first. Reads them the first time.

    Raises:
        CatalogError: one of them cannot be read.
    """
    return read_ways(resources.data("recipes"))


def read_ways(directory: Path) -> Mapping[str, tuple[Way, ...]]:
    """By the ids of the recipes in a directory; none for a system that keeps no changes.

    Raises:
        CatalogError: one of them cannot be read.
    """
    return read_fields(directory, lambda document: _ways(document.get("persistence")))


def _ways(rule: Mapping[str, object] | None) -> tuple[Way, ...]:
    if rule is None:
        return ()
    usual = Way(Store(str(rule["store"])), _words(rule.get("on")))
    file = rule.get("file")
    return (Way(Store.FILE, _words(file.get("on"))), usual) if isinstance(file, dict) else (usual,)


def _words(found: object) -> frozenset[str]:
    return frozenset(str(word) for word in found) if isinstance(found, list) else frozenset()
