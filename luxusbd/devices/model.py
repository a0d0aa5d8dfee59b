"""Values that describe a disk."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DeviceState(StrEnum):
    """What is on a disk, in one word."""

    BLANK = "blank"
    FOREIGN = "foreign"
    LUXUSB = "luxusb"
    DAMAGED = "damaged"
    BUSY = "busy"


@dataclass(frozen=True)
class DeviceIdentity:
    """Enough to tell after a long wait whether it is still the same disk with the same medium."""

    id: str
    """Stable name: bus, vendor, model and serial, reduced to [A-Za-z0-9_-]; unique among the disks present."""
    disk_seq: int
    """/sys/block/*/diskseq (Linux 5.15), 0 where the kernel has none."""
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Partition:
    """A partition or a filesystem that sits on a whole disk."""

    node: str
    number: int
    """1 and up; 0 for a filesystem on the whole disk."""
    start: int
    """Bytes from the start of the disk."""
    size: int
    """Bytes."""
    filesystem: str
    """As udev's ID_FS_TYPE, or empty."""
    label: str
    uuid: str


@dataclass(frozen=True)
class DesktopMount:
    """A filesystem of a disk where a desktop mounts what is plugged in."""

    node: str
    point: str


@dataclass(frozen=True)
class Device:
    """A whole disk as sysfs and udev describe it."""

    identity: DeviceIdentity
    node: str
    """/dev/sdb, as named by the kernel."""
    sys_path: str
    vendor: str
    model: str
    serial: str
    bus: str
    """usb, mmc, loop, or udev's ID_BUS; `file` for an image file."""
    read_only: bool
    removable: bool
    partitions: tuple[Partition, ...]
    block_error: str
    """D-Bus name of the error with which the guard refuses it, or empty when it is eligible."""
    blocked_reason: str
    """The guard's text for people, or empty."""
    mounts: tuple[DesktopMount, ...] = ()
    """What has to be unmounted before it can be written, and nothing else keeps it from that."""
    fixed: bool = False
    """On USB, and the kernel says that its medium cannot leave it: a hard disk in a case, mostly."""
    large: str = ""
    """Why an erase has to be confirmed in particular, as a noun phrase (`a disk of 2 TB`), or empty."""

    @property
    def eligible(self) -> bool:
        """Whether the guard lets it be written."""
        return not self.block_error


class EventKind(StrEnum):
    """What happened to a disk."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True)
class DeviceEvent:
    """A disk came, went, or has another description; another medium in a drive is a removal and an addition."""

    kind: EventKind
    device: Device
    """As it is now; for a removal as it was last."""
