"""Running jobs for a command: start, follow, and say how they ended."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from luxusb_cli.context import State, verbose_option
from luxusb_cli.errors import CliError, ExitCode, UsageError
from luxusb_cli.i18n import _
from luxusb_cli.model import JobInfo
from luxusb_cli.render import say
from luxusb_cli.text import clean

if TYPE_CHECKING:
    from pathlib import Path

    from luxusb_cli.beside import Beside
    from luxusb_cli.calls import JobStart
    from luxusb_cli.client import Client
    from luxusb_cli.references import LocalFile
    from luxusb_cli.targets import Target

NAMELESS = "imported.iso"
"""What an image from standard input is called when nobody says."""
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class JobOptions:
    """What --no-wait and --cancel-on-interrupt say."""

    wait: bool
    cancel_on_interrupt: bool


def job_options(command: F) -> F:
    """Add --no-wait and --cancel-on-interrupt to a command, which gets them as `options`."""

    @wraps(command)
    def wrapper(*args: Any, no_wait: bool, cancel_on_interrupt: bool, **kwargs: Any) -> Any:
        return command(*args, options=JobOptions(not no_wait, cancel_on_interrupt), **kwargs)

    options = (
        click.option(
            "--cancel-on-interrupt", is_flag=True, help="Let Ctrl-C cancel the job; without it the job goes on."
        ),
        click.option("--no-wait", is_flag=True, help="Print the job and return; see it with `luxusb watch`."),
    )
    decorated: Any = wrapper
    for option in options:
        decorated = option(decorated)
    return verbose_option(decorated)  # type: ignore[no-any-return]


async def run_jobs(
    state: State, client: Client, starts: Sequence[JobStart], options: JobOptions, target: Target | None = None
) -> list[JobInfo]:
    """Start jobs and, unless --no-wait, follow them to their end.

    Args:
        state: the global options.
        client: the daemon.
        starts: what starts each job, and gives its path, or nothing where it took the refusal itself.
        options: the command's.
        target: what the jobs write to; kept from the moment a job works on it.

    Raises:
        CliError: a job could not be started, or the watching ended early. The end of a job is not judged here.
    """
    from luxusb_cli.progress import reporting
    from luxusb_cli.watch import JobSession

    image_target = target is not None and target.file is not None
    if image_target and not options.wait:
        raise UsageError(
            _("An image file needs this command to wait"),
            _("The daemon has the file only as long as the command runs."),
            _("Leave out --no-wait."),
        )
    with reporting(state) as reporter:
        async with JobSession(
            client, reporter, cancel_on_interrupt=options.cancel_on_interrupt, image_target=image_target
        ) as session:
            paths: list[str] = []
            refused: CliError | None = None
            for start in starts:
                try:
                    if path := await session.start(start):
                        paths.append(path)
                except CliError as error:
                    # Those already started go on and are followed; the refusal is told after them.
                    refused = refused or error
                    if not paths or error.code is not ExitCode.FAILED:
                        break
                else:
                    if target is not None:
                        target.keep = True
            if options.wait and paths:
                jobs = await session.follow(paths)
            else:
                jobs = [await client.job(path) for path in paths]
    if refused is not None:
        refused.document = {**refused.document, "jobs": jobs} if jobs else refused.document
        raise refused
    return jobs


def conclude(jobs: Sequence[JobInfo], document: dict[str, object]) -> None:
    """Raise when a job failed or was cancelled; `document` goes along for JSON."""
    from luxusb_cli.watch import failure

    errors = [error for error in map(failure, jobs) if error is not None]
    if not errors:
        return
    worst = next((error for error in errors if error.code is not ExitCode.CANCELLED), errors[0])
    worst.document = document
    if len(errors) > 1:
        others = [error.what for error in errors if error is not worst]
        worst.why = "\n".join(part for part in (worst.why, *others) if part)
    raise worst


def say_started(jobs: Sequence[JobInfo]) -> None:
    """Name the jobs that were started and how to come back to them."""
    for job in jobs:
        print(
            _("Job {id} started: {about}. Watch it with `luxusb watch {id}`.").format(id=job.id, about=clean(job.about))
        )


async def import_file(
    state: State, client: Client, image: LocalFile, options: JobOptions, *, keep_packed: bool = False
) -> str:
    """Import a local file and wait for the end; the `image:` reference. See `Client.import_image` for `keep_packed`."""
    from luxusb_cli.results import StoredResult

    waiting = JobOptions(True, options.cancel_on_interrupt)
    job = await start_import(state, client, image.path, waiting, keep_packed=keep_packed)
    conclude([job], {"job": job})
    return StoredResult.from_wire(job.result).image


async def start_import(
    state: State,
    client: Client,
    path: Path | None,
    options: JobOptions,
    *,
    name: str = "",
    sha256: str = "",
    size: int = 0,
    beside: Beside | None = None,
    keep_packed: bool = False,
) -> JobInfo:
    """Import a local file under `name`, or its own; without a path what comes in on standard input.

    What comes through a pipe comes once: Ctrl-C, which ends its writer too, then cancels the job.
    """
    from luxusb_cli.targets import open_source

    fd, once = open_source(path)
    shown = name or (NAMELESS if path is None else os.fsencode(path.name).decode(errors="replace"))
    options = JobOptions(options.wait, options.cancel_on_interrupt or once)

    async def start() -> str:
        return await client.import_image(fd, shown, sha256=sha256, size=size, beside=beside, keep_packed=keep_packed)

    try:
        (job,) = await run_jobs(state, client, [start], options)
    finally:
        os.close(fd)
    return job


async def resolve_images(
    state: State, client: Client, arguments: Sequence[str], options: JobOptions, *, keep_packed: bool = False
) -> list[str]:
    """The references of IMAGE arguments, in their order; local files are imported first.

    Raises:
        CliError: one is unknown, or its import failed.
    """
    from luxusb_cli.references import Catalogued, Stored, check_catalogued, classify, complete_stored

    images = [classify(argument) for argument in arguments]
    await check_catalogued(client, images)
    stored = iter(await complete_stored(client, [image for image in images if isinstance(image, Stored)]))
    references: list[str] = []
    for image in images:
        if isinstance(image, Catalogued):
            references.append(image.reference)
        elif isinstance(image, Stored):
            references.append(next(stored))
        else:
            references.append(await import_file(state, client, image, options, keep_packed=keep_packed))
    return references


async def one_job(
    state: State,
    client: Client,
    target: Target,
    start: JobStart,
    options: JobOptions,
    show: str | Callable[[JobInfo], None],
) -> ExitCode:
    """Run one job on a target and tell how it ended: with a line, or by what `show` prints, or as a JSON document."""
    (job,) = await run_jobs(state, client, [start], options, target)
    document: dict[str, object] = {"job": job}
    if options.wait:
        conclude([job], document)
    if state.json:
        state.emit(document)
    elif not options.wait:
        say_started([job])
    elif isinstance(show, str):
        say(show, "green")
    else:
        show(job)
    return ExitCode.DONE
