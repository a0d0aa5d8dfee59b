"""Images onto sticks and back: beside dd, which writes the same bytes to the same disk."""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from luxusbd.process import find_program
from tests.stick import helpers

MIB = 1024 * 1024
GOAL = 0.95
"""Of the speed of dd."""
FILESYSTEMS = ("ext4", "exfat", "fat32")
SEVERAL = 3
WAYS = {"as it decides": None, "one after the other": float("inf"), "both at once": 0.0}
"""From which gain on images are read back while others are written."""
BEYOND = 420 * MIB
"""Of the disk, for boot files and the filesystem itself."""


@dataclass(frozen=True)
class Disk:
    """Something that is measured."""

    name: str
    node: str
    size: int
    image: int
    """Bytes that are written."""
    rounds: int


@dataclass
class Waiting:
    """The most that memory held for a disk, in MiB."""

    most: float = 0.0


@dataclass
class Case:
    """The rounds of one filesystem on one disk, in seconds."""

    dd_write: list[float] = field(default_factory=list)
    dd_read: list[float] = field(default_factory=list)
    write: list[float] = field(default_factory=list)
    read: list[float] = field(default_factory=list)
    checkpoint: list[float] = field(default_factory=list)
    silence: list[float] = field(default_factory=list)
    dd_waiting: list[float] = field(default_factory=list)
    waiting: list[float] = field(default_factory=list)


def bench(directory: Path, memory: Path) -> None:
    """Print the tables.

    Args:
        directory: on a real disk, with room for 2 GiB.
        memory: where reading costs nothing, with room for 2 GiB.
    """
    with real_disk(directory) as disk:
        measure(disk, memory)
    with slow_disk(memory) as disk:
        measure(disk, memory)


def measure(disk: Disk, memory: Path) -> None:
    """All filesystems on one disk."""
    print(f"\n{disk.name}, {disk.image // MIB} MiB, {disk.rounds} rounds in turn\n")
    source = memory / "source"
    hasher = hashlib.sha256()
    with source.open("wb") as file:
        for _number in range(disk.image // MIB):
            data = os.urandom(MIB)
            hasher.update(data)
            file.write(data)
    try:
        for filesystem in FILESYSTEMS:
            show(filesystem, rounds(disk, filesystem, source, hasher.hexdigest()), disk.image)
    finally:
        source.unlink()
    several(disk, memory)


def several(disk: Disk, memory: Path) -> None:
    """Three images of a third of the size, read back while others are written or not."""
    images = []
    for number in range(SEVERAL):
        path = memory / f"source{number}"
        path.write_bytes(os.urandom(disk.image // SEVERAL))
        images.append([str(path), f"image{number}.iso", hashlib.sha256(path.read_bytes()).hexdigest()])
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    try:
        for _round in range(disk.rounds):
            for way, worth in WAYS.items():
                job(disk, "ext4", "create", [])
                found[way].append(job(disk, "ext4", "add", images, worth)["all"])
    finally:
        for name, *_rest in images:
            Path(name).unlink()
    print(f"\n{SEVERAL} images of {disk.image // SEVERAL // MIB} MiB written and read back\n")
    for way, seconds in found.items():
        print(f"| {way} | {spread(seconds)} |", flush=True)


def rounds(disk: Disk, filesystem: str, source: Path, sha256: str) -> Case:
    """dd and the writer in turn."""
    case = Case()
    for number in range(disk.rounds):
        image = [str(source), f"image{number}.iso", sha256]

        with waiting(disk.node) as held:
            case.dd_write.append(timed("dd", f"if={source}", f"of={disk.node}", "bs=4M", "conv=fsync"))
        case.dd_waiting.append(held.most)
        count = str(disk.image // (4 * MIB))
        case.dd_read.append(timed("dd", f"if={disk.node}", "of=/dev/null", "bs=4M", f"count={count}", "iflag=direct"))
        job(disk, filesystem, "create", [])
        with waiting(disk.node) as held:
            found = job(disk, filesystem, "add", [image])
        case.waiting.append(held.most)
        case.write.append(found["write"])
        case.read.append(found["read-back"])
        case.checkpoint.append(found["checkpoint"])
        case.silence.append(found["silence"])
    return case


def show(filesystem: str, case: Case, size: int) -> None:
    """One filesystem as rows of a table."""

    def speed(seconds: list[float]) -> str:
        return f"{spread(seconds)}, {size / MIB / statistics.median(seconds):.0f} MiB/s"

    for what, theirs, ours in (("write", case.dd_write, case.write), ("read back", case.dd_read, case.read)):
        ratio = statistics.median(theirs) / statistics.median(ours)
        print(
            f"| {filesystem}, {what} | {speed(ours)} | {speed(theirs)}"
            f" | {ratio:.2f} | {'met' if ratio >= GOAL else 'missed'} |"
        )
    print(
        f"| … after the last byte was counted | {spread(case.checkpoint)} | | | |\n"
        f"| … longest time without news | {max(case.silence):.2f} s | | | |\n"
        f"| … most that waited in memory | {max(case.waiting):.0f} MiB | {max(case.dd_waiting):.0f} MiB | | |",
        flush=True,
    )


def spread(seconds: list[float]) -> str:
    """Median, least and most."""
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} .. {max(seconds):.2f})"


def timed(program: str, *arguments: str) -> float:
    """Seconds that a command takes."""
    began = time.perf_counter()
    subprocess.run([find_program(program), *arguments], check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def job(
    disk: Disk, filesystem: str, operation: str, images: list[list[str]], worth: float | None = None
) -> dict[str, float]:
    """What the writer says of a job."""
    order = {
        "operation": operation,
        "node": disk.node,
        "size": disk.size,
        "filesystem": filesystem,
        "images": images,
        "worth": worth,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.mediumjob", json.dumps(order)], check=True, stdout=subprocess.PIPE
    )
    return dict(json.loads(done.stdout))


@contextmanager
def waiting(node: str) -> Iterator[Waiting]:
    """How much memory held at most meanwhile of what was still to be written to a disk (debugfs, bdi)."""
    held = Waiting()
    end = threading.Event()
    status = Path(node).stat()
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    with tempfile.TemporaryDirectory(prefix="luxusb-bench-") as point:
        subprocess.run(["mount", "-t", "debugfs", "luxusb-bench", point], check=True)
        stats = Path(point) / "bdi" / number / "stats"

        def watch() -> None:
            while not end.wait(0.02):
                rows = dict(line.split(":") for line in stats.read_text("ascii").splitlines())
                kib = sum(int(rows[name].split()[0]) for name in ("BdiWriteback", "BdiReclaimable"))
                held.most = max(held.most, kib / 1024)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield held
        finally:
            end.set()
            thread.join()
            subprocess.run(["umount", point], check=True)


@contextmanager
def real_disk(directory: Path) -> Iterator[Disk]:
    """A loop device on a file on the machine's disk, past the page cache."""
    image = 1024 * MIB
    path = directory / "disk"
    try:
        with path.open("wb") as file:
            # blocks that are there already: else dd, which comes first, would have to wait for them
            os.posix_fallocate(file.fileno(), 0, image + BEYOND)
            for _number in range((image + BEYOND) // MIB):
                file.write(bytes(MIB))
        with helpers.loop_device(path, "--direct-io=on") as node:
            yield Disk("A loop device on the machine's disk", node, image + BEYOND, image, 5)
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def slow_disk(memory: Path) -> Iterator[Disk]:
    """A disk as slow as a stick."""
    image = 256 * MIB
    path, log, point = memory / "slow", memory / "log", memory / "slow-disk"
    with path.open("wb") as file:
        file.truncate(image + BEYOND)
    for each in (log, point):
        each.write_bytes(b"")
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.slowdisk", path, log, point], stdin=subprocess.DEVNULL
    )
    try:
        until(lambda: os.path.ismount(point))
        with helpers.loop_device(point, "--direct-io=on") as node:
            yield Disk("A disk of 40 MB/s (writes) and 100 MB/s (reads)", node, image + BEYOND, image, 3)
    finally:
        # the server is not waited for: it would end with the last mount namespace that has it, and others were made
        # meanwhile; and where it is gone, nobody sees any more that something is mounted there
        if os.path.ismount(point):
            subprocess.run(["umount", "-l", point], check=True)
        server.kill()
        server.wait()
        for each in (path, log, point):
            each.unlink()


def until(there: Callable[[], bool]) -> None:
    """Wait up to 10 seconds."""
    end = time.monotonic() + 10
    while not there():
        if time.monotonic() > end:
            raise RuntimeError("the slow disk did not start")
        time.sleep(0.02)
