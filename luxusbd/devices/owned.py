"""Marks for udev: which disks belong to a job, so that no automounter takes what the job has just made.

`systemd/90-luxusb.rules` looks for a file named by the disk's sequence number. While it is there, udisks has no
filesystem to mount on the disk. The whole-disk lock keeps udev from what a job makes as long as it is held; what was on
the disk before the job is known to udisks, and shown by file managers, until udev has looked once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from luxusbd.devices.model import Device, DeviceIdentity
from luxusbd.devices.sysfs import Roots

HIDE_PATIENCE = 5.0
"""Seconds that udev has to look at a disk anew; the job goes on without."""
_HIDDEN = "E:LUXUSB_OWNED=1"

log = logging.getLogger(__name__)


class OwnedMarks:
    """The marks in `directory`; without one nothing is marked."""

    def __init__(self, directory: Path | None, roots: Roots | None = None) -> None:
        self._directory = directory
        self._roots = roots or Roots()
        self._marks: dict[str, Path] = {}

    def take(self, identity: DeviceIdentity) -> None:
        """Mark a disk; without its mark a job is only less comfortable."""
        if self._directory is None or not identity.disk_seq:
            return
        mark = self._directory / str(identity.disk_seq)
        try:
            mark.touch(mode=0o644)
        except OSError as error:
            log.warning("%s: automounters are not kept away from the disk: %s", mark, error.strerror)
            return
        self._marks[identity.id] = mark

    async def hide(self, device: Device) -> None:
        """Have udev look at a marked disk, and wait until udisks knows of nothing on it that it could mount.

        Nobody may hold the whole-disk lock, under which udev looks at nothing.
        """
        if device.identity.id in self._marks:
            await asyncio.to_thread(self._hide, device)

    def _hide(self, device: Device) -> None:
        if not any(path.exists() for path in self._records(device)):
            return
        _show_to_udev(device.node)
        deadline = time.monotonic() + HIDE_PATIENCE
        while not all(_HIDDEN in _lines(path) for path in self._records(device)):
            if time.monotonic() > deadline:
                log.warning("%s: udev did not look at the disk in time; automounters may act on it", device.node)
                return
            time.sleep(0.05)

    def _records(self, device: Device) -> Iterator[Path]:
        """What udev noted of the disk and of its partitions, as they are now."""
        directory = Path(device.sys_path)
        for file in (directory / "dev", *directory.glob(f"{directory.name}*/dev")):
            with contextlib.suppress(OSError):  # gone in this moment
                yield self._roots.udev_data / f"b{file.read_text().strip()}"

    def give_back(self, device_id: str, node: str) -> None:
        """Show a disk again; `node` empty when it is gone."""
        mark = self._marks.pop(device_id, None)
        if mark is None:
            return
        mark.unlink(missing_ok=True)
        if node:
            _show_to_udev(node)


def _show_to_udev(node: str) -> None:
    """Udev looks anew at a disk that somebody has had open for writing (inotify in systemd-udevd(8))."""
    with contextlib.suppress(OSError):
        os.close(os.open(node, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
