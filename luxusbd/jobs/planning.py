"""Plans: what a stick will hold, whether it fits, and what will boot; nothing is touched here."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from urllib.parse import urlsplit

from luxusbd.catalog.catalog import Catalog, reference_to
from luxusbd.catalog.model import Distribution, Release, Trust
from luxusbd.devices.describe import printable
from luxusbd.devices.model import DeviceIdentity
from luxusbd.errors import (
    AlreadyExistsError,
    DeviceError,
    InvalidArgumentError,
    LargeDiskError,
    LimitExceededError,
    NotBootableError,
    NotEnoughSpaceError,
    PlanExpiredError,
)
from luxusbd.images.model import SECURE, Firmware, Recognition, StoredImage
from luxusbd.images.store import ImageStore
from luxusbd.jobs import changes, fitting, planfirmware
from luxusbd.jobs.changes import Asked
from luxusbd.jobs.downloadwords import file_name, release_title
from luxusbd.jobs.holds import PlanHold
from luxusbd.jobs.registry import DeviceRegistry, name_of
from luxusbd.jobs.trust import TrustPolicy
from luxusbd.jobs.views import Caller, DeviceView, Plan, PlannedDevice, PlannedImage
from luxusbd.stick import grub
from luxusbd.stick import layout as stick_layout
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import MIB, Layout, ManifestImage, PartitionRole, StickOptions
from luxusbd.stick.text import sanitise_name
from luxusbd.stick.tools import require_all
from luxusbd.text import size_text
from luxusbd.transfer.rawmodel import RawLook

LIFETIME = 600
"""Seconds for which a plan can be used."""
MAX_PLANS_PER_UID = 32
MAX_IMAGES = 100
"""Images on one stick, so that one message stays within the limits of bus and pipes."""


@dataclass(frozen=True)
class Wanted:
    """One image that a caller named, resolved."""

    reference: str
    """`image:<sha256>` when it is stored, else the full `distro:` reference."""
    content: str
    """sha256 of a stored one; else the `Release.content` of what is to be downloaded."""
    size: int
    """Bytes; from the rounded hint of the catalogue when nothing better is known."""
    exact: bool
    """Whether `size` is exact."""
    name: str
    title: str
    stored: StoredImage | None
    trust: Trust
    """Of a stored one; else what its download can reach at best."""
    distribution: Distribution | None = None
    release: Release | None = None
    called: str = ""
    """Its own name, where the one on the stick (`name`) may have had to be another."""
    persistence: int = 0
    """Bytes that its system is to have for changes."""

    @property
    def guest(self) -> fitting.Guest:
        """What has to be known of it to choose a filesystem."""
        return fitting.Guest(self.name, self.size, self.stored.recognition.filesystems if self.stored else ())

    def manifest_image(self, stored: StoredImage, added: int) -> ManifestImage:
        """The manifest's entry, once the image is stored; `added` is 0 until it is on the stick."""
        recognition = stored.recognition
        return ManifestImage(
            name=self.name,
            title=self.title,
            sha256=stored.sha256,
            size=stored.size,
            source=stored.source,
            recipe=recognition.recipe,
            family=recognition.family,
            version=recognition.version,
            architecture=recognition.architecture,
            volume_id=recognition.volume_id,
            iso_uuid=recognition.iso_uuid,
            added=added,
            entries=recognition.entries,
            trust=stored.trust,
            persistence=recognition.persistence,
        )

    def changes(self, partition: PartitionRole) -> tuple[Asked, ...]:
        """The room for changes that it is to get, where it goes onto this partition."""
        if not self.persistence:
            return ()
        ways = self.stored.recognition.persistence if self.stored is not None else None
        recipe = self.release.recipe if self.release is not None else ""
        return (Asked(self.name, self.persistence, partition, ways, recipe),)


@dataclass(frozen=True)
class StoredPlan:
    """A plan with what is needed to carry it out."""

    plan: Plan
    uid: int
    images: tuple[Wanted, ...]
    probe: bool | None = None
    """Whether the disks are probed before they are erased; None where the caller does not say."""
    stream: bool = True
    """Whether images may be written while they are downloaded."""
    raw: RawLook | None = None
    """What is known of the image of a raw plan, where it is stored."""
    unbootable: bool = False
    """Whether the image of a raw plan may be one that no firmware starts from a stick."""


class Planner:
    """Makes plans and keeps them until they are used or expire."""

    def __init__(self, catalog: Catalog, store: ImageStore, registry: DeviceRegistry, policy: TrustPolicy) -> None:
        self._catalog = catalog
        self._store = store
        self._registry = registry
        self._policy = policy
        self._plans: dict[str, StoredPlan] = {}

    def resolve(
        self, caller: Caller, references: Sequence[str], taken: Sequence[str] = (), *, bootable: bool = True
    ) -> tuple[Wanted, ...]:
        """Look every reference up and give each image its file name on the stick.

        Args:
            caller: on whose behalf; decides which images and catalogue layers are seen.
            references: `image:` or `distro:` references.
            taken: names that are on the stick already.
            bootable: whether they have to be images that can be started from a file.

        Raises:
            InvalidArgumentError: none, too many, or one that is no reference.
            AlreadyExistsError: the same image twice.
            ImageNotFoundError, DistributionNotFoundError: unknown.
            NotBootableError: it is stored, and cannot be started from a file.
            UntrustedError: it is less sure than the administrator demands, or cannot become as sure.
        """
        if not references:
            raise InvalidArgumentError("no image was named; name at least one, such as distro:debian")
        if len(references) > MAX_IMAGES:
            raise InvalidArgumentError(f"{len(references)} images are more than the {MAX_IMAGES} that fit on one stick")
        found: list[Wanted] = []
        names = list(taken)
        for reference in references:
            wanted = self._resolve_one(caller, reference, bootable=bootable)
            if any(other.content == wanted.content for other in found):
                raise AlreadyExistsError(f"{reference}: {wanted.title} was named twice")
            name = sanitise_name(wanted.name, names)
            names.append(name)
            found.append(replace(wanted, name=name, called=wanted.name))
        return tuple(found)

    def release(self, caller: Caller, distribution: Distribution, release: Release, taken: Sequence[str]) -> Wanted:
        """One release as an image for a stick; `taken` are names that it cannot have there.

        Raises:
            NotBootableError: it is stored, and cannot be started from a file.
            UntrustedError: it cannot become as sure as the administrator demands.
        """
        wanted = self._of_release(caller, distribution, release)
        return replace(wanted, name=sanitise_name(wanted.name, taken), called=wanted.name)

    def make(
        self,
        caller: Caller,
        devices: Sequence[DeviceIdentity],
        references: Sequence[str],
        options: StickOptions,
        *,
        allow_large: bool = False,
        persistence: Mapping[str, int] = MappingProxyType({}),
        probe: bool | None = None,
        stream: bool = True,
        dry_run: bool = False,
    ) -> Plan:
        """A plan for a new stick on every device; `persistence` is bytes for changes by references of images.

        A dry run cannot be used and is not kept, and tells how much is missing where the images have no room.

        Raises:
            LuxusbError: as `resolve`; a refusal of the guard; `NotEnoughSpaceError` with the figures; `LargeDiskError`
                unless `allow_large` says that such a disk is meant.
        """
        if not dry_run:
            self.check_count(caller)
        check_devices(devices)
        stick_layout.check_options(options)
        # what needs no image comes first: whoever asks with an image that is not there yet is spared the wait for it
        layouts = [self._layout(identity, options) for identity in devices]
        if not allow_large:
            for view, _layout in layouts:
                check_large(view)
        kind = Kind(options.filesystem)
        firmware = require_all(image_file=any(not view.device.node for view, _layout in layouts), kind=kind)
        sizes = changes.by_reference(references, persistence)
        images = tuple(
            replace(wanted, persistence=size)
            for wanted, size in zip(self.resolve(caller, references), sizes, strict=True)
        )
        companion = options.companion > 0
        fitting.check(kind, [wanted.guest for wanted in images], companion=companion, planned=True)
        signed = grub.signed()
        shim = grub.vendor(grub.starts(kind)) if firmware & SECURE else ""
        planned_images = tuple(_planned(wanted, firmware, options, shim) for wanted in images)
        warnings = [f"{image.name}: {warning}" for image in planned_images for warning in image.warnings]
        warnings += _renamed(images)
        warnings += unmounted([view for view, _layout in layouts])
        warnings += _weaker(kind, companion=companion)
        warnings += _erased_early([wanted for wanted in images if stream and streamable(wanted, kind)])
        warnings += planfirmware.of_stick(firmware, kind, signed)
        if options.certificates and not firmware & SECURE:
            warnings.append("the certificates are of no use: the stick will not start under Secure Boot")
        plan = Plan(
            token="" if dry_run else secrets.token_urlsafe(24),
            expires=0 if dry_run else int(time.time()) + LIFETIME,
            devices=tuple(
                self._planned_device(view, layout, images, options, refuse=not dry_run) for view, layout in layouts
            ),
            images=planned_images,
            options=options,
            firmware=firmware,
            secure_boot=bool(firmware & SECURE),
            warnings=tuple(warnings),
        )
        if not dry_run:
            self.keep(StoredPlan(plan, caller.uid, images, probe, stream))
        return plan

    def check_count(self, caller: Caller) -> None:
        """Refuse one more plan of somebody who has many.

        Raises:
            LimitExceededError: he has.
        """
        self._forget_old()
        if sum(stored.uid == caller.uid for stored in self._plans.values()) >= MAX_PLANS_PER_UID:
            raise LimitExceededError(
                f"you have {MAX_PLANS_PER_UID} plans that are not used; they expire in ten minutes"
            )

    def keep(self, stored: StoredPlan) -> None:
        """Have a plan at hand until it is used or expires."""
        self._plans[stored.plan.token] = stored

    def check_trust(self, stored: StoredImage) -> None:
        """Refuse to write an image that is less sure than the administrator demands.

        Raises:
            UntrustedError: it is.
        """
        self._policy.check_image(stored)

    def get(self, caller: Caller, token: str) -> StoredPlan:
        """A plan of this caller.

        Raises:
            PlanExpiredError: none of this token and uid.
        """
        self._forget_old()
        stored = self._plans.get(token)
        if stored is None or stored.uid != caller.uid:
            raise PlanExpiredError(
                "there is no such plan: it was used, is older than ten minutes, or an image of it was deleted;"
                " plan again"
            )
        return stored

    def use(self, caller: Caller, token: str) -> StoredPlan:
        """Take a plan out: it cannot be used again.

        Raises:
            PlanExpiredError: as `get`.
        """
        stored = self.get(caller, token)
        del self._plans[token]
        return stored

    def plans(self) -> tuple[PlanHold, ...]:
        """The plans that can still be carried out, with the images that they count on."""
        self._forget_old()
        return tuple(
            PlanHold(token, stored.uid, stored.plan.expires, frozenset(image.content for image in stored.images))
            for token, stored in self._plans.items()
            if self._possible(stored)
        )

    def drop(self, token: str) -> None:
        """Let a plan expire now; one that is gone already is none of this method's business."""
        self._plans.pop(token, None)

    def _possible(self, stored: StoredPlan) -> bool:
        """Whether its devices are still there."""
        try:
            for device in stored.plan.devices:
                self._registry.current(device.view.device.identity)
        except DeviceError:
            return False
        return True

    def _forget_old(self) -> None:
        now = time.time()
        self._plans = {token: stored for token, stored in self._plans.items() if stored.plan.expires > now}

    def _resolve_one(self, caller: Caller, reference: str, *, bootable: bool) -> Wanted:
        if reference.startswith("image:"):
            stored = self._store.get(caller.uid, reference.removeprefix("image:"))
            self._policy.check_image(stored)
            return self._of_stored(stored, bootable=bootable)
        return self._of_release(caller, *self._catalog.resolve(reference, caller.uid), bootable=bootable)

    def _of_release(
        self, caller: Caller, distribution: Distribution, release: Release, *, bootable: bool = True
    ) -> Wanted:
        held = self._store.held(caller.uid, release.content)
        # one that is not sure enough is downloaded again, which asks its maker and finds the bytes
        if held is not None and held.trust.reaches(self._policy.minimum):
            return replace(self._of_stored(held, bootable=bootable), title=release_title(distribution, release))
        self._policy.check_release(release, release_title(distribution, release))
        return Wanted(
            reference=reference_to(distribution, release),
            content=release.content,
            size=release.size or release.size_mb * MIB,
            exact=release.size > 0,
            name=file_name(release.iso_url),
            title=release_title(distribution, release),
            stored=None,
            distribution=distribution,
            release=release,
            trust=self._policy.keyring.achievable(release),
        )

    def _of_stored(self, stored: StoredImage, *, bootable: bool) -> Wanted:
        if bootable:
            check_bootable(stored)
        genuine = self._catalog.find_by_hash(stored.sha256, sha512=stored.sha512)
        return Wanted(
            reference=stored.reference,
            content=stored.sha256,
            size=stored.size,
            exact=True,
            name=stored.name,
            title=release_title(*genuine) if genuine else recognised_title(stored.recognition, stored.name),
            stored=stored,
            trust=stored.trust,
        )

    def _layout(self, identity: DeviceIdentity, options: StickOptions) -> tuple[DeviceView, Layout]:
        view = self._registry.check_writable(identity)
        try:
            return view, stick_layout.plan(identity.size, options)
        except NotEnoughSpaceError as error:
            raise NotEnoughSpaceError(f"{name_of(view)} is too small: {error}; take a larger one") from None

    def _planned_device(
        self, view: DeviceView, layout: Layout, images: Sequence[Wanted], options: StickOptions, *, refuse: bool
    ) -> PlannedDevice:
        kind = Kind(options.filesystem)
        homes: dict[PartitionRole, list[int]] = {PartitionRole.DATA: [], PartitionRole.COMPANION: []}
        for wanted in images:
            homes[fitting.home(kind, wanted.guest, companion=options.companion > 0)].append(wanted.size)
        homes[PartitionRole.DATA] += fetched_sizes(images)
        rooms = room_for_changes(images, options)
        check_companion(name_of(view), homes[PartitionRole.COMPANION], layout, changes=rooms[PartitionRole.COMPANION])
        needed = stick_layout.bytes_needed(homes[PartitionRole.DATA], kind) + rooms[PartitionRole.DATA]
        capacity = stick_layout.capacity(layout, kind)
        if needed > capacity and refuse:
            raise NotEnoughSpaceError(
                f"{name_of(view)} is too small: the images need {size_text(needed)} and it has room for"
                f" {size_text(capacity)}; leave an image out or take a larger stick"
            )
        return PlannedDevice(
            view=view,
            lost=self._registry.losses(view.device.identity),
            bytes_needed=needed,
            bytes_free=max(0, capacity - needed),
            bytes_missing=max(0, needed - capacity),
            layout=layout,
            lost_details=self._registry.loss_details(view.device.identity),
        )


def check_devices(devices: Sequence[DeviceIdentity]) -> None:
    """Refuse none, and one that is named twice.

    Raises:
        InvalidArgumentError: that.
    """
    if not devices:
        raise InvalidArgumentError("no device was named")
    if len(set(devices)) != len(devices):
        raise InvalidArgumentError("a device was named twice")


def unmounted(views: Sequence[DeviceView]) -> list[str]:
    """What is said of partitions that are in use by their user."""
    return [
        f"{mount.node} will be unmounted from {printable(mount.point)}; close what is open there"
        for view in views
        for mount in view.device.mounts
    ]


def check_large(view: DeviceView) -> None:
    """Refuse a disk that may be no stick, unless somebody says that it is meant.

    Raises:
        LargeDiskError: it is.
    """
    if view.device.large:
        raise LargeDiskError(
            f"{name_of(view)} is {view.device.large}, which may be somebody's archive and no stick; if it is to be"
            " erased, use the option allow_large (--allow-large)"
        )


def fetched_sizes(images: Sequence[Wanted]) -> list[int]:
    """Bytes, rounded, of the files that start images and have to be fetched, as far as images are there to say so."""
    found = [image.stored.recognition.startfile for image in images if image.stored is not None]
    return list({(one.archives, one.kernel_sha256): one.size for one in found if one is not None}.values())


def check_bootable(stored: StoredImage) -> None:
    """Refuse an image that cannot be started from a file.

    Raises:
        NotBootableError: with the reason and what to do instead.
    """
    if not stored.recognition.bootable:
        raise NotBootableError(f"{stored.name} cannot be started from a stick: {why_not_bootable(stored.recognition)}")


def why_not_bootable(recognition: Recognition) -> str:
    """The reason, and what to do instead."""
    reason = recognition.reason or "no way of starting it is known"
    advice = f" {recognition.advice}" if recognition.advice else ""
    return f"{reason}.{advice}".replace("..", ".")


def recognised_title(recognition: Recognition, fallback: str) -> str:
    """A name for people, from what the image says about itself."""
    if recognition.version and recognition.version in recognition.system:
        return recognition.system
    return " ".join(part for part in (recognition.system, recognition.version) if part) or fallback


def room_for_changes(images: Sequence[Wanted], options: StickOptions) -> Mapping[PartitionRole, int]:
    """Bytes that the rooms for changes take on a new stick.

    Raises:
        InvalidArgumentError: one cannot be.
    """
    kind = Kind(options.filesystem)
    asked = [
        one
        for wanted in images
        for one in wanted.changes(fitting.home(kind, wanted.guest, companion=options.companion > 0))
    ]
    return changes.needed(asked, kind, partition=options.persistence > 0)


def check_companion(name: str, sizes: Sequence[int], layout: Layout, *, changes: int = 0) -> None:
    """Refuse images, and bytes for their changes, that do not fit onto the companion partition.

    Raises:
        NotEnoughSpaceError: with the figures.
    """
    needed = (stick_layout.bytes_needed(sizes) if sizes else 0) + changes
    if needed > (capacity := stick_layout.companion_capacity(layout)):
        raise NotEnoughSpaceError(
            f"{name}: the images that go onto the companion partition need {size_text(needed)} and it has room for"
            f" {size_text(capacity)}; plan with a larger one (option companion; --companion)"
        )


def _weaker(kind: Kind, *, companion: bool) -> list[str]:
    """What a stick with this filesystem does less well than one with ext4."""
    warnings: list[str] = []
    if kind is Kind.EXFAT:
        warnings.append(
            "exfat: no signed GRUB reads it, so that the stick will not start under Secure Boot; choose fat32 or ext4"
            " for that"
        )
    if kind is not Kind.EXT4 and not companion:
        warnings.append(
            f"{kind}: an image whose system cannot be started from it is refused, if need be after its download"
        )
    return warnings


def streamable(image: Wanted, kind: Kind) -> bool:
    """Whether an image may be written to a new stick before all of it is there.

    Not where what it turns out to be decides whether it may be at all, and it can be refused before anything is erased:
    room for changes is kept by some images only, and exFAT and FAT32 start some only.
    """
    return kind is Kind.EXT4 and not image.persistence and arriving(image)


def arriving(image: Wanted) -> bool:
    """Whether an image is still to be downloaded, and known by its sha256."""
    return image.stored is None and image.release is not None and bool(image.release.sha256)


def _erased_early(images: Sequence[Wanted]) -> list[str]:
    """What is said of images that are written while they come."""
    if not images:
        return []
    them = ", ".join(image.name for image in images)
    text = f"{them}: written while downloaded, so that the disk is erased before all is there; what does not come is"
    return [f"{text} left out. The option download_first (--download-first) downloads everything before"]


def _renamed(images: Sequence[Wanted]) -> list[str]:
    """What is said of images whose name another one has already."""
    plain = [sanitise_name(image.called) for image in images]
    return [
        f"{image.called}: another image has that name too; on the stick this one is called {image.name}"
        for image, name in zip(images, plain, strict=True)
        if image.name != name
    ]


def _planned(wanted: Wanted, served: frozenset[Firmware], options: StickOptions, shim: str) -> PlannedImage:
    warnings: list[str] = []
    firmware: frozenset[Firmware] = frozenset()
    if wanted.stored is not None:
        firmware, warnings = planfirmware.of_image(
            wanted.stored.recognition.entries, served, shim, options.certificates
        )
    if wanted.stored is not None and (file := wanted.stored.recognition.startfile) is not None:
        warnings.append(
            f"is started by a file that is fetched before the stick is written: {file.file}, at most"
            f" {size_text(file.size)}, from {urlsplit(file.archives[0]).hostname}"
        )
    if not wanted.exact:
        warnings.append("its exact size is not known before the download")
    kind = Kind(options.filesystem)
    home = fitting.home(kind, wanted.guest, companion=options.companion > 0)
    if home is PartitionRole.COMPANION:
        warnings.append(f"goes onto the ext4 companion partition: {fitting.obstacle(kind, wanted.guest)}")
    return PlannedImage(
        partition=home,
        reference=wanted.reference,
        name=wanted.name,
        title=wanted.title,
        size=wanted.size if wanted.exact else 0,
        firmware=firmware,
        warnings=tuple(warnings),
        download=wanted.stored is None,
        trust=wanted.trust,
        persistence=wanted.persistence,
        keeps=changes.keeps(
            wanted.stored.recognition.persistence if wanted.stored is not None else None,
            wanted.release.recipe if wanted.release is not None else "",
            Kind.EXT4 if home is PartitionRole.COMPANION else kind,
        ),
        reckoned=wanted.size,
        custom=wanted.stored.custom if wanted.stored is not None else bool(wanted.release and wanted.release.custom),
    )
