"""Recipes from several places: those of this version, the administrator's, and later the signed catalogue's.

Of equal ids the highest version is in force, wherever it comes from. What comes from elsewhere than this version is
checked more strictly, and one that is broken is told and left out, so that it takes nothing else with it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from luxusbd.errors import CatalogError
from luxusbd.images.recipelint import lint
from luxusbd.images.recipes import Recipe, packaged_recipes, parse_recipe, read_document

log = logging.getLogger(__name__)

MAX_RECIPES = 256
"""Recipes of one place."""


@dataclass(frozen=True)
class Layer:
    """The recipes of one place."""

    origin: str
    """What people call it: packaged, admin, catalog."""
    recipes: tuple[Recipe, ...]
    problems: tuple[str, ...] = ()
    """What was left out, and why."""


@dataclass(frozen=True)
class Book:
    """All recipes in force."""

    recipes: tuple[Recipe, ...]
    """The highest priority first."""
    origins: dict[str, str]
    """Of each recipe by its id."""
    problems: tuple[str, ...]


def packaged_layer() -> Layer:
    """The recipes that come with this version.

    Raises:
        CatalogError: one is malformed.
    """
    return Layer("packaged", packaged_recipes())


def read_directory(directory: Path, origin: str = "admin") -> Layer:
    """The recipes in the files `*.json` of a directory; none where there is no such directory."""
    try:
        paths = sorted(path for path in directory.iterdir() if path.suffix == ".json")
    except FileNotFoundError:
        return Layer(origin, ())
    except OSError as error:
        return Layer(origin, (), (f"{directory}: {error.strerror}",))
    recipes: list[Recipe] = []
    problems = []
    if len(paths) > MAX_RECIPES:
        problems.append(f"{directory}: found {len(paths)} recipes, expected at most {MAX_RECIPES}")
    for path in paths[:MAX_RECIPES]:
        try:
            document = read_document(path)
        except CatalogError as error:
            problems.append(error.message)
            continue
        _take(document, str(path), recipes, problems)
    return Layer(origin, tuple(recipes), tuple(problems))


def read_documents(documents: object, origin: str = "catalog") -> Layer:
    """The recipes of a list of decoded JSON documents, such as a signed catalogue may carry."""
    if not isinstance(documents, list) or len(documents) > MAX_RECIPES:
        return Layer(origin, (), (f"{origin}: $.recipes: expected a list of at most {MAX_RECIPES} recipes",))
    recipes: list[Recipe] = []
    problems: list[str] = []
    for number, document in enumerate(documents):
        _take(document, f"{origin}, recipe {number + 1}", recipes, problems)
    return Layer(origin, tuple(recipes), tuple(problems))


def merge(layers: Sequence[Layer]) -> Book:
    """Of equal ids the highest version; of equal versions that of the earlier layer, which is said of the other."""
    chosen: dict[str, tuple[Recipe, str]] = {}
    problems = [problem for layer in layers for problem in layer.problems]
    for layer in layers:
        for recipe in layer.recipes:
            known = chosen.get(recipe.id)
            if known is None or known[0].version < recipe.version:
                chosen[recipe.id] = (recipe, layer.origin)
            else:
                problems.append(
                    f"{layer.origin}: the recipe {recipe.id} has version {recipe.version}, and that of {known[1]}"
                    f" has version {known[0].version}: expected a higher one, it is not used"
                )
    ordered = sorted((recipe for recipe, _ in chosen.values()), key=lambda recipe: (-recipe.priority, recipe.id))
    return Book(tuple(ordered), {name: origin for name, (_, origin) in chosen.items()}, tuple(problems))


class RecipeShelf:
    """The recipes in force while a process runs: a change in the administrator's directory counts at the next look."""

    def __init__(self, directory: Path | None = None) -> None:
        """`directory` is the administrator's."""
        self._directory = directory
        self._lock = threading.Lock()
        self._stamp: object = None
        self._book: Book | None = None

    def current(self) -> tuple[Recipe, ...]:
        """The recipes; what was left out is logged once.

        Raises:
            CatalogError: a packaged recipe is malformed.
        """
        with self._lock:
            stamp = self._look()
            if self._book is None or stamp != self._stamp:
                layers = [packaged_layer()]
                if self._directory is not None:
                    layers.append(read_directory(self._directory))
                self._book, self._stamp = merge(layers), stamp
                for problem in self._book.problems:
                    log.warning("a boot recipe is not used: %s", problem)
            return self._book.recipes

    def _look(self) -> object:
        if self._directory is None:
            return None
        try:
            return tuple(sorted(_stamps(self._directory)))
        except OSError as error:
            return error.errno


def _stamps(directory: Path) -> Iterable[tuple[str, int, int, int]]:
    for path in directory.iterdir():
        stat = path.stat()
        yield path.name, stat.st_mtime_ns, stat.st_size, stat.st_ino


def _take(document: object, name: str, recipes: list[Recipe], problems: list[str]) -> None:
    try:
        recipe = parse_recipe(document, name)
    except CatalogError as error:
        problems.append(error.message)
        return
    found = lint(document, recipe, name)
    if any(recipe.id == other.id for other in recipes):
        found.append(f"{name}: $.id: found {recipe.id!r}, which another recipe of the same place has")
    if found:
        problems += found
    else:
        recipes.append(recipe)
