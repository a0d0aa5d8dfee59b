"""Downloads in forked processes that are killed at a chosen step; run as a program by test_crash.

A line on standard input is a JSON object (urls, sha256, size, directory, window, kill_at); the answer is one too:
written (bytes that the download had reported), steps (calls that change the disk), killed. Steps are counted from 1; 0
kills nobody. What passes through a window is read at once.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import signal
import ssl
import struct
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from luxusbd.transfer import diskio, partfile
from luxusbd.transfer.engine import Downloader
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.model import DownloadProgress, DownloadRequest
from luxusbd.transfer.pace import Control
from luxusbd.transfer.source import default_session

TLS = ssl.create_default_context()
"""Made before the forks: reading the authorities takes longer than one of these downloads."""
STEPS = ("pwritev", "fdatasync", "fsync", "rename", "link", "unlink", "ftruncate")
LIMITS = TransferLimits(
    backoff_first=0.01,
    batch_min=4096,
    batch_max=4096,
    batch_age=0.01,
    checkpoint_bytes=24 * 1024,
    checkpoint_age=5.0,
    read_buffer=4096,
    space_reserve=0,
)


SHARING = replace(
    LIMITS,
    share_min=4096,
    race_span=4096,
    race_stagger=0.0,
    settle=0.01,
    range_size=16 * 1024,
    piece_size=4096,
    range_time=0.0,
    steal_min=4096,
    steal_eta=0.0,
    steal_align=1024,
    endgame_bytes=8192,
)
"""With several mirrors: they share even this small file."""


class Counter:
    """Shared with the parent by memory that outlives the kill: steps, bytes written."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 16)
        self.lock = threading.Lock()

    def values(self) -> tuple[int, int]:
        steps, written = struct.unpack("QQ", self.memory[:16])
        return steps, written

    def step(self, kill_at: int) -> bool:
        with self.lock:
            steps, written = self.values()
            self.memory[:16] = struct.pack("QQ", steps + 1, written)
            return steps + 1 == kill_at

    def wrote(self, size: int) -> None:
        with self.lock:
            self.memory[:16] = struct.pack("QQ", self.values()[0], size)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def lay_mines(counter: Counter, kill_at: int) -> None:
    def mined(original: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if counter.step(kill_at):
                if name == "pwritev":
                    # a write that is torn in the middle
                    fd, buffers, offset = args
                    data = b"".join(bytes(one) for one in buffers)
                    os.pwrite(fd, data[: len(data) // 2], offset)
                die()
            return original(*args, **kwargs)

        return call

    for name in STEPS:
        setattr(os, name, mined(getattr(os, name), name))
    real = diskio.allocate

    def allocate(fd: int, size: int) -> bool:
        if counter.step(kill_at):
            die()
        return real(fd, size)

    vars(partfile)["allocate"] = allocate
    vars(partfile)["punch"] = mined(diskio.punch, "punch")


async def download(order: dict[str, Any], counter: Counter) -> None:
    control = Control()
    window = order["window"]

    def report(progress: DownloadProgress) -> None:
        counter.wrote(progress.bytes_done)
        if window:
            prefix = progress.prefix or 0
            mark = prefix if prefix == progress.bytes_total else prefix // window * window
            control.release(mark, progress.epoch)

    urls = tuple(order["urls"])
    downloader = Downloader(lambda: default_session(TLS), SHARING if len(urls) > 1 else LIMITS)
    # a limit, however high, makes it read in portions of `read_buffer`: the intervals of this test are tiny
    request = DownloadRequest(urls, order["sha256"], order["size"], order["directory"], "file.iso", 10**9)
    request = replace(request, window=window)
    control.set_bandwidth(request.bandwidth)
    await downloader.download(request, report, control=control)
    await downloader.close()


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        counter = Counter()
        pid = os.fork()
        if pid == 0:
            lay_mines(counter, order["kill_at"])
            asyncio.run(download(order, counter))
            os._exit(0)
        _, result = os.waitpid(pid, 0)
        steps, written = counter.values()
        killed = os.WIFSIGNALED(result) and os.WTERMSIG(result) == signal.SIGKILL
        if not killed and result != 0:
            raise SystemExit(f"the download failed by itself: {result}")
        sys.stdout.write(json.dumps({"steps": steps, "written": written, "killed": killed}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
