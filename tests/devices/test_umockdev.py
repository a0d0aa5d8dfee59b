"""libudev's database and events, emulated by umockdev: packages umockdev and gir1.2-umockdev-1.0."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from luxusbd.process import find_program


@pytest.mark.parametrize("source", ["udev", "kernel"])
def test_sticks_come_and_go(source: str) -> None:
    done = subprocess.run(
        [find_program("umockdev-wrapper"), sys.executable, "-m", "tests.devices.umock_scenario", source],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *events, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert last == {"source": source, "again": True, "left": 1}

    one = "usb-SanDisk-Ultra_Fit-4C53"
    two = "usb-SanDisk-Ultra_Fit-4C53-1-3_1_0-0"
    told = [(event["kind"], event["device"]["identity"]["id"]) for event in events]
    assert told == [("added", one), ("added", two), ("changed", one), ("removed", two)]

    device = events[0]["device"]
    assert (device["vendor"], device["model"], device["serial"]) == ("SanDisk", "Ultra Fit", "4C53")
    assert (device["bus"], device["removable"], device["block_error"]) == ("usb", True, "")
    assert device["identity"] == {"id": one, "disk_seq": 16, "size": 32 * 1024**2}
    assert device["partitions"] == [
        {
            "node": "/dev/sdb1",
            "number": 1,
            "start": 1024**2,
            "size": 2 * 1024**2,
            "filesystem": "vfat",
            "label": "MY STICK",
            "uuid": "12AB-34CD",
        }
    ]
    assert events[2]["device"]["partitions"][0]["filesystem"] == "exfat"
