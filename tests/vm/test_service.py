"""The service as an administrator gets it: activation, sticks that come and go, jobs across kills and resets."""

from __future__ import annotations

from pathlib import Path

import pytest

from luxusbd.images.model import Firmware
from tests.harness.qemu import Machine
from tests.vm.machine import Guest

pytestmark = [pytest.mark.vm, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

MANAGER = "/org/luxusb/Manager org.luxusb.Manager"
THREE = "memtest86plus grub-rescue debian-mini"


async def test_the_first_call_starts_the_service(guest: Guest) -> None:
    assert (await guest.run("systemctl is-active luxusbd", check=False)).stdout.strip() == "inactive"
    said = await guest.run(
        f"busctl call org.luxusb.Manager {MANAGER} ListDistributions 'a{{sv}}' 0",
        user="carol",
    )
    assert "memtest86plus" in said.stdout
    assert (await guest.run("systemctl is-active luxusbd", check=False)).stdout.strip() == "active"


async def test_a_stick_comes_and_goes(guest: Guest, stick: Path) -> None:
    await guest.plug("one", stick, serial="LUX0001")
    device = await guest.device("LUX0001")
    assert (device["bus"], device["size"], device["blocked_reason"]) == ("usb", stick.stat().st_size, "")
    await guest.pull("one")
    await guest.until(lambda: guest.gone("LUX0001"))


async def test_three_images_are_fetched_onto_a_stick_that_boots(guest: Guest, stick: Path) -> None:
    await guest.plug("boots", stick, serial="LUX0002")
    device = await guest.device("LUX0002")
    await guest.luxusb(
        f"create --yes --device {device['node']} --device-id {device['id']} --serial-console {THREE}",
        user="root",
        timeout=600,
    )
    assert (await guest.device("LUX0002"))["state"] == "luxusb"
    assert [image["name"] for image in (await guest.luxusb(f"contents {device['node']}"))["images"]]
    await guest.pull("boots")
    async with Machine(Firmware.BIOS, disk=stick) as machine:
        await machine.expect("Memtest86", 120)
