"""`contents`, `add`, `remove`, `refresh`, `verify`: sticks that are there already."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import click

from luxusb_cli import completion
from luxusb_cli.commands.devices import damage_note, foreign_note, stray_note, unlisted_note, updates_note
from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import LUXUSB, CliError, ExitCode
from luxusb_cli.i18n import LANGUAGES, _, ngettext
from luxusb_cli.model import ForeignStick, JobInfo, StickImage
from luxusb_cli.params import certificate_option, consent_options, target_options
from luxusb_cli.render import badged, date, firmware_names, hardware, say, size_or_unknown, table
from luxusb_cli.results import VerifyResult
from luxusb_cli.runner import JobOptions, conclude, job_options, one_job, resolve_images, run_jobs, say_started
from luxusb_cli.several import each_job, jobs_on, say_kept
from luxusb_cli.targets import TargetChoice
from luxusb_cli.text import clean
from luxusb_cli.units import format_size
from luxusb_cli.wire import texts

if TYPE_CHECKING:
    from pathlib import Path

    from luxusb_cli.calls import JobStart
    from luxusb_cli.client import Client
    from luxusb_cli.targets import Target


@click.command(short_help="List the images on a stick.")
@target_options()
@json_option
@pass_state
def contents(state: State, choice: TargetChoice) -> ExitCode:
    """List the images on a stick, in the order of its menu. Nothing is mounted.

    Of a stick of Ventoy or of LUXusb 0.6.3 the image files are listed.

    \b
    Examples:
      luxusb contents --device /dev/sdb
      luxusb contents --image-file stick.img --json
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.targets import open_targets

        async with open_targets(client, choice) as (target,):
            foreign = target.device.foreign
            found = await client.contents(target.device.path) if foreign is None else []
        if state.json:
            state.emit(
                {
                    "images": found,
                    "unlisted_images": target.device.unlisted_images,
                    "stray_changes": target.device.stray_changes,
                    "firmware": target.device.firmware,
                    "boot_warning": target.device.boot_warning,
                }
                | ({} if foreign is None else {"foreign": foreign})
            )
            return ExitCode.DONE
        if foreign is not None:
            _print_foreign(foreign)
            return ExitCode.DONE
        if target.device.damage:
            say(damage_note(target.device), "red")
        if target.device.unlisted_images:
            say(unlisted_note(target.device), "yellow")
        if target.device.stray_changes:
            say(stray_note(target.device), "yellow")
            for room in target.device.stray_changes:
                say(f"  {clean(room.name)}  {size_or_unknown(room.size)}")
        if target.device.updates:
            say(updates_note(target.device))
        if target.device.boot_warning:
            say(clean(target.device.boot_warning), "yellow")
        if target.device.firmware:
            say(_("It starts under: {firmware}").format(firmware=firmware_names(target.device.firmware)))
        if not found:
            say(_("There is no image on it. Add one with `luxusb add`."))
        else:
            table(
                (_("NAME"), _("TITLE"), _("SIZE"), _("CHANGES"), _("IMAGE"), _("STARTS UNDER"), _("ADDED")),
                [_row(image) for image in found],
            )
        return ExitCode.DONE

    choice.check()
    return run(state, body)


def _print_foreign(found: ForeignStick) -> None:
    say(foreign_note(found), "yellow")
    for line in (*found.notes, *([found.refusal] if found.refusal else ())):
        say(clean(line))
    if found.images:
        table(
            (_("PATH"), _("SIZE"), _("SYSTEM")),
            [(image.path, format_size(image.size), image.volume_id) for image in found.images],
        )


def _row(image: StickImage) -> tuple[str, ...]:
    return (
        image.name,
        badged(image.title, custom=image.custom),
        format_size(image.size),
        format_size(image.persistence) if image.persistence else "",
        image.reference[: len("image:") + 12],
        firmware_names(image.firmware),
        date(image.added),
    )


@click.command(short_help="Add images to a stick.")
@click.argument("image_arguments", metavar="IMAGE...", nargs=-1, required=True, shell_complete=completion.images)
@click.option("--no-keep", is_flag=True, help="Do not keep what is downloaded on this machine, which needs less room.")
@target_options(many=True)
@job_options
@json_option
@pass_state
def add(
    state: State, image_arguments: Sequence[str], no_keep: bool, choice: TargetChoice, options: JobOptions
) -> ExitCode:
    """Add every IMAGE to a stick; what is on it stays.

    IMAGE is a name of the catalogue (debian-live, ubuntu@24.04, fedora/workstation), image:SHA256 (also its first
    digits), or a file (./my.iso), which is imported.

    \b
    Examples:
      luxusb add --device /dev/sdb fedora
      luxusb add --device /dev/sdb --device /dev/sdc fedora
      luxusb add --image-file stick.img ./my.iso
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.targets import open_targets

        async with open_targets(client, choice) as targets:
            if all(target.device.blocked_reason for target in targets):
                # the daemon's refusal, before a file is copied into its store for nothing
                await client.add_images(targets[0].device.path, [])
            references = await resolve_images(state, client, image_arguments, options)

            def start(target: Target) -> JobStart:
                return partial(client.add_images, target.device.path, references, keep=not no_keep)

            return await jobs_on(state, client, targets, start, options, _("Added to {target}."), tell=_tell_kept)

    choice.check()
    return run(state, body)


def _tell_kept(job: JobInfo) -> None:
    say_kept(texts(job.result, "kept_images"))


@click.command(short_help="Remove images from a stick.")
@click.argument("image_names", metavar="IMAGE...", nargs=-1, required=True, shell_complete=completion.stick_images)
@target_options()
@consent_options
@job_options
@json_option
@pass_state
def remove(
    state: State,
    image_names: Sequence[str],
    choice: TargetChoice,
    yes: bool,
    device_ids: Sequence[str],
    options: JobOptions,
) -> ExitCode:
    """Remove every IMAGE from a stick: its file name there, its reference, or the first digits of its hash.

    \b
    Examples:
      luxusb remove --device /dev/sdb debian-live.iso
      luxusb remove --image-file stick.img image:9f86d081884c --yes
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.consent import ask_for_names, check_ids
        from luxusb_cli.references import find_stick_images
        from luxusb_cli.targets import open_targets

        async with open_targets(client, choice) as (target,):
            check_ids([target], device_ids)
            present = await client.contents(target.device.path)
            doomed = find_stick_images(present, image_names)
            if not yes:
                _print_removal(target, present, doomed)
                await ask_for_names([target], ngettext("remove it", "remove them", len(doomed)))
            start = partial(client.remove_images, target.device.path, [image.name for image in doomed])
            return await one_job(
                state, client, target, start, options, _("Removed from {target}.").format(target=target.name)
            )

    from luxusb_cli.consent import check_possible

    choice.check()
    check_possible(state, yes=yes, device_ids=device_ids, disks=bool(choice.devices))
    return run(state, body)


def _print_removal(target: Target, present: Sequence[StickImage], doomed: Sequence[StickImage]) -> None:
    say(f"{target.name}: {hardware(target.device)}", "bold")
    for head, style, images in (
        (_("will be removed:"), "red", doomed),
        (_("stay:"), "", [image for image in present if image not in doomed]),
    ):
        if images:
            say(f"  {head}", style)
        for image in images:
            say(f"    {clean(image.name)}  {clean(image.title)} ({format_size(image.size)})", style)


@click.command(short_help="Write boot files and menu of a stick anew.")
@target_options(many=True)
@certificate_option
@click.option(
    "--menu-timeout",
    type=click.IntRange(0, 30),
    metavar="SECONDS",
    help="Time until the first image starts, 0 to 30.",
)
@click.option("--theme", type=click.Choice(("luxusb", "none")), help="How the menu looks.")
@click.option("--remember/--forget", default=None, help="Whether the menu remembers what was started last.")
@click.option("--menu-language", type=click.Choice(LANGUAGES), help="Language of the menu.")
@job_options
@json_option
@pass_state
def refresh(
    state: State,
    choice: TargetChoice,
    certificates: Sequence[Path],
    menu_timeout: int | None,
    theme: str | None,
    remember: bool | None,
    menu_language: str | None,
    options: JobOptions,
) -> ExitCode:
    """Write the boot files and the menu of a stick anew; the images stay, and so do the certificates on it.

    What is said about the menu changes it; the rest of it stays as it is.

    \b
    Examples:
      luxusb refresh --device /dev/sdb
      luxusb refresh --device /dev/sdb --menu-language de --menu-timeout 20
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.connection import Typed
        from luxusb_cli.targets import open_targets

        asked = {
            "timeout": ("u", menu_timeout),
            "theme": ("s", theme),
            "remember": ("b", remember),
            "language": ("s", menu_language),
        }
        menu = {key: Typed(kind, value) for key, (kind, value) in asked.items() if value is not None}
        async with AsyncExitStack() as stack:
            targets = await stack.enter_async_context(open_targets(client, choice))
            files = [stack.enter_context(path.open("rb")).fileno() for path in certificates]

            def start(target: Target) -> JobStart:
                return partial(client.refresh, target.device.path, files, menu)

            return await jobs_on(state, client, targets, start, options, _("The boot files on {target} are new."))

    choice.check()
    return run(state, body)


@click.command(short_help="Compare a stick with what was written to it.")
@target_options(many=True)
@job_options
@json_option
@pass_state
def verify(state: State, choice: TargetChoice, options: JobOptions) -> ExitCode:
    """Read everything on a stick back and compare it with what was written.

    \b
    Examples:
      luxusb verify --device /dev/sdb
      luxusb verify --device /dev/sdb --device /dev/sdc
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.calls import Work
        from luxusb_cli.targets import open_targets

        async with open_targets(client, choice) as targets:

            def start(target: Target) -> JobStart:
                return partial(client.work_on, target.device.path, Work.VERIFY)

            if len(targets) > 1:
                await each_job(state, client, targets, start, options, judge=_damaged)
                return ExitCode.DONE
            (job,) = await run_jobs(state, client, [start(targets[0])], options, targets[0])
            return _verified(state, job, options, targets[0])

    choice.check()
    return run(state, body)


def _verified(state: State, job: JobInfo, options: JobOptions, target: Target) -> ExitCode:
    document: dict[str, object] = {"job": job}
    if not options.wait:
        if state.json:
            state.emit(document)
        else:
            say_started([job])
        return ExitCode.DONE
    conclude([job], document)
    result = VerifyResult.from_wire(job.result)
    if not state.json:
        table((_("NAME"), _("STATE")), [(image.name, image.state) for image in result.images])
    if (error := _damaged(target, job)) is not None:
        error.document = document
        raise error
    if state.json:
        state.emit(document)
    else:
        say(_("{target} is sound.").format(target=target.name), "green")
    return ExitCode.DONE


def _damaged(target: Target, job: JobInfo) -> CliError | None:
    if VerifyResult.from_wire(job.result).ok:
        return None
    return CliError(
        _("{target} is damaged").format(target=target.name),
        _("What is on it differs from what was written."),
        _("Mend it with `luxusb repair`, and add again what that names as lost."),
        name=LUXUSB + "VerificationFailed",
    )


COMMANDS = (contents, add, remove, refresh, verify)
