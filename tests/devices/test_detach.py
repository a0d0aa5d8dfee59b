"""Which attribute of sysfs lets a disk go."""

from __future__ import annotations

import os
from pathlib import Path

from luxusbd.devices.detach import forget, switch_off

NUMBER = os.makedev(8, 16)


class Tree:
    """A machine with one USB device."""

    def __init__(self, place: Path) -> None:
        self.sysfs = place
        self.usb = place / "devices/pci0/usb1/1-2"
        self.usb.mkdir(parents=True)
        (place / "dev/block").mkdir(parents=True)
        for name in ("idVendor", "remove"):
            (self.usb / name).write_text("")

    def disk(self, name: str, number: int, lun: int = 0) -> Path:
        device = self.usb / f"1-2:1.0/host6/target6:0:0/6:0:0:{lun}"
        made = device / "block" / name
        made.mkdir(parents=True)
        (device / "delete").write_text("")
        (made / "device").symlink_to(device)
        (self.sysfs / "dev/block" / f"{os.major(number)}:{os.minor(number)}").symlink_to(made)
        return device


def test_a_stick_is_switched_off_as_the_usb_device_that_it_is(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    device = tree.disk("sdb", NUMBER)
    assert switch_off(NUMBER, tmp_path)
    assert (tree.usb / "remove").read_text() == "1\n"
    assert not (device / "delete").read_text()


def test_another_disk_of_the_same_reader_stays(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    device, other = tree.disk("sdb", NUMBER), tree.disk("sdc", os.makedev(8, 32), lun=1)
    assert not switch_off(NUMBER, tmp_path)
    assert forget(NUMBER, tmp_path)
    assert not (tree.usb / "remove").read_text()
    assert (device / "delete").read_text() == "1\n"
    assert not (other / "delete").read_text()


def test_what_has_neither_stays(tmp_path: Path) -> None:
    (tmp_path / "dev/block").mkdir(parents=True)
    (tmp_path / "devices/mmc0/block/mmcblk0").mkdir(parents=True)
    (tmp_path / "dev/block/8:16").symlink_to(tmp_path / "devices/mmc0/block/mmcblk0")
    assert not switch_off(NUMBER, tmp_path)
    assert not forget(NUMBER, tmp_path)
