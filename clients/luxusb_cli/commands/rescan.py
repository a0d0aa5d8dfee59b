"""`rescan`: images that somebody copied onto a stick by hand."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import ExitCode
from luxusb_cli.i18n import _, ngettext
from luxusb_cli.model import JobInfo
from luxusb_cli.params import target_options
from luxusb_cli.render import say
from luxusb_cli.results import RescanResult
from luxusb_cli.runner import JobOptions, job_options, one_job
from luxusb_cli.targets import TargetChoice
from luxusb_cli.text import clean
from luxusb_cli.units import format_size

if TYPE_CHECKING:
    from luxusb_cli.client import Client
    from luxusb_cli.targets import Target


@click.command(short_help="Give image files that were copied onto a stick by hand their entries.")
@target_options()
@click.option("--all", "thorough", is_flag=True, help="Read the files again, too, that look untouched.")
@job_options
@json_option
@pass_state
def rescan(state: State, choice: TargetChoice, thorough: bool, options: JobOptions) -> ExitCode:
    """Make the menu of a stick fit the image files that lie in the directory iso on it.

    Files that were copied there by hand are read, recognised and get an entry; entries whose file is gone are taken
    out, those whose file was replaced are made anew. No file is written or deleted.

    \b
    Examples:
      luxusb rescan --device /dev/sdb
      luxusb rescan --image-file stick.img --all
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.calls import Work
        from luxusb_cli.connection import Typed
        from luxusb_cli.targets import open_targets

        async with open_targets(client, choice) as (target,):
            asked = {"thorough": Typed("b", True)} if thorough else {}
            start = partial(client.work_on, target.device.path, Work.RESCAN, asked)
            return await one_job(state, client, target, start, options, partial(_print, target))

    choice.check()
    return run(state, body)


def _print(target: Target, job: JobInfo) -> None:
    result = RescanResult.from_wire(job.result)
    for head, style, images in (
        (_("new in the menu:"), "green", result.added),
        (_("changed, entry made anew:"), "yellow", result.changed),
    ):
        if images:
            say(head, style)
        for image in images:
            line = f"  {clean(image.name)}  {clean(image.title)} ({format_size(image.size)})"
            if image.renamed_from:
                line += " " + _("was called {name}").format(name=clean(image.renamed_from))
            say(line)
    if result.removed:
        say(_("out of the menu:"), "yellow")
    for name in result.removed:
        say(f"  {clean(name)}")
    if result.skipped:
        say(_("left as they are, without an entry:"), "yellow")
    for file in result.skipped:
        say(f"  {clean(file.name)}: {clean(file.reason)}" if file.name else f"  {clean(file.reason)}")
    if not (result.added or result.changed or result.removed):
        say(_("The menu of {target} fits what is on it.").format(target=target.name), "green")
        return
    count = len(result.images)
    say(
        ngettext(
            "The menu of {target} has {count} image now.", "The menu of {target} has {count} images now.", count
        ).format(target=target.name, count=count),
        "green",
    )


COMMANDS = (rescan,)
