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
from tests.devices import machines
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


CASES = [
    Case("USB stick", lambda m: m.usb("sdb"), "sdb", None),
    Case("USB hard disk, not removable", lambda m: m.usb("sdb", removable=False), "sdb", None),
    Case("SD card", lambda m: m.mmc(), "mmcblk0", None),
    Case("eMMC", lambda m: m.mmc(kind="MMC"), "mmcblk0", DeviceNotRemovableError, ("eMMC",)),
    Case(
        "reader without card",
        lambda m: m.usb("sdb", size=0, parts=0),
        "sdb",
        DeviceEmptyError,
        ("no card in the reader", "insert"),
    ),
    Case("stick with lock", lambda m: m.usb("sdb", ro=True), "sdb", DeviceReadOnlyError, ("write-protected",)),
    Case("no vendor, model, serial", lambda m: m.usb("sdb", vendor=None, model=None, serial=None), "sdb", None),
    Case("internal SATA", lambda m: m.sata("sdb"), "sdb", DeviceNotRemovableError, ("ata",)),
    Case("SATA bay flagged removable", lambda m: m.sata("sdb", removable=True), "sdb", DeviceNotRemovableError),
    Case("internal NVMe", lambda m: m.nvme(), "nvme0n1", DeviceNotRemovableError, ("nvme",)),
    Case("root on plain partition", lambda m: None, "sda", SystemDeviceError, ("/ is on it", "/dev/sda1")),
    Case(
        "root on LUKS on LVM on a USB disk",
        machines.luks_on_lvm_root,
        "sdb",
        SystemDeviceError,
        ("/ is on it", "/dev/sdb3", "vg-root", "cryptroot"),
    ),
    Case("live system", machines.live_system, "sdb", SystemDeviceError, ("/ is on it", "/dev/loop0")),
    Case("/home on a btrfs of two", machines.btrfs_root, "sdc", SystemDeviceError, ("/home is on it",)),
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
        "another namespace, of a process that may not be traced",
        lambda m: m.usb("sdb").mount("/srv/x", "sdb1", fstype="vfat", pid=77).not_to_be_traced(),
        "sdb",
        DeviceMountedError,
        ("/srv/x", "process 77 (proc77)"),
    ),
    Case(
        "what a process that has ended had mounted",
        lambda m: m.usb("sdb").mount("/srv/x", "sdb1", pid=77).without_memory(77).not_to_be_traced(),
        "sdb",
        None,
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
    Case("second member of a mounted btrfs", machines.btrfs_pool, "sdc", DeviceMountedError, ("/mnt/pool",)),
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
    Case("swap on LVM", machines.swap_in_lvm, "sdb", SystemDeviceError, ("swap /dev/dm-0", "vg-swap")),
    Case("swap file", machines.swap_file, "sdb", SystemDeviceError, ("my swap",)),
    Case(
        "md member",
        lambda m: m.usb("sdb").virtual("md0", on=("sdb1",)),
        "sdb",
        DeviceHasHoldersError,
        ("RAID", "mdadm --stop /dev/md0"),
    ),
    Case(
        "open LUKS with a mount on it",
        machines.crypt_with_mount,
        "sdb",
        DeviceHasHoldersError,
        ("luks-77", "umount /media/u/secret; cryptsetup close luks-77"),
    ),
    Case("md, LVM and bcache", machines.deep_stack, "sdb", DeviceHasHoldersError, ("/dev/md0", "vg-a", "/dev/bcache0")),
    Case(
        "loop on the disk",
        lambda m: m.usb("sdb").loop("loop2", "/dev/sdb"),
        "sdb",
        DeviceHasHoldersError,
        ("losetup -d /dev/loop2",),
    ),
    Case("loop on a file on the disk", machines.loop_file_on_stick, "sdb", DeviceMountedError, ("/media/u/stick",)),
    Case("zram written back to the disk", machines.zram_on_stick, "sdb", DeviceHasHoldersError, ("zram0",)),
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
    Case("live system of dracut", machines.dracut_live, "sdb", SystemDeviceError, ("is on it", "/dev/sdb1")),
    Case("live system of casper", machines.casper, "sdb", SystemDeviceError, ("/ is on it", "/dev/loop0")),
    Case(
        "live system, medium moved", machines.casper_elsewhere, "sdb", SystemDeviceError, ("/ is on it", "/dev/loop0")
    ),
    Case(
        "live system from an image file",
        machines.image_on_a_stick,
        "sdb",
        SystemDeviceError,
        ("/ is on it", "/dev/sdb3", "/dev/loop0"),
    ),
    Case("persistence of a live system", machines.persistence, "sdc", SystemDeviceError, ("/run/live/persistence",)),
    Case("live system in memory", lambda m: m.mount("/", fstype="tmpfs", dev="0:3").usb("sdb"), "sdb", None),
    Case("root on a RAID of two", machines.raid_root, "sdb", SystemDeviceError, ("/ is on it", "/dev/md127")),
    Case("root with its cache on USB", machines.cached_root, "sdb", SystemDeviceError, ("/ is on it", "/dev/bcache0")),
    Case("root on multipath", machines.multipath_root, "sdc", SystemDeviceError, ("/ is on it", "mpatha-part1")),
    Case("root on a thin volume", machines.thin_root, "sdb", SystemDeviceError, ("/ is on it", "vg-pool")),
    Case("btrfs root without a name", machines.nameless_btrfs_root, "sdb", SystemDeviceError, ("/ is on it",)),
    Case(
        "another btrfs beside it",
        machines.nameless_btrfs_root_beside,
        "sdb",
        DeviceMountedError,
        ("/media/u/pool", "umount"),
    ),
    Case("second member of a btrfs", machines.btrfs_second_member, "sdb", DeviceMountedError, ("/srv/pool",)),
    Case("member of a bcachefs", machines.bcachefs_member, "sdc", DeviceMountedError, ("/srv/pool",)),
    Case("member of an imported ZFS pool", machines.zfs_member, "sdb", DeviceHasHoldersError, ("zpool export tank",)),
    Case("member of a ZFS pool that is not there", machines.zfs_exported, "sdb", None),
    Case("filesystem in user space", machines.fuse_on_stick, "sdb", DeviceMountedError, ("/media/u/data",)),
    Case("log of the root filesystem", machines.xfs_log, "sdb", SystemDeviceError, ("/ is on it",)),
    Case("journal of another ext4", lambda m: m.usb("sdb").journal("sdb1"), "sdb", DeviceMountedError, ("kernel",)),
    Case("journal of its own", lambda m: m.usb("sdb").journal("sdb1-8").journal("sda1-8"), "sdb", None),
    Case(
        "registered with bcache, no set",
        lambda m: m.usb("sdb").registered_with_bcache("sdb1"),
        "sdb",
        DeviceHasHoldersError,
        ("/sys/class/block/sdb1/bcache/stop",),
    ),
    Case(
        "cache of bcache that caches nothing",
        lambda m: m.usb("sdb").registered_with_bcache("sdb1", in_set=True),
        "sdb",
        DeviceHasHoldersError,
        ("/sys/class/block/sdb1/bcache/set/stop",),
    ),
    Case(
        "cache device of bcache",
        lambda m: m.usb("sdb").virtual("bcache0", on=("sdb1",)),
        "sdb",
        DeviceHasHoldersError,
        ("the cache device /dev/bcache0", "echo 1 > /sys/block/bcache0/bcache/stop"),
    ),
    Case(
        "multipath without a mount",
        lambda m: m.usb("sdb").virtual("dm-0", on=("sdb",), title="mpathb", uuid="mpath-1"),
        "sdb",
        DeviceHasHoldersError,
        ("multipath -f mpathb",),
    ),
    Case(
        "holder of an unknown kind",
        lambda m: m.usb("sdb").virtual("drbd0", on=("sdb1",)),
        "sdb",
        DeviceHasHoldersError,
        ("/dev/drbd0",),
    ),
    Case(
        "holder that is no block device",
        lambda m: m.usb("sdb").holder_without_a_name("sdb1", "newthing0"),
        "sdb",
        DeviceHasHoldersError,
        ("newthing0",),
    ),
    Case("LUKS in a loop", machines.deep_loop, "sdb", DeviceMountedError, ("/media/u/stick", "process 77")),
    Case("swap by an unknown name", machines.swap_by_another_name, "sdb", DeviceIsSwapError, ("by-label/away",)),
    Case(
        "swap whose node is gone",
        lambda m: m.usb("sdb").swap("/dev/sdb1\\040(deleted)"),
        "sdb",
        DeviceIsSwapError,
    ),
    Case(
        "resumed from by number",
        lambda m: m.usb("sdb").resume(sysfs=m.number("sdb1")),
        "sdb",
        SystemDeviceError,
        ("hibernates", "/dev/sdb1"),
    ),
    Case(
        "resumed from by UUID",
        lambda m: m.usb("sdb").link("disk/by-uuid/77-ab", "sdb1").resume(words="resume=UUID=77-ab splash"),
        "sdb",
        SystemDeviceError,
        ("hibernates",),
    ),
    Case("resumed from by node", lambda m: m.usb("sdb").resume(words="resume=/dev/sdb1"), "sdb", SystemDeviceError),
    Case("resumed from elsewhere", lambda m: m.usb("sdb").resume(words="resume=/dev/sda2"), "sdb", None),
    Case(
        "hibernated system",
        lambda m: m.usb("sdb").udev("sdb1", ID_FS_TYPE="swsuspend"),
        "sdb",
        DeviceIsSwapError,
        ("hibernated", "wipefs -a /dev/sdb1"),
    ),
    Case("swap space that is not active", lambda m: m.usb("sdb").udev("sdb1", ID_FS_TYPE="swap"), "sdb", None),
    Case("optical drive", lambda m: m.usb("sr0", parts=0), "sr0", DeviceNotRemovableError, ("optical",)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_verdict(case: Case, tmp_path: Path) -> None:
    machine = Recorded(tmp_path)
    if case.build not in machines.OWN_ROOT:
        machines.system(machine)
    case.build(machine)

    error = machine.verdict(case.disk, case.policy)

    assert type(error) is (case.refusal or type(None)), error
    for word in case.words:
        assert word in str(error)
    if error is not None:
        assert f"/dev/{case.disk}" in str(error)


def test_every_refusal_of_the_guard_has_a_case() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 70
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
