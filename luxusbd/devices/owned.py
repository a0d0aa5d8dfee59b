"""Marks for udev: which disks belong to a job, so that no automounter takes what the job has just made.

`systemd/90-luxusb.rules` looks for a file named by the disk's sequence number, and hides the disk from udisks while the
file is there. The whole-disk lock does the same as long as it is held; the mark covers the moments between two holders.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from luxusbd.devices.model import DeviceIdentity

log = logging.getLogger(__name__)


class OwnedMarks:
    """The marks in `directory`; without one nothing is marked."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._marks: dict[tuple[str, int], Path] = {}

    def take(self, identity: DeviceIdentity, job_id: int) -> None:
        """Hide a disk for a job; without its mark the job is only less comfortable."""
        if self._directory is None or not identity.disk_seq:
            return
        mark = self._directory / str(identity.disk_seq)
        try:
            mark.touch(mode=0o644)
        except OSError as error:
            log.warning("%s: automounters are not kept away from the disk: %s", mark, error.strerror)
            return
        # by the job too: a disk that was pulled and plugged in again may have its next job before the first has ended
        self._marks[identity.id, job_id] = mark

    def give_back(self, device_id: str, job_id: int, node: str) -> None:
        """Show a disk again that a job had; `node` empty when it is gone."""
        mark = self._marks.pop((device_id, job_id), None)
        if mark is None:
            return
        mark.unlink(missing_ok=True)
        if node:
            with contextlib.suppress(OSError):
                # udev looks anew at a disk that somebody has had open for writing (inotify in systemd-udevd(8))
                os.close(os.open(node, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW))
