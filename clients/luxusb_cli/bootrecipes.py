"""Boot recipes as the daemon, or the files of this machine, tell of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from luxusb_cli.errors import CliError
from luxusb_cli.i18n import _
from luxusb_cli.wire import Wire, flag, number, text, texts, wires


@dataclass(frozen=True)
class BootRecipe:
    """One recipe."""

    origin: str
    """packaged, catalog or admin."""
    id: str
    version: int
    family: str
    priority: int
    systems: tuple[str, ...]
    bootable: bool
    filesystems: tuple[str, ...]
    toram: str
    persistence: str

    @classmethod
    def from_wire(cls, wire: Wire) -> BootRecipe:
        """From an entry of ListRecipes."""
        return cls(
            origin=text(wire, "origin"),
            id=text(wire, "id"),
            version=number(wire, "version"),
            family=text(wire, "family"),
            priority=number(wire, "priority"),
            systems=texts(wire, "systems"),
            bootable=flag(wire, "bootable"),
            filesystems=texts(wire, "filesystems"),
            toram=text(wire, "toram"),
            persistence=text(wire, "persistence"),
        )


@dataclass(frozen=True)
class RecipeBook:
    """All that are in force, the first to be tried first."""

    recipes: tuple[BootRecipe, ...]
    problems: tuple[str, ...]
    """What was left out, and why."""

    @classmethod
    def from_wire(cls, wire: Wire) -> RecipeBook:
        """From the answer of ListRecipes."""
        return cls(tuple(map(BootRecipe.from_wire, wires(wire.get("recipes", []), "recipes"))), texts(wire, "problems"))


def read_files(directory: Path, kept: Path) -> RecipeBook:
    """What a service would have in force that reads these files.

    Args:
        directory: the administrator's.
        kept: the file with the recipes of the signed catalogue.

    Raises:
        CliError: the recipes of this version cannot be read.
    """
    from luxusbd.errors import CatalogError
    from luxusbd.images.recipebook import merge, packaged_layer, read_directory, read_kept
    from luxusbd.images.recipelist import told

    try:
        book = told(merge([packaged_layer(), read_kept(kept), read_directory(directory)]))
    except CatalogError as error:
        raise CliError(
            _("The recipes of this version cannot be read"), error.message, _("Install luxusbd anew.")
        ) from error
    return RecipeBook(tuple(BootRecipe(**asdict(one)) for one in book.recipes), book.problems)
