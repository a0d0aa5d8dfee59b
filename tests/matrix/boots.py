"""Starts a stick in a virtual machine, chooses one entry, and judges by what is seen: once, without a second try."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from pathlib import Path

from luxusbd.images.model import Firmware
from tests.harness import grubmenu
from tests.harness.qemu import Machine, MachineError
from tests.matrix.cases import LOCKED, NOT_HERE, UNTRUSTED, Expected, Refuser, Result, Row

MENU_TIMEOUT = 300.0
"""Seconds from power-on to the menu; 5 to 15 on an idle machine."""
START_TIMEOUT = 1200.0
"""Seconds from the menu to the sign of the system; up to 180 on an idle machine."""


@dataclass(frozen=True)
class Seen:
    """What one start came to."""

    result: Result
    evidence: str
    """The line that shows it."""
    seconds: int
    """From power-on."""


async def start(stick: Path, title: str, row: Row, keep: Path, *, written: float = 0) -> Seen:
    """Start the image that the menu calls `title`, and see whether what `row` expects happens.

    The text of the console, and the screen of a failure, go into the directory `keep`. With `written`, what the system
    writes to the stick stays, and it has so many seconds for that.
    """
    began = time.monotonic()
    name = "-".join(part.replace(" ", "-") for part in row.key if part)
    async with Machine(row.firmware, disk=stick, memory_mib=row.system.memory_mib, writable=written > 0) as machine:
        try:
            result, evidence = await _course(machine, title, row)
            await asyncio.sleep(written)
        except MachineError as error:
            result, evidence = Result.FAILED, str(error).splitlines()[0]
            if machine.has_screen:
                (await machine.screendump()).save_png(keep / f"{name}.png")
        finally:
            (keep / f"{name}.txt").write_text(machine.console_text)
    return Seen(result, evidence, round(time.monotonic() - began))


async def _course(machine: Machine, title: str, row: Row) -> tuple[Result, str]:
    if row.expected.refuser is Refuser.STICK:
        await machine.expect("GNU GRUB", MENU_TIMEOUT)
        return judge(row.expected, await _title(machine, (LOCKED, title)))
    await machine.expect("GNU GRUB", MENU_TIMEOUT)
    shown = await _title(machine, (title, NOT_HERE + title, UNTRUSTED + title))
    if shown.startswith(NOT_HERE):
        return judge(row.expected, shown)
    await grubmenu.select(machine, shown)
    since = await grubmenu.start(machine)
    return judge(row.expected, await _sign(machine, row, since))


def judge(expected: Expected, line: str) -> tuple[Result, str]:
    """The expected end if the line is its sign; whatever else is seen is a failure."""
    return (expected.result if re.search(expected.sign, line) else Result.FAILED), line


async def _title(machine: Machine, titles: tuple[str, ...]) -> str:
    """The one of these titles that the menu shows."""
    try:
        async with asyncio.timeout(MENU_TIMEOUT):
            while True:
                for title in titles:
                    if grubmenu.shows(machine.console_text, title):
                        return title
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise machine.error(f"the menu does not show {titles[0]!r}") from None


async def _sign(machine: Machine, row: Row, since: int) -> str:
    """The line by which the system is known, or what GRUB said of an entry that it did not start."""
    pattern = re.compile(row.system.sign, re.MULTILINE)
    wanted, is_last = row.system.entry, row.system.is_menu
    try:
        async with asyncio.timeout(START_TIMEOUT):
            while True:
                if match := pattern.search(machine.console_text, since):
                    return match[0]
                if match := grubmenu.FAILED.search(machine.console_text, since):
                    return match[0]
                if not is_last and grubmenu.new_menu(machine.console_text[since:]):
                    # the variants of the image first, then perhaps the image's own menu
                    if wanted:
                        await _select(machine, wanted)
                        wanted = ""
                    since = await grubmenu.start(machine)
                if match := pattern.search(await _screen(machine, row)):
                    return match[0]
                await asyncio.sleep(1)
    except TimeoutError:
        raise machine.error(f"nothing showed within {START_TIMEOUT:g} seconds that the system runs") from None


async def _select(machine: Machine, part: str) -> None:
    """Move to the entry of a submenu whose title holds `part`."""
    match = re.search(rf"^[ *]?(\S.*{re.escape(part)}.*?)[ ]*$", machine.console_text, re.MULTILINE)
    if match is None:
        raise machine.error(f"the menu has no entry {part!r}")
    await grubmenu.select(machine, match[1])


async def _screen(machine: Machine, row: Row) -> str:
    """Characters on a screen that is not the serial console's; empty where none can be read."""
    if machine.firmware is Firmware.BIOS:
        return await machine.text_screen()
    return await machine.text_in_memory("Memtest86") if row.system.in_memory else ""
