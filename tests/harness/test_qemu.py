"""The virtual machine on a disk that shares no code with the daemon: menu, keys, screen, power-off, kill."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from luxusbd.images.model import Firmware
from luxusbd.process import run
from tests.harness import grubmenu, tinydisk
from tests.harness.images import RealImage, find
from tests.harness.qemu import Key, Machine, MachineError
from tests.harness.service import environment

pytestmark = pytest.mark.boot

MENU = """\
serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=60
menuentry 'Greeting' { echo 'good morning'; sleep 600; }
menuentry 'Memory test' { linux /memtest console=ttyS0,115200 }
menuentry 'Nothing' { linux /nothing }
menuentry 'Power off' { halt }
"""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("disk")

    async def build() -> None:
        found = await find(directory)
        memtest = next(image for image in found.images if image.id == "memtest86plus")
        program = await _extract(memtest, "/EFI/BOOT/bootx64.efi", directory)
        await tinydisk.build(directory / "disk.img", MENU, {"memtest": program}, directory)

    asyncio.run(build())
    return directory / "disk.img"


async def _extract(image: RealImage, path: str, directory: Path) -> Path:
    target = directory / Path(path).name
    await run(["xorriso", "-osirrox", "on", "-indev", str(image.path), "-extract", path, str(target)])
    return target


@pytest.mark.parametrize("firmware", [Firmware.BIOS, Firmware.UEFI])
async def test_menu_is_read_and_a_real_program_starts(disk: Path, firmware: Firmware) -> None:
    before = disk.read_bytes()
    async with Machine(firmware, disk=disk) as machine:
        await grubmenu.wait_for_titles(machine, ["Greeting", "Memory test", "Power off"], 120)
        menu = await machine.screendump()
        await grubmenu.select(machine, "Memory test")
        since = await grubmenu.start(machine)
        await machine.expect(r"Memtest86\+ v\d", 120)
        grubmenu.check_no_failure(machine, since)
        assert (await machine.screendump()).difference(menu) > 0.1
    assert disk.read_bytes() == before


async def test_keys_over_the_serial_line_power_off(disk: Path) -> None:
    async with Machine(Firmware.BIOS, disk=disk) as machine:
        await grubmenu.wait_for_titles(machine, ["Power off"], 120)
        await machine.send_keys(Key.END, Key.ENTER)
        assert await machine.wait_exit(60) == 0
        with pytest.raises(MachineError, match=r"bios: the machine ended before .*\n.*last lines of the console"):
            await machine.expect("never printed", 60)


async def test_an_entry_that_fails_is_seen(disk: Path) -> None:
    async with Machine(Firmware.BIOS, disk=disk) as machine:
        await grubmenu.wait_for_titles(machine, ["Nothing"], 120)
        await grubmenu.select(machine, "Nothing")
        since = await grubmenu.start(machine)
        await machine.expect("not found", 60)
        with pytest.raises(MachineError, match="could not start the entry"):
            grubmenu.check_no_failure(machine, since)


async def test_a_missing_entry_and_a_silent_console_say_so(disk: Path) -> None:
    async with Machine(Firmware.BIOS, disk=disk) as machine:
        await grubmenu.wait_for_titles(machine, ["Power off"], 120)
        with pytest.raises(MachineError, match="'Solitaire' could not be reached"):
            await grubmenu.select(machine, "Solitaire", most=2)
        with pytest.raises(MachineError, match=r"did not show 'good evening' within 0.2 seconds(.|\n)*Greeting"):
            await machine.expect("good evening", 0.2)
        assert "Power off" in await machine.text_screen()


async def test_secure_boot_refuses_an_unsigned_disk(disk: Path) -> None:
    async with Machine(Firmware.UEFI_SECURE_BOOT, disk=disk) as machine:
        await machine.expect(r"(?i)access denied|security violation", 120)
        assert "GNU GRUB" not in machine.console_text


async def test_a_disk_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"QEMU did not start(.|\n)*gone,by,name.img"):
        async with Machine(Firmware.BIOS, disk=tmp_path / "gone,by,name.img"):
            pass


async def test_the_machine_dies_with_its_program(disk: Path) -> None:
    program = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from luxusbd.images.model import Firmware\nfrom tests.harness.qemu import Machine\n"
        "async def main():\n"
        "    async with Machine(Firmware.BIOS, disk=Path(sys.argv[1])) as machine:\n"
        "        print(machine.pid, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(disk)), stdout=asyncio.subprocess.PIPE, env=environment()
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    handle = os.pidfd_open(pid)
    try:
        parent.send_signal(signal.SIGKILL)
        await parent.wait()
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(handle, ended.set)
        async with asyncio.timeout(20):
            await ended.wait()
    finally:
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)
