"""The marks by which udev hides a disk that a job has."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from luxusbd.devices import owned
from luxusbd.devices.model import Device, DeviceIdentity
from luxusbd.devices.owned import OwnedMarks
from luxusbd.devices.sysfs import Roots

RECORDS = {"sdx": "8:16", "sdx/sdx1": "8:17", "sdx/sdx2": "8:18"}


@pytest.fixture
def disk(tmp_path: Path) -> Device:
    """A disk with two partitions that udev knows."""
    (tmp_path / "udev").mkdir()
    (tmp_path / "marks").mkdir()
    (tmp_path / "node").touch()
    for name, number in RECORDS.items():
        directory = tmp_path / name
        directory.mkdir()
        (directory / "dev").write_text(f"{number}\n")
        note(tmp_path, number, "E:ID_FS_USAGE=filesystem\n")
    return Device(
        identity=DeviceIdentity("usb-1", 42, 1000),
        node=str(tmp_path / "node"),
        sys_path=str(tmp_path / "sdx"),
        vendor="",
        model="",
        serial="",
        bus="usb",
        read_only=False,
        removable=True,
        partitions=(),
        block_error="",
        blocked_reason="",
    )


def note(tmp_path: Path, number: str, text: str) -> None:
    (tmp_path / "udev" / f"b{number}").write_text(text)


def marks(tmp_path: Path) -> OwnedMarks:
    return OwnedMarks(tmp_path / "marks", Roots(udev_data=tmp_path / "udev"))


async def test_hiding_waits_for_udev_to_have_seen_the_disk_and_each_partition(tmp_path: Path, disk: Device) -> None:
    made = marks(tmp_path)
    made.take(disk.identity)
    assert (tmp_path / "marks" / "42").exists()
    hiding = asyncio.create_task(made.hide(disk))
    for number in RECORDS.values():
        await asyncio.sleep(0.1)
        assert not hiding.done()
        note(tmp_path, number, "E:UDISKS_IGNORE=1\nE:LUXUSB_OWNED=1\n")
    await hiding
    made.give_back("usb-1", disk.node)
    assert list((tmp_path / "marks").iterdir()) == []


async def test_a_udev_that_does_not_look_holds_no_job_up(
    tmp_path: Path, disk: Device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(owned, "HIDE_PATIENCE", 0.1)
    made = marks(tmp_path)
    made.take(disk.identity)
    with caplog.at_level(logging.WARNING):
        await made.hide(disk)
    assert "udev did not look at the disk in time" in caplog.text


async def test_nothing_is_hidden_without_a_mark_or_without_udev(
    tmp_path: Path, disk: Device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(owned, "HIDE_PATIENCE", 0.1)
    made = marks(tmp_path)
    await made.hide(disk)  # not taken
    other = replace(disk, sys_path=str(tmp_path / "elsewhere"))
    made.take(other.identity)
    await made.hide(other)  # udev knows nothing of it
    unmarked = OwnedMarks(None)
    unmarked.take(disk.identity)
    await unmarked.hide(disk)
    assert caplog.text == ""
