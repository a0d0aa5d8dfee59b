"""What the kernel's process tables say about mounts and swap: /proc/*/mountinfo and /proc/swaps.

Formats: proc_pid_mountinfo(5) and proc_swaps(5). Both escape white space and backslashes as three octal digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from luxusbd.devices.sysfs import DevNumber, Roots, read_text

_NO_MEMORY = "0 "
"""Begins the statm of the kernel's own threads, which are in the namespace of PID 1, and of processes that ended."""
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """One line of a mountinfo."""

    dev: DevNumber
    """The filesystem's device; an anonymous 0:N for btrfs, overlay and everything without one block device."""
    point: str
    fstype: str
    source: str
    options: str
    """The filesystem's own options (the last field)."""
    place: str = ""
    """Empty in this process's mount namespace, else whose namespace it was seen in."""
    id: int = 0
    """The kernel's number of this mount, unique in all namespaces; /proc/PID/fdinfo names it."""
    ours: bool = True
    """Whether it belongs to the running system: this process's namespace or that of PID 1."""


@dataclass(frozen=True)
class Swap:
    """One line of /proc/swaps."""

    path: str
    is_file: bool


def unescape(text: str) -> str:
    r"""Undo the octal escapes (`\040` for a space) of mountinfo and swaps."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


def parse_mountinfo(text: str) -> Iterator[Mount]:
    """The mounts in a mountinfo; a line that is cut short (the process ended while it was read) is left out."""
    for line in text.splitlines():
        before, dash, after = line.partition(" - ")
        left, right = before.split(), after.split(" ")
        if not dash or len(left) < 6 or len(right) < 2:
            continue
        yield Mount(
            id=int(left[0]),
            dev=DevNumber.parse(left[2]),
            point=unescape(left[4]),
            fstype=unescape(right[0]),
            source=unescape(right[1]),
            options=" ".join(right[2:]),
        )


def parse_swaps(text: str) -> Iterator[Swap]:
    """The active swap areas, without the heading."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 2:
            yield Swap(unescape(fields[0]), is_file=fields[1] == "file")


def read_swaps(roots: Roots) -> tuple[Swap, ...]:
    """All active swap of the machine."""
    return tuple(parse_swaps(read_text(roots.proc / "swaps")))


def read_mounts(roots: Roots) -> tuple[Mount, ...]:
    """Every mount that can be seen: here first, then in the namespaces of all processes that may be looked into.

    A namespace is read once for each root directory in it, since a process in a chroot sees only what lies below it.
    The links that name the two take the right to trace the process, which a service with few capabilities lacks even
    as root; everybody may read the tables themselves, so that without the links every process is asked and the same
    answer is taken once. Namespaces that no process is in (bind-mounted ones) stay unseen; the filesystems' own sysfs
    entries and the exclusive open catch what is mounted there.
    """
    own = _text(roots.proc / "self" / "mountinfo")
    found = list(parse_mountinfo(own))
    seen: set[tuple[str, str]] = {key for key in (_namespace(roots.proc / "self"),) if key}
    told = {own}
    for pid in _pids(roots.proc):
        directory = roots.proc / str(pid)
        key = _namespace(directory)
        if key in seen or (key is None and _text(directory / "statm").startswith(_NO_MEMORY)):
            continue
        text = _text(directory / "mountinfo")
        if not text:
            continue  # it ended
        if key is not None:
            seen.add(key)
        elif text in told:
            continue
        told.add(text)
        name = _text(directory / "comm").strip() or "?"
        place = f"the mount namespace of process {pid} ({name})"
        found += [replace(mount, place=place, ours=pid == 1) for mount in parse_mountinfo(text)]
    return tuple(found)


def mount_of(path: str, mounts: Sequence[Mount]) -> Mount | None:
    """The mount that a path lies on, judged by the longest mount point of this process's namespace."""
    target = PurePosixPath(path)
    best: Mount | None = None
    for mount in mounts:
        if mount.place or not target.is_relative_to(mount.point):
            continue
        # Of two on the same point the later one covers the earlier.
        if best is None or len(PurePosixPath(mount.point).parts) >= len(PurePosixPath(best.point).parts):
            best = mount
    return best


def overlay_layers(mount: Mount) -> tuple[str, ...]:
    """The directories under an overlay, as they were named when it was mounted (overlayfs.rst: lowerdir, upperdir)."""
    found: list[str] = []
    for option in mount.options.split(","):
        key, _, value = option.partition("=")
        if key in ("lowerdir", "upperdir", "lowerdir+", "datadir+"):
            found += [unescape(part) for part in value.split(":") if part]
    return tuple(found)


def _pids(proc: Path) -> list[int]:
    return sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdigit())


def _namespace(directory: Path) -> tuple[str, str] | None:
    try:
        return str((directory / "ns" / "mnt").readlink()), str((directory / "root").readlink())
    except OSError:
        return None  # gone, or not ours to look into


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
