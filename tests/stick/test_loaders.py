"""Which loaders for Secure Boot are taken, from what they say of themselves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from luxusbd.images.model import Certificate, Firmware
from luxusbd.stick import bootfiles, esp, espswap, grub, layout, menu, reader, secureboot, writer
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.grub import Platform
from luxusbd.stick.layout import ESP_SIZE
from luxusbd.stick.model import MIB, PartitionRole, StickOperation, StickOptions
from luxusbd.stick.secureboot import Search
from tests.images.builders import x86_kernel
from tests.stick import helpers

SIGNERS = {
    "debian": b"Debian Secure Boot Signer 2022 - grub2",
    "ubuntu": b"Canonical Ltd. Secure Boot Signing (2021 v1)",
}
MICROSOFT = b"Microsoft Windows UEFI Driver Publisher"
FALLBACK = "fbx64.efi"
PC = frozenset({Firmware.BIOS, Firmware.UEFI, Firmware.UEFI_SECURE_BOOT})


class Machine:
    """What is installed of the packages."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shims, self._modules = root / "shim", root / "grub"
        self.shims.mkdir()
        for platform in grub.ALL_UEFI:
            (self._modules / platform.signed).mkdir(parents=True)
        for platform in (grub.BIOS, grub.UEFI):
            (self._modules / platform.name).symlink_to(grub.MODULE_ROOT / platform.name)
        monkeypatch.setattr(secureboot, "SHIM_DIRECTORY", self.shims)
        monkeypatch.setattr(grub, "MODULE_ROOT", self._modules)

    def shim(self, vendor: str, *, level: int = 4, name: str = "shimx64.efi.signed", signer: bytes = MICROSOFT) -> None:
        sbat = f"sbat,1,x\nshim,{level},UEFI shim\nshim.{vendor},1,Vendor\n"
        (self.shims / name).write_bytes(x86_kernel(signer=signer, sbat=sbat))

    def grub(
        self,
        vendor: str,
        *,
        level: int = 5,
        signer: bytes | None = None,
        version: str = "1.00-1",
        platform: Platform = grub.UEFI,
    ) -> None:
        ours = f"grub.{vendor},5,Vendor,grub2,{version},https://example.org"
        sbat = f"sbat,1,x\ngrub,{level},FSF\n{ours}\ngrub.{vendor}12,1,Vendor\n"
        signed = SIGNERS[vendor] if signer is None else signer
        path = self._modules / platform.signed / secureboot.GRUB.format(platform.machine)
        path.write_bytes(x86_kernel(signer=signed, sbat=sbat))

    def unsigned(self, platform: Platform, **modules: str) -> None:
        """Modules that are no modules: enough to be chosen and copied, not to make an image."""
        directory = self._modules / platform.name
        directory.mkdir()
        needs = {"exfat": "fshelp", "fshelp": "", "ntfs": "", "udf": "", **modules}
        for name in {*platform.needed, "kernel", "cpuid", *needs}:
            (directory / f"{name}.{'img' if name == 'kernel' else 'mod'}").write_text(name)
        (directory / "normal.mod").write_bytes(b"\x7fELF\0normal\0" + b"1.00-1" + b"\0GNU GRUB\0")
        (directory / "moddep.lst").write_text("".join(f"{name}: {others}\n" for name, others in needs.items()))

    def mok_manager(self, vendor: str, name: str, *, signed: bool = True) -> None:
        self.shim(vendor, name=name, signer=SIGNERS[vendor] if signed else b"")

    def remove_unsigned(self) -> None:
        (self._modules / grub.UEFI.name).unlink()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


async def names(kind: Kind = Kind.EXT4) -> tuple[set[str], bootfiles.BootFiles]:
    """The files on the ESP that a stick gets here."""
    planned = layout.plan(helpers.SIZE, StickOptions(filesystem=kind.value))
    uuid = helpers.UUID if kind is Kind.EXT4 else "1A2B-3C4D"
    files = await bootfiles.build(planned, "1A2B-3C4D", uuid, serial_console=False, kind=kind)
    work = Path(secureboot.SHIM_DIRECTORY).parent / "esp.img"
    work.write_bytes(files.pieces[0].data.ljust(planned.partition(PartitionRole.ESP).size, b"\0"))
    said = subprocess.run(["mdir", "-b", "-/", "-i", work, "::"], check=True, capture_output=True, text=True).stdout
    return {name for name in said.split() if not name.endswith("/")}, files


@pytest.mark.parametrize("vendor", ["debian", "ubuntu"])
def test_loaders_of_one_vendor(machine: Machine, vendor: str) -> None:
    machine.shim(vendor)
    machine.grub(vendor)
    found = grub.signed()
    assert found.loaders is not None
    assert (found.loaders.vendor, found.loaders.mok_manager, found.loaders.outdated) == (vendor, None, ())
    machine.mok_manager(vendor, "mmx64.efi")
    found = grub.signed()
    assert found.loaders is not None
    assert found.loaders.mok_manager == machine.shims / "mmx64.efi"


def test_vendors_are_never_mixed(machine: Machine) -> None:
    machine.shim("debian")
    machine.grub("ubuntu")
    found = grub.signed()
    assert found.loaders is None
    assert "is debian's" in found.reason
    assert "is ubuntu's" in found.reason
    assert Firmware.UEFI_SECURE_BOOT not in grub.available_firmware()
    machine.grub("debian")
    machine.mok_manager("ubuntu", "mmx64.efi.signed")
    machine.mok_manager("debian", "mmx64.efi", signed=False)
    found = grub.signed()
    assert found.loaders is not None
    assert found.loaders.mok_manager is None


def test_what_is_missing_or_unsigned_is_told(machine: Machine) -> None:
    assert grub.signed() == Search(None, f"install {secureboot.PACKAGES}")
    machine.shim("debian", signer=b"")
    machine.grub("debian")
    assert "no signed shim of debian or ubuntu" in grub.signed().reason
    machine.shim("somebody")
    assert "no signed shim of debian or ubuntu" in grub.signed().reason
    machine.shim("debian")
    machine.grub("debian", signer=b"somebody")
    assert "is not signed by debian" in grub.signed().reason
    machine.grub("debian")
    assert grub.signed().loaders is not None


def test_old_levels_are_named(machine: Machine) -> None:
    machine.shim("debian", level=3)
    machine.grub("debian", level=4)
    found = grub.signed()
    assert found.loaders is not None
    assert found.loaders.outdated == ("shim,3", "grub,4")


async def test_the_esp_with_loaders(machine: Machine) -> None:
    machine.shim("debian")
    machine.grub("debian")
    machine.mok_manager("debian", "mmx64.efi.signed")
    (machine.shims / FALLBACK).write_bytes(b"it would make boot entries")
    found, files = await names()
    assert {name for name in found if name.startswith("::/EFI/")} == {
        "::/EFI/BOOT/BOOTX64.EFI",
        "::/EFI/BOOT/grubx64.efi",
        "::/EFI/BOOT/mmx64.efi",
    }
    assert files.firmware == PC
    assert files.shim == "debian"
    machine.remove_unsigned()
    assert Firmware.UEFI in grub.available_firmware()
    assert grub.available_firmware(Kind.EXFAT) == {Firmware.BIOS}


async def test_exfat_and_machines_without_them_get_the_unsigned_grub(machine: Machine) -> None:
    found, files = await names()
    assert {name for name in found if name.startswith("::/EFI/")} == {"::/EFI/BOOT/BOOTX64.EFI"}
    assert files.shim == ""
    machine.shim("debian")
    machine.grub("debian")
    found, files = await names(Kind.EXFAT)
    assert {name for name in found if name.startswith("::/EFI/")} == {"::/EFI/BOOT/BOOTX64.EFI"}
    assert files.shim == ""
    assert files.firmware == {Firmware.BIOS, Firmware.UEFI}
    _found, files = await names(Kind.FAT32)
    assert files.shim == "debian"


async def test_32_bit_uefi_and_arm_beside_64_bit_pcs(machine: Machine) -> None:
    for platform in grub.ALL_UEFI:
        machine.shim("debian", name=f"shim{platform.machine}.efi.signed")
        machine.grub("debian", platform=platform)
    machine.mok_manager("debian", "mmaa64.efi.signed")
    found, files = await names()
    assert {name.rpartition("/")[2] for name in found if name.startswith("::/EFI/")} == {
        *("BOOTX64.EFI", "grubx64.efi", "BOOTIA32.EFI", "grubia32.efi", "BOOTAA64.EFI", "grubaa64.efi", "mmaa64.efi")
    }
    assert files.firmware == set(Firmware)
    machine.shim("ubuntu", name="shimia32.efi.signed")
    machine.grub("ubuntu", platform=grub.UEFI_IA32)
    found, files = await names()
    assert not any("ia32" in name.lower() for name in found)
    assert files.firmware == set(Firmware) - {Firmware.UEFI_IA32, Firmware.UEFI_IA32_SECURE_BOOT}


def test_unsigned_grub_for_32_bit_uefi_is_offered_where_its_modules_are(machine: Machine) -> None:
    machine.unsigned(grub.UEFI_IA32)
    assert grub.available_firmware() == {Firmware.BIOS, Firmware.UEFI, Firmware.UEFI_IA32}


async def test_modules_of_the_same_build_lie_beside_a_signed_grub(machine: Machine) -> None:
    machine.remove_unsigned()
    machine.shim("debian")
    machine.grub("debian", version="1.00-2")
    machine.unsigned(grub.UEFI, exfat="fshelp")
    (start,) = grub.starts()
    assert start.modules is None
    assert all(start.loaders is None for start in grub.starts(Kind.EXFAT))
    machine.grub("debian", version="1.00-1")
    found, files = await names()
    beside = {name.rpartition("/")[2] for name in found if name.startswith("::/boot/grub/x86_64-efi/")}
    assert beside == {"exfat.mod", "fshelp.mod", "ntfs.mod", "udf.mod"}
    assert Firmware.UEFI_SECURE_BOOT in files.firmware
    found, files = await names(Kind.EXFAT)
    assert {"::/EFI/BOOT/grubx64.efi", "::/boot/grub/x86_64-efi/exfat.mod"} <= found
    assert files.firmware == {Firmware.BIOS, Firmware.UEFI}
    assert files.shim == ""


def test_the_modules_of_this_machine_are_of_the_build_of_its_signed_grub() -> None:
    (start,) = (start for start in grub.starts(Kind.EXFAT) if start.platform is grub.UEFI)
    assert start.loaders is not None
    assert {path.name for path in grub.modules_beside(start)} >= {"exfat.mod", "ntfs.mod", "udf.mod", "fshelp.mod"}


async def test_a_refresh_brings_them_onto_a_stick_that_was_made_without(machine: Machine, tmp_path: Path) -> None:
    medium = tmp_path / "stick.img"
    fd = helpers.empty_target(medium)
    try:
        await writer.execute(helpers.order(StickOperation.CREATE, fd), lambda _progress: None)
        before = reader.read_stick(fd, helpers.SIZE)
        assert before is not None
        assert before.manifest.shim == ""
        assert before.manifest.firmware == {Firmware.BIOS, Firmware.UEFI}
        machine.shim("debian")
        machine.grub("debian")
        await writer.execute(helpers.order(StickOperation.REFRESH, fd), lambda _progress: None)
        after = reader.read_stick(fd, helpers.SIZE)
        assert after is not None
        assert after.manifest.shim == "debian"
        assert after.manifest.firmware == PC
        text = helpers.grub_read(medium, menu.menu_path(after.manifest.generation))
        assert text is not None
        assert b"lux_untrusted" in text
        said = subprocess.run(
            ["mdir", "-b", "-i", f"{medium}@@{layout.ESP_START}", "::/EFI/BOOT"], check=True, capture_output=True
        )
        assert b"grubx64.efi" in said.stdout
        await writer.execute(helpers.order(StickOperation.VERIFY, fd), lambda _progress: None)
    finally:
        os.close(fd)


async def test_the_loaders_of_this_machine_fit_twice_on_the_esp(tmp_path: Path) -> None:
    found = grub.signed()
    assert found.loaders is not None, found.reason
    assert found.loaders.mok_manager is not None
    planned = layout.plan(helpers.SIZE, StickOptions())
    plain = await esp.build(planned, "1A2B-3C4D", helpers.UUID, tmp_path)
    signed = await esp.build(planned, "1A2B-3C4D", helpers.UUID, tmp_path, starts=grub.starts())
    assert len(signed) < ESP_SIZE // 4
    disk = bytearray(ESP_SIZE)
    disk[: len(plain)] = plain
    # one stage would mean that the old files are written over
    stages = espswap.stages(lambda offset, length: bytes(disk[offset : offset + length]), 0, signed)
    assert len(stages) > 1
    for stage in stages:
        for place, data in stage:
            disk[place : place + len(data)] = data
    assert disk[: len(signed)] == signed
    assert len(disk) == 128 * MIB


async def test_certificates_come_onto_the_esp_and_stay_there(tmp_path: Path) -> None:
    first, second = Certificate("Fedora Secure Boot CA", b"first"), Certificate("/../x", b"second")
    medium = tmp_path / "stick.img"
    fd = helpers.empty_target(medium)

    def listed() -> set[str]:
        said = subprocess.run(
            ["mdir", "-b", "-i", f"{medium}@@{layout.ESP_START}", "::/EFI/certificates"],
            check=True,
            capture_output=True,
        )
        return {line.rpartition("/")[2] for line in said.stdout.decode().split()}

    try:
        options = StickOptions(certificates=(first,))
        await writer.execute(helpers.order(StickOperation.CREATE, fd, options=options), lambda _progress: None)
        assert listed() == {first.file_name}
        for more in ((second, first), ()):
            options = StickOptions(certificates=more)
            await writer.execute(helpers.order(StickOperation.REFRESH, fd, options=options), lambda _progress: None)
            assert listed() == {first.file_name, second.file_name}
        after = reader.read_stick(fd, helpers.SIZE)
        assert after is not None
        assert after.manifest.options.certificates == (first, second)
        place = f"::/EFI/certificates/{second.file_name}"
        said = subprocess.run(["mtype", "-i", f"{medium}@@{layout.ESP_START}", place], check=True, capture_output=True)
        assert said.stdout == b"second"
    finally:
        os.close(fd)
