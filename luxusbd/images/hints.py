"""What the boot recipe tells of a release before its image is there.

The core matches no image, so it needs neither the patterns of the recipes nor the validator of their format, which
would take a good part of its start: only these few fields are read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from luxusbd import resources
from luxusbd.catalog.model import Release
from luxusbd.errors import CatalogError
from luxusbd.images.kernel import SHIM_VENDORS

T = TypeVar("T")


class SecureBoot(StrEnum):
    """Whether a release is expected to start from a stick where Secure Boot is on."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


SHIM_ARCHITECTURES = frozenset({"amd64", ""})
"""Those whose kernels the stick's shim and GRUB, which are for x86-64, can start."""


PUBLISHERS: Mapping[str, str] = {"debian": "debian.org"}
"""By the vendor that signs a kernel: the domain whose images are known to have such kernels. Others use the same
recipe with kernels of their own, and which ones they have, their image tells and nothing before it."""


@dataclass(frozen=True)
class RecipeHint:
    """What is said of all images of a recipe."""

    family: str
    signers: frozenset[str]
    """The vendors whose shim a stick can carry, and whose signature on the kernel makes one of its ways to start work
    under Secure Boot; empty: none does."""


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
    return read_fields(directory, _hint)


def _hint(document: Mapping[str, Any]) -> RecipeHint:
    variants = [variant for variant in document.get("variants", ()) if "secure_boot" in variant]
    signers = {vendor for variant in variants for vendor in variant["secure_boot"]["vendors"]}
    return RecipeHint(document["family"], SHIM_VENDORS & signers)


def read_fields(directory: Path, read: Callable[[Mapping[str, Any]], T]) -> dict[str, T]:
    """What `read` takes from each recipe in a directory, by their ids.

    Raises:
        CatalogError: one of them cannot be read.
    """
    found: dict[str, T] = {}
    for path in sorted(directory.glob("*.json")):
        try:
            document = json.loads(path.read_bytes())
            found[document["id"]] = read(document)
        except OSError as error:
            raise CatalogError(f"{path}: {error.strerror}") from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise CatalogError(f"{path}: not a recipe: {error}") from error
    return found


def family(recipe: str, hints: Mapping[str, RecipeHint]) -> str:
    """The family of a recipe; empty where none is named or the one that is named is not known."""
    hint = hints.get(recipe)
    return hint.family if hint is not None else ""


def secure_boot(release: Release, hints: Mapping[str, RecipeHint]) -> SecureBoot:
    """What to expect of a release.

    It is no where no way to start is signed for the stick's shim, yes where one is and its publisher is known to have
    such kernels, and unknown for all others.
    """
    hint = hints.get(release.recipe)
    if release.architecture not in SHIM_ARCHITECTURES or (hint is not None and not hint.signers):
        return SecureBoot.NO
    if hint is None:
        return SecureBoot.UNKNOWN
    host = f".{urlsplit(release.iso_url).hostname or ''}"
    known = any(host.endswith(f".{PUBLISHERS[signer]}") for signer in hint.signers if signer in PUBLISHERS)
    return SecureBoot.YES if known else SecureBoot.UNKNOWN
