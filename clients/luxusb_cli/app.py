"""The command group, its global options, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

import click

from luxusb_cli import commands, completion, helptexts, i18n, streams
from luxusb_cli.context import State, SuggestingGroup, json_option, run, to_json
from luxusb_cli.errors import CLIENT, CliError, ExitCode, UsageError
from luxusb_cli.i18n import _
from luxusb_cli.text import clean

if TYPE_CHECKING:
    from luxusb_cli.calls import ServiceInfo
    from luxusb_cli.client import Client

_EXAMPLES = """\b
Examples:
  luxusb devices                                    which disks there are
  luxusb distros ubuntu                             look for a distribution
  luxusb create --device /dev/sdb debian-live ubuntu@24.04
  luxusb create --image-file stick.img --size 8GiB ./my.iso
  luxusb add --device sdb fedora                    one more system on the stick
  luxusb watch                                      go back to what is running

\b
Exit codes: 0 done, 1 failed, 2 usage, 3 not authorised, 4 no daemon,
5 cancelled, 6 newer releases (update --check), 7 some of several disks failed,
130 interrupted by Ctrl-C while the job goes on.
"""


@click.group(
    cls=SuggestingGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EXAMPLES,
)
@click.option("--address", metavar="ADDR", help="D-Bus address of the bus, in place of the system bus.")
@click.option("--no-ask-password", is_flag=True, help="Never ask for a password; fail where one is needed.")
@click.option("--version", is_flag=True, help="Show the versions of this command and of the daemon.")
@json_option
@click.pass_context
def cli(context: click.Context, address: str | None, no_ask_password: bool, version: bool) -> int:
    """Make USB sticks that start several operating systems.

    The work is done by the service luxusbd, which goes on when this command ends: it downloads images, checks them,
    and writes them to sticks or image files. This command asks it to, and shows how far it is.
    """
    state = context.ensure_object(State)
    state.address = address
    state.ask_password = not no_ask_password
    if version:
        context.exit(_version(state))
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        context.exit(ExitCode.USAGE)
    return ExitCode.DONE


def _version(state: State) -> int:
    from luxusb_cli.version import own_version

    own = own_version()
    found: list[ServiceInfo] = []

    async def ask(client: Client) -> ExitCode:
        found.append(await client.service())
        return ExitCode.DONE

    why = ""
    try:
        run(state, ask)
    except CliError as error:
        why = error.why
    daemon = found[0] if found else None
    if state.json:
        state.emit(
            {
                "luxusb": own,
                "luxusbd": daemon.version if daemon else None,
                "features": list(daemon.features) if daemon else [],
                "busy": daemon.busy if daemon else False,
            }
        )
    else:
        print(f"luxusb {own}")
        print(f"luxusbd {clean(daemon.version)}" if daemon else _("luxusbd: not reached. {why}").format(why=clean(why)))
    return ExitCode.DONE


commands.register(cli)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    streams.fill_closed()
    try:
        return _main(argv)
    except BrokenPipeError:
        # The reader of a pipe has seen enough.
        streams.drop_unwritable()
    except OSError as error:
        streams.drop_unwritable()
        with contextlib.suppress(OSError):
            print_error(CliError(_("Could not write the answer"), f"{error.strerror or error}."), sys.stderr)
        streams.drop_unwritable()
    return ExitCode.FAILED


def _main(argv: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets a question mark, not a traceback.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    if completion.VARIABLE in os.environ:
        completion.begin()
    helptexts.show_in_language(cli, i18n.begin(machine=_wants_json(arguments)))
    state = State(arguments=tuple(arguments))
    try:
        try:
            result = cli.main(arguments, prog_name="luxusb", standalone_mode=False, obj=state)
            sys.stdout.flush()
        except click.ClickException as error:
            raise _usage(error) from error
        except click.Abort:
            return ExitCode.CANCELLED
        return int(result) if result is not None else ExitCode.DONE
    except CliError as error:
        as_json = state.json or (error.name == CLIENT + "Usage" and _wants_json(arguments))
        return _report(error, as_json=as_json)


def _wants_json(arguments: Sequence[str]) -> bool:
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in own


def _usage(error: click.ClickException) -> UsageError:
    context = error.ctx if isinstance(error, click.UsageError) else None
    where = context.command_path if context is not None else "luxusb"
    return UsageError(
        _("The command line was not understood"), error.format_message(), _("See `{where} --help`.").format(where=where)
    )


def _report(error: CliError, *, as_json: bool) -> int:
    if as_json:
        print(to_json(error.as_document()))
        sys.stdout.flush()
    else:
        print_error(error, sys.stderr)
    return error.code


def print_error(error: CliError, stream: TextIO) -> None:
    """What, why, and what to do, a paragraph each, with nothing in them that drives a terminal."""
    print(f"luxusb: {clean(error.what)}", file=stream)
    for head, body in ((_("why"), error.why), (_("what to do"), error.todo)):
        lines = clean(body, lines=True).splitlines()
        for number, line in enumerate(lines):
            print(f"  {head}: {line}" if number == 0 else f"    {line}", file=stream)
    stream.flush()
