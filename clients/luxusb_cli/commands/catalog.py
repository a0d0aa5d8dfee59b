"""`distros` and `info`: the catalogue."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from luxusb_cli import completion
from luxusb_cli.catalog import DistroInfo, DistroQuery
from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import CliError, DaemonError, ExitCode
from luxusb_cli.i18n import _
from luxusb_cli.render import date, say
from luxusb_cli.systems import print_system, print_systems, suggestions
from luxusb_cli.text import ask_for, clean, join_sentences

if TYPE_CHECKING:
    from luxusb_cli.client import Client

SUGGESTED = 3
"""Names in a hint."""


@click.command(short_help="List or search the distributions of the catalogue.")
@click.argument("words", nargs=-1)
@click.option(
    "--architecture", type=click.Choice(["amd64", "arm64", "i386"]), help="Only releases for this architecture."
)
@click.option(
    "--category", default="", shell_complete=completion.categories, help="Only this category, such as Desktop."
)
@click.option(
    "--family",
    default="",
    shell_complete=completion.families,
    help="Only releases that start like this family, such as casper or debian-live.",
)
@click.option("--secure-boot", is_flag=True, help="Only releases that are expected to start under Secure Boot.")
@click.option(
    "--fits",
    default="",
    metavar="DEVICE",
    shell_complete=completion.devices,
    help="Only releases that have room on this disk: in what is free on a stick, else on all of it.",
)
@click.option("--hide-end-of-life", is_flag=True, help="Leave out releases that their maker no longer cares for.")
@click.option("--sort", type=click.Choice(["popularity", "name"]), help="The order; popularity if not given.")
@json_option
@pass_state
def distros(
    state: State,
    words: tuple[str, ...],
    architecture: str | None,
    category: str,
    family: str,
    secure_boot: bool,
    fits: str,
    hide_end_of_life: bool,
    sort: str | None,
) -> ExitCode:
    """List the distributions of the catalogue, most popular first, or those that have all WORDS.

    WORDS are looked for in name, description, category, family and editions; case, accents, blanks and hyphens do
    not count.

    \b
    Examples:
      luxusb distros
      luxusb distros pop os
      luxusb distros --category Server --hide-end-of-life
      luxusb distros --secure-boot --fits /dev/sdb
      luxusb distros --architecture arm64 --json
    """
    query = DistroQuery(
        text=" ".join(words),
        category=category,
        architecture=architecture or "",
        family=family,
        secure_boot=secure_boot,
        hide_end_of_life=hide_end_of_life,
        sort=sort or "",
    )

    async def body(client: Client) -> ExitCode:
        from luxusb_cli import listcache
        from luxusb_cli.targets import find_device

        wanted = query
        if fits:
            wanted = replace(query, device=find_device(await client.devices(), fits).path)
        found = await client.distributions(wanted)
        if wanted == DistroQuery():
            listcache.save(found)
        everything = found if found or not query.text else await client.distributions()
        return _list(state, found, query, everything, None)

    try:
        return run(state, body)
    except CliError as error:
        if error.code is not ExitCode.NO_DAEMON or fits:
            raise
        from luxusb_cli import listcache

        kept = listcache.load()
        if kept is None:
            raise
        return _list(state, kept.matching(query), query, kept.distributions, kept.written)


def _list(
    state: State, found: Sequence[DistroInfo], query: DistroQuery, everything: Sequence[DistroInfo], written: int | None
) -> ExitCode:
    from luxusb_cli import listcache

    without_filters = () if found or not query.text else listcache.choose(everything, DistroQuery(query.text))
    near = [] if found or without_filters else suggestions(query.text, everything)
    if state.json:
        state.emit({"distributions": found, "suggestions": near, "written": written})
        return ExitCode.DONE
    if written is not None:
        print(_("From {date}, no daemon.").format(date=date(written)), file=sys.stderr)
    if found:
        print_systems(found)
        return ExitCode.DONE
    said = (
        _("Nothing fits {text}.").format(text=clean(query.text))
        if query.text
        else _("The catalogue has nothing that fits.")
    )
    hint = ask_for(near)
    if without_filters:
        names = ", ".join(clean(distro.id) for distro in without_filters[:SUGGESTED])
        hint = _("Without the filters there would be {names}.").format(names=names)
    say(join_sentences(said, hint))
    return ExitCode.DONE


@click.command(short_help="Show a distribution with its releases.")
@click.argument("distro", shell_complete=completion.distributions)
@json_option
@pass_state
def info(state: State, distro: str) -> ExitCode:
    """Show what the catalogue knows about DISTRO: releases, sizes, how it is checked, mirrors.

    \b
    Examples:
      luxusb info debian-live
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.references import suggesting

        name = distro.removeprefix("distro:")
        try:
            found = await client.distribution(name)
        except DaemonError as error:
            raise await suggesting(client, error, name) from error
        if state.json:
            state.emit({"distribution": found})
        else:
            print_system(found)
        return ExitCode.DONE

    return run(state, body)


COMMANDS = (distros, info)
