"""What a daemon must not leave behind: mounts, loop devices, temporary files. Processes are the reaper's business."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.daemon.daemon import Daemon

STORED = re.compile(r"[0-9a-f]{64}\.(iso|json)")
UNFINISHED = re.compile(r"[0-9a-f]{64}(\.part|\.part\.json|\.part\.json\.bak)")


@dataclass(frozen=True)
class Machine:
    """What was there before the daemon."""

    loops: frozenset[str]

    @classmethod
    def now(cls) -> Machine:
        return cls(frozenset(_loops()))

    def check_nothing_left(self, daemon: Daemon) -> None:
        """Assert that the machine is as before, and that the daemon's directories hold only what belongs there."""
        assert not daemon.running
        check_no_mounts(daemon)
        # beside its state lie the disks of the test, which take their devices down themselves
        new = {loop for loop in set(_loops()) - self.loops if f" {daemon.state}/" in loop}
        assert not new
        check_files(daemon)


def check_no_mounts(daemon: Daemon) -> None:
    """In no mount namespace that a process lives in is anything of the daemon's mounted."""
    found: list[str] = []
    seen: set[str] = set()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            namespace = str((process / "ns/mnt").readlink())
            if namespace in seen:
                continue
            seen.add(namespace)
            lines = (process / "mountinfo").read_text(errors="replace").splitlines()
        except OSError:
            continue  # it ended, or is another user's
        found += [line for line in lines if str(daemon.directory) in line]
    assert not found


def check_files(daemon: Daemon) -> None:
    """Nothing temporary in the directories of a daemon that ended cleanly or has nothing to do."""
    assert sorted(daemon.temporary.iterdir()) == []
    assert sorted((daemon.state / "staging").rglob("*")) == []
    strange = [path.name for path in (daemon.state / "images").iterdir() if not STORED.fullmatch(path.name)]
    strange += [path.name for path in (daemon.state / "incoming").iterdir() if not UNFINISHED.fullmatch(path.name)]
    assert strange == [], strange


def waiting_for_disks() -> str:
    """What the machine has to write yet, and who waits for that (proc(5), state D), for a failure's text."""
    found = [line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith(("Dirty", "Writeback"))]
    for process in Path("/proc").glob("[0-9]*/task/[0-9]*"):
        try:
            name, _closed, state = (process / "stat").read_text(errors="replace").rpartition(")")
            if state.split()[0] == "D":
                found.append(f"{name}) in {(process / 'wchan').read_text()}")
        except OSError:
            continue  # it ended
    return "; ".join(" ".join(line.split()) for line in found)


def _loops() -> Iterator[str]:
    """Each attached loop device with the path of its file."""
    for device in Path("/sys/block").glob("loop*"):
        try:
            yield f"{device.name} {(device / 'loop/backing_file').read_text(errors='replace').strip()}"
        except OSError:
            continue  # not attached
