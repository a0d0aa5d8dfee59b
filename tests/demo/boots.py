"""Starts a finished stick in a virtual machine, reads its menu, and sees each image come up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from luxusbd.images.model import Firmware
from tests.harness import grubmenu
from tests.harness.qemu import Machine, MachineError
from tests.harness.screen import Screen

MENU_TIMEOUT = 120.0
"""Seconds from power-on to the menu; 1 to 5 on an idle machine."""
START_TIMEOUT = 600.0
"""Seconds from the menu to the image's own first screen; an installer takes 90 of a core that it has for itself."""
NOT_HERE = "(not with this firmware) "
"""How the menu marks an image that the running firmware cannot start."""


@dataclass(frozen=True)
class Sign:
    """How a started system is known: any one of the three is enough."""

    text: str
    """Regular expression for the serial console, and for the screen in text mode."""
    colours: tuple[tuple[tuple[int, int, int], float], ...] = ()
    """Colours with the least fraction of the screen that each covers. All have to be there."""
    memory_mib: int = 512
    is_menu: bool = False
    """What it starts is a menu of GRUB itself; any other menu after the first is a choice of variants of the image."""


_BLUE, _GREY = (0, 0, 170), (170, 170, 170)
SIGNS = {
    "memtest86plus": Sign(r"Memtest86\+ v\d", ((_BLUE, 0.4),)),
    "grub-rescue": Sign(r"^[ *]?GNU \(aka GNU/Hurd\)", is_menu=True),
    # newt draws grey windows on blue: its first question fills most of the screen
    "debian-mini": Sign(r"Starting system log daemon|Choose language", ((_BLUE, 0.05), (_GREY, 0.1)), memory_mib=1024),
    "ipxe": Sign(r"iPXE \d"),
}


@dataclass(frozen=True)
class Target:
    """One image of the stick."""

    id: str
    """Of its distribution in the catalogue."""
    title: str
    """As the menu shows it."""
    firmware: frozenset[Firmware]


@dataclass(frozen=True)
class Evidence:
    """One image seen to start under one firmware."""

    image: str
    firmware: Firmware
    how: str
    """Where it was seen, and what."""
    picture: str
    """File name of the screen at that moment."""


async def boot(stick: Path, target: Target, firmware: Firmware, titles: Sequence[str], keep: Path) -> Evidence:
    """Boot the stick, check that every title is in its menu, start one image, and keep its screen and console.

    Raises:
        MachineError: the menu or the image did not come up; the text ends with the last lines of the console.
    """
    sign = SIGNS[target.id]
    name = f"{firmware.value}-{target.id}"
    async with Machine(firmware, disk=stick, memory_mib=sign.memory_mib) as machine:
        try:
            await grubmenu.wait_for_titles(machine, titles, MENU_TIMEOUT)
            await grubmenu.select(machine, target.title)
            (await machine.screendump()).save_png(keep / f"{firmware.value}-menu.png")
            since = await grubmenu.start(machine)
            how, screen = await _wait_for(machine, sign, since)
        except MachineError:
            (keep / f"{name}.failed.txt").write_text(machine.console_text)
            (await machine.screendump()).save_png(keep / f"{name}.failed.png")
            raise
        picture = keep / f"{name}.png"
        screen.save_png(picture)
        (keep / f"{name}.txt").write_text(machine.console_text)
    return Evidence(target.id, firmware, how, picture.name)


async def _wait_for(machine: Machine, sign: Sign, since: int) -> tuple[str, Screen]:
    pattern = re.compile(sign.text, re.MULTILINE)
    chosen = sign.is_menu
    try:
        async with asyncio.timeout(START_TIMEOUT):
            while True:
                if match := pattern.search(machine.console_text, since):
                    return f"serial console: {match[0].strip()}", await machine.screendump()
                grubmenu.check_no_failure(machine, since)
                if not chosen and grubmenu.new_menu(machine.console_text[since:]):
                    since = await grubmenu.start(machine)
                    chosen = True
                screen = await machine.screendump()
                if machine.firmware is Firmware.BIOS and (match := pattern.search(await machine.text_screen())):
                    return f"text screen: {match[0].strip()}", screen
                if sign.colours and all(screen.fraction(*colour) >= least for colour, least in sign.colours):
                    return "picture of its screen, by its colours", screen
                await asyncio.sleep(1)
    except TimeoutError:
        raise machine.error(f"nothing showed that the image started within {START_TIMEOUT:g} seconds") from None
