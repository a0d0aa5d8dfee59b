"""What the daemon can do, as the bus sees it.

The bus layer decodes and authorises a call, then calls one of these methods; it translates values, never decides.
`caller` is the one on whose behalf something is done. Methods raise `LuxusbError`s and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from luxusbd.devices.model import DeviceIdentity
from luxusbd.images.details import Inspection
from luxusbd.images.recipelist import Recipes
from luxusbd.jobs.listed import CatalogQuery, Listed
from luxusbd.jobs.mirrorchoice import Standing
from luxusbd.jobs.mirrorwishes import WishChange
from luxusbd.jobs.model import Job
from luxusbd.jobs.views import (
    Caller,
    CatalogStatus,
    DeviceView,
    ImageView,
    ImportOptions,
    Plan,
    Pruned,
    PruneOptions,
    RawWishes,
    RemoteWishes,
    UpdateWishes,
)
from luxusbd.stick.model import ManifestImage, MenuChange, Probe, StickOptions


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

    async def power_off(self, node: str) -> bool:
        """Switch a disk off, or eject it where it cannot be; False where there is no such service, or it cannot.

        Raises:
            DeviceBusyError: it is in use.
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

    async def list_recipes(self) -> Recipes:
        """The boot recipes in force."""

    async def set_catalog_remote(self, caller: Caller, wishes: RemoteWishes, key: int | None) -> Sequence[str]:
        """Keep the catalogue up to date from another remote; whose signature counts then. `key` stays the caller's."""

    async def import_catalog(self, caller: Caller, fd: int, name: str) -> int:
        """Put a catalogue over what the caller sees, in place of the one before; how many distributions it has.

        `fd` stays the caller's. `CatalogError` for one that is not right.
        """

    async def get_logo(self, caller: Caller, distribution_id: str) -> int:
        """A read-only descriptor of the logo, which the caller of this method closes; `NoLogoError` without one."""

    async def get_proofs(self, caller: Caller, reference: str) -> tuple[int, int, int]:
        """Read-only descriptors of list of hashes, signature and key of a release; the caller of this closes them.

        `UntrustedError` without a signature that could be had.
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
        probe: bool | None = None,
        download_first: bool | None = None,
        keep: bool = True,
        dry_run: bool = False,
        raw: RawWishes | None = None,
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
            probe: whether the devices are probed before they are erased; None as it is configured.
            download_first: whether all images are downloaded before that; None as it is configured.
            keep: whether images that are downloaded stay on this machine.
            dry_run: only the figures, also where there is no room; the plan cannot be used.
            raw: the one image is to be written byte for byte, and nothing that is said of a stick counts.
        """

    async def create_stick(self, caller: Caller, token: str) -> Job:
        """Carry a plan out; `PlanExpiredError` when there is none of this token and uid."""

    async def write_raw(self, caller: Caller, token: str) -> Job:
        """Carry a raw plan out; `PlanExpiredError` as `create_stick`."""

    def plan_devices(self, caller: Caller, token: str) -> tuple[DeviceView, ...]:
        """The devices of a plan, for the authorisation dialogue; `PlanExpiredError`."""

    async def add_images(
        self, caller: Caller, device: DeviceIdentity, references: Sequence[str], *, keep: bool = True
    ) -> Job:
        """Add images to a stick; without `keep` those that are downloaded do not stay on this machine."""

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

    async def probe_capacity(
        self, caller: Caller, device: DeviceIdentity, mode: Probe, *, allow_large: bool = False
    ) -> Job:
        """Find out what a disk holds."""

    async def restore_disk(
        self, caller: Caller, device: DeviceIdentity, options: StickOptions, *, allow_large: bool = False
    ) -> Job:
        """Make a plain drive of it, with the filesystem and the label of `options`."""

    async def eject(self, caller: Caller, device: DeviceIdentity) -> None:
        """Flush a disk and switch it off."""

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
