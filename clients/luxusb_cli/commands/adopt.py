"""`adopt`: sticks of LUXusb 0.6.3."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import ExitCode
from luxusb_cli.i18n import _, ngettext
from luxusb_cli.model import JobInfo
from luxusb_cli.params import consent_options, target_options
from luxusb_cli.render import firmware_names, hardware, say
from luxusb_cli.results import AdoptionPlan, AdoptionResult
from luxusb_cli.runner import JobOptions, conclude, job_options, one_job, run_jobs
from luxusb_cli.targets import TargetChoice
from luxusb_cli.text import clean
from luxusb_cli.units import format_size

if TYPE_CHECKING:
    from luxusb_cli.client import Client
    from luxusb_cli.targets import Target


@click.command(short_help="Take over a stick that LUXusb 0.6.3 made.")
@target_options()
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@consent_options
@job_options
@json_option
@pass_state
def adopt(
    state: State,
    choice: TargetChoice,
    dry_run: bool,
    yes: bool,
    device_ids: Sequence[str],
    options: JobOptions,
) -> ExitCode:
    """Take over a stick that LUXusb 0.6.3 made: its images stay, boot files and menu become new ones.

    No image is copied or deleted, and nothing is formatted. A stick of Ventoy is not taken over.

    \b
    Examples:
      luxusb adopt --device /dev/sdb --dry-run
      luxusb adopt --device /dev/sdb
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.calls import Work
        from luxusb_cli.connection import Typed
        from luxusb_cli.consent import ask_yes, check_ids
        from luxusb_cli.targets import open_targets

        async with open_targets(client, choice) as (target,):
            look = partial(client.work_on, target.device.path, Work.ADOPT, {"dry_run": Typed("b", True)})
            if dry_run:
                return await one_job(state, client, target, look, options, partial(_print_plan, target))
            check_ids([target], device_ids)
            if not yes:
                (job,) = await run_jobs(
                    state,
                    client,
                    [look],
                    JobOptions(wait=True, cancel_on_interrupt=options.cancel_on_interrupt),
                    target,
                )
                conclude([job], {"job": job})
                _print_plan(target, job)
                await ask_yes(_("Take {target} over?").format(target=target.name))
            start = partial(client.work_on, target.device.path, Work.ADOPT)
            return await one_job(state, client, target, start, options, partial(_print_result, target))

    from luxusb_cli.consent import check_possible

    choice.check()
    if not dry_run:
        check_possible(state, yes=yes, device_ids=device_ids, disks=bool(choice.devices))
    return run(state, body)


def _print_plan(target: Target, job: JobInfo) -> None:
    plan = AdoptionPlan.from_wire(job.result)
    say(f"{target.name}: {hardware(target.device)}", "bold")
    count = len(plan.found)
    say("  " + ngettext("{count} image stays:", "{count} images stay:", count).format(count=count))
    for image in plan.found:
        say(f"    {clean(image.path)}  {clean(image.volume_id)} ({format_size(image.size)})")
    say("  " + _("will start under: {firmware}").format(firmware=firmware_names(plan.firmware)))
    for note in (*plan.notes, *plan.warnings):
        say(f"  {clean(note)}", "yellow")


def _print_result(target: Target, job: JobInfo) -> None:
    result = AdoptionResult.from_wire(job.result)
    if result.skipped:
        say(_("left as they are, without an entry:"), "yellow")
    for file in result.skipped:
        say(f"  {clean(file.name)}: {clean(file.reason)}" if file.name else f"  {clean(file.reason)}")
    count = len(result.images)
    say(
        ngettext(
            "{target} is taken over, with {count} image in its menu.",
            "{target} is taken over, with {count} images in its menu.",
            count,
        ).format(target=target.name, count=count),
        "green",
    )


COMMANDS = (adopt,)
