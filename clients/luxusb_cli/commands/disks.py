"""`write-raw`, `restore`, `probe`, `eject`: whole disks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from luxusb_cli import completion
from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import CliError, ExitCode, UsageError
from luxusb_cli.i18n import N_, _
from luxusb_cli.params import consent_options, target_options
from luxusb_cli.render import hardware, plan_text, say
from luxusb_cli.runner import JobOptions, conclude, job_options, one_job, resolve_images, run_jobs, say_started
from luxusb_cli.several import conclude_shares, each_job, tell_shares
from luxusb_cli.targets import TargetChoice

if TYPE_CHECKING:
    from luxusb_cli.calls import JobStart, Work
    from luxusb_cli.client import Client
    from luxusb_cli.connection import Options
    from luxusb_cli.model import JobInfo
    from luxusb_cli.targets import Target


_allow_large = click.option(
    "--allow-large", is_flag=True, help="Erase even a disk larger than a stick, or a hard disk."
)


@click.command("write-raw", short_help="Write one image byte for byte to a disk.")
@click.argument("image", shell_complete=completion.images)
@click.option(
    "--bmap",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    metavar="FILE",
    help="Block map of the image: what it leaves out is not written. One beside the file is taken by itself.",
)
@click.option("--no-bmap", is_flag=True, help="Write all of the image, also where a block map lies beside the file.")
@click.option("--unbootable", is_flag=True, help="Write even a disc that no computer starts from a stick.")
@click.option("--no-probe", is_flag=True, help="Do not look for counterfeit flash before the disk is erased.")
@_allow_large
@target_options(many=True, size=True)
@consent_options
@job_options
@json_option
@pass_state
def write_raw(
    state: State,
    image: str,
    choice: TargetChoice,
    yes: bool,
    device_ids: Sequence[str],
    options: JobOptions,
    bmap: Path | None,
    no_bmap: bool,
    unbootable: bool,
    no_probe: bool,
    allow_large: bool,
) -> ExitCode:
    """Erase a disk and write IMAGE to it byte for byte, for systems that do not start from a file.

    The plan is shown first, and the name of the disk has to be typed. IMAGE is what it is for `luxusb create`; a
    compressed file is unpacked on the way to the disk.

    \b
    Examples:
      luxusb write-raw alpine --device /dev/sdb
      luxusb write-raw ./appliance.img.xz --bmap appliance.bmap --device sdb
      luxusb write-raw ./FreeBSD-memstick.img --device sdb --yes --device-id usb-Kingston_DT_001A
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.connection import Typed
        from luxusb_cli.consent import ask_for_names, check_ids
        from luxusb_cli.references import map_beside
        from luxusb_cli.targets import open_targets

        await client.require("WriteRaw", _("Could not write the image"))
        async with AsyncExitStack() as stack:
            targets = await stack.enter_async_context(open_targets(client, choice, create=True))
            check_ids(targets, device_ids)
            (reference,) = await resolve_images(state, client, [image], options, keep_packed=True)
            given = {
                name: Typed("b", value)
                for name, said, value in (
                    ("unbootable", unbootable, True),
                    ("probe", no_probe, False),
                    ("allow_large", allow_large, True),
                )
                if said
            }
            blockmap = None if no_bmap else bmap or map_beside(image)
            file = stack.enter_context(blockmap.open("rb")).fileno() if blockmap is not None else None
            planned = await client.plan_raw([target.device.path for target in targets], reference, given, file)
            if not state.json:
                plan_text(planned, [target.name for target in targets])
            if not yes:
                await ask_for_names(targets, _("erase it"))
            jobs = await run_jobs(state, client, [partial(client.write_raw, planned.token)], options, targets[0])
            document: dict[str, object] = {"plan": planned, "job": jobs[0]}
            if options.wait:
                tell_shares(state, jobs[0])
                conclude_shares(state, jobs[0], document)
            if state.json:
                state.emit(document)
            elif options.wait:
                names = ", ".join(target.name for target in targets)
                say(_("Done: {names} is written and read back.").format(names=names), "green")
            else:
                say_started(jobs)
        return ExitCode.DONE

    from luxusb_cli.consent import check_possible

    choice.check()
    if no_bmap and bmap is not None:
        raise UsageError(_("--bmap and --no-bmap cannot go together"), todo=_("Leave one of them out."))
    check_possible(state, yes=yes, device_ids=device_ids, disks=bool(choice.devices))
    return run(state, body)


@dataclass(frozen=True)
class _Warned:
    """What is done to a whole disk once its name was typed."""

    work: Work
    options: Options
    warning: str
    question: str
    done: str | Callable[[Target, JobInfo], ExitCode]
    """A line for the end, or what tells of it and gives the exit status."""
    judge: Callable[[Target, JobInfo], CliError | None] = lambda _target, _job: None
    """What is wrong with a disk although the job on it succeeded."""


def _whole_disk(
    state: State, choice: TargetChoice, yes: bool, device_ids: Sequence[str], options: JobOptions, what: _Warned
) -> ExitCode:
    async def body(client: Client) -> ExitCode:
        from luxusb_cli.consent import ask_for_names, check_ids
        from luxusb_cli.targets import open_targets

        await client.require(what.work.member, what.work.failed)
        async with open_targets(client, choice) as targets:
            check_ids(targets, device_ids)
            for target in () if state.json else targets:
                _print_danger(target, _(what.warning))
            if not yes:
                await ask_for_names(targets, _(what.question))

            def start(target: Target) -> JobStart:
                return partial(client.work_on, target.device.path, what.work, what.options)

            if len(targets) > 1:
                await each_job(state, client, targets, start, options, judge=what.judge)
                return ExitCode.DONE
            (target,) = targets
            if isinstance(what.done, str):
                done = _(what.done).format(device=target.name)
                return await one_job(state, client, target, start(target), options, done)
            (job,) = await run_jobs(state, client, [start(target)], options, target)
            if options.wait:
                conclude([job], {"job": job})
                return what.done(target, job)
            if state.json:
                state.emit({"job": job})
            else:
                say_started([job])
            return ExitCode.DONE

    from luxusb_cli.consent import check_possible

    choice.check()
    check_possible(state, yes=yes, device_ids=device_ids, disks=bool(choice.devices))
    return run(state, body)


def _print_danger(target: Target, warning: str) -> None:
    say(f"{target.name}: {hardware(target.device)}", "bold")
    say(f"  id {target.device.id}")
    say(f"  {warning}", "red")


@click.command(short_help="Make a disk a plain drive again.")
@click.option("--filesystem", type=click.Choice(("exfat", "fat32")), help="Filesystem that it gets; exfat if left out.")
@click.option("--label", help="Label of the filesystem.")
@_allow_large
@target_options(many=True)
@consent_options
@job_options
@json_option
@pass_state
def restore(
    state: State,
    choice: TargetChoice,
    filesystem: str | None,
    label: str | None,
    allow_large: bool,
    yes: bool,
    device_ids: Sequence[str],
    options: JobOptions,
) -> ExitCode:
    """Erase a disk and make it a plain drive with one empty filesystem again.

    \b
    Examples:
      luxusb restore --device /dev/sdb
      luxusb restore --device sdb --filesystem fat32 --label MUSIC
    """
    from luxusb_cli.calls import Work
    from luxusb_cli.connection import Typed

    texts = {"filesystem": filesystem, "label": label}
    given = {key: Typed("s", value) for key, value in texts.items() if value is not None}
    if allow_large:
        given["allow_large"] = Typed("b", True)
    what = _Warned(
        Work.RESTORE,
        given,
        N_("Everything on it will be lost."),
        N_("erase it"),
        N_("{device} is a plain drive again."),
    )
    return _whole_disk(state, choice, yes, device_ids, options, what)


@click.command(short_help="Find out whether a disk is as large as it says.")
@click.option("--full", is_flag=True, help="Write all of the disk and read it back; nothing of what is on it is left.")
@_allow_large
@target_options(many=True)
@consent_options
@job_options
@json_option
@pass_state
def probe(
    state: State,
    choice: TargetChoice,
    full: bool,
    allow_large: bool,
    yes: bool,
    device_ids: Sequence[str],
    options: JobOptions,
) -> ExitCode:
    """Find counterfeit flash: write marked blocks all over a disk, read them back, and put back what was there.

    What is overwritten is kept on this machine until it is back. When the power fails or the disk is pulled out in
    between, probe it again: what was there is put back first.

    \b
    Examples:
      luxusb probe --device /dev/sdb
      luxusb probe --device /dev/sdb --full
      luxusb probe --device /dev/sdb --device /dev/sdc
    """
    from luxusb_cli.calls import Work
    from luxusb_cli.connection import Typed
    from luxusb_cli.probe import told, verdict

    given = {"mode": Typed("s", "full" if full else "quick")}
    if allow_large:
        given["allow_large"] = Typed("b", True)
    what = _Warned(
        Work.PROBE,
        given,
        N_("Everything on it will be lost.") if full else N_("What is on it comes back afterwards."),
        N_("erase it") if full else N_("probe it"),
        partial(told, state),
        verdict,
    )
    return _whole_disk(state, choice, yes, device_ids, options, what)


@click.command(short_help="Flush a disk and switch it off.")
@target_options()
@json_option
@pass_state
def eject(state: State, choice: TargetChoice) -> ExitCode:
    """Flush a disk and switch it off, so that it can be unplugged.

    \b
    Examples:
      luxusb eject --device /dev/sdb
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.targets import open_targets

        async with open_targets(client, choice) as (target,):
            await client.eject(target.device.path)
            if state.json:
                state.emit({"ejected": target.device.id})
            else:
                say(_("{device} can be unplugged.").format(device=target.name), "green")
        return ExitCode.DONE

    choice.check()
    if choice.image_file is not None:
        raise UsageError(_("An image file cannot be ejected"), todo=_("Name a disk with --device."))
    return run(state, body)


COMMANDS = (write_raw, restore, probe, eject)
