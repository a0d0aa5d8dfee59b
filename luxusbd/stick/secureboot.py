"""The loaders of this machine that start where Secure Boot is on: shim, the GRUB that it trusts, and MokManager.

shim is signed by Microsoft and trusts its own vendor's key alone, so that all of them have to be of one vendor. Names
and places are those of Debian's and Ubuntu's packages shim-signed, shim-helpers-amd64-signed (Debian) and
grub-efi-amd64-signed, and of the same ones for 32-bit PCs (ia32 in their names) and for ARM (aa64). The fallback loader
is left out on purpose: beside shim it makes boot entries in the firmware instead of starting GRUB.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from luxusbd.images.kernel import SHIM_VENDORS, Reader, inspect_kernel
from luxusbd.images.sbat import REVOKED_BELOW, levels, revoked, revoked_by, versions

SHIM_DIRECTORY = Path("/usr/lib/shim")
SHIMS = ("shim{}.efi.signed", "shim{}.efi.signed.latest")
MOK_MANAGERS = ("mm{}.efi.signed", "mm{}.efi")
"""The second is Ubuntu's; Debian has an unsigned one under that name, which counts for nothing."""
GRUB = "gcd{}.efi.signed"
"""The one that looks for /boot/grub/grub.cfg on the disk it comes from, as GRUB for BIOS does on a stick."""
PACKAGES = "shim-signed, shim-helpers-amd64-signed and grub-efi-amd64-signed"


@dataclass(frozen=True)
class Loaders:
    """Loaders of one vendor."""

    vendor: str
    """Whose kernels they start: debian or ubuntu."""
    shim: Path
    grub: Path
    mok_manager: Path | None
    """Enrols further keys; None where it is not installed."""
    outdated: tuple[str, ...]
    """What newer machines refuse, as SBAT components with their generations, such as `grub,4`."""
    levels: tuple[tuple[str, int], ...]
    """The SBAT generations of shim and GRUB."""
    version: str
    """Of GRUB's package, as its SBAT level tells it, such as 2.06-13+deb12u2; empty when it does not."""


@dataclass(frozen=True)
class Search:
    """What a look for the loaders came to."""

    loaders: Loaders | None
    reason: str = ""
    """Why there are none, and what to do."""


@dataclass(frozen=True)
class _Program:
    path: Path
    levels: dict[str, int]
    versions: dict[str, str]
    signed: bool
    signer: str
    """The vendor whose certificate it carries; empty for others, such as Microsoft's."""

    def vendor(self, component: str) -> str:
        """The vendor that its SBAT levels name, or empty."""
        named = [vendor for vendor in sorted(SHIM_VENDORS) if f"{component}.{vendor}" in self.levels]
        return named[0] if len(named) == 1 else ""


def search(grub_directory: Path, machine: str = "x64") -> Search:
    """The loaders of this machine.

    Args:
        grub_directory: where the signed images of GRUB are.
        machine: for which UEFI: x64, ia32 or aa64, as in the names of the files.
    """
    shim = _first(SHIM_DIRECTORY / name.format(machine) for name in SHIMS)
    grub = _first([grub_directory / GRUB.format(machine)])
    if shim is None or grub is None:
        return Search(None, f"install {PACKAGES}")
    vendor = shim.vendor("shim")
    if not vendor or not shim.signed:
        return Search(None, f"{shim.path} is no signed shim of {_or(SHIM_VENDORS)}")
    theirs = grub.vendor("grub")
    if theirs and theirs != vendor:
        return Search(
            None,
            f"{shim.path} is {vendor}'s and {grub.path} is {theirs}'s, and shim starts the GRUB of its own vendor"
            f" alone; install {PACKAGES} from the same distribution",
        )
    if theirs != vendor or grub.signer != vendor:
        return Search(None, f"{grub.path} is not signed by {vendor}, whose shim is installed")
    managers = (_read(SHIM_DIRECTORY / name.format(machine)) for name in MOK_MANAGERS)
    manager = next((one for one in managers if one is not None and one.signer == one.vendor("shim") == vendor), None)
    outdated = [f"{name},{level}" for program in (shim, grub) for name, level in revoked(program.levels)]
    known = {name: level for program in (shim, grub) for name, level in program.levels.items() if name in REVOKED_BELOW}
    return Search(
        Loaders(
            vendor,
            shim.path,
            grub.path,
            manager.path if manager else None,
            tuple(outdated),
            tuple(sorted(known.items())),
            grub.versions.get(f"grub.{vendor}", ""),
        )
    )


def revocations() -> Mapping[str, int]:
    """The lowest SBAT generations that this machine's own shim lets start, by component; empty where it has no shim."""
    for name in SHIMS:
        path = SHIM_DIRECTORY / name.format("x64")
        if path.is_file():
            with path.open("rb") as file:
                return revoked_by(_reader(file))
    return {}


def _reader(file: BinaryIO) -> Reader:
    def read(offset: int, limit: int) -> bytes:
        file.seek(offset)
        return file.read(limit)

    return read


def _first(paths: Iterable[Path]) -> _Program | None:
    return next((program for program in map(_read, paths) if program is not None), None)


def _read(path: Path) -> _Program | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        read = _reader(file)
        facts = inspect_kernel(read)
        return _Program(path, levels(read), versions(read), bool(facts.signatures), facts.vendor)


def _or(names: Iterable[str]) -> str:
    return " or ".join(sorted(names))
