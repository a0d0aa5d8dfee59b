"""What LUXusb before 1.0 left in the user's home: taken over once into a catalogue of his own, if he has none."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luxusb_cli.errors import CliError
from luxusb_cli.files import new_file
from luxusb_cli.i18n import _, ngettext
from luxusb_cli.text import clean

if TYPE_CHECKING:
    from luxusb_cli.client import Client

MARK = "migrated"
"""Beside the user's own catalogue, once this was done."""
_PLACES = (
    ".local/lib/python3*/site-packages/luxusb/data/distros",
    ".local/share/pipx/venvs/luxusb/lib/python3*/site-packages/luxusb/data/distros",
    ".local/pipx/venvs/luxusb/lib/python3*/site-packages/luxusb/data/distros",
)


def files() -> list[Path]:
    """The files of an older LUXusb in the home directory."""
    try:
        directories = [found for place in _PLACES for found in sorted(Path.home().glob(place))]
        return [file for found in directories for file in sorted(found.glob("*.json"))]
    except (OSError, RuntimeError):
        return []


async def take_over(client: Client, own: Path) -> bytes | None:
    """Write what no other catalogue has to `own`, which is not there; the bytes of it, or None where there is nothing.

    Raises:
        CliError: it cannot be written.
    """
    mark = own.with_name(MARK)
    if mark.exists() or not (found := files()):
        return None
    from luxusbd.catalog.migrate import MAX_FILE, migrate

    read: list[tuple[str, bytes]] = []
    for file in found:
        with suppress(OSError), file.open("rb") as opened:
            read.append((str(file), opened.read(MAX_FILE + 1)))
    made = migrate(read, datetime.now(UTC).date().isoformat())
    known = {distro.id for distro in await client.distributions()}
    fresh: list[dict[str, Any]] = [entry for entry in made.document["distributions"] if entry["id"] not in known]
    document = {**made.document, "distributions": fresh}
    data = json.dumps(document, indent=1).encode() + b"\n"
    try:
        own.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CliError(_("Could not write {file}").format(file=clean(str(own))), f"{error.strerror}.") from error
    if fresh:
        with new_file(own, force=False) as opened:
            opened.write(data)
    with new_file(mark, force=True) as opened:
        opened.write("\n".join(map(str, made.notes)).encode("utf-8", "replace") + b"\n")
    print(
        ngettext(
            "{count} distribution of an older LUXusb was taken over into {file}; {notes} says what was left out.",
            "{count} distributions of an older LUXusb were taken over into {file}; {notes} says what was left out.",
            len(fresh),
        ).format(count=len(fresh), file=clean(str(own)), notes=clean(str(mark))),
        file=sys.stderr,
    )
    return data if fresh else None
