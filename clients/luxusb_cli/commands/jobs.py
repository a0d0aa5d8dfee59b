"""`jobs`, `watch`, `pause`, `resume`, `cancel`, `modify`: what the daemon is doing."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from luxusb_cli import completion
from luxusb_cli.context import State, json_option, pass_state, run, verbose_option
from luxusb_cli.errors import FREEDESKTOP, LUXUSB, CliError, DaemonError, ExitCode, UsageError
from luxusb_cli.i18n import N_, _, ngettext
from luxusb_cli.model import JobInfo, JobState, job_number
from luxusb_cli.params import throttle_options, to_job
from luxusb_cli.progress import amount, doing, mirror_line
from luxusb_cli.render import date, say, table
from luxusb_cli.runner import conclude
from luxusb_cli.text import clean, did_you_mean, join_sentences

if TYPE_CHECKING:
    from luxusb_cli.client import Client


@click.command()
@click.option("--unfinished", is_flag=True, help="Only jobs that wait, run or are paused.")
@click.option("--all-users", is_flag=True, help="Also other users' jobs; needs the right to manage them.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most the N newest.")
@verbose_option
@json_option
@pass_state
def jobs(state: State, unfinished: bool, all_users: bool, limit: int | None) -> ExitCode:
    """List the jobs, newest first.

    \b
    Examples:
      luxusb jobs --unfinished
      luxusb jobs --limit 5 --json
    """

    async def body(client: Client) -> ExitCode:
        found = await client.jobs(unfinished=unfinished, all_users=all_users, limit=limit)
        if state.json:
            state.emit({"jobs": found})
        elif not found:
            say(_("No job runs or waits.") if unfinished else _("There is no job."))
        else:
            table(
                (_("JOB"), _("OPERATION"), _("WHAT"), _("STATE"), _("DONE"), _("STARTED")), [_row(job) for job in found]
            )
            for job in found if state.verbose else ():
                _print_mirrors(job)
            _print_pauses(found)
        return ExitCode.DONE

    return run(state, body)


def _print_pauses(found: Sequence[JobInfo]) -> None:
    """What a person can do about jobs that nobody has paused."""
    for job in found:
        if job.state is JobState.PAUSED and job.details.pause_reason == "space":
            say(_("job {id}: {why}").format(id=job.id, why=clean(job.details.pause_message)), "yellow")
    before = sum(job.state is JobState.PAUSED and job.details.pause_reason == "restart" for job in found)
    if before:
        text = ngettext(
            "{count} download from before a restart waits: `luxusb resume --all` goes on with it, `luxusb cancel JOB`"
            " drops it.",
            "{count} downloads from before a restart wait: `luxusb resume --all` goes on with them, `luxusb cancel JOB`"
            " drops one.",
            before,
        )
        say(text.format(count=before), "yellow")


def _print_mirrors(job: JobInfo) -> None:
    if job.details.mirrors:
        say(_("job {id} is served by:").format(id=job.id))
    for mirror in job.details.mirrors:
        say(f"  {mirror_line(mirror)}")


def _row(job: JobInfo) -> tuple[str, ...]:
    started = date(job.details.started or job.details.created)
    return str(job.id), job.operation, job.label, doing(job), amount(job), started


@click.command(short_help="Show the progress of jobs until they end.")
@click.argument("job", callback=to_job, required=False, shell_complete=completion.jobs(unfinished=False))
@click.option("--cancel-on-interrupt", is_flag=True, help="Let Ctrl-C cancel the job; without it the job goes on.")
@verbose_option
@json_option
@pass_state
def watch(state: State, job: str | None, cancel_on_interrupt: bool) -> ExitCode:
    """Show how JOB, or everything that is unfinished, gets on, until it ends.

    With --json there is a document a line: {"event": "job" | "finished" | "daemon" | "note", ...}.

    \b
    Examples:
      luxusb watch
      luxusb watch 5
      luxusb watch 5 --json | jq .job.progress
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.progress import reporting
        from luxusb_cli.watch import JobSession

        with reporting(state, json_lines=True) as reporter:
            async with JobSession(client, reporter, cancel_on_interrupt=cancel_on_interrupt) as session:
                roots = [await _known(client, job)] if job is not None else await _unfinished(client)
                ended = await session.follow(roots)
        if not roots and not state.json:
            say(_("No job runs or waits."))
        conclude(ended, {"event": "error"})
        return ExitCode.DONE

    return run(state, body)


async def _unfinished(client: Client) -> list[str]:
    found = await client.jobs(unfinished=True)
    paths = {job.path for job in found}
    return [job.path for job in reversed(found) if job.parent not in paths]


async def _known(client: Client, path: str) -> str:
    """The path, or an error that names the jobs there are."""
    try:
        await client.job(path)
    except DaemonError as error:
        raise await _suggesting(client, error, path) from error
    return path


async def _suggesting(client: Client, error: DaemonError, path: str) -> CliError:
    if error.name not in {FREEDESKTOP + "UnknownObject", FREEDESKTOP + "UnknownMethod"}:
        return error
    number = str(job_number(path))
    known = [str(job.id) for job in await client.jobs()]
    return CliError(
        _("There is no job {number}").format(number=number),
        "",
        join_sentences(did_you_mean(number, known), _("See the jobs with `luxusb jobs`.")),
        name=FREEDESKTOP + "UnknownObject",
    )


async def _act(state: State, client: Client, path: str, act: Coroutine[Any, Any, None], done: str) -> ExitCode:
    try:
        await act
    except DaemonError as error:
        raise await _suggesting(client, error, path) from error
    job = await client.job(path)
    if state.json:
        state.emit({"job": asdict(job)})
    else:
        say(done.format(id=job.id, label=clean(job.label)))
    return ExitCode.DONE


@click.command()
@click.argument("job", callback=to_job, shell_complete=completion.jobs(unfinished=True))
@json_option
@pass_state
def pause(state: State, job: str) -> ExitCode:
    """Stop JOB for now; what it has is kept.

    \b
    Examples:
      luxusb pause 5
    """

    async def body(client: Client) -> ExitCode:
        return await _act(state, client, job, client.pause(job), _("Job {id} ({label}) is paused."))

    return run(state, body)


@click.command()
@click.argument("job", callback=to_job, required=False, shell_complete=completion.jobs(unfinished=True))
@click.option("--all", "everything", is_flag=True, help="All your paused jobs.")
@json_option
@pass_state
def resume(state: State, job: str | None, everything: bool) -> ExitCode:
    """Go on with JOB, which was paused.

    \b
    Examples:
      luxusb resume 5
      luxusb resume --all
    """
    if (job is None) is not everything:
        raise UsageError(_("Nothing to resume") if job is None else _("--all goes without a job"), todo=_(RESUME_WHAT))

    async def body(client: Client) -> ExitCode:
        done = _("Job {id} ({label}) goes on.")
        if job is not None:
            return await _act(state, client, job, client.resume(job), done)
        return await _resume_all(state, client, done)

    return run(state, body)


RESUME_WHAT = N_("Give a job, or --all for all that are paused.")


async def _resume_all(state: State, client: Client, done: str) -> ExitCode:
    found = await client.jobs(unfinished=True)
    paths = {job.path for job in found}
    resumed = []
    # the oldest first, and children by their parents
    for job in reversed(found):
        if job.state is not JobState.PAUSED or job.parent in paths:
            continue
        try:
            await client.resume(job.path)
        except DaemonError as error:
            # it was cancelled, or went on by itself, since the list was made
            if error.name != LUXUSB + "WrongJobState":
                raise
            continue
        resumed.append(await client.job(job.path))
    if state.json:
        state.emit({"jobs": resumed})
    elif not resumed:
        say(_("No job is paused."))
    for job in () if state.json else resumed:
        say(done.format(id=job.id, label=clean(job.label)))
    return ExitCode.DONE


@click.command()
@click.argument("job", callback=to_job, shell_complete=completion.jobs(unfinished=True))
@click.option("--keep-partial", is_flag=True, help="Keep downloaded bytes for a later download of the same image.")
@json_option
@pass_state
def cancel(state: State, job: str, keep_partial: bool) -> ExitCode:
    """End JOB.

    \b
    Examples:
      luxusb cancel 5
      luxusb cancel 5 --keep-partial
    """

    async def body(client: Client) -> ExitCode:
        return await _act(
            state,
            client,
            job,
            client.cancel(job, keep_partial=keep_partial),
            _("Job {id} ({label}) is being cancelled."),
        )

    return run(state, body)


@click.command()
@click.argument("job", callback=to_job, shell_complete=completion.jobs(unfinished=True))
@throttle_options
@json_option
@pass_state
def modify(state: State, job: str, priority: int | None, limit_rate: int | None) -> ExitCode:
    """Change the priority or the rate limit of JOB.

    \b
    Examples:
      luxusb modify 5 --priority 10
      luxusb modify 5 --limit-rate 500KiB
    """
    if priority is None and limit_rate is None:
        raise UsageError(_("Nothing to change"), todo=_("Give --priority, --limit-rate or both."))

    async def body(client: Client) -> ExitCode:
        return await _act(
            state,
            client,
            job,
            client.modify(job, priority=priority, bandwidth=limit_rate),
            _("Job {id} ({label}) is changed."),
        )

    return run(state, body)


COMMANDS = (jobs, watch, pause, resume, cancel, modify)
