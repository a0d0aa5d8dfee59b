"""A stick under firmware that enforces Secure Boot: shim, its GRUB, and a kernel that these trust."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from luxusbd.images.model import BootMethod, Firmware
from luxusbd.images.recognise import recognise
from luxusbd.stick import writer
from luxusbd.stick.model import SourceImage, StickOperation, StickOptions
from tests.harness import grubmenu, tinyinit
from tests.harness.qemu import Machine
from tests.images.systems import ROWS
from tests.stick import helpers
from tests.stick.boot import boot
from tests.stick.test_boot import MEMTEST
from tests.stick.test_recipes_boot import build

pytestmark = pytest.mark.boot


def memtest() -> SourceImage:
    entry = helpers.entry(method=BootMethod.EFI, firmware=frozenset({Firmware.UEFI}), kernel="/EFI/BOOT/bootx64.efi")
    return helpers.source(MEMTEST, "memtest.iso", title="Memory test", entries=(entry,))


async def make(path: Path, *images: SourceImage, filesystem: str = "ext4", timeout: int = 2) -> None:
    fd = helpers.empty_target(path)
    options = StickOptions(filesystem=filesystem, timeout=timeout, serial_console=True)
    try:
        await writer.execute(
            helpers.order(StickOperation.CREATE, fd, add=images, options=options), lambda _progress: None
        )
    finally:
        for image in images:
            os.close(image.fd)
        os.close(fd)


async def test_a_signed_kernel_starts_by_itself_and_what_cannot_is_marked(tmp_path: Path) -> None:
    row = next(row for row in ROWS if row.id == "Debian-GNU-Linux-Live-12.5.0")
    iso = build(row, tmp_path)
    with iso.open("rb") as file:
        found = recognise(file.fileno())
    assert {entry.signer for entry in found.entries if not entry.own_menu} == {"debian"}
    live = helpers.source(
        iso,
        "live.iso",
        title="Debian live",
        entries=found.entries,
        volume_id=found.volume_id,
        iso_uuid=found.iso_uuid,
    )
    await make(tmp_path / "stick.img", memtest(), live)
    shown = boot(tmp_path / "stick.img", tmp_path, tinyinit.END, uefi=True, secure=True, seconds=300)
    assert "(not with Secure Boot) Memory test" in shown
    assert "(not with Secure Boot) Debian live" not in shown
    assert "BOOT_IMAGE=(loop)/live/" in shown.rpartition(tinyinit.BEGIN)[2]
    assert "error:" not in shown


async def test_an_unsigned_program_is_refused_by_grub_with_its_reason(tmp_path: Path) -> None:
    await make(tmp_path / "stick.img", memtest(), filesystem="fat32")
    shown = boot(tmp_path / "stick.img", tmp_path, "with Secure Boot on, switch that off", uefi=True, secure=True)
    assert "(not with Secure Boot) Memory test" in shown
    assert "bad shim signature" in shown


async def test_the_menu_starts_mok_manager(tmp_path: Path) -> None:
    await make(tmp_path / "stick.img", memtest(), timeout=30)
    async with Machine(Firmware.UEFI_SECURE_BOOT, disk=tmp_path / "stick.img") as machine:
        await grubmenu.wait_for_titles(machine, ["Tools"], 150)
        await grubmenu.select(machine, "Tools")
        await grubmenu.start(machine)
        await grubmenu.wait_for_titles(machine, ["Enrol keys for Secure Boot"], 60)
        await grubmenu.select(machine, "Enrol keys for Secure Boot")
        await grubmenu.start(machine)
        await machine.expect("(?i)MOK management", 60)


async def test_with_exfat_the_stick_says_that_secure_boot_has_to_be_off(tmp_path: Path) -> None:
    await make(tmp_path / "stick.img", memtest(), filesystem="exfat")
    boot(tmp_path / "stick.img", tmp_path, "Switch Secure Boot off to start from this stick", uefi=True, secure=True)
