"""Changes that live systems keep: started twice with real images, and looked into in between: `make boot-changes`.

The first start has to leave something in the room for changes. Then a program of the system is replaced in there, and
nowhere else; the second start has to run it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from luxusbd.images.model import Firmware
from luxusbd.stick import reader, target
from luxusbd.stick.blockio import read_at
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import PartitionRole
from tests.harness.service import ROOT, Service
from tests.matrix import boots, systems, ubuntu
from tests.matrix.cases import EVERYWHERE, FILESYSTEMS, SYSTEMS, Result, Row, System, expected, userland

HERE = ROOT / "build" / "matrix"
SIZE = 1024**3
ROOM = "200MiB"
WRITTEN = 20.0
"""Seconds in which the kernel brings onto the stick what the system has written; ext4 does after five."""
SIGN = "userland: changes are kept"
_SAY = f"#!/bin/sh\nprintf '\\r\\n{SIGN}\\r\\n' >/dev/ttyS0\n"
_PROGRAM = ("usr", "local", "sbin", "say-what-runs")


class Place(Enum):
    """Where a case keeps its changes."""

    PARTITION = "the persistence partition"
    DIRECTORY = "a directory of the data partition"
    FILE = "a file with ext4 at the root of the data partition"


@dataclass(frozen=True)
class Case:
    """One image on one filesystem, and where the changes of its root directory are."""

    image: str
    filesystem: Kind
    place: Place
    upper: str
    """The directory of the changes in that place."""


CASES = (
    Case("debian-live", Kind.EXT4, Place.PARTITION, "rw"),
    Case("debian-live", Kind.FAT32, Place.PARTITION, "rw"),
    Case("dracut-live", Kind.EXT4, Place.DIRECTORY, "overlay"),
    Case("opensuse-live", Kind.EXT4, Place.FILE, "rw"),
    Case("ubuntu", Kind.EXT4, Place.PARTITION, "upper"),
)
_OPENSUSE = System(
    "opensuse-live", "Live system by kiwi, named as openSUSE's", "opensuse-live", "", EVERYWHERE, memory_mib=1024
)
"""It starts as kiwi-live does, which the matrix has, and keeps changes in a way of its own."""
_UBUNTU = System("ubuntu", "Live system by casper", "casper", "", EVERYWHERE, memory_mib=1536)
"""Not in the matrix, since its packages are not Debian's."""


def main() -> int:
    """Run the cases that the words name; 0 when all keep changes."""
    parser = argparse.ArgumentParser(prog="make boot-changes", description=__doc__)
    parser.add_argument("only", nargs="*", help="parts of names of images or filesystems")
    only = parser.parse_args().only
    chosen = [case for case in CASES if all(word in f"{case.image} {case.filesystem}" for word in only)]
    if not only and not ubuntu.ARCHIVE:
        # it can be had from another archive than this machine's own alone, which somebody has to name
        chosen = [case for case in chosen if case.image != _UBUNTU.image]
    return asyncio.run(_run(chosen))


async def _run(chosen: Sequence[Case]) -> int:
    images = await systems.make(frozenset(case.image for case in chosen), HERE / "images")
    failed = 0
    for case in chosen:
        began = time.monotonic()
        kept, said = await _case(case, images[case.image])
        failed += not kept
        shown = "kept" if kept else "LOST"
        print(f"{case.image} / {case.filesystem}: {shown} ({time.monotonic() - began:.0f} s): {said}", flush=True)
    return 1 if failed else 0


async def _case(case: Case, image: Path) -> tuple[bool, str]:
    stick = HERE / "changes.img"
    stick.unlink(missing_ok=True)
    async with Service(HERE / f"state-{os.getpid()}", catalogue=None, log=HERE / "luxusbd.log") as service:
        await service.ask(
            *("create", "--image-file", str(stick), "--size", str(SIZE), "--yes", "--serial-console"),
            *("--filesystem", case.filesystem.value, "--persistence", f"{image}={ROOM}", str(image)),
            *(("--persistence-partition", ROOM) if case.place is Place.PARTITION else ()),
            timeout=600,
        )
        (listed,) = (await service.ask("contents", "--image-file", str(stick)))["images"]
    row = _row(case)
    first = await boots.start(stick, str(listed["title"]), row, HERE / "consoles", written=WRITTEN)
    if first.result is not Result.BOOTED:
        return False, f"the first start: {first.evidence}"
    left = await asyncio.to_thread(_look_into, case, stick)
    again = replace(row, system=replace(row.system, sign=SIGN), expected=replace(row.expected, sign=SIGN))
    second = await boots.start(stick, str(listed["title"]), again, HERE / "consoles", written=WRITTEN)
    return second.result is Result.BOOTED, f"{left} after the first start; the second: {second.evidence}"


def _row(case: Case) -> Row:
    system: System = next(
        system for system in (*SYSTEMS, _OPENSUSE, _UBUNTU) if system.image == case.image and not system.entry
    )
    # all of them by an overlay, also where the root directory is of another kind without changes
    sign = userland("overlay", "Ubuntu" if system is _UBUNTU else "Debian GNU/Linux")
    system = replace(system, entry="with saved changes", name=f"{system.name}, with changes", sign=sign)
    place = next(filesystem for filesystem in FILESYSTEMS if filesystem.name == case.filesystem)
    return Row(system, Firmware.BIOS, place, expected(system, Firmware.BIOS, place))


def _look_into(case: Case, stick: Path) -> str:
    """What the first start left; puts the other program there."""
    role = PartitionRole.PERSISTENCE if case.place is Place.PARTITION else PartitionRole.DATA
    with stick.open("r+b") as file:
        found = reader.read_stick(file.fileno(), SIZE)
        assert found is not None
        kept = found.manifest.images[0].kept
        assert kept is not None
        part = target.stick_layout(read_at(file.fileno()), SIZE).partition(role)
        work = HERE / "partition.img"
        work.write_bytes(os.pread(file.fileno(), part.size, part.start))
        if case.place is Place.FILE:
            left = _change_inside(work, kept.name, case.upper)
        else:
            left = _change(work, f"/{kept.directory}/{case.upper}".replace("//", "/"))
        os.pwrite(file.fileno(), work.read_bytes(), part.start)
        work.unlink()
    return left


def _change_inside(filesystem: Path, name: str, upper: str) -> str:
    """The same in the filesystem that a file at the root of this one holds."""
    checked = subprocess.run(["e2fsck", "-fy", filesystem], capture_output=True, check=False).returncode
    assert checked in (0, 1), checked
    inside = HERE / "inside.img"
    inside.unlink(missing_ok=True)
    _debugfs(filesystem, f"dump /{name} {inside}")
    left = _change(inside, f"/{upper}")
    _debugfs(filesystem, f"rm /{name}", f"write {inside} {name}")
    inside.unlink()
    return left


def _change(filesystem: Path, upper: str) -> str:
    """Names that the system made in the directory of its changes, in an ext4 that was not unmounted."""
    checked = subprocess.run(["e2fsck", "-fy", filesystem], capture_output=True, check=False).returncode
    assert checked in (0, 1), checked
    listed = _debugfs(filesystem, f"ls -p {upper}")
    names = [line.split("/")[5] for line in listed.splitlines() if line.count("/") > 5]
    made = [name for name in names if name not in (".", "..")]
    if not made:
        raise RuntimeError(f"the first start left nothing in {upper}: {listed}")
    script = HERE / "say"
    script.write_text(_SAY)
    path = upper
    commands = []
    for name in _PROGRAM[:-1]:
        path = f"{path}/{name}"
        commands.append(f"mkdir {path}")
    commands += [
        f"cd {path}",
        f"rm {_PROGRAM[-1]}",
        f"write {script} {_PROGRAM[-1]}",
        f"sif {_PROGRAM[-1]} mode 0100755",
    ]
    _debugfs(filesystem, *commands)
    script.unlink()
    return ", ".join(made[:6])


def _debugfs(filesystem: Path, *commands: str) -> str:
    done = subprocess.run(
        ["debugfs", "-w", "-f", "-", filesystem],
        input="".join(f"{command}\n" for command in commands),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
