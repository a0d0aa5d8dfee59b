"""From facts to a `Device`: names for people, what is on it, and an id that stays.

udev knows more than sysfs (decoded names, filesystems) and may know nothing at all: without udevd, or before it has
looked at a new disk. So names fall back to sysfs, and the id is made of what sysfs says wherever that says anything: it
must be the same before and after udev's rules ran, and with every version of them.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pyudev

from luxusbd.devices import ioctl
from luxusbd.devices.model import Device, DeviceIdentity, Partition
from luxusbd.devices.sysfs import DevNumber, DiskFacts, Roots, Transport, read_text

ID_LIMIT = 120
"""Longest id, in characters; a longer one ends in a digest."""

_contexts = threading.local()
_HEX_ESCAPE = re.compile(r"(?:\\x[0-9a-fA-F]{2})+")
_WANTED = (
    "ID_BUS", "ID_VENDOR_ENC", "ID_VENDOR", "ID_MODEL_ENC", "ID_MODEL", "ID_NAME", "ID_SERIAL_SHORT", "ID_SERIAL",
    "ID_FS_TYPE", "ID_FS_LABEL_ENC", "ID_FS_LABEL", "ID_FS_UUID",
)  # fmt: skip
# What firmware reports where the maker filled nothing in.
_NO_SERIAL = re.compile(r"[0\s._-]*|none|unknown|not applicable|n/?a", re.IGNORECASE)


@dataclass(frozen=True)
class UdevFacts:
    """The properties of one block device in udev's database; all empty when udev does not know it."""

    bus: str = ""
    vendor: str = ""
    model: str = ""
    serial: str = ""
    filesystem: str = ""
    label: str = ""
    uuid: str = ""


def read_udev(dev: DevNumber, sys_path: str, roots: Roots) -> UdevFacts:
    """A block device's properties, through libudev; for recorded trees from the database file itself."""
    properties = _from_libudev(sys_path) if roots.live else _from_file(dev, roots.udev_data)
    return UdevFacts(
        bus=properties.get("ID_BUS", ""),
        vendor=_decode(properties.get("ID_VENDOR_ENC", "")) or properties.get("ID_VENDOR", ""),
        model=_decode(properties.get("ID_MODEL_ENC", ""))
        or properties.get("ID_MODEL", "")
        or properties.get("ID_NAME", ""),
        serial=properties.get("ID_SERIAL_SHORT", "") or _mmc_serial(properties),
        filesystem=properties.get("ID_FS_TYPE", ""),
        label=_decode(properties.get("ID_FS_LABEL_ENC", "")) or properties.get("ID_FS_LABEL", ""),
        uuid=properties.get("ID_FS_UUID", ""),
    )


def describe(disk: DiskFacts, roots: Roots, *, taken: Collection[str] = (), keep: str = "") -> Device:
    """The device of a disk, not yet judged by the guard (eligible until that says otherwise).

    Args:
        disk: the disk.
        roots: where udev's database is.
        taken: ids of other disks that are present; this one gets another.
        keep: an id that the disk had before; it is kept if it can still be this disk's.
    """
    udev = read_udev(disk.dev, disk.sys_path, roots)
    ids = possible_ids(disk, udev, roots)
    others = {_on_bus(name) for name in taken}
    free = (name for name in ids if _on_bus(name) not in others)
    chosen = keep if keep in ids else next(free, ids[-1])
    return Device(
        identity=DeviceIdentity(chosen, disk.disk_seq, disk.size),
        node=disk.node,
        sys_path=disk.sys_path,
        vendor=printable(udev.vendor or disk.vendor),
        model=printable(udev.model or disk.model or Path(disk.backing_file).name.removesuffix(" (deleted)")),
        serial=printable(udev.serial or disk.serial),
        bus=_bus(disk, udev),
        read_only=disk.read_only,
        removable=disk.hotplug,
        fixed=disk.transport is Transport.USB and not disk.removable,
        partitions=_contents(disk, udev, roots),
        block_error="",
        blocked_reason="",
    )


def possible_ids(disk: DiskFacts, udev: UdevFacts, roots: Roots) -> tuple[str, ...]:
    """The ids that a disk can have, best first; the next one is taken when another disk has that already.

    1. bus, vendor, model and serial; left out without a serial, since the next stick of the kind has the same,
    2. that and the port: also tells the slots of a card reader apart, which share the reader's serial,
    3. that and the kernel's name.
    """
    if disk.transport is Transport.LOOP:
        stem = reduce_id("loop", disk.name, _backing(disk, roots))
        return (stem, reduce_id(stem, disk.name))
    bus = _bus(disk, udev)
    names = (bus, disk.vendor or udev.vendor, disk.model or udev.model)
    serial = next((text for text in (disk.serial, udev.serial) if text and not _NO_SERIAL.fullmatch(text)), "")
    # The path in sysfs as long as it is physical: without the parts that the kernel counts up.
    port = _port(disk, roots)
    with_port = reduce_id(*names, serial, port)
    last = reduce_id(*names, serial, port, disk.name)
    return (reduce_id(*names, serial), with_port, last) if serial else (with_port, last)


def reduce_id(*parts: str) -> str:
    """Join what is not empty with dashes and reduce it to [A-Za-z0-9_-], at most `ID_LIMIT` characters.

    Where the reduction loses something that could tell two disks apart, a digest of the original stands in its place;
    nothing at all gives `disk`.
    """
    kept = [part for part in parts if part.strip()]
    cleaned = [re.sub(r"[^A-Za-z0-9-]+", "_", part.strip()).strip("_") for part in kept]
    text = "-".join(part for part in cleaned if part) or "disk"
    # Spaces, dots, colons and slashes separate; anything else was part of a name.
    lost = any(re.search(r"[^A-Za-z0-9_\-\s.:/!]", part) for part in kept)
    if lost or len(text) > ID_LIMIT:
        digest = hashlib.blake2s("\0".join(kept).encode("utf-8", "surrogatepass"), digest_size=5).hexdigest()
        text = f"{text[: ID_LIMIT - len(digest) - 1]}-{digest}"
    return text


def printable(text: str) -> str:
    """Text from a disk as it may be shown: no control characters, which a terminal would obey."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _on_bus(name: str) -> str:
    """Object paths have no dash: two ids that differ only in dash and underscore would meet there."""
    return name.replace("-", "_")


def _bus(disk: DiskFacts, udev: UdevFacts) -> str:
    # udev says `ata` or `scsi` for some disks behind a USB bridge; how it is attached is what matters here.
    if disk.transport in (Transport.SCSI, Transport.OTHER):
        return udev.bus or disk.transport.value
    return disk.transport.value


def _backing(disk: DiskFacts, roots: Roots) -> str:
    """Filesystem and inode of a loop device's file; its path where neither can be asked."""
    status = ioctl.loop_backing(disk.node, disk.backing_file) if roots.live else None
    if status is not None:
        return f"{status.dev.major}_{status.dev.minor}-{status.inode}"
    return disk.backing_file


def _port(disk: DiskFacts, roots: Roots) -> str:
    """Where it is plugged in, from the sysfs path: USB port and interface, then the LUN.

    host6 and target6:0:0 carry a number that the kernel counts up with every plugging, so only the last figure of the
    SCSI address, the LUN, is used. udev's ID_PATH says the same and is not there without udevd.
    """
    steps = Path(disk.sys_path).relative_to(roots.sys.resolve() / "devices").parts
    usb = [step for step in steps if re.fullmatch(r"\d+-[\d.]+:[\d.]+", step)]
    pci = [step for step in steps if re.fullmatch(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]", step)]
    mmc = [step for step in steps if re.fullmatch(r"mmc\d+", step)]
    scsi = [step.rsplit(":", 1)[1] for step in steps if re.fullmatch(r"\d+:\d+:\d+:\d+", step)]
    place = (usb or mmc or pci or steps[-1:])[-1]
    return f"{place}-{scsi[-1]}" if scsi else place


def _contents(disk: DiskFacts, udev: UdevFacts, roots: Roots) -> tuple[Partition, ...]:
    whole = (disk.node, 0, 0, disk.size, udev)
    parts = (
        (part.node, part.number, part.start, part.size, read_udev(part.dev, f"{disk.sys_path}/{part.name}", roots))
        for part in disk.partitions
    )
    return tuple(
        Partition(node, number, start, size, known.filesystem, printable(known.label), printable(known.uuid))
        for node, number, start, size, known in (*((whole,) if udev.filesystem else ()), *parts)
    )


def _from_libudev(sys_path: str) -> dict[str, str]:
    try:
        device = pyudev.Devices.from_sys_path(_context(), sys_path)
    except pyudev.DeviceNotFoundError:
        return {}
    found: dict[str, str] = {}
    for key in _WANTED:
        try:
            found[key] = str(device.properties.get(key) or "")
        except UnicodeDecodeError:
            continue  # a name that is no text names nothing
    return found


def _context() -> pyudev.Context:
    """A thread's own: it is not safe for use by two, and to find libudev for a new one runs `ldconfig`."""
    context: pyudev.Context | None = getattr(_contexts, "made", None)
    if context is None:
        context = _contexts.made = pyudev.Context()
    return context


def _from_file(dev: DevNumber, directory: Path) -> dict[str, str]:
    lines = read_text(directory / f"b{dev}").splitlines()
    pairs = (line.removeprefix("E:").partition("=") for line in lines if line.startswith("E:"))
    return {key: value for key, _, value in pairs}


def _mmc_serial(properties: dict[str, str]) -> str:
    # udev's mmc rules put the card's own number in ID_SERIAL; elsewhere that is a concatenation of names.
    serial = properties.get("ID_SERIAL", "")
    return serial if serial.startswith("0x") else ""


def _decode(text: str) -> str:
    r"""Values named *_ENC keep blanks and foreign letters as \xNN bytes."""
    return _HEX_ESCAPE.sub(
        lambda match: bytes.fromhex(match[0].replace("\\x", "")).decode("utf-8", "replace"), text
    ).strip()
