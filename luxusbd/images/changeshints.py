"""What the boot recipe tells of a release's ways to keep changes, before its image is there.

As in `hints`, only these few fields are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from luxusbd import resources
from luxusbd.errors import CatalogError
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
    found: dict[str, tuple[Way, ...]] = {}
    for path in sorted(directory.glob("*.json")):
        try:
            document = json.loads(path.read_bytes())
            found[document["id"]] = _ways(document.get("persistence"))
        except OSError as error:
            raise CatalogError(f"{path}: {error.strerror}") from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise CatalogError(f"{path}: not a recipe: {error}") from error
    return found


def _ways(rule: Mapping[str, object] | None) -> tuple[Way, ...]:
    if rule is None:
        return ()
    usual = Way(Store(str(rule["store"])), _words(rule.get("on")))
    file = rule.get("file")
    return (Way(Store.FILE, _words(file.get("on"))), usual) if isinstance(file, dict) else (usual,)


def _words(found: object) -> frozenset[str]:
    return frozenset(str(word) for word in found) if isinstance(found, list) else frozenset()
