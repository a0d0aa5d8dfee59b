"""Which bundles this user uses, `~/.config/luxusb/bundles.json`: to notice an older edition or another signer, and to
put back what their distributions took the place of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luxusb_cli import own
from luxusb_cli.bundles.opening import UNTRUSTED, Opened
from luxusb_cli.errors import CliError
from luxusb_cli.files import new_file
from luxusb_cli.i18n import _
from luxusb_cli.text import clean

NAME = "bundles.json"
MAX_KNOWN = 32


@dataclass(frozen=True)
class Known:
    """A bundle that is used."""

    id: str
    serial: int
    place: str
    signed_by: str
    distributions: tuple[str, ...]
    """Ids of those that are the bundle's in the user's own catalogue."""
    replaced: tuple[Mapping[str, Any], ...]
    """What stood in the user's own catalogue in their place."""
    keys: Mapping[str, tuple[str, ...]]
    """Fingerprints of the makers' keys by distribution, as this machine's catalogue had them before."""


def location() -> Path:
    """Where the record lies.

    Raises:
        CliError: the user has no place for it.
    """
    place = own.directory("XDG_CONFIG_HOME", ".config")
    if place is None:
        raise CliError(
            _("You have no catalogue of your own here"),
            _("The home directory belongs to another user."),
            _("Run it without sudo, or set XDG_CONFIG_HOME."),
        )
    return place / NAME


def read() -> tuple[Known, ...]:
    """The bundles that are used; none when the record is not there.

    Raises:
        CliError: it cannot be read.
    """
    path = location()
    data = own.read(path)
    if data is None:
        return ()
    try:
        return tuple(_from_json(entry) for entry in json.loads(data)["bundles"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CliError(
            _("{file} cannot be used").format(file=clean(str(path))),
            _("It is not what this program wrote."),
            _("Delete it, and use the bundle anew."),
        ) from error


def write(bundles: Sequence[Known]) -> None:
    """Replace the record."""
    path = location()
    document = {"version": 1, "bundles": [_to_json(each) for each in bundles[-MAX_KNOWN:]]}
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with new_file(path, force=True, mode=0o600) as file:
        file.write(json.dumps(document, indent=1).encode() + b"\n")


def check(opened: Opened, bundles: Sequence[Known], *, older: bool) -> None:
    """Whether a bundle may be used after those that were.

    Args:
        opened: the bundle.
        bundles: what is known.
        older: whether the user wants an edition that is older than the one that he had.

    Raises:
        CliError: it is an older edition, or signed otherwise than the one before.
    """
    before = next((each for each in bundles if each.id == opened.index.id), None)
    if before is None:
        return
    shown = clean(opened.place.shown)
    if before.signed_by and before.signed_by != opened.signed_by:
        raise CliError(
            _("{bundle} is not signed as it was before").format(bundle=shown),
            _("It was signed by {before}, and now by {now}.").format(
                before=before.signed_by, now=opened.signed_by or _("nobody")
            ),
            _("Ask whoever made it. If that is right: `luxusb bundle leave`, and use it anew."),
            name=UNTRUSTED,
        )
    if opened.index.serial < before.serial and not older:
        raise CliError(
            _("{bundle} is older than the one that you used").format(bundle=shown),
            _("Its serial is {serial}, and was {before}: somebody may hold newer images back.").format(
                serial=opened.index.serial, before=before.serial
            ),
            _("If you want it all the same, add --older."),
            name=UNTRUSTED,
        )


def _to_json(known: Known) -> dict[str, Any]:
    return {
        "id": known.id,
        "serial": known.serial,
        "place": known.place,
        "signed_by": known.signed_by,
        "distributions": list(known.distributions),
        "replaced": list(known.replaced),
        "keys": {name: list(keys) for name, keys in known.keys.items()},
    }


def _from_json(entry: Mapping[str, Any]) -> Known:
    return Known(
        id=str(entry["id"]),
        serial=int(entry["serial"]),
        place=str(entry["place"]),
        signed_by=str(entry["signed_by"]),
        distributions=tuple(map(str, entry["distributions"])),
        replaced=tuple(dict(each) for each in entry["replaced"]),
        keys={str(name): tuple(map(str, keys)) for name, keys in entry["keys"].items()},
    )
