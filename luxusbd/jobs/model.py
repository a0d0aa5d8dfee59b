"""Values that describe a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Operation(StrEnum):
    """What a job does."""

    DOWNLOAD = "download"
    IMPORT = "import"
    CREATE = "create"
    ADD = "add"
    REMOVE = "remove"
    UPDATE = "update"
    REFRESH = "refresh"
    VERIFY = "verify"
    RESCAN = "rescan"
    REPAIR = "repair"
    ADOPT = "adopt"
    PERSIST = "persist"
    PROBE = "probe"
    RESTORE = "restore"
    WRITE_RAW = "write-raw"
    UPDATE_CATALOG = "update-catalog"
    RACE = "race-mirrors"


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to the job."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class PauseReason(StrEnum):
    """Why a job is paused."""

    USER = "user"
    """Somebody asked for it."""
    SPACE = "space"
    """The disk is full; it goes on by itself when there is room."""
    RESTART = "restart"
    """The daemon was started anew, and is configured to ask first (downloads.resume)."""


@dataclass(frozen=True)
class LogLine:
    """One entry in the history of a job."""

    time: int
    """Unix seconds."""
    text: str


@dataclass(frozen=True)
class MirrorShare:
    """What one mirror does for a download at the moment."""

    host: str
    country: str
    """ISO 3166-1 alpha-2, or empty where the catalogue does not know it."""
    state: str
    """connect, serving, waiting, given-up or banned."""
    rate: int
    """Bytes per second."""
    bytes_done: int
    """Bytes it brought since the download was started or taken up again."""


@dataclass(frozen=True)
class DeviceShare:
    """One device of a job that works on several."""

    id: str
    node: str
    """/dev/sdb; empty for an image file."""
    model: str
    state: JobState = JobState.QUEUED
    """QUEUED until its worker begins; never PAUSED, since all of a job are paused together."""
    stage: str = ""
    bytes_done: int = 0
    bytes_total: int = 0
    rate: int = 0
    """Bytes per second over the last seconds."""
    error_name: str = ""
    error_message: str = ""

    @property
    def name(self) -> str:
        """For people."""
        return self.node or self.model or self.id


@dataclass(frozen=True)
class Job:
    """A job at one moment; the queue replaces the whole value on every change."""

    id: int
    operation: Operation
    owner_uid: int
    state: JobState
    created: int
    """Unix seconds, as are the other times."""
    params: Mapping[str, Any]
    """What was asked, as JSON values; enough to go on after a restart."""
    title: str
    """For people: what the job is about."""
    device_ids: tuple[str, ...] = ()
    parent: int | None = None
    priority: int = 0
    bandwidth: int = 0
    """Bytes per second, 0 without limit."""
    stage: str = ""
    bytes_done: int = 0
    bytes_total: int = 0
    resumed_bytes: int = 0
    rate: int = 0
    """Bytes per second over the last seconds."""
    expected_end: int = 0
    """0 until there are enough samples."""
    started: int = 0
    finished: int = 0
    error_name: str = ""
    error_message: str = ""
    pause_reason: PauseReason | None = None
    """Set while it is paused."""
    pause_message: str = ""
    """The same for people, where there is more to say."""
    result: Mapping[str, Any] = field(default_factory=dict)
    """JSON values."""
    log: tuple[LogLine, ...] = ()
    mirrors: tuple[MirrorShare, ...] = ()
    """Of a download that runs; not stored."""
    devices: tuple[DeviceShare, ...] = ()
    """Of a job that works on several; of what is stored, the figures are old ones."""

    @property
    def going_on(self) -> bool:
        """Whether something will happen without anybody asking for it: it waits, runs, or waits for room."""
        if self.state is JobState.PAUSED:
            return self.pause_reason is PauseReason.SPACE
        return not self.state.finished

    @property
    def progress(self) -> float:
        """0 to 1, or -1 when unknown."""
        if self.state is JobState.SUCCEEDED:
            return 1.0
        return min(1.0, self.bytes_done / self.bytes_total) if self.bytes_total > 0 else -1.0
