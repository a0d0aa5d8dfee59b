"""The files of the image store: sidecars written whole or not at all, images moved in and out by renames.

What a kill leaves half done is completed or removed by `recover`. Everything here blocks; the store holds its lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from luxusbd.durable import sync_directory
from luxusbd.errors import FailedError
from luxusbd.images.sidecar import Record, read_record, record_to_json

HASH = re.compile(r"[0-9a-f]{64}")
_INCOMING = ".incoming-"
_TEMPORARY = ".tmp-"
_GONE = ".gone-"
_ROOT = 0


@dataclass(frozen=True)
class Withdrawn:
    """An image that nobody sees any more and whose bytes are still on the disk."""

    sha256: str
    path: Path


class StoreFiles:
    """The directory of a store."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def image(self, sha256: str) -> Path:
        """Where the bytes of an image are."""
        return self.directory / f"{sha256}.iso"

    def sidecar(self, sha256: str) -> Path:
        """Where its record is."""
        return self.directory / f"{sha256}.json"

    def damaged_sidecar(self, sha256: str) -> Path:
        """Where a record is kept that could not be read."""
        return self.directory / f"{sha256}.json.corrupt"

    def images(self) -> list[tuple[str, Path]]:
        """All images by hash, with or without a sidecar."""
        return [
            (path.stem, path)
            for path in sorted(self.directory.glob("*.iso"))
            if HASH.fullmatch(path.stem) and path.is_file()
        ]

    def write(self, record: Record) -> None:
        """Put a record beside its image, in the place of an older one."""
        temporary = self.directory / f"{_TEMPORARY}{record.sha256}"
        data = json.dumps(record_to_json(record), indent=1).encode()
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self.sidecar(record.sha256))
        except BaseException:
            # on a full disk its blocks are what the next attempt lacks
            temporary.unlink(missing_ok=True)
            raise
        self.sync()

    def move_in(self, path: Path, sha256: str, size: int) -> None:
        """Make the file at `path` the image of a record that is written already.

        Raises:
            FailedError: it is not a single regular file of `size` bytes; it is back at `path` then.
            OSError: the disk failed; likewise.
        """
        # Judged again after the first rename: in this directory nobody else can exchange the file.
        incoming = self.directory / f"{_INCOMING}{sha256}"
        path.rename(incoming)
        try:
            self._complete(incoming, sha256, size)
        except BaseException:
            incoming.rename(path)
            raise

    def set_aside(self, sha256: str) -> Withdrawn:
        """Begin to remove an image; one call of the kernel, so that it may be made in the event loop."""
        aside = self.directory / f"{_GONE}{sha256}-{time.monotonic_ns()}"
        with contextlib.suppress(FileNotFoundError):
            self.image(sha256).rename(aside)
        return Withdrawn(sha256, aside)

    def sync(self) -> None:
        """Let renames and removals survive a power cut."""
        sync_directory(self.directory)

    def recover(self) -> dict[str, Record]:
        """Finish or undo what a killed process left, and read all records.

        Raises:
            OSError: the disk failed.
        """
        for prefix in (_TEMPORARY, _GONE):
            for path in sorted(self.directory.glob(f"{prefix}*")):
                path.unlink()
        found: dict[str, Record] = {}
        for path in sorted(self.directory.glob("*.json")):
            if HASH.fullmatch(path.stem) and (record := self._recover_one(path)) is not None:
                found[record.sha256] = record
        for path in sorted(self.directory.glob(f"{_INCOMING}*")):
            path.unlink()
        return found

    def _recover_one(self, sidecar: Path) -> Record | None:
        image = self.image(sidecar.stem)
        incoming = self.directory / f"{_INCOMING}{sidecar.stem}"
        present = image if image.is_file() else incoming
        if not present.is_file():
            sidecar.unlink()
            return None
        try:
            record = read_record(sidecar, present.stat().st_size)
            if present is incoming:
                self._complete(incoming, record.sha256, record.size)
        except (FailedError, ValueError, RecursionError):
            sidecar.replace(self.damaged_sidecar(sidecar.stem))
            return None
        return record

    def _complete(self, incoming: Path, sha256: str, size: int) -> None:
        checked_size(incoming, size)
        fd = os.open(incoming, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if os.geteuid() == _ROOT:
                os.fchown(fd, _ROOT, _ROOT)
            os.fchmod(fd, 0o400)
            os.fsync(fd)
        finally:
            os.close(fd)
        incoming.rename(self.image(sha256))
        self.sync()


def checked_size(path: Path, expected: int) -> int:
    """The size of a single regular file.

    Raises:
        FailedError: it is something else, or has not the `expected` size.
        OSError: it cannot be looked at.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise FailedError(f"{path} is not a regular file with one name")
    if status.st_size != expected:
        raise FailedError(f"{path} has {status.st_size} bytes, and {expected} were recognised")
    return expected
