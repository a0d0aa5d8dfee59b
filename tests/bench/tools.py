"""The tools that the transfer engine is measured against, and the engine, as commands that fetch one file."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from luxusbd.process import find_program
from luxusbd.transfer.codec import request_to_json
from luxusbd.transfer.model import DownloadRequest

# what luxusb-transfer.service sets
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "MALLOC_ARENA_MAX": "2",
}


@dataclass(frozen=True)
class Target:
    """The file that is fetched in a case."""

    urls: tuple[str, ...]
    sha256: str
    size: int
    directory: Path
    """Where it goes to."""
    name: str


@dataclass(frozen=True)
class Figures:
    """One run. `seconds` is infinite when it did not end well within the time."""

    seconds: float
    cpu: float = 0.0
    more: Mapping[str, float] | None = None
    """What the engine says about itself."""


Command = Callable[[Target], Sequence[str]]


def curl(target: Target) -> Sequence[str]:
    """One connection, nothing checked."""
    return [find_program("curl"), "-sS", "-o", str(target.directory / target.name), target.urls[0]]


def curl_again(target: Target) -> Sequence[str]:
    """Going on from what is there."""
    return [find_program("curl"), "-sS", "-C", "-", "-o", str(target.directory / target.name), target.urls[0]]


def curl_checked(target: Target) -> Sequence[str]:
    """As people do it by hand: first the file, then its hash."""
    file = target.directory / target.name
    return [
        "/bin/sh",
        "-c",
        'curl -sS -o "$1" "$2" && echo "$3  $1" | sha256sum --check --status',
        *("sh", str(file), target.urls[0], target.sha256),
    ]


def wget(target: Target) -> Sequence[str]:
    """One connection, nothing checked."""
    return [find_program("wget"), "-q", "-O", str(target.directory / target.name), target.urls[0]]


def aria2(*, checked: bool, each: int = 4) -> Command:
    """`each` connections to a server."""

    def command(target: Target) -> Sequence[str]:
        return [
            *(find_program("aria2c"), "--quiet", "--no-conf", "--allow-overwrite=true", "--auto-file-renaming=false"),
            *("--continue=true", f"-x{each}", f"-s{max(each, len(target.urls))}", "-k1M", "--file-allocation=falloc"),
            *((f"--checksum=sha-256={target.sha256}",) if checked else ()),
            *("-d", str(target.directory), "-o", target.name, *target.urls),
        ]

    return command


def engine(targets: Sequence[Target], kill_at: int = 0) -> Sequence[str]:
    """luxusbd's transfer engine, which always checks the hash."""
    requests = [
        request_to_json(DownloadRequest(one.urls, one.sha256, one.size, str(one.directory), one.name))
        for one in targets
    ]
    order = {"requests": requests, "kill_at": kill_at}
    return [sys.executable, "-m", "tests.bench.fetch", json.dumps(order)]


def ours(target: Target) -> Sequence[str]:
    """The engine with one file."""
    return engine([target])


async def run(command: Sequence[str], timeout: float, *, meanwhile: Callable[[], bool] | None = None) -> Figures:
    """Run one command to its end, or kill it after `timeout` seconds, or once `meanwhile` says so (asked every 20 ms).

    For the engine the time is what it says itself: in the service its process runs already when a download begins.
    """
    environment = {**os.environ, **MALLOC}
    before = os.times()
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, env=environment, start_new_session=True
    )
    reading = asyncio.create_task(process.communicate())
    try:
        async with asyncio.timeout(timeout):
            while not reading.done() and not (meanwhile is not None and meanwhile()):
                await asyncio.wait((reading,), timeout=0.02)
    except TimeoutError:
        pass
    finally:
        if process.returncode is None and not reading.done():
            os.killpg(process.pid, signal.SIGKILL)
        output, _ = await reading
    seconds = time.perf_counter() - began
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    if process.returncode != 0:
        return Figures(float("inf"), cpu)
    if "tests.bench.fetch" in command:
        more = json.loads(output)
        return Figures(more["seconds"], more["cpu"], more)
    return Figures(seconds, cpu)


def clear(directory: Path) -> None:
    """An empty directory."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
