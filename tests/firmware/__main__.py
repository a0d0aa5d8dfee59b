"""Boots that `make test` does not do: 32-bit UEFI, ARM, and a key enrolled by MokManager: `make boot-firmware`."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from luxusbd.images import certificate
from luxusbd.images.model import Firmware
from tests.firmware import mok, packages, sticks
from tests.harness import grubmenu, tinyinit
from tests.harness.qemu import Machine
from tests.harness.service import ROOT
from tests.images.builders import INSTALLER, build_iso
from tests.images.systems import ROWS
from tests.matrix import systems
from tests.matrix.cases import SYSTEMS, UNTRUSTED

HERE = ROOT / "build" / "firmware"
MENU = 300.0
"""Seconds from power-on to the menu."""
USERLAND = 1200.0
TITLE = "Debian live"
OWN = "Own kernel"


async def ia32(work: Path) -> str:
    """A live system with a 64-bit kernel, through an unsigned GRUB of 32 bits; Secure Boot is off."""
    stick = await _of_kinds(work, Firmware.UEFI_IA32)
    sign = next(system.sign for system in SYSTEMS if system.image == "debian-live")
    async with Machine(Firmware.UEFI_IA32, disk=stick, memory_mib=1024) as machine:
        await grubmenu.wait_for_titles(machine, [TITLE], MENU)
        await grubmenu.select(machine, TITLE)
        await grubmenu.start(machine)
        # the variants of the image; the first one is highlighted
        await machine.expect(r"its own menu", MENU)
        await grubmenu.start(machine)
        return await machine.expect(sign, USERLAND)


async def arm64(work: Path) -> str:
    """The menu: of an image for PCs it says that this is another kind of processor."""
    stick = await _of_kinds(work, Firmware.UEFI_ARM64)
    async with Machine(Firmware.UEFI_ARM64, disk=stick) as machine:
        await machine.expect("GNU GRUB", MENU)
        return await machine.expect(rf"^[ *]?{re.escape('(not with this firmware) ' + TITLE)}", MENU)


async def enrol(work: Path) -> str:
    """A kernel that nobody knows is refused under Secure Boot, and starts after its key was enrolled from the stick."""
    pair = mok.make_key(work)
    given = certificate.read(pair.certificate.read_bytes())
    row = next(row for row in ROWS if row.id == "Debian-GNU-Linux-Live-12.5.0")
    files = {path: text.encode() if isinstance(text, str) else text for path, text in row.tree.items()}
    files[row.kernel] = mok.sign((INSTALLER / "linux").read_bytes(), pair, work)
    files[row.initrds.split()[-1]] = tinyinit.initrd("last")
    image = build_iso(work / "own.iso", files, "-R", "-J", volume_id=row.label)
    stick, variables = work / "stick.img", work / "variables.fd"
    await sticks.make(stick, image, OWN, certificates=(given,))
    async with Machine(Firmware.UEFI_SECURE_BOOT, disk=stick, variables=variables) as machine:
        await _start_own(machine)
        await machine.expect("bad shim signature", MENU)
    async with Machine(Firmware.UEFI_SECURE_BOOT, disk=stick, variables=variables) as machine:
        await grubmenu.wait_for_titles(machine, ["Tools"], MENU)
        await mok.enrol(machine, given.file_name)
        await machine.wait_exit(MENU)
    async with Machine(Firmware.UEFI_SECURE_BOOT, disk=stick, variables=variables) as machine:
        await _start_own(machine)
        await machine.expect(tinyinit.BEGIN, MENU)
        return await machine.expect("^command line: .*", MENU)


async def _start_own(machine: Machine) -> None:
    await grubmenu.wait_for_titles(machine, [UNTRUSTED + OWN], MENU)
    await grubmenu.select(machine, UNTRUSTED + OWN)
    await grubmenu.start(machine)
    # the variants of the image; the first one is highlighted
    await machine.expect("safe graphics", MENU)
    await grubmenu.start(machine)


async def _of_kinds(work: Path, wanted: Firmware) -> Path:
    """A stick for all kinds of UEFI with Debian's live system."""
    images = await systems.make(frozenset({"debian-live"}), ROOT / "build" / "matrix" / "images")
    modules = await asyncio.to_thread(packages.modules, HERE)
    stick = work / "stick.img"
    served = await sticks.make(stick, images["debian-live"], TITLE, modules=modules)
    if wanted not in served:
        raise RuntimeError(f"the stick serves {', '.join(sorted(served))} and not {wanted}")
    return stick


CASES: Mapping[str, Callable[[Path], Coroutine[Any, Any, str]]] = {"ia32": ia32, "arm64": arm64, "enrol": enrol}


def main() -> int:
    """Run the cases that are named, or all; 0 when each showed what it has to."""
    parser = argparse.ArgumentParser(prog="make boot-firmware", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="CASE", help=f"{', '.join(CASES)}; all without any")
    chosen = parser.parse_args().only or list(CASES)
    if unknown := set(chosen) - set(CASES):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    HERE.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in chosen:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=HERE) as work:
            try:
                seen = asyncio.run(CASES[name](Path(work))).strip()
            except (AssertionError, RuntimeError) as error:
                failed += 1
                seen = f"FAILED: {error}"
        print(f"{name} ({time.monotonic() - began:.0f} s): {seen}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
