"""Imports of files and through pipes, and what has to come of them."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luxusb_cli.model import JobInfo, JobState

from tests.daemon.caller import Caller
from tests.daemon.daemon import Daemon
from tests.daemon.images import TestImage
from tests.daemon.leftovers import check_files
from tests.daemon.test_jobs import ERROR, stored


@contextlib.contextmanager
def pipe(data: bytes = b"", *, end: bool = True) -> Iterator[tuple[int, int]]:
    """A pipe with a thread that writes `data`; without `end` the writer then falls silent."""
    read, write = os.pipe()
    writer = os.dup(write)

    def run() -> None:
        rest = memoryview(data)
        with contextlib.suppress(BrokenPipeError):
            while rest:
                rest = rest[os.write(writer, rest) :]
        os.close(writer)

    thread = threading.Thread(target=run)
    thread.start()
    if end:
        os.close(write)
    try:
        yield read, write
    finally:
        os.close(read)
        if not end:
            os.close(write)
        thread.join()


async def streamed(caller: Caller, data: bytes, name: str = "x.iso", size: int = 0) -> JobInfo:
    """Import through a pipe; the end of the job, however it is."""
    with pipe(data) as (read, _write):
        path = await caller.client.import_image(read, name, size=size)
        return await caller.finished(path)


async def imported(caller: Caller, path: Path, name: str = "", **options: Any) -> JobInfo:
    """Import a file; the end of the job, however it is."""
    with path.open("rb") as file:
        return await caller.finished(await caller.client.import_image(file.fileno(), name or path.name, **options))


async def check_refused(caller: Caller, daemon: Daemon, job: JobInfo, error: str, said: str) -> None:
    """The job failed for this reason and nothing of it is left."""
    assert (job.state, job.error_name) == (JobState.FAILED, ERROR + error), job.error_message
    assert said in job.error_message, job.error_message
    assert await caller.client.images() == ()
    check_files(daemon)


async def check_stored(caller: Caller, daemon: Daemon, job: JobInfo, image: TestImage, name: str) -> None:
    """The job brought this image in, under this name."""
    assert job.state is JobState.SUCCEEDED, job.error_message
    result = job.result
    assert (result["image"], result["name"], result["size"]) == (image.reference, name, image.size), result
    (entry,) = await caller.client.images()
    assert (entry.reference, entry.name) == (image.reference, name), entry
    assert stored(daemon, image.sha256) == image.sha256
    check_files(daemon)


def unknown(image: TestImage, place: Path) -> TestImage:
    """The same system with a byte behind its end, which no catalogue has."""
    path = place / "unknown.iso"
    path.write_bytes(image.path.read_bytes() + bytes(2048))
    return TestImage("unknown", path, image.firmware)
