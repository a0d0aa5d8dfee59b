"""A disk that does one thing at a time, at a speed of its own for reads and for writes, as most sticks do.

    python -m tests.bench.slowdisk DISK LOG MOUNTPOINT

As `tests.stick.fusedisk`, except that nothing is logged and each request takes its time.
"""

from __future__ import annotations

import sys
import time

from tests.stick.fusedisk import FuseDisk, main

MB = 1_000_000
WRITES = 40 * MB
READS = 100 * MB
"""Bytes a second, as a stick of USB 3.0 has them that is neither the best nor the worst."""
EACH = 0.0002
"""Seconds that a request costs besides."""


class SlowDisk(FuseDisk):
    """One request after the other."""

    _due = 0.0

    def read_disk(self, length: int, offset: int) -> bytes:
        data = super().read_disk(length, offset)
        self._take(length / READS)
        return data

    def write_disk(self, data: memoryview, offset: int) -> int:
        done = super().write_disk(data, offset)
        self._take(len(data) / WRITES)
        return done

    def _take(self, seconds: float) -> None:
        now = time.monotonic()
        # what a sleep took too long, the next one is shorter; a disk that had nothing to do saves no time for later
        self._due = max(self._due, now - 0.002) + EACH + seconds
        if self._due > now:
            time.sleep(self._due - now)

    def _record(self, kind: bytes, offset: int, data: memoryview) -> None:
        """Nobody reads the log."""


if __name__ == "__main__":
    _disk, _log, _mountpoint = sys.argv[1:]
    main(_disk, _log, _mountpoint, SlowDisk)
