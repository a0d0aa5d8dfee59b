"""ProbeCapacity beside f3probe, on files that lie about their size: what each says, and what it asks of the disk."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from luxusbd.process import find_program
from luxusbd.stick.directdisk import DirectDisk
from luxusbd.stick.probing import Prober
from luxusbd.stick.progress import Progress
from luxusbd.stick.putback import put_back
from luxusbd.stick.quickprobe import quick
from luxusbd.stick.saved import Saved
from luxusbd.text import size_text
from tests.stick.liars import Lie
from tests.stick.lyingfile import counted, lying

MIB = 1024 * 1024
GIB = 1024 * MIB
TIMEOUT = 1200


@dataclass(frozen=True)
class Case:
    """A disk."""

    name: str
    size: int
    real: int
    lie: Lie
    cache: int = 0


REAL = 175 * MIB + 12288
CASES = (
    Case("wraps", GIB, REAL, Lie.WRAPS),
    Case("256 KiB at the end answer for the rest", GIB, REAL, Lie.WINDOW),
    Case("drops, zeros", GIB, REAL, Lie.ZEROS),
    Case("all but 3 % is real", GIB, 993 * MIB, Lie.ZEROS),
    Case("genuine", GIB, GIB, Lie.NONE),
    Case("drops, and remembers 48 MiB", GIB, REAL, Lie.ZEROS, cache=48 * MIB),
)


@dataclass(frozen=True)
class Outcome:
    """What a tool said of a disk; `usable` is bytes, -1 where it found none."""

    kind: str
    usable: int


def ours(node: str) -> Outcome:
    """The engine as the service's worker uses it, with what was there kept and put back."""
    fd = os.open(node, os.O_RDWR | os.O_CLOEXEC)
    progress = Progress(lambda _now: None)
    try:
        with DirectDisk(fd) as disk, tempfile.TemporaryFile() as file:
            saved = Saved(file.fileno())
            found = quick(Prober(disk, progress), saved)
            put_back(disk, progress, saved)
    finally:
        os.close(fd)
    return Outcome(found.verdict.value, found.capacity)


def f3probe(node: str) -> Outcome:
    """f3probe, which keeps what was there in memory and puts it back."""
    said = subprocess.run(
        [find_program("f3probe"), "--reset-type=2", node], capture_output=True, text=True, timeout=TIMEOUT, check=False
    ).stdout
    usable = re.search(r"\*Usable\* size: .* \((\d+) blocks\)", said)
    kind = re.search(r"(?:Good|Bad) news: The device `.*' is (.*)", said)
    if kind is None:
        return Outcome(f"failed: {said.strip().splitlines()[-1:]}", -1)
    return Outcome(kind[1].strip("!"), int(usable[1]) * 512 if usable else -1)


TOOLS = {"luxusb": ours, "f3probe": f3probe}


def bench(place: Path | None) -> None:
    """Measure and print; the files go to `place`, or to the usual place for temporary ones."""
    if os.geteuid() != 0:
        print("probe: loop devices need root; left out", file=sys.stderr)
        return
    print(f"ProbeCapacity beside f3probe, load {os.getloadavg()[0]:.1f}:")
    print("  disk: who, verdict, usable bytes; written, read, seconds that the disk took for that")
    for case in CASES:
        for tool, run in TOOLS.items():
            with tempfile.TemporaryDirectory(prefix="luxusb-bench-", dir=place) as directory:
                there = Path(directory) / "liar"
                began = time.monotonic()
                with lying(there, case.lie, case.size, case.real, cache=case.cache, paced=True) as file:
                    command = ["losetup", "--direct-io=on", "-f", "--show", str(file)]
                    node = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
                    found = run(node)
                asked = counted(there)
                right = "" if found.usable == case.real else f"  it has {case.real}"
                print(
                    f"  {case.name:<40} {tool:<8} {found.kind:<28} {found.usable:>12}; {size_text(asked.written):>10}"
                    f" {size_text(asked.read):>10} {asked.seconds:>6.0f} s{right}"
                    f" (here {time.monotonic() - began:.0f} s)",
                    flush=True,
                )
