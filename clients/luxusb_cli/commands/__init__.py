"""The commands, one module a subject."""

from __future__ import annotations

import click

from luxusb_cli.commands import (
    adopt,
    bundle,
    bundle_use,
    catalog,
    catalog_files,
    catalog_migrate,
    catalog_remote,
    catalog_show,
    completion,
    contents,
    devices,
    disks,
    images,
    jobs,
    keeping,
    mirrors,
    recipes,
    report,
    rescan,
    settings,
    sticks,
    tryout,
    updates,
    upkeep,
)

_MODULES = (
    devices,
    catalog,
    mirrors,
    catalog_files,
    catalog_migrate,
    catalog_remote,
    catalog_show,
    recipes,
    images,
    keeping,
    bundle,
    bundle_use,
    sticks,
    contents,
    rescan,
    adopt,
    updates,
    upkeep,
    disks,
    jobs,
    settings,
    tryout,
    report,
    completion,
)


def register(group: click.Group) -> None:
    """Add every command to the group."""
    for module in _MODULES:
        for command in module.COMMANDS:
            group.add_command(command)
