"""What unfinished downloads have left in the incoming directory.

The directory belongs to the process without privileges, so that nothing in it is trusted: names are looked at and never
followed, sizes are what the kernel says. What is no coroutine blocks for a few milliseconds.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luxusbd.catalog.model import SHA512_KEY
from luxusbd.errors import FailedError
from luxusbd.transfer.partfile import PartBusyError, PartFile

_NAME = re.compile(rf"([0-9a-f]{{64}}|{SHA512_KEY}[0-9a-f]{{128}})((?:\.part(?:\.json(?:\.tmp|\.bak)?)?)?)", re.ASCII)
BLOCK = 512
"""Unit of st_blocks, stat(2)."""
PATIENCE = 2.0
"""Seconds; a download that was cancelled puts its last bytes on the disk before it gives its lock back."""
INTERVAL = 0.02
"""Seconds between two tries: flock cannot be waited for without a thread."""


@dataclass(frozen=True)
class Partial:
    """The files of one unfinished download."""

    content: str
    """`Release.content` of what is downloaded."""
    size: int
    """Bytes that they occupy on the disk, room that was set aside for bytes to come included."""
    changed: int
    """Unix seconds of the last change."""


def content_of(params: Mapping[str, Any]) -> str:
    """By what the image of a download or race is known (`Release.content`), which is the name of its files here."""
    # a job of an older version has none
    return str(params.get("content") or params["sha256"])


def scan(directory: Path) -> tuple[Partial, ...]:
    """All unfinished downloads. Other files are not ours and are left alone.

    Raises:
        FailedError: the directory cannot be read.
    """
    found: dict[str, Partial] = {}
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                match = _NAME.fullmatch(entry.name)
                if match is None:
                    continue
                for status in _regular(entry):
                    known = found.get(match[1], Partial(match[1], 0, 0))
                    found[match[1]] = Partial(
                        match[1], known.size + status.st_blocks * BLOCK, max(known.changed, int(status.st_mtime))
                    )
    except OSError as error:
        raise FailedError(f"the directory {directory} cannot be read: {error.strerror}") from error
    return tuple(found.values())


async def remove(directory: Path, content: str) -> None:
    """Remove all files of one unfinished download; waits a little for a job that just ended to put its bytes away.

    Raises:
        PartBusyError: it is being written.
        FailedError: the disk failed, or something that is no file has one of the names.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while True:
        try:
            return await asyncio.to_thread(_remove, directory, content)
        except PartBusyError:
            if loop.time() >= deadline:
                raise
        await asyncio.sleep(INTERVAL)


def allocated(path: Path) -> int:
    """Bytes that a regular file occupies; 0 when it is not there."""
    try:
        status = path.lstat()
    except OSError:
        return 0
    return status.st_blocks * BLOCK if stat.S_ISREG(status.st_mode) else 0


def _remove(directory: Path, content: str) -> None:
    part = PartFile.open(str(directory), content)
    try:
        part.discard()
        (directory / content).unlink(missing_ok=True)
    except OSError as error:
        raise FailedError(f"the unfinished download {content} cannot be removed: {error.strerror}") from error
    finally:
        part.close()


def _regular(entry: os.DirEntry[str]) -> Iterator[os.stat_result]:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return  # it ended or began anew in this moment
    if stat.S_ISREG(status.st_mode):
        yield status
