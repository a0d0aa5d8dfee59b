"""The devices as the daemon shows them: disks from the monitor, image files from callers, and what is on them."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from luxusbd.devices.guard import GuardPolicy, identify_again, open_disk
from luxusbd.devices.model import DesktopMount, Device, DeviceEvent, DeviceIdentity, DeviceState, EventKind
from luxusbd.devices.monitor import DeviceMonitor
from luxusbd.devices.owned import OwnedMarks
from luxusbd.errors import (
    DeviceBusyError,
    DeviceChangedError,
    DeviceDamagedError,
    DeviceNotFoundError,
    DeviceNotRemovableError,
    LimitExceededError,
    LuxusbError,
    SystemDeviceError,
    from_name,
)
from luxusbd.jobs import imagetargets, planfirmware
from luxusbd.jobs.api import Listener
from luxusbd.jobs.transfers import Transfers
from luxusbd.jobs.views import Caller, DeviceView, ImageUpdate
from luxusbd.stick import beside, secureboot
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.foreign import NAMES
from luxusbd.stick.losses import Loss
from luxusbd.stick.model import ManifestImage

log = logging.getLogger(__name__)

MAX_TARGETS = 16
"""Image files that may be open as devices at once."""
NAMED_IMAGES = 8
"""Images of a stick that the line about its loss names."""
Compare = Callable[[Sequence[ManifestImage]], tuple[ImageUpdate, ...]]
"""Which newer releases there are for the images of a stick."""
_BUSES = ("usb", "mmc", "loop", "file")
"""What a stick can be attached by."""


@dataclass
class _Known:
    view: DeviceView
    losses: tuple[str, ...] = ()
    details: tuple[Loss, ...] = ()
    fd: int = -1
    look: asyncio.Task[None] | None = None
    ownerless: bool = False
    """Its caller has left the bus while a job works on it; it goes with the end of the job."""


class DeviceRegistry:
    """All devices by id."""

    def __init__(
        self,
        transfers: Transfers,
        policy: GuardPolicy,
        marks: OwnedMarks | None = None,
        compare: Compare = lambda _images: (),
    ) -> None:
        self._transfers = transfers
        self._compare = compare
        self._marks = marks or OwnedMarks(None)
        self._policy = policy
        self._monitor = DeviceMonitor(policy, self._event)
        self._known: dict[str, _Known] = {}
        self._listeners: list[Listener] = []
        self._next_target = 1
        self._tasks: set[asyncio.Task[None]] = set()

    def add_listener(self, listener: Listener) -> None:
        """Tell `listener` about devices from now on."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Begin to watch."""
        await self._monitor.start()

    async def stop(self) -> None:
        """Stop watching and close all image files."""
        await self._monitor.stop()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for known in self._known.values():
            if known.fd >= 0:
                os.close(known.fd)
        self._known.clear()

    def views(self) -> tuple[DeviceView, ...]:
        """All devices."""
        return tuple(known.view for known in self._known.values())

    def current(self, identity: DeviceIdentity) -> DeviceView:
        """The device of this identity as it is now.

        Raises:
            DeviceNotFoundError: it is gone.
            DeviceChangedError: another disk or medium stands in its place.
        """
        return self._current(identity).view

    async def settled(self, seconds: float) -> None:
        """Wait, at most so long, until it is known what is on the disks that are there."""
        looks = [known.look for known in self._known.values() if known.look is not None]
        if looks:
            await asyncio.wait(looks, timeout=seconds)

    async def looked_at(self, identities: Iterable[DeviceIdentity]) -> None:
        """Wait for the looks that are under way: until then it is not known what is on a disk that was just plugged in.

        A device that is gone is none of this method's business.
        """
        for identity in identities:
            while (known := self._known.get(identity.id)) is not None and known.look is not None:
                if known.look.done():
                    break
                await asyncio.wait({known.look})

    def compare_again(self) -> None:
        """The catalogue is another one: see for every stick what is newer now."""
        for known in tuple(self._known.values()):
            updates = self._compare(known.view.images)
            if updates != known.view.updates:
                self._set(known, replace(known.view, updates=updates))

    def losses(self, identity: DeviceIdentity) -> tuple[str, ...]:
        """What an erase would destroy, a line each."""
        return self._current(identity).losses

    def loss_details(self, identity: DeviceIdentity) -> tuple[Loss, ...]:
        """What an erase would destroy, as values; nothing for what could not be told."""
        return self._current(identity).details

    def check_writable(self, identity: DeviceIdentity) -> DeviceView:
        """The device, if the guard and the other jobs let it be written.

        Raises:
            DeviceError: the guard's refusal, or a job that has the device.
        """
        view = self.current(identity)
        if view.device.block_error:
            raise from_name(view.device.block_error, view.device.blocked_reason)
        if view.current_job is not None:
            raise DeviceBusyError(
                f"{name_of(view)} is in use by job {view.current_job}; wait for it to end or cancel it"
            )
        return view

    async def check_present(self, identity: DeviceIdentity) -> None:
        """Look whether a disk is still there, in the kernel's tables and not only in ours, which may lag behind.

        Raises:
            DeviceNotFoundError, DeviceChangedError: it is not.
        """
        known = self._current(identity)
        if known.fd < 0:
            await asyncio.to_thread(identify_again, known.view.device, self._policy)

    async def mounts(self, identity: DeviceIdentity) -> tuple[DesktopMount, ...]:
        """What a desktop has mounted of it at this moment.

        Raises:
            DeviceError: it is gone, or is in use in a way that no event has told of (as mounts in other namespaces).
        """
        known = self._current(identity)
        if known.fd >= 0:
            return ()
        now = await asyncio.to_thread(identify_again, known.view.device, self._policy)
        # what is seen while a job has it is the job's own use
        if now.block_error and known.view.current_job is None:
            raise from_name(now.block_error, now.blocked_reason)
        return now.mounts

    def claim(self, identity: DeviceIdentity, job_id: int) -> None:
        """Let a job have the device; others are refused until `release`."""
        self.check_writable(identity)
        known = self._current(identity)
        self._marks.take(identity, job_id)
        self._set(known, replace(known.view, current_job=job_id, state=DeviceState.BUSY))

    async def release(self, device_id: str, job_id: int) -> None:
        """End of the job: look at the device anew."""
        known = self._known.get(device_id)
        if known is None or known.view.current_job != job_id:
            self._marks.give_back(device_id, job_id, "")
            return
        self._marks.give_back(device_id, job_id, known.view.device.node if known.fd < 0 else "")
        if known.fd >= 0:
            # ours is a duplicate of the descriptor that the job locked, and would keep the lock
            fcntl.flock(known.fd, fcntl.LOCK_UN)
        else:
            # the job's own mount has been seen as somebody's use of the disk
            await self._monitor.rescan(known.view.device.node)
        known.view = replace(known.view, current_job=None)
        if known.ownerless:
            self._remove(known)
            return
        if (device := self._monitor.find(device_id)) is not None:
            known.view = replace(known.view, device=device)
        await self._look(known)

    async def open_for_writing(self, identity: DeviceIdentity) -> int:
        """A read-write descriptor with the whole-disk lock, after all checks; the caller closes it.

        Raises:
            DeviceError: a refusal of the guard, or the disk changed.
        """
        known = self._current(identity)
        if known.fd < 0:
            await self._marks.hide(known.view.device)
            return await asyncio.to_thread(open_disk, known.view.device, self._policy, write=True)
        return imagetargets.locked(known.fd, identity.size)

    async def open_target(self, caller: Caller, fd: int, size: int) -> DeviceView:
        """Make a regular file a device of the caller.

        Raises:
            InvalidArgumentError: no regular file opened for reading and writing, or an odd size.
            LimitExceededError: too many are open.
            NotEnoughSpaceError: the filesystem cannot hold a file of that size.
        """
        imagetargets.check(fd, size)
        if sum(known.fd >= 0 for known in self._known.values()) >= MAX_TARGETS:
            raise LimitExceededError(f"{MAX_TARGETS} image files are open already")
        copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
        try:
            actual = imagetargets.resized(copy, size)
            identity = DeviceIdentity(f"file-{caller.uid}-{self._next_target}", 0, actual)
            self._next_target += 1
            device = imagetargets.device(identity)
            known = _Known(DeviceView(device, DeviceState.BLANK, owner=caller), fd=copy)
            await self._examine(known)
        except BaseException:
            os.close(copy)
            raise
        self._known[identity.id] = known
        for listener in self._listeners:
            listener.device_added(known.view)
        return known.view

    def caller_vanished(self, bus_name: str) -> None:
        """Forget the image files of a caller, those that a job has at the end of the job: jobs outlive their caller."""
        gone = [
            known
            for known in self._known.values()
            if known.view.owner is not None and known.view.owner.bus_name == bus_name
        ]
        for known in gone:
            if known.view.current_job is None:
                self._remove(known)
            else:
                known.ownerless = True

    def _current(self, identity: DeviceIdentity) -> _Known:
        known = self._known.get(identity.id)
        if known is None:
            raise DeviceNotFoundError("the device is gone; plug it in again")
        if known.view.device.identity != identity:
            raise DeviceChangedError(
                f"another disk or medium stands where {name_of(known.view)} stood; look at it again before you go on"
            )
        return known

    def _event(self, event: DeviceEvent) -> None:
        device = event.device
        known = self._known.get(device.identity.id)
        if event.kind is EventKind.REMOVED:
            if known is not None and known.view.device.identity.disk_seq == device.identity.disk_seq:
                self._remove(known)
            return
        if known is not None and known.view.device.identity != device.identity:
            self._remove(known)
            known = None
        if known is None:
            known = _Known(DeviceView(device, DeviceState.FOREIGN if device.partitions else DeviceState.BLANK))
            self._known[device.identity.id] = known
            for listener in self._listeners:
                listener.device_added(known.view)
        elif known.view.current_job is not None:
            # what the guard sees now is the job's own use of the disk
            before = known.view.device
            device = replace(device, block_error=before.block_error, blocked_reason=before.blocked_reason)
            self._set(known, replace(known.view, device=device))
        else:
            self._set(known, replace(known.view, device=device))
        if known.view.current_job is None:
            self._look_soon(known)

    def _look_soon(self, known: _Known) -> None:
        if known.look is not None:
            known.look.cancel()
        known.look = self._keep(self._look(known))

    def _keep(self, work: Awaitable[None]) -> asyncio.Task[None]:
        async def run() -> None:
            await work

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _look(self, known: _Known) -> None:
        before = known.view
        await self._examine(known)
        if self._known.get(before.device.identity.id) is known:
            for listener in self._listeners:
                listener.device_changed(known.view)

    async def _examine(self, known: _Known) -> None:
        device = known.view.device
        if _out_of_reach(device):
            known.view = replace(known.view, state=DeviceState.FOREIGN if device.partitions else DeviceState.BLANK)
            return
        revocations = await asyncio.to_thread(secureboot.revocations)
        try:
            fd = await asyncio.to_thread(_open_read_only, device.node, known.fd)
        except OSError as error:
            log.info("%s cannot be read: %s", name_of(known.view), error.strerror)
            known.view = replace(known.view, state=DeviceState.FOREIGN, damage="")
            return
        broken = ""
        contents = None
        foreign = None
        known.details = ()
        try:
            contents, known.losses, known.details, foreign = await self._transfers.look(fd, device.identity.size)
        except DeviceDamagedError as error:
            # a LUXusb stick, as its partitions say, whose manifest cannot be read
            broken = error.message
            known.losses = (f"a damaged LUXusb stick ({broken})",)
        except LuxusbError as error:
            log.warning("%s: what is on it cannot be told: %s", name_of(known.view), error)
            known.losses = (f"unknown contents ({error})",)
        finally:
            os.close(fd)
        if known.view.current_job is not None:
            return
        if contents is not None or broken:
            known.details = tuple(replace(loss, system="LUXusb") for loss in known.details)
        if contents is not None:
            known.losses = (_stick_line(beside.shown(contents.manifest.images)), *known.losses)
        if foreign is not None:
            known.losses = (foreign.line, *known.losses)
            known.details = tuple(replace(loss, system=NAMES[foreign.maker]) for loss in known.details)
        known.view = replace(known.view, foreign=foreign, contents=known.details)
        if contents is None:
            state = DeviceState.FOREIGN if known.losses else DeviceState.BLANK
            if broken:
                state = DeviceState.DAMAGED
            known.view = replace(
                known.view,
                state=state,
                images=(),
                free_bytes=0,
                unlisted_images=0,
                stray=(),
                damage=broken,
                updates=(),
                firmware=frozenset(),
                boot_warning="",
            )
        else:
            known.view = replace(
                known.view,
                state=DeviceState.DAMAGED if contents.damage else DeviceState.LUXUSB,
                images=beside.shown(contents.manifest.images),
                free_bytes=contents.free_bytes,
                unlisted_images=contents.unlisted,
                stray=contents.stray,
                damage=contents.damage,
                updates=self._compare(beside.shown(contents.manifest.images)),
                filesystem=Kind(contents.manifest.options.filesystem),
                companion=bool(contents.manifest.companion_uuid),
                persistence=contents.manifest.options.persistence > 0,
                shim=contents.manifest.shim,
                firmware=contents.manifest.firmware,
                boot_warning=planfirmware.of_loaders(contents.manifest.sbat, revocations),
            )

    def _set(self, known: _Known, view: DeviceView) -> None:
        known.view = view
        for listener in self._listeners:
            listener.device_changed(view)

    def _remove(self, known: _Known) -> None:
        del self._known[known.view.device.identity.id]
        if known.look is not None:
            known.look.cancel()
        if known.fd >= 0:
            os.close(known.fd)
            known.fd = -1
        for listener in self._listeners:
            listener.device_removed(known.view)


def name_of(view: DeviceView) -> str:
    """A device's name for messages."""
    device = view.device
    what = " ".join(part for part in (device.vendor, device.model) if part)
    return f"{device.node} ({what})" if device.node and what else device.node or "the image file"


def _out_of_reach(device: Device) -> bool:
    """Whether it is attached in a way that no stick is: nothing will be done with it, and the unit may not open it."""
    if device.block_error == SystemDeviceError.dbus_name:
        return device.bus not in _BUSES
    return device.block_error == DeviceNotRemovableError.dbus_name


def _stick_line(images: tuple[ManifestImage, ...]) -> str:
    shown = ", ".join(image.name for image in images[:NAMED_IMAGES])
    more = f" and {len(images) - NAMED_IMAGES} more" if len(images) > NAMED_IMAGES else ""
    return f"LUXusb stick with {len(images)} image{'' if len(images) == 1 else 's'}{': ' if shown else ''}{shown}{more}"


def _open_read_only(node: str, fd: int) -> int:
    path = node if fd < 0 else f"/proc/self/fd/{fd}"
    return os.open(Path(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
