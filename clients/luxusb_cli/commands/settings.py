"""`settings`: the daemon's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from luxusb_cli import completion
from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import LUXUSB, CliError, ExitCode, UsageError
from luxusb_cli.i18n import _
from luxusb_cli.render import say, table
from luxusb_cli.text import clean, did_you_mean, join_sentences

if TYPE_CHECKING:
    from luxusb_cli.client import Client
    from luxusb_cli.connection import Typed

_WORDS = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}


@click.command(short_help="List or change the settings in force.")
@click.argument("changes", metavar="[KEY=VALUE]...", nargs=-1, shell_complete=completion.settings)
@json_option
@pass_state
def settings(state: State, changes: Sequence[str]) -> ExitCode:
    """List the settings in force, as they are named in the configuration file, or change some.

    A list is given with commas between its entries.

    \b
    Examples:
      luxusb settings
      luxusb settings limits.active_downloads=2 devices.allow_loop=/dev/loop7,/dev/loop8
      luxusb settings --json | jq .settings
    """
    asked = dict(_split(change) for change in changes)

    async def body(client: Client) -> ExitCode:
        found = await client.settings()
        if asked:
            await client.change_settings({key: _typed(key, value, found) for key, value in asked.items()})
            found = await client.settings()
        if state.json:
            state.emit({"settings": found})
        else:
            shown = {key: value for key, value in found.items() if key in asked or not asked}
            table((_("SETTING"), _("VALUE")), [(key, _text(value)) for key, value in sorted(shown.items())])
            if asked:
                say(_("Changed."), "green")
        return ExitCode.DONE

    return run(state, body)


def _split(change: str) -> tuple[str, str]:
    key, equals, value = change.partition("=")
    if not equals or not key:
        raise UsageError(
            _("{change} is no change").format(change=clean(change)), todo=_("Give KEY=VALUE, as in a.b=c.")
        )
    return key, value


def _typed(key: str, value: str, known: Mapping[str, object]) -> Typed:
    """The new value with the type of the one in force."""
    from luxusb_cli.connection import Typed

    before = known.get(key)
    if before is None:
        raise CliError(
            _("There is no setting {key}").format(key=clean(key)),
            todo=join_sentences(did_you_mean(key, known), _("See them with `luxusb settings`.")),
            name=LUXUSB + "InvalidArgument",
        )
    if isinstance(before, bool):
        if value.lower() in _WORDS:
            return Typed("b", _WORDS[value.lower()])
        raise _unfit(key, value, _("It is yes or no."))
    if isinstance(before, int):
        if value.isascii() and value.isdigit() and int(value) < 2**64:
            return Typed("t", int(value))
        raise _unfit(key, value, _("It is a whole number."))
    if isinstance(before, list):
        return Typed("as", [part for part in (part.strip() for part in value.split(",")) if part])
    return Typed("s", value)


def _unfit(key: str, value: str, why: str) -> UsageError:
    return UsageError(_("{value} does not fit {key}").format(value=clean(value), key=key), why)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "-"
    return str(value) or "-"


COMMANDS = (settings,)
