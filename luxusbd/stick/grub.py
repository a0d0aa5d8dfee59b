"""The pieces of GRUB that this machine has, and images made of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from luxusbd import process
from luxusbd.errors import ToolMissingError
from luxusbd.images.model import SECURED, Firmware
from luxusbd.stick import secureboot
from luxusbd.stick.filesystem import Kind

MODULE_ROOT = Path("/usr/lib/grub")
FONTS = (Path("/usr/share/grub/unicode.pf2"), Path("/boot/grub/fonts/unicode.pf2"))

_NEEDED = (
    "configfile",
    "echo",
    "ext2",
    "fat",
    "iso9660",
    "linux",
    "loopback",
    "normal",
    "part_gpt",
    "search",
    "search_fs_uuid",
    "sleep",
    "test",
    "true",
)
_WANTED = (
    "all_video",
    "cat",
    "chain",
    "cpuid",
    "exfat",
    "font",
    "gcry_sha256",
    "gfxmenu",
    "gfxterm",
    "gfxterm_background",
    "gzio",
    "halt",
    "hashsum",
    "help",
    "jpeg",
    "keystatus",
    "loadenv",
    "ls",
    "lzopio",
    "minicmd",
    "multiboot2",
    "ntfs",
    "part_msdos",
    "png",
    "probe",
    "read",
    "reboot",
    "regexp",
    "search_fs_file",
    "search_label",
    "serial",
    "squash4",
    "terminal",
    "terminfo",
    "udf",
    "xzio",
)


@dataclass(frozen=True)
class Platform:
    """One GRUB platform: its directory below `MODULE_ROOT` is also grub-mkimage's name for it."""

    name: str
    firmware: Firmware
    package: process.Package
    needed: tuple[str, ...]
    wanted: tuple[str, ...]
    machine: str = ""
    """What the names of its EFI programs end with: x64, ia32 or aa64; empty for BIOS."""

    @property
    def signed(self) -> str:
        """Directory of the signed images below `MODULE_ROOT`."""
        return f"{self.name}-signed"


BIOS = Platform(
    "i386-pc",
    Firmware.BIOS,
    process.Package("grub-pc-bin", "grub2-pc-modules", "grub"),
    (*_NEEDED, "biosdisk", "linux16"),
    (*_WANTED, "drivemap", "ntldr", "vbe", "vga"),
)
UEFI = Platform(
    "x86_64-efi",
    Firmware.UEFI,
    process.Package("grub-efi-amd64-bin", "grub2-efi-x64-modules", "grub"),
    (*_NEEDED, "chain"),
    (*_WANTED, "efi_gop", "efi_uga", "efifwsetup"),
    "x64",
)
UEFI_IA32 = Platform(
    "i386-efi",
    Firmware.UEFI_IA32,
    process.Package("grub-efi-ia32-bin", "grub2-efi-ia32-modules", "grub"),
    UEFI.needed,
    UEFI.wanted,
    "ia32",
)
UEFI_ARM64 = Platform(
    "arm64-efi",
    Firmware.UEFI_ARM64,
    process.Package("grub-efi-arm64-bin", "grub2-efi-aa64-modules", "grub"),
    UEFI.needed,
    UEFI.wanted,
    "aa64",
)
ALL_UEFI = (UEFI, UEFI_IA32, UEFI_ARM64)


MODULES = {Kind.EXT4: "ext2", Kind.EXFAT: "exfat", Kind.FAT32: "fat"}
"""Which module reads a filesystem."""
READ_BY_SIGNED = frozenset({Kind.EXT4, Kind.FAT32})
"""What the signed images of Debian and Ubuntu have a module for; under Secure Boot they load no other."""
MODULES_BESIDE = ("exfat", "gcry_sha256", "hashsum", "ntfs", "ntfscomp", "udf")
"""Modules that signed images lack, and that they load from a stick where no lockdown forbids it."""


@dataclass(frozen=True)
class Start:
    """How a stick starts under one kind of UEFI."""

    platform: Platform
    loaders: secureboot.Loaders | None
    """shim and the GRUB that it trusts; None for an unsigned GRUB."""
    modules: Path | None = None
    """Modules of the very build of the signed GRUB, the only ones that it loads; None where they are not installed."""


def starts(kind: Kind = Kind.EXT4) -> tuple[Start, ...]:
    """How a stick with this data filesystem starts under every kind of UEFI that this machine has GRUB for.

    All loaders are of one vendor, since a stick's menu and manifest know one.
    """
    found: list[Start] = []
    for platform in ALL_UEFI:
        loaders = signed(platform).loaders
        if loaders is not None and vendor(found) in ("", loaders.vendor):
            modules = _modules_of(platform, loaders)
            if kind in READ_BY_SIGNED or (modules is not None and _has(platform, MODULES[kind])):
                found.append(Start(platform, loaders, modules))
                continue
        if is_available(platform) and _has(platform, MODULES[kind]):
            found.append(Start(platform, None))
    return tuple(found)


def vendor(found: Iterable[Start]) -> str:
    """Whose loaders they are; empty where all are unsigned."""
    return next((start.loaders.vendor for start in found if start.loaders is not None), "")


def available_firmware(kind: Kind = Kind.EXT4) -> frozenset[Firmware]:
    """For which firmware this machine can make boot files that read a filesystem; empty when no GRUB is installed."""
    firmware = {BIOS.firmware} if is_available(BIOS) and _has(BIOS, MODULES[kind]) else set()
    for start in starts(kind):
        firmware.add(start.platform.firmware)
        if start.loaders is not None and kind in READ_BY_SIGNED:
            firmware.add(SECURED[start.platform.firmware])
    return frozenset(firmware)


def signed(platform: Platform = UEFI) -> secureboot.Search:
    """The loaders of this machine that start under Secure Boot, or why there are none."""
    return secureboot.search(MODULE_ROOT / platform.signed, platform.machine)


def modules_beside(start: Start) -> tuple[Path, ...]:
    """The modules that belong beside a signed GRUB: what it lacks, and what that needs in turn."""
    if start.modules is None:
        return ()
    needs: dict[str, list[str]] = {}
    for line in (start.modules / "moddep.lst").read_text("ascii", "replace").splitlines():
        name, _colon, others = line.partition(":")
        needs[name] = others.split()
    chosen: set[str] = set()
    waiting = list(MODULES_BESIDE)
    while waiting:
        name = waiting.pop()
        # whatever runs a menu has `normal`, and all that this needs
        if name in chosen or name == "normal" or not _has(start.platform, name):
            continue
        chosen.add(name)
        waiting += needs.get(name, [])
    return tuple(start.modules / f"{name}.mod" for name in sorted(chosen))


def _modules_of(platform: Platform, loaders: secureboot.Loaders) -> Path | None:
    """Where the modules of the same build are: GRUB refuses none by its version, and fails on others in odd ways."""
    directory = MODULE_ROOT / platform.name
    normal = directory / "normal.mod"
    if not loaders.version or not normal.is_file() or not (directory / "moddep.lst").is_file():
        return None
    # the module with the banner of the command line carries the version of the package
    whole = b"\0" + loaders.version.encode("ascii") + b"\0"
    return directory if whole in normal.read_bytes() else None


def is_available(platform: Platform) -> bool:
    """Whether all modules that a stick needs are installed."""
    return not _missing(platform)


def require_any(kind: Kind = Kind.EXT4) -> frozenset[Firmware]:
    """`available_firmware`, when it holds any.

    Raises:
        ToolMissingError: it does not; the text names the packages.
    """
    firmware = available_firmware(kind)
    if not firmware and available_firmware():
        raise ToolMissingError(
            f"the GRUB of this machine has no module {MODULES[kind]}, so that it cannot read {kind}; choose ext4"
        )
    if not firmware:
        raise ToolMissingError(
            "no GRUB boot files are installed, so that no stick can be made; install the package "
            f"{BIOS.package} (for BIOS) or {UEFI.package} (for UEFI), better both"
        )
    mkimage_program()
    return firmware


def mkimage_program() -> str:
    """Name of the program that makes GRUB images.

    Raises:
        ToolMissingError: it is not installed.
    """
    try:
        process.find_program("grub2-mkimage")
    except ToolMissingError:
        process.find_program("grub-mkimage")
        return "grub-mkimage"
    return "grub2-mkimage"


def directory(platform: Platform) -> Path:
    """Where the modules of a platform are.

    Raises:
        ToolMissingError: some that a stick needs are not there.
    """
    if missing := _missing(platform):
        raise ToolMissingError(
            f"GRUB for {platform.name} is not installed completely ({', '.join(missing[:5])} not found in "
            f"{MODULE_ROOT / platform.name}); install the package {platform.package}"
        )
    return MODULE_ROOT / platform.name


def font() -> Path | None:
    """GRUB's Unicode font, or nothing; the menu then stays in text mode."""
    return next((path for path in FONTS if path.is_file()), None)


async def make_image(platform: Platform, early_config: str, work: Path) -> bytes:
    """A GRUB image with everything a stick needs built in.

    Args:
        platform: for which firmware.
        early_config: script it runs before it looks for its prefix.
        work: an empty directory.

    Raises:
        ToolMissingError: GRUB is not installed completely.
        ToolFailedError: grub-mkimage failed.
    """
    modules = directory(platform)
    config = work / f"{platform.name}.early.cfg"
    output = work / f"{platform.name}.img"
    config.write_text(early_config, "ascii")
    await process.run(
        [
            mkimage_program(),
            "-O",
            platform.name,
            "-d",
            str(modules),
            "-c",
            str(config),
            "-p",
            "/boot/grub",
            "-o",
            str(output),
            *platform.needed,
            *(name for name in platform.wanted if _has(platform, name)),
        ]
    )
    return output.read_bytes()


def early_config(esp_serial: str) -> str:
    """Script that finds the ESP of this very stick, whatever order the firmware gives the disks."""
    return f"search --no-floppy --set=root --fs-uuid {esp_serial}\nset prefix=($root)/boot/grub\n"


def _has(platform: Platform, module: str) -> bool:
    return (MODULE_ROOT / platform.name / f"{module}.mod").is_file()


def _missing(platform: Platform) -> list[str]:
    extra = ["boot.img", "kernel.img"] if platform is BIOS else ["kernel.img"]
    missing = [name for name in extra if not (MODULE_ROOT / platform.name / name).is_file()]
    return missing + [name for name in platform.needed if not _has(platform, name)]
