"""`settings`: the daemon's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import ExitCode
from luxusb_cli.render import table

if TYPE_CHECKING:
    from luxusb_cli.client import Client


@click.command(short_help="List the settings in force.")
@json_option
@pass_state
def settings(state: State) -> ExitCode:
    """List the settings in force, as they are named in the configuration file.

    \b
    Examples:
      luxusb settings
      luxusb settings --json | jq .settings
    """

    async def body(client: Client) -> ExitCode:
        found = await client.settings()
        if state.json:
            state.emit({"settings": found})
        else:
            table(("SETTING", "VALUE"), [(name, _text(value)) for name, value in sorted(found.items())])
        return ExitCode.DONE

    return run(state, body)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "-"
    return str(value) or "-"


COMMANDS = (settings,)
