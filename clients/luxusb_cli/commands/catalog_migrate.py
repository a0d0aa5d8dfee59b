"""`catalog migrate`: files of LUXusb before 1.0."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from luxusb_cli.commands.catalog_files import catalog
from luxusb_cli.context import State, json_option, pass_state
from luxusb_cli.errors import LUXUSB, CliError, ExitCode
from luxusb_cli.i18n import _, ngettext
from luxusb_cli.render import say
from luxusb_cli.text import clean

if TYPE_CHECKING:
    from luxusbd.catalog.migrate import Migrated


@catalog.command(short_help="Make a catalogue of files of an older LUXusb, without a daemon.")
@click.argument("paths", metavar="FILE|DIR...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "-o", "--output", metavar="OUT", type=click.Path(path_type=Path), required=True, help="The catalogue to write."
)
@click.option("--force", is_flag=True, help="Replace OUT when it is there already.")
@json_option
@pass_state
def migrate(state: State, paths: Sequence[Path], output: Path, force: bool) -> ExitCode:
    """Make one catalogue of the files of LUXusb before 1.0, which hold one distribution each. No daemon is needed.

    Of a directory all files *.json are read. What is missing or wrong is told; releases that cannot be right, such as
    those without a full SHA-256, are left out, and nothing is made up.

    \b
    Examples:
      luxusb catalog migrate old/distros -o mine.json
    """
    from luxusb_cli.context import to_json
    from luxusb_cli.files import new_file
    from luxusbd.catalog.migrate import migrate as put_together

    found = put_together(_read(paths), datetime.now(UTC).date().isoformat())
    notes = [
        {"file": note.file, "where": note.where, "text": note.text, "dropped": note.dropped} for note in found.notes
    ]
    if not found.distributions:
        raise CliError(
            _("Nothing can be taken over"),
            "\n".join(str(note) for note in found.notes if note.dropped) or _("There is no such file."),
            name=LUXUSB + "InvalidCatalog",
            document={"notes": notes},
        )
    with new_file(output, force=force) as opened:
        opened.write(to_json(found.document).encode() + b"\n")
    if state.json:
        state.emit(
            {
                "file": str(output),
                "distributions": found.distributions,
                "releases": found.releases,
                "notes": notes,
            }
        )
    else:
        _print(found, output)
    return ExitCode.DONE


def _read(paths: Sequence[Path]) -> list[tuple[str, bytes]]:
    """Name and content of every file.

    Raises:
        CliError: one cannot be read.
    """
    from luxusbd.catalog.migrate import MAX_FILE

    found: list[tuple[str, bytes]] = []
    for path in paths:
        try:
            files = sorted(path.glob("*.json")) if path.is_dir() else [path]
            for file in files:
                with file.open("rb") as opened:
                    found.append((str(file), opened.read(MAX_FILE + 1)))
        except OSError as error:
            raise CliError(
                _("Could not read {file}").format(file=clean(str(error.filename or path))), f"{error.strerror}."
            ) from error
    return found


def _print(found: Migrated, output: Path) -> None:
    for note in found.notes:
        say(clean(str(note)), "red" if note.dropped else "yellow")
    lost = sum(note.dropped for note in found.notes)
    if lost:
        say(ngettext("{count} entry was left out.", "{count} entries were left out.", lost).format(count=lost), "red")
    say(
        ngettext(
            "Saved as {file}, {count} distribution.", "Saved as {file}, {count} distributions.", found.distributions
        ).format(file=clean(str(output)), count=found.distributions),
        "green",
    )


COMMANDS = ()
"""It belongs to the group `catalog`."""
