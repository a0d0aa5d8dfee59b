"""The boot recipes in force as they are told to people."""

from __future__ import annotations

from dataclasses import dataclass

from luxusbd.images.recipebook import Book, RecipeShelf
from luxusbd.images.recipes import Recipe


@dataclass(frozen=True)
class ListedRecipe:
    """What is told of one recipe."""

    origin: str
    """packaged, catalog or admin."""
    id: str
    version: int
    family: str
    priority: int
    systems: tuple[str, ...]
    """Their names."""
    bootable: bool
    """Whether they start from a file."""
    filesystems: tuple[str, ...]
    """From which they read the image; empty for all that GRUB reads."""
    toram: str
    """entry or always when they run from memory, or empty."""
    persistence: str
    """Where they can keep changes: partition, file, directory, own, or empty."""


@dataclass(frozen=True)
class Recipes:
    """All of them."""

    recipes: tuple[ListedRecipe, ...]
    """The first to be tried first."""
    problems: tuple[str, ...]
    """What was left out, and why."""


def listed(shelf: RecipeShelf) -> Recipes:
    """What is on a shelf; blocks.

    Raises:
        CatalogError: a packaged recipe is malformed.
    """
    return told(shelf.book())


def told(book: Book) -> Recipes:
    """A book as it is told."""
    return Recipes(tuple(_told(recipe, book.origins[recipe.id]) for recipe in book.recipes), book.problems)


def names_of(recipe: Recipe) -> tuple[str, ...]:
    """The systems that a recipe is for."""
    return tuple(dict.fromkeys([*(system.name for system in recipe.systems), recipe.system]))


def _told(recipe: Recipe, origin: str) -> ListedRecipe:
    return ListedRecipe(
        origin=origin,
        id=recipe.id,
        version=recipe.version,
        family=recipe.family,
        priority=recipe.priority,
        systems=names_of(recipe),
        bootable=not recipe.reason,
        filesystems=tuple(sorted(recipe.filesystems)),
        toram="always" if recipe.always_in_ram else "entry" if recipe.toram is not None else "",
        persistence=recipe.persistence.store.value if recipe.persistence is not None else "",
    )
