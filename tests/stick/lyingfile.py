"""A stick that lies: a file that keeps less than its size, behind a FUSE filesystem of this one file."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.stick.liars import Lie

RANDOM = 128 * 1024 * 1024
"""Bytes of random content at most; the rest of a large one is zero."""


@contextlib.contextmanager
def lying(place: Path, lie: Lie, size: int, real: int, *, pause: float = 0.0, slow: range = range(0)) -> Iterator[Path]:
    """A file of `size` bytes that keeps only the first `real` of them, with random content, in `place`/disk.

    Args:
        place: a directory that is made.
        lie: what becomes of the rest.
        size: bytes.
        real: bytes.
        pause: seconds that a write takes.
        slow: bytes that are slow to read.
    """
    place.mkdir()
    disk, log, file = place / "disk", place / "writes", place / "liar.img"
    for path in (log, file):
        path.write_bytes(b"")
    with disk.open("wb") as made:
        made.write(random.Random(1).randbytes(min(real, RANDOM)))
        made.truncate(size)
    arguments = [
        os.fspath(disk),
        os.fspath(log),
        os.fspath(file),
        str(real),
        lie.value,
        str(pause),
        str(slow.start),
        str(slow.stop),
    ]
    server = subprocess.Popen([sys.executable, "-m", "tests.stick.fuseliar", *arguments], stdin=subprocess.DEVNULL)
    try:
        while not os.path.ismount(file):
            assert server.poll() is None, "the FUSE server did not start"
            time.sleep(0.02)
        yield file
    finally:
        # once it is unmounted, nobody can tell any more which loop devices are over it
        over = subprocess.run(["losetup", "-nO", "NAME", "-j", file], check=True, capture_output=True, text=True)
        for node in over.stdout.split():
            subprocess.run(["losetup", "-d", node], check=True)
        subprocess.run(["umount", "-l", file], check=True)
        server.wait(60)
