"""`mirrors` and `logo`: more about a distribution."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from luxusb_cli import completion
from luxusb_cli.catalog import MirrorState
from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import DaemonError, ExitCode, UsageError
from luxusb_cli.i18n import _
from luxusb_cli.render import say, table
from luxusb_cli.runner import JobOptions, conclude, run_jobs
from luxusb_cli.text import clean
from luxusb_cli.units import format_rate, format_size

if TYPE_CHECKING:
    from luxusb_cli.client import Client
    from luxusb_cli.connection import Typed
    from luxusb_cli.model import JobInfo


def _preference(pin: str, prefer: Sequence[str], exclude: Sequence[str], auto: bool) -> dict[str, Typed] | None:
    from luxusb_cli.connection import Typed

    if not (pin or prefer or exclude or auto):
        return None
    if auto and (pin or prefer or exclude):
        raise UsageError(
            _("--auto forgets all preferences"), _("It goes with no other one."), _("Leave out one or the other.")
        )
    options = {"mode": Typed("s", "pinned" if pin else "auto")}
    if pin:
        options["url"] = Typed("s", pin)
    for key, countries in (("prefer", prefer), ("exclude", exclude)):
        if countries:
            options[key] = Typed("as", [country.upper() for country in countries])
    return options


@click.command(short_help="List, measure and choose the mirrors of a distribution.")
@click.argument("distro", required=False, shell_complete=completion.distributions)
@click.option("--race", is_flag=True, help="Measure them first.")
@click.option("--pin", metavar="URL", default="", help="From now on take this one alone.")
@click.option("--country", "prefer", metavar="CC", multiple=True, help="Prefer mirrors there, such as DE.")
@click.option("--exclude", metavar="CC", multiple=True, help="Take no mirror there.")
@click.option("--auto", is_flag=True, help="Forget preferences: the fastest ones are taken.")
@json_option
@pass_state
def mirrors(
    state: State, distro: str | None, race: bool, pin: str, prefer: Sequence[str], exclude: Sequence[str], auto: bool
) -> ExitCode:
    """List the mirrors of DISTRO and how they did; measure them, or say which ones to take.

    A preference holds for you alone; without DISTRO it is for all distributions.

    \b
    Examples:
      luxusb mirrors debian-live --race
      luxusb mirrors debian-live --pin https://cdimage.debian.org/
      luxusb mirrors --country DE --country AT --exclude XX
    """
    preference = _preference(pin, prefer, exclude, auto)
    if distro is None and (race or preference is None):
        raise UsageError(_("Which distribution is missing"), todo=_("Give its name, as `luxusb distros` shows it."))

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.references import suggesting

        name = (distro or "").removeprefix("distro:")
        raced: list[JobInfo] = []
        try:
            if preference is not None:
                await client.prefer_mirrors(name, preference)
            if race:
                raced = await run_jobs(state, client, [partial(client.race_mirrors, name)], JobOptions(True, True))
            found = await client.mirrors(name) if name else ()
        except DaemonError as error:
            raise await suggesting(client, error, name) from error
        conclude(raced, {"jobs": raced})
        if state.json:
            state.emit({"mirrors": found})
            return ExitCode.DONE
        if preference is not None:
            say(_("The preference is set."))
        if found:
            header = (_("MIRROR"), _("COUNTRY"), _("RATE"), _("LATENCY"), _("SUCCESS"), _("STATE"))
            table(header, [_row(mirror) for mirror in found])
        elif name:
            say(_("No mirror is known."))
        return ExitCode.DONE

    return run(state, body)


def _row(mirror: MirrorState) -> tuple[str, ...]:
    return (
        mirror.url,
        mirror.country,
        format_rate(mirror.rate) if mirror.rate else "-",
        f"{mirror.latency * 1000:.0f} ms" if mirror.latency else "-",
        f"{mirror.success_rate:.0%}" if mirror.success_rate >= 0 else "-",
        mirror.state,
    )


@click.command(short_help="Save the logo of a distribution.")
@click.argument("distro", shell_complete=completion.distributions)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE when it is there already.")
@json_option
@pass_state
def logo(state: State, distro: str, file: Path, force: bool) -> ExitCode:
    """Save the logo of DISTRO as FILE.

    \b
    Examples:
      luxusb logo debian-live debian.png
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.copying import copy_to_file
        from luxusb_cli.references import suggesting

        name = distro.removeprefix("distro:")
        try:
            fd = await client.logo(name)
        except DaemonError as error:
            raise await suggesting(client, error, name) from error
        try:
            done = await copy_to_file(fd, file, force=force)
        finally:
            os.close(fd)
        if state.json:
            state.emit({"file": str(file), "size": done.size})
        else:
            say(_("Saved as {file} ({size}).").format(file=clean(str(file)), size=format_size(done.size)))
        return ExitCode.DONE

    return run(state, body)


COMMANDS = (mirrors, logo)
