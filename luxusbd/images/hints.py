"""What the boot recipe tells of a release before its image is there.

The core matches no image, so it needs neither the patterns of the recipes nor the validator of their format, which
would take a good part of its start: only these few fields are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from luxusbd import resources
from luxusbd.errors import CatalogError


class SecureBoot(StrEnum):
    """Whether a release is expected to start from a stick where Secure Boot is on."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


SHIM_ARCHITECTURES = frozenset({"amd64", ""})
"""Those whose kernels the stick's shim and GRUB, which are for x86-64, can start."""


@dataclass(frozen=True)
class RecipeHint:
    """What is said of all images of a recipe."""

    family: str
    signed: bool
    """Whether one of its ways to start has a kernel that is signed by whom the stick's shim trusts."""


@cache
def recipe_hints() -> Mapping[str, RecipeHint]:
    """By the ids of the recipes that came with the program. Reads them the first time.

    Raises:
        CatalogError: one of them cannot be read.
    """
    return read_hints(resources.data("recipes"))


def read_hints(directory: Path) -> Mapping[str, RecipeHint]:
    """By the ids of the recipes in a directory.

    Raises:
        CatalogError: one of them cannot be read.
    """
    found: dict[str, RecipeHint] = {}
    for path in sorted(directory.glob("*.json")):
        try:
            document = json.loads(path.read_bytes())
            signed = any("secure_boot" in variant for variant in document.get("variants", ()))
            found[document["id"]] = RecipeHint(document["family"], signed)
        except OSError as error:
            raise CatalogError(f"{path}: {error.strerror}") from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise CatalogError(f"{path}: not a recipe: {error}") from error
    return found


def family(recipe: str, hints: Mapping[str, RecipeHint]) -> str:
    """The family of a recipe; empty where none is named or the one that is named is not known."""
    hint = hints.get(recipe)
    return hint.family if hint is not None else ""


def secure_boot(recipe: str, architecture: str, hints: Mapping[str, RecipeHint]) -> SecureBoot:
    """What to expect of a release with this recipe and for this architecture (empty: not known)."""
    hint = hints.get(recipe)
    if architecture not in SHIM_ARCHITECTURES or (hint is not None and not hint.signed):
        return SecureBoot.NO
    return SecureBoot.UNKNOWN if hint is None else SecureBoot.YES
