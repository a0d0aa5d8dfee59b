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


def dracut_live(machine: Recorded) -> None:
    """Fedora: a root image in a squashfs on the stick, under a snapshot."""
    machine.usb("sdb")
    machine.mount("/run/initramfs/live", "sdb1", fstype="iso9660")
    machine.loop("loop0", "/run/initramfs/live/LiveOS/squashfs.img", ro=True)
    machine.mount("/run/initramfs/squashfs", "loop0", fstype="squashfs")
    machine.loop("loop1", "/run/initramfs/squashfs/LiveOS/rootfs.img", ro=True)
    machine.virtual("dm-0", on=("loop1",), title="live-rw")
    machine.mount("/", "dm-0", source="/dev/mapper/live-rw")


def casper(machine: Recorded) -> None:
    """Ubuntu: the paths of the overlay's layers were those of the initramfs."""
    machine.usb("sdb")
    machine.mount("/cdrom", "sdb1", fstype="iso9660")
    machine.loop("loop0", "/cdrom/casper/filesystem.squashfs", ro=True)
    machine.mount("/", fstype="overlay", source="/cow", options="rw,lowerdir=/filesystem.squashfs", dev="0:41")


def casper_elsewhere(machine: Recorded) -> None:
    """The same where somebody has moved the mount of the medium to where anything may be."""
    machine.usb("sdb")
    machine.mount("/mnt/medium", "sdb1", fstype="iso9660")
    machine.loop("loop0", "/mnt/medium/casper/filesystem.squashfs", ro=True)
    machine.mount("/", fstype="overlay", source="/cow", options="rw,lowerdir=/filesystem.squashfs", dev="0:41")


def image_on_a_stick(machine: Recorded) -> None:
    """Started by GRUB from an image file on the stick: the file is a loop, and so is the squashfs in it."""
    machine.usb("sdb", parts=3)
    machine.mount("/isodevice", "sdb3")
    machine.loop("loop0", "/isodevice/iso/ubuntu.iso", ro=True)
    machine.mount("/cdrom", "loop0", fstype="iso9660")
    machine.loop("loop1", "/cdrom/casper/filesystem.squashfs", ro=True)
    machine.mount("/", fstype="overlay", source="/cow", options="rw,lowerdir=/filesystem.squashfs", dev="0:41")


def persistence(machine: Recorded) -> None:
    """live-boot with its changes on a second stick."""
    live_system(machine)
    machine.usb("sdc", port="1-3", serial="P")
    machine.mount("/run/live/persistence/sdc1", "sdc1")


def raid_root(machine: Recorded) -> None:
    machine.sata("sda")
    machine.usb("sdb")
    machine.virtual("md127", on=("sda1", "sdb1"))
    machine.mount("/", "md127")


def cached_root(machine: Recorded) -> None:
    """The backing disk is internal, its cache on a USB disk."""
    machine.sata("sda")
    machine.usb("sdb")
    machine.virtual("bcache0", on=("sda1", "sdb1"))
    machine.mount("/", "bcache0")


def multipath_root(machine: Recorded) -> None:
    machine.usb("sdb", parts=0).usb("sdc", parts=0, port="1-3", serial="M")
    machine.virtual("dm-0", on=("sdb", "sdc"), title="mpatha", uuid="mpath-3600")
    machine.virtual("dm-1", on=("dm-0",), title="mpatha-part1", uuid="part1-mpath-3600")
    machine.mount("/", "dm-1")


def thin_root(machine: Recorded) -> None:
    """A thin volume: data and metadata, the pool on both, the volume on the pool."""
    machine.usb("sdb")
    machine.virtual("dm-0", on=("sdb1",), title="vg-pool_tmeta", uuid="LVM-1")
    machine.virtual("dm-1", on=("sdb1",), title="vg-pool_tdata", uuid="LVM-2")
    machine.virtual("dm-2", on=("dm-0", "dm-1"), title="vg-pool-tpool", uuid="LVM-3")
    machine.virtual("dm-3", on=("dm-2",), title="vg-root", uuid="LVM-4")
    machine.mount("/", "dm-3")


def nameless_btrfs_root(machine: Recorded) -> None:
    """Mounted by the kernel without an initramfs, which calls it /dev/root; the stick is the pool's second member."""
    machine.sata("sda")
    machine.usb("sdb")
    machine.filesystem_held("btrfs", "0f7c", "sda1", "sdb1")
    machine.mount("/", fstype="btrfs", source="/dev/root", dev="0:21")


def nameless_btrfs_root_beside(machine: Recorded) -> None:
    machine.sata("sda")
    machine.usb("sdb")
    machine.filesystem_held("btrfs", "0f7c", "sda1")
    machine.filesystem_held("btrfs", "0f7d", "sdb1")
    machine.mount("/", fstype="btrfs", source="/dev/root", dev="0:21")
    machine.mount("/media/u/pool", fstype="btrfs", source="/dev/sdb1", dev="0:53")


def btrfs_second_member(machine: Recorded) -> None:
    """Its number is in no mountinfo; the pool's first member is on another disk."""
    machine.sata("sda", parts=3)
    machine.mount("/", "sda1")
    machine.usb("sdb")
    machine.filesystem_held("btrfs", "0f7e", "sda3", "sdb1")
    machine.mount("/srv/pool", fstype="btrfs", source="/dev/sda3", dev="0:54")


def bcachefs_member(machine: Recorded) -> None:
    machine.usb("sdb").usb("sdc", port="1-3", serial="B")
    machine.pool_of_bcachefs("aa-bb", "sdb1", "sdc1")
    machine.mount("/srv/pool", fstype="bcachefs", source="/dev/sdb1:/dev/sdc1", dev="0:55")


def zfs_member(machine: Recorded) -> None:
    machine.usb("sdb").udev("sdb1", ID_FS_TYPE="zfs_member", ID_FS_LABEL="tank")
    machine.pool_of_zfs("tank").mount("/tank", fstype="zfs", source="tank", dev="0:56")


def zfs_exported(machine: Recorded) -> None:
    machine.usb("sdb").udev("sdb1", ID_FS_TYPE="zfs_member", ID_FS_LABEL="old")
    machine.pool_of_zfs("tank")


def fuse_on_stick(machine: Recorded) -> None:
    """A filesystem in user space, which has an anonymous number."""
    machine.usb("sdb").mount("/media/u/data", fstype="fuse.ext4", source="/dev/sdb1", dev="0:57")


def xfs_log(machine: Recorded) -> None:
    machine.sata("sda")
    machine.usb("sdb")
    machine.mount("/", "sda1", fstype="xfs", options="rw,attr2,logdev=/dev/sdb1,noquota")


def swap_by_another_name(machine: Recorded) -> None:
    machine.usb("sdb").udev("sdb1", ID_FS_TYPE="swap")
    machine.swap("/dev/disk/by-label/away")


def deep_loop(machine: Recorded) -> None:
    """A LUKS container in a file on the stick, open and mounted."""
    machine.usb("sdb").mount("/media/u/stick", "sdb1", pid=77)
    machine.loop("loop4", "/dev/sdb1")
    machine.virtual("dm-5", on=("loop4",), title="vault", uuid="CRYPT-LUKS2-9")
    machine.mount("/media/u/vault", "dm-5")


OWN_ROOT = (
    luks_on_lvm_root,
    live_system,
    dracut_live,
    casper,
    casper_elsewhere,
    image_on_a_stick,
    persistence,
    raid_root,
    cached_root,
    multipath_root,
    thin_root,
    nameless_btrfs_root,
    nameless_btrfs_root_beside,
    btrfs_second_member,
    xfs_log,
)


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
    Case("live system of dracut", dracut_live, "sdb", SystemDeviceError, ("is on it", "/dev/sdb1")),
    Case("live system of casper", casper, "sdb", SystemDeviceError, ("/ is on it", "/dev/loop0")),
    Case("live system, medium moved", casper_elsewhere, "sdb", SystemDeviceError, ("/ is on it", "/dev/loop0")),
    Case(
        "live system from an image file",
        image_on_a_stick,
        "sdb",
        SystemDeviceError,
        ("/ is on it", "/dev/sdb3", "/dev/loop0"),
    ),
    Case("persistence of a live system", persistence, "sdc", SystemDeviceError, ("/run/live/persistence",)),
    Case("live system in memory", lambda m: m.mount("/", fstype="tmpfs", dev="0:3").usb("sdb"), "sdb", None),
    Case("root on a RAID of two", raid_root, "sdb", SystemDeviceError, ("/ is on it", "/dev/md127")),
    Case("root with its cache on USB", cached_root, "sdb", SystemDeviceError, ("/ is on it", "/dev/bcache0")),
    Case("root on multipath", multipath_root, "sdc", SystemDeviceError, ("/ is on it", "mpatha-part1")),
    Case("root on a thin volume", thin_root, "sdb", SystemDeviceError, ("/ is on it", "vg-pool")),
    Case("btrfs root without a name", nameless_btrfs_root, "sdb", SystemDeviceError, ("/ is on it",)),
    Case(
        "another btrfs beside it",
        nameless_btrfs_root_beside,
        "sdb",
        DeviceMountedError,
        ("/media/u/pool", "umount"),
    ),
    Case("second member of a btrfs", btrfs_second_member, "sdb", DeviceMountedError, ("/srv/pool",)),
    Case("member of a bcachefs", bcachefs_member, "sdc", DeviceMountedError, ("/srv/pool",)),
    Case("member of an imported ZFS pool", zfs_member, "sdb", DeviceHasHoldersError, ("zpool export tank",)),
    Case("member of a ZFS pool that is not there", zfs_exported, "sdb", None),
    Case("filesystem in user space", fuse_on_stick, "sdb", DeviceMountedError, ("/media/u/data",)),
    Case("log of the root filesystem", xfs_log, "sdb", SystemDeviceError, ("/ is on it",)),
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
    Case("LUKS in a loop", deep_loop, "sdb", DeviceMountedError, ("/media/u/stick", "process 77")),
    Case("swap by an unknown name", swap_by_another_name, "sdb", DeviceIsSwapError, ("by-label/away",)),
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
    if case.build not in OWN_ROOT:
        system(machine)
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
