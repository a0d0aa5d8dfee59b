"""Values that describe an image: what it is and how it is started from a file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from luxusbd.catalog.model import Trust
from luxusbd.images.startfile import StartFile

CUSTOM = "custom:"
"""What the source of an image begins with that came from an address and hash in a user's own catalogue."""

_UNSAFE = re.compile(r"[^A-Za-z0-9]+")


class Firmware(StrEnum):
    """A way in which a machine starts a stick."""

    BIOS = "bios"
    UEFI = "uefi"
    UEFI_SECURE_BOOT = "uefi-sb"
    """UEFI of 64-bit PCs, as is `UEFI`."""
    UEFI_IA32 = "uefi-ia32"
    """32-bit UEFI, mostly of tablets and small PCs whose processor has 64 bits."""
    UEFI_IA32_SECURE_BOOT = "uefi-ia32-sb"
    UEFI_ARM64 = "uefi-arm64"
    UEFI_ARM64_SECURE_BOOT = "uefi-arm64-sb"


SECURED: Mapping[Firmware, Firmware] = {
    Firmware.UEFI: Firmware.UEFI_SECURE_BOOT,
    Firmware.UEFI_IA32: Firmware.UEFI_IA32_SECURE_BOOT,
    Firmware.UEFI_ARM64: Firmware.UEFI_ARM64_SECURE_BOOT,
}
"""Every kind of UEFI, with the same one where it enforces Secure Boot."""
SECURE = frozenset(SECURED.values())


class BootMethod(StrEnum):
    """How GRUB starts an entry; paths are inside the image unless stated."""

    LINUX = "linux"
    """`linux` KERNEL PARAMETERS, then `initrd` with every initrd."""
    LINUX16 = "linux16"
    """`linux16` KERNEL: a BIOS program in the shape of a kernel, such as memtest."""
    MEMDISK = "memdisk"
    """The whole image in memory as a disc of the BIOS, by memdisk; KERNEL only says what it was known by."""
    EFI = "efi"
    """`chainloader` KERNEL: an EFI program."""
    CONFIGFILE = "configfile"
    """The image's own GRUB menu at KERNEL, run with root=(loop)."""
    LOOPBACK_CFG = "loopback-cfg"
    """The image's own loopback.cfg at KERNEL, by the supergrub contract (iso_path exported)."""


@dataclass(frozen=True)
class BootEntry:
    """One way of starting an image.

    `parameters` are single words of a kernel command line. They may hold the placeholders `{iso}` (path of the image
    file from the root of the data partition, starting with /), `{data_uuid}` (filesystem UUID of that partition),
    `{iso_uuid}` (filesystem UUID of the image as udev prints it), `{volume_id}` and `{blank}` (a blank inside of the
    word, which GRUB then puts between double quotes); nothing else in them is special.
    """

    title: str
    method: BootMethod
    firmware: frozenset[Firmware]
    kernel: str
    initrds: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    signer: str = ""
    """Whose signature the kernel carries: debian, ubuntu, fedora, redhat, suse or empty. Under Secure Boot it starts
    with the shim and GRUB of the same vendor only, or after that vendor's key was enrolled; values of `SECURE` are in
    `firmware` where a stick can carry that shim."""

    @property
    def own_menu(self) -> bool:
        """Whether it leads to a menu of the image, so that nobody knows what that starts."""
        return self.method in (BootMethod.CONFIGFILE, BootMethod.LOOPBACK_CFG)

    def trusted_by(self, shim: str) -> bool:
        """Whether it starts under Secure Boot through the shim of this vendor, with no further key enrolled."""
        return bool(self.firmware & SECURE) and self.signer == shim != ""


class Store(StrEnum):
    """Where a system keeps changes."""

    PARTITION = "partition"
    """A filesystem with a label of its own, for all images of a stick together."""
    FILE = "file"
    """An image of a filesystem in the directory of this image's changes."""
    DIRECTORY = "directory"
    """The directory of this image's changes, on the data partition."""
    OWN = "own"
    """The system makes it by itself, at the root of the data partition."""


@dataclass(frozen=True)
class Persistence:
    """How the system of an image keeps changes over a restart, where its stick gives it the room.

    The parameters of `entry` may hold the placeholders `{persistence}` (the directory of this image's changes from the
    root of the data partition) and `{persistence_mb}` (its size in MiB) besides those of every entry.
    """

    entry: BootEntry
    store: Store
    name: str = ""
    """Label of the partition, or name of the file."""
    on: frozenset[str] = frozenset()
    """Filesystems of the data partition on which it works; empty means all from which the system reads the image."""
    files: tuple[tuple[str, str], ...] = ()
    """(path, text) of what the new filesystem or directory has to hold; without a text it is a directory."""


def started_by(entries: Iterable[BootEntry], shim: str) -> frozenset[Firmware]:
    """Under which firmware at least one entry starts from a stick with the shim of this vendor; empty for none."""
    return frozenset(
        one for entry in entries for one in entry.firmware - (frozenset() if entry.trusted_by(shim) else SECURE)
    )


def kinds_of_uefi(method: BootMethod, architecture: str) -> frozenset[Firmware]:
    """The kinds of UEFI under which an entry starts that is meant for UEFI.

    Args:
        method: how it is started.
        architecture: of its kernel, else of its image: amd64, i386, arm64 or empty when unknown.
    """
    if architecture == "arm64":
        return frozenset({Firmware.UEFI_ARM64})
    if method is BootMethod.EFI:
        return frozenset({Firmware.UEFI_IA32 if architecture == "i386" else Firmware.UEFI})
    # GRUB on 64-bit firmware refuses a 32-bit kernel, and on 32-bit firmware starts one with 64 bits
    if method is BootMethod.LINUX and architecture == "i386":
        return frozenset({Firmware.UEFI_IA32})
    return frozenset({Firmware.UEFI, Firmware.UEFI_IA32})


def with_kinds_of_uefi(firmware: frozenset[Firmware], method: BootMethod, architecture: str) -> frozenset[Firmware]:
    """What was written down when there was one kind of UEFI, in today's words; anything newer stays as it is."""
    if Firmware.UEFI not in firmware or firmware - _WITHOUT_KINDS or architecture == "i386":
        return firmware
    kinds = kinds_of_uefi(method, architecture)
    secure = Firmware.UEFI_SECURE_BOOT in firmware
    return firmware & {Firmware.BIOS} | kinds | (frozenset(SECURED[kind] for kind in kinds) if secure else frozenset())


_WITHOUT_KINDS = frozenset({Firmware.BIOS, Firmware.UEFI, Firmware.UEFI_SECURE_BOOT})


@dataclass(frozen=True)
class Certificate:
    """An X.509 certificate that can be enrolled from a stick; see `certificate`."""

    subject: str
    """Its common name, else its organisation; untrusted text."""
    der: bytes

    @property
    def sha256(self) -> str:
        """The fingerprint that MokManager shows, in hex."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def file_name(self) -> str:
        """How its file is called on a stick: what MokManager lists."""
        readable = _UNSAFE.sub("-", self.subject).strip("-")[:40].strip("-") or "certificate"
        return f"{readable}-{self.sha256[:8]}.cer"


@dataclass(frozen=True)
class Recognition:
    """What the content of an image says about it."""

    size: int
    """Bytes of the file."""
    volume_id: str
    iso_uuid: str
    """The filesystem UUID of the image, such as 2024-10-24-13-58-33-00; empty where it has none."""
    recipe: str
    """Id of the recipe that matched, or empty."""
    family: str
    system: str
    """Name for people, such as "Debian GNU/Linux Live 12.5"; may come from the image: untrusted text."""
    version: str
    architecture: str
    """amd64, i386, arm64 or empty when unknown."""
    entries: tuple[BootEntry, ...] = ()
    filesystems: frozenset[str] = frozenset()
    """Filesystems from which its initramfs can read the image; empty means any that GRUB reads."""
    reason: str = ""
    """Why it cannot be started from a file; empty when it can."""
    advice: str = ""
    """What the user can do instead."""
    firmware: frozenset[Firmware] = field(default_factory=frozenset)
    """All firmware under which at least one entry starts."""
    startfile: StartFile | None = None
    """The file that has to be fetched to start it."""
    persistence: tuple[Persistence, ...] = ()
    """Ways of keeping changes, of which the first counts that works on the stick."""

    @property
    def bootable(self) -> bool:
        """Whether at least one entry starts it from a file."""
        return bool(self.entries) and not self.reason


@dataclass(frozen=True)
class StoredImage:
    """An image in the store, as one uid sees it."""

    sha256: str
    name: str
    """Display name, chosen by the importer or taken from the catalogue; untrusted text."""
    size: int
    added: int
    """Unix seconds."""
    source: str
    """The `distro:` reference it was downloaded as, with `custom:` in place of `distro:` where the user's own catalogue
    named it; or `import`."""
    trust: Trust
    recognition: Recognition
    last_used: int = 0
    """Unix seconds, of this uid's own use and, where all see the image, of anybody's; exact to some minutes."""
    pinned: bool = False
    """Whether this uid, or root for all, wants it kept."""
    sha512: str = ""
    """Where a catalogue that tells no sha256 vouches for it."""

    @property
    def reference(self) -> str:
        """The image reference under which D-Bus callers name it."""
        return f"image:{self.sha256}"

    @property
    def custom(self) -> bool:
        """Whether a user's own catalogue named it, and no other."""
        return self.source.startswith(CUSTOM)


@dataclass(frozen=True)
class MappedRange:
    """Bytes that count."""

    start: int
    end: int
    """The byte after the last one."""
    digest: str = ""
    """Lower-case hex digits of their hash; empty where the map has none."""


@dataclass(frozen=True)
class BlockMap:
    """The ranges of an image that count, in order and apart; what is in none may be anything."""

    size: int
    """Bytes of the image."""
    ranges: tuple[MappedRange, ...]
    algorithm: str = ""
    """Of the digests, one of `luxusbd.images.blockmap.DIGITS`; empty where there are none."""

    @property
    def mapped(self) -> int:
        """Bytes that count."""
        return sum(each.end - each.start for each in self.ranges)
