"""Which processes keep a filesystem from being unmounted, or a disk from being opened.

Whoever looks needs the right to look into other users' processes (CAP_SYS_PTRACE); without it only its own are seen.
Nothing here touches the filesystem itself, which may hang: /proc tells everything (proc_pid_fdinfo(5): `mnt_id` is the
mount that a descriptor was opened through; proc_pid_maps(5) names the device of a mapped file).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from luxusbd.devices.describe import printable
from luxusbd.devices.mounts import read_mounts
from luxusbd.devices.sysfs import DevNumber, Roots

LIMIT = 20
"""Processes that are looked for; nobody closes more by hand."""


@dataclass(frozen=True)
class Holder:
    """A process with something open on a filesystem."""

    pid: int
    name: str
    """Its command, as /proc/PID/comm has it, fit to be shown."""


def find_holders(nodes: Collection[str], points: Collection[str], roots: Roots | None = None) -> tuple[Holder, ...]:
    """The processes that use these block devices or their filesystems, by process id; at most `LIMIT`.

    Args:
        nodes: block devices, by the kernel's names of their nodes; one that is gone is passed over.
        points: where they are mounted, for filesystems whose mounts do not show the device's number.
        roots: where /proc is.
    """
    roots = roots or Roots()
    numbers = set(_numbers(nodes))
    ids = {mount.id for mount in read_mounts(roots) if mount.dev in numbers or mount.point in points}
    found: list[Holder] = []
    for pid in sorted(int(entry.name) for entry in roots.proc.iterdir() if entry.name.isdigit()):
        directory = roots.proc / str(pid)
        if pid != os.getpid() and (_holds(directory, ids, numbers, points) or _has_open(directory, nodes)):
            found.append(Holder(pid, printable(_text(directory / "comm").strip()) or "?"))
            if len(found) == LIMIT:
                break
    return tuple(found)


def _numbers(nodes: Collection[str]) -> Iterator[DevNumber]:
    for node in nodes:
        try:
            yield DevNumber.from_raw(os.stat(node).st_rdev)  # noqa: PTH116
        except OSError:
            continue


def _holds(directory: Path, ids: Collection[int], numbers: Collection[DevNumber], points: Collection[str]) -> bool:
    for name in ("cwd", "root", "exe"):
        try:
            target = PurePosixPath((directory / name).readlink())
        except OSError:
            continue  # gone, a thread of the kernel, or not ours to see
        if any(target.is_relative_to(point) for point in points):
            return True
    mapped = {f"{number.major:02x}:{number.minor:02x}" for number in numbers}
    for line in _text(directory / "maps").splitlines():
        fields = line.split(maxsplit=4)
        if len(fields) > 3 and fields[3] in mapped:
            return True
    try:
        open_files = list((directory / "fdinfo").iterdir())
    except OSError:
        return False
    return any(_mount_id(file) in ids for file in open_files)


def _has_open(directory: Path, nodes: Collection[str]) -> bool:
    try:
        return any(str(link.readlink()) in nodes for link in (directory / "fd").iterdir())
    except OSError:
        return False  # it ended, closed something meanwhile, or is not ours to see


def _mount_id(file: Path) -> int:
    for line in _text(file).splitlines():
        key, _, value = line.partition(":")
        if key == "mnt_id":
            return int(value)
    return -1


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""  # it ended, or is not ours to see
