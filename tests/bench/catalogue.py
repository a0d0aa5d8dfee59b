"""ListDistributions of a real daemon, from the first byte of the call to the last one of the reply."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from luxusbd import resources
from tests.bus import wire
from tests.bus.raw import RawClient, field, message
from tests.harness.service import Service

SYSTEMS = 50
"""That many are listed at least; where the packaged catalogue has fewer, some of its systems are there twice."""
CALLS = 100
PAUSE = 0.05
"""Seconds between two calls, as from people and not from a loop."""
GOAL = 50.0
"""Milliseconds."""
MANAGER = "org.luxusb.Manager"
RETURN = 2
CASES: Mapping[str, Mapping[str, wire.V]] = {
    "everything": {},
    "a search": {"text": wire.V("s", "ubuntu kde")},
    "for amd64, none ended": {"architecture": wire.V("s", "amd64"), "hide_end_of_life": wire.V("b", 1)},
}


def more_systems(path: Path) -> int:
    """Write a catalogue of what is missing to `SYSTEMS`; how many there are then."""
    document = json.loads(resources.data("distros.json").read_bytes())
    entries: list[dict[str, Any]] = document["distributions"]
    again = [{**entry, "id": f"{entry['id']}-again"} for entry in entries[: max(0, SYSTEMS - len(entries))]]
    path.write_text(json.dumps({**document, "distributions": again}), "utf-8")
    return len(entries) + len(again)


def call(options: Mapping[str, wire.V]) -> bytes:
    """The message."""
    fields = [
        field(1, "o", f"/{MANAGER.replace('.', '/')}"),
        field(2, "s", MANAGER),
        field(3, "s", "ListDistributions"),
        field(6, "s", MANAGER),
        field(8, "g", "a{sv}"),
    ]
    return message(1, 0, fields, wire.encode("a{sv}", [options]))


async def measure(client: RawClient, data: bytes, calls: int) -> tuple[Sequence[float], int]:
    """Milliseconds of each call, and the bytes of a reply."""
    taken: list[float] = []
    size = 0
    for _ in range(calls):
        await asyncio.sleep(PAUSE)
        began = time.perf_counter()
        await client.send(data)
        kind, size = await client.answer()
        taken.append((time.perf_counter() - began) * 1000)
        assert kind == RETURN
    return taken, size


async def bench() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="luxusb-bench-") as directory:
        place = Path(directory)
        count = more_systems(place / "more.json")
        async with Service(place / "state", catalogue=place / "more.json", log=place / "log") as service:
            client = await RawClient.connect(service.address)
            print(f"ListDistributions of {count} systems, {CALLS} calls, load {os.getloadavg()[0]:.1f}:")
            (first,), _size = await measure(client, call({}), 1)
            print(f"  {first:6.1f} ms  the first call of all")
            for name, options in CASES.items():
                taken, size = await measure(client, call(options), CALLS)
                middle, worst = statistics.median(taken), max(taken)
                print(
                    f"  {middle:6.1f} ms  {name}: one reply of {size} bytes; least {min(taken):.1f}, most {worst:.1f}"
                )
                if not options:
                    print(f"             goal {GOAL:g} ms: {'met' if middle <= GOAL else 'missed'}")
            print(f"  load afterwards {os.getloadavg()[0]:.1f}")
            client.close()
