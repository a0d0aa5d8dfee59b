"""What the first bytes of a kernel say: its architecture, and who signed it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

Reader = Callable[[int, int], bytes]
"""Gives at most (limit) bytes from (offset) of the kernel."""

SIGNERS = {
    "debian": ("Debian Secure Boot",),
    "ubuntu": ("Canonical Ltd. Secure Boot Signing",),
    "fedora": ("Fedora Secure Boot",),
    "redhat": ("Red Hat Secure Boot",),
    "suse": ("openSUSE Secure Boot", "SUSE Linux Enterprise Secure Boot"),
}
"""How the names in the certificates of kernels begin, by vendor."""
SHIM_VENDORS = frozenset({"debian", "ubuntu"})
"""Those whose shim and GRUB a stick can carry."""

_HEAD = 4096
_MAX_SIGNATURES = 256 * 1024
_MACHINES = {0x8664: "amd64", 0x14C: "i386", 0xAA64: "arm64"}


@dataclass(frozen=True)
class KernelFacts:
    """What is known about a kernel."""

    architecture: str
    """amd64, i386, arm64 or empty when unknown."""
    signatures: bytes
    """The raw certificate table, empty when there is none. Nothing is verified: firmware and shim do that."""

    @property
    def vendor(self) -> str:
        """The vendor of `SIGNERS` whose certificate is there, or empty."""
        return next(
            (
                vendor
                for vendor, names in SIGNERS.items()
                if any(name.encode("utf-8") in self.signatures for name in names)
            ),
            "",
        )


def inspect_kernel(read: Reader) -> KernelFacts:
    """Look at a kernel or an EFI program.

    Sources: Documentation/arch/x86/boot.rst (HdrS at 0x202, version at 0x206, xloadflags at 0x236 since protocol 2.12),
    Documentation/arch/arm64/booting.rst (magic at 56), the PE format (certificate table: data directory 4).
    """
    head = read(0, _HEAD)
    return KernelFacts(_architecture(head), _signatures(head, read))


def _architecture(head: bytes) -> str:
    if head[0x202:0x206] == b"HdrS" and len(head) >= 0x238:
        version, flags = struct.unpack_from("<H", head, 0x206)[0], struct.unpack_from("<H", head, 0x236)[0]
        return "amd64" if version >= 0x20C and flags & 1 else "i386"
    if head[56:60] == b"ARM\x64":
        return "arm64"
    pe = _pe_offset(head)
    return "" if pe is None else _MACHINES.get(struct.unpack_from("<H", head, pe + 4)[0], "")


def _pe_offset(head: bytes) -> int | None:
    if head[:2] != b"MZ" or len(head) < 64:
        return None
    at: int = struct.unpack_from("<I", head, 0x3C)[0]
    return at if at + 24 <= len(head) and head[at : at + 4] == b"PE\0\0" else None


def _signatures(head: bytes, read: Reader) -> bytes:
    pe = _pe_offset(head)
    if pe is None or pe + 26 > len(head):
        return b""
    optional = pe + 24
    magic = struct.unpack_from("<H", head, optional)[0]
    directories = {0x10B: optional + 96, 0x20B: optional + 112}.get(magic)
    if directories is None or directories + 40 > len(head):
        return b""
    count = struct.unpack_from("<I", head, directories - 4)[0]
    if count < 5:
        return b""
    offset, size = struct.unpack_from("<II", head, directories + 32)
    if offset == 0 or not 8 < size <= _MAX_SIGNATURES:
        return b""
    return read(offset, size)
