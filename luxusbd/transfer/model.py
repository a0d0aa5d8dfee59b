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


@dataclass(frozen=True)
class DownloadResult:
    """A finished, verified file."""

    path: str
    size: int
    sha256: str
    url: str
    """The address that served it."""
    resumed_bytes: int
