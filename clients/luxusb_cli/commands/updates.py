"""`update`: newer releases in the places of the images on a stick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

from luxusb_cli import completion
from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import ExitCode
from luxusb_cli.i18n import _, ngettext
from luxusb_cli.model import JobInfo
from luxusb_cli.params import consent_options, target_options
from luxusb_cli.render import hardware, say, table
from luxusb_cli.results import StickUpdateResult, UpdatedImage
from luxusb_cli.runner import JobOptions, conclude, job_options, run_jobs, say_started
from luxusb_cli.several import each_job, say_kept
from luxusb_cli.targets import TargetChoice
from luxusb_cli.text import clean
from luxusb_cli.units import format_size

if TYPE_CHECKING:
    from luxusb_cli.calls import JobStart
    from luxusb_cli.client import Client
    from luxusb_cli.connection import Typed
    from luxusb_cli.targets import Target


@click.command(short_help="Replace the images of a stick by newer releases.")
@click.argument("image_names", metavar="[IMAGE...]", nargs=-1, shell_complete=completion.stick_images)
@target_options(many=True)
@click.option("--check", is_flag=True, help="Only say what would be done; exit code 6 when there is something.")
@click.option("--one-at-a-time", is_flag=True, help="Write each new image and remove its old one before the next.")
@click.option("--same-series", is_flag=True, help="Leave out other series, such as Debian 13 after 12.")
@click.option("--less-trust", is_flag=True, help="Also take releases that are less sure than what is on the stick.")
@click.option(
    "--replace-first", is_flag=True, help="Where there is no room for both, remove an image before writing the new one."
)
@click.option("--no-keep", is_flag=True, help="Do not keep what is downloaded on this machine, which needs less room.")
@consent_options
@job_options
@json_option
@pass_state
def update(
    state: State,
    image_names: Sequence[str],
    choice: TargetChoice,
    check: bool,
    one_at_a_time: bool,
    same_series: bool,
    less_trust: bool,
    replace_first: bool,
    no_keep: bool,
    yes: bool,
    device_ids: Sequence[str],
    options: JobOptions,
) -> ExitCode:
    """Replace the images of a stick, or every IMAGE on it, by newer releases, where there are some.

    IMAGE is a file name on the stick, a reference, or the first digits of a hash. A new image is written beside the old
    one while it is downloaded; the old one goes only when the menu has the new one. `--replace-first` is asked about,
    since a stick that is pulled at the wrong moment is then without the image. With it and with `--one-at-a-time`
    everything is downloaded first.

    \b
    Examples:
      luxusb update --device /dev/sdb --check
      luxusb update --device /dev/sdb --device /dev/sdc --same-series
      luxusb update --device /dev/sdb debian-live.iso
    """
    flags = {
        "check": check,
        "one_at_a_time": one_at_a_time,
        "same_series": same_series,
        "less_trust": less_trust,
        "replace": replace_first,
    }
    asks = replace_first and not check

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.calls import Work
        from luxusb_cli.connection import Typed
        from luxusb_cli.consent import ask_for_names, check_ids
        from luxusb_cli.references import find_stick_images
        from luxusb_cli.targets import open_targets

        async with open_targets(client, choice) as targets:
            check_ids(targets, device_ids)
            asked: dict[str, dict[str, Typed]] = {}
            for target in targets:
                wishes = asked[target.name] = {name: Typed("b", True) for name, given in flags.items() if given}
                if no_keep:
                    wishes["keep_images"] = Typed("b", False)
                if image_names:
                    found = find_stick_images(await client.contents(target.device.path), image_names)
                    wishes["images"] = Typed("as", [image.name for image in found])
            if asks and not yes:
                for target in targets:
                    _print_danger(target)
                await ask_for_names(targets, _("replace images"))

            def start(target: Target) -> JobStart:
                return partial(client.work_on, target.device.path, Work.UPDATE, asked[target.name])

            if len(targets) > 1:
                return await _several(state, client, targets, start, options, check=check)
            (job,) = await run_jobs(state, client, [start(targets[0])], options, targets[0])
            return _conclude(state, targets[0], job, options, check=check)

    from luxusb_cli.consent import check_possible

    choice.check()
    if asks:
        check_possible(state, yes=yes, device_ids=device_ids, disks=bool(choice.devices))
    return run(state, body)


async def _several(
    state: State,
    client: Client,
    targets: Sequence[Target],
    start: Callable[[Target], JobStart],
    options: JobOptions,
    *,
    check: bool,
) -> ExitCode:
    def show(target: Target, job: JobInfo) -> None:
        _print(target, StickUpdateResult.from_wire(job.result), check=check)

    jobs = await each_job(state, client, targets, start, options, show=show)
    found = check and any(StickUpdateResult.from_wire(job.result).updates for job in jobs)
    return ExitCode.UPDATES if found else ExitCode.DONE


def _conclude(state: State, target: Target, job: JobInfo, options: JobOptions, *, check: bool) -> ExitCode:
    document: dict[str, object] = {"job": job}
    if options.wait:
        conclude([job], document)
    result = StickUpdateResult.from_wire(job.result)
    if state.json:
        state.emit(document)
    elif options.wait:
        _print(target, result, check=check)
    else:
        say_started([job])
    return ExitCode.UPDATES if check and result.updates else ExitCode.DONE


def _print_danger(target: Target) -> None:
    say(f"{target.name}: {hardware(target.device)}", "bold")
    say(
        "  "
        + _(
            "Images for which there is no room beside the new ones go first; until these are written, the stick is"
            " without them."
        ),
        "red",
    )


def _print(target: Target, result: StickUpdateResult, *, check: bool) -> None:
    if result.updates:
        table(
            (_("NAME"), _("ON THE STICK"), _("NEWER"), _("SIZE"), _("NOTE")),
            [
                (image.name, image.from_version, image.to_version, format_size(image.size), update_note(image))
                for image in result.updates
            ],
        )
    for image in result.skipped:
        say(
            _("{name} was left alone: {reason}").format(name=clean(image.name), reason=clean(image.reason)),
            "yellow",
        )
    say_kept(result.kept_images)
    if not result.updates:
        say(_("There is nothing newer for what is on {device}.").format(device=target.name), "green")
    elif check:
        say(
            _("Needed beside what is there: {all}; one at a time: {single}; free: {free}.").format(
                all=format_size(result.bytes_needed),
                single=format_size(result.bytes_needed_one_at_a_time),
                free=format_size(result.free_bytes),
            )
        )
    else:
        count = len(result.updates)
        say(
            ngettext("{count} image on {device} is new.", "{count} images on {device} are new.", count).format(
                count=count, device=target.name
            ),
            "green",
        )


def update_note(image: UpdatedImage) -> str:
    """What is to be known of a newer release, in a few words."""
    notes = []
    if image.respin:
        notes.append(_("other bytes of the same version"))
    if image.series_change:
        notes.append(_("another series"))
    if image.ended:
        notes.append(_("no support since {date}").format(date=clean(image.end_of_life)))
    if image.less_trust:
        notes.append(_("less sure: {trust}").format(trust=clean(image.trust)))
    return ", ".join(notes)


COMMANDS = (update,)
