"""The EFI system partition, built as a file without mounting anything."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import aiofiles

from luxusbd import process
from luxusbd.errors import InternalError, ToolFailedError
from luxusbd.images.model import Certificate
from luxusbd.stick import grub, menu, menufont, theme
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.layout import SECTOR
from luxusbd.stick.menutexts import Texts
from luxusbd.stick.menutools import MEMTEST_BIOS, MEMTEST_UEFI
from luxusbd.stick.model import MIB, Layout, MenuStyle, PartitionRole, Theme

LABEL = "LUXESP"
MEMDISK = Path("/usr/lib/syslinux/memdisk")
"""Starts images of discs and floppies from memory under BIOS; of Debian's syslinux-common."""
MEMORY_TESTS = {
    MEMTEST_BIOS: Path("/boot/memtest86+x64.bin"),
    MEMTEST_UEFI: Path("/boot/memtest86+x64.efi"),
}
"""Of Debian's memtest86+."""
ENVIRONMENT_SIZE = 1024
"""Bytes of GRUB's environment block (GRUB manual 2.06, section 14.2), which `save_env` writes in place."""
_ENVIRONMENT_HEAD = b"# GRUB Environment Block\n"
EMPTY_ENVIRONMENT = _ENVIRONMENT_HEAD.ljust(ENVIRONMENT_SIZE, b"#")
_SERIAL = re.compile(r"[0-9A-F]{4}-[0-9A-F]{4}\Z")


async def build(
    layout: Layout,
    esp_serial: str,
    data_uuid: str,
    work: Path,
    *,
    serial_console: bool = False,
    style: MenuStyle | None = None,
    starts: Sequence[grub.Start] | None = None,
    kind: Kind = Kind.EXT4,
    certificates: Sequence[Certificate] = (),
) -> bytes:
    """The used beginning of the ESP, in whole MiB; what follows it on the partition holds nothing and may stay.

    Args:
        layout: for the size and place of the partition.
        esp_serial: FAT volume serial such as 1A2B-3C4D; GRUB finds the ESP by it.
        data_uuid: filesystem UUID of the data partition, for the stub.
        work: a directory for temporary files.
        serial_console: whether the stub speaks on the serial port too.
        style: of the menu; for its theme, its language and the room for what it remembers.
        starts: what each kind of UEFI starts; None for unsigned GRUBs alone, where this machine has them.
        kind: of the data partition.
        certificates: what MokManager can enrol.

    Raises:
        ToolMissingError: GRUB, mtools or dosfstools is not installed.
        ToolFailedError: one of them failed.
    """
    if not _SERIAL.match(esp_serial):
        raise InternalError(f"{esp_serial!r} is no FAT volume serial")
    part = layout.partition(PartitionRole.ESP)
    if starts is None:
        starts = [grub.Start(platform, None) for platform in grub.ALL_UEFI if grub.is_available(platform)]
    style = style if style is not None else MenuStyle()
    files: list[tuple[str, Path]] = []
    if style.remember:
        # first, so that its place is that of the first text of this kind; GRUB itself has one too
        environment = work / "grubenv"
        await _write(environment, EMPTY_ENVIRONMENT)
        files.append(("boot/grub/grubenv", environment))
    for start in starts:
        files += await _programs(start, esp_serial, work)
    for certificate in certificates:
        source = work / certificate.file_name
        await _write(source, certificate.der)
        files.append((f"EFI/certificates/{certificate.file_name}", source))
    config = work / "grub.cfg"
    text = menu.stub(
        data_uuid,
        serial_console=serial_console,
        language=style.language,
        hashes=all(start.loaders is None for start in starts),
        modules=_modules(kind),
    )
    await _write(config, text.encode("ascii"))
    files.append(("boot/grub/grub.cfg", config))
    if font := grub.font():
        files.append(("boot/grub/fonts/unicode.pf2", font))
        large = work / "large.pf2"
        await _write(large, menufont.enlarged(font.read_bytes()))
        files.append(("boot/grub/fonts/large.pf2", large))
    if memdisk := _memdisk():
        files.append(("boot/grub/memdisk", memdisk))
    files += [(f"boot/grub/{name}", source) for name, source in MEMORY_TESTS.items() if source.is_file()]
    image = work / "esp.img"
    await _format(image, part.size, part.start, esp_serial)
    await process.run(["mmd", "-i", str(image), *(f"::/{name}" for name in _directories(files))], env=_MTOOLS)
    for name, source in files:
        await process.run(["mcopy", "-i", str(image), str(source), f"::/{name}"], env=_MTOOLS)
    if style.theme is Theme.LUXUSB and not serial_console and grub.font():
        await _copy_theme(image, work, style.language)
    return _used(image)


async def _write(path: Path, data: bytes) -> None:
    async with aiofiles.open(path, "wb") as file:
        await file.write(data)


async def _copy_theme(image: Path, work: Path, language: str) -> None:
    names: dict[str, list[str]] = {"": [], "/icons": []}
    for name, data in theme.files(Texts(language)).items():
        file = work / "theme" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        await _write(file, data)
        names["/icons" if name.startswith("icons/") else ""].append(str(file))
    made = ["::/boot/grub/themes", f"::/{theme.DIRECTORY}", f"::/{theme.DIRECTORY}/icons"]
    await process.run(["mmd", "-i", str(image), *made], env=_MTOOLS)
    for below, sources in names.items():
        await process.run(["mcopy", "-i", str(image), *sources, f"::/{theme.DIRECTORY}{below}"], env=_MTOOLS)


def environment(data: bytes) -> int | None:
    """Where in an ESP of `build` GRUB notes what was started last, in bytes; None where it has no room for that."""
    place = data.find(EMPTY_ENVIRONMENT)
    return place if place >= 0 and place % SECTOR == 0 else None


def with_environment(data: bytes, place: int, present: bytes) -> bytes:
    """The ESP with what GRUB noted on the medium, when that is such a note."""
    if len(present) != ENVIRONMENT_SIZE or not present.startswith(_ENVIRONMENT_HEAD):
        return data
    return data[:place] + present + data[place + ENVIRONMENT_SIZE :]


async def _programs(start: grub.Start, esp_serial: str, work: Path) -> list[tuple[str, Path]]:
    machine = start.platform.machine
    first = f"EFI/BOOT/BOOT{machine.upper()}.EFI"
    if start.loaders is None:
        program = work / f"grub{machine}.efi"
        await _write(program, await grub.make_image(start.platform, grub.early_config(esp_serial), work))
        return [(first, program)]
    # the names that shim asks for
    files = [(first, start.loaders.shim), (f"EFI/BOOT/grub{machine}.efi", start.loaders.grub)]
    if start.loaders.mok_manager is not None:
        files.append((f"EFI/BOOT/mm{machine}.efi", start.loaders.mok_manager))
    beside = f"boot/grub/{start.platform.name}"
    return files + [(f"{beside}/{module.name}", module) for module in grub.modules_beside(start)]


def _modules(kind: Kind) -> tuple[str, ...]:
    """What a signed GRUB has to load before it reads the data partition."""
    return () if kind in grub.READ_BY_SIGNED else (grub.MODULES[kind],)


def _directories(files: Sequence[tuple[str, Path]]) -> list[str]:
    """Every directory of the files, the outer ones first."""
    found = {str(parent) for name, _source in files for parent in PurePosixPath(name).parents}
    return sorted(found - {"."})


def _memdisk() -> Path | None:
    return MEMDISK if MEMDISK.is_file() else None


def new_serial() -> str:
    """A FAT volume serial for a new ESP."""
    digits = secrets.token_hex(4).upper()
    return f"{digits[:4]}-{digits[4:]}"


def serial_of(beginning: bytes) -> str:
    """The volume serial of an ESP from its first sector; empty when that is none of `build`."""
    # BS_VolID and BS_FilSysType of FAT32 (Microsoft, FAT: General Overview of On-Disk Format, section 3.3)
    if beginning[510:512] != b"\x55\xaa" or beginning[82:90] != b"FAT32   ":
        return ""
    number = int.from_bytes(beginning[67:71], "little")
    return f"{number >> 16:04X}-{number & 0xFFFF:04X}"


# the user's own mtools configuration must not change where the files go
_MTOOLS = {"MTOOLSRC": "/dev/null", "MTOOLS_SKIP_CHECK": "1"}


async def _format(image: Path, size: int, start: int, serial: str) -> None:
    with image.open("wb") as file:
        file.truncate(size)
    await process.run(
        [
            "mkfs.fat",
            "-F",
            "32",
            "-s",
            "2",
            "-h",
            str(start // SECTOR),
            "-i",
            serial.replace("-", ""),
            "-n",
            LABEL,
            str(image),
        ]
    )


def _used(image: Path) -> bytes:
    end = 0
    with image.open("rb") as file:
        # a piece at a time: the workers of many sticks that begin together would hold all of it at once
        while piece := file.read(MIB):
            if piece.strip(b"\0"):
                end = file.tell()
        if end == 0:
            raise ToolFailedError("mkfs.fat made an empty filesystem")
        file.seek(0)
        return file.read(end)
