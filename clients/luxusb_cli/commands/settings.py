"""`settings`: the daemon's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from luxusb_cli import completion
from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import LUXUSB, CliError, ExitCode, UsageError
from luxusb_cli.i18n import N_, _
from luxusb_cli.render import say, table
from luxusb_cli.text import clean, did_you_mean, join_sentences
from luxusb_cli.units import parse_size

if TYPE_CHECKING:
    from luxusb_cli.client import Client
    from luxusb_cli.connection import Typed

_WORDS = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}


ORIGINS = {"default": N_("default"), "configured": N_("configured"), "set": N_("set")}
"""Where a setting comes from."""


@click.command(short_help="List or change the settings in force.")
@click.argument("settings", metavar="[KEY[=VALUE]]...", nargs=-1, shell_complete=completion.settings)
@click.option("--reset", is_flag=True, help="Take back what was set: of each KEY, or of all without one.")
@json_option
@pass_state
def settings(state: State, settings: Sequence[str], reset: bool) -> ExitCode:
    """List the settings in force, as they are named in the configuration file, or change some.

    What is set here holds at once and after restarts, over the configuration file, which stays as it is. A list is
    given with commas between its entries, a size with a unit.

    \b
    Examples:
      luxusb settings
      luxusb settings downloads.bandwidth=5MiB limits.active_downloads=2
      luxusb settings --reset downloads.bandwidth
      luxusb settings --json | jq .settings
    """
    asked = dict(_split(setting) for setting in settings)
    values = {key: value for key, value in asked.items() if value is not None}
    if reset and values:
        raise UsageError(
            _("--reset goes with the names of settings alone"), todo=_("Leave out the values, or leave out --reset.")
        )

    async def body(client: Client) -> ExitCode:
        found = await client.settings()
        for key in asked:
            _check_known(key, found)
        if values:
            await client.change_settings({key: _typed(key, value, found) for key, value in values.items()})
        elif reset:
            await client.reset_settings(list(asked))
        if values or reset:
            found = await client.settings()
        origins = await client.setting_origins()
        if state.json:
            state.emit({"settings": found, "origins": origins})
        else:
            shown = {key: value for key, value in found.items() if key in asked or not asked}
            table(
                (_("SETTING"), _("VALUE"), _("FROM")),
                [(key, _text(value), _origin(origins, key)) for key, value in sorted(shown.items())],
            )
            if values or reset:
                say(_("Changed."), "green")
        return ExitCode.DONE

    return run(state, body)


def _split(setting: str) -> tuple[str, str | None]:
    key, equals, value = setting.partition("=")
    if not key:
        raise UsageError(
            _("{change} is no change").format(change=clean(setting)), todo=_("Give KEY=VALUE, as in a.b=c.")
        )
    return key, value if equals else None


def _check_known(key: str, known: Mapping[str, object]) -> None:
    if key not in known:
        raise CliError(
            _("There is no setting {key}").format(key=clean(key)),
            todo=join_sentences(did_you_mean(key, known), _("See them with `luxusb settings`.")),
            name=LUXUSB + "InvalidArgument",
        )


def _typed(key: str, value: str, known: Mapping[str, object]) -> Typed:
    """The new value with the type of the one in force."""
    from luxusb_cli.connection import Typed

    before = known[key]
    if isinstance(before, bool):
        if value.lower() in _WORDS:
            return Typed("b", _WORDS[value.lower()])
        raise _unfit(key, value, _("It is yes or no."))
    if isinstance(before, int):
        try:
            return Typed("t", parse_size(value))
        except ValueError:
            raise _unfit(key, value, _("It is a whole number, or a size such as 5MiB.")) from None
    if isinstance(before, list):
        return Typed("as", [part for part in (part.strip() for part in value.split(",")) if part])
    return Typed("s", value)


def _origin(origins: Mapping[str, str], key: str) -> str:
    where = origins.get(key, "")
    return _(ORIGINS[where]) if where in ORIGINS else clean(where)


def _unfit(key: str, value: str, why: str) -> UsageError:
    return UsageError(_("{value} does not fit {key}").format(value=clean(value), key=key), why)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "-"
    return clean(str(value)) or "-"


COMMANDS = (settings,)
