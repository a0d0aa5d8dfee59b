"""What the daemon can do, as the bus sees it.

The bus layer decodes and authorises a call, then calls one of these methods; it translates values, never decides.
`caller` is the one on whose behalf something is done. Methods raise `LuxusbError`s and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Protocol

from luxusbd.catalog.model import Trust
from luxusbd.devices.model import Device, DeviceIdentity, DeviceState
from luxusbd.images.details import Inspection
from luxusbd.images.model import Firmware, StoredImage
from luxusbd.jobs.listed import CatalogQuery, Listed
from luxusbd.jobs.mirrorchoice import Standing
from luxusbd.jobs.mirrorwishes import WishChange
from luxusbd.jobs.model import Job
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.foreign import ForeignStick
from luxusbd.stick.losses import Loss
from luxusbd.stick.model import Layout, ManifestImage, MenuChange, PartitionRole, StickOptions, StrayRoom


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
    """A detached signature of the list."""
    key: int | None = None
    """OpenPGP public keys, one of which has to have signed the list."""


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


@dataclass(frozen=True)
class Plan:
    """What CreateStick will do; valid once, for the same uid, until it expires."""

    token: str
    expires: int
    """Unix seconds."""
    devices: tuple[PlannedDevice, ...]
    images: tuple[PlannedImage, ...]
    options: StickOptions
    firmware: frozenset[Firmware]
    secure_boot: bool
    warnings: tuple[str, ...]


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


class Desktop(Protocol):
    """The service that mounts for users what they plug in (udisks2)."""

    async def mounts(self, node: str) -> tuple[str, ...]:
        """Where it knows the filesystem of a block device to be mounted; nothing where there is no such service."""

    async def unmount(self, node: str) -> None:
        """Unmount it; what is not written yet is written first, however long that takes.

        Raises:
            DeviceBusyError: it is in use.
            FailedError: it cannot be, or there is no such service.
        """


class Power(Protocol):
    """The service that sends the machine to sleep and shuts it down (systemd-logind)."""

    async def inhibit(self, what: str, why: str, mode: str) -> int | None:
        """Keep it from `what` (logind's words, joined by colons) until the descriptor that this returns is closed.

        `mode` is `block`, or `delay` for a few seconds in which to get ready. None where there is no such service.
        """

    async def on_sleep(self, told: Callable[[bool], None]) -> None:
        """Have `told` called with True before the machine sleeps, and with False after it woke up."""


class Listener:
    """Is told what changed; does nothing by itself. Called in the loop, in order; must not block or raise."""

    def device_added(self, view: DeviceView) -> None:
        """A device object appears."""

    def device_changed(self, view: DeviceView) -> None:
        """Some property of a device object is different."""

    def device_removed(self, view: DeviceView) -> None:
        """A device object goes."""

    def job_added(self, job: Job) -> None:
        """A job object appears."""

    def job_changed(self, job: Job) -> None:
        """State, stage, result or another slow property is different; not called for bytes alone."""

    def job_progress(self, job: Job) -> None:
        """Bytes moved; at most four times a second a job, and once at its end, before `job_finished`."""

    def job_finished(self, job: Job) -> None:
        """Exactly once a job, with its last state."""

    def job_removed(self, job: Job) -> None:
        """A job object goes, long after its end."""

    def busy_changed(self, busy: bool) -> None:
        """The first job began to wait or run, or the last one ended."""

    def settings_changed(self, keys: Sequence[str]) -> None:
        """These settings have another value, by `section.key`."""

    def catalog_changed(self, layer: str) -> None:
        """A layer of the catalogue was loaded anew."""


class Engine(Protocol):
    """The operations behind `org.luxusb.Manager`, `.Device` and `.Job`."""

    features: tuple[str, ...]
    """Names of the Manager members that have an engine."""

    def add_listener(self, listener: Listener) -> None:
        """Tell `listener` everything from now on."""

    @property
    def busy(self) -> bool:
        """Whether any job runs or waits."""

    def devices(self) -> tuple[DeviceView, ...]:
        """All devices, also private ones; the bus layer filters by `owner`."""

    def jobs(self) -> tuple[Job, ...]:
        """All jobs that have an object; the bus layer filters by `owner_uid`."""

    def caller_vanished(self, bus_name: str) -> None:
        """A bus name left the bus: its image targets go."""

    async def list_distributions(self, caller: Caller, query: CatalogQuery) -> tuple[Listed, ...]:
        """What the query wants, in its order; `InvalidArgumentError` for a category or family that does not exist."""

    async def get_distribution(self, caller: Caller, distribution_id: str) -> Listed:
        """One entry; `DistributionNotFoundError` with suggestions."""

    async def update_catalog(self, caller: Caller, *, feeds: bool = False, ids: Sequence[str] = ()) -> Job:
        """Start an update of the catalogue; `ConfigError` when no remote is configured and no feeds are to be asked."""

    async def get_catalog_status(self, caller: Caller) -> CatalogStatus:
        """How up to date the catalogue is."""

    async def import_catalog(self, caller: Caller, fd: int, name: str) -> int:
        """Put a catalogue over what the caller sees, in place of the one before; how many distributions it has.

        `fd` stays the caller's. `CatalogError` for one that is not right.
        """

    async def download(self, caller: Caller, reference: str, *, priority: int = 0, bandwidth: int = 0) -> Job:
        """Start a download; the same image asked for twice by one uid gives the same job."""

    async def import_image(self, caller: Caller, fd: int, name: str, options: ImportOptions) -> Job:
        """Take a file or a stream into the store. `fd` stays the caller's; it is duplicated before this returns."""

    async def inspect_image(self, caller: Caller, fd: int, *, sha256: str = "") -> Inspection:
        """What a file is, without storing it; `sha256` is what the caller found its hash to be, and is looked up."""

    async def list_images(self, caller: Caller) -> tuple[ImageView, ...]:
        """The images that the caller may see."""

    async def open_image(self, caller: Caller, reference: str) -> int:
        """A read-only descriptor, which the caller of this method closes."""

    async def delete_image(self, caller: Caller, reference: str) -> None:
        """Out of the caller's view, and off the disk when nobody else sees it. The caller's plans with it expire."""

    async def pin_image(self, caller: Caller, reference: str, pinned: bool) -> None:
        """Keep an image from being removed for space, for the caller; root for all."""

    async def prune_images(self, caller: Caller, options: PruneOptions) -> tuple[Pruned, ...]:
        """Remove what the caller may remove and what can be had again, the least recently used first."""

    async def list_mirrors(self, caller: Caller, reference: str) -> tuple[Standing, ...]:
        """The mirrors of a release in the order in which a download of the caller would ask them."""

    async def race_mirrors(self, caller: Caller, reference: str, *, most: int) -> Job:
        """Measure at most `most` mirrors of a release; `NoMirrorError` when preferences leave none."""

    async def set_mirror_preference(self, caller: Caller, distribution: str, change: WishChange) -> None:
        """Change which mirrors the caller wants, for a distribution or, where that is empty, for all."""

    async def plan_stick(
        self,
        caller: Caller,
        devices: Sequence[DeviceIdentity],
        references: Sequence[str],
        options: StickOptions,
        *,
        allow_large: bool = False,
        certificates: Sequence[int] = (),
        persistence: Mapping[str, int] | None = None,
    ) -> Plan:
        """Work out a stick without touching anything.

        Args:
            caller: on whose behalf.
            devices: what becomes a stick.
            references: the images.
            options: of the stick.
            allow_large: whether a large disk is meant.
            persistence: bytes for changes by references of images.
            certificates: files with keys to enrol, which stay the caller's.
        """

    async def create_stick(self, caller: Caller, token: str) -> Job:
        """Carry a plan out; `PlanExpiredError` when there is none of this token and uid."""

    def plan_devices(self, caller: Caller, token: str) -> tuple[DeviceView, ...]:
        """The devices of a plan, for the authorisation dialogue; `PlanExpiredError`."""

    async def add_images(self, caller: Caller, device: DeviceIdentity, references: Sequence[str]) -> Job:
        """Add images to a stick."""

    async def remove_images(self, caller: Caller, device: DeviceIdentity, names: Sequence[str]) -> Job:
        """Remove images, named by reference or file name."""

    async def update_stick(self, caller: Caller, device: DeviceIdentity, wishes: UpdateWishes) -> Job:
        """Put newer releases in the places of images on a stick; with `check` only say which."""

    async def refresh_stick(
        self,
        caller: Caller,
        device: DeviceIdentity,
        *,
        certificates: Sequence[int] = (),
        change: MenuChange | None = None,
    ) -> Job:
        """Write boot files and menu anew, with the certificates in these files beside those that are there."""

    async def repair_stick(self, caller: Caller, device: DeviceIdentity) -> Job:
        """Mend a damaged stick; images that are whole stay."""

    async def verify_stick(self, caller: Caller, device: DeviceIdentity) -> Job:
        """Compare everything on the stick with its manifest."""

    async def rescan_stick(self, caller: Caller, device: DeviceIdentity, *, thorough: bool = False) -> Job:
        """Make manifest and menu fit the files on the stick; `thorough` reads those again that look untouched."""

    async def adopt_stick(self, caller: Caller, device: DeviceIdentity, *, dry_run: bool = False) -> Job:
        """Take over a stick of LUXusb 0.6.3, or only say what that would do."""

    async def set_persistence(self, caller: Caller, device: DeviceIdentity, image: str, size: int) -> Job:
        """Give an image on a stick `size` bytes for changes, or take its room away with 0."""

    async def list_stick_images(self, caller: Caller, device: DeviceIdentity) -> tuple[ManifestImage, ...]:
        """The images on a stick in menu order; `DeviceNotLuxusbError`."""

    async def open_image_target(self, caller: Caller, fd: int, size: int) -> DeviceView:
        """Make a file a device. `fd` stays the caller's; it is duplicated before this returns."""

    async def list_jobs(self, caller: Caller, *, unfinished: bool = False, all_users: bool = False) -> tuple[Job, ...]:
        """From the store, newest first, also jobs whose object is gone."""

    async def pause_job(self, job_id: int) -> None:
        """`JobStateError` when it cannot be paused."""

    async def resume_job(self, job_id: int) -> None:
        """`JobStateError` when it is not paused."""

    async def cancel_job(self, job_id: int, *, keep_partial: bool = False) -> None:
        """Returns when the cancelling has begun; children of the job are cancelled too."""

    async def modify_job(self, job_id: int, *, priority: int | None = None, bandwidth: int | None = None) -> None:
        """Change a job while it waits or runs."""

    def settings(self) -> Mapping[str, bool | int | str | tuple[str, ...]]:
        """The settings in force, named section.key, without secrets in them."""

    def setting_origins(self) -> Mapping[str, str]:
        """Where each of them comes from: `default`, `configured` or `set`."""

    async def set_settings(self, values: Mapping[str, object]) -> None:
        """Set these, now and for the next starts; `InvalidArgumentError` for a key or value that cannot be."""

    async def reset_settings(self, keys: Collection[str]) -> None:
        """Take back what was set, everything when `keys` is empty."""
