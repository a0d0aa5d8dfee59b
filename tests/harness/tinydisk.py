"""The smallest disk image that starts GRUB under BIOS and UEFI: shows that the virtual machine reads menus rightly.

It shares no code with the daemon, so that a mistake in one does not hide in the other. BIOS: boot.img in the first
sector names the first sector of core.img (u64 at 0x5C; boot.S of GRUB), whose own block list, 12 bytes at 0x1F4, names
the rest (diskboot.S).
"""

from __future__ import annotations

import struct
from pathlib import Path

from luxusbd.process import run

SECTOR = 512
MIB = 1024 * 1024
BIOS_BOOT = 2048
"""First sector of the BIOS boot partition, 1 MiB long."""
ESP = 4096
ESP_SECTORS = 36 * MIB // SECTOR
DISK_BYTES = 40 * MIB
SERIAL = "C0FF-EE00"
GRUB = Path("/usr/lib/grub")
MODULES = (
    *("part_gpt", "fat", "normal", "configfile", "search", "search_fs_uuid", "linux", "serial", "terminal"),
    *("echo", "halt", "test", "sleep", "all_video"),
)


async def build(path: Path, menu: str, files: dict[str, Path], scratch: Path) -> None:
    """Write the image: `menu` becomes its grub.cfg, `files` go to the root of its ESP under the given names.

    Raises:
        ToolFailedError: one of the tools failed.
        ToolMissingError: one of them is not installed.
    """
    scratch = scratch / "tinydisk"
    scratch.mkdir()
    early = scratch / "early.cfg"
    early.write_text(f"search --no-floppy --set=root --fs-uuid {SERIAL}\nset prefix=($root)/grub\n")
    config = scratch / "grub.cfg"
    config.write_text(menu)
    core, efi = scratch / "core.img", scratch / "bootx64.efi"
    for target, output, extra in (("i386-pc", core, ("biosdisk",)), ("x86_64-efi", efi, ())):
        await run(["grub-mkimage", "-O", target, "-c", str(early), "-p", "/grub", "-o", str(output), *MODULES, *extra])
    with path.open("wb") as disk:
        disk.truncate(DISK_BYTES)
    table = (
        "label: gpt\n"
        f"start={BIOS_BOOT}, size=2048, type=21686148-6449-6E6F-744E-656564454649\n"
        f"start={ESP}, size={ESP_SECTORS}, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B\n"
    )
    await run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", str(path)], stdin=table.encode())
    fat = scratch / "esp.img"
    with fat.open("wb") as image:
        image.truncate(ESP_SECTORS * SECTOR)
    await run(["mkfs.fat", "-F", "32", "-s", "1", "-i", SERIAL.replace("-", ""), str(fat)])
    await run(["mmd", "-i", str(fat), "::/EFI", "::/EFI/BOOT", "::/grub"])
    for source, target in (
        (efi, "EFI/BOOT/BOOTX64.EFI"),
        (config, "grub/grub.cfg"),
        *((there, name) for name, there in files.items()),
    ):
        await run(["mcopy", "-i", str(fat), str(source), f"::/{target}"])
    with path.open("r+b") as disk:
        disk.seek(ESP * SECTOR)
        disk.write(fat.read_bytes())
        disk.seek(BIOS_BOOT * SECTOR)
        disk.write(_core(core.read_bytes()))
        boot = bytearray((GRUB / "i386-pc" / "boot.img").read_bytes()[:440])
        struct.pack_into("<Q", boot, 0x5C, BIOS_BOOT)
        boot[0x66:0x68] = b"\x90\x90"
        disk.seek(0)
        disk.write(boot)


def _core(core: bytes) -> bytes:
    padded = bytearray(core + bytes(-len(core) % SECTOR))
    sectors = len(padded) // SECTOR
    if sectors > 2048:
        raise AssertionError(f"core.img has {sectors} sectors, the BIOS boot partition 2048")
    struct.pack_into("<QHH", padded, 0x1F4, BIOS_BOOT + 1, sectors - 1, 0x0820)
    return bytes(padded)
