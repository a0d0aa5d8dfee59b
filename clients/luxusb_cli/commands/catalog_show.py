"""`catalog show`: the layers of the catalogue, and where what it says of a distribution comes from."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from luxusb_cli import completion
from luxusb_cli.catalog import DistroInfo, OriginInfo, ReleaseInfo
from luxusb_cli.commands.catalog_files import catalog
from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import DaemonError, ExitCode, UsageError
from luxusb_cli.i18n import _
from luxusb_cli.render import table
from luxusb_cli.systems import print_system
from luxusb_cli.wire import text, wires

if TYPE_CHECKING:
    from luxusb_cli.client import Client


@catalog.command(short_help="Say what the catalogue, or a distribution in it, is made of.")
@click.argument("distro", required=False, default="", shell_complete=completion.distributions)
@click.option("--origin", is_flag=True, help="Say which document each field and each release of DISTRO comes from.")
@json_option
@pass_state
def show(state: State, distro: str, origin: bool) -> ExitCode:
    """Say from which layers the catalogue in force comes, and how much each has; or show DISTRO.

    Several layers may have a part in a distribution: --origin says which.

    \b
    Examples:
      luxusb catalog show
      luxusb catalog show debian-live --origin
    """
    if origin and not distro:
        raise UsageError(
            _("Nothing is shown"), _("--origin belongs to a distribution."), _("Name one, such as debian-live.")
        )
    if not distro:
        return run(state, lambda client: _layers(state, client))

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.references import suggesting

        name = distro.removeprefix("distro:")
        try:
            wire = await client.distribution_wire(name, origins=origin)
        except DaemonError as error:
            raise await suggesting(client, error, name) from error
        found = DistroInfo.from_wire(wire)
        fields = [OriginInfo.from_wire(item) for item in wires(wire.get("origins", []), "origins")]
        documents = [text(item, "document") for item in wires(wire.get("releases", []), "releases")]
        releases = [
            OriginInfo(_reference(found, release), release.origin, document)
            for release, document in zip(found.releases, documents, strict=True)
        ]
        if state.json:
            origins = {"fields": fields, "releases": releases} if origin else None
            state.emit({"distribution": found, "origins": origins})
            return ExitCode.DONE
        print_system(found)
        if origin:
            print()
            table(
                (_("FIELD OR RELEASE"), _("LAYER"), _("DOCUMENT")),
                [(one.field, one.origin, one.document) for one in (*fields, *releases)],
            )
        return ExitCode.DONE

    return run(state, body)


async def _layers(state: State, client: Client) -> ExitCode:
    found = await client.distributions()
    distributions = Counter(distro.origin for distro in found)
    releases = Counter(release.origin or distro.origin for distro in found for release in distro.releases)
    layers = [
        {"origin": origin, "distributions": distributions[origin], "releases": releases[origin]}
        for origin in dict.fromkeys((*distributions, *releases))
    ]
    if state.json:
        state.emit({"layers": layers})
    else:
        rows = [tuple(str(value) for value in layer.values()) for layer in layers]
        table((_("LAYER"), _("DISTRIBUTIONS"), _("RELEASES")), rows)
    return ExitCode.DONE


def _reference(distro: DistroInfo, release: ReleaseInfo) -> str:
    reference = f"{distro.id}@{release.version}" + (f"/{release.edition}" if release.edition else "")
    return f"{reference} {release.architecture}".rstrip()


COMMANDS = ()
"""It belongs to the group `catalog`."""
