"""What holds a disk without being a block device on it, a mount or active swap.

Sources: Documentation/admin-guide/bcache.rst (a registered device has a directory `bcache`), OpenZFS
(/proc/spl/kstat/zfs has a directory for each imported pool), Documentation/power/swsusp.rst and
Documentation/ABI/testing/sysfs-power (`/sys/power/resume`, `resume=`), libblkid's names for what is on a disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from luxusbd.devices.describe import read_udev
from luxusbd.devices.mounts import unescape
from luxusbd.devices.sysfs import DevNumber, Roots, block_names, names_in, partition_names, read_text

_BY_TAG = {"UUID": "by-uuid", "PARTUUID": "by-partuuid", "LABEL": "by-label", "PARTLABEL": "by-partlabel"}


@dataclass(frozen=True)
class Claims:
    """By kernel names of disks and partitions."""

    held: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What holds them, a clause each."""
    resume: frozenset[str] = frozenset()
    """Into these the running system would write its memory."""
    asleep: frozenset[str] = frozenset()
    """In these lies the memory of a hibernated system, whichever it is."""
    swap_spaces: frozenset[str] = frozenset()
    """These hold swap space, active or not, as far as udev knows."""


def read_claims(roots: Roots, numbers: Mapping[str, DevNumber]) -> Claims:
    """Look at all disks and partitions. Raises `OSError` when something that exists cannot be read.

    Args:
        roots: where to look.
        numbers: device number of each, by kernel name.
    """
    pools = frozenset(
        name for name in names_in(roots.proc / "spl/kstat/zfs") if (roots.proc / "spl/kstat/zfs" / name).is_dir()
    )
    held: dict[str, tuple[str, ...]] = {}
    asleep: set[str] = set()
    swap: set[str] = set()
    for name, place in _places(roots):
        if name not in numbers:
            continue
        if (place / "bcache").is_dir():
            # a cache is let go of through its set, which has no name of its own there
            stop = "set/stop" if "set" in names_in(place / "bcache") else "stop"
            held[name] = (
                f"bcache has {name} registered; let go of it with: echo 1 > /sys/class/block/{name}/bcache/{stop}",
            )
        known = read_udev(numbers[name], str(place), roots)
        if known.filesystem == "zfs_member" and pools and (not known.label or known.label in pools):
            pool = known.label or "?"
            held[name] = (f"it belongs to the ZFS pool {pool}; let go of it with: zpool export {pool}",)
        elif known.filesystem == "swsuspend":
            asleep.add(name)
        elif known.filesystem == "swap":
            swap.add(name)
    return Claims(held, frozenset(_resume(roots, numbers)), frozenset(asleep), frozenset(swap | asleep))


def _places(roots: Roots) -> Iterator[tuple[str, Path]]:
    for name in block_names(roots):
        place = (roots.sys / "block" / name).resolve()
        yield name, place
        yield from ((part, place / part) for part in partition_names(place))


def _resume(roots: Roots, numbers: Mapping[str, DevNumber]) -> Iterator[str]:
    """What the kernel was told to resume from: by sysfs, which an initramfs sets, and by its command line."""
    names = {str(number): name for name, number in numbers.items()}
    told = read_text(roots.sys / "power/resume")
    if told in names:
        yield names[told]
    for word in read_text(roots.proc / "cmdline").split():
        key, _, value = word.partition("=")
        if key != "resume" or not value:
            continue
        value = value.strip('"')
        tag, _, wanted = value.partition("=")
        if value in names:
            yield names[value]
        elif tag in _BY_TAG:
            target = (roots.dev / "disk" / _BY_TAG[tag] / wanted.strip('"')).resolve().name
            yield from (target,) if target in numbers else ()
        else:
            target = (roots.dev / unescape(value).removeprefix("/dev/")).resolve().name
            yield from (target,) if target in numbers else ()
