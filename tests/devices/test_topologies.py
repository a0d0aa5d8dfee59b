"""The guard's verdict on recorded machines: who may be written, and why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from luxusbd.devices.guard import GuardPolicy
from luxusbd.errors import (
    DeviceEmptyError,
    DeviceError,
    DeviceHasHoldersError,
    DeviceIsSwapError,
    DeviceMountedError,
    DeviceNotRemovableError,
    DeviceReadOnlyError,
    SystemDeviceError,
)
from tests.devices.recorded import Recorded

LOOPS = GuardPolicy(allow_loop=("/dev/loop7", "/srv/test/*.img"))


@dataclass(frozen=True)
class Case:
    """One machine, the disk that is asked about, and the verdict."""

    name: str
    build: Callable[[Recorded], object]
    disk: str
    refusal: type[DeviceError] | None
    words: tuple[str, ...] = ()
    policy: GuardPolicy = LOOPS


def system(machine: Recorded) -> None:
    """An ordinary machine under the case: root on an internal disk."""
    machine.sata("sda")
    machine.mount("/", "sda1", source="/dev/root")
    machine.mount("/proc", fstype="proc", source="proc", dev="0:20")


def luks_on_lvm_root(machine: Recorded) -> None:
    machine.usb("sdb", removable=False, parts=3)
    machine.virtual("dm-0", on=("sdb3",), title="vg-root", uuid="LVM-abc")
    machine.virtual("dm-1", on=("dm-0",), title="cryptroot", uuid="CRYPT-LUKS2-abc")
    machine.mount("/", "dm-1", source="/dev/mapper/cryptroot")


def live_system(machine: Recorded) -> None:
    machine.usb("sdb")
    machine.mount("/run/live/medium", "sdb1", fstype="iso9660")
    machine.loop("loop0", "/run/live/medium/live/filesystem.squashfs", ro=True)
    machine.mount("/run/live/rootfs/filesystem.squashfs", "loop0", fstype="squashfs")
    layers = (
        "rw,lowerdir=/run/live/rootfs/filesystem.squashfs/,upperdir=/run/live/overlay/rw,workdir=/run/live/overlay/w"
    )
    machine.mount("/", fstype="overlay", source="overlay", options=layers, dev="0:40")


def btrfs_pool(machine: Recorded) -> None:
    machine.usb("sdb")
    machine.usb("sdc", port="1-3", serial="B")
    machine.filesystem_held("btrfs", "0f7a", "sdb1", "sdc1")
    machine.mount("/mnt/pool", fstype="btrfs", source="/dev/sdb1", dev="0:51")


def crypt_with_mount(machine: Recorded) -> None:
    machine.usb("sdb")
    machine.virtual("dm-3", on=("sdb1",), title="luks-77", uuid="CRYPT-LUKS2-77")
    machine.mount("/media/u/secret", "dm-3", source="/dev/mapper/luks-77")


def loop_file_on_stick(machine: Recorded) -> None:
    machine.usb("sdb")
    machine.mount("/media/u/stick", "sdb1")
    machine.loop("loop3", "/media/u/stick/disk.img")


def deep_stack(machine: Recorded) -> None:
    machine.usb("sdb")
    machine.virtual("md0", on=("sdb1",))
    machine.virtual("dm-0", on=("md0",), title="vg-a", uuid="LVM-1")
    machine.virtual("bcache0", on=("dm-0",))


def swap_in_lvm(machine: Recorded) -> None:
    machine.usb("sdb")
    machine.virtual("dm-0", on=("sdb1",), title="vg-swap", uuid="LVM-1")
    machine.swap("/dev/dm-0")


def swap_file(machine: Recorded) -> None:
    machine.usb("sdb")
    machine.mount("/mnt/big", "sdb1")
    machine.swap("/mnt/big/my\\040swap", "file")


def btrfs_root(machine: Recorded) -> None:
    machine.usb("sdb")
    machine.usb("sdc", port="1-4", serial="C")
    machine.filesystem_held("btrfs", "0f7b", "sdb1", "sdc1")
    machine.mount("/home", fstype="btrfs", source="/dev/sdb1", dev="0:52")


def zram_on_stick(machine: Recorded) -> None:
    machine.usb("sdb")
    machine.virtual("zram0")
    machine.attribute("zram0", backing_dev="/dev/sdb1")


CASES = [
    Case("USB stick", lambda m: m.usb("sdb"), "sdb", None),
    Case("USB hard disk, not removable", lambda m: m.usb("sdb", removable=False), "sdb", None),
    Case("SD card", lambda m: m.mmc(), "mmcblk0", None),
    Case("eMMC", lambda m: m.mmc(kind="MMC"), "mmcblk0", DeviceNotRemovableError, ("eMMC",)),
    Case("reader without card", lambda m: m.usb("sdb", size=0, parts=0), "sdb", DeviceEmptyError, ("insert",)),
    Case("stick with lock", lambda m: m.usb("sdb", ro=True), "sdb", DeviceReadOnlyError, ("write-protected",)),
    Case("no vendor, model, serial", lambda m: m.usb("sdb", vendor=None, model=None, serial=None), "sdb", None),
    Case("internal SATA", lambda m: m.sata("sdb"), "sdb", DeviceNotRemovableError, ("ata",)),
    Case("SATA bay flagged removable", lambda m: m.sata("sdb", removable=True), "sdb", DeviceNotRemovableError),
    Case("internal NVMe", lambda m: m.nvme(), "nvme0n1", DeviceNotRemovableError, ("nvme",)),
    Case("root on plain partition", lambda m: None, "sda", SystemDeviceError, ("/ is on it", "/dev/sda1")),
    Case(
        "root on LUKS on LVM on a USB disk",
        luks_on_lvm_root,
        "sdb",
        SystemDeviceError,
        ("/ is on it", "/dev/sdb3", "vg-root", "cryptroot"),
    ),
    Case("live system", live_system, "sdb", SystemDeviceError, ("/ is on it", "/dev/loop0")),
    Case("/home on a btrfs of two", btrfs_root, "sdc", SystemDeviceError, ("/home is on it",)),
    Case(
        "ESP of the system",
        lambda m: m.usb("sdb").mount("/boot/efi", "sdb1", fstype="vfat"),
        "sdb",
        SystemDeviceError,
        ("/boot/efi",),
    ),
    Case(
        "mounted stick",
        lambda m: m.usb("sdb").mount("/media/u/MY\\040STICK", "sdb1", fstype="vfat"),
        "sdb",
        DeviceMountedError,
        ("/media/u/MY STICK", "unmount"),
    ),
    Case(
        "mounted whole disk under /dev/root",
        lambda m: m.usb("sdb", parts=0).mount("/mnt", "sdb", source="/dev/root"),
        "sdb",
        DeviceMountedError,
    ),
    Case(
        "bind mount in another namespace",
        lambda m: m.usb("sdb").mount("/srv/x", "sdb1", source="none", pid=77),
        "sdb",
        DeviceMountedError,
        ("/srv/x", "process 77 (proc77)"),
    ),
    Case(
        "root of a container is not the system",
        lambda m: m.usb("sdb").mount("/", "sdb1", pid=78),
        "sdb",
        DeviceMountedError,
    ),
    Case(
        "filesystem held, mount unseen",
        lambda m: m.usb("sdb").filesystem_held("ext4", "sdb1"),
        "sdb",
        DeviceMountedError,
        ("cannot see",),
    ),
    Case("second member of a mounted btrfs", btrfs_pool, "sdc", DeviceMountedError, ("/mnt/pool",)),
    Case(
        "fuse without block device number",
        lambda m: m.usb("sdb").mount("/mnt/f", fstype="fuse.ext2", source="/dev/sdb1", dev="0:60"),
        "sdb",
        DeviceMountedError,
        ("/mnt/f",),
    ),
    Case(
        "swap partition",
        lambda m: m.usb("sdb").swap("/dev/sdb1"),
        "sdb",
        DeviceIsSwapError,
        ("swapoff /dev/sdb1",),
    ),
    Case("swap on LVM", swap_in_lvm, "sdb", SystemDeviceError, ("swap /dev/dm-0", "vg-swap")),
    Case("swap file", swap_file, "sdb", SystemDeviceError, ("my swap",)),
    Case(
        "md member",
        lambda m: m.usb("sdb").virtual("md0", on=("sdb1",)),
        "sdb",
        DeviceHasHoldersError,
        ("RAID", "mdadm --stop /dev/md0"),
    ),
    Case(
        "open LUKS with a mount on it",
        crypt_with_mount,
        "sdb",
        DeviceHasHoldersError,
        ("luks-77", "umount /media/u/secret; cryptsetup close luks-77"),
    ),
    Case("md, LVM and bcache", deep_stack, "sdb", DeviceHasHoldersError, ("/dev/md0", "vg-a", "/dev/bcache0")),
    Case(
        "loop on the disk",
        lambda m: m.usb("sdb").loop("loop2", "/dev/sdb"),
        "sdb",
        DeviceHasHoldersError,
        ("losetup -d /dev/loop2",),
    ),
    Case("loop on a file on the disk", loop_file_on_stick, "sdb", DeviceMountedError, ("/media/u/stick",)),
    Case("zram written back to the disk", zram_on_stick, "sdb", DeviceHasHoldersError, ("zram0",)),
    Case("loop named by node", lambda m: m.loop("loop7", "/x/y.img"), "loop7", None),
    Case("loop named by file", lambda m: m.loop("loop1", "/srv/test/a.img"), "loop1", None),
    Case("deleted file", lambda m: m.loop("loop1", "/srv/test/a.img (deleted)"), "loop1", None),
    Case("loop nobody named", lambda m: m.loop("loop1", "/x/y.img"), "loop1", DeviceNotRemovableError, ("allow_loop",)),
    Case(
        "loops without configuration",
        lambda m: m.loop("loop7", "/x/y.img"),
        "loop7",
        DeviceNotRemovableError,
        policy=GuardPolicy(),
    ),
    Case(
        "named loop on the system disk itself",
        lambda m: m.loop("loop7", "/dev/sda"),
        "loop7",
        DeviceNotRemovableError,
        ("/dev/sda",),
    ),
    Case("read-only loop", lambda m: m.loop("loop7", "/x.img", ro=True), "loop7", DeviceReadOnlyError),
    Case(
        "stick beside a mounted one",
        lambda m: m.usb("sdb").usb("sdc", port="1-3").mount("/mnt", "sdc1"),
        "sdb",
        None,
    ),
    Case(
        "terminal codes in a mount point",
        lambda m: m.usb("sdb").mount("/media/\x1b[2J", "sdb1"),
        "sdb",
        DeviceMountedError,
        ("/media/\N{REPLACEMENT CHARACTER}[2J",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_verdict(case: Case, tmp_path: Path) -> None:
    machine = Recorded(tmp_path)
    if case.build is not luks_on_lvm_root and case.build is not live_system:
        system(machine)
    case.build(machine)

    error = machine.verdict(case.disk, case.policy)

    assert type(error) is (case.refusal or type(None)), error
    for word in case.words:
        assert word in str(error)
    if error is not None:
        assert f"/dev/{case.disk}" in str(error)


def test_every_refusal_of_the_guard_has_a_case() -> None:
    assert len(CASES) >= 20
    assert {case.refusal for case in CASES} == {
        None,
        DeviceEmptyError,
        DeviceHasHoldersError,
        DeviceIsSwapError,
        DeviceMountedError,
        DeviceNotRemovableError,
        DeviceReadOnlyError,
        SystemDeviceError,
    }
