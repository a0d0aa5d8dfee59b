"""`mirrors` and `logo`: more about a distribution."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from luxusb_cli import completion
from luxusb_cli.catalog import MirrorState
from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import DaemonError, ExitCode, UsageError
from luxusb_cli.i18n import N_, _
from luxusb_cli.render import date, say, table
from luxusb_cli.runner import JobOptions, conclude, run_jobs
from luxusb_cli.text import clean
from luxusb_cli.units import format_rate, format_size

if TYPE_CHECKING:
    from luxusb_cli.client import Client
    from luxusb_cli.connection import Typed
    from luxusb_cli.model import JobInfo


STATES = (N_("ok"), N_("untried"), N_("cooling"), N_("banned"), N_("excluded"), N_("pinned"))
"""As the daemon calls them."""


@dataclass(frozen=True)
class _Wishes:
    """What the options say of preferences."""

    pin: str
    unpin: bool
    auto: bool
    prefer: Sequence[str]
    exclude: Sequence[str]

    def options(self) -> dict[str, Typed]:
        """What the daemon is told; empty when nothing was said."""
        from luxusb_cli.connection import Typed

        if self.auto and (self.pin or self.unpin or self.prefer or self.exclude):
            raise UsageError(
                _("--auto forgets all preferences"), _("It goes with no other one."), _("Leave out one or the other.")
            )
        if self.pin and self.unpin:
            raise UsageError(_("--unpin forgets what --pin says"), todo=_("Leave out one or the other."))
        options: dict[str, Typed] = {}
        if self.pin:
            options = {"mode": Typed("s", "pinned"), "url": Typed("s", self.pin)}
        elif self.unpin or self.auto:
            options = {"mode": Typed("s", "auto")}
        for key, given in (("prefer", self.prefer), ("exclude", self.exclude)):
            if given or self.auto:
                options[key] = Typed("as", _codes(given))
        return options


def _codes(given: Sequence[str]) -> list[str]:
    """The countries of all values, each of which may hold several with commas between them, or none."""
    return [code for value in given for code in value.upper().replace(",", " ").split()]


@click.command(short_help="List, measure and choose the mirrors of a distribution.")
@click.argument("distro", required=False, shell_complete=completion.distributions)
@click.option("--race", is_flag=True, help="Measure them first, by a few MiB from each.")
@click.option(
    "--pin",
    metavar="URL",
    default="",
    shell_complete=completion.mirrors,
    help="From now on take this one alone: its address, or the beginning, such as https://HOST/.",
)
@click.option("--unpin", is_flag=True, help="Take back --pin.")
@click.option(
    "--country",
    "prefer",
    metavar="CC[,CC]",
    multiple=True,
    shell_complete=completion.countries,
    help='Ask mirrors there first, such as DE,AT; "" takes it back.',
)
@click.option(
    "--exclude",
    metavar="CC[,CC]",
    multiple=True,
    shell_complete=completion.countries,
    help='Ask no mirror there; "" takes it back.',
)
@click.option("--auto", is_flag=True, help="Take back all preferences: the fastest ones are asked.")
@json_option
@pass_state
def mirrors(state: State, /, distro: str | None, race: bool, **said: Any) -> ExitCode:
    """List the mirrors of DISTRO and how they did; measure them, or say which ones to take.

    They stand in the order in which a download would ask them. A preference holds for you alone and stays until you
    take it back; without DISTRO it is for all distributions. What is said for one counts before what is said for all,
    and that before the administrator's settings.

    \b
    Examples:
      luxusb mirrors debian-live --race
      luxusb mirrors debian-live --pin https://cdimage.debian.org/
      luxusb mirrors --country DE,AT --exclude CN
      luxusb mirrors debian-live --auto
    """
    preference = _Wishes(**said).options()
    if distro is None and (race or not preference):
        raise UsageError(_("Which distribution is missing"), todo=_("Give its name, as `luxusb distros` shows it."))

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.references import suggesting

        reference = (distro or "").removeprefix("distro:")
        # versions and editions have mirrors of their own, and preferences in common
        name = reference.partition("@")[0].partition("/")[0]
        raced: list[JobInfo] = []
        try:
            if preference:
                await client.prefer_mirrors(name, preference)
            if race:
                # who measures mirrors wants to see them
                watching = replace(state, verbose=True)
                start = partial(client.race_mirrors, reference)
                raced = await run_jobs(watching, client, [start], JobOptions(wait=True, cancel_on_interrupt=True))
            found = await client.mirrors(reference) if reference else ()
        except DaemonError as error:
            raise await suggesting(client, error, name) from error
        conclude(raced, {"jobs": raced})
        if state.json:
            state.emit({"mirrors": found})
            return ExitCode.DONE
        if preference:
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
        _("{country} (preferred)").format(country=mirror.country) if mirror.preferred else mirror.country,
        format_rate(mirror.rate) if mirror.rate else "-",
        f"{mirror.latency * 1000:.0f} ms" if mirror.latency else "-",
        f"{mirror.success_rate:.0%}" if mirror.success_rate >= 0 else "-",
        _state(mirror),
    )


def _state(mirror: MirrorState) -> str:
    said = _(clean(mirror.state))
    if mirror.until:
        said = _("{state} until {date}").format(state=said, date=date(mirror.until))
    return f"{said}: {mirror.reason}" if mirror.reason else said


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
