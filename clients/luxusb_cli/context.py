"""What every command shares: the global options, and the way from a click command into the event loop."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from luxusb_cli.errors import PASSWORD_NEEDED, CancelledError, CliError, ExitCode
from luxusb_cli.i18n import _
from luxusb_cli.text import clean, did_you_mean, join_sentences

if TYPE_CHECKING:
    from luxusb_cli.client import Client

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class State:
    """The options that hold for every command."""

    address: str | None = None
    json: bool = False
    verbose: bool = False
    arguments: tuple[str, ...] = ()
    """The command line without the name of this program."""
    ask_password: bool = True
    """False with --no-ask-password: neither an agent of the desktop nor one on the terminal is to ask."""

    def emit(self, document: Mapping[str, object]) -> None:
        """Print the JSON answer of the command."""
        print(to_json(document))


class SuggestingGroup(click.Group):
    """A group that guesses what a mistyped command was meant to be."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one is like it."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            guess = did_you_mean(name, self.list_commands(ctx))
            raise click.UsageError(
                join_sentences(_("There is no command {name}.").format(name=clean(name)), guess), ctx
            )
        return super().resolve_command(ctx, args)


def to_json(document: object) -> str:
    """One line of JSON with everything outside ASCII escaped, so that it cannot drive a terminal."""
    return json.dumps(document, default=_jsonable)


def _jsonable(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} has no JSON form")


pass_state = click.make_pass_decorator(State, ensure=True)


def _set_json(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(State).json = True


def json_option(command: F) -> F:
    """Add --json to a command."""
    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_set_json,
        help="Print one JSON document in place of text.",
    )(command)


def _set_verbose(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(State).verbose = True


def verbose_option(command: F) -> F:
    """Add -v to a command."""
    return click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_set_verbose,
        help="Show which mirrors serve, and how fast.",
    )(command)


def interactive() -> bool:
    """Whether a person can be asked, for a password or for consent."""
    return sys.stdin is not None and sys.stdin.isatty()


def plain_terminal() -> bool:
    """Whether the terminal can do no more than print lines."""
    return os.environ.get("TERM", "") in {"", "dumb"}


def run(state: State, body: Callable[[Client], Coroutine[Any, Any, ExitCode]]) -> ExitCode:
    """Connect to the bus, run `body`, and leave the bus.

    Raises:
        CliError: what `body` raises.
        CancelledError: Ctrl-C while no job was being watched.
    """
    import asyncio

    from luxusb_cli import own
    from luxusb_cli.agent import TextAgent
    from luxusb_cli.client import Client
    from luxusb_cli.connection import Connection

    async def main() -> ExitCode:
        may_ask = interactive() and state.ask_password
        async with (
            await Connection.open(state.address, interactive=may_ask) as connection,
            TextAgent(connection, state.address, allowed=state.ask_password) as agent,
        ):
            try:
                return await body(Client(connection, agent.ready, own.pass_on))
            except CliError as error:
                if error.name == PASSWORD_NEEDED:
                    error.todo = await agent.advice() or error.todo
                raise

    try:
        return asyncio.run(main())
    except KeyboardInterrupt:
        raise CancelledError(_("Interrupted")) from None
