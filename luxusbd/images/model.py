"""Values that describe an image: what it is and how it is started from a file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from luxusbd.catalog.model import Trust

CUSTOM = "custom:"
"""What the source of an image begins with that came from an address and hash in a user's own catalogue."""


class Firmware(StrEnum):
    """A way in which a machine starts a stick."""

    BIOS = "bios"
    UEFI = "uefi"
    UEFI_SECURE_BOOT = "uefi-sb"


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
    `{iso_uuid}` (filesystem UUID of the image as udev prints it) and `{volume_id}`; nothing else in them is special.
    """

    title: str
    method: BootMethod
    firmware: frozenset[Firmware]
    kernel: str
    initrds: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    signer: str = ""
    """Whose signature the kernel carries, as its recipe trusts it: debian, ubuntu, fedora, redhat, suse or empty. Under
    Secure Boot it starts with the shim and GRUB of the same vendor only, or after that vendor's key was enrolled;
    UEFI_SECURE_BOOT is in `firmware` where a stick can carry that shim."""

    @property
    def own_menu(self) -> bool:
        """Whether it leads to a menu of the image, so that nobody knows what that starts."""
        return self.method in (BootMethod.CONFIGFILE, BootMethod.LOOPBACK_CFG)

    def trusted_by(self, shim: str) -> bool:
        """Whether it starts under Secure Boot through the shim of this vendor, with no further key enrolled."""
        return Firmware.UEFI_SECURE_BOOT in self.firmware and self.signer == shim != ""


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
    known = tuple(entries)
    firmware = frozenset(one for entry in known for one in entry.firmware)
    return firmware if any(entry.trusted_by(shim) for entry in known) else firmware - {Firmware.UEFI_SECURE_BOOT}


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
