"""What the bus asks of the engine and is told by it, as values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

from luxusbd.catalog.model import Trust
from luxusbd.devices.model import Device, DeviceState
from luxusbd.images.model import Firmware, StoredImage
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.foreign import ForeignStick
from luxusbd.stick.losses import Loss
from luxusbd.stick.model import Layout, ManifestImage, PartitionRole, StickOptions, StrayRoom


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    uid: int
    bus_name: str
    """Unique name on the bus, such as :1.42."""


@dataclass(frozen=True)
class ImageUpdate:
    """A newer release for an image on a stick."""

    name: str
    """File name of the image on the stick."""
    title: str
    reference: str
    """The `distro:` reference of the newer release."""
    from_version: str
    to_version: str
    size: int
    """Bytes of the newer one; from the rounded hint of the catalogue when nothing better is known."""
    respin: bool
    """The same version with other bytes."""
    series_change: bool
    """Another series, as 26.04 after 24.04."""
    end_of_life: str
    """When support of the one on the stick ends or ended, YYYY-MM-DD, or empty."""
    ended: bool
    """Whether that is over."""
    trust: Trust
    """What a download of the newer one can reach."""
    less_trust: bool
    """Whether that is less than what the one on the stick had."""

    def to_json(self) -> dict[str, str | int | bool]:
        """As JSON values, by the names that it has on the bus."""
        return {**asdict(self), "trust": self.trust.value}


@dataclass(frozen=True)
class UpdateWishes:
    """What an update of a stick is to do."""

    images: tuple[str, ...] = ()
    """References or file names of those to update; empty for all."""
    check: bool = False
    """Only say what would be done."""
    one_at_a_time: bool = False
    """Every image on its own: less room is needed."""
    same_series: bool = False
    """No other series."""
    less_trust: bool = False
    """Also releases that are less sure than what is on the stick."""
    replace: bool = False
    """Remove an image before the new one is written, where there is no room for both."""
    keep: bool = True
    """Keep on this machine what is downloaded, where it could also pass through."""


@dataclass(frozen=True)
class RemoteWishes:
    """From where the catalogue is to be kept up to date."""

    url: str
    """Empty for nowhere."""
    signature_url: str = ""
    """Empty for that of the catalogue with .asc behind its path."""
    fingerprints: tuple[str, ...] = ()
    """Of the keys whose signature counts; empty for all of a given file, else for those that count now."""
    configured: bool = False
    """As the configuration file says; nothing else is given then."""


@dataclass(frozen=True)
class DeviceView:
    """A disk or an image file as a device object shows it."""

    device: Device
    state: DeviceState
    images: tuple[ManifestImage, ...] = ()
    free_bytes: int = 0
    current_job: int | None = None
    unlisted_images: int = 0
    """Image files on the stick that have no entry in its menu."""
    stray: tuple[StrayRoom, ...] = ()
    """Rooms for changes on a stick that belong to none of its images."""
    damage: str = ""
    """What is broken on a damaged stick, for people, else empty."""
    updates: tuple[ImageUpdate, ...] = ()
    """Newer releases for the images, in menu order, as everybody's catalogue has them."""
    filesystem: Kind = Kind.EXT4
    """Of the data partition of a stick."""
    companion: bool = False
    """Whether a stick has a companion partition."""
    persistence: bool = False
    """Whether a stick has a persistence partition."""
    shim: str = ""
    """The vendor whose shim a stick starts through under Secure Boot; empty for none."""
    firmware: frozenset[Firmware] = frozenset()
    """What the boot files of a stick serve."""
    boot_warning: str = ""
    """Why its boot files should be renewed, for people; empty when there is no need."""
    foreign: ForeignStick | None = None
    """What a stick of another program holds; None for every other disk."""
    contents: tuple[Loss, ...] = ()
    """Its partitions and filesystems, which an erase would destroy."""
    owner: Caller | None = None
    """Set for an image file: only this uid sees it, and it goes with this bus name."""


@dataclass(frozen=True)
class ImageView:
    """A stored image with what only the engine knows about it."""

    image: StoredImage
    genuine: str
    """Name of the catalogue's release with this hash, or empty."""
    in_use: bool
    genuine_reference: str = ""
    """The `distro:` reference of that release, or empty."""
    owners: int | None = None
    """How many uids imported it or asked for it; only root is told."""


@dataclass(frozen=True)
class ImportOptions:
    """What a user says of an image that is imported; descriptors stay the caller's."""

    sha256: str = ""
    """Of the image, or of the file that it is compressed in."""
    size: int = 0
    """Bytes that come through the descriptor, 0 when that is not known."""
    sums: int | None = None
    """A list of hashes."""
    sums_name: str = ""
    """Under which name the image stands in it; empty: under its display name."""
    signature: int | None = None
    """A detached signature of the list, without one of the image itself."""
    key: int | None = None
    """OpenPGP public keys, one of which has to have signed the list or the image."""
    keep_packed: bool = False
    """Whether a compressed image stays so in the store, for WriteRaw alone."""


class PrunedKind(StrEnum):
    """What was removed from the store."""

    IMAGE = "image"
    """A catalogue image, which can be downloaded again."""
    IMPORT = "import"
    """An imported image."""
    PARTIAL = "partial"
    """What an unfinished download left."""
    ORPHAN = "orphan"
    """A damaged image that belongs to nobody."""


@dataclass(frozen=True)
class Pruned:
    """One thing that was removed from the store, or would be."""

    kind: PrunedKind
    sha256: str
    reference: str
    """`image:` for an image; `distro:` for an unfinished download of the catalogue, else empty."""
    name: str
    size: int
    """Bytes; for an unfinished download those that it occupies."""
    last_used: int
    """Unix seconds, 0 when nobody knows."""


@dataclass(frozen=True)
class PruneOptions:
    """What is to be removed."""

    dry_run: bool = False
    """Only say what would be."""
    older_than: int = 0
    """Seconds for which it was not used."""
    imports: bool = False
    """Imported images too."""
    only: frozenset[str] = frozenset()
    """Hashes outside of which nothing is removed; empty for no such bound."""


@dataclass(frozen=True)
class PlannedImage:
    """One image of a plan."""

    reference: str
    name: str
    """File name on the stick."""
    title: str
    size: int
    """0 when the catalogue does not know it."""
    firmware: frozenset[Firmware]
    """Empty when it is not known before the download."""
    warnings: tuple[str, ...]
    download: bool
    """Whether it has to be downloaded first."""
    trust: Trust
    """Of a stored image; else what its download can reach at best."""
    partition: PartitionRole = PartitionRole.DATA
    """Where it goes, as far as that is known before a download."""
    custom: bool = False
    """Whether the caller's own catalogue names it, and no other."""
    persistence: int = 0
    """Bytes for its changes."""
    keeps: str = "unknown"
    """Where its system would keep changes, as `changes.keeps`."""
    reckoned: int = 0
    """Bytes that are reckoned with where its size is not exact."""


@dataclass(frozen=True)
class PlannedDevice:
    """One target of a plan."""

    view: DeviceView
    lost: tuple[str, ...]
    """What an erase destroys, a line each."""
    bytes_needed: int
    bytes_free: int
    """What is left on the data partition afterwards."""
    layout: Layout
    lost_details: tuple[Loss, ...] = ()
    """The same as `lost`, as values."""
    bytes_missing: int = 0
    """What the images need beyond the data partition; only a dry run tells of it, others are refused."""


@dataclass(frozen=True)
class RawWishes:
    """What a caller says of an image that is to be written byte for byte."""

    bmap: int | None = None
    """A block map, whose descriptor stays the caller's."""
    unbootable: bool = False
    """Whether an image that no firmware starts from a stick is meant."""


@dataclass(frozen=True)
class RawPlan:
    """What WriteRaw will do with the one image of a plan."""

    packing: str
    """How the image is compressed, or empty."""
    size: int
    """Bytes on the disk, 0 when they are known at its end alone."""
    starts: str
    """hybrid, disk, optical or nothing, as `luxusbd.images.startable.Starts`; unknown before the download."""
    mapped: int = 0
    """Bytes that the block map has written, 0 without one."""


@dataclass(frozen=True)
class Plan:
    """What CreateStick or WriteRaw will do; valid once, for the same uid, until it expires."""

    token: str
    expires: int
    """Unix seconds."""
    devices: tuple[PlannedDevice, ...]
    images: tuple[PlannedImage, ...]
    options: StickOptions
    firmware: frozenset[Firmware]
    secure_boot: bool
    warnings: tuple[str, ...]
    raw: RawPlan | None = None
    """Set for WriteRaw."""


@dataclass(frozen=True)
class CatalogStatus:
    """How up to date the catalogue is. Times are unix seconds, 0 where there is no update."""

    url: str
    """Of the remote, empty when none is configured."""
    updated: int
    """When the edition in force was fetched."""
    checked: int
    """When the remote last said that there is none newer."""
    made: int
    serial: int
    expires: int
    fingerprint: str
    """Of the key that signed it."""
    previous: bool
    """Whether the edition in force is the one before the newest, which cannot be read."""
    problems: tuple[str, ...]
    """What is wrong with the catalogue, a line each: an expired edition, layers that were skipped, fields of a newer
    version that were ignored, feeds that failed; also of what the caller imported."""
    feeds: int = 0
    """How many feeds of makers can be asked for newer releases."""
    feeds_asked: int = 0
    """When one was last asked."""
    feeds_failed: tuple[str, ...] = ()
    """Ids of those that told of nothing genuine when they were last asked."""
    migrated: tuple[str, ...] = ()
    """What became of the files of an older LUXusb on this machine, a line each; empty without such."""
    own: str = ""
    """SHA-256 of the document that the caller imported last, or empty."""
