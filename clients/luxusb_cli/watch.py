"""Following jobs to their end: through Ctrl-C, and through the daemon going and coming back."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from types import TracebackType
from typing import Protocol, Self, TypeVar

from luxusb_cli.calls import JOB, JobStart
from luxusb_cli.client import Client
from luxusb_cli.connection import Disconnected, Event, OwnerChanged, Signal
from luxusb_cli.errors import (
    CLIENT,
    CancelledError,
    CliError,
    DaemonError,
    ExitCode,
    InterruptedWaitError,
    NoDaemonError,
    exit_code,
)
from luxusb_cli.i18n import _
from luxusb_cli.model import JobInfo, JobState, job_number
from luxusb_cli.wire import Wire, wire_of

T = TypeVar("T")
BACK_WITHIN = 30.0
"""Seconds for which a daemon that went away is waited for."""

Tree = Sequence[tuple[int, JobInfo]]
"""Jobs with their depth, each after the one that asked for it."""


class Reporter(Protocol):
    """Is told how the jobs get on."""

    def show(self, tree: Tree, changed: JobInfo, /) -> None:
        """One job, `changed`, is different."""

    def daemon(self, *, lost: bool) -> None:
        """The daemon went, or is back."""

    def note(self, message: str, /) -> None:
        """Something else the user should know."""


class _InterruptError(Exception):
    """Ctrl-C."""


class JobSession:
    """Starts jobs and follows them; hears the daemon's signals from before the start, so that no end is missed.

    With `cancel_on_interrupt`, Ctrl-C cancels the jobs and waits for their end (a second one gives up waiting);
    otherwise it ends the session and leaves them running. `image_target` says that the jobs work on an image file,
    which the daemon has only as long as this connection lasts: Ctrl-C then cancels too, and a daemon that goes away
    ends the session.
    """

    def __init__(
        self,
        client: Client,
        reporter: Reporter,
        *,
        cancel_on_interrupt: bool = False,
        image_target: bool = False,
        back_within: float = BACK_WITHIN,
    ) -> None:
        self._client = client
        self._reporter = reporter
        self._cancel = cancel_on_interrupt or image_target
        self._image_target = image_target
        self._back_within = back_within
        self._interrupted = asyncio.Event()
        self._cancelling = False
        self._roots: list[str] = []
        self._jobs: dict[str, JobInfo] = {}
        self._looked: dict[str, int] = {}
        """When each job was last looked at: signals from before that are old news."""
        self._stack = ExitStack()
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._events = self._stack.enter_context(self._client.events())
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupted.set)
        self._stack.callback(loop.remove_signal_handler, signal.SIGINT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    async def start(self, begin: JobStart) -> str:
        """Start a job; its path.

        Raises:
            InterruptedWaitError: Ctrl-C came before the daemon answered.
        """
        try:
            return await self._unless_interrupted(begin())
        except _InterruptError:
            raise InterruptedWaitError(
                _("Interrupted before the daemon answered"), _("See with `luxusb jobs` whether the job was started.")
            ) from None

    async def follow(self, roots: Sequence[str]) -> list[JobInfo]:
        """Wait for the end of the jobs with these paths; how they ended.

        Raises:
            InterruptedWaitError: Ctrl-C; the jobs go on.
            NoDaemonError: the daemon went and did not come back, or the bus went.
            CliError: the daemon went, and the image file with it.
        """
        self._roots = list(dict.fromkeys(roots))
        look = True
        while look or not all(path in self._jobs and self._jobs[path].state.finished for path in self._roots):
            try:
                await self._unless_interrupted(self._poll() if look else self._step())
                look = False
            except _InterruptError:
                await self._on_interrupt()
                # What was interrupted may have been half done.
                look = True
        return [self._jobs[path] for path in self._roots]

    async def _unless_interrupted(self, work: Awaitable[T]) -> T:
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._interrupted.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            self._interrupted.clear()
            raise _InterruptError
        finally:
            for waiting in (task, stop):
                waiting.cancel()
            await asyncio.gather(task, stop, return_exceptions=True)

    async def _on_interrupt(self) -> None:
        if not self._cancel or self._cancelling:
            raise self._stopped()
        self._cancelling = True
        if self._image_target:
            self._reporter.note(_("An image file is written only while this command runs: cancelling."))
        else:
            self._reporter.note(_("Cancelling."))
        try:
            await self._unless_interrupted(self._cancel_roots())
        except _InterruptError:
            raise self._stopped() from None

    async def _cancel_roots(self) -> None:
        for path in self._roots:
            job = self._jobs.get(path)
            if job is not None and job.state.finished:
                continue
            try:
                await self._client.cancel(path, keep_partial=True)
            except DaemonError as error:
                if error.code is ExitCode.NO_DAEMON:
                    raise
                # It may have ended a moment ago, which the next look at it shows.
                self._reporter.note(str(error))

    def _stopped(self) -> InterruptedWaitError:
        numbers = [str(job_number(path)) for path in self._roots]
        one = len(numbers) == 1
        return InterruptedWaitError(
            _("Stopped watching; job {number} goes on").format(number=numbers[0])
            if one
            else _("Stopped watching; jobs {names} go on").format(names=", ".join(numbers)),
            _("Come back with `luxusb watch {number}`.").format(number=numbers[0])
            if one
            else _("Come back with `luxusb watch`."),
            {"jobs": [asdict(job) for job in self._jobs.values() if job.path in self._roots]},
        )

    async def _step(self) -> None:
        await self._handle(await self._events.get())

    async def _handle(self, event: Event) -> None:
        match event:
            case Disconnected():
                raise NoDaemonError(
                    _("The connection to the bus was lost"),
                    _("The jobs may go on."),
                    self._come_back(_("Once the bus is back, go on watching with `{command}`.")),
                )
            case OwnerChanged(owner=""):
                await self._await_daemon()
            case OwnerChanged():
                await self._poll()
            case Signal():
                await self._on_signal(event)

    async def _on_signal(self, event: Signal) -> None:
        match f"{event.interface}.{event.member}", list(event.body):
            case "org.freedesktop.DBus.ObjectManager.InterfacesAdded", [str(path), dict(interfaces)]:
                if JOB in interfaces and self._is_news(str(path), event):
                    self._adopt(JobInfo.from_wire(path, wire_of(interfaces[JOB], JOB)))
            case "org.freedesktop.DBus.ObjectManager.InterfacesRemoved", [str(path), *_]:
                if path in self._roots:
                    await self._poll()
            case _ if not self._is_news(event.path, event):
                pass
            case "org.freedesktop.DBus.Properties.PropertiesChanged", [str(interface), dict(changed), list(invalid)]:
                if interface == JOB:
                    await self._change(event.path, changed)
                    if invalid and event.path in self._jobs:
                        await self._poll()
            case "org.luxusb.Job.ProgressChanged", [progress, done, total, rate, stage]:
                figures = {"Progress": progress, "BytesDone": done, "BytesTotal": total, "Rate": rate, "Stage": stage}
                await self._change(event.path, figures)
            case "org.luxusb.Job.Finished", [state, error_name, message, result]:
                ended = {"State": state, "ErrorName": error_name, "ErrorMessage": message, "Result": result}
                await self._change(event.path, ended)
            case _:
                pass

    async def _poll(self) -> None:
        try:
            for path in self._roots:
                job = await self._client.job(path)
                self._looked[path] = self._client.answered
                self._put(job)
            if any(not self._jobs[path].state.finished for path in self._roots):
                # Newest first in the answer; parents are older than their children.
                unfinished = await self._client.jobs(unfinished=True)
                for job in reversed(unfinished):
                    self._looked[job.path] = self._client.answered
                    self._adopt(job)
        except DaemonError as error:
            # When the daemon was there before, its going is in the queue of events, and is dealt with there.
            if exit_code(error.name) is not ExitCode.NO_DAEMON or not self._client.daemon_seen:
                raise

    async def _await_daemon(self) -> None:
        if self._image_target:
            raise CliError(
                _("The image file was not finished"),
                _("The daemon went away, and the image file as a target went with it."),
                _("Run the command again."),
                name=CLIENT + "TargetGone",
            )
        self._reporter.daemon(lost=True)
        try:
            async with asyncio.timeout(self._back_within):
                while True:
                    match await self._events.get():
                        case OwnerChanged(owner=owner) if owner:
                            break
                        case Disconnected() as gone:
                            await self._handle(gone)
                        case _:
                            pass
        except TimeoutError:
            raise NoDaemonError(
                _("The daemon went away and did not come back"),
                _("It was waited for {seconds:.0f} seconds. Jobs are kept and go on with the daemon.").format(
                    seconds=self._back_within
                ),
                self._come_back(
                    _("Look at `systemctl status luxusbd`; when it runs again, go on watching with `{command}`.")
                ),
            ) from None
        self._reporter.daemon(lost=False)
        await self._poll()

    def _come_back(self, advice: str) -> str:
        number = str(job_number(self._roots[0])) if len(self._roots) == 1 else ""
        return advice.format(command=f"luxusb watch {number}".strip())

    def _adopt(self, job: JobInfo) -> None:
        if job.path in self._jobs or job.parent in self._jobs:
            self._put(job)

    def _is_news(self, path: str, event: Signal) -> bool:
        return event.order > self._looked.get(path, 0)

    async def _change(self, path: str, changed: Wire) -> None:
        job = self._jobs.get(path)
        if job is None or job.state.finished:
            return
        fresh = job.updated(changed)
        if fresh.state.finished:
            fresh = await self._final(fresh)
        self._put(fresh)

    async def _final(self, job: JobInfo) -> JobInfo:
        """The job with its last figures, which are not told together with its end."""
        try:
            last = await self._client.job(job.path)
        except CliError:
            # The end is known; a daemon that is gone by now is dealt with when its going is heard.
            return job
        return last if last.state.finished else job

    def _put(self, job: JobInfo) -> None:
        before = self._jobs.get(job.path)
        if before == job or (before is not None and before.state.finished):
            return
        self._jobs[job.path] = job
        self._reporter.show(order(self._jobs, self._roots), job)


def order(jobs: dict[str, JobInfo], roots: Sequence[str]) -> Tree:
    """The jobs that come from `roots`, each after the one that asked for it, with their depth."""
    found: list[tuple[int, JobInfo]] = []
    seen: set[str] = set()

    def visit(path: str, depth: int) -> None:
        if path in seen or path not in jobs:
            return
        seen.add(path)
        found.append((depth, jobs[path]))
        for job in sorted(jobs.values(), key=lambda job: job.id):
            if job.parent == path:
                visit(job.path, depth + 1)

    for root in roots:
        visit(root, 0)
    return found


def failure(job: JobInfo) -> CliError | None:
    """The error that a job's end amounts to, None for a success."""
    name = _("Job {id} ({about})").format(id=job.id, about=job.about)
    if job.state is JobState.CANCELLED:
        # that it was cancelled is said; another job that was is news
        said = job.error_message.rstrip(".") == f"job {job.id} was cancelled"
        return CancelledError(_("{name} was cancelled").format(name=name), "" if said else job.error_message)
    if job.state is JobState.FAILED:
        code = exit_code(job.error_name)
        return CliError(
            _("{name} failed").format(name=name),
            job.error_message or job.error_name,
            name=job.error_name or "org.luxusb.Error.Failed",
            code=code if code in (ExitCode.NOT_AUTHORIZED, ExitCode.PARTLY) else ExitCode.FAILED,
        )
    return None
