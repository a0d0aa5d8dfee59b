"""What the matrix holds: which systems, under which firmware, from which filesystem, and what has to be seen.

It says by itself what is expected and asks neither the recipes nor the service, so that their mistakes show.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from luxusbd.images.model import Firmware
from tests.matrix.livetree import EVIDENCE

FIRMWARE = (Firmware.BIOS, Firmware.UEFI, Firmware.UEFI_SECURE_BOOT)
WITHOUT_SECURE_BOOT = frozenset({Firmware.BIOS, Firmware.UEFI})
ONLY_BIOS = frozenset({Firmware.BIOS})
EVERYWHERE = frozenset(FIRMWARE)

NOT_HERE = "(not with this firmware) "
"""How the menu marks an image that the running firmware cannot start."""
UNTRUSTED = "(not with Secure Boot) "
"""How the menu marks an image whose key is not known to be trusted, where Secure Boot is on."""
LOCKED = "Switch Secure Boot off to start from this stick"
"""What the stick itself says under Secure Boot, where its signed GRUB cannot read its filesystem then."""
GRUB_REFUSES = r"error: .*(?:bad shim signature|has invalid signature|Access Denied|Security (?:Policy )?Violation).*"
"""What GRUB says under Secure Boot of a program whose signature nobody knows."""


class Result(StrEnum):
    """How a row ended."""

    BOOTED = "booted"
    REFUSED = "refused-as-expected"
    FAILED = "failed"


class Refuser(StrEnum):
    """Who refuses, where a refusal is expected."""

    PLAN = "plan"
    """The service, before anything is written."""
    STICK = "stick"
    """The stick, which starts and says that it can start nothing."""
    MENU = "menu"
    """The stick's menu, which names the image and says why not."""
    GRUB = "grub"
    """GRUB, when the entry is chosen."""


@dataclass(frozen=True)
class Filesystem:
    """How the part of a stick that holds the images is made."""

    name: str
    options: tuple[str, ...]
    """For `luxusb create`."""
    firmware: frozenset[Firmware]
    """Under which such a stick starts at all."""
    holds: frozenset[str]
    """The filesystems on which its images can lie, as recipes call them."""


FILESYSTEMS = (
    Filesystem("ext4", (), EVERYWHERE, frozenset({"ext4"})),
    Filesystem("fat32", ("--filesystem", "fat32"), EVERYWHERE, frozenset({"fat32"})),
    # a signed GRUB reads exFAT by a module, and loads none under Secure Boot
    Filesystem("exfat", ("--filesystem", "exfat"), WITHOUT_SECURE_BOOT, frozenset({"exfat"})),
)
"""A stick is made and booted for each; one line more and the matrix has one more part."""


@dataclass(frozen=True)
class System:
    """One image, started by one entry of its menu."""

    image: str
    """Its id in `tests.matrix.systems`."""
    name: str
    """For people."""
    recipe: str
    sign: str
    """Regular expression of the line by which it is known to run."""
    firmware: frozenset[Firmware]
    """Under which it starts from a stick that itself does."""
    entry: str = ""
    """What the title of its entry holds; empty for the first one."""
    filesystems: frozenset[str] = frozenset({"ext4", "fat32", "exfat"})
    """From which it finds its image."""
    memory_mib: int = 512
    is_menu: bool = False
    """What it starts is a menu of GRUB itself."""
    in_memory: bool = False
    """The line is on no console, but in the copy of its screen that the program keeps in memory."""
    fetched: bool = False
    """Its maker publishes a file that has to come with it: `make boot-installer` serves that, and starts these rows.

    They are rows of BIOS alone: what follows after GRUB is the same under any firmware.
    """


@dataclass(frozen=True)
class Expected:
    """What a row has to end with."""

    result: Result
    sign: str
    refuser: Refuser | None = None


@dataclass(frozen=True)
class Row:
    """One start."""

    system: System
    firmware: Firmware
    filesystem: Filesystem
    expected: Expected = field(compare=False)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """(image, entry, firmware, filesystem)."""
        return self.system.image, self.system.entry, self.firmware.value, self.filesystem.name


def userland(root: str, name: str = "Debian GNU/Linux") -> str:
    """What a live system here says of itself, whose root directory is on a filesystem of this kind."""
    return rf"{EVIDENCE} {name} \d+.*, Linux \d\S+, root on {root}, from /iso/\S+\.iso"


INSTALLER = "debian-installer"
"""It lies beside another image of the same kind on its sticks, so that it is the right one that has to be found."""
TOOK = (
    r"installer: Linux \S+, iso-scan took /iso/debian-installer\.iso on /dev/\S+ of (?:/iso/\S+ \([^)]*\)(?:, )?){2}, "
    r"dm_mod came from its disc Debian GNU/Linux 12\.2 \"Bookworm\""
)
SYSTEMS = (
    System(
        "debian-live",
        "Debian live (live-boot)",
        "live-boot",
        userland("overlay"),
        EVERYWHERE,
        filesystems=frozenset({"ext4", "fat32"}),
        memory_mib=1024,
    ),
    System(
        "debian-live",
        "Debian live, its own menu",
        "live-boot",
        userland("overlay"),
        EVERYWHERE,
        entry="its own menu",
        filesystems=frozenset({"ext4", "fat32"}),
        memory_mib=1024,
    ),
    System(
        "dracut-live",
        "Live system by dracut, laid out as Fedora's",
        "dracut-live",
        userland("ext4"),
        EVERYWHERE,
        memory_mib=1024,
    ),
    System(
        "kiwi-live",
        "Live system by kiwi, laid out as openSUSE's",
        "dracut-live",
        userland("overlay"),
        EVERYWHERE,
        memory_mib=1024,
    ),
    System(
        "kiwi-live",
        "Live system by kiwi, its own menu",
        "dracut-live",
        userland("overlay"),
        EVERYWHERE,
        entry="its own menu",
        memory_mib=1024,
    ),
    System(
        "debian-mini",
        "Debian network installer (mini.iso)",
        "debian-netboot",
        r"main-menu\[\d+\]: INFO: Menu item '\S+' selected",
        EVERYWHERE,
        memory_mib=1024,
    ),
    System(
        INSTALLER,
        "Debian installer (netinst), by its hd-media initrd",
        "debian-installer-cd",
        TOOK,
        EVERYWHERE,
        filesystems=frozenset({"ext4", "fat32"}),
        memory_mib=1024,
        fetched=True,
    ),
    System(
        "memtest86plus",
        "Memtest86+",
        "memtest86plus",
        r"Memtest86\+ v\d+\.\d+.*",
        WITHOUT_SECURE_BOOT,
        memory_mib=256,
        in_memory=True,
    ),
    System("grub-rescue", "GRUB rescue", "grub-rescue", r"^[ *]?GNU \(aka GNU/Hurd\)", ONLY_BIOS, is_menu=True),
    System("ipxe", "iPXE", "ipxe", r"iPXE \d\S+ -- Open Source Network Boot Firmware", ONLY_BIOS),
)


def expected(system: System, firmware: Firmware, filesystem: Filesystem) -> Expected:
    """What has to happen, and the regular expression of what is seen then."""
    if not filesystem.holds & system.filesystems:
        return Expected(Result.REFUSED, rf"^not from a stick with {re.escape(filesystem.name)}: ", Refuser.PLAN)
    if firmware not in filesystem.firmware:
        return Expected(Result.REFUSED, rf"^[ *]?{re.escape(LOCKED)}", Refuser.STICK)
    if firmware in system.firmware:
        return Expected(Result.BOOTED, system.sign)
    if firmware is Firmware.UEFI_SECURE_BOOT and Firmware.UEFI in system.firmware:
        return Expected(Result.REFUSED, GRUB_REFUSES, Refuser.GRUB)
    return Expected(Result.REFUSED, rf"^[ *]?{re.escape(NOT_HERE)}.*\S", Refuser.MENU)


def rows(only: Sequence[str] = ()) -> tuple[Row, ...]:
    """The whole matrix, or the rows that the words name.

    Words about the same thing (images, firmware, filesystems) widen the choice, others narrow it. An image is named
    by any part of its id.

    Raises:
        ValueError: a word names nothing.
    """
    images = {word for word in only if any(word in system.image for system in SYSTEMS)}
    firmware = {word for word in only if word in {one.value for one in FIRMWARE}}
    filesystems = {word for word in only if word in {one.name for one in FILESYSTEMS}}
    if unknown := [word for word in only if word not in images | firmware | filesystems]:
        known = [*dict.fromkeys(system.image for system in SYSTEMS), *(one.value for one in FIRMWARE)]
        known += [one.name for one in FILESYSTEMS]
        raise ValueError(f"{unknown[0]!r} names nothing here; there are {', '.join(known)}")
    return tuple(
        Row(system, how, place, expected(system, how, place))
        for place in FILESYSTEMS
        for how in FIRMWARE
        for system in SYSTEMS
        if how is Firmware.BIOS or not system.fetched
        if (not images or any(word in system.image for word in images))
        and (not firmware or how.value in firmware)
        and (not filesystems or place.name in filesystems)
    )
