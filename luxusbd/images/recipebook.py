"""Recipes from several places: those of this version, the signed catalogue's, and the administrator's.

Of equal ids the administrator's is in force, and without one the highest version, of equal ones that of this version.
What comes from elsewhere than this version is checked more strictly, and one that is broken or of a newer format is
told and left out, so that it takes nothing else with it.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from luxusbd.catalog.files import read_bounded
from luxusbd.catalog.schema import MAX_RECIPES as MAX_CATALOG
from luxusbd.catalog.schema import decode
from luxusbd.errors import CatalogError
from luxusbd.images.recipelint import lint
from luxusbd.images.recipes import MAX_RECIPE, Recipe, packaged_recipes, parse_recipe, read_document

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
    prevails: bool = False
    """Whether its recipes are in force whatever version another place has."""


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
    """The recipes in the files `*.json` of the administrator's directory; none where there is no such directory."""
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
    return Layer(origin, tuple(recipes), tuple(problems), prevails=True)


def read_kept(path: Path, origin: str = "catalog") -> Layer:
    """The recipes of the signed catalogue in force, where the service keeps them; none where there is no such file."""
    try:
        return read_documents(decode(read_bounded(path, MAX_CATALOG), str(path)), origin)
    except FileNotFoundError:
        return Layer(origin, ())
    except OSError as error:
        return Layer(origin, (), (f"{path}: {error.strerror}",))
    except CatalogError as error:
        return Layer(origin, (), (error.message,))


def read_documents(documents: object, origin: str = "catalog") -> Layer:
    """The recipes of a list of decoded JSON documents, such as a signed catalogue may carry."""
    if not isinstance(documents, list) or len(documents) > MAX_RECIPES:
        return Layer(origin, (), (f"{origin}: $.recipes: expected a list of at most {MAX_RECIPES} recipes",))
    recipes: list[Recipe] = []
    problems: list[str] = []
    for number, document in enumerate(documents):
        name = f"{origin}, recipe {number + 1}"
        if len(json.dumps(document)) > MAX_RECIPE:
            problems.append(f"{name}: larger than {MAX_RECIPE} bytes")
        else:
            _take(document, name, recipes, problems)
    return Layer(origin, tuple(recipes), tuple(problems))


def merge(layers: Sequence[Layer]) -> Book:
    """Of equal ids the one of a place that prevails, else the highest version, of equal versions the earlier place's.

    Where one that prevails keeps a higher version out, that is said.
    """
    chosen: dict[str, tuple[Recipe, str]] = {}
    problems = [problem for layer in layers for problem in layer.problems]
    for layer in layers:
        for recipe in layer.recipes:
            known = chosen.get(recipe.id)
            if known is not None and layer.prevails and known[0].version > recipe.version:
                problems.append(
                    f"{known[1]}: the recipe {recipe.id} has version {known[0].version}, and that of {layer.origin},"
                    f" which goes first, has version {recipe.version}"
                )
            if known is None or layer.prevails or known[0].version < recipe.version:
                chosen[recipe.id] = (recipe, layer.origin)
    ordered = sorted((recipe for recipe, _ in chosen.values()), key=lambda recipe: (-recipe.priority, recipe.id))
    return Book(tuple(ordered), {name: origin for name, (_, origin) in chosen.items()}, tuple(problems))


class RecipeShelf:
    """The recipes in force while a process runs: a change in a place counts at the next look."""

    def __init__(self, directory: Path | None = None, kept: Path | None = None) -> None:
        """`directory` is the administrator's, `kept` the file with those of the catalogue in force."""
        self._directory = directory
        self._kept = kept
        self._lock = threading.Lock()
        self._stamp: object = None
        self._book: Book | None = None

    def current(self) -> tuple[Recipe, ...]:
        """The recipes; what was left out is logged once.

        Raises:
            CatalogError: a packaged recipe is malformed.
        """
        return self.book().recipes

    def book(self) -> Book:
        """As `current`, with where they come from and what was left out.

        Raises:
            CatalogError: a packaged recipe is malformed.
        """
        with self._lock:
            stamp = (self._look(), _stamp(self._kept))
            if self._book is None or stamp != self._stamp:
                layers = [packaged_layer()]
                if self._kept is not None:
                    layers.append(read_kept(self._kept))
                if self._directory is not None:
                    layers.append(read_directory(self._directory))
                self._book, self._stamp = merge(layers), stamp
                for problem in self._book.problems:
                    log.warning("a boot recipe is not used: %s", problem)
            return self._book

    def _look(self) -> object:
        if self._directory is None:
            return None
        try:
            return tuple(sorted(_stamp(path) for path in self._directory.iterdir()))
        except OSError as error:
            return error.errno


def _stamp(path: Path | None) -> tuple[str, int, int, int]:
    """What changes with a file; the same for all that are not there."""
    try:
        if path is not None:
            stat = path.stat()
            return path.name, stat.st_mtime_ns, stat.st_size, stat.st_ino
    except OSError as error:
        return "", error.errno or 0, 0, 0
    return "", 0, 0, 0


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
