"""Unmounts what a desktop mounted of a disk before a job opens that for writing, and finds who else is in the way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence

from luxusbd.children.launch import Launcher
from luxusbd.children.protocol import Params
from luxusbd.devices.describe import printable
from luxusbd.devices.guard import UNSEEN
from luxusbd.devices.holders import Holder, find_holders
from luxusbd.devices.model import DesktopMount, DeviceIdentity
from luxusbd.errors import DeviceBusyError, DeviceMountedError, FailedError, LuxusbError
from luxusbd.jobs.api import Desktop
from luxusbd.jobs.registry import DeviceRegistry

log = logging.getLogger(__name__)

SHOWN = 5
"""Processes that a message names."""


class Unmounting:
    """`desktop` is None until there is a connection over which it could be asked."""

    def __init__(self, registry: DeviceRegistry, launcher: Launcher) -> None:
        self.desktop: Desktop | None = None
        self._registry = registry
        self._launcher = launcher

    async def check(self, identities: Sequence[DeviceIdentity]) -> None:
        """See that what is mounted of these disks can be unmounted for their user, without doing so.

        Raises:
            DeviceMountedError: the desktop does not know of a mount.
            DeviceError: a disk is gone or was exchanged.
        """
        for identity in identities:
            for mount in await self._registry.mounts(identity):
                if self.desktop is None or mount.point not in await self.desktop.mounts(mount.node):
                    raise await self._refusal(mount, "was not mounted by udisks")

    async def release(self, identity: DeviceIdentity) -> None:
        """Unmount what is mounted of a disk.

        Raises:
            DeviceMountedError: something is in use, with the processes that use it, or cannot be unmounted.
            DeviceError: the disk is gone or was exchanged.
        """
        for mount in await self._registry.mounts(identity):
            if self.desktop is None or mount.point not in await self.desktop.mounts(mount.node):
                raise await self._refusal(mount, "was not mounted by udisks")
            try:
                await self.desktop.unmount(mount.node)
            except DeviceBusyError:
                raise await self._refusal(mount, "is busy") from None
            except FailedError as error:
                raise await self._refusal(mount, f"cannot be unmounted by udisks ({error})") from error
            log.info("%s was unmounted from %s", mount.node, mount.point)

    async def release_all(self, identities: Iterable[DeviceIdentity]) -> Mapping[str, LuxusbError]:
        """Unmount what is mounted of several disks; why some could not be had, by their ids, as `release` raises it."""
        refused: dict[str, LuxusbError] = {}
        for identity in identities:
            try:
                await self.release(identity)
            except LuxusbError as error:
                refused[identity.id] = error
        return refused

    async def _refusal(self, mount: DesktopMount, why: str) -> DeviceMountedError:
        users = _names(await self._holders([mount.node], [mount.point]))
        point = printable(mount.point)
        used = f", used by {users}: close what they have open there" if users else ""
        return DeviceMountedError(
            f"{mount.node} is in use: mounted at {point}, which {why}{used}; unmount it with the file manager or:"
            f" umount {point}"
        )

    async def explained(self, identity: DeviceIdentity, error: DeviceBusyError) -> DeviceBusyError:
        """A refusal to open a disk, with the programs that have it open where the core could not tell them."""
        if UNSEEN not in error.message:
            return error
        node = self._registry.current(identity).device.node
        users = _names(await self._holders([node], []))
        return DeviceBusyError(error.message.replace(UNSEEN, f" by {users}")) if users else error

    async def _holders(self, nodes: list[str], points: list[str]) -> tuple[Holder, ...]:
        """Whoever has them in use; by a worker, which may look into the processes of all users."""

        def event(_name: str, _params: Params) -> None:
            """A worker that only looks tells no progress."""

        wanted = {"nodes": nodes, "points": points}
        try:
            async with self._launcher.stick(event) as running:
                answer = await running.channel.request("holders", wanted)
            return tuple(Holder(int(item["pid"]), str(item["name"])) for item in answer["holders"])
        except LuxusbError as error:
            log.warning("no worker could look for who uses %s: %s", ", ".join(nodes), error)
            return await asyncio.to_thread(find_holders, nodes, points)


def _names(found: Sequence[Holder]) -> str:
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(f"{printable(holder.name)} ({holder.pid})" for holder in found[:SHOWN]) + more
