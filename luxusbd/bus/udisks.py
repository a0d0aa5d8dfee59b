"""The desktop's own mounts, through udisks2.

Source: the udisks2 D-Bus API (org.freedesktop.UDisks2.Manager.ResolveDevice since 2.7.3, .Filesystem.MountPoints,
.Filesystem.Unmount, .Drive.PowerOff and .Drive.Eject with the option auth.no_user_interaction). As root we are not
asked for a password.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

from luxusbd.bus._lib import Variant
from luxusbd.bus.authority import BusCaller
from luxusbd.bus.connection import DisconnectedError, RemoteError
from luxusbd.errors import DeviceBusyError, FailedError

NAME = "org.freedesktop.UDisks2"
MANAGER_PATH = "/org/freedesktop/UDisks2/Manager"
FILESYSTEM = NAME + ".Filesystem"
BLOCK = NAME + ".Block"
DRIVE = NAME + ".Drive"

UNMOUNT_TIMEOUT = 600.0
"""Seconds: what was copied to a slow stick a moment ago is written out first."""

_POSSIBLE = {"PowerOff": "CanPowerOff", "Eject": "Ejectable"}
"""Property of a drive that says whether this method makes sense."""
_QUIET = {"auth.no_user_interaction": Variant("b", True)}

log = logging.getLogger(__name__)


class Udisks:
    """Implements `luxusbd.jobs.api.Desktop`."""

    def __init__(self, bus: BusCaller) -> None:
        self._bus = bus

    async def mounts(self, node: str) -> tuple[str, ...]:
        """See `Desktop.mounts`."""
        try:
            path = await self._path(node)
            if not path:
                return ()
            reply = await self._bus.call(
                NAME, path, "org.freedesktop.DBus.Properties", "Get", "ss", [FILESYSTEM, "MountPoints"]
            )
            # An array of byte strings, each with a NUL at its end.
            points: Sequence[bytes] = reply.body[0].value
            return tuple(os.fsdecode(bytes(point).rstrip(b"\0")) for point in points)
        except (RemoteError, DisconnectedError, TimeoutError) as error:
            log.info("udisks does not tell where %s is mounted: %s", node, error)
            return ()

    async def unmount(self, node: str) -> None:
        """See `Desktop.unmount`."""
        try:
            path = await self._path(node)
            if not path:
                raise FailedError(f"udisks does not know {node}")
            await self._bus.call(NAME, path, FILESYSTEM, "Unmount", "a{sv}", [_QUIET], timeout=UNMOUNT_TIMEOUT)
        except RemoteError as error:
            if error.remote_name == NAME + ".Error.DeviceBusy":
                raise DeviceBusyError(str(error)) from error
            if error.remote_name == NAME + ".Error.NotMounted":
                return  # the user was faster
            raise
        except TimeoutError as error:
            raise FailedError("it did not answer in time") from error

    async def power_off(self, node: str) -> bool:
        """See `Desktop.power_off`."""
        try:
            path = await self._path(node)
            if not path:
                return False
            drive = await self._property(path, BLOCK, "Drive")
            for member in ("PowerOff", "Eject"):
                if await self._property(drive, DRIVE, _POSSIBLE[member]):
                    await self._bus.call(NAME, drive, DRIVE, member, "a{sv}", [_QUIET], timeout=UNMOUNT_TIMEOUT)
                    return True
        except RemoteError as error:
            if error.remote_name == NAME + ".Error.DeviceBusy":
                raise DeviceBusyError(f"{node} is in use: {error}") from error
            log.info("udisks does not switch %s off: %s", node, error)
        except (DisconnectedError, TimeoutError) as error:
            log.info("udisks does not switch %s off: %s", node, error)
        return False

    async def _property(self, path: str, interface: str, name: str) -> Any:
        reply = await self._bus.call(NAME, path, "org.freedesktop.DBus.Properties", "Get", "ss", [interface, name])
        return reply.body[0].value

    async def _path(self, node: str) -> str:
        """The object of a block device, or empty."""
        spec = {"path": Variant("s", node)}
        reply = await self._bus.call(
            NAME, MANAGER_PATH, NAME + ".Manager", "ResolveDevice", "a{sv}a{sv}", [spec, _QUIET]
        )
        paths: list[str] = reply.body[0]
        return paths[0] if paths else ""
