"""A stick that lies: a file that keeps less than its size, behind a FUSE filesystem of this one file."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.stick.fuseliar import Count, Habits
from tests.stick.liars import Lie

RANDOM = 128 * 1024 * 1024
"""Bytes of random content at most; the rest of a large one is zero."""


@contextlib.contextmanager
def lying(place: Path, lie: Lie, size: int, real: int, **habits: float | tuple[int, int]) -> Iterator[Path]:
    """A file of `size` bytes that keeps only the first `real` of them, with random content, in `place`/disk.

    Args:
        place: a directory that is made.
        lie: what becomes of the rest.
        size: bytes.
        real: bytes.
        habits: the fields of `Habits`.
    """
    place.mkdir()
    disk, log, file = place / "disk", place / "writes", place / "liar.img"
    for path in (log, file):
        path.write_bytes(b"")
    with disk.open("wb") as made:
        made.write(random.Random(1).randbytes(min(real, RANDOM)))
        made.truncate(size)
    told = Habits(**habits)  # type: ignore[arg-type]
    arguments = [*map(str, (disk, log, file, real)), lie.value, json.dumps(dataclasses.asdict(told))]
    server = subprocess.Popen([sys.executable, "-m", "tests.stick.fuseliar", *arguments], stdin=subprocess.DEVNULL)
    try:
        while not os.path.ismount(file):
            assert server.poll() is None, "the FUSE server did not start"
            time.sleep(0.02)
        yield file
    except BaseException:
        # whoever has the file open would keep it
        server.kill()
        raise
    finally:
        # once it is unmounted, nobody can tell any more which loop devices are over it
        over = subprocess.run(["losetup", "-nO", "NAME", "-j", file], check=True, capture_output=True, text=True)
        for node in over.stdout.split():
            subprocess.run(["losetup", "-d", node], check=True)
        subprocess.run(["umount", "-l", file], check=True)
        server.wait(600)


def counted(place: Path) -> Count:
    """What was asked of the file in `place`, after `lying`."""
    return Count(**json.loads((place / "disk.count").read_text()))
