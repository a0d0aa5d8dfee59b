"""The program of `make demo`. Everything it makes lies in build/demo; nothing else on the machine is touched."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from luxusbd.errors import LuxusbError
from luxusbd.images.model import Firmware
from tests.demo.boots import NOT_HERE, Evidence, Target, boot
from tests.demo.result import Result, file_hash, fingerprint, still_true
from tests.harness.images import Found, RealImage, find
from tests.harness.mirrors import Mirror, write_catalogue
from tests.harness.qemu import MachineError
from tests.harness.service import ROOT, Service, ServiceError

BUILD = ROOT / "build"
HERE = BUILD / "demo"
STATE = HERE / "state"
STICK = HERE / "stick.img"
RESULT = HERE / "result.json"
MIB = 1024 * 1024
FIRMWARE = (Firmware.BIOS, Firmware.UEFI)
MIRROR_RATE = 40 * MIB
"""Bytes a second of each mirror: quick, and slow enough that a person sees the progress."""
WHOLE_TIMEOUT = 30 * 60.0


class DemoError(Exception):
    """The demo cannot go on; the text says why and what to do."""


def say(text: str = "") -> None:
    """A line for the person who watches."""
    print(text, flush=True)


def step(text: str) -> None:
    """The headline of what comes next."""
    say(f"\n==> {text}")


def main() -> int:
    """Run the demo; 0 when everything was seen to work."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="make and boot the stick again, whatever is there")
    arguments = parser.parse_args()
    began = time.monotonic()
    try:
        asyncio.run(_bounded(fresh=arguments.fresh))
    except (DemoError, ServiceError, MachineError, LuxusbError, TimeoutError) as error:
        print(f"\ndemo: failed: {error}", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        print("\ndemo: ended by a signal; everything it started is stopped", file=sys.stderr)
        return 143
    except KeyboardInterrupt:
        print("\ndemo: interrupted; everything it started is stopped", file=sys.stderr)
        return 130
    say(f"\nThe demo took {time.monotonic() - began:.0f} seconds.")
    return 0


async def _bounded(*, fresh: bool) -> None:
    # make ends its children with SIGTERM: that has to stop the machines and the service as Ctrl-C does
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        async with asyncio.timeout(WHOLE_TIMEOUT):
            await demo(fresh=fresh)
    except TimeoutError as error:
        raise DemoError(str(error) or f"it did not end within {WHOLE_TIMEOUT / 60:g} minutes") from error


async def demo(*, fresh: bool) -> None:
    """From the packages on this machine to systems that run from a stick."""
    _prepare()
    step("Looking for real, bootable images in this machine's packages")
    found = await find(BUILD / "images")
    _show_images(found)
    hashes = [(image.id, await asyncio.to_thread(image.sha256)) for image in found.images]
    program = await asyncio.to_thread(fingerprint)
    earlier = None if fresh else Result.load(RESULT)
    reuse = await asyncio.to_thread(still_true, earlier, program, hashes, STICK)
    if not reuse:
        for old in (STICK, RESULT, *HERE.glob("*.png"), *HERE.glob("*.txt")):
            old.unlink(missing_ok=True)
        # with the images of an earlier run in its store the service would download nothing
        if STATE.exists():
            await asyncio.to_thread(shutil.rmtree, STATE)
    async with AsyncExitStack() as stack:
        files = {image.path.name: image.path for image in found.images}
        mirrors = [await stack.enter_async_context(Mirror(files, rate=MIRROR_RATE)) for _ in range(2)]
        catalogue = HERE / "catalogue.json"
        write_catalogue(catalogue, found.images, mirrors)
        targets = await _make(found.images, mirrors, catalogue, reuse=reuse)
    stick = await asyncio.to_thread(file_hash, STICK)
    if reuse and earlier is not None:
        result = Result(program, dict(hashes), stick, earlier.names, earlier.evidence)
        step("The stick is the one that was booted before; what was seen then")
    else:
        evidence = await _boot_all(targets)
        result = Result(program, dict(hashes), stick, {target.id: target.title for target in targets}, evidence)
        step("What was seen")
    result.save(RESULT)
    for line in result.table():
        say(f"  {line}")
    _what_next(reuse=reuse)


def _prepare() -> None:
    try:
        for directory in (HERE, BUILD / "images"):
            directory.mkdir(parents=True, exist_ok=True)
    except PermissionError as error:
        raise DemoError(f"{error.filename} cannot be written; another user made it: remove {BUILD}") from error
    for path in (BUILD / "images", HERE, *HERE.iterdir()):
        if not os.access(path, os.W_OK):
            raise DemoError(f"{path} belongs to another user; remove {BUILD} as that user ('sudo make clean')")


def _show_images(found: Found) -> None:
    for image in found.images:
        where = " and ".join(firmware.value.upper() for firmware in FIRMWARE if firmware in image.firmware)
        say(f"  {image.name} {image.version}, {image.size / 1e6:.0f} MB, starts under {where}: {image.path}")
    for line in found.missing:
        say(f"  not here: {line}")
    if not found.images:
        raise DemoError("there is no image to make a stick of; install the packages named above")


async def _make(
    images: Sequence[RealImage], mirrors: Sequence[Mirror], catalogue: Path, *, reuse: bool
) -> tuple[Target, ...]:
    """Start the service, let the command make the stick (or look at the one that is there), stop the service."""
    step(f"Starting {len(mirrors)} mirrors and the service, with a bus of its own: luxusbd --private build/demo/state")
    for mirror in mirrors:
        say(f"  mirror: {mirror.url}")
    async with Service(STATE, catalogue=catalogue, log=HERE / "luxusbd.log") as service:
        say(f"  bus: {service.address}")
        if not reuse:
            step("luxusb distros: what the service can download")
            await service.show("distros")
            names = [image.id for image in images]
            size = stick_size(sum(image.size for image in images))
            command = ["create", "--image-file", str(STICK), "--size", f"{size // MIB}MiB", "--yes", "--serial-console"]
            step("luxusb " + " ".join([*command, *names]))
            await service.show(*command, *names, timeout=900)
        step("luxusb verify: everything on the stick against its manifest")
        await service.show("verify", "--image-file", str(STICK), timeout=600)
        step("luxusb contents: what is on it")
        await service.show("contents", "--image-file", str(STICK))
        contents = await service.ask("contents", "--image-file", str(STICK))
    served = sum(request.sent for mirror in mirrors for request in mirror.served)
    say(f"\n  The service has ended. The mirrors had sent {served / 1e6:.0f} MB.")
    return _targets(images, contents["images"])


def _targets(images: Sequence[RealImage], contents: Sequence[dict[str, object]]) -> tuple[Target, ...]:
    """Match the stick's images with ours by hash, in menu order."""
    by_hash = {image.sha256(): image for image in images}
    targets: list[Target] = []
    for item in contents:
        image = by_hash.pop(str(item["sha256"]), None)
        if image is None:
            raise DemoError(f"the stick holds {item['name']}, which is none of the images that were asked for")
        firmware = item["firmware"]
        assert isinstance(firmware, list)
        starts = frozenset(Firmware(name) for name in firmware)
        if missing := image.firmware - starts:
            names = ", ".join(sorted(missing))
            raise DemoError(f"{image.name} starts under {names}, but the stick does not offer that")
        targets.append(Target(image.id, str(item["title"]), image.firmware))
    if by_hash:
        raise DemoError(f"missing on the stick: {', '.join(image.name for image in by_hash.values())}")
    return tuple(targets)


def stick_size(payload: int) -> int:
    """Bytes of a stick image for `payload` bytes of images: boot partitions, filesystem, and room for one more."""
    return -(-(payload * 5 // 4 + 256 * MIB) // (256 * MIB)) * 256 * MIB


async def _boot_all(targets: Sequence[Target]) -> tuple[Evidence, ...]:
    """Boot the stick once for every image and firmware, two machines at a time where there are two processors."""
    orders = [(target, firmware) for firmware in FIRMWARE for target in targets if firmware in target.firmware]
    step(f"Booting the stick {len(orders)} times in a virtual machine (QEMU without KVM; up to two minutes each)")
    limit = asyncio.Semaphore(min(2, os.cpu_count() or 1))

    async def one(target: Target, firmware: Firmware) -> Evidence:
        async with limit:
            titles = [other.title if firmware in other.firmware else NOT_HERE + other.title for other in targets]
            began = time.monotonic()
            evidence = await boot(STICK, target, firmware, titles, HERE)
            took = time.monotonic() - began
            say(f"  {firmware.value.upper()}: menu with {len(titles)} images; {target.title} started ({took:.0f} s)")
            return evidence

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(*order)) for order in orders]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return tuple(task.result() for task in tasks)


def _what_next(*, reuse: bool) -> None:
    step("What happened")
    if reuse:
        say("  The stick of an earlier run, build/demo/stick.img, is unchanged. The service compared everything on it")
        say("  with its manifest once more. It was not booted again.")
    else:
        say("  The service downloaded the images from local mirrors, checked their hashes, wrote them with a boot menu")
        say("  for BIOS and UEFI to build/demo/stick.img and read everything back. Then the stick was booted from.")
    say("  Pictures and console texts are in build/demo.")
    step("What to type next")
    say("  Boot it yourself:  qemu-system-x86_64 -m 1024 -nographic -snapshot -hda build/demo/stick.img")
    say("                     (the menu in this terminal; Ctrl-A X ends it)")
    say("  Look around:       .venv/bin/luxusb --help")
    say("  Once more, anew:   .venv/bin/python -m tests.demo --fresh")
    say("  All tests:         make test")


if __name__ == "__main__":
    sys.exit(main())
