"""The page of a disk that is no stick, and what every page of one disk has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from luxusb_cli.model import DeviceInfo

from tests.daemon.caller import Caller
from tests.daemon.sticks import contents
from tests.desktop import hand
from tests.desktop.screen import until
from tests.desktop.test_flow import ended, make


async def shown(app: Any, caller: Caller, file: Path) -> None:
    """Open the page of an image file."""
    app.window.go("sticks")
    await caller.target(file)
    await hand.press(app.window, "What is on this stick")


def boot_sector(file: Path) -> bytes:
    """That of the first partition of a plain drive."""
    data = file.read_bytes()
    start = int.from_bytes(data[446 + 8 : 446 + 12], "little") * 512
    return data[start : start + 512]


@pytest.mark.parametrize(("filesystem", "at", "sign"), [("exfat", 3, b"EXFAT   "), ("fat32", 82, b"FAT32   ")])
async def test_a_disk_becomes_a_plain_drive(
    app: Any, caller: Caller, stick: Path, filesystem: str, at: int, sign: bytes
) -> None:
    from gi.repository import Gtk

    window = app.window
    await shown(app, caller, stick)
    await until(lambda: window.page == "disk", "the page")
    await hand.sees(window, "Empty")
    assert hand.find_button(window, "Eject") is None, "an image file is not plugged in"
    await hand.press(window, "Find out")
    await ended(app, "probe")
    await hand.sees(window, "It holds what it says")
    await hand.press(window, "Back")
    await hand.press(window, "Sticks")
    await hand.press(window, "What is on this stick")
    before = stick.read_bytes()
    await hand.press(window, "Make it one…")
    assert "will be lost" in await hand.answer("cancel")
    assert stick.read_bytes() == before
    await hand.press(window, "Make it one…")
    chooser = next(part for part in hand.parts(await until(hand.dialog, "it")) if isinstance(part, Gtk.DropDown))
    chooser.set_selected(("exfat", "fat32").index(filesystem))
    await hand.answer("erase")
    await ended(app, "restore")
    assert boot_sector(stick)[at : at + 8] == sign
    window.go("sticks")
    await hand.press(window, "What is on this stick")
    await hand.sees(window, "Partition 1")
    await hand.sees(window, "Holds other files")


async def test_a_stick_becomes_a_plain_drive(app: Any, caller: Caller, stick: Path) -> None:
    window = app.window
    await make(app, caller, stick, "Alpha")
    assert contents(stick).manifest.images
    await hand.press(window, "Back")
    await hand.press(window, "Sticks")
    await hand.press(window, "What is on this stick")
    await until(lambda: window.page == "stick", "the page")
    await hand.press(window, "Make it one…")
    await hand.answer("erase")
    await ended(app, "restore")
    assert boot_sector(stick)[3:11] == b"EXFAT   "


@pytest.mark.root
async def test_a_disk_is_ejected(app: Any, stick: Path, attach: Callable[[Path], str]) -> None:
    window = app.window
    window.go("sticks")
    node = attach(stick)
    await hand.sees(window, node)
    await hand.press(window, "What is on this stick")
    await hand.press(window, "Eject")
    assert stick.name in await hand.sees(window, "can be unplugged")
    await until(lambda: window.page == "sticks", "the page")


async def test_a_disk_that_goes_and_one_that_is_worked_on(app: Any) -> None:
    window, model = app.window, app.model
    told = {
        "Id": "a",
        "DeviceNode": "/dev/sda",
        "Vendor": "Acme",
        "Model": "Stick",
        "Size": 8 << 30,
        "State": "foreign",
    }
    part = {"number": 1, "filesystem": "ext4", "label": "DATA", "size": 4 << 30, "used": 1 << 30, "system": "Windows"}
    device = DeviceInfo.from_wire("/org/luxusb/devices/a", {**told, "Contents": [part]})
    model.devices = {device.path: device}
    window.manage(device)
    await until(lambda: window.page == "disk", "the page")
    await hand.sees(window, "ext4 DATA · Windows · 4 GiB · 1 GiB used")
    for label in ("Find out", "Make it one…", "Eject"):
        assert hand.button(window, label).get_sensitive()
    model.devices = {device.path: DeviceInfo.from_wire(device.path, {**told, "CurrentJob": "/org/luxusb/jobs/_1"})}
    model.emit("devices")
    for label in ("Find out", "Make it one…", "Eject"):
        assert not hand.button(window, label).get_sensitive()
    model.devices = {}
    model.emit("devices")
    await hand.sees(window, "The stick is gone")
