"""`make bench`: every figure that docs/performance.md quotes, anew. `python -m tests.bench [GROUP...]`."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.bench import app, catalogue, daemon, medium, overlap, probe, transfer
from tests.harness.service import ServiceError

MEMORY = Path("/dev/shm")
NEEDED = 6 << 30
GROUPS = ("daemon", "catalogue", "app", "medium", "overlap", "probe", "transfer")
ROOTS = ("medium", "overlap")
"""Those that write to loop devices."""


def main() -> int:
    """Run the groups that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("group", nargs="*", choices=[*GROUPS, []], help="what to measure; without any, everything")
    parser.add_argument("--directory", type=Path, help="where files go; memory (tmpfs) if it has the room, else /tmp")
    asked = parser.parse_args()
    root = os.geteuid() == 0
    groups = asked.group or [group for group in GROUPS if root or group not in ROOTS]
    place = asked.directory
    if place is None and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > NEEDED:
        place = MEMORY
    try:
        if "daemon" in groups:
            asyncio.run(daemon.bench())
        if "catalogue" in groups:
            asyncio.run(catalogue.bench())
        if "app" in groups:
            asyncio.run(app.bench())
        if not root and (refused := [group for group in ROOTS if group in groups]):
            raise ServiceError(f"what writes to loop devices needs root: sudo make bench BENCH_GROUPS={refused[0]}")
        if "medium" in groups:
            with (
                tempfile.TemporaryDirectory(prefix="luxusb-bench-", dir=asked.directory or "/var/tmp") as real,
                tempfile.TemporaryDirectory(prefix="luxusb-bench-", dir=place) as directory,
            ):
                medium.bench(Path(real), Path(directory))
        if "overlap" in groups:
            with tempfile.TemporaryDirectory(prefix="luxusb-bench-", dir=place) as directory:
                asyncio.run(overlap.bench(Path(directory)))
        if "transfer" in groups:
            with tempfile.TemporaryDirectory(prefix="luxusb-bench-", dir=place) as directory:
                asyncio.run(transfer.bench(Path(directory)))
        if "probe" in groups:
            probe.bench(place)
    except ServiceError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
