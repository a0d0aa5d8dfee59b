"""One who reads a part while it grows, as the worker of a stick does, and tells how far it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from luxusbd.errors import LuxusbError
from luxusbd.transfer.engine import Downloader
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.model import DownloadProgress, DownloadRequest, DownloadResult, DownloadStage
from luxusbd.transfer.pace import Control
from luxusbd.transfer.source import default_session


@dataclass
class Reader:
    """Give `watch` to a download of `name` in `directory`; `close` it."""

    directory: Path
    unit: int
    """Marks are multiples of it, and the end of the file."""
    name: str = "file.iso"
    control: Control = field(default_factory=Control)
    telling: bool = True
    context: ssl.SSLContext | None = None
    content: bytearray = field(default_factory=bytearray)
    backs: list[int] = field(default_factory=list)
    """Where it had to begin anew."""
    occupied: list[int] = field(default_factory=list)
    """Bytes of the disk that the part had, each time it was looked at."""
    farthest: int = 0
    """How far any byte was ever ahead of the furthest mark of the same try."""
    seen: list[DownloadProgress] = field(default_factory=list)
    told: int = 0
    fd: int | None = None
    waiting: list[tuple[Callable[[DownloadProgress], bool], asyncio.Event]] = field(default_factory=list)

    @property
    def most(self) -> int:
        return max(self.occupied)

    async def until(self, wanted: Callable[[DownloadProgress], bool]) -> None:
        """Return when a progress from now on is the one that is `wanted`."""
        event = asyncio.Event()
        self.waiting.append((wanted, event))
        await event.wait()

    def watch(self, progress: DownloadProgress) -> None:
        self._read(progress)
        for wanted, event in self.waiting:
            if wanted(progress):
                event.set()

    def _read(self, progress: DownloadProgress) -> None:
        self.seen.append(progress)
        if self.fd is None:
            with contextlib.suppress(FileNotFoundError):
                self.fd = os.open(self.directory / f"{self.name}.part", os.O_RDONLY)
        if self.fd is None or progress.prefix is None:
            return
        if progress.floor < len(self.content):
            self.backs.append(progress.floor)
            del self.content[progress.floor :]
            self.told = self.told if progress.floor else 0
        status = os.fstat(self.fd)
        self.occupied.append(status.st_blocks * 512)
        self.farthest = max(self.farthest, status.st_size - self.told)
        self.content += os.pread(self.fd, progress.prefix - len(self.content), len(self.content))
        if self.telling or progress.stage is DownloadStage.HAND_OVER:
            self.tell(progress.bytes_total)

    def tell(self, total: int) -> None:
        here = len(self.content)
        self.released(here if here == total else here // self.unit * self.unit)

    def released(self, mark: int) -> None:
        self.told = max(self.told, mark)
        self.control.release(mark, self.seen[-1].epoch)

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)


@dataclass(frozen=True)
class Passed:
    result: DownloadResult | None
    error: LuxusbError | None
    left: frozenset[str]


async def passed(
    reader: Reader,
    urls: Sequence[str],
    limits: TransferLimits,
    **request: object,
) -> Passed:
    """Download through a window for `reader`; `request` holds fields of a `DownloadRequest`."""
    downloader = Downloader(lambda: default_session(reader.context), limits)
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
