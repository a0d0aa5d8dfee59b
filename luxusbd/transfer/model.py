"""Values that go into and come out of a download."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class DownloadRequest:
    """One file to fetch."""

    urls: tuple[str, ...]
    """Addresses of the same bytes, best first."""
    sha256: str
    """What the whole file must hash to; empty only where the caller accepts trust by TLS alone."""
    size: int
    """Bytes, 0 when unknown."""
    directory: str
    """Where `<name>.part` and `<name>.part.json` live; the finished file is `<name>` in it."""
    name: str
    """A plain file name, without a slash."""
    bandwidth: int = 0
    """Bytes per second, 0 without limit."""


class DownloadStage(StrEnum):
    """What a download is doing."""

    CONNECT = "connect"
    TRANSFER = "transfer"
    WAIT = "wait-for-network"
    VERIFY = "verify"


class SourceState(StrEnum):
    """What a mirror does for a download."""

    CONNECT = "connect"
    SERVING = "serving"
    WAITING = "waiting"
    """It was asked, and is not at the moment."""
    GIVEN_UP = "given-up"
    """It is not asked again."""


@dataclass(frozen=True)
class SourceShare:
    """What one mirror has done for a download so far."""

    url: str
    """As it was asked for."""
    host: str
    """Where the bytes come from, behind its redirects."""
    state: SourceState
    rate: int
    """Bytes per second over the last seconds."""
    bytes_done: int
    """Bytes it brought since the download was started or taken up again."""


@dataclass(frozen=True)
class DownloadProgress:
    """How far a download is; sent whenever something changed, the receiver thins it out."""

    stage: DownloadStage
    bytes_done: int
    """Bytes received and written, those taken over from before included."""
    bytes_total: int
    """0 when unknown."""
    resumed_bytes: int
    source: str
    """Host that serves now, or empty."""
    note: str = ""
    """What it waits for, or what a mirror did, for the log."""
    sources: tuple[SourceShare, ...] = ()
    """The mirrors that were asked, anew about once a second."""


@dataclass(frozen=True)
class DownloadResult:
    """A finished, verified file."""

    path: str
    size: int
    sha256: str
    url: str
    """The address that served it."""
    resumed_bytes: int
