"""A disk as tests of jobs need one."""

from __future__ import annotations

from luxusbd.devices.model import Device, DeviceIdentity


def plain_stick(identity: DeviceIdentity) -> Device:
    """A stick that may be written."""
    return Device(
        identity=identity,
        node="/dev/sdz",
        sys_path="",
        vendor="Acme",
        model="Stick",
        serial="1",
        bus="usb",
        read_only=False,
        removable=True,
        partitions=(),
        block_error="",
        blocked_reason="",
    )
