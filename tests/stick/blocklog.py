"""Records what a disk is told to write and to flush, and makes the disks that a power cut in between could leave.

The disk is a loop device with direct I/O on a FUSE file of which `fusedisk` logs every write and every flush. Requests
are served one after the other, so that the log has them in the order in which a disk would have taken them. A write is
answered once it is in the log, so a flush that the kernel sends after the answer comes after it there too, and covers
all that stands before it. Of what comes after the last flush a disk may keep any part in any order, and a write may be
torn between sectors of 512 bytes; the sectors themselves are taken as atomic. `Cuts` makes just such disks.

Cleared ranges (discard) are refused by the disk, as by most sticks. qemu-storage-daemon with its `blklogwrites` would
do the same, but its FUSE export of QEMU 7.2 mixes up the bytes of writes that arrive while another one is served.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from luxusbd.stick.blockio import write_all
from tests.stick import helpers
from tests.stick.fusedisk import RECORD

SECTOR = 512


@dataclass(frozen=True)
class Entry:
    """One request to the disk; a flush has no data."""

    offset: int
    data: bytes
    flush: bool


@dataclass
class Recording:
    """A disk whose writes are recorded."""

    node: str
    log: Path
    steps: list[tuple[str, int]] = field(default_factory=list)
    """Names that the writer gave to moments, with the length of the log at that time."""

    def __call__(self, step: str) -> None:
        """Note a step: the `after_step` of a writer."""
        self.steps.append((step, self.log.stat().st_size))


@contextmanager
def recorded(disk: Path, work: Path) -> Iterator[Recording]:
    """A loop device on `disk`, whose writes go to a log until the end of the block."""
    log, mountpoint = work / "writes.log", work / "disk-recorded"
    for path in (log, mountpoint):
        path.write_bytes(b"")
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.stick.fusedisk", disk, log, mountpoint], stdin=subprocess.DEVNULL
    )
    try:
        while not os.path.ismount(mountpoint):
            assert server.poll() is None, "the FUSE server did not start"
            time.sleep(0.02)
        with helpers.loop_device(mountpoint, "--direct-io=on") as node:
            yield Recording(node, log)
        subprocess.run(["umount", mountpoint], check=True)
        server.wait(60)
    finally:
        server.kill()
        server.wait()
        if os.path.ismount(mountpoint):
            subprocess.run(["umount", "-l", mountpoint], check=True)
    assert server.returncode == 0, server.returncode


def read_log(path: Path) -> tuple[tuple[Entry, ...], tuple[int, ...]]:
    """The entries of a log, and how long it was after each of them."""
    data = path.read_bytes()
    entries, ends = [], []
    at = 0
    while at < len(data):
        kind, offset, length = RECORD.unpack_from(data, at)
        at += RECORD.size + length
        assert at <= len(data), "the log is cut short"
        assert kind in (b"W", b"F")
        entries.append(Entry(offset, data[at - length : at], kind == b"F"))
        ends.append(at)
    return tuple(entries), tuple(ends)


class Cuts:
    """Makes disks as power cuts would leave them; asked for prefixes of the log in rising order.

    Args:
        before: the disk as it was before the first entry; it is changed as the cuts proceed.
        entries: what was written.
    """

    def __init__(self, before: Path, entries: Sequence[Entry]) -> None:
        self._durable = before
        self._entries = entries
        self._done = 0

    def make(self, path: Path, prefix: int, chance: random.Random) -> str:
        """A disk that got the first `prefix` entries; says what became of those that were not flushed.

        Args:
            path: where the disk goes.
            prefix: no less than that of the call before.
            chance: decides on what was not flushed.
        """
        flushed = max((at for at in range(prefix) if self._entries[at].flush), default=self._done)
        with self._durable.open("r+b") as file:
            for entry in self._entries[self._done : flushed]:
                write_all(file.fileno(), entry.data, entry.offset)
        self._done = max(self._done, flushed)
        copy(self._durable, path)
        tail = [entry for entry in self._entries[self._done : prefix] if entry.data]
        kept = chance.choice((0, 0.2, 0.5, 0.8, 1))
        torn = chance.choice((0, 0.1, 0.5))
        pieces: list[tuple[int, bytes]] = []
        whole = broken = 0
        for entry in tail:
            if chance.random() >= kept:
                continue
            if chance.random() < torn:
                broken += 1
                pieces += _torn(entry, chance)
            else:
                whole += 1
                pieces.append((entry.offset, entry.data))
        chance.shuffle(pieces)
        with path.open("r+b") as file:
            for offset, data in pieces:
                write_all(file.fileno(), data, offset)
        return f"{len(tail)} writes not flushed, {whole} of them kept, {broken} torn"


def _torn(entry: Entry, chance: random.Random) -> list[tuple[int, bytes]]:
    count = len(entry.data) // SECTOR
    if chance.random() < 0.5:
        # as a disk that writes from the front to the back
        chosen: Sequence[int] = range(chance.randrange(count + 1))
    else:
        chosen = [number for number in range(count) if chance.random() < 0.5]
    return [(entry.offset + at * SECTOR, entry.data[at * SECTOR : (at + 1) * SECTOR]) for at in chosen]


def copy(source: Path, target: Path) -> None:
    """Make a sparse copy of a disk."""
    subprocess.run(["cp", "--sparse=always", source, target], check=True)
