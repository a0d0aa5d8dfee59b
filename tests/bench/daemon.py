"""The daemon's start, from exec to its name on the bus, and the idle memory of each of its processes."""

from __future__ import annotations

import asyncio
import re
import statistics
import tempfile
import time
from pathlib import Path

from tests.harness.service import Service

RUNS = 5
START_GOAL = 0.5
"""Seconds from exec to the printed bus address, its own dbus-daemon included."""
CORE_GOAL = 45.0
"""MiB of the core, proportional set size."""
SETTLE = 2.0
"""Seconds after the start before memory is read."""


def memory(pid: int) -> float:
    """Proportional set size in MiB (proc(5), smaps_rollup: pages shared by n processes count 1/n)."""
    match = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) / 1024


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return found


def command(pid: int) -> str:
    """What a process is, for people."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").rstrip("\0").split("\0")
    return " ".join(word for word in words if not word.startswith("/tmp/"))[:70]


async def bench() -> None:
    """Measure and print."""
    starts: list[float] = []
    sizes: list[tuple[float, str]] = []
    with tempfile.TemporaryDirectory(prefix="luxusb-bench-") as directory:
        for run in range(RUNS):
            began = time.perf_counter()
            state = Path(directory) / f"state{run}"
            async with Service(state, catalogue=None, log=Path(directory) / "log") as service:
                starts.append(time.perf_counter() - began)
                if run == RUNS - 1:
                    await asyncio.sleep(SETTLE)
                    sizes = [(memory(pid), command(pid)) for pid in family(service.pid)]
    middle = statistics.median(starts)
    print(f"start to bus address, {RUNS} runs: median {middle:.2f} s, all {', '.join(f'{one:.2f}' for one in starts)}")
    print(f"  goal {START_GOAL} s: {'met' if middle <= START_GOAL else 'missed'}")
    print("idle memory (proportional set size):")
    for size, name in sizes:
        print(f"  {size:6.1f} MiB  {name}")
    print(f"  goal {CORE_GOAL:g} MiB for the core: {'met' if sizes[0][0] <= CORE_GOAL else 'missed'}")
