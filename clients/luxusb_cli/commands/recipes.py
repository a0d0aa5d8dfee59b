"""`recipes`: how images are recognised and started, and files that say so. No daemon is needed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from luxusb_cli.context import State, SuggestingGroup, json_option, pass_state
from luxusb_cli.errors import LUXUSB, CliError, ExitCode
from luxusb_cli.i18n import N_, _, ngettext
from luxusb_cli.render import say, table
from luxusb_cli.text import clean

if TYPE_CHECKING:
    from luxusbd.images.recipes import Recipe

DIRECTORY = Path("/etc/luxusb/recipes.d")
KEPT = Path("/var/cache/luxusb/recipes.json")
_ORIGINS = {"packaged": N_("packaged"), "catalog": N_("catalogue"), "admin": N_("administrator")}


@click.group(cls=SuggestingGroup, short_help="List boot recipes, and check files with them.")
@json_option
def recipes() -> None:
    """Look at boot recipes, which say how images are recognised and started, and check recipe files.

    \b
    Examples:
      luxusb recipes list
      luxusb recipes check mine.json && sudo cp mine.json /etc/luxusb/recipes.d/
    """


@recipes.command("list", short_help="List the boot recipes.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    default=DIRECTORY,
    show_default=True,
    help="Where the administrator's own recipes lie (paths.recipes_dir).",
)
@click.option(
    "--catalog",
    "kept",
    type=click.Path(path_type=Path),
    default=KEPT,
    show_default=True,
    help="Where the service keeps the recipes of the signed catalogue (in paths.cache_dir).",
)
@json_option
@pass_state
def list_recipes(state: State, directory: Path, kept: Path) -> ExitCode:
    """List the recipes of this version, of the signed catalogue and of the administrator, the first to be tried first.

    They are read from the files that the service reads, and the service is not asked: with other paths in its
    configuration name them with --directory and --catalog.

    \b
    Examples:
      luxusb recipes list
      luxusb recipes list --directory ./recipes.d
    """
    from luxusbd.errors import CatalogError
    from luxusbd.images.recipebook import merge, packaged_layer, read_directory, read_kept

    try:
        book = merge([packaged_layer(), read_kept(kept), read_directory(directory)])
    except CatalogError as error:
        raise CliError(
            _("The recipes of this version cannot be read"), error.message, _("Install luxusbd anew.")
        ) from error
    if state.json:
        shown = [{"origin": book.origins[recipe.id], **_entry(recipe)} for recipe in book.recipes]
        state.emit({"recipes": shown, "problems": book.problems})
        return ExitCode.DONE
    table(
        (_("RECIPE"), _("VERSION"), _("FROM"), _("STARTS"), _("SYSTEMS")),
        [
            (
                recipe.id,
                str(recipe.version),
                _(_ORIGINS[book.origins[recipe.id]]),
                _("no") if recipe.reason else _("yes"),
                ", ".join(_systems(recipe)),
            )
            for recipe in book.recipes
        ],
    )
    where = _("Read from the files of this version, {kept} and {directory}; the service was not asked.")
    say(where.format(kept=clean(str(kept)), directory=clean(str(directory))))
    for problem in book.problems:
        print(_("Not used: {problem}").format(problem=clean(problem)), file=sys.stderr)
    return ExitCode.DONE


def _systems(recipe: Recipe) -> list[str]:
    return list(dict.fromkeys([*(system.name for system in recipe.systems), recipe.system]))


def _entry(recipe: Recipe) -> dict[str, object]:
    return {
        "id": recipe.id,
        "version": recipe.version,
        "family": recipe.family,
        "priority": recipe.priority,
        "systems": _systems(recipe),
        "bootable": not recipe.reason,
        "filesystems": sorted(recipe.filesystems),
        "toram": "always" if recipe.always_in_ram else "entry" if recipe.toram is not None else "",
        "persistence": recipe.persistence.store.value if recipe.persistence is not None else "",
    }


@recipes.command(short_help="Check recipe files, without a daemon.")
@click.argument("files", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@json_option
@pass_state
def check(state: State, files: Sequence[Path]) -> ExitCode:
    """Check every recipe FILE and say what is wrong where. No daemon is needed.

    Beside the form this finds words that GRUB would spoil, methods that do not fit the firmware, and expressions that
    could take time without end.

    \b
    Examples:
      luxusb recipes check mine.json
    """
    from luxusbd.images.recipelint import check_files

    results: list[dict[str, object]] = []
    problems: list[str] = []
    for file, recipe, wrong in check_files(files):
        found = _systems(recipe) if recipe is not None else []
        results.append({"file": str(file), "systems": found, "problems": wrong})
        problems += wrong
        if not wrong and not state.json:
            name = clean(str(file))
            say(_("{file}: good, for {systems}").format(file=name, systems=clean(", ".join(found))), "green")
    if problems:
        raise CliError(
            ngettext("{count} problem was found", "{count} problems were found", len(problems)).format(
                count=len(problems)
            ),
            "\n".join(problems),
            _("The format is described in {schema}.").format(schema="data/schemas/recipe.schema.json"),
            name=LUXUSB + "InvalidCatalog",
            document={"files": results},
        )
    if state.json:
        state.emit({"files": results})
    return ExitCode.DONE


COMMANDS = (recipes,)
