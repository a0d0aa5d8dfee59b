"""Sticks as LUXusb 0.6.3 and Ventoy make them, without root."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from luxusbd.stick.bios import patch_boot, patch_core
from luxusbd.stick.layout import TYPE_BASIC_DATA, TYPE_BIOS_BOOT, TYPE_ESP, TYPE_LINUX
from luxusbd.stick.model import MIB

SIZE = 400 * MIB
ESP = 40
"""MiB of the ESP; the real ones have 1024."""
GAP = 130
"""MiB between the ESP and the data partition; the real ones have 510."""
OLD_MENU = b"set timeout=30\nmenuentry 'Old' { true; }\n"

GRUB = Path("/usr/lib/grub")
EFI_PROGRAM = "/EFI/BOOT/BOOTX64.EFI"
_MODULES = ("part_gpt", "fat", "ext2", "normal", "configfile", "search_label", "loopback", "iso9660", "serial", "test")

FEATURES = "^metadata_csum_seed,^orphan_file,^metadata_csum"


def old(
    path: Path,
    images: Mapping[str, Path],
    *,
    size: int = SIZE,
    esp: int = ESP,
    gap: int = GAP,
    label: str = "LUXusb",
    features: str = FEATURES,
    bios: bool = True,
    table: str = "gpt",
    menu: bytes = OLD_MENU,
    starts: bool = False,
) -> Path:
    """A stick of LUXusb 0.6.3; `images` are files by their paths below /isos. Sizes in MiB but for `size`.

    With `starts` a BIOS and a UEFI firmware start GRUB from it, which reads `menu`.
    """
    with path.open("wb") as file:
        file.truncate(size)
    start = 2 + esp + gap
    length = size // MIB - start - 1
    if table == "gpt":
        rows = [f"start={MIB // 512},size={MIB // 512},type={TYPE_BIOS_BOOT}"] if bios else []
        rows.append(f"start={2 * MIB // 512},size={esp * MIB // 512},type={TYPE_ESP}")
        rows.append(f"start={start * MIB // 512},size={length * MIB // 512},type={TYPE_LINUX}")
        script = "\n".join(["label: gpt", *rows, ""])
    else:
        rows = [f"start={4096},size={esp * 2048},type=c", f"start={start * 2048},size={length * 2048},type=83"]
        script = "\n".join(["label: dos", *rows, ""])
    subprocess.run(["sfdisk", "-q", path], input=script, text=True, check=True)
    esp_image = path.with_suffix(".esp")
    with esp_image.open("wb") as file:
        file.truncate(esp * MIB)
    subprocess.run(["mkfs.fat", "-F", "32", "-n", "VMBOOT", esp_image], check=True, capture_output=True)
    config = path.with_suffix(".cfg")
    config.write_bytes(menu)
    subprocess.run(["mmd", "-i", esp_image, "::/boot", "::/boot/grub", "::/EFI", "::/EFI/BOOT"], check=True)
    subprocess.run(["mcopy", "-i", esp_image, config, "::/boot/grub/grub.cfg"], check=True)
    if starts:
        program = config.with_suffix(".efi")
        program.write_bytes(efi_program(path.parent))
        subprocess.run(["mcopy", "-i", esp_image, program, f"::{EFI_PROGRAM}"], check=True)
        program.unlink()
    tree = path.with_suffix(".tree")
    (tree / "isos").mkdir(parents=True)
    for name, source in images.items():
        (tree / "isos" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, tree / "isos" / name)
    command = ["mke2fs", "-q", "-F", "-t", "ext4", "-L", label, "-O", features, "-E", f"offset={start * MIB}"]
    subprocess.run([*command, "-d", tree, path, f"{length * 1024}K"], check=True, capture_output=True)
    with path.open("r+b") as file:
        file.seek(2 * MIB)
        file.write(esp_image.read_bytes())
        if starts:
            core = _grub("i386-pc", path.parent, "biosdisk")
            file.seek(0)
            file.write(patch_boot((GRUB / "i386-pc" / "boot.img").read_bytes(), MIB // 512))
            file.seek(MIB)
            file.write(patch_core(core, MIB // 512))
    shutil.rmtree(tree)
    esp_image.unlink()
    config.unlink()
    return path


def efi_program(work: Path) -> bytes:
    """GRUB for UEFI, which reads its menu from the second partition of the disk that it comes from."""
    return _grub("x86_64-efi", work)


def _grub(platform: str, work: Path, *modules: str) -> bytes:
    made = work / f"old-grub-{platform}"
    if not made.exists():
        words = ["grub-mkimage", "-O", platform, "-d", str(GRUB / platform), "-p", "(,gpt2)/boot/grub", "-o", str(made)]
        subprocess.run([*words, *_MODULES, *modules], check=True, capture_output=True)
    return made.read_bytes()


def ventoy(path: Path, data: bytes, *, label: str = "VTOYEFI", table: str = "dos", sectors: int = 65536) -> Path:
    """A stick of Ventoy whose first partition holds `data`."""
    length = -(-len(data) // MIB)
    size = (1 + length + 32 + 2) * MIB
    with path.open("wb") as file:
        file.truncate(size)
    kinds: Sequence[str] = ("7", "ef") if table == "dos" else (TYPE_BASIC_DATA, TYPE_BASIC_DATA)
    efi = 2048 + length * 2048
    script = (
        f"label: {table}\nstart=2048,size={length * 2048},type={kinds[0]}\nstart={efi},size={sectors},type={kinds[1]}\n"
    )
    subprocess.run(["sfdisk", "-q", path], input=script, text=True, check=True)
    with path.open("r+b") as file:
        file.seek(MIB)
        file.write(data)
    command = ["mkfs.fat", "-F16", f"--offset={efi}", "-n", label, str(path), str(32 * 1024)]
    subprocess.run(command, check=True, capture_output=True)
    return path


def fat32(path: Path, files: Mapping[str, Path], *, size: int = 64 * MIB) -> bytes:
    """The bytes of a FAT32 with files, by their paths."""
    with path.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.fat", "-F", "32", "-n", "Ventoy", path], check=True, capture_output=True)
    made: set[str] = set()
    for name, source in files.items():
        parts = name.split("/")
        for depth in range(1, len(parts)):
            directory = "/".join(parts[:depth])
            if directory not in made:
                subprocess.run(["mmd", "-i", path, f"::/{directory}"], check=True)
                made.add(directory)
        subprocess.run(["mcopy", "-i", path, source, f"::/{name}"], check=True)
    data = path.read_bytes()
    path.unlink()
    return data
