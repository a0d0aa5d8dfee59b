"""Where the core keeps what a probe overwrites on a disk until that is put back, over crashes and restarts, too."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from pathlib import Path

from luxusbd.devices.model import DeviceIdentity
from luxusbd.errors import host_error

log = logging.getLogger(__name__)

KEPT = 90 * 24 * 3600
"""Seconds after which the disk is not expected back any more."""


class SavedFiles:
    """One file a disk in a directory of ours."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def open(self, identity: DeviceIdentity) -> int:
        """The file of a disk, new or as a probe that was cut left it; the caller closes it.

        Raises:
            LuxusbError: this machine's disk refuses it.
        """
        path = self._path(identity)
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            self._forget_old()
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise host_error(error, f"writing {path}") from error

    def drop(self, identity: DeviceIdentity) -> None:
        """What was on the disk is back, or is not wanted back."""
        self._path(identity).unlink(missing_ok=True)

    def _path(self, identity: DeviceIdentity) -> Path:
        name = hashlib.sha256(f"{identity.id} {identity.size}".encode()).hexdigest()
        return self._directory / name

    def _forget_old(self) -> None:
        for path in self._directory.iterdir():
            if time.time() - path.stat().st_mtime > KEPT:
                log.info("what a probe overwrote on a disk that did not come back is given up: %s", path.name)
                path.unlink()
