"""Three downloads onto one stick: beside the downloads alone, and the writing of the same images alone."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from luxusb_cli.connection import Typed

from tests.bench.medium import BEYOND, slow_disk
from tests.daemon.caller import Caller
from tests.daemon.daemon import Daemon
from tests.daemon.images import TestImage, bootable
from tests.harness.mirrors import Mirror, write_catalogue

MIB = 1024 * 1024
GOAL = 1.10
"""Times the longer one of the two."""
IMAGES = 3
SIZE = 80 * MIB
"""Of each; the slow disk has room for that."""
RATES = {"slower than the stick": 12 * MIB, "about as fast": 20 * MIB, "faster than the stick": 60 * MIB}
"""Bytes a second of all downloads together."""
ROUNDS = 3


async def bench(memory: Path) -> None:
    """Print the table; `memory` is where reading costs nothing, with room for 2 GiB."""
    images = [bootable(memory, f"image{number}", SIZE) for number in range(IMAGES)]
    with slow_disk(memory) as disk, tempfile.TemporaryDirectory(prefix="lux-") as short:
        assert disk.size >= IMAGES * SIZE + BEYOND // 2
        place = Path(short)
        place.chmod(0o755)
        async with Mirror({image.path.name: image.path for image in images}) as mirror:
            catalogue = place / "catalogue.json"
            write_catalogue(catalogue, [image.for_catalogue() for image in images], [mirror])
            config = f'[devices]\nallow_loop = ["{disk.node}"]\nprobe = false\n'
            print(
                f"\n{IMAGES} images of {SIZE // MIB} MiB onto {disk.name[0].lower()}{disk.name[1:]}, {ROUNDS} rounds\n"
            )
            async with (
                Daemon(place, catalogues=[catalogue], config=config) as daemon,
                Caller.connect(daemon.address) as caller,
            ):
                for what, rate in RATES.items():
                    mirror.rate = rate
                    found = await measure(caller, disk.node, images)
                    longer = max(statistics.median(found["download"]), statistics.median(found["write"]))
                    ratio = statistics.median(found["streamed"]) / longer
                    print(
                        f"| {what}, {rate // MIB} MiB/s | "
                        + " | ".join(f"{statistics.median(seconds):.1f} s" for seconds in found.values())
                        + f" | {ratio:.2f} | {'met' if ratio <= GOAL else 'missed'} |",
                        flush=True,
                    )


async def measure(caller: Caller, node: str, images: Sequence[TestImage]) -> dict[str, list[float]]:
    """Seconds of each way, all ways in turn."""
    references = [f"distro:{image.id}" for image in images]

    async def forget() -> None:
        for image in images:
            await caller.client.delete_image(image.reference)

    async def create(**options: Typed) -> None:
        await caller.created([(await caller.disk(node)).path], references, **options)

    async def download() -> None:
        await asyncio.gather(*[fetch(caller, reference) for reference in references])

    found: dict[str, list[float]] = {"download": [], "write": [], "streamed": [], "one after the other": []}
    for _round in range(ROUNDS):
        found["download"].append(await timed(download))
        found["write"].append(await timed(create))
        await forget()
        found["streamed"].append(await timed(create))
        await forget()
        found["one after the other"].append(await timed(lambda: create(download_first=Typed("b", value=True))))
        await forget()
    return found


async def fetch(caller: Caller, reference: str) -> None:
    await caller.succeeded(await caller.client.download(reference))


async def timed(work: Callable[[], Coroutine[Any, Any, None]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began
