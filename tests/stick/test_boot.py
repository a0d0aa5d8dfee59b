"""What the writer makes really boots, under BIOS and UEFI."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from luxusbd.images.model import BootMethod, Firmware
from luxusbd.images.recognise import recognise
from luxusbd.stick import isofiles, reader, writer
from luxusbd.stick.model import MIB, StickOperation, StickOptions
from tests.stick import helpers, oldsticks
from tests.stick.boot import boot

pytestmark = pytest.mark.boot

MEMTEST = Path("/usr/lib/memtest86+/memtest86+x64.iso")
RESCUE = Path("/usr/lib/grub-rescue/grub-rescue-cdrom.iso")


async def make(path: Path, filesystem: str = "ext4") -> None:
    fd = helpers.empty_target(path)
    rescue = helpers.source(
        RESCUE,
        "rescue.iso",
        title="Rescue isn't $(reboot) `hard`",
        entries=(
            helpers.entry(
                method=BootMethod.CONFIGFILE, firmware=frozenset({Firmware.BIOS}), kernel="/boot/grub/grub.cfg"
            ),
        ),
    )
    memtest = helpers.source(
        MEMTEST,
        "memtest.iso",
        title="Memory test",
        entries=(
            helpers.entry(method=BootMethod.EFI, firmware=frozenset({Firmware.UEFI}), kernel="/EFI/BOOT/bootx64.efi"),
        ),
    )
    order = helpers.order(
        StickOperation.CREATE,
        fd,
        add=(rescue, memtest),
        options=StickOptions(filesystem=filesystem, timeout=2, serial_console=True),
    )
    try:
        await writer.execute(order, lambda _progress: None)
    finally:
        os.close(rescue.fd)
        os.close(memtest.fd)
        os.close(fd)


async def test_a_stick_boots_under_bios(tmp_path: Path) -> None:
    await make(tmp_path / "stick.img")
    # the menu of the rescue image itself is what its entry leads to
    shown = boot(tmp_path / "stick.img", tmp_path, "GNU (aka GNU/Hurd)", uefi=False)
    assert "Rescue isn't $(reboot) `hard`" in shown
    assert "(not with this firmware) Memory test" in shown
    assert "Tools" in shown
    assert "error:" not in shown


async def test_a_stick_boots_under_uefi(tmp_path: Path) -> None:
    await make(tmp_path / "stick.img")
    shown = boot(tmp_path / "stick.img", tmp_path, "/EndEntire", uefi=True)
    assert "(not with this firmware) Rescue isn't $(reboot) `hard`" in shown
    assert "Booting `Memory test'" in shown
    assert "File(\\EFI\\BOOT)" in shown


@pytest.mark.parametrize("filesystem", ["fat32", "exfat"])
async def test_a_stick_with_another_filesystem_boots(tmp_path: Path, filesystem: str) -> None:
    await make(tmp_path / "stick.img", filesystem)
    shown = boot(tmp_path / "stick.img", tmp_path, "GNU (aka GNU/Hurd)", uefi=False)
    assert "Rescue isn't $(reboot) `hard`" in shown
    assert "error:" not in shown
    shown = boot(tmp_path / "stick.img", tmp_path, "/EndEntire", uefi=True)
    assert "Booting `Memory test'" in shown
    assert "File(\\EFI\\BOOT)" in shown


async def test_without_menus_the_stick_explains_itself(tmp_path: Path) -> None:
    path = tmp_path / "stick.img"
    await make(path)
    with path.open("r+b") as file:
        # the superblock of the data partition
        file.seek(130 * 1024 * 1024 + 1024)
        file.write(bytes(1024))
    shown = boot(path, tmp_path, "Tools", uefi=False)
    assert "No complete boot menu on this stick" in shown
    assert "grub>" not in shown


async def test_an_image_that_was_copied_by_hand_boots_after_a_rescan(tmp_path: Path) -> None:
    path = tmp_path / "stick.img"
    fd = helpers.empty_target(path)
    try:
        create = helpers.order(StickOperation.CREATE, fd, options=StickOptions(timeout=2, serial_console=True))
        await writer.execute(create, lambda _progress: None)
        subprocess.run(
            ["debugfs", "-w", "-f", "-", f"{path}?offset={130 * MIB}"],
            input=f"cd /iso\nwrite {RESCUE} by-hand.iso\n",
            text=True,
            check=True,
            capture_output=True,
        )
        file = isofiles.image_file(reader.open_stick(fd, helpers.SIZE), "by-hand.iso")
        file.check_for_grub()
        found = recognise(file)
        image = helpers.image(
            "by-hand.iso",
            "Copied by hand",
            sha256=file.sha256(lambda _done, _total: None, lambda: False),
            size=file.size,
            added=2**34,
            entries=found.entries,
        )
        order = helpers.order(StickOperation.RESCAN, fd, found=(image,))
        assert (await writer.execute(order, lambda _progress: None))["images"] == ["by-hand.iso"]
    finally:
        os.close(fd)
    shown = boot(path, tmp_path, "GNU (aka GNU/Hurd)", uefi=False)
    assert "Copied by hand" in shown
    assert "error:" not in shown


async def test_a_stick_boots_after_its_repair(tmp_path: Path) -> None:
    """The first MiB is gone, the ESP is empty, and the directory of the images is destroyed."""
    path = tmp_path / "stick.img"
    await make(path)
    said = subprocess.run(
        ["debugfs", "-R", "blocks /iso", f"{path}?offset={130 * MIB}"], check=True, capture_output=True, text=True
    )
    with path.open("r+b") as file:
        for place, data in ((0, bytes(MIB)), (2 * MIB, bytes(MIB)), (130 * MIB + int(said.stdout) * 4096, b"?" * 4096)):
            file.seek(place)
            file.write(data)
    with path.open("r+b") as file:
        result = await writer.execute(helpers.order(StickOperation.REPAIR, file.fileno()), lambda _progress: None)
    assert sorted(result["images"]) == ["memtest.iso", "rescue.iso"]
    shown = boot(path, tmp_path, "GNU (aka GNU/Hurd)", uefi=False)
    assert "Rescue isn't $(reboot) `hard`" in shown
    assert "error:" not in shown


async def test_a_stick_of_an_older_luxusb_boots_after_it_is_taken_over(tmp_path: Path) -> None:
    menu = b"set timeout=2\n" + oldsticks.OLD_MENU.partition(b"\n")[2]
    path = oldsticks.old(tmp_path / "old.img", {"rescue/rescue.iso": RESCUE}, menu=menu, starts=True)
    fd = os.open(path, os.O_RDWR)
    try:
        begin = helpers.order(StickOperation.ADOPT_BEGIN, fd, size=oldsticks.SIZE)
        await writer.execute(begin, lambda _progress: None)
        file = isofiles.image_file(reader.open_stick(fd, oldsticks.SIZE), "rescue.iso")
        image = helpers.image(
            "rescue.iso",
            "Taken over",
            sha256=file.sha256(lambda _done, _total: None, lambda: False),
            size=file.size,
            added=2**34,
            entries=recognise(file).entries,
        )
        options = StickOptions(serial_console=True)
        order = helpers.order(StickOperation.ADOPT, fd, size=oldsticks.SIZE, found=(image,), options=options)
        await writer.execute(order, lambda _progress: None)
    finally:
        os.close(fd)
    shown = boot(path, tmp_path, "GNU (aka GNU/Hurd)", uefi=False)
    assert "Taken over" in shown
    assert "error:" not in shown
    # this image starts from a BIOS alone, which its menu says there
    shown = boot(path, tmp_path, "Taken over", uefi=True)
    assert "No complete boot menu" not in shown
