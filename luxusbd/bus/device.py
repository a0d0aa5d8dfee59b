"""org.luxusb.Device: what a disk shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from luxusbd.bus import render
from luxusbd.bus.contract import DEVICE, interfaces
from luxusbd.bus.dispatcher import Getter, Implementation
from luxusbd.bus.tree import job_path
from luxusbd.jobs.views import DeviceView

_GETTERS: Mapping[str, Getter] = {
    "Id": lambda view: view.device.identity.id,
    "DeviceNode": lambda view: view.device.node,
    "Vendor": lambda view: view.device.vendor,
    "Model": lambda view: view.device.model,
    "Serial": lambda view: view.device.serial,
    "Bus": lambda view: view.device.bus,
    "Size": lambda view: view.device.identity.size,
    "DiskSeq": lambda view: view.device.identity.disk_seq,
    "ReadOnly": lambda view: view.device.read_only,
    "Removable": lambda view: view.device.removable,
    "Large": lambda view: bool(view.device.large),
    "State": lambda view: view.state.value,
    "Images": lambda view: [
        {"name": image.name, "title": image.title, "sha256": image.sha256, "size": image.size} for image in view.images
    ],
    "FreeBytes": lambda view: view.free_bytes,
    "Firmware": lambda view: sorted(one.value for one in view.firmware),
    "BootWarning": lambda view: view.boot_warning,
    "UnlistedImages": lambda view: view.unlisted_images,
    "StrayChanges": lambda view: [{"name": room.name, "size": room.size} for room in view.stray],
    "Foreign": lambda view: render.foreign_stick(view.foreign),
    "Contents": lambda view: [render.loss(each) for each in view.contents],
    "Damage": lambda view: view.damage,
    "Updates": lambda view: [render.image_update(update) for update in view.updates],
    "BlockedReason": lambda view: view.device.blocked_reason,
    "Mounts": lambda view: [{"node": mount.node, "point": mount.point} for mount in view.device.mounts],
    "CurrentJob": lambda view: job_path(view.current_job),
}


def implementation() -> Implementation:
    """Getters over `DeviceView`; a device has no methods."""
    return Implementation(interfaces()[DEVICE], {}, _GETTERS)


def details(views: Sequence[DeviceView]) -> dict[str, tuple[str, ...]]:
    """What polkit is told about the devices, for its dialogue ($(device), $(model)) and for administrators' rules."""
    return {
        "device": tuple(view.device.node or "an image file" for view in views),
        "model": tuple(" ".join(f"{view.device.vendor} {view.device.model}".split()) or "?" for view in views),
        "serial": tuple(view.device.serial for view in views),
        "size": tuple(str(view.device.identity.size) for view in views),
        "bus": tuple(view.device.bus for view in views),
    }
