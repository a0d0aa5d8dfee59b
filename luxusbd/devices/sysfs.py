"""Whole disks and their partitions as the kernel's sysfs describes them.

Attributes are those of the kernel's Documentation/ABI/stable/sysfs-block: `size` and `start` in units of 512 bytes
whatever the disk's sector size, `diskseq` since Linux 5.15. Every path is below a `Roots`, so that a recorded tree is
read by the same code as the running kernel. Everything here may block for a moment: call it in a thread.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from luxusbd.errors import DeviceIsPartitionError, DeviceNotFoundError

SECTOR = 512
"""Unit of sysfs' `size` and `start`, in bytes."""

NO_DISK_MAJORS = frozenset({2, 11})
"""Not disks that anybody could want to make a stick of: floppies and optical drives."""

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO, errno.EINVAL})
_ATA_PORT = re.compile(r"ata\d+")


@dataclass(frozen=True)
class Roots:
    """Where the kernel's and udev's trees are; other than the defaults only for recorded machines."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")
    udev_data: Path = Path("/run/udev/data")
    dev: Path = Path("/dev")

    @property
    def live(self) -> bool:
        """Whether these are the running machine's own trees."""
        return self == Roots()


@dataclass(frozen=True, order=True)
class DevNumber:
    """Major and minor number of a block device, or the anonymous pair of a filesystem without one."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> DevNumber:
        """From `8:16`; `ValueError` for anything else."""
        major, minor = text.split(":")
        return cls(int(major), int(minor))

    @classmethod
    def from_raw(cls, number: int) -> DevNumber:
        """From a `dev_t`, as in `st_rdev`."""
        return cls(os.major(number), os.minor(number))

    def __str__(self) -> str:
        return f"{self.major}:{self.minor}"


class Transport(StrEnum):
    """How a disk is attached: the nearest known bus above it in the sysfs device chain."""

    USB = "usb"
    MMC = "mmc"
    LOOP = "loop"
    FIREWIRE = "ieee1394"
    NVME = "nvme"
    ATA = "ata"
    VIRTIO = "virtio"
    SCSI = "scsi"
    VIRTUAL = "virtual"
    OTHER = "other"


@dataclass(frozen=True)
class PartitionFacts:
    """One partition known to the kernel."""

    name: str
    node: str
    dev: DevNumber
    number: int
    start: int
    """Bytes from the start of the disk."""
    size: int
    """Bytes."""
    read_only: bool


@dataclass(frozen=True)
class DiskFacts:
    """One whole disk known to the kernel."""

    name: str
    """Kernel name such as sdb; `!` stands for `/`."""
    node: str
    dev: DevNumber
    sys_path: str
    """Its directory below /sys/devices."""
    size: int
    """Bytes; 0 without a medium."""
    read_only: bool
    removable: bool
    """The kernel's flag: the medium can leave the drive. Hard disks in USB cases do not have it."""
    disk_seq: int
    """0 where the kernel has none."""
    transport: Transport
    hotplug: bool
    """Whether the disk or its medium is made to be pulled: on USB or FireWire, an SD card, or flagged removable."""
    partitions: tuple[PartitionFacts, ...]
    slaves: tuple[str, ...]
    """Kernel names of what it is built on."""
    vendor: str
    model: str
    serial: str
    backing_file: str
    """A loop device's file as the kernel names it, else empty."""

    @property
    def attached(self) -> bool:
        """False for a loop device without a file: the node is there, the disk is not."""
        return self.transport is not Transport.LOOP or bool(self.backing_file)


def read_text(path: Path) -> str:
    """An attribute without surrounding white space and NULs; empty when it is absent.

    Raises:
        OSError: it exists and cannot be read; what cannot be read must never pass for absent.
    """
    try:
        return path.read_bytes().decode("utf-8", "replace").strip("\0 \t\r\n")
    except OSError as error:
        if error.errno in _ABSENT:
            return ""
        raise


def names_in(directory: Path) -> tuple[str, ...]:
    """Sorted names of a directory's entries; none when it is absent. Raises `OSError` like `read_text`."""
    try:
        return tuple(sorted(os.listdir(directory)))  # noqa: PTH208 - names are wanted, not paths
    except OSError as error:
        if error.errno in _ABSENT:
            return ()
        raise


def block_names(roots: Roots) -> tuple[str, ...]:
    """Kernel names of all whole disks, real and virtual."""
    return names_in(roots.sys / "block")


def node_of(directory: Path, name: str) -> str:
    """The device node that devtmpfs gives to a block device, from its uevent file."""
    for line in read_text(directory / "uevent").splitlines():
        if line.startswith("DEVNAME="):
            return "/dev/" + line.removeprefix("DEVNAME=").removeprefix("/dev/")
    return "/dev/" + name.replace("!", "/")


def partition_names(directory: Path) -> Iterator[str]:
    """Kernel names of the partitions in a disk's directory.

    Only the `partition` attribute tells: an eMMC's boot areas are directories of the same place and are disks. All of
    them are named after the disk (block/partitions/core.c), among dozens of other entries that need no look.
    """
    for name in names_in(directory):
        if name.startswith(directory.name) and (directory / name / "partition").is_file():
            yield name


def disk_name(node: str, roots: Roots) -> str:
    """The kernel name of a whole disk, from its node or from the name itself.

    Raises:
        DeviceIsPartitionError: it is a partition; the text names its disk.
        DeviceNotFoundError: there is no such block device.
    """
    wanted = node.removeprefix("/dev/").replace("/", "!")
    for name in block_names(roots):
        if name == wanted:
            return name
        for part in partition_names(roots.sys / "block" / name):
            if part == wanted:
                raise DeviceIsPartitionError(
                    f"{node} is a partition; sticks are made of whole disks: choose /dev/{name.replace('!', '/')}"
                )
    raise DeviceNotFoundError(f"there is no disk {node}; it was pulled, or the name is wrong")


def read_disk(name: str, roots: Roots) -> DiskFacts:
    """Everything that sysfs says about one whole disk.

    Raises:
        DeviceNotFoundError: it is gone, or went while it was read.
        OSError: an attribute cannot be read.
    """
    directory = (roots.sys / "block" / name).resolve()
    try:
        dev = DevNumber.parse(read_text(directory / "dev"))
        size = int(read_text(directory / "size")) * SECTOR
    except ValueError:
        raise DeviceNotFoundError(f"there is no disk /dev/{name.replace('!', '/')}; it was pulled") from None
    partitions = [part for found in partition_names(directory) if (part := _partition(directory / found))]
    transport = _transport(directory, name, roots)
    removable = read_text(directory / "removable") == "1"
    vendor, model, serial = _names(directory, roots)
    return DiskFacts(
        name=name,
        node=node_of(directory, name),
        dev=dev,
        sys_path=str(directory),
        size=size,
        read_only=read_text(directory / "ro") == "1",
        removable=removable,
        disk_seq=int(read_text(directory / "diskseq") or 0),
        transport=transport,
        hotplug=removable
        or transport in (Transport.USB, Transport.FIREWIRE)
        or (transport is Transport.MMC and read_text(directory / "device" / "type").startswith("SD")),
        partitions=tuple(sorted(partitions, key=lambda part: part.start)),
        slaves=names_in(directory / "slaves"),
        vendor=vendor,
        model=model,
        serial=serial,
        backing_file=read_text(directory / "loop" / "backing_file"),
    )


def is_shown(disk: DiskFacts, roots: Roots) -> bool:
    """Whether this is a disk in the eyes of a user: not virtual, not optical, no part of another disk.

    Loop devices count as disks here; whether they are shown is the policy's decision. NVMe multipath disks live below
    /sys/devices/virtual too, but not in its `block` directory; their single paths are `hidden`.
    """
    directory = Path(disk.sys_path)
    if disk.transport is Transport.LOOP:
        return True
    if disk.dev.major in NO_DISK_MAJORS or disk.transport is Transport.VIRTUAL:
        return False
    if read_text(directory / "hidden") == "1":
        return False
    # The boot areas of an eMMC are disks whose parent is the disk itself.
    return not any(subsystem == "block" for _, subsystem in _ancestors(directory, roots))


def _partition(directory: Path) -> PartitionFacts | None:
    try:
        return PartitionFacts(
            name=directory.name,
            node=node_of(directory, directory.name),
            dev=DevNumber.parse(read_text(directory / "dev")),
            number=int(read_text(directory / "partition")),
            start=int(read_text(directory / "start")) * SECTOR,
            size=int(read_text(directory / "size")) * SECTOR,
            read_only=read_text(directory / "ro") == "1",
        )
    except ValueError:
        return None  # it went while the disk was partitioned anew; the disk is still there


def _ancestors(directory: Path, roots: Roots) -> Iterator[tuple[Path, str]]:
    """The devices above a disk, nearest first, each with its subsystem (empty where it has none)."""
    top = roots.sys.resolve() / "devices"
    for parent in directory.parents:
        if parent == top or top not in parent.parents:
            return
        link = parent / "subsystem"
        yield parent, link.readlink().name if link.is_symlink() else ""


def _transport(directory: Path, name: str, roots: Roots) -> Transport:
    if directory.parent == roots.sys.resolve() / "devices" / "virtual" / "block":
        return Transport.LOOP if re.fullmatch(r"loop\d+", name) else Transport.VIRTUAL
    by_subsystem = {
        "usb": Transport.USB,
        "mmc": Transport.MMC,
        "ieee1394": Transport.FIREWIRE,
        "firewire": Transport.FIREWIRE,
        "nvme": Transport.NVME,
        "nvme-subsystem": Transport.NVME,
        "virtio": Transport.VIRTIO,
    }
    scsi = False
    for parent, subsystem in _ancestors(directory, roots):
        if subsystem in by_subsystem:
            return by_subsystem[subsystem]
        if _ATA_PORT.fullmatch(parent.name):
            return Transport.ATA
        scsi = scsi or subsystem == "scsi"
    return Transport.SCSI if scsi else Transport.OTHER


def _names(directory: Path, roots: Roots) -> tuple[str, str, str]:
    """Vendor, model and serial as the kernel has them; SCSI names a stick better than its USB bridge does."""
    device = directory / "device"
    vendor = read_text(device / "vendor")
    model = read_text(device / "model") or read_text(device / "name")
    serial = read_text(device / "serial")
    for parent, subsystem in _ancestors(directory, roots):
        if subsystem != "usb" or not (parent / "idVendor").is_file():
            continue
        return (
            vendor or read_text(parent / "manufacturer"),
            model or read_text(parent / "product"),
            serial or read_text(parent / "serial"),
        )
    # A PCI or virtio device has its vendor's number there, which names nobody.
    return ("" if vendor.startswith("0x") else vendor), model, serial
