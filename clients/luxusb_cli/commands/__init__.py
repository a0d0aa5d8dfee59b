"""The commands, one module a subject."""

from __future__ import annotations

import click

from luxusb_cli.commands import catalog, contents, devices, images, jobs, settings, sticks


def register(group: click.Group) -> None:
    """Add every command to the group."""
    for module in (devices, catalog, images, sticks, contents, jobs, settings):
        for command in module.COMMANDS:
            group.add_command(command)
