"""`images`, `inspect`, `delete`, `download`: the image store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from luxusb_cli import completion
from luxusb_cli.commands import keeping
from luxusb_cli.commands.imports import import_command, show_stored
from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import ExitCode, UsageError
from luxusb_cli.i18n import _
from luxusb_cli.images import ImageInfo
from luxusb_cli.params import throttle_options, to_duration
from luxusb_cli.render import badge, custom_badge, date, say, table
from luxusb_cli.runner import JobOptions, job_options, run_jobs
from luxusb_cli.text import clean
from luxusb_cli.units import format_size

if TYPE_CHECKING:
    from luxusb_cli.client import Client


@click.command()
@click.option("--prune", is_flag=True, help="Remove what nobody pinned or needs, and what can be downloaded again.")
@click.option("--dry-run", is_flag=True, help="With --prune: only show what would go.")
@click.option(
    "--older-than", callback=to_duration, metavar="TIME", help="With --prune: not used for so long, such as 30d or 12h."
)
@click.option("--all", "imports", is_flag=True, help="With --prune: your imported images too.")
@click.option("--yes", is_flag=True, help="With --prune: do not ask.")
@json_option
@pass_state
def images(state: State, prune: bool, dry_run: bool, older_than: int | None, imports: bool, yes: bool) -> ExitCode:
    """List the stored images, or remove those that are not needed any more.

    \b
    Examples:
      luxusb images
      luxusb images --prune --dry-run
      luxusb images --prune --older-than 30d --yes
    """
    if prune:
        return keeping.prune(state, keeping.PruneChoice(older_than or 0, imports, dry_run, yes))
    if dry_run or imports or yes or older_than is not None:
        raise UsageError(
            _("Nothing is listed and nothing is removed"),
            _("--dry-run, --older-than, --all and --yes belong to --prune."),
            _("Add --prune."),
        )

    async def body(client: Client) -> ExitCode:
        found = await client.images()
        if state.json:
            state.emit({"images": found})
        elif not found:
            say(_("No image is stored. Get one with `luxusb download` or `luxusb import`."))
        else:
            table(
                (_("IMAGE"), _("NAME"), _("SIZE"), _("SYSTEM"), _("TRUST"), _("ADDED"), _("LAST USED"), _("NOTE")),
                [_row(image) for image in found],
            )
        return ExitCode.DONE

    return run(state, body)


def _row(image: ImageInfo) -> tuple[str, ...]:
    notes = [
        _("genuine {genuine}").format(genuine=image.genuine) if image.genuine else "",
        "" if image.bootable else _("does not start from a file"),
        _("in use") if image.in_use else "",
        _("pinned") if image.pinned else "",
    ]
    return (
        image.reference[: len("image:") + 12],
        image.name,
        format_size(image.size),
        image.system,
        " ".join(filter(None, (badge(image.trust), custom_badge(image.custom)))),
        date(image.added),
        date(image.last_used),
        ", ".join(note for note in notes if note),
    )


@click.command(short_help="Download and check images.")
@click.argument(
    "references",
    metavar="DISTRO[@VERSION][/EDITION]...",
    nargs=-1,
    required=True,
    shell_complete=completion.distributions,
)
@throttle_options
@job_options
@json_option
@pass_state
def download(
    state: State, references: Sequence[str], priority: int | None, limit_rate: int | None, options: JobOptions
) -> ExitCode:
    """Download and check images. What was begun before is gone on with.

    \b
    Examples:
      luxusb download debian-live
      luxusb download ubuntu@24.04 fedora/workstation
      luxusb download arch --no-wait --limit-rate 2MiB
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.references import Catalogued, check_catalogued

        wanted = [Catalogued(f"distro:{reference.removeprefix('distro:')}") for reference in references]
        await check_catalogued(client, wanted)
        starts = [
            partial(client.download, image.reference, priority=priority, bandwidth=limit_rate) for image in wanted
        ]
        jobs = await run_jobs(state, client, starts, options)
        return show_stored(state, jobs, options, {"jobs": jobs})

    return run(state, body)


@click.command(short_help="Say what a file is and whether it would start.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--hash", "with_hash", is_flag=True, help="Compute the sha256 and look it up in the catalogue.")
@json_option
@pass_state
def inspect(state: State, file: Path, with_hash: bool) -> ExitCode:
    """Say what FILE is and how it would start, or why it cannot. Nothing is stored.

    \b
    Examples:
      luxusb inspect ~/Downloads/my.iso
      luxusb inspect my.iso --hash
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.copying import hash_file
        from luxusb_cli.report import print_report
        from luxusb_cli.targets import open_for_reading

        fd = open_for_reading(file)
        try:
            # what is no image is told at once, before time is spent on its hash
            report = await client.inspect(fd, str(file))
            if with_hash:
                sha256 = await hash_file(fd, progress=not state.json)
                report = await client.inspect(fd, str(file), sha256=sha256)
        finally:
            os.close(fd)
        if state.json:
            state.emit({"image": report})
        else:
            print_report(file, report)
        return ExitCode.DONE

    return run(state, body)


@click.command(short_help="Take a stored image away.")
@click.argument("image", shell_complete=completion.stored_images)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@pass_state
def delete(state: State, image: str, yes: bool) -> ExitCode:
    """Take a stored IMAGE away: its reference, the first digits of its hash, or its name.

    \b
    Examples:
      luxusb delete image:9f86d081884c
      luxusb delete my.iso --yes
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.consent import ask_yes, check_possible
        from luxusb_cli.references import find_image

        check_possible(state, yes=yes, device_ids=(), disks=False)
        found = find_image(await client.images(), image)
        if not yes:
            await ask_yes(_("Delete {found} ({size})?").format(found=clean(found.name), size=format_size(found.size)))
        await client.delete_image(found.reference)
        if state.json:
            state.emit({"deleted": found.reference})
        else:
            say(_("Deleted {found}.").format(found=clean(found.name)))
        return ExitCode.DONE

    return run(state, body)


@click.command(short_help="Copy a stored image into a file.")
@click.argument("image", shell_complete=completion.stored_images)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE when it is there already.")
@json_option
@pass_state
def export(state: State, image: str, file: Path, force: bool) -> ExitCode:
    """Copy a stored IMAGE into FILE and check it on the way: its reference, first digits of its hash, or its name.

    FILE appears when it is whole and flushed to the disk; a directory takes the image under its own name.

    \b
    Examples:
      luxusb export image:9f86d081884c debian.iso
      luxusb export my.iso /media/backup --force
    """

    into_directory = file.is_dir()

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.copying import copy_to_file
        from luxusb_cli.references import find_image

        found = find_image(await client.images(), image)
        target = file / clean(found.name).replace("/", "_") if into_directory else file
        fd = await client.open_image(found.reference)
        try:
            done = await copy_to_file(fd, target, force=force, sha256=found.sha256, progress=not state.json)
        finally:
            os.close(fd)
        if state.json:
            state.emit({"file": str(target), "size": done.size, "sha256": done.sha256})
        else:
            where = clean(str(target))
            say(_("Saved as {file} ({size}).").format(file=where, size=format_size(done.size)), "green")
        return ExitCode.DONE

    return run(state, body)


COMMANDS = (images, import_command, export, inspect, delete, download)
