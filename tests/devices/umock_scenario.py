"""Runs under umockdev-wrapper: libudev, its database and its events, with a USB stick that comes and goes.

Takes the source of events, udev or kernel. Prints one JSON line an event, then one of what the monitor says of itself.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gi

from luxusbd.devices import monitor as module
from luxusbd.devices.guard import GuardPolicy, identify_again
from luxusbd.devices.model import DeviceEvent
from luxusbd.devices.monitor import DeviceMonitor

gi.require_version("UMockdev", "1.0")
from gi.repository import UMockdev  # noqa: E402 - the version comes first

PATIENCE = 20.0
ENC = {"ID_MODEL_ENC": r"Ultra\x20Fit", "ID_VENDOR_ENC": r"SanDisk\x20"}


def plug(bed: Any, name: str, minor: int, port: str) -> tuple[str, str]:
    """A USB stick with one partition: the sysfs paths of both."""
    usb = bed.add_device(
        "usb", port, None, ["idVendor", "0781", "serial", "4C53", "product", "Ultra Fit"], ["DEVTYPE", "usb_device"]
    )
    interface = bed.add_device("usb", f"{port}:1.0", usb, [], ["DEVTYPE", "usb_interface"])
    scsi = bed.add_device("scsi", f"{minor}:0:0:0", interface, ["vendor", "SanDisk", "model", "Ultra Fit"], [])
    properties = ["ID_BUS", "usb", "ID_SERIAL_SHORT", "4C53", *(text for pair in ENC.items() for text in pair)]
    disk = bed.add_device(
        "block",
        name,
        scsi,
        ["size", "65536", "ro", "0", "removable", "1", "diskseq", str(minor), "dev", f"8:{minor}"],
        ["DEVNAME", f"/dev/{name}", "DEVTYPE", "disk", "MAJOR", "8", "MINOR", str(minor), *properties],
    )
    bed.set_attribute_link(disk, "device", "..")
    part = bed.add_device(
        "block",
        f"{name}1",
        disk,
        ["size", "4096", "start", "2048", "partition", "1", "ro", "0", "dev", f"8:{minor + 1}"],
        [
            *("DEVNAME", f"/dev/{name}1", "DEVTYPE", "partition", "MAJOR", "8", "MINOR", str(minor + 1)),
            *("ID_FS_TYPE", "vfat", "ID_FS_LABEL_ENC", r"MY\x20STICK", "ID_FS_UUID", "12AB-34CD"),
        ],
    )
    return disk, part


async def main(source: str) -> None:
    bed = UMockdev.Testbed.new()
    # The wrapper shows the machine's own /run/udev/control, or none.
    control = Path(bed.get_root_dir(), "control")
    module._UDEV_CONTROL = control
    if source == "udev":
        control.touch()
    disk, part = plug(bed, "sdb", 16, "1-2")
    events: asyncio.Queue[DeviceEvent] = asyncio.Queue()
    monitor = DeviceMonitor(GuardPolicy(), events.put_nowait)
    await monitor.start()

    async def tell() -> DeviceEvent:
        async with asyncio.timeout(PATIENCE):
            event = await events.get()
        print(json.dumps(asdict(event)))
        return event

    first = await tell()
    again = await asyncio.to_thread(identify_again, first.device)
    # The same kind of stick with the same serial in another port.
    second, second_part = plug(bed, "sdc", 32, "1-3")
    bed.uevent(second, "add")
    bed.uevent(second_part, "add")
    await tell()
    # udev has looked again and found another filesystem.
    bed.set_property(part, "ID_FS_TYPE", "exfat")
    bed.uevent(disk, "change")
    await tell()
    for path in (second_part, second):
        bed.uevent(path, "remove")
        bed.remove_device(path)
    await tell()
    print(json.dumps({"source": monitor.source, "again": again == first.device, "left": len(monitor.devices())}))
    await monitor.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
