"""The desktop app: its start, its memory, and how long its main loop lets the user wait."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from luxusbd import resources
from luxusbd.images.model import Firmware
from tests.bench.catalogue import SYSTEMS
from tests.daemon.daemon import Daemon
from tests.desktop.screen import display
from tests.harness.images import RealImage
from tests.harness.maker import Maker
from tests.harness.mirrors import Mirror, write_catalogue
from tests.harness.service import ServiceError, environment
from tests.harness.tls import make_authority

RUNS = 7
JOBS = 4
MIB = 1024 * 1024
SIZE = 160 * MIB
RATE = 16 * MIB
"""Bytes a second of all jobs: they run the whole time, and each has news four times a second."""
START_GOAL = 1.5
"""Seconds."""
MEMORY_GOAL = 150.0
"""MiB."""
LAG_GOAL = 50.0
"""Milliseconds."""
CONFIG = """
[limits]
active_downloads = {jobs}
[network]
ca_file = "{authority}"
"""
CIRCLE = '<circle cx="{x}" cy="{y}" r="5" fill="hsl({hue}, 70%, 50%)"/>'


def files(directory: Path) -> list[RealImage]:
    """What the jobs fetch; nobody looks into it."""
    made = []
    for number in range(JOBS):
        path = directory / f"bench{number}.iso"
        path.write_bytes(random.Random(number).randbytes(MIB) * (SIZE // MIB))
        made.append(
            RealImage(
                id=f"bench{number}",
                name=f"Bench {number}",
                description="",
                homepage="https://example.org",
                category="test",
                version="1.0",
                path=path,
                firmware=frozenset({Firmware.BIOS}),
            )
        )
    return made


def logo(number: int) -> bytes:
    """A drawing with as many shapes as a usual logo."""
    circles = (CIRCLE.format(x=6 * (at % 8), y=6 * (at // 8), hue=(at * number) % 360) for at in range(64))
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48">{"".join(circles)}</svg>'.encode()


def systems(path: Path, maker: Maker) -> int:
    """Write a catalogue: the packaged systems, some of them twice, with logos on this machine; how many there are."""
    packaged = json.loads(resources.data("distros.json").read_bytes())
    entries = [{**entry, "replace": True} for entry in packaged["distributions"]]
    entries += [{**entry, "id": f"{entry['id']}-again"} for entry in entries[: max(0, SYSTEMS - len(entries))]]
    for number, entry in enumerate(entries):
        entry["logo_url"] = maker.put(entry["id"], logo(number))
    path.write_text(json.dumps({**packaged, "distributions": entries}), "utf-8")
    return len(entries)


async def visit(address: str, jobs: Sequence[str] = ()) -> Any:
    """Start the app; what it saw of itself."""
    around = {**environment(), "DBUS_SYSTEM_BUS_ADDRESS": address}
    # an installed program is compiled
    around.pop("PYTHONDONTWRITEBYTECODE", None)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.desktop.probe", repr(time.monotonic()), *jobs),
        env=around,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    if process.returncode != 0:
        raise ServiceError(f"the app ended with status {process.returncode}")
    return json.loads(said.splitlines()[-1])


def show(name: str, lag: Any) -> None:
    """A line for each way of counting."""
    print(f"main loop while {name}: longest, 99th percentile")
    for key, what in (
        ("late", "lateness of a timeout, with the work of frames"),
        ("beyond", "… without the work of frames (layout, drawing)"),
        ("busy", "… and as time of the processor"),
        ("frames", "one frame, as time of the processor"),
    ):
        print(f"  {lag[key]['most']:6.1f} ms  {lag[key]['p99']:6.1f} ms  {what}")
    print(f"  goal {LAG_GOAL:g} ms beyond frames: {'met' if lag['beyond']['most'] <= LAG_GOAL else 'missed'}")


async def measure(place: Path) -> None:
    """Measure and print."""
    images = files(place)
    authority = make_authority(place)
    config = CONFIG.format(jobs=JOBS, authority=authority.file)
    files_by_name = {image.path.name: image.path for image in images}
    async with Maker(authority.good) as maker, Mirror(files_by_name, rate=RATE) as mirror:
        own = place / "own.json"
        write_catalogue(own, images, [mirror])
        count = systems(place / "more.json", maker) + JOBS
        async with Daemon(place, catalogues=[place / "more.json", own], config=config) as daemon:
            await visit(daemon.address)
            starts = [await visit(daemon.address) for _ in range(RUNS)]
            used = await visit(daemon.address, [image.id for image in images])
        logos = len(maker.asked)
    print(f"start with {count} systems, {RUNS} runs, load {os.getloadavg()[0]:.1f}: time, time of the processor")
    for until, what in (
        ("start", "the first frame with systems, a window full"),
        ("whole", "the one with all of them"),
    ):
        wall, cpu = ([one[until][kind] for one in starts] for kind in ("wall", "cpu"))
        middle = statistics.median(wall)
        print(f"  {middle:.2f} s ({min(wall):.2f} .. {max(wall):.2f})  {statistics.median(cpu):.2f} s  {what}")
        print(f"    goal {START_GOAL} s: {'met' if middle <= START_GOAL else 'missed'}")
    print(f"memory, proportional and resident, with {logos} logos:")
    for when in ("memory at start", "memory used"):
        print(f"  {used[when]['Pss']:6.1f} MiB  {used[when]['Rss']:6.1f} MiB  {when}")
    print(
        f"  goal {MEMORY_GOAL:g} MiB proportional: {'met' if used['memory used']['Pss'] <= MEMORY_GOAL else 'missed'}"
    )
    for name in ("scrolling", "searching", "details"):
        show(name, used[name])
    show(f"{used['running jobs']} jobs tell of themselves {used['told of jobs']:.1f} times a second", used["jobs"])


async def bench() -> None:
    """Measure on a display of its own."""
    # the jobs end with the service, and not by themselves
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    with display(), tempfile.TemporaryDirectory(prefix="lux-") as place:
        await measure(Path(place))
