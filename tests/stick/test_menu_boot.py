"""The menu of a stick in a machine: it remembers what was started, and has tools."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from luxusbd.images.model import BootMethod, Firmware
from luxusbd.stick import writer
from luxusbd.stick.model import StickOperation, StickOptions
from tests.harness import grubmenu
from tests.harness.qemu import Machine
from tests.stick import helpers

pytestmark = [pytest.mark.boot, pytest.mark.timeout(600)]
TIMEOUT = 120.0


async def make(directory: Path) -> Path:
    """A stick with two images that start nothing."""
    stick = directory / "stick.img"
    fd = helpers.empty_target(stick)
    entries = (helpers.entry(method=BootMethod.CONFIGFILE, firmware=frozenset({Firmware.BIOS, Firmware.UEFI})),)
    names = ("one", "two")
    sources = [
        helpers.source(
            helpers.random_file(directory / name, 70_000, number), f"{name}.iso", title=f"Image {name}", entries=entries
        )
        for number, name in enumerate(names, 1)
    ]
    options = StickOptions(timeout=30, serial_console=True)
    try:
        order = helpers.order(StickOperation.CREATE, fd, add=tuple(sources), options=options)
        await writer.execute(order, lambda _progress: None)
        await writer.execute(helpers.order(StickOperation.VERIFY, fd), lambda _progress: None)
    finally:
        for descriptor in (fd, *(source.fd for source in sources)):
            os.close(descriptor)
    return stick


@pytest.mark.parametrize("firmware", [Firmware.BIOS, Firmware.UEFI, Firmware.UEFI_SECURE_BOOT])
async def test_the_last_choice_is_the_next_default(tmp_path: Path, firmware: Firmware) -> None:
    stick = await make(tmp_path)
    names = ("Image one", "Image two")
    async with Machine(firmware, disk=stick, writable=True) as machine:
        await grubmenu.wait_for_titles(machine, names, TIMEOUT)
        assert grubmenu.highlighted(machine.console_text) == names[0]
        await grubmenu.select(machine, names[1])
        since = await grubmenu.start(machine)
        # there is nothing in the image to start, so that the menu comes back
        await grubmenu.wait_for_new_menu(machine, since, TIMEOUT)
    async with Machine(firmware, disk=stick) as machine:
        await grubmenu.wait_for_titles(machine, names, TIMEOUT)
        assert grubmenu.highlighted(machine.console_text) == names[1]
        await grubmenu.select(machine, "Tools")
        await grubmenu.start(machine)
        await grubmenu.wait_for_titles(machine, ["Restart", "Power off"], TIMEOUT)
        await grubmenu.select(machine, "About this stick and computer")
        await grubmenu.start(machine)
        await machine.expect("Made by LUXusb", TIMEOUT)
    # what GRUB wrote is no damage
    fd = os.open(stick, os.O_RDWR)
    try:
        verified = await writer.execute(helpers.order(StickOperation.VERIFY, fd), lambda _progress: None)
    finally:
        os.close(fd)
    assert verified["ok"] is True, verified
