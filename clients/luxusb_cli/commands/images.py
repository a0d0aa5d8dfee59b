"""`images`, `import`, `inspect`, `delete`, `download`: the image store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from luxusb_cli import completion
from luxusb_cli.catalog import ImageInfo, InspectReport, StoredResult
from luxusb_cli.commands import keeping
from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import ExitCode, UsageError
from luxusb_cli.i18n import _
from luxusb_cli.model import JobInfo
from luxusb_cli.params import throttle_options, to_duration
from luxusb_cli.render import date, fields, firmware_names, say, table
from luxusb_cli.runner import JobOptions, conclude, job_options, run_jobs, say_started, start_import
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
        image.trust,
        date(image.added),
        date(image.last_used),
        ", ".join(note for note in notes if note),
    )


@click.command("import", short_help="Copy a file into the image store.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", default="", help="Name to show, in place of the file's.")
@click.option("--sha256", default="", metavar="HASH", help="What the sha256 of the file has to be.")
@job_options
@json_option
@pass_state
def import_command(state: State, file: Path, name: str, sha256: str, options: JobOptions) -> ExitCode:
    """Copy FILE into the image store and find out what it is.

    \b
    Examples:
      luxusb import ~/Downloads/my.iso
      luxusb import rescue.iso --name "Our rescue system" --sha256 9f86d0...
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.references import LocalFile

        job = await start_import(state, client, LocalFile(file), name, sha256.strip().lower(), options)
        return _stored(state, [job], options, {"job": job})

    return run(state, body)


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
        return _stored(state, jobs, options, {"jobs": jobs})

    return run(state, body)


def _stored(state: State, jobs: Sequence[JobInfo], options: JobOptions, document: dict[str, object]) -> ExitCode:
    if options.wait:
        conclude(jobs, document)
    if state.json:
        state.emit(document)
    elif not options.wait:
        say_started(jobs)
    else:
        for job in jobs:
            result = StoredResult.from_wire(job.result)
            trust = _(", trust: {trust}").format(trust=clean(result.trust)) if result.trust else ""
            say(
                _("Stored {result} ({size}{trust}) as {image}").format(
                    result=clean(result.name), size=format_size(result.size), trust=trust, image=result.image
                ),
                "green",
            )
    return ExitCode.DONE


@click.command(short_help="Say what a file is and whether it would start.")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@pass_state
def inspect(state: State, file: Path) -> ExitCode:
    """Say what FILE is and how it would start, or why it cannot. Nothing is stored.

    \b
    Examples:
      luxusb inspect ~/Downloads/my.iso
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.targets import open_for_reading

        fd = open_for_reading(file)
        try:
            report = await client.inspect(fd, str(file))
        finally:
            os.close(fd)
        if state.json:
            state.emit({"image": report})
        else:
            _print_report(file, report)
        return ExitCode.DONE

    return run(state, body)


def _print_report(file: Path, report: InspectReport) -> None:
    say(str(file), "bold")
    fields(
        [
            (_("system"), " ".join(part for part in (report.system, report.version) if part)),
            (_("label"), report.label),
            (_("architecture"), report.architecture),
            (_("family"), report.family),
            (_("recipe"), report.recipe),
            (_("size"), format_size(report.size)),
            (_("starts under"), firmware_names(report.firmware)),
            (_("read from"), ", ".join(report.filesystems)),
        ]
    )
    if report.bootable:
        say(_("It starts from a file, with these entries:"), "green")
        for entry in report.entries:
            say(f"  {clean(entry.title)} ({firmware_names(entry.firmware)})")
    else:
        say(_("It does not start from a file."), "red")
        for part in (report.reason, report.advice):
            if part:
                say(f"  {clean(part)}")


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
