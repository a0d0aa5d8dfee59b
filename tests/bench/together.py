"""What several sticks at once cost in reads of the image: `python -m tests.bench.together` as root.

The image lies on a loop device of its own, whose reads the kernel counts. Of what was read, all that lies more than
KEPT bytes behind the one that is ahead is dropped from the page cache at once, as it would be by and by where memory is
short: who comes later than that has it read again. Each stick is a loop device on a FUSE file that takes so many bytes
a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from luxusbd.children.launch import Spawner
from luxusbd.jobs import worker
from luxusbd.jobs.lockstep import LEAST, Lockstep, Pack
from luxusbd.stick.model import SourceImage, StickOperation, StickOptions, StickOrder
from tests.stick import fusedisk, helpers

MIB = 1 << 20
IMAGE = 384 * MIB
STICK = IMAGE + 300 * MIB
KEPT = LEAST + 32 * MIB
"""The window, and what is read at once and ahead."""
PATIENCE = 10.0


class SlowDisk(fusedisk.FuseDisk):
    """A file that takes `rate` bytes a second."""

    rate = 0

    def write_disk(self, data: memoryview, offset: int) -> int:
        time.sleep(len(data) / self.rate)
        return super().write_disk(data, offset)

    def _record(self, kind: bytes, offset: int, data: memoryview) -> None:
        """Nothing is logged."""


@dataclass(frozen=True)
class Case:
    """Sticks by what they take, in MiB/s."""

    name: str
    rates: tuple[int, ...]
    together: bool


CASES = (
    Case("three alike, in step", (30, 30, 30), True),
    Case("one at three fifths, in step", (30, 30, 18), True),
    Case("one at three fifths, each for itself", (30, 30, 18), False),
    Case("one ten times slower, in step until it drops out", (30, 30, 3), True),
)


def call(*argv: str | Path) -> str:
    """Output of a program that must succeed."""
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


@contextlib.contextmanager
def loop(file: Path) -> Iterator[str]:
    """A loop device over a file, past the page cache of that."""
    node = call("losetup", "-f", "--show", "--direct-io=on", file)
    try:
        yield node
    finally:
        subprocess.run(["partx", "-d", node], capture_output=True, check=False)
        call("losetup", "-d", node)


@contextlib.contextmanager
def slow(place: Path, name: str, rate: int) -> Iterator[str]:
    """A disk that takes `rate` MiB a second."""
    disk, file = place / f"{name}.disk", place / name
    file.touch()
    with disk.open("wb") as made:
        made.truncate(STICK)
    argv: list[str | Path] = [sys.executable, "-m", "tests.bench.together", "serve", disk, file, str(rate)]
    server = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    while not os.path.ismount(file):
        assert server.poll() is None, "the FUSE server did not start"
        time.sleep(0.02)
    try:
        node = call("losetup", "-P", "-f", "--show", file)
        try:
            yield node
        finally:
            subprocess.run(["partx", "-d", node], capture_output=True, check=False)
            call("losetup", "-d", node)
    finally:
        call("umount", "-l", file)
        server.wait(60)
        disk.unlink()


class LittleMemory(Pack):
    """A pack whose page cache keeps no more than KEPT bytes behind the one that is ahead."""

    def __init__(self, rule: Lockstep, drops: Callable[[str], None], image: Path) -> None:
        super().__init__(rule, drops)
        self._image = os.open(image, os.O_RDONLY)
        self._ahead = 0

    def told(self, name: str, at: int, wants: int) -> None:
        self._ahead = max(self._ahead, at)
        if self._ahead > KEPT:
            os.posix_fadvise(self._image, 0, self._ahead - KEPT, os.POSIX_FADV_DONTNEED)
        super().told(name, at, wants)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._image)


def bytes_read(node: str) -> int:
    """What a block device has read so far, in bytes."""
    return int(Path("/sys/block", Path(node).name, "stat").read_text().split()[2]) * 512


async def make(
    image: Path, digest: str, nodes: Sequence[str], *, together: bool, told: Callable[[str], None]
) -> list[float]:
    """Make a stick of each disk at once; the seconds that each took."""
    size = image.stat().st_size
    # a window as large as the image holds nobody
    pack = LittleMemory(Lockstep(nodes, size, LEAST if together else size, PATIENCE), told, image)
    begun = time.monotonic()

    async def one(node: str) -> float:
        target, source = os.open(node, os.O_RDWR), os.open(image, os.O_RDONLY)
        listed = replace(helpers.image("big.iso"), size=size, sha256=digest)
        order = StickOrder(
            StickOperation.CREATE,
            *(-1, node, int(Path("/sys/block", Path(node).name, "diskseq").read_text()), STICK, StickOptions()),
            add=(SourceImage(-1, listed),),
            in_step=True,
        )
        try:
            with tempfile.TemporaryDirectory() as directory:
                await worker.execute(
                    *(Spawner(user="", memory=1 << 30, staging=Path(directory)), order, [target, source]),
                    progress=lambda _now: None,
                    on_pause=lambda _hook: None,
                    pack=pack,
                    name=node,
                )
        finally:
            os.close(target)
            os.close(source)
        return time.monotonic() - begun

    try:
        return await asyncio.gather(*(one(node) for node in nodes))
    finally:
        pack.close()


def forget(path: Path) -> None:
    """Have a file read from its disk when somebody reads it again."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def bench(place: Path) -> None:
    """Print a line for each case."""
    print(
        f"An image of {IMAGE >> 20} MiB, a page cache that keeps {KEPT >> 20} MiB of it, a window of {LEAST >> 20} MiB"
    )
    filesystem, point = place / "images.ext4", place / "images"
    with filesystem.open("wb") as made:
        made.truncate(IMAGE + 128 * MIB)
    call("mkfs.ext4", "-q", "-F", "-m", "0", filesystem)
    point.mkdir()
    with loop(filesystem) as below:
        call("mount", below, point)
        try:
            image = point / "big.iso"
            with image.open("wb") as file:
                chosen = random.Random(1)
                for _number in range(IMAGE // MIB):
                    file.write(chosen.randbytes(MIB))
            with image.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            for case in CASES:
                forget(image)
                show(case, place, image, digest, below)
        finally:
            call("umount", point)


def show(case: Case, place: Path, image: Path, digest: str, below: str) -> None:
    """Run one case and print what it came to."""
    dropped: list[str] = []
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(slow(place, f"s{number}", rate)) for number, rate in enumerate(case.rates)]
        before = bytes_read(below)
        took = asyncio.run(make(image, digest, nodes, together=case.together, told=dropped.append))
        read = bytes_read(below) - before
    seconds = ", ".join(f"{each:.0f} s" for each in took)
    print(f"{case.name:50} {read / IMAGE:5.2f} x the image read, {seconds}; dropped out: {len(dropped)}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        _disk, _mountpoint, _rate = sys.argv[2:]
        SlowDisk.rate = int(_rate) * MIB
        fusedisk.main(_disk, os.devnull, _mountpoint, server=SlowDisk)
    else:
        with tempfile.TemporaryDirectory(prefix="luxusb-bench-", dir="/var/tmp") as made_:
            bench(Path(made_))
