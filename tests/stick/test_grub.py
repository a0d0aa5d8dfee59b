from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from luxusbd import process
from luxusbd.errors import ToolFailedError, ToolMissingError
from luxusbd.images.model import SECURE, Firmware
from luxusbd.stick import bios, bootfiles, esp, grub, layout
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import MIB, PartitionRole, StickOptions
from tests.stick import helpers

PLANNED = layout.plan(helpers.SIZE, StickOptions())
SERIAL = "1A2B-3C4D"


def test_this_machine_serves_all() -> None:
    assert grub.available_firmware() >= {Firmware.BIOS, Firmware.UEFI, Firmware.UEFI_SECURE_BOOT}
    assert grub.available_firmware(Kind.EXFAT) == grub.available_firmware() - SECURE


def test_the_boot_sector_and_the_core_know_where_they_are() -> None:
    boot = (grub.directory(grub.BIOS) / "boot.img").read_bytes()
    patched = bios.patch_boot(boot, 2048)
    assert len(patched) == 440
    assert struct.unpack_from("<Q", patched, 0x5C) == (2048,)
    assert patched[0x64] == 0xFF
    assert patched[0x66:0x68] == b"\x90\x90"
    core = bios.patch_core(b"x" * 1300, 2048)
    assert len(core) == 1536
    assert struct.unpack_from("<QHH", core, 0x1F4) == (2049, 2, 0x820)
    with pytest.raises(ToolFailedError):
        bios.patch_boot(b"x" * 512, 2048)


async def test_the_boot_files(tmp_path: Path) -> None:
    files = await bootfiles.build(PLANNED, SERIAL, helpers.UUID, serial_console=False)
    assert [(piece.what, piece.start) for piece in files.pieces] == [
        ("esp", 2 * MIB),
        ("bios-core", MIB),
        ("bios-boot-code", 0),
    ]
    image = tmp_path / "esp"
    image.write_bytes(files.pieces[0].data.ljust(128 * MIB, b"\0"))
    names = subprocess.run(["mdir", "-b", "-/", "-i", image, "::"], check=True, capture_output=True, text=True).stdout
    assert {"::/EFI/BOOT/BOOTX64.EFI", "::/boot/grub/grub.cfg"} <= set(names.split())
    config = subprocess.run(["mtype", "-i", image, "::/boot/grub/grub.cfg"], check=True, capture_output=True).stdout
    assert helpers.UUID.encode() in config
    assert subprocess.run(["fsck.fat", "-n", image], capture_output=True, check=False).returncode == 0
    serial = subprocess.run(["minfo", "-i", image, "::"], check=True, capture_output=True, text=True).stdout
    assert "serial number: 1A2B3C4D" in serial


async def test_only_one_kind_of_grub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "i386-pc").symlink_to(grub.MODULE_ROOT / "i386-pc")
    monkeypatch.setattr(grub, "MODULE_ROOT", tmp_path)
    files = await bootfiles.build(PLANNED, SERIAL, helpers.UUID, serial_console=False)
    assert files.firmware == {Firmware.BIOS}
    assert [piece.what for piece in files.pieces] == ["esp", "bios-core", "bios-boot-code"]
    (tmp_path / "i386-pc").unlink()
    (tmp_path / "x86_64-efi").symlink_to("/usr/lib/grub/x86_64-efi")
    files = await bootfiles.build(PLANNED, SERIAL, helpers.UUID, serial_console=False)
    assert files.firmware == {Firmware.UEFI}
    assert [piece.what for piece in files.pieces] == ["esp"]


async def test_no_grub_names_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grub, "MODULE_ROOT", tmp_path)
    with pytest.raises(ToolMissingError, match=r"grub-pc-bin.*grub-efi-amd64-bin"):
        await bootfiles.build(PLANNED, SERIAL, helpers.UUID, serial_console=False)
    with pytest.raises(ToolMissingError, match="grub-pc-bin"):
        grub.directory(grub.BIOS)


@pytest.mark.parametrize("program", ["mkfs.fat", "mcopy", "grub-mkimage"])
async def test_missing_tools_name_their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    from luxusbd import process

    find = process.find_program
    package = process.PACKAGES[program]

    def without(name: str) -> str:
        if name in (program, "grub2-mkimage"):
            raise ToolMissingError(f"the program {program} is not installed; install the package {package}")
        return find(name)

    monkeypatch.setattr(process, "find_program", without)
    with pytest.raises(ToolMissingError, match=package.debian):
        await esp.build(PLANNED, SERIAL, helpers.UUID, tmp_path)


@pytest.mark.parametrize("there", [True, False])
async def test_memdisk_is_on_the_stick_where_the_machine_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    memdisk = tmp_path / "memdisk"
    if there:
        memdisk.write_bytes(b"the program")
    monkeypatch.setattr(esp, "MEMDISK", memdisk)
    image = tmp_path / "copy.img"
    image.write_bytes(await esp.build(PLANNED, SERIAL, helpers.UUID, tmp_path))
    with image.open("r+b") as file:
        file.truncate(PLANNED.partition(PartitionRole.ESP).size)
    said = await process.run(["mtype", "-i", str(image), "::/boot/grub/memdisk"], check=False, env=esp._MTOOLS)
    assert said.stdout == (b"the program" if there else b"")
    assert (said.returncode == 0) == there
