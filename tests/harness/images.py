"""Small systems that really boot, taken from packages of this machine's own archive."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from luxusbd.images.model import Firmware
from luxusbd.process import run

BOTH = frozenset({Firmware.BIOS, Firmware.UEFI})
INSTALLER = Path("/usr/lib/debian-installer/images")
_RECIPE = "3"
"""Raised when `_make_mini` makes something else, so that an older cached file is not used."""


@dataclass(frozen=True)
class RealImage:
    """An ISO file and what the catalogue says about it."""

    id: str
    name: str
    description: str
    homepage: str
    category: str
    version: str
    path: Path
    firmware: frozenset[Firmware]
    """Under which its content starts from a stick when Secure Boot is off."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.path.stat().st_size

    def sha256(self) -> str:
        """Hash of the file, 64 hex digits."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Found:
    """What this machine has."""

    images: tuple[RealImage, ...]
    missing: tuple[str, ...]
    """One line for each image that is not there, with the package that brings it."""


async def find(cache: Path) -> Found:
    """Look for the images; what has to be made is kept in `cache`.

    At most three: ipxe is a stand-in where one of the others is missing.

    Raises:
        ToolFailedError: mini.iso could not be made.
    """
    images: list[RealImage] = []
    missing: list[str] = []
    memtest = Path("/usr/lib/memtest86+/memtest86+x64.iso")
    rescue = Path("/usr/lib/grub-rescue/grub-rescue-cdrom.iso")
    ipxe = Path("/usr/lib/ipxe/ipxe.iso")
    if memtest.is_file():
        images.append(
            RealImage(
                id="memtest86plus",
                name="Memtest86+",
                description="Tests the memory of a computer",
                homepage="https://www.memtest.org",
                category="utility",
                version=await _version("memtest86+"),
                path=memtest,
                firmware=BOTH,
            )
        )
    else:
        missing.append(f"{memtest}: install the package memtest86+, version 6 or later")
    if rescue.is_file():
        images.append(
            RealImage(
                id="grub-rescue",
                name="GRUB Rescue",
                description="A boot loader's own menu and shell on a disc",
                homepage="https://www.gnu.org/software/grub/",
                category="utility",
                version=await _version("grub-rescue-pc"),
                path=rescue,
                firmware=frozenset({Firmware.BIOS}),
            )
        )
    else:
        missing.append(f"{rescue}: install the package grub-rescue-pc")
    if (here := installer()) is not None:
        directory, release = here
        images.append(
            RealImage(
                id="debian-mini",
                name="Debian Installer (mini.iso)",
                description="Installs Debian over the network",
                homepage="https://www.debian.org",
                category="installer",
                version=release,
                path=await _make_mini(directory, release, cache),
                firmware=BOTH,
            )
        )
    else:
        missing.append(f"{INSTALLER}: install a package debian-installer-*-netboot-amd64")
    if missing and ipxe.is_file():
        images.append(
            RealImage(
                id="ipxe",
                name="iPXE",
                description="Boots over the network",
                homepage="https://ipxe.org",
                category="utility",
                version=await _version("ipxe"),
                path=ipxe,
                firmware=frozenset({Firmware.BIOS}),
            )
        )
    return Found(tuple(images), tuple(missing))


async def _version(package: str) -> str:
    """Upstream version of an installed package; "0" when the file came without dpkg."""
    said = await run(["dpkg-query", "-W", "-f", "${Version}", package], check=False)
    match = re.match(r"(?:\d+:)?([0-9][0-9.]*[0-9])", said.stdout.decode())
    return match[1] if match else "0"


def installer() -> tuple[Path, str] | None:
    """Where kernel and initrd of Debian's network installer are, and of which release; the newest one that is here."""
    found = sorted(
        INSTALLER.glob("*/amd64/text/debian-installer/amd64/initrd.gz"),
        key=lambda path: [int(part) for part in re.findall(r"\d+", path.relative_to(INSTALLER).parts[0])],
    )
    return (found[-1].parent, found[-1].relative_to(INSTALLER).parts[0]) if found else None


async def _make_mini(directory: Path, release: str, cache: Path) -> Path:
    """Wrap the network installer as Debian's own mini.iso does: /linux, /initrd.gz and /.disk/mini-info."""
    target = cache / "mini.iso"
    stamp = cache / "mini.iso.made-of"
    stats = [(directory / name).stat() for name in ("linux", "initrd.gz")]
    made_of = f"{_RECIPE} {directory} " + " ".join(f"{stat.st_size}/{stat.st_mtime_ns}" for stat in stats)
    if target.is_file() and stamp.is_file() and stamp.read_text() == made_of:
        return target
    tree = cache / "mini"
    for below in (".disk", "boot/grub"):
        (tree / below).mkdir(parents=True, exist_ok=True)
    (tree / ".disk" / "mini-info").write_text(f"Debian GNU/Linux {release} network installer, amd64\n")
    (tree / "boot" / "grub" / "grub.cfg").write_text(
        "menuentry 'Install' {\n  linux /linux vga=788 --- quiet\n  initrd /initrd.gz\n}\n"
    )
    unfinished = cache / "mini.iso.part"
    await run(
        [
            *("grub-mkrescue", "--locales=", "--fonts=", "--themes=", "-o", str(unfinished), str(tree)),
            *(f"/linux={directory / 'linux'}", f"/initrd.gz={directory / 'initrd.gz'}"),
            *("--", "-volid", "DEBIAN_MINI"),
        ],
        timeout=300,
    )
    stamp.unlink(missing_ok=True)
    unfinished.rename(target)
    stamp.write_text(made_of)
    return target
