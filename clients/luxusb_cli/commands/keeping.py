"""`pin`, `unpin` and `images --prune`: what stays in the image store and what goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from luxusb_cli import completion
from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import ExitCode
from luxusb_cli.i18n import N_, _
from luxusb_cli.images import PrunedInfo
from luxusb_cli.render import date, say, table
from luxusb_cli.text import clean
from luxusb_cli.units import format_size

if TYPE_CHECKING:
    from luxusb_cli.client import Client

_KINDS = {
    "image": N_("can be downloaded again"),
    "import": N_("imported, maybe the only copy"),
    "partial": N_("unfinished download"),
    "orphan": N_("damaged"),
}


@dataclass(frozen=True)
class PruneChoice:
    """What is to go."""

    older_than: int
    """Seconds without use."""
    imports: bool
    dry_run: bool
    yes: bool


def prune(state: State, choice: PruneChoice) -> ExitCode:
    """Show what goes, ask, and remove exactly that."""

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.consent import ask_yes

        found = await client.prune(older_than=choice.older_than, imports=choice.imports, dry_run=True)
        if not state.json:
            _show(found)
        if found and not choice.dry_run:
            total = sum(one.size for one in found)
            if not choice.yes:
                await ask_yes(_("Remove all of these ({size})?").format(size=format_size(total)))
            only = tuple({one.sha256: None for one in found})
            found = await client.prune(older_than=choice.older_than, imports=choice.imports, only=only)
            if not state.json:
                total = sum(one.size for one in found)
                say(_("Removed {count} ({size}).").format(count=len(found), size=format_size(total)), "green")
        if state.json:
            state.emit({"pruned": found, "dry_run": choice.dry_run})
        return ExitCode.DONE

    from luxusb_cli.consent import check_possible

    if not choice.dry_run:
        check_possible(state, yes=choice.yes, device_ids=(), disks=False)
    return run(state, body)


def _show(found: Sequence[PrunedInfo]) -> None:
    if not found:
        say(_("There is nothing to remove."))
        return
    table(
        (_("IMAGE"), _("NAME"), _("SIZE"), _("LAST USED"), _("NOTE")),
        [
            (
                one.sha256[:12],
                one.name,
                format_size(one.size),
                date(one.last_used),
                _(_KINDS.get(one.kind, one.kind)),
            )
            for one in found
        ],
    )


@click.command(short_help="Keep a stored image when space is needed.")
@click.argument("image", shell_complete=completion.stored_images)
@json_option
@pass_state
def pin(state: State, image: str) -> ExitCode:
    """Keep a stored IMAGE when space is needed, and out of `luxusb images --prune`.

    As root it is kept for all users.

    \b
    Examples:
      luxusb pin image:9f86d081884c
    """
    return _mark(state, image, pinned=True)


@click.command(short_help="Let go of a pinned image.")
@click.argument("image", shell_complete=completion.stored_images)
@json_option
@pass_state
def unpin(state: State, image: str) -> ExitCode:
    """Let go of a pinned IMAGE: it may be removed when space is needed.

    \b
    Examples:
      luxusb unpin image:9f86d081884c
    """
    return _mark(state, image, pinned=False)


def _mark(state: State, image: str, *, pinned: bool) -> ExitCode:
    async def body(client: Client) -> ExitCode:
        from luxusb_cli.references import find_image

        found = find_image(await client.images(), image)
        await client.pin_image(found.reference, pinned=pinned)
        if state.json:
            state.emit({"image": found.reference, "pinned": pinned})
        else:
            done = _("{found} is kept.") if pinned else _("{found} may be removed when space is needed.")
            say(done.format(found=clean(found.name)))
        return ExitCode.DONE

    return run(state, body)


COMMANDS = (pin, unpin)
