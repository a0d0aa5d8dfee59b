"""What is left to do, as a file that a start of the machine asks for."""

from __future__ import annotations

import logging
from pathlib import Path

from luxusbd.jobs.api import Listener

log = logging.getLogger(__name__)


class UnfinishedMark(Listener):
    """Keeps a file while jobs run or wait: after a start of the machine `luxusb-resume.service` asks for it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frozen = False

    def freeze(self) -> None:
        """What ends from now on ends because the daemon does, and goes on with its next start."""
        self._frozen = True

    def busy_changed(self, busy: bool) -> None:
        """See `Listener`."""
        if self._frozen:
            return
        try:
            if busy:
                self._path.touch(mode=0o600)
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s: downloads may not go on by themselves after a reboot: %s", self._path, error.strerror)
