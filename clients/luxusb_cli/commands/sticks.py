"""`plan` and `create`: new sticks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from luxusb_cli import completion
from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import ExitCode, UsageError
from luxusb_cli.i18n import LANGUAGES, _, usual_language
from luxusb_cli.params import certificate_option, consent_options, target_options, to_size, to_sizes
from luxusb_cli.render import plan_text, say
from luxusb_cli.runner import JobOptions, job_options, resolve_images, run_jobs, say_started
from luxusb_cli.several import conclude_shares, tell_shares
from luxusb_cli.targets import TargetChoice

if TYPE_CHECKING:
    from pathlib import Path

    from luxusb_cli.client import Client
    from luxusb_cli.connection import Typed
    from luxusb_cli.plans import PlanInfo
    from luxusb_cli.targets import Target

F = TypeVar("F", bound=Callable[..., Any])


def _stick_options(command: F) -> F:
    @wraps(command)
    def wrapper(
        *args: Any,
        filesystem: str | None,
        companion: int | None,
        share: int | None,
        persistence: Sequence[tuple[str, int]],
        persistence_partition: int | None,
        label: str | None,
        menu_timeout: int | None,
        serial_console: bool,
        theme: str | None,
        forget: bool,
        menu_language: str | None,
        allow_large: bool,
        probe: bool | None,
        download_first: bool,
        no_keep: bool,
        **kwargs: Any,
    ) -> Any:
        from luxusb_cli.connection import Typed

        stick: dict[str, Typed] = {}
        if filesystem is not None:
            stick["filesystem"] = Typed("s", filesystem)
        if companion is not None:
            stick["companion"] = Typed("t", companion)
        if share is not None:
            stick["share"] = Typed("t", share)
        if persistence:
            stick["persistence"] = Typed("a{st}", dict(persistence))
        if persistence_partition is not None:
            stick["persistence_partition"] = Typed("t", persistence_partition)
        if label is not None:
            stick["label"] = Typed("s", label)
        if menu_timeout is not None:
            stick["timeout"] = Typed("u", menu_timeout)
        if serial_console:
            stick["serial_console"] = Typed("b", True)
        if theme is not None:
            stick["theme"] = Typed("s", theme)
        if forget:
            stick["remember"] = Typed("b", False)
        language = menu_language or usual_language()
        if language != "en":
            stick["language"] = Typed("s", language)
        if allow_large:
            stick["allow_large"] = Typed("b", True)
        if probe is not None:
            stick["probe"] = Typed("b", probe)
        if download_first:
            stick["download_first"] = Typed("b", True)
        if no_keep:
            stick["keep_images"] = Typed("b", False)
        return command(*args, stick=stick, **kwargs)

    decorated: Any = wrapper
    for option in (
        click.option(
            "--no-keep",
            is_flag=True,
            help="Do not keep what is downloaded on this machine: it passes through to the stick in a small window.",
        ),
        click.option(
            "--download-first",
            is_flag=True,
            help="Erase the disk when all images are downloaded, instead of writing them while they come.",
        ),
        click.option(
            "--probe/--no-probe",
            default=None,
            help="Look for counterfeit flash before the disk is erased, or do not; as it is configured if left out.",
        ),
        click.option("--allow-large", is_flag=True, help="Erase even a disk larger than a stick, or a hard disk."),
        click.option(
            "--menu-language",
            type=click.Choice(LANGUAGES),
            help="Language of the menu's fixed texts; that of this session if left out.",
        ),
        click.option("--forget", is_flag=True, help="Do not let the menu remember what was started last."),
        click.option("--theme", type=click.Choice(("luxusb", "none")), help="How the menu looks; luxusb if left out."),
        click.option("--serial-console", is_flag=True, help="Show the menu on the first serial port too."),
        click.option(
            "--menu-timeout",
            type=click.IntRange(0, 30),
            metavar="SECONDS",
            help="Time until the first image starts, 0 to 30.",
        ),
        click.option("--label", help="Label of the data partition."),
        click.option(
            "--share",
            callback=to_size,
            metavar="SIZE",
            help="Add an empty exFAT partition for files of your own, such as 4GiB.",
        ),
        click.option(
            "--persistence-partition",
            callback=to_size,
            metavar="SIZE",
            help="Add a partition for the changes of a system that looks for them on one only, such as Ubuntu.",
        ),
        click.option(
            "--persistence",
            multiple=True,
            callback=to_sizes,
            metavar="IMAGE=SIZE",
            help="Give an image room for changes that it keeps, such as ./my.iso=4GiB.",
        ),
        click.option(
            "--companion",
            callback=to_size,
            metavar="SIZE",
            help="Add an ext4 partition for images that exfat or fat32 cannot start.",
        ),
        click.option(
            "--filesystem",
            type=click.Choice(("ext4", "exfat", "fat32")),
            help="Filesystem of the data partition; ext4 if left out.",
        ),
    ):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


@click.command()
@click.argument("image_arguments", metavar="IMAGE...", nargs=-1, required=True, shell_complete=completion.images)
@target_options(many=True, size=True)
@_stick_options
@certificate_option
@json_option
@pass_state
def plan(
    state: State,
    image_arguments: Sequence[str],
    choice: TargetChoice,
    stick: dict[str, Typed],
    certificates: Sequence[Path],
) -> ExitCode:
    """Show what `create` would do, without touching the disk.

    IMAGE is a name of the catalogue (debian-live, ubuntu@24.04, fedora/workstation), image:SHA256 (also its first
    digits), or a file (./my.iso), which is imported.

    \b
    Examples:
      luxusb plan --device /dev/sdb debian-live ubuntu@24.04
      luxusb plan --image-file stick.img --size 8GiB ./my.iso
    """

    async def body(client: Client) -> ExitCode:
        async with AsyncExitStack() as stack:
            planned, targets = await _plan(
                state, client, stack, choice, image_arguments, stick, JobOptions(True, False), certificates
            )
            if state.json:
                state.emit({"plan": planned})
            else:
                plan_text(planned, [target.name for target in targets])
        return ExitCode.DONE

    choice.check()
    return run(state, body)


@click.command(short_help="Make a stick out of a disk or an image file.")
@click.argument("image_arguments", metavar="IMAGE...", nargs=-1, required=True, shell_complete=completion.images)
@target_options(many=True, size=True)
@_stick_options
@certificate_option
@consent_options
@job_options
@json_option
@pass_state
def create(
    state: State,
    image_arguments: Sequence[str],
    choice: TargetChoice,
    stick: dict[str, Typed],
    certificates: Sequence[Path],
    yes: bool,
    device_ids: Sequence[str],
    options: JobOptions,
) -> ExitCode:
    """Erase a disk or image file and make it a stick that starts every IMAGE.

    The plan is shown first, and the name of the disk has to be typed. IMAGE is a name of the catalogue (debian-live,
    ubuntu@24.04, fedora/workstation), image:SHA256 (also its first digits), or a file (./my.iso), which is imported.
    Images that are not stored yet are downloaded.

    Ctrl-C leaves the job running. An image file is written only while the command runs, so there Ctrl-C cancels.

    \b
    Examples:
      luxusb create --device /dev/sdb debian-live ubuntu@24.04
      luxusb create --device sdb ./my.iso --yes --device-id usb-Kingston_DT_001A
      luxusb create --image-file stick.img --size 8GiB debian-live
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.consent import ask_for_names, check_ids

        async with AsyncExitStack() as stack:
            planned, targets = await _plan(
                state, client, stack, choice, image_arguments, stick, options, certificates, device_ids=device_ids
            )
            check_ids(targets, device_ids)
            if not state.json:
                plan_text(planned, [target.name for target in targets])
            if not yes:
                await ask_for_names(targets, _("erase it"))
            target = targets[0]
            jobs = await run_jobs(state, client, [partial(client.create, planned.token)], options, target)
            document: dict[str, object] = {"plan": planned, "job": jobs[0]}
            if options.wait:
                tell_shares(state, jobs[0])
                conclude_shares(state, jobs[0], document)
            if state.json:
                state.emit(document)
            elif options.wait:
                say(
                    _("Done: {names} is ready, written and read back.").format(
                        names=", ".join(target.name for target in targets)
                    ),
                    "green",
                )
            else:
                say_started(jobs)
        return ExitCode.DONE

    from luxusb_cli.consent import check_possible

    choice.check()
    if choice.image_file is not None and not options.wait:
        raise UsageError(
            _("An image file needs this command to wait"),
            _("The daemon has the file only as long as the command runs."),
            _("Leave out --no-wait."),
        )
    if choice.devices or _holds_data(choice):
        check_possible(state, yes=yes, device_ids=device_ids, disks=bool(choice.devices))
    return run(state, body)


def _holds_data(choice: TargetChoice) -> bool:
    file = choice.image_file
    return file is not None and file.is_file() and file.stat().st_size > 0


async def _plan(
    state: State,
    client: Client,
    stack: AsyncExitStack,
    choice: TargetChoice,
    image_arguments: Sequence[str],
    stick: dict[str, Typed],
    options: JobOptions,
    certificates: Sequence[Path],
    *,
    device_ids: Sequence[str] = (),
) -> tuple[PlanInfo, list[Target]]:
    from luxusb_cli.connection import Typed
    from luxusb_cli.consent import check_ids
    from luxusb_cli.targets import open_targets

    wanted: dict[str, int] = getattr(stick.get("persistence"), "value", {})
    for name in wanted:
        if name not in image_arguments:
            raise UsageError(
                _("{image} is to get room for changes and is none of the images").format(image=name),
                _("--persistence takes IMAGE as it is named in the command."),
                _("Name it among the images, or leave the option out."),
            )
    targets = await stack.enter_async_context(open_targets(client, choice, create=True))
    check_ids(targets, device_ids)
    paths = [target.device.path for target in targets]
    if any(target.device.blocked_reason for target in targets):
        # the daemon's refusal, before a file is copied into its store for nothing
        await client.plan(paths, [], {key: value for key, value in stick.items() if key != "persistence"})
    references = await resolve_images(state, client, image_arguments, options)
    if wanted:
        sizes = {references[image_arguments.index(name)]: size for name, size in wanted.items()}
        stick = {**stick, "persistence": Typed("a{st}", sizes)}
    files = [stack.enter_context(path.open("rb")).fileno() for path in certificates]
    planned = await client.plan(paths, references, stick, files)
    return planned, targets


COMMANDS = (plan, create)
