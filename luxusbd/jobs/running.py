"""A job while the daemon has it: its lane, its task, and what its runner sees of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from luxusbd.jobs.model import DeviceShare, Job, MirrorShare, PauseReason
from luxusbd.jobs.progress import RateMeter


class Lane(StrEnum):
    """What a job waits for: jobs of one lane share its slots."""

    DOWNLOAD = "download"
    IMPORT = "import"
    STREAM = "stream"
    """Imports from pipes: they take as long as their writers like, and must not hold up the others."""
    STICK = "stick"
    CATALOG = "catalog"


TAKEN_UP = frozenset({Lane.DOWNLOAD, Lane.CATALOG})
"""Lanes whose jobs go on with the next start of the daemon; those of the others fail when it ends (`Parts.start`)."""


class Stop(StrEnum):
    """Why a running job's task is ended."""

    PAUSE = "pause"
    CANCEL = "cancel"
    SHUTDOWN = "shutdown"


class HeldError(Exception):
    """A runner cannot go on for now; its job is paused for that reason, and nobody has failed."""

    def __init__(self, reason: PauseReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


Runner = Callable[["JobContext"], Awaitable[Mapping[str, Any]]]


@dataclass
class Entry:
    """A job with what the queue knows of its run; the queue alone changes it."""

    job: Job
    lane: Lane
    runner: Runner
    meter: RateMeter = field(default_factory=RateMeter)
    task: asyncio.Task[None] | None = None
    begun: bool = False
    """Whether the task has run at all; one that is cancelled before that never notices."""
    stop: Stop | None = None
    keep_partial: bool = False
    told: float = 0.0
    late: asyncio.TimerHandle | None = None
    """Tells of a progress that came too soon after the last one."""
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    pause_hook: Callable[[bool], None] | None = None
    cleanup: Callable[[], Awaitable[None]] | None = None


class Reporter(Protocol):
    """Takes what runners say of their jobs."""

    def reported(self, entry: Entry, done: int, total: int, stage: str | None, resumed: int | None) -> None:
        """Bytes moved, or another stage began."""

    def served(self, entry: Entry, mirrors: tuple[MirrorShare, ...]) -> None:
        """Other mirrors serve, or at other rates."""

    def shared(self, entry: Entry, devices: tuple[DeviceShare, ...]) -> None:
        """The devices of a job are further, or one is at its end."""

    def noted(self, entry: Entry, text: str) -> None:
        """A line for the job's history."""

    def replaced(self, entry: Entry, params: Mapping[str, Any], title: str) -> None:
        """The job is about something else now."""


class JobContext:
    """What a runner sees of its job."""

    def __init__(self, queue: Reporter, entry: Entry) -> None:
        self._queue = queue
        self._entry = entry

    @property
    def job(self) -> Job:
        """The job as it is now."""
        return self._entry.job

    def report(self, done: int, total: int, *, stage: str | None = None, resumed: int | None = None) -> None:
        """Say how far the job is, in bytes; cheap, may be called for every chunk."""
        self._queue.reported(self._entry, done, total, stage, resumed)

    def served_by(self, mirrors: tuple[MirrorShare, ...]) -> None:
        """Say which mirrors serve the job now; cheap while they are the same."""
        self._queue.served(self._entry, mirrors)

    def shared_by(self, devices: tuple[DeviceShare, ...]) -> None:
        """Say how far each device of the job is; to be followed by `report`, which tells of it."""
        self._queue.shared(self._entry, devices)

    def note(self, text: str) -> None:
        """Add a line to the job's history."""
        self._queue.noted(self._entry, text)

    def replace(self, params: Mapping[str, Any], title: str) -> None:
        """Let the job be about something else from now on, also after a restart."""
        self._queue.replaced(self._entry, params, title)

    def on_pause(self, hook: Callable[[bool], None] | None) -> None:
        """Let `hook(True)` pause and `hook(False)` resume the runner in place, instead of ending its task."""
        self._entry.pause_hook = hook

    def on_cancel(self, cleanup: Callable[[], Awaitable[None]] | None) -> None:
        """Run `cleanup` when the job is cancelled without keeping its partial, also while it is paused or waits."""
        self._entry.cleanup = cleanup
