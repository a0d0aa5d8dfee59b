"""GRUB for other kinds of UEFI, unpacked and not installed: that would change what sticks of this machine are."""

from __future__ import annotations

import subprocess
from pathlib import Path

from luxusbd.stick import grub

FOREIGN = {"grub-efi-ia32-bin": "", "grub-efi-arm64-bin": "arm64"}
"""Packages, and the architecture whose archive has each of them; empty for that of this machine."""


def modules(directory: Path) -> Path:
    """A directory like /usr/lib/grub with the GRUB of this machine and of `FOREIGN`; made where it is missing.

    Raises:
        CalledProcessError: apt cannot fetch a package.
    """
    root = directory / "root"
    found = root / "usr/lib/grub"
    for package, architecture in FOREIGN.items():
        done = directory / f"{package}.unpacked"
        if not done.exists():
            root.mkdir(parents=True, exist_ok=True)
            subprocess.run(["dpkg-deb", "-x", _fetch(package, architecture, directory), root], check=True)
            done.touch()
    for own in grub.MODULE_ROOT.iterdir():
        if own.is_dir() and not (found / own.name).exists():
            (found / own.name).symlink_to(own)
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
