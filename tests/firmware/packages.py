"""GRUB and shim for other kinds of UEFI, unpacked and not installed, which would change what sticks are made here."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from luxusbd.stick import grub, secureboot

FOREIGN = (
    ("grub-efi-ia32-bin", ""),
    ("grub-efi-ia32-signed", "i386"),
    ("shim-signed", "i386"),
    ("shim-helpers-i386-signed", "i386"),
    ("grub-efi-arm64-bin", "arm64"),
    ("grub-efi-arm64-signed", "arm64"),
    ("shim-signed", "arm64"),
    ("shim-helpers-arm64-signed", "arm64"),
    ("debian-installer-12-netboot-arm64", ""),
)
"""Packages, and the architecture whose archive has each of them; empty for that of this machine."""


@dataclass(frozen=True)
class Unpacked:
    """Where the files of the packages lie, beside those of this machine's own."""

    modules: Path
    """A directory like /usr/lib/grub."""
    shims: Path
    """A directory like /usr/lib/shim."""
    installer: Path
    """Kernel and initrd of Debian's network installer for ARM."""


def unpack(directory: Path) -> Unpacked:
    """The packages of `FOREIGN`; fetched where they are missing.

    Raises:
        CalledProcessError: apt cannot fetch a package.
    """
    root = directory / "root"
    for package, architecture in FOREIGN:
        done = directory / f"{package}-{architecture or 'own'}.unpacked"
        if not done.exists():
            root.mkdir(parents=True, exist_ok=True)
            subprocess.run(["dpkg-deb", "-x", _fetch(package, architecture, directory), root], check=True)
            done.touch()
    found = Unpacked(
        root / "usr/lib/grub",
        root / "usr/lib/shim",
        root / "usr/lib/debian-installer/images/12/arm64/text/debian-installer/arm64",
    )
    for theirs, place in ((grub.MODULE_ROOT, found.modules), (secureboot.SHIM_DIRECTORY, found.shims)):
        for own in theirs.iterdir():
            if not (place / own.name).exists():
                (place / own.name).symlink_to(own)
    return found


def _fetch(package: str, architecture: str, directory: Path) -> Path:
    """The package by the archives that apt of this machine knows, for another architecture with lists of its own."""
    place = directory / f"apt-{architecture or 'own'}"
    place.mkdir(exist_ok=True)
    # the directory need not be one that apt's own user can enter
    options = ["-qq", "-o", "APT::Sandbox::User=root"]
    if architecture:
        (place / "lists/partial").mkdir(parents=True, exist_ok=True)
        (place / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
        options += [
            *("-o", f"APT::Architecture={architecture}", "-o", f"APT::Architectures::={architecture}"),
            *("-o", f"Dir::State::lists={place}/lists", "-o", f"Dir::Cache={place}/cache"),
            *("-o", "Dir::State::status=/dev/null", "-o", "Acquire::Languages=none"),
        ]
        # one list of several may be out of reach; whether the package is found shows in the next step
        subprocess.run(["apt-get", *options, "update"], check=False)
    subprocess.run(["apt-get", *options, "download", package], check=True, cwd=place)
    (fetched,) = place.glob(f"{package}_*.deb")
    return fetched
