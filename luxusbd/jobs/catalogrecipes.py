"""Boot recipes that come with the signed catalogue: kept in a file of their own, which whoever recognises images reads.

The catalogue itself is readable for the core alone, and holds more than these processes need. The file follows the
edition in force: it is written when one is put there, brought in order when the daemon starts, and not there when the
edition has none.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from luxusbd.catalog.cache import Cached
from luxusbd.catalog.schema import shortened
from luxusbd.durable import replace_file

log = logging.getLogger(__name__)

FILE_NAME = "recipes.json"
MODE = 0o644
"""The transfer process, which is another user, and `luxusb recipes list` read it."""


class CatalogRecipes:
    """The file, and what is wrong with what is in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: tuple[str, ...] = ()
        """Recipes of the edition in force that are not used, and why, a line each."""

    def follow(self, cached: Cached | None) -> None:
        """Keep the recipes of this edition and no others. Blocks.

        What the disk refuses is said in `problems`, since the catalogue is in force without its recipes, too.
        """
        recipes = cached.document.recipes if cached is not None else ()
        self.problems = _faults(recipes)
        data = kept_text(recipes)
        try:
            if not recipes:
                self.path.unlink(missing_ok=True)
            elif not self.path.exists() or self.path.read_bytes() != data:
                replace_file(self.path, data, MODE)
        except OSError as error:
            self.problems += (f"{self.path}: {error.strerror}; the recipes of the catalogue are not renewed",)
        for problem in self.problems:
            log.warning("a boot recipe of the catalogue is not used: %s", problem)


def kept_text(recipes: Sequence[object]) -> bytes:
    """The content of the file, which is no longer than the recipes are in the catalogue."""
    return json.dumps([each for each in recipes if _is_json(each)]).encode()


def _is_json(document: object) -> bool:
    """Whether it can be written as JSON: a number such as 1e999 is read as one that cannot."""
    try:
        json.dumps(document, allow_nan=False)
    except ValueError:
        return False
    return True


def _faults(recipes: tuple[object, ...]) -> tuple[str, ...]:
    if not recipes:
        return ()
    # the check of recipes takes a good part of the service's start, which most catalogues need not pay for
    from luxusbd.images.recipebook import read_documents

    return tuple(shortened(read_documents(list(recipes)).problems))
