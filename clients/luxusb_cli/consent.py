"""Asking before something is destroyed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from luxusb_cli.context import State, interactive
from luxusb_cli.errors import CancelledError, CliError, UsageError
from luxusb_cli.i18n import _
from luxusb_cli.render import hardware
from luxusb_cli.targets import Target
from luxusb_cli.text import clean


def check_possible(state: State, *, yes: bool, device_ids: Sequence[str], disks: bool) -> None:
    """Find out before anything begins that consent cannot be had.

    Args:
        state: the global options.
        yes: --yes was given.
        device_ids: the values of --device-id.
        disks: whether a disk is the target, not an image file.

    Raises:
        UsageError: nobody can be asked and --yes is missing, or a disk is not named by its id as well.
    """
    if yes and disks and not device_ids:
        raise UsageError(
            _("--yes alone does not erase a disk"),
            _("A node such as /dev/sdb may be another disk tomorrow."),
            _("Add --device-id ID with the id that `luxusb devices` shows."),
        )
    if not yes and (state.json or not interactive()):
        why = _("--json leaves no room for a question.") if state.json else _("There is no terminal to ask at.")
        todo = _("Add --yes and --device-id ID.") if disks else _("Add --yes.")
        raise UsageError(_("This needs your consent"), why, todo)


def check_ids(targets: Sequence[Target], device_ids: Sequence[str]) -> None:
    """Raise unless the disks' ids are those of --device-id, where that was given."""
    if not device_ids:
        return
    found = {target.device.id for target in targets}
    if found != set(device_ids):
        raise CliError(
            _("The disk is not the one that --device-id names"),
            _("Its id is {names}.").format(names=", ".join(sorted(found))),
            name="org.luxusb.Error.DeviceChanged",
        )


async def ask_for_names(targets: Sequence[Target], what: str) -> None:
    """Have the name of every target that holds data typed.

    Raises:
        CancelledError: something else was typed.
    """
    for target in targets:
        if not target.holds_data:
            continue
        name = target.short_name
        answer = await ask(
            _("Type {name} to {what} ({device}): ").format(name=clean(name), what=what, device=hardware(target.device))
        )
        if answer not in {name, target.name}:
            raise CancelledError(_("Nothing was changed"), _("You did not type {name}.").format(name=clean(name)))


async def ask_yes(question: str) -> None:
    """Ask a question whose answer has to be y or yes.

    Raises:
        CancelledError: it was not.
    """
    answer = await ask(_("{question} [y/N] ").format(question=question))
    yes = _("yes")
    if answer.lower() not in {"y", "yes", yes, yes[:1]}:
        raise CancelledError(_("Nothing was changed"), _("You did not say yes."))


async def ask(prompt: str) -> str:
    """A line from the terminal, without white space around it; empty at its end.

    The loop keeps running, so that Ctrl-C and the bus are still heard.
    """
    sys.stdout.flush()
    print(prompt, end="", file=sys.stderr, flush=True)
    loop = asyncio.get_running_loop()
    fd = sys.stdin.fileno()
    line = bytearray()
    ended: asyncio.Future[None] = loop.create_future()

    def readable() -> None:
        chunk = os.read(fd, 1024)
        line.extend(chunk)
        if (not chunk or b"\n" in chunk) and not ended.done():
            ended.set_result(None)

    loop.add_reader(fd, readable)
    try:
        await ended
    finally:
        loop.remove_reader(fd)
    return line.decode(errors="replace").strip()
