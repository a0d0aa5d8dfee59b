"""Which disks the daemon looks into."""

from __future__ import annotations

import pytest

from luxusbd.devices.model import Device, DeviceIdentity
from luxusbd.errors import DeviceMountedError, DeviceNotRemovableError, SystemDeviceError
from luxusbd.jobs.registry import _out_of_reach


def device(bus: str, error: str) -> Device:
    return Device(
        identity=DeviceIdentity("x", 1, 1 << 30),
        node="/dev/sdx",
        sys_path="",
        vendor="",
        model="",
        serial="",
        bus=bus,
        read_only=False,
        removable=True,
        partitions=(),
        block_error=error,
        blocked_reason="",
    )


@pytest.mark.parametrize(
    ("bus", "error", "left_alone"),
    [
        ("nvme", DeviceNotRemovableError.dbus_name, True),
        ("mmc", DeviceNotRemovableError.dbus_name, True),
        ("nvme", SystemDeviceError.dbus_name, True),
        ("ata", SystemDeviceError.dbus_name, True),
        ("usb", SystemDeviceError.dbus_name, False),
        ("usb", DeviceMountedError.dbus_name, False),
        ("usb", "", False),
        ("file", "", False),
    ],
)
def test_a_disk_that_can_be_no_stick_is_not_looked_into(bus: str, error: str, left_alone: bool) -> None:
    assert _out_of_reach(device(bus, error)) is left_alone
