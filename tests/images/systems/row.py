"""What the table says of one system, and whose kernels are signed by whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.images.builders import x86_kernel

DEBIAN = b"Debian Secure Boot Signer 2022 - linux"
CANONICAL = b"Canonical Ltd. Secure Boot Signing (2021 v1)"
FEDORA = b"Fedora Secure Boot Signer"
RED_HAT = b"Red Hat Secure Boot Signing 501"
SUSE = b"SUSE Linux Enterprise Secure Boot Signkey"

K = x86_kernel()


@dataclass(frozen=True)
class Row:
    """One system in one version."""

    name: str
    version: str
    label: str
    tree: Mapping[str, bytes | str]
    recipe: str
    kernel: str = ""
    """Empty when it is refused."""
    initrds: str = ""
    parameters: str = ""
    """Of the entry that this table describes: the first one, or with `entry` another."""
    filesystems: str = ""
    firmware: str = "bios uefi uefi-ia32"
    signer: str = ""
    """The vendor whose signature counts."""
    toram: str = ""
    """The words that run it from memory, `always`, or nothing."""
    persistence: str = ""
    """Where it keeps changes, and the words for that."""
    entry: int = 0
    method: str = "linux"
    reason: str = ""
    """A part of it."""
    architecture: str = "amd64"

    @property
    def id(self) -> str:
        """For the names of tests."""
        return f"{self.name} {self.version}".strip().replace(" ", "-").replace("/", "-")


def kernel(signer: bytes) -> bytes:
    return x86_kernel(signer=signer)
