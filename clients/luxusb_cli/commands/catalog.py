"""`distros` and `info`: the catalogue."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from luxusb_cli import completion
from luxusb_cli.catalog import OWN, DistroInfo, ReleaseInfo
from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import CliError, DaemonError, ExitCode
from luxusb_cli.i18n import N_, _
from luxusb_cli.render import badge, badged, custom_badge, date, fields, say, size_or_unknown, table
from luxusb_cli.text import clean

if TYPE_CHECKING:
    from luxusb_cli.client import Client

_TRUST = {
    "signed": N_("signed by its maker"),
    "hash": N_("checked against a known hash"),
    "tls-only": N_("only as sure as the connection to its mirror"),
}


@click.command(short_help="List or search the distributions of the catalogue.")
@click.argument("text", required=False, default="")
@click.option("--category", default="", help="Only this category.")
@click.option("--architecture", default="", help="Only releases for this architecture, such as amd64.")
@json_option
@pass_state
def distros(state: State, text: str, category: str, architecture: str) -> ExitCode:
    """List the distributions of the catalogue, most popular first, or those that TEXT finds.

    \b
    Examples:
      luxusb distros
      luxusb distros rescue
      luxusb distros --architecture arm64 --json
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli import listcache

        found = await client.distributions(text, category=category, architecture=architecture)
        if not (text or category or architecture):
            listcache.save(found)
        return _list(state, found, text, None)

    try:
        return run(state, body)
    except CliError as error:
        if error.code is not ExitCode.NO_DAEMON:
            raise
        from luxusb_cli import listcache

        kept = listcache.load()
        if kept is None:
            raise
        return _list(state, kept.matching(text, category, architecture), text, kept.written)


def _list(state: State, found: Sequence[DistroInfo], text: str, written: int | None) -> ExitCode:
    if state.json:
        state.emit({"distributions": found, "written": written})
        return ExitCode.DONE
    if written is not None:
        print(_("From {date}, no daemon.").format(date=date(written)), file=sys.stderr)
    if found:
        headers = (_("ID"), _("NAME"), _("NEWEST"), _("SIZE"), _("TRUST"), _("CATEGORY"))
        table(headers, [_row(distro) for distro in found])
    else:
        say(_("Nothing fits {text}.").format(text=clean(text)) if text else _("The catalogue has nothing that fits."))
    return ExitCode.DONE


def _row(distro: DistroInfo) -> tuple[str, ...]:
    newest = distro.releases[0] if distro.releases else None
    name = badged(distro.name, custom=distro.origin == OWN)
    if newest is None:
        return distro.id, name, "-", "-", "", distro.category
    return distro.id, name, newest.version, size_or_unknown(newest.size), badge(newest.trust), distro.category


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
            print_distribution(found)
        return ExitCode.DONE

    return run(state, body)


def print_distribution(distro: DistroInfo) -> None:
    """Print a distribution with its releases."""
    say(badged(distro.name or distro.id, custom=distro.origin == OWN), "bold")
    if distro.description:
        say(distro.description)
    fields(
        [
            (_("id"), distro.id),
            (_("homepage"), distro.homepage),
            (_("category"), distro.category),
            (_("listed by"), distro.origin),
        ]
    )
    print()
    table(
        (_("REFERENCE"), _("RELEASED"), _("ARCHITECTURE"), _("SIZE"), _("CHECKED"), _("MIRRORS")),
        [_release(distro, release) for release in distro.releases],
    )


def _release(distro: DistroInfo, release: ReleaseInfo) -> tuple[str, ...]:
    reference = f"{distro.id}@{release.version}" + (f"/{release.edition}" if release.edition else "")
    return (
        reference,
        release.release_date,
        release.architecture,
        size_or_unknown(release.size),
        " ".join(filter(None, _checked(release))),
        str(len(release.mirrors)) if release.mirrors else "",
    )


def _checked(release: ReleaseInfo) -> Iterator[str]:
    yield badge(release.trust)
    yield custom_badge(release.origin == OWN)
    yield _(_TRUST[release.trust]) if release.trust in _TRUST else ""


COMMANDS = (distros, info)
