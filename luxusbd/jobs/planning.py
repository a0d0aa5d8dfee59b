"""Plans: what a stick will hold, whether it fits, and what will boot; nothing is touched here."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from luxusbd.catalog.catalog import Catalog, reference_to
from luxusbd.catalog.model import Distribution, Release
from luxusbd.devices.describe import printable
from luxusbd.devices.model import DeviceIdentity
from luxusbd.errors import (
    AlreadyExistsError,
    DeviceError,
    InvalidArgumentError,
    LargeDiskError,
    LimitExceededError,
    NotEnoughSpaceError,
    PlanExpiredError,
)
from luxusbd.images.model import SECURE, StoredImage
from luxusbd.images.store import ImageStore
from luxusbd.jobs import changes, fitting, planfirmware
from luxusbd.jobs.downloadwords import file_name, release_title
from luxusbd.jobs.holds import PlanHold
from luxusbd.jobs.registry import DeviceRegistry, name_of
from luxusbd.jobs.trust import TrustPolicy
from luxusbd.jobs.views import Caller, DeviceView, Plan, PlannedDevice
from luxusbd.jobs.wanted import (
    Wanted,
    check_bootable,
    check_companion,
    erased_early,
    fetched_sizes,
    passable,
    passing_by,
    planned_image,
    recognised_title,
    renamed,
    room_for_changes,
    streamable,
    weaker,
)
from luxusbd.stick import grub
from luxusbd.stick import layout as stick_layout
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import MIB, Layout, PartitionRole, StickOptions
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
class StoredPlan:
    """A plan with what is needed to carry it out."""

    plan: Plan
    uid: int
    images: tuple[Wanted, ...]
    probe: bool | None = None
    """Whether the disks are probed before they are erased; None where the caller does not say."""
    stream: bool = True
    """Whether images may be written while they are downloaded."""
    keep: bool = True
    """Whether images that are downloaded stay on this machine."""
    raw: RawLook | None = None
    """What is known of the image of a raw plan, where it is stored."""
    unbootable: bool = False
    """Whether the image of a raw plan may be one that no firmware starts from a stick."""

    @property
    def identities(self) -> tuple[DeviceIdentity, ...]:
        """Of its devices, in their order."""
        return tuple(device.view.device.identity for device in self.plan.devices)


def streams_of(planned: StoredPlan) -> list[Wanted]:
    """The images of a plan that are written while they come."""
    options = planned.plan.options
    kind = Kind(options.filesystem)
    companion = options.companion > 0
    passing = not planned.keep and not companion
    return [
        image
        for image in planned.images
        if (planned.stream and streamable(image, kind, companion=companion)) or (passing and passable(image))
    ]


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
        keep: bool = True,
        dry_run: bool = False,
    ) -> Plan:
        """A plan for a new stick on every device; `persistence` is bytes for changes by references of images.

        `stream` says whether images may be written while they come, `keep` whether they stay on this machine: where
        they do not, they are always written while they come.

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
        planned_images = tuple(planned_image(wanted, firmware, options, shim) for wanted in images)
        warnings = [f"{image.name}: {warning}" for image in planned_images for warning in image.warnings]
        warnings += renamed(images)
        warnings += unmounted([view for view, _layout in layouts])
        warnings += weaker(kind, companion=companion)
        passing = [] if keep else [wanted for wanted in images if not companion and passable(wanted)]
        warnings += [] if keep else passing_by(images, companion=companion)
        early = [one for one in images if stream and streamable(one, kind, companion=companion)]
        warnings += erased_early([one for one in early if one not in passing])
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
            self.keep(StoredPlan(plan, caller.uid, images, probe, stream, keep))
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

    def check_stored(self, stored: StoredImage) -> None:
        """Refuse to put an image onto a stick that starts nothing, or is less sure than the administrator demands.

        Raises:
            NotBootableError, UntrustedError: it is.
        """
        check_bootable(stored)
        self.check_trust(stored)

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

    def take(self, caller: Caller, token: str, *, raw: bool) -> StoredPlan:
        """Use a plan up, if its devices can be written now; else it stays.

        Raises:
            InvalidArgumentError: it was made for another call.
            LuxusbError: as `get`, or a device cannot be written.
        """
        planned = self.get(caller, token)
        if (planned.plan.raw is not None) != raw:
            made, other = ("without", "CreateStick") if raw else ("with", "WriteRaw")
            raise InvalidArgumentError(f"this plan was made {made} the option raw: carry it out with {other}")
        for identity in planned.identities:
            self._registry.check_writable(identity)
        return self.use(caller, token)

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
