"""e2fsck on a data partition: first what needs no decision, then, only where that is not enough, everything.

Exit status of e2fsck(8): 1 and 2 mean that errors were corrected, 4 that some are left, 8 and up that it could not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from luxusbd import process
from luxusbd.errors import DeviceDamagedError, DeviceFailingError
from luxusbd.stick.blockio import finish
from luxusbd.stick.layout import BLOCK
from luxusbd.text import clean

DYING = "the stick is dying: it gives back input/output errors; copy off it what you still need, and take another stick"
MAX_LINES = 50
LINE_LIMIT = 200
_TIMEOUT = 3600
_MENDED = 3
_LEFT = 4
_NOISE = re.compile(
    r"e2fsck[ :]|Pass \d|.*: \d+/\d+ files \(|.*\*\*\*\*\* |.*RUN fsck MANUALLY|\(i\.e\., without|[A-Z][a-z ]*\? yes$|$"
)
_ANSWER = re.compile(r"\s*\b[A-Z][A-Za-z ]*\? yes$")
_DESCRIPTORS = re.compile(r"Corrupt group descriptor|Group descriptors look bad|group descriptor checksums are invalid")
_SICK = re.compile(r"Input/output error|short read|Remote I/O error")


@dataclass(frozen=True)
class Mended:
    """What e2fsck did."""

    forced: bool
    """Whether it had to decide: files may be in lost+found, or gone."""
    lines: tuple[str, ...]
    """What it said of it, for people; at most `MAX_LINES`."""


async def is_sound(target: str, pass_fds: Sequence[int] = ()) -> bool:
    """Look through the whole filesystem without writing.

    Raises:
        DeviceFailingError: the medium gives input/output errors.
    """
    return not (await _run(["-f", "-n"], target, pass_fds)).status


async def mend(target: str, pass_fds: Sequence[int] = (), *, readable: bool, backup: int) -> Mended:
    """Mend a filesystem.

    Args:
        target: node or file, as e2fsck takes it.
        pass_fds: descriptors that the name needs.
        readable: whether the first superblock looks like one.
        backup: block of a copy of it that can be used instead, or 0.

    Raises:
        DeviceDamagedError: it cannot be mended.
        DeviceFailingError: the medium gives input/output errors.
    """
    lines: tuple[str, ...] = ()
    if readable and backup and await _descriptors_are_bad(target, pass_fds):
        # even -p believes in broken descriptors, deletes what they lead to and overwrites their copies
        readable = False
    if readable:
        done = await _run(["-f", "-p"], target, pass_fds)
        if not done.status & ~_MENDED:
            return Mended(False, done.lines)
        if done.status & _LEFT:
            done = await _thorough(target, pass_fds)
            if not done.status & ~_MENDED:
                return Mended(True, done.lines)
        lines = done.lines
    if backup:
        # said by name: left to itself, e2fsck 1.47 looks for the copies without the offset that a file needs
        done = await _thorough(target, pass_fds, "-b", str(backup), "-B", str(BLOCK))
        if not done.status & ~_MENDED:
            return Mended(True, ("superblock or descriptors are unusable; a copy of them was used", *done.lines))
        lines = done.lines
    said = f": {'; '.join(lines[-5:])}" if lines else ""
    raise DeviceDamagedError(
        f"the filesystem of the data partition cannot be mended{said}; create the stick again, which erases it"
    )


async def _descriptors_are_bad(target: str, pass_fds: Sequence[int]) -> bool:
    said = (await _run(["-f", "-n"], target, pass_fds)).said
    return _DESCRIPTORS.search(said) is not None


async def _thorough(target: str, pass_fds: Sequence[int], *where: str) -> _Run:
    first = await _run(["-f", "-y", *where], target, pass_fds)
    if not first.status & _LEFT:
        return first
    # what one run mends may show what another one has to
    again = await _run(["-f", "-y"], target, pass_fds)
    return _Run(again.status, (*first.lines, *again.lines)[:MAX_LINES])


@dataclass(frozen=True)
class _Run:
    status: int
    lines: tuple[str, ...]
    said: str = ""
    """All that it said."""


async def _run(options: Sequence[str], target: str, pass_fds: Sequence[int]) -> _Run:
    done = await finish(process.run(["e2fsck", *options, target], pass_fds=pass_fds, check=False, timeout=_TIMEOUT))
    said = done.stdout.decode("utf-8", "replace") + "\n" + done.stderr
    if _SICK.search(said):
        raise DeviceFailingError(DYING)
    lines = [clean(_ANSWER.sub("", line), LINE_LIMIT) for line in said.splitlines() if not _NOISE.match(line.strip())]
    return _Run(done.returncode, tuple(line for line in lines if line)[:MAX_LINES], said)
