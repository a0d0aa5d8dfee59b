from __future__ import annotations

import os
from pathlib import Path

import pytest

from luxusbd.errors import MalformedImageError
from luxusbd.images.model import BootMethod, Firmware, Recognition
from luxusbd.images.recognise import recognise
from tests.images.builders import GRUB_RESCUE, INSTALLER, MEMTEST, MEMTEST_32, build_iso, run_mkisofs


def look(path: Path) -> Recognition:
    fd = os.open(path, os.O_RDONLY)
    try:
        return recognise(fd)
    finally:
        os.close(fd)


def test_memtest() -> None:
    found = look(MEMTEST)
    assert (found.recipe, found.volume_id, found.architecture) == ("memtest86plus", "MT86PLUS_64", "amd64")
    assert [(entry.method, entry.kernel, entry.firmware) for entry in found.entries] == [
        (BootMethod.LINUX16, "/boot/floppy.img", frozenset({Firmware.BIOS})),
        (BootMethod.EFI, "/EFI/BOOT/bootx64.efi", frozenset({Firmware.UEFI})),
    ]
    assert found.bootable
    assert found.firmware == {Firmware.BIOS, Firmware.UEFI}
    assert look(MEMTEST_32).firmware == {Firmware.BIOS}


def test_the_floppy_image_of_memtest_begins_with_its_kernel() -> None:
    """What the recipe relies on: linux16 can start the floppy image, because it is the BIOS kernel with padding."""
    kernel = Path("/boot/memtest86+x64.bin").read_bytes()
    assert kernel[0x202:0x206] == b"HdrS"
    assert kernel in MEMTEST.read_bytes()


def test_grub_rescue() -> None:
    found = look(GRUB_RESCUE)
    assert found.recipe == "grub-rescue"
    assert [(entry.method, entry.kernel, entry.firmware) for entry in found.entries] == [
        (BootMethod.CONFIGFILE, "/boot/grub/grub.cfg", frozenset({Firmware.BIOS}))
    ]
    assert found.size == GRUB_RESCUE.stat().st_size


def test_mini_iso_of_the_debian_installer(tmp_path: Path) -> None:
    path = tmp_path / "mini.iso"
    grafts = [f"/{name}={INSTALLER / name}" for name in ("linux", "initrd.gz")]
    run_mkisofs(path, "-R", "-V", "MINI", "-graft-points", *grafts)
    found = look(path)
    assert (found.recipe, found.family, found.architecture) == ("debian-netboot", "debian-installer", "amd64")
    assert found.filesystems == frozenset()
    entry = found.entries[0]
    assert (entry.kernel, entry.initrds, entry.parameters) == ("/linux", ("/initrd.gz",), ("vga=788", "---", "quiet"))
    # the kernel of this package is signed by Debian, so that Debian's shim starts it
    assert entry.firmware == frozenset(Firmware) - {Firmware.UEFI_ARM64, Firmware.UEFI_ARM64_SECURE_BOOT}


def test_refusal_says_why_and_what_to_do(tmp_path: Path) -> None:
    files = {".disk/info": b"Ubuntu-Server 18.04.6 x", ".disk/cd_type": b"x", "install.amd/vmlinuz": b"k"}
    found = look(build_iso(tmp_path / "netinst.iso", files, "-R"))
    assert not found.bootable
    assert found.entries == ()
    assert "CD" in found.reason
    assert "mini.iso" in found.advice


def test_unknown_system_and_data_disc(tmp_path: Path) -> None:
    data = look(build_iso(tmp_path / "data.iso", {"a.txt": b"x"}, "-R", volume_id="PHOTOS"))
    assert not data.bootable
    assert "data disc" in data.reason
    assert data.system == "PHOTOS"
    boot = build_iso(tmp_path / "boot.iso", {"boot.img": bytes(2048)}, "-R", "-b", "boot.img", "-no-emul-boot")
    assert "No recipe" in look(boot).reason


def test_no_image(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"hello")
    with pytest.raises(MalformedImageError, match="a text, not an image"):
        look(path)
