"""GRUB compares images with their hashes in a machine: what it says of a whole one and of a damaged one."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from luxusbd.images.model import Firmware
from luxusbd.stick import grub, writer
from luxusbd.stick.model import StickOperation, StickOptions
from tests.harness import grubmenu
from tests.harness.qemu import Key, Machine
from tests.stick import helpers

pytestmark = [pytest.mark.boot, pytest.mark.timeout(600)]
TIMEOUT = 120.0
WHOLE, DAMAGED = "Image whole", "Image damaged"
CHECK = "Check an image"


async def make(directory: Path) -> Path:
    """A stick with two images, one of which has another byte than it should have."""
    stick = directory / "stick.img"
    files = [helpers.random_file(directory / name, 300_000, number) for number, name in enumerate(("one", "two"))]
    sources = [
        helpers.source(file, f"{file.name}.iso", title=title)
        for file, title in zip(files, (WHOLE, DAMAGED), strict=True)
    ]
    fd = helpers.empty_target(stick)
    options = StickOptions(timeout=30, serial_console=True)
    try:
        order = helpers.order(StickOperation.CREATE, fd, add=tuple(sources), options=options)
        await writer.execute(order, lambda _progress: None)
    finally:
        for descriptor in (fd, *(source.fd for source in sources)):
            os.close(descriptor)
    whole = bytearray(stick.read_bytes())
    # a file of the data partition has its bytes in order, at least those of one block
    at = whole.find(files[1].read_bytes()[:4096])
    assert at > 0
    whole[at + 1000] ^= 1
    stick.write_bytes(whole)
    return stick


async def to_tools(machine: Machine) -> None:
    await grubmenu.wait_for_titles(machine, ["Tools"], TIMEOUT)
    await grubmenu.select(machine, "Tools")
    await grubmenu.wait_for_new_menu(machine, await grubmenu.start(machine), TIMEOUT, at=CHECK)


async def until_told(machine: Machine, since: int) -> str:
    """What an entry says, once it has said all; each line of it may come twice."""
    async with asyncio.timeout(TIMEOUT):
        while "Press Esc to go back" not in (said := machine.console_text[since:]):
            await asyncio.sleep(0.1)
    return said


@pytest.mark.parametrize("firmware", [Firmware.BIOS, Firmware.UEFI])
async def test_a_damaged_image_is_told_from_a_whole_one(tmp_path: Path, firmware: Firmware) -> None:
    assert grub.signed().loaders is not None, "under UEFI it is the signed GRUB that loads modules of its build"
    stick = await make(tmp_path)
    async with Machine(firmware, disk=stick) as machine:
        await to_tools(machine)
        await grubmenu.select(machine, CHECK)
        since = await grubmenu.start(machine)
        for title, verdict in ((WHOLE, "OK: the image is whole."), (DAMAGED, "DAMAGED: the image is not what")):
            # it is where the menu begins, and where it was left
            await grubmenu.wait_for_new_menu(machine, since, TIMEOUT, at=WHOLE)
            await grubmenu.select(machine, title)
            said = await until_told(machine, await grubmenu.start(machine))
            assert verdict in said
            assert ("OK:" in said) == (title == WHOLE)
            since = len(machine.console_text)
            await machine.press(Key.ESCAPE)


async def test_under_secure_boot_grub_says_why_it_checks_none(tmp_path: Path) -> None:
    stick = await make(tmp_path)
    async with Machine(Firmware.UEFI_SECURE_BOOT, disk=stick) as machine:
        await to_tools(machine)
        await grubmenu.select(machine, CHECK)
        await grubmenu.start(machine)
        await machine.expect("Under Secure Boot GRUB computes no hashes", TIMEOUT)
        await machine.expect("luxusb verify", TIMEOUT)
