"""`devices`: the disks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import ExitCode
from luxusb_cli.i18n import N_, _, ngettext
from luxusb_cli.model import DeviceInfo, ForeignStick, job_number
from luxusb_cli.render import say, table
from luxusb_cli.text import clean
from luxusb_cli.units import format_size

if TYPE_CHECKING:
    from luxusb_cli.client import Client


@click.command(short_help="List the disks.")
@json_option
@pass_state
def devices(state: State) -> ExitCode:
    """List the disks, and why one cannot be written.

    \b
    Examples:
      luxusb devices
      luxusb devices --json | jq -r '.devices[] | select(.blocked_reason == "") | .id'
    """

    async def body(client: Client) -> ExitCode:
        found = await client.devices()
        if state.json:
            state.emit({"devices": found})
        elif not found:
            say(_("There is no disk. Plug a USB stick in."))
        else:
            table(
                (_("NODE"), _("SIZE"), _("MODEL"), _("SERIAL"), _("BUS"), _("STATE"), _("ID"), _("NOTE")),
                [_row(device) for device in found],
            )
        return ExitCode.DONE

    return run(state, body)


STATES = (N_("blank"), N_("foreign"), N_("luxusb"), N_("damaged"), N_("busy"))
"""Words of the daemon."""


def _row(device: DeviceInfo) -> tuple[str, ...]:
    model = " ".join(part for part in (device.vendor.strip(), device.model.strip()) if part)
    state = (
        ngettext("{state}, {count} image", "{state}, {count} images", len(device.images)).format(
            state=_(device.state), count=len(device.images)
        )
        if device.state == "luxusb"
        else _(device.state)
    )
    return (
        device.node or "-",
        format_size(device.size),
        model,
        device.serial,
        device.bus,
        state,
        device.id,
        _note(device),
    )


def _note(device: DeviceInfo) -> str:
    if device.blocked_reason:
        return device.blocked_reason
    if device.current_job:
        return _("job {current_job} works on it").format(current_job=job_number(device.current_job))
    notes = []
    if device.damage:
        notes.append(damage_note(device))
    if device.foreign is not None:
        notes.append(foreign_note(device.foreign))
    if device.large and device.state != "luxusb":
        notes.append(_("large: is erased only with --allow-large"))
    if device.mounts:
        points = ", ".join(clean(mount.point) for mount in device.mounts)
        notes.append(_("mounted at {points}").format(points=points))
    if device.free_bytes:
        notes.append(_("{free_bytes} free").format(free_bytes=format_size(device.free_bytes)))
    if device.unlisted_images:
        notes.append(unlisted_note(device))
    if device.stray_changes:
        notes.append(stray_note(device))
    if device.updates:
        notes.append(updates_note(device))
    if device.boot_warning:
        notes.append(clean(device.boot_warning))
    return ", ".join(notes)


def damage_note(device: DeviceInfo) -> str:
    """What is broken on a stick, and what helps."""
    return _("{damage} (luxusb repair)").format(damage=clean(device.damage))


def foreign_note(found: ForeignStick) -> str:
    """Which program made a stick, and what helps."""
    count = len(found.images)
    said = ngettext("{name} stick with {count} image", "{name} stick with {count} images", count).format(
        name=clean(found.name), count=count
    )
    return said if found.refusal else _("{stick} (luxusb adopt)").format(stick=said)


def unlisted_note(device: DeviceInfo) -> str:
    """That image files lie on a stick which its menu does not show, and what helps."""
    return ngettext(
        "{count} image file is not in its menu (luxusb rescan)",
        "{count} image files are not in its menu (luxusb rescan)",
        device.unlisted_images,
    ).format(count=device.unlisted_images)


def stray_note(device: DeviceInfo) -> str:
    """That a stick has room for changes which no image uses, and what shows it."""
    if not all(room.size for room in device.stray_changes):
        return _("Changes belong to no image (luxusb persistence)")
    size = format_size(sum(room.size for room in device.stray_changes))
    return _("{size} of changes belong to no image (luxusb persistence)").format(size=size)


def updates_note(device: DeviceInfo) -> str:
    """That there are newer releases for images on a stick, and what takes them."""
    return ngettext(
        "{count} newer release (luxusb update)", "{count} newer releases (luxusb update)", len(device.updates)
    ).format(count=len(device.updates))


COMMANDS = (devices,)
