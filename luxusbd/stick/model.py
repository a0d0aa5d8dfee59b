"""Values that describe a multi-boot stick: its layout, its manifest, and the orders for the stick worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from luxusbd.catalog.model import Trust
from luxusbd.images.model import CUSTOM, BlockMap, BootEntry, Certificate, Firmware, Persistence, Store

MIB = 1024 * 1024


class PartitionRole(StrEnum):
    """What a partition of the stick is for."""

    BIOS_BOOT = "bios-boot"
    ESP = "esp"
    DATA = "data"
    COMPANION = "companion"
    """ext4 beside a data partition of another kind, for the images that this kind cannot start."""
    SHARE = "share"
    """exFAT for the user's own files; empty when it is made, and never touched again."""
    PERSISTENCE = "persistence"
    """ext4 for the changes of one system that looks for them on a partition only."""


@dataclass(frozen=True)
class PlannedPartition:
    """One row of the partition table; all figures in bytes."""

    number: int
    role: PartitionRole
    name: str
    type_guid: str
    start: int
    size: int


@dataclass(frozen=True)
class Layout:
    """The partition table of a stick of `size` bytes."""

    size: int
    partitions: tuple[PlannedPartition, ...]

    def partition(self, role: PartitionRole) -> PlannedPartition:
        """The partition with this role."""
        return next(part for part in self.partitions if part.role is role)

    def has(self, role: PartitionRole) -> bool:
        """Whether there is a partition with this role."""
        return any(part.role is role for part in self.partitions)


class Theme(StrEnum):
    """How the menu looks where there are graphics."""

    LUXUSB = "luxusb"
    NONE = "none"


@dataclass(frozen=True)
class MenuStyle:
    """What of the menu is a matter of taste; see `MenuChange`."""

    theme: Theme = Theme.LUXUSB
    remember: bool = True
    """Whether the entry that was started last is the one that starts by itself."""
    language: str = "en"
    """Of the fixed texts; one of `menutexts.LANGUAGES`."""


@dataclass(frozen=True)
class StickOptions:
    """What the user may choose when a stick is made; kept in the manifest."""

    filesystem: str = "ext4"
    label: str = "LUXDATA"
    timeout: int = 10
    """Seconds until the first image starts, 0 to 30."""
    serial_console: bool = False
    companion: int = 0
    """Bytes of the companion partition, 0 for none."""
    share: int = 0
    """Bytes of the share partition, 0 for none."""
    certificates: tuple[Certificate, ...] = ()
    """What MokManager can enrol from the ESP."""
    persistence: int = 0
    """Bytes of the persistence partition, 0 for none."""
    menu: MenuStyle = MenuStyle()


@dataclass(frozen=True)
class MenuChange:
    """What a refresh changes about the menu of a stick; None leaves it as it is."""

    timeout: int | None = None
    theme: Theme | None = None
    remember: bool | None = None
    language: str | None = None

    def applied(self, options: StickOptions) -> StickOptions:
        """The options of a stick after it."""
        style = options.menu
        return replace(
            options,
            timeout=options.timeout if self.timeout is None else self.timeout,
            menu=MenuStyle(
                theme=style.theme if self.theme is None else self.theme,
                remember=style.remember if self.remember is None else self.remember,
                language=style.language if self.language is None else self.language,
            ),
        )


@dataclass(frozen=True)
class Kept:
    """The room that an image on a stick has for changes."""

    store: Store
    name: str
    """Label of the partition, or name of the file; see `Persistence.name`."""
    directory: str
    """Name of the directory at the root of the image's partition; empty for a store that has none."""
    size: int
    """Bytes as the user asked for them."""
    entry: BootEntry | None
    """How the system is started with it; None when the release that is on the stick now knows no way."""


@dataclass(frozen=True)
class ManifestImage:
    """One image on a stick."""

    name: str
    """File name in /iso, of [A-Za-z0-9._+-] only."""
    title: str
    """What the menu shows; untrusted text."""
    sha256: str
    size: int
    source: str
    """The `distro:` or `custom:` reference, or `import`; see `StoredImage.source`."""
    recipe: str
    family: str
    version: str
    architecture: str
    volume_id: str
    iso_uuid: str
    added: int
    """Unix seconds."""
    entries: tuple[BootEntry, ...]
    trust: Trust | None = None
    """How sure its bytes were when they came onto the stick; None when nobody knows."""
    partition: PartitionRole = PartitionRole.DATA
    """DATA or COMPANION: in whose /iso it is."""
    persistence: tuple[Persistence, ...] = ()
    """Ways in which it could keep changes."""
    kept: Kept | None = None
    """The room that it has for changes; None for none."""

    @property
    def starts(self) -> tuple[BootEntry, ...]:
        """Its entries in the order of the menu."""
        first = self.kept.entry if self.kept is not None else None
        return self.entries if first is None else (first, *self.entries)

    @property
    def reference(self) -> str:
        """The image reference under which D-Bus callers name it."""
        return f"image:{self.sha256}"

    @property
    def custom(self) -> bool:
        """Whether a user's own catalogue named it."""
        return self.source.startswith(CUSTOM)


@dataclass(frozen=True)
class Manifest:
    """`/luxusb/stick.json`: everything the menu is made of."""

    stick_id: str
    """UUID of the stick, made at create."""
    data_uuid: str
    """Filesystem UUID of the data partition."""
    esp_serial: str
    """Volume serial of the ESP as GRUB's search --fs-uuid takes it, such as 1A2B-3C4D."""
    generation: int
    """Rises with every change; decides which of the two menus is newer."""
    created: int
    updated: int
    options: StickOptions
    firmware: frozenset[Firmware]
    """What the boot files on the stick serve."""
    boot_files: tuple[tuple[str, int, int, str], ...]
    """(what, start in bytes, length in bytes, sha256) of boot code and ESP as written, for VerifyStick."""
    images: tuple[ManifestImage, ...] = ()
    luxusbd: str = ""
    """Version of the program that wrote it."""
    companion_uuid: str = ""
    """Filesystem UUID of the companion partition; empty where there is none."""
    shim: str = ""
    """The vendor whose shim is on the ESP: debian or ubuntu; empty where there is none."""

    sbat: Mapping[str, int] = field(default_factory=dict)
    """SBAT generations of shim and GRUB on the ESP by component; empty where they are not known or unsigned."""

    def uuid_of(self, image: ManifestImage) -> str:
        """Filesystem UUID of the partition that an image is on."""
        return self.companion_uuid if image.partition is PartitionRole.COMPANION else self.data_uuid


class Probe(StrEnum):
    """How a disk is found out."""

    NONE = "none"
    QUICK = "quick"
    """Blocks all over it, and what was there is put back."""
    FULL = "full"
    """All of it; nothing is left of what was there."""


class StickOperation(StrEnum):
    """What a stick worker can be asked to do."""

    CREATE = "create"
    ADD = "add"
    REMOVE = "remove"
    UPDATE = "update"
    """Write images beside those whose places they take, then remove these."""
    REPLACE = "replace"
    """As UPDATE, where there is no room for both: what has to go goes first."""
    REFRESH = "refresh"
    VERIFY = "verify"
    CHECK = "check"
    """Bring the filesystem in order and clear away what a job that was cut has left; nothing else changes."""
    RESCAN = "rescan"
    """Make manifest and menu fit the files that lie in /iso."""
    REPAIR = "repair"
    """Mend everything that can be mended without reading the images."""
    ADOPT_BEGIN = "adopt-begin"
    """Give the images of a stick of LUXusb 0.6.3 second names in /iso; nothing that starts is changed."""
    ADOPT = "adopt"
    """Make a LUXusb stick of it, whose images are `found`."""
    PERSIST = "persist"
    """Give images room for changes, or take it away."""
    PROBE = "probe"
    """Find out what the disk holds, as `probe` says."""
    RESTORE = "restore"
    """Make it a plain drive with the filesystem and the label of the options."""
    WRITE_RAW = "write-raw"
    """Write the one image of `add` byte for byte, as `raw` says."""
    REBUILD = "rebuild"
    """As REPAIR, for a stick without a manifest, whose images are `found`."""


class Pace(Protocol):
    """Is asked before every read of an image, in the loop."""

    async def before(self, count: int) -> None:
        """Wait until `count` bytes more may be read; those of the calls before are read by now."""


class FreePace:
    """Nobody else reads the same."""

    async def before(self, count: int) -> None:
        """See `Pace`."""


FREE_PACE = FreePace()


@dataclass(frozen=True)
class SourceImage:
    """An image to be written, handed to the worker as an open descriptor."""

    fd: int
    """In the worker's own numbering."""
    image: ManifestImage
    sha512: str = ""
    """What it has to be besides, where this hash alone vouches for it: its sha256 was told by a process without
    privileges."""


@dataclass(frozen=True)
class RawImage:
    """What there is to know of an image that is written byte for byte."""

    size: int
    """Its bytes on the disk, 0 when they are known at its end alone."""
    packed: bool = False
    """Whether the file is compressed, and what is in it comes through `pipe`, in frames."""
    pipe: int = -1
    """In the worker's own numbering."""
    map: BlockMap | None = None


@dataclass(frozen=True)
class StickOrder:
    """One job for a stick worker."""

    operation: StickOperation
    fd: int
    """The whole disk or the image file, opened read-write, in the worker's own numbering."""
    node: str
    """/dev/sdb for a disk; empty for an image file."""
    disk_seq: int
    size: int
    options: StickOptions = field(default_factory=StickOptions)
    add: tuple[SourceImage, ...] = ()
    remove: tuple[str, ...] = ()
    """File names in /iso; for UPDATE and REPLACE one for each of `add`, whose place that takes, and behind them one for
    each of `streams`."""
    found: tuple[ManifestImage, ...] = ()
    """Images that lie in /iso already; `added` is not before the last change of their file."""
    persist: tuple[tuple[str, int], ...] = ()
    """(file name in /iso, bytes) for images that get room for changes; 0 takes it away."""
    change: MenuChange = MenuChange()
    """For REFRESH."""
    probe: Probe = Probe.NONE
    """For PROBE, and for CREATE and WRITE_RAW before anything is erased."""
    in_step: bool = False
    """Whether workers of other sticks read the same images at the same time, so that the core sets the pace."""
    pace: Pace = FREE_PACE
    """How far the images may be read; not sent."""
    saved: tuple[int, ...] = ()
    """For a quick PROBE, in the worker's own numbering: a file of the core for what it overwrites, and those that
    probes of disks of this size left when they were cut."""
    streams: tuple[ManifestImage, ...] = ()
    """Images that are still being downloaded, as far as they are known; their bytes come by `feeds`."""
    sequence: tuple[str, ...] = ()
    """The names of all new images in the order of the menu, where `streams` would change that."""
    raw: RawImage | None = None
    """For WRITE_RAW."""

    @property
    def coming(self) -> tuple[ManifestImage, ...]:
        """All images that it brings."""
        return (*(source.image for source in self.add), *self.streams)


@dataclass(frozen=True)
class StickProgress:
    """How far a worker is. Bytes count what the device has accepted."""

    stage: str
    bytes_done: int
    bytes_total: int
    note: str = ""


@dataclass(frozen=True)
class StrayRoom:
    """Room for changes on a stick that belongs to none of its images."""

    name: str
    """Of its directory or file, or LUXPERSIST for the persistence partition."""
    size: int
    """Bytes of the file, of the files in it, or of the partition; 0 for what cannot be read or is too much to count."""


@dataclass(frozen=True)
class StickContents:
    """What an unprivileged look at a disk found."""

    manifest: Manifest
    free_bytes: int
    damage: str = ""
    """What is broken, for people; empty for a sound stick."""
    unlisted: int = 0
    """Image files in /iso that the manifest does not list."""
    stray: tuple[StrayRoom, ...] = ()
