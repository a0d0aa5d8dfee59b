"""Machines that take more than a line to describe: live systems, stacks of volumes, pools, swap."""

from __future__ import annotations

from tests.devices.recorded import Recorded


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
"""Those that say where their root lies; the others stand on `system`."""
