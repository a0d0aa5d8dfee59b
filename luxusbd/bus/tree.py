"""The objects on the bus, their paths, and who sees them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from luxusbd.bus.contract import DEVICE, JOB
from luxusbd.bus.values import ObjectPath
from luxusbd.errors import UnknownObjectError
from luxusbd.jobs.model import Job
from luxusbd.jobs.views import DeviceView

ROOT_PATH = "/org/luxusb"
MANAGER_PATH = "/org/luxusb/Manager"
DEVICES_PATH = "/org/luxusb/devices"
JOBS_PATH = "/org/luxusb/jobs"
NO_OBJECT = ObjectPath("/")


@dataclass(frozen=True)
class Exported:
    """One object: where it is, what it is, whose it is, and the value it shows now."""

    path: ObjectPath
    interface: str
    value: Any
    owner_uid: int | None = None
    """The one uid besides root that sees it; None when everybody does."""

    def visible(self, uid: int) -> bool:
        """Whether this uid may know that it exists."""
        return self.owner_uid is None or uid in (0, self.owner_uid)


def escape(label: str) -> str:
    """One label of an object path, as sd_bus_path_encode(3) makes it: anything but [A-Za-z0-9] as _xx, "" as _."""
    if not label:
        return "_"
    escaped = "".join(
        chr(byte) if chr(byte).isascii() and chr(byte).isalnum() else f"_{byte:02x}" for byte in label.encode()
    )
    # A digit in front would be legal; sd-bus escapes it nevertheless, and its decoders expect that.
    return f"_{ord(escaped[0]):02x}{escaped[1:]}" if escaped[0].isdigit() else escaped


def device_path(device_id: str) -> ObjectPath:
    """Path of a device object."""
    return ObjectPath(f"{DEVICES_PATH}/{escape(device_id)}")


def job_path(job_id: int | None) -> ObjectPath:
    """Path of a job object, / for none."""
    return NO_OBJECT if job_id is None else ObjectPath(f"{JOBS_PATH}/_{job_id}")


def job_id_of(path: str) -> int | None:
    """The inverse of `job_path`."""
    match = re.fullmatch(rf"{JOBS_PATH}/_(\d{{1,18}})", path)
    return int(match.group(1)) if match else None


def device_object(view: DeviceView) -> Exported:
    """A disk, which everybody sees, or an image file, which only its opener does."""
    owner = None if view.owner is None else view.owner.uid
    return Exported(device_path(view.device.identity.id), DEVICE, view, owner)


def job_object(job: Job) -> Exported:
    """A job, which its owner sees."""
    return Exported(job_path(job.id), JOB, job, job.owner_uid)


class Tree:
    """All objects by path."""

    def __init__(self) -> None:
        self._objects: dict[str, Exported] = {}

    def put(self, exported: Exported) -> None:
        """Add an object, or replace what it shows."""
        self._objects[exported.path] = exported

    def remove(self, path: str) -> Exported | None:
        """Take an object away."""
        return self._objects.pop(path, None)

    def get(self, path: str) -> Exported | None:
        """The object at a path, whoever asks."""
        return self._objects.get(path)

    def find(self, path: str, uid: int, interface: str) -> Exported:
        """The object of this kind at a path.

        Raises:
            UnknownObjectError: there is none, or none that this uid sees; nobody can tell the two apart.
        """
        exported = self._objects.get(path)
        if exported is None or exported.interface != interface or not exported.visible(uid):
            raise unknown(path)
        return exported

    def visible(self, uid: int) -> Iterable[Exported]:
        """All that this uid sees."""
        return [exported for exported in self._objects.values() if exported.visible(uid)]

    def is_node(self, path: str, uid: int) -> bool:
        """Whether something is at a path, be it only a place where objects can be; these are there also when empty."""
        exported = self._objects.get(path)
        if exported is not None:
            return exported.visible(uid)
        return path in (DEVICES_PATH, JOBS_PATH) or bool(self.children(path, uid))

    def children(self, path: str, uid: int) -> list[str]:
        """Names of the nodes right below a path, as far as this uid sees any object there."""
        prefix = "/" if path == "/" else path + "/"
        paths = [ROOT_PATH, DEVICES_PATH, JOBS_PATH, *(exported.path for exported in self.visible(uid))]
        return sorted({entry[len(prefix) :].split("/", 1)[0] for entry in paths if entry.startswith(prefix)})


def unknown(path: str) -> UnknownObjectError:
    """The answer for a path where the caller sees nothing."""
    return UnknownObjectError(f"there is no object {path}")
