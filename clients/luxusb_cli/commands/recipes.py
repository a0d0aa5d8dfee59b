"""`recipes`: how images are recognised and started, and files that say so."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from luxusb_cli.bootrecipes import RecipeBook, read_files
from luxusb_cli.context import State, SuggestingGroup, json_option, pass_state, run
from luxusb_cli.errors import LUXUSB, CliError, ExitCode
from luxusb_cli.i18n import N_, _, ngettext
from luxusb_cli.render import say, table
from luxusb_cli.text import clean

if TYPE_CHECKING:
    from luxusb_cli.client import Client

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
    show_default=str(DIRECTORY),
    help="Where the administrator's own recipes lie (paths.recipes_dir); the service is not asked.",
)
@click.option(
    "--catalog",
    "kept",
    type=click.Path(path_type=Path),
    show_default=str(KEPT),
    help="The file with the recipes of the signed catalogue (in paths.cache_dir); the service is not asked.",
)
@json_option
@pass_state
def list_recipes(state: State, directory: Path | None, kept: Path | None) -> ExitCode:
    """List the recipes in force: of this version, of the signed catalogue and of the administrator, the first to be
    tried first.

    The service is asked. Where it does not run, and with --directory or --catalog, they are read from the files of this
    machine instead.

    \b
    Examples:
      luxusb recipes list
      luxusb recipes list --directory ./recipes.d
    """
    if directory is not None or kept is not None:
        return _show_files(state, directory, kept, _("the service was not asked"))

    async def body(client: Client) -> ExitCode:
        found = await client.recipes()
        _show(state, found, service=True)
        return ExitCode.DONE

    try:
        return run(state, body)
    except CliError as error:
        if error.code is not ExitCode.NO_DAEMON:
            raise
        return _show_files(state, None, None, _("the service does not answer: {why}").format(why=clean(error.why)))


def _show_files(state: State, directory: Path | None, kept: Path | None, why: str) -> ExitCode:
    directory, kept = directory or DIRECTORY, kept or KEPT
    _show(state, read_files(directory, kept), service=False)
    if not state.json:
        where = _("Read from the files of this version, {kept} and {directory}; {why}.")
        say(where.format(kept=clean(str(kept)), directory=clean(str(directory)), why=why.rstrip(".")))
    return ExitCode.DONE


def _show(state: State, book: RecipeBook, *, service: bool) -> None:
    if state.json:
        state.emit({"recipes": book.recipes, "problems": book.problems, "service": service})
        return
    table(
        (_("RECIPE"), _("VERSION"), _("FROM"), _("STARTS"), _("SYSTEMS")),
        [
            (
                clean(recipe.id),
                str(recipe.version),
                _(_ORIGINS.get(recipe.origin, "")) or clean(recipe.origin),
                _("yes") if recipe.bootable else _("no"),
                clean(", ".join(recipe.systems)),
            )
            for recipe in book.recipes
        ],
    )
    for problem in book.problems:
        print(_("Not used: {problem}").format(problem=clean(problem)), file=sys.stderr)


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
    from luxusbd.images.recipelist import names_of

    results: list[dict[str, object]] = []
    problems: list[str] = []
    for file, recipe, wrong in check_files(files):
        found = list(names_of(recipe)) if recipe is not None else []
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
