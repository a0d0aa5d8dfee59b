"""Boots that `make test` does not do: 32-bit UEFI, ARM, and a key enrolled by MokManager: `make boot-firmware`."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import time
from pathlib import Path

from luxusbd.images import certificate
from luxusbd.images.model import SECURE, Firmware
from tests.demo.result import file_hash
from tests.firmware import mok, packages, sticks
from tests.harness import grubmenu, tinyinit
from tests.harness.qemu import Machine
from tests.harness.service import ROOT
from tests.images.builders import INSTALLER, build_iso
from tests.images.systems import ROWS
from tests.matrix import apart, boots, results, systems
from tests.matrix.cases import UNTRUSTED, Result, Row
from tests.matrix.run import record

HERE = ROOT / "build" / "firmware"
MENU = 300.0
"""Seconds from power-on to the menu."""
OWN = "Own kernel"
ENROL = "enrol"
ARM_INSTALLER = "debian-mini-arm64"
IMAGES = ROOT / "build" / "matrix" / "images"


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
    await sticks.make(stick, {OWN: image}, certificates=(given,))
    async with Machine(Firmware.UEFI_SECURE_BOOT, disk=stick, variables=variables) as machine:
        await _start_own(machine)
        await machine.expect("bad shim signature", MENU)
    async with Machine(Firmware.UEFI_SECURE_BOOT, disk=stick, variables=variables) as machine:
        await grubmenu.wait_for_titles(machine, ["Tools"], MENU)
        try:
            await mok.enrol(machine, given.file_name)
            await machine.wait_exit(MENU)
        finally:
            (_consoles() / "mok-manager.txt").write_text(machine.console_text)
    async with Machine(Firmware.UEFI_SECURE_BOOT, disk=stick, variables=variables) as machine:
        await _start_own(machine)
        await machine.expect(tinyinit.BEGIN, MENU)
        return await machine.expect("^command line: .*\n", MENU)


async def _start_own(machine: Machine) -> None:
    # no mark here: the last of its variants is the image's own menu, of which nobody knows whether it will start
    await grubmenu.wait_for_titles(machine, [OWN], MENU)
    await grubmenu.select(machine, OWN)
    await grubmenu.start(machine)
    # the first one is highlighted
    await machine.expect(re.escape(UNTRUSTED) + r".*\(safe graphics\)", MENU)
    await grubmenu.start(machine)


async def _rows(chosen: tuple[Row, ...], work: Path) -> int:
    """Start each row from one stick, and write down what was seen after each; how many did not end as expected."""
    wanted = frozenset(row.system.image for row in chosen)
    loaders = await asyncio.to_thread(packages.unpack, HERE)
    made = await systems.make(wanted, IMAGES)
    if ARM_INSTALLER in wanted:
        made[ARM_INSTALLER] = await systems.mini(IMAGES, loaders.installer, "12", "arm64", "ttyAMA0")
    titles = {row.system.image: row.system.name for row in chosen}
    stick = work / "stick.img"
    served = await sticks.make(stick, {titles[name]: made[name] for name in sorted(wanted)}, loaders=loaders)
    if missing := apart.STICK.firmware - served:
        raise RuntimeError(f"the stick does not serve {', '.join(sorted(missing))}")
    for firmware in dict.fromkeys(row.firmware for row in chosen if row.firmware in SECURE):
        await _must_enforce(stick, firmware)
    failed = 0
    for row in chosen:
        seen = await boots.start(stick, row.system.name, row, _consoles())
        sha256 = await asyncio.to_thread(file_hash, made[row.system.image])
        results.save(results.merge(results.load(), [record(row, sha256, row.system.recipe, seen)]))
        print(f"{row.firmware} / {row.system.image} ({seen.seconds} s): {seen.result}: {seen.evidence}", flush=True)
        failed += seen.result is Result.FAILED
    return failed


async def _must_enforce(stick: Path, firmware: Firmware) -> None:
    """What starts there counts only where Secure Boot is on, as GRUB sees it."""
    async with Machine(firmware, disk=stick) as machine:
        await grubmenu.wait_for_titles(machine, ["Tools"], MENU)
        await grubmenu.select(machine, "Tools")
        await grubmenu.wait_for_new_menu(machine, await grubmenu.start(machine), MENU, at="Check an image")
        await grubmenu.select(machine, "About this stick and computer")
        await grubmenu.start(machine)
        await machine.expect("Secure Boot is on", MENU)


def _consoles() -> Path:
    """Where it is kept what the machines said."""
    consoles = HERE / "consoles"
    consoles.mkdir(exist_ok=True)
    return consoles


def main() -> int:
    """Run the cases that are named, or all; 0 when each showed what it has to."""
    cases = (*apart.KINDS, ENROL)
    parser = argparse.ArgumentParser(prog="make boot-firmware", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="CASE", help=f"{', '.join(cases)}; all without any")
    chosen = parser.parse_args().only or list(cases)
    if unknown := set(chosen) - set(cases):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(cases)}")
    HERE.mkdir(parents=True, exist_ok=True)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="work-", dir=HERE) as work:
        kinds = [firmware for name in chosen if name != ENROL for firmware in apart.KINDS[name]]
        if kinds:
            failed += asyncio.run(_rows(apart.rows(kinds), Path(work)))
        if ENROL in chosen:
            began = time.monotonic()
            try:
                seen = asyncio.run(enrol(Path(work))).strip()
            except AssertionError as error:
                failed += 1
                seen = f"FAILED: {error}"
            print(f"{ENROL} ({time.monotonic() - began:.0f} s): {seen}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
