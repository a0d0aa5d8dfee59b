"""Several disks at once: what came of each, and how to do the rest again."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from luxusb_cli.errors import CliError, ExitCode
from luxusb_cli.i18n import N_, _, ngettext
from luxusb_cli.model import DeviceShare, JobInfo, JobState
from luxusb_cli.render import say, table
from luxusb_cli.runner import JobOptions, conclude, one_job, run_jobs, say_started
from luxusb_cli.text import clean

if TYPE_CHECKING:
    from luxusb_cli.calls import JobStart
    from luxusb_cli.client import Client
    from luxusb_cli.context import State
    from luxusb_cli.targets import Target

OUTCOMES = {
    JobState.SUCCEEDED: N_("ready"),
    JobState.FAILED: N_("failed"),
    JobState.CANCELLED: N_("cancelled"),
}
_STYLES = {JobState.SUCCEEDED: "green", JobState.FAILED: "red", JobState.CANCELLED: "yellow"}
_VALUED = ("--device", "--device-id")


def again(arguments: Sequence[str], ids: Sequence[str]) -> str:
    """The command line `arguments` for the disks with these ids alone, as it is typed in a shell.

    A disk is named by its id, since one that is plugged in again may be another node.
    """
    kept: list[str] = []
    place: int | None = None
    named = False
    words = iter(arguments)
    for word in words:
        if word == "--":
            kept += [word, *words]
            break
        option = next((name for name in _VALUED if word == name or word.startswith(f"{name}=")), "")
        if not option:
            kept.append(word)
            continue
        named |= option == "--device-id"
        place = len(kept) if place is None else place
        if word == option:
            next(words, None)
    chosen = [part for id_ in ids for part in ("--device", id_, *(("--device-id", id_) if named else ()))]
    at = len(kept) if place is None else place
    return shlex.join(["luxusb", *kept[:at], *chosen, *kept[at:]])


def tell_shares(state: State, job: JobInfo) -> None:
    """A table of what came of each disk of a job on several; nothing for one disk or as JSON."""
    shares = job.shares
    if shares and not state.json:
        print_outcomes([(share.name, share.id, share.state) for share in shares])


def print_outcomes(rows: Sequence[tuple[str, str, JobState]]) -> None:
    """The name and the id of each disk, and what came of it."""
    table(
        (_("DISK"), _("ID"), _("STATE")),
        [(name, id_, outcome(state)) for name, id_, state in rows],
        [_STYLES.get(state, "") for _name, _id, state in rows],
    )


def outcome(state: JobState) -> str:
    """What came of a disk, in a word."""
    return _(OUTCOMES[state]) if state in OUTCOMES else _(state.value)


def conclude_shares(state: State, job: JobInfo, document: dict[str, object]) -> None:
    """As `runner.conclude`, for a job on several disks: says how those that failed are done again.

    Raises:
        CliError: it failed or was cancelled, on some disks or all.
    """
    try:
        conclude([job], document)
    except CliError as error:
        left = [share for share in job.shares if share.state is not JobState.SUCCEEDED]
        if left:
            error.why = why(job.shares) or error.why
            command = again(state.arguments, [share.id for share in left])
            error.todo = ngettext(
                "When the disk is in order: {command}", "When the disks are in order: {command}", len(left)
            ).format(command=command)
            error.document = {**error.document, "again": command}
        raise


def why(shares: Sequence[DeviceShare]) -> str:
    """Why each disk that failed did, a line for each."""
    return "\n".join(f"{share.name}: {share.error_message}" for share in shares if share.error_message)


@dataclass
class _Part:
    """One of several disks on which the same is done."""

    target: Target
    path: str = ""
    """Of its job; empty where that could not be started."""
    job: JobInfo | None = None
    error: CliError | None = None

    @property
    def state(self) -> JobState:
        if self.error is None:
            return JobState.SUCCEEDED
        return JobState.CANCELLED if self.error.code is ExitCode.CANCELLED else JobState.FAILED


async def each_job(
    state: State,
    client: Client,
    targets: Sequence[Target],
    start: Callable[[Target], JobStart],
    options: JobOptions,
    *,
    judge: Callable[[Target, JobInfo], CliError | None] = lambda _target, _job: None,
    show: Callable[[Target, JobInfo], None] | None = None,
) -> list[JobInfo]:
    """Do the same on several disks, a job for each, and tell what came of each.

    Args:
        state: the global options.
        client: the daemon.
        targets: the disks, more than one.
        start: starts the job of one.
        options: the command's.
        judge: says what is wrong although the job succeeded.
        show: prints what there is to say of one that is in order.

    Raises:
        CliError: some failed (PARTLY), or all.
    """
    from luxusb_cli.watch import failure

    parts = [_Part(target) for target in targets]

    def starting(part: _Part) -> JobStart:
        async def begin() -> str:
            try:
                part.path = await start(part.target)()
            except CliError as error:
                if error.code is not ExitCode.FAILED:
                    # nobody may, or nobody is there: for the others it is the same
                    raise
                part.error = error
            return part.path

        return begin

    jobs = await run_jobs(state, client, [starting(part) for part in parts], options)
    for part in parts:
        part.job = next((job for job in jobs if job.path == part.path), None)
        if options.wait and part.job is not None:
            part.error = failure(part.job) or judge(part.target, part.job)
    document: dict[str, object] = {"jobs": jobs}
    if not state.json:
        _tell(parts, options, show)
    bad = [part for part in parts if part.error is not None]
    if bad:
        raise _failed(state, parts, bad, document)
    if state.json:
        state.emit(document)
    return jobs


def _tell(parts: Sequence[_Part], options: JobOptions, show: Callable[[Target, JobInfo], None] | None) -> None:
    if not options.wait:
        say_started([part.job for part in parts if part.job is not None])
        return
    for part in parts:
        if show is not None and part.job is not None and part.error is None:
            say(part.target.name, "bold")
            show(part.target, part.job)
    print_outcomes([(part.target.name, part.target.device.id, part.state) for part in parts])


def _failed(state: State, parts: Sequence[_Part], bad: Sequence[_Part], document: dict[str, object]) -> CliError:
    errors = [part.error for part in bad if part.error is not None]
    codes = {error.code for error in errors}
    code = ExitCode.PARTLY if len(bad) < len(parts) else codes.pop() if len(codes) == 1 else ExitCode.FAILED
    ids = [part.target.device.id for part in bad]
    lines = [f"{part.target.name}: {part.error.why or part.error.what}" for part in bad if part.error is not None]
    command = again(state.arguments, ids)
    return CliError(
        _("{bad} of {all} disks failed").format(bad=len(bad), all=len(parts)),
        "\n".join(lines),
        ngettext("When the disk is in order: {command}", "When the disks are in order: {command}", len(bad)).format(
            command=command
        ),
        name=errors[0].name if len({error.name for error in errors}) == 1 else "org.luxusb.Error.PartlyFailed",
        code=code,
        document={**document, "again": command},
    )


async def jobs_on(
    state: State,
    client: Client,
    targets: Sequence[Target],
    start: Callable[[Target], JobStart],
    options: JobOptions,
    done: str,
    *,
    tell: Callable[[JobInfo], None] = lambda _job: None,
) -> ExitCode:
    """Do the same on one disk or several, and say `done` of one, with its name in the place of {target}.

    What `tell` prints of a job that succeeded is the same for each.
    """
    if len(targets) > 1:
        jobs = await each_job(state, client, targets, start, options)
        if options.wait and not state.json:
            tell(jobs[0])
        return ExitCode.DONE
    (target,) = targets

    def show(job: JobInfo) -> None:
        tell(job)
        say(done.format(target=target.name), "green")

    return await one_job(state, client, target, start(target), options, show)


def say_kept(names: Sequence[str]) -> None:
    """Say which images had to be kept, or will have to be, although the user wanted none."""
    if names:
        them = ", ".join(map(clean, names))
        say(
            _("{names}: stays on this machine all the same; it cannot be checked otherwise.").format(names=them),
            "yellow",
        )
