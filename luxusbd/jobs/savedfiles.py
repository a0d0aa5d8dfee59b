"""Where the core keeps what a probe overwrites on a disk until that is put back, over crashes and restarts, too."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from luxusbd.durable import sync_directory
from luxusbd.errors import host_error

log = logging.getLogger(__name__)

KEPT = 90 * 24 * 3600
"""Seconds after which the disk is not expected back any more."""
MOST = 16
"""Files of earlier probes that one probe looks at, the newest ones."""


class SavedFiles:
    """One file a probe in a directory of ours.

    A probe gets those of earlier ones along that have its disk's size, whatever disk they are of: one without a serial
    number that is plugged into another port is another one by all that it says, and cards in one reader are the same
    by that. Whether a file is of the disk shows by the marks on it alone.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._busy: set[Path] = set()

    def open(self, size: int) -> Opened:
        """The files for a probe of a disk of `size` bytes.

        Raises:
            LuxusbError: this machine's disk refuses them.
        """
        new = self._directory / f"{size}-{secrets.token_hex(8)}"
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            self._forget_old()
            earlier = [path for path in self._directory.glob(f"{size}-*") if path not in self._busy]
            earlier.sort(key=lambda path: path.stat().st_mtime, reverse=True)
            made = Opened([new, *earlier[:MOST]], self._busy)
            # the power may fail while the disk has our marks and nothing else tells what was there
            sync_directory(self._directory)
        except OSError as error:
            raise host_error(error, f"writing {new}") from error
        return made

    def _forget_old(self) -> None:
        for path in self._directory.iterdir():
            if path not in self._busy and time.time() - path.stat().st_mtime > KEPT:
                log.info("what a probe overwrote on a disk that did not come back is given up: %s", path.name)
                path.unlink()


class Opened:
    """Files that one probe has for itself until `close`; `fds` are their descriptors, the new file's first."""

    def __init__(self, paths: Sequence[Path], busy: set[Path]) -> None:
        self._paths = paths
        self._busy = busy
        self.fds: list[int] = []
        try:
            for path in paths:
                self.fds.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        except OSError:
            self.close()
            raise
        busy.update(paths)

    def close(self) -> None:
        """Give them back; those in which nothing is left go."""
        for fd, path in zip(self.fds, self._paths, strict=False):
            if os.fstat(fd).st_size == 0:
                path.unlink(missing_ok=True)
            os.close(fd)
        self.fds.clear()
        self._busy.difference_update(self._paths)
