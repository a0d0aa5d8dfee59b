"""One who reads a part while it grows, as the worker of a stick does, and tells how far it is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from luxusbd.errors import LuxusbError
from luxusbd.transfer.engine import Downloader
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.model import DownloadProgress, DownloadRequest, DownloadResult
from luxusbd.transfer.pace import Control


@dataclass
class Reader:
    """Give `watch` to a download of `name` in `directory`; `close` it."""

    directory: Path
    unit: int
    """Marks are multiples of it, and the end of the file."""
    name: str = "file.iso"
    control: Control = field(default_factory=Control)
    telling: bool = True
    content: bytearray = field(default_factory=bytearray)
    backs: list[int] = field(default_factory=list)
    """Where it had to begin anew."""
    most: int = 0
    """Bytes that the part occupied on the disk, at most."""
    farthest: int = 0
    """How far any byte was ever ahead of the last mark."""
    seen: list[DownloadProgress] = field(default_factory=list)
    told: int = 0
    fd: int | None = None

    def watch(self, progress: DownloadProgress) -> None:
        self.seen.append(progress)
        if self.fd is None:
            with contextlib.suppress(FileNotFoundError):
                self.fd = os.open(self.directory / f"{self.name}.part", os.O_RDONLY)
        if self.fd is None or progress.prefix is None:
            return
        if progress.floor < len(self.content):
            self.backs.append(progress.floor)
            del self.content[progress.floor :]
            self.told = min(self.told, progress.floor)
        status = os.fstat(self.fd)
        self.most = max(self.most, status.st_blocks * 512)
        self.farthest = max(self.farthest, status.st_size - self.told)
        self.content += os.pread(self.fd, progress.prefix - len(self.content), len(self.content))
        if self.telling:
            self.tell(progress.bytes_total)

    def tell(self, total: int) -> None:
        here = len(self.content)
        self.told = here if here == total else here // self.unit * self.unit
        self.control.release(self.told)

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)


@dataclass(frozen=True)
class Passed:
    result: DownloadResult | None
    error: LuxusbError | None
    left: frozenset[str]


async def passed(reader: Reader, urls: Sequence[str], limits: TransferLimits, **request: object) -> Passed:
    """Download through a window for `reader`; `request` holds fields of a `DownloadRequest`."""
    downloader = Downloader(limits=limits)
    asked = DownloadRequest(tuple(urls), "", 0, str(reader.directory), reader.name)
    result, error = None, None
    try:
        result = await downloader.download(
            replace(asked, **request),  # type: ignore[arg-type]
            reader.watch,
            control=reader.control,
        )
    except LuxusbError as failed:
        error = failed
    finally:
        await downloader.close()
    return Passed(result, error, frozenset(path.name for path in reader.directory.iterdir()))
