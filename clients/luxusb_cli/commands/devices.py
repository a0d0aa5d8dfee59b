"""`devices`: the disks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import ExitCode
from luxusb_cli.model import DeviceInfo, job_number
from luxusb_cli.render import say, table
from luxusb_cli.units import format_size

if TYPE_CHECKING:
    from luxusb_cli.client import Client


@click.command()
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
            say("There is no disk. Plug a USB stick in.")
        else:
            table(
                ("NODE", "SIZE", "MODEL", "SERIAL", "BUS", "STATE", "ID", "NOTE"),
                [_row(device) for device in found],
            )
        return ExitCode.DONE

    return run(state, body)


def _row(device: DeviceInfo) -> tuple[str, ...]:
    model = " ".join(part for part in (device.vendor.strip(), device.model.strip()) if part)
    state = f"{device.state}, {len(device.images)} images" if device.state == "luxusb" else device.state
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
        return f"job {job_number(device.current_job)} works on it"
    return f"{format_size(device.free_bytes)} free" if device.free_bytes else ""


COMMANDS = (devices,)
