"""Plans for writing one image byte for byte: whether it fits, whether anything starts it, and what goes."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Sequence

from luxusbd.devices.model import DeviceIdentity
from luxusbd.errors import InvalidArgumentError, NotBootableError, NotEnoughSpaceError
from luxusbd.images.model import StoredImage
from luxusbd.images.startable import Starts
from luxusbd.images.store import ImageStore
from luxusbd.jobs.planning import LIFETIME, Planner, StoredPlan, check_devices, check_large, unmounted
from luxusbd.jobs.registry import DeviceRegistry, name_of
from luxusbd.jobs.unpacking import Unpacker
from luxusbd.jobs.views import Caller, DeviceView, Plan, PlannedDevice, PlannedImage, RawPlan, RawWishes
from luxusbd.jobs.wanted import Wanted
from luxusbd.stick.model import Layout, StickOptions
from luxusbd.text import size_text
from luxusbd.transfer.rawmodel import RawLook

_ADVICE = "Burn it to a disc, or take another image of the system: one for sticks (.img, memstick, hybrid)"


class RawPlans:
    """Makes them; they are kept and expire as other plans do."""

    def __init__(self, planner: Planner, registry: DeviceRegistry, store: ImageStore, unpacker: Unpacker) -> None:
        self._planner = planner
        self._registry = registry
        self._store = store
        self._unpacker = unpacker

    async def make(
        self,
        caller: Caller,
        devices: Sequence[DeviceIdentity],
        references: Sequence[str],
        wishes: RawWishes,
        *,
        allow_large: bool = False,
        probe: bool | None = None,
        dry_run: bool = False,
    ) -> Plan:
        """A plan for WriteRaw; a dry run cannot be used, and tells how much is missing where a disk is too small.

        Raises:
            InvalidArgumentError: not exactly one image, no device or one twice, or a block map that does not fit.
            NotBootableError: no firmware starts the image from a stick, and that is not meant.
            NotEnoughSpaceError: a disk is too small.
            LuxusbError: as `Planner.make`.
        """
        if not dry_run:
            self._planner.check_count(caller)
        check_devices(devices)
        if len(references) != 1:
            raise InvalidArgumentError(
                f"{len(references)} images were named, and exactly one is written byte for byte; `luxusb create` makes"
                " a stick of several"
            )
        views = [self._registry.check_writable(identity) for identity in devices]
        if not allow_large:
            for view in views:
                check_large(view)
        (wanted,) = self._planner.resolve(caller, references, bootable=False)
        look = await self._look(caller, wanted, wishes)
        if look is not None and wanted.stored is not None:
            check_starts(wanted.stored, look, unbootable=wishes.unbootable)
        # what is still to be downloaded may be compressed, and is more on the disk then
        needed = look.size if look is not None else wanted.size if wanted.exact else 0
        plan = Plan(
            token="" if dry_run else secrets.token_urlsafe(24),
            expires=0 if dry_run else int(time.time()) + LIFETIME,
            devices=tuple(self._device(view, needed, refuse=not dry_run) for view in views),
            images=(_image(wanted, look),),
            options=StickOptions(),
            firmware=frozenset(),
            secure_boot=False,
            warnings=(*_warnings(wanted, look), *unmounted(views)),
            raw=RawPlan(
                packing=look.packing.value if look is not None and look.packing is not None else "",
                size=look.size if look is not None else 0,
                starts=look.starts.value if look is not None else "unknown",
                mapped=look.map.mapped if look is not None and look.map is not None else 0,
            ),
        )
        if not dry_run:
            self._planner.keep(StoredPlan(plan, caller.uid, (wanted,), probe, raw=look, unbootable=wishes.unbootable))
        return plan

    async def look(self, uid: int, sha256: str, bmap: int | None = None) -> RawLook:
        """Look at a stored image; see `Unpacker.look`."""
        fd = await asyncio.to_thread(self._store.open, uid, sha256)
        try:
            return await self._unpacker.look(fd, bmap)
        finally:
            os.close(fd)

    async def _look(self, caller: Caller, wanted: Wanted, wishes: RawWishes) -> RawLook | None:
        if wanted.stored is not None:
            return await self.look(caller.uid, wanted.stored.sha256, wishes.bmap)
        if wishes.bmap is not None:
            raise InvalidArgumentError(
                f"whether the block map belongs to {wanted.title} is not known before that is downloaded; download it"
                " first (luxusb download)"
            )
        return None

    def _device(self, view: DeviceView, needed: int, *, refuse: bool) -> PlannedDevice:
        identity = view.device.identity
        if refuse:
            check_room(view, needed)
        return PlannedDevice(
            view=view,
            lost=self._registry.losses(identity),
            bytes_needed=needed,
            bytes_free=max(0, identity.size - needed),
            layout=Layout(identity.size, ()),
            lost_details=self._registry.loss_details(identity),
            bytes_missing=max(0, needed - identity.size),
        )


def check_room(view: DeviceView, needed: int) -> None:
    """Refuse a disk that is too small.

    Raises:
        NotEnoughSpaceError: it is.
    """
    size = view.device.identity.size
    if needed > size:
        raise NotEnoughSpaceError(
            f"{name_of(view)} is too small: the image takes {size_text(needed)} ({needed} bytes) and it has"
            f" {size_text(size)} ({size} bytes); take a larger one"
        )


def check_starts(stored: StoredImage, look: RawLook, *, unbootable: bool) -> None:
    """Refuse a disc that a firmware starts from an optical drive alone, unless it is meant.

    Raises:
        NotBootableError: it is one, with what to do instead.
    """
    if look.starts is not Starts.OPTICAL or unbootable:
        return
    recognition = stored.recognition
    if recognition.bootable:
        advice = "Put it onto a stick as a file, from where it starts: luxusb create"
    elif recognition.family == "windows":
        advice = recognition.advice.rstrip(".")
    else:
        advice = _ADVICE
    raise NotBootableError(
        f"{stored.name} is no hybrid: written byte for byte to a stick, no computer starts it. {advice}. If it is meant"
        " all the same, use the option unbootable (--unbootable)"
    )


def _image(wanted: Wanted, look: RawLook | None) -> PlannedImage:
    return PlannedImage(
        reference=wanted.reference,
        name=wanted.called,
        title=wanted.title,
        size=wanted.size if wanted.exact else 0,
        firmware=frozenset(),
        warnings=() if wanted.exact or look is not None else ("its exact size is not known before the download",),
        download=wanted.stored is None,
        trust=wanted.trust,
        custom=wanted.stored.custom if wanted.stored is not None else bool(wanted.release and wanted.release.custom),
        keeps="none",
        reckoned=look.size if look is not None and look.size else wanted.size,
    )


def _warnings(wanted: Wanted, look: RawLook | None) -> list[str]:
    if look is None or wanted.stored is None:
        return [
            "whether any computer starts the image from a stick is seen after its download, before anything is erased"
        ]
    found: list[str] = []
    if look.starts is Starts.OPTICAL:
        found.append("the image is no hybrid: no computer starts it from a stick")
    elif look.starts is Starts.NOTHING:
        found.append("the image has neither a boot sector nor a partition table: no computer starts it")
    elif wanted.stored.recognition.bootable:
        found.append("the image also starts from a file, beside others on one stick: luxusb create")
    if not look.size:
        found.append(
            f"{look.packing} data does not tell what it unpacks to: where that is more than a disk has, the job fails"
            " when the disk is full, and what was on it is gone"
        )
    if look.map is not None and (left := look.map.size - look.map.mapped):
        found.append(f"{size_text(left)} that the block map leaves out are not written: there stays what is there now")
    return found
