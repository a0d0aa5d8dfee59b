"""`repair`, `persistence`: sticks that need something."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

from luxusb_cli import completion
from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import ExitCode
from luxusb_cli.i18n import _
from luxusb_cli.model import JobInfo, StickImage
from luxusb_cli.params import consent_options, target_options, to_size
from luxusb_cli.render import say, size_or_unknown, table
from luxusb_cli.results import RepairResult
from luxusb_cli.runner import JobOptions, job_options, one_job
from luxusb_cli.several import each_job
from luxusb_cli.targets import TargetChoice
from luxusb_cli.text import clean
from luxusb_cli.units import format_size

if TYPE_CHECKING:
    from luxusb_cli.calls import JobStart
    from luxusb_cli.client import Client
    from luxusb_cli.targets import Target


@click.command(short_help="Mend a damaged stick.")
@target_options(many=True)
@job_options
@json_option
@pass_state
def repair(state: State, choice: TargetChoice, options: JobOptions) -> ExitCode:
    """Mend a damaged stick; images that are whole stay, and a sound stick is not changed.

    Partition table, filesystem, list of images, menu and boot files are put right, what a job that was cut has left is
    cleared away, and every image is read. What was found is told, and which images have to be added again. `luxusb
    verify` looks without writing.

    \b
    Examples:
      luxusb repair --device /dev/sdb
      luxusb repair --image-file stick.img
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.calls import Work
        from luxusb_cli.targets import open_targets

        async with open_targets(client, choice) as targets:

            def start(target: Target) -> JobStart:
                return partial(client.work_on, target.device.path, Work.REPAIR)

            if len(targets) > 1:
                await each_job(state, client, targets, start, options, show=_print_repair)
                return ExitCode.DONE
            (target,) = targets
            return await one_job(state, client, target, start(target), options, partial(_print_repair, target))

    choice.check()
    return run(state, body)


def _print_repair(target: Target, job: JobInfo) -> None:
    result = RepairResult.from_wire(job.result)
    if result.sound:
        say(_("Nothing is wrong with {target}; it was not changed.").format(target=target.name), "green")
        return
    say(_("found, and what was done:"), "bold")
    for finding in result.findings:
        say(f"  {clean(finding.problem)}: {clean(finding.done)}")
    if result.lost:
        say(_("lost:"), "yellow")
        for image in result.lost:
            say(f"  {clean(image.name)}  {clean(image.title)} ({format_size(image.size)}): {clean(image.reason)}")
        _print_way_back(result, target)
    say(_("{device} is mended.").format(device=target.name), "green")


def _print_way_back(result: RepairResult, target: Target) -> None:
    prefix = "distro:"
    sources = [image.source for image in result.lost]
    again = [clean(source.removeprefix(prefix)) for source in sources if source.startswith(prefix)]
    if again:
        where = f"--device {target.device.node}" if target.device.node else f"--image-file {target.name}"
        say(_("Add again: {command}").format(command=f"luxusb add {where} {' '.join(again)}"))
    if len(again) < len(sources):
        say(_("Images of your own come back with `luxusb add` and their files."))


@click.command(short_help="Give an image on a stick room to keep changes.")
@click.argument("image", required=False, shell_complete=completion.changes)
@click.argument("room", metavar="SIZE", required=False, callback=to_size)
@target_options()
@consent_options
@job_options
@json_option
@pass_state
def persistence(
    state: State,
    image: str | None,
    room: int | None,
    choice: TargetChoice,
    yes: bool,
    device_ids: Sequence[str],
    options: JobOptions,
) -> ExitCode:
    """Give IMAGE on a stick SIZE bytes to keep changes in; 0 takes the room, and the changes, away.

    Another SIZE than it has leaves the changes where they are. Without IMAGE and SIZE the rooms on the stick are
    listed, also those that belong to no image; with 0 and its NAME such a room is removed.

    \b
    Examples:
      luxusb persistence --device /dev/sdb
      luxusb persistence debian-live.iso 4GiB --device /dev/sdb
      luxusb persistence debian-live.iso 0 --device /dev/sdb
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.consent import ask_for_names, check_ids
        from luxusb_cli.references import find_stick_images
        from luxusb_cli.targets import open_targets

        await client.require("SetPersistence", _("Could not change the room for changes"))
        async with open_targets(client, choice) as (target,):
            images = await client.contents(target.device.path)
            if image is None or room is None:
                return _rooms(state, target, images)
            check_ids([target], device_ids)
            if not room and image in {stray.name for stray in target.device.stray_changes}:
                name = image
                done = _("{name} is gone.").format(name=clean(name))
            else:
                (found,) = find_stick_images(images, [image])
                name = found.name
                done = (
                    _("{image} keeps changes in {size}.").format(image=clean(name), size=format_size(room))
                    if room
                    else _("{image} keeps no changes.").format(image=clean(name))
                )
            if not room and not yes:
                say(_("The changes kept for {image} will be lost.").format(image=clean(name)), "red")
                await ask_for_names([target], _("lose them"))
            start = partial(client.set_persistence, target.device.path, name, room)
            return await one_job(state, client, target, start, options, done)

    from luxusb_cli.consent import check_possible

    choice.check()
    if image is not None and room is None:
        raise click.UsageError(_("Say how much room {image} is to have: SIZE, or 0 for none.").format(image=image))
    if room == 0:
        check_possible(state, yes=yes, device_ids=device_ids, disks=bool(choice.devices))
    return run(state, body)


def _rooms(state: State, target: Target, images: Sequence[StickImage]) -> ExitCode:
    kept = [image for image in images if image.persistence]
    stray = target.device.stray_changes
    if state.json:
        state.emit(
            {
                "rooms": [
                    *({"name": image.name, "size": image.persistence, "stray": False} for image in kept),
                    *({"name": room.name, "size": room.size, "stray": True} for room in stray),
                ]
            }
        )
    elif not kept and not stray:
        say(_("No image on {target} keeps changes.").format(target=target.name))
    else:
        table(
            (_("NAME"), _("CHANGES"), _("SYSTEM")),
            [
                *((image.name, format_size(image.persistence), image.title) for image in kept),
                *((room.name, size_or_unknown(room.size), _("(belongs to no image)")) for room in stray),
            ],
        )
    return ExitCode.DONE


COMMANDS = (repair, persistence)
