"""What the guard says of disks that are really in use: volumes, arrays, swap, caches and mounts on plugged sticks.

Each is built in the machine, refused by what the service shows and by `luxusb create`, found unchanged byte for byte,
and taken apart again, after which its sticks may be written.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.vm.conftest import MIB, empty_stick
from tests.vm.machine import Guest

pytestmark = [pytest.mark.vm, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

SERIALS = ("LUXTOP0", "LUXTOP1")
SIZE = 256 * MIB
"""Of each stick, in bytes; a btrfs of two does not fit on less."""
ERROR = "org.luxusb.Error."
PATIENT = 120.0
"""Seconds: a look at all disks takes long on a machine that is emulated and shared."""

PRELUDE = """
set -e
part() { echo 'type=L' | sfdisk -q --wipe always --wipe-partitions always $1; udevadm settle; }
luks() { echo secret | cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 $1 -
         echo secret | cryptsetup open --key-file - $1 $2; udevadm settle; }
ext4() { mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 $1; }
sectors() { blockdev --getsz $1; }
await() { for _ in $(seq 50); do if eval "$1"; then return; fi; sleep 0.2; done; return 1; }
background() { setsid "$@" >/dev/null 2>&1 </dev/null & }
mkdir -p /mnt/one /mnt/two
"""
CLEAN = """
for disk in $A $B; do
  for part in ${disk}1 ${disk}2; do [ ! -b $part ] || wipefs -qaf $part; done
  wipefs -qaf $disk
  dd if=/dev/zero of=$disk bs=1M count=2 status=none conv=fsync
  # whoever looks at a partition at this moment keeps the kernel from forgetting it
  await "blockdev --rereadpt $disk 2>/dev/null"
done
udevadm settle
"""


@dataclass(frozen=True)
class Topology:
    """One way in which sticks are in use."""

    name: str
    up: str
    """bash, with the nodes of two sticks in $A and $B."""
    down: str
    error: str
    """Name of the refusal, or empty when nothing uses the sticks."""
    words: tuple[str, ...] = ()
    """In the reason that people are shown; $A stands for the node."""
    sticks: str = "A"
    """Which of the two are in use."""
    shown: bool = True
    """Whether the reason is known before somebody opens the stick."""
    quick: bool = False
    """Whether it is part of the short run."""


TOPOLOGIES = (
    Topology(
        "a filesystem in a LUKS volume",
        "part $A; luks ${A}1 vault; ext4 /dev/mapper/vault; mount /dev/mapper/vault /mnt/one",
        "umount /mnt/one; cryptsetup close vault",
        "DeviceHasHolders",
        ("encrypted volume vault", "umount /mnt/one; cryptsetup close vault"),
        quick=True,
    ),
    Topology(
        "a physical volume that no group uses",
        "part $A; pvcreate -qq ${A}1",
        "pvremove -qq ${A}1",
        "",
    ),
    Topology(
        "an active LVM volume",
        "part $A; pvcreate -qq ${A}1; vgcreate -qq vg ${A}1; lvcreate -qq -y -L 16M -n data vg",
        "vgremove -qq -f vg",
        "DeviceHasHolders",
        ("LVM volume vg-data", "lvchange -an /dev/mapper/vg-data"),
    ),
    Topology(
        "a mounted LVM volume",
        "part $A; pvcreate -qq ${A}1; vgcreate -qq vg ${A}1; lvcreate -qq -y -L 32M -n data vg;"
        " ext4 /dev/vg/data; mount /dev/vg/data /mnt/one",
        "umount /mnt/one; vgremove -qq -f vg",
        "DeviceHasHolders",
        ("LVM volume vg-data", "umount /mnt/one; lvchange -an /dev/mapper/vg-data"),
    ),
    Topology(
        "LVM in a LUKS volume",
        "part $A; luks ${A}1 vault; pvcreate -qq /dev/mapper/vault; vgcreate -qq vg /dev/mapper/vault;"
        " lvcreate -qq -y -L 32M -n data vg; ext4 /dev/vg/data; mount /dev/vg/data /mnt/one",
        "umount /mnt/one; vgchange -qq -an vg; cryptsetup close vault",
        "DeviceHasHolders",
        ("vault", "vg-data", "umount /mnt/one; lvchange -an /dev/mapper/vg-data; cryptsetup close vault"),
    ),
    Topology(
        "a RAID of two",
        "part $A; part $B; mdadm -q --create /dev/md7 --run --level=1 --raid-devices=2 --assume-clean"
        " --metadata=1.2 ${A}1 ${B}1; udevadm settle",
        "mdadm -q --stop /dev/md7; mdadm -q --zero-superblock ${A}1 ${B}1",
        "DeviceHasHolders",
        ("RAID array /dev/md7", "mdadm --stop /dev/md7"),
        sticks="AB",
    ),
    Topology(
        "a member of a RAID that does not run",
        "part $A; part $B; mdadm -q --create /dev/md7 --run --level=1 --raid-devices=2 --assume-clean"
        " --metadata=1.2 ${A}1 ${B}1; udevadm settle; mdadm -q --stop /dev/md7; udevadm settle;"
        " mdadm -q -I ${A}1 || true; udevadm settle; grep -q 'inactive' /proc/mdstat",
        "mdadm -q --stop --scan; mdadm -q --zero-superblock ${A}1 ${B}1",
        "DeviceHasHolders",
        ("RAID array", "mdadm --stop"),
    ),
    Topology(
        "swap",
        "part $A; mkswap -q ${A}1; swapon ${A}1",
        "swapoff ${A}1",
        "DeviceIsSwap",
        ("swapoff ${A}1",),
        quick=True,
    ),
    Topology(
        "a swap file",
        "part $A; ext4 ${A}1; mount ${A}1 /mnt/one; dd if=/dev/zero of=/mnt/one/swap bs=1M count=16 status=none;"
        " chmod 600 /mnt/one/swap; mkswap -q /mnt/one/swap; swapon /mnt/one/swap",
        "swapoff /mnt/one/swap; umount /mnt/one",
        "SystemDevice",
        ("swap /mnt/one/swap",),
    ),
    Topology(
        "a cache of bcache that caches nothing",
        "modprobe bcache; part $A; make-bcache -b 16k -C ${A}1 >/dev/null;"
        " await '[ -e /sys/class/block/$(basename ${A}1)/bcache/set ]'",
        "echo 1 > /sys/class/block/$(basename ${A}1)/bcache/set/stop; await '! ls -d /sys/class/block/*/bcache';"
        " udevadm settle",
        "DeviceHasHolders",
        ("bcache has", "bcache/set/stop"),
    ),
    Topology(
        "a cache of bcache, and what it caches",
        "modprobe bcache; part $A; part $B; make-bcache -b 16k -C ${A}1 -B ${B}1 >/dev/null; udevadm settle;"
        " await 'ls -d /sys/block/bcache0/slaves/$(basename ${A}1)'; udevadm settle",
        "for s in /sys/fs/bcache/*-*/stop; do echo 1 > $s; done;"
        " for s in /sys/block/bcache*/bcache/stop; do [ ! -e $s ] || echo 1 > $s; done;"
        " await '! ls -d /sys/class/block/*/bcache'; udevadm settle",
        "DeviceHasHolders",
        ("cache device /dev/bcache0", "echo 1 > /sys/block/bcache0/bcache/stop"),
        sticks="AB",
    ),
    Topology(
        "a btrfs over two",
        "mkfs.btrfs -q -f $A $B; mount $A /mnt/one",
        "umount /mnt/one",
        "DeviceMounted",
        ("/mnt/one",),
        sticks="AB",
    ),
    Topology(
        "a loop device on a file on the stick",
        "part $A; ext4 ${A}1; mount ${A}1 /mnt/one; truncate -s 8M /mnt/one/disk; losetup /dev/loop5 /mnt/one/disk",
        "losetup -d /dev/loop5; umount /mnt/one",
        "DeviceMounted",
        ("/mnt/one",),
    ),
    Topology(
        "a loop device on a file of a filesystem that was let go of",
        "part $A; mkfs.vfat ${A}1; mount ${A}1 /mnt/one; truncate -s 8M /mnt/one/disk;"
        " losetup /dev/loop5 /mnt/one/disk; umount -l /mnt/one",
        "losetup -d /dev/loop5",
        "DeviceHasHolders",
        ("loop device /dev/loop5", "losetup -d /dev/loop5"),
    ),
    Topology(
        "a loop device on a partition",
        "part $A; losetup /dev/loop5 ${A}1",
        "losetup -d /dev/loop5",
        "DeviceHasHolders",
        ("loop device /dev/loop5", "losetup -d /dev/loop5"),
    ),
    Topology(
        "device-mapper straight on the disk",
        'dmsetup create plain --table "0 $(sectors $A) linear $A 0"; udevadm settle',
        "dmsetup remove plain",
        "DeviceHasHolders",
        ("device-mapper volume plain", "dmsetup remove plain"),
    ),
    Topology(
        "a thin pool",
        'modprobe dm-thin-pool; dmsetup create meta --table "0 8192 linear $A 0";'
        ' dmsetup create data --table "0 131072 linear $A 8192";'
        " dmsetup create pool --table '0 131072 thin-pool /dev/mapper/meta /dev/mapper/data 128 0';"
        " dmsetup message /dev/mapper/pool 0 'create_thin 0';"
        " dmsetup create thin --table '0 65536 thin /dev/mapper/pool 0'; udevadm settle",
        "for d in thin pool data meta; do dmsetup remove $d; done",
        "DeviceHasHolders",
        ("pool", "thin", "dmsetup remove thin; dmsetup remove pool"),
    ),
    Topology(
        "a multipath device",
        "modprobe dm-multipath; dmsetup create mpatha -u mpath-lux"
        ' --table "0 $(sectors $A) multipath 0 0 1 1 round-robin 0 1 1 $A 1"; udevadm settle',
        "dmsetup remove mpatha",
        "DeviceHasHolders",
        ("multipath device mpatha", "multipath -f mpatha"),
    ),
    Topology(
        "a hibernated system",
        "part $A; mkswap -q ${A}1; printf S1SUSPEND | dd of=${A}1 bs=1 seek=4086 conv=notrunc,fsync status=none;"
        " udevadm trigger --settle ${A}1",
        "wipefs -qaf ${A}1",
        "DeviceIsSwap",
        ("hibernated system", "wipefs -a ${A}1"),
    ),
    Topology(
        "a member of a ZFS pool that is not imported",
        # the uberblocks of the first label: libblkid wants to see several
        "part $A; for at in $(seq 0 15); do printf '\\x0c\\xb1\\xba\\x00\\x00\\x00\\x00\\x00' |"
        " dd of=${A}1 bs=1 seek=$((131072 + at * 1024)) conv=notrunc status=none; done; sync;"
        " udevadm trigger --settle ${A}1; udevadm info -q property ${A}1 | grep ID_FS_TYPE=zfs_member",
        "wipefs -qaf ${A}1",
        "",
    ),
    Topology(
        "an ext4 in another mount namespace",
        "part $A; ext4 ${A}1; background unshare -m --propagation private bash -c"
        ' "mount ${A}1 /mnt/one; exec sleep 4321";'
        " await 'grep -q /mnt/one /proc/$(pgrep -xf \"sleep 4321\")/mountinfo';"
        " udevadm trigger --settle $A",
        "pkill -xf 'sleep 4321'",
        "DeviceMounted",
        ("/mnt/one in the mount namespace of process", "(sleep)"),
    ),
    Topology(
        "a vfat in another mount namespace",
        "part $A; mkfs.vfat ${A}1; background unshare -m --propagation private bash -c"
        ' "mount ${A}1 /mnt/one; exec sleep 4321";'
        " await 'grep -q /mnt/one /proc/$(pgrep -xf \"sleep 4321\")/mountinfo';"
        " udevadm trigger --settle $A",
        "pkill -xf 'sleep 4321'",
        "DeviceMounted",
        ("/mnt/one in the mount namespace of process", "(sleep)"),
    ),
    Topology(
        "the users' files, by a bind mount",
        "part $A; ext4 ${A}1; mount ${A}1 /mnt/one; mkdir /mnt/one/home; mount --bind /mnt/one/home /home;"
        " umount /mnt/one",
        "umount /home",
        "SystemDevice",
        ("/home is on it", "${A}1"),
    ),
    Topology(
        "a directory of the system, by an overlay",
        "part $A; ext4 ${A}1; mount ${A}1 /mnt/one; mkdir /mnt/one/up /mnt/one/work;"
        " mount -t overlay over -o lowerdir=/opt,upperdir=/mnt/one/up,workdir=/mnt/one/work /opt",
        "umount /opt; umount /mnt/one",
        "SystemDevice",
        ("/opt is on it", "${A}1"),
    ),
    Topology(
        "a program that has it for itself",
        "background python3 -c \"import os, time; fd = os.open('$A', os.O_RDONLY | os.O_EXCL); time.sleep(1000)\";"
        " await 'fuser -s $A'",
        "fuser -s -k $A",
        "DeviceBusy",
        ("in use by python3",),
        shown=False,
    ),
)


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def tidy() -> None:
    """The two sticks stay for the next scenario, in place of what is done elsewhere."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def files(guest: Guest, awake: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Path]]:
    """The content of two sticks that are in, by serial number."""
    place = tmp_path_factory.mktemp("sticks")
    made = {serial: empty_stick(place / serial, SIZE) for serial in SERIALS}
    for serial, file in made.items():
        await guest.plug(serial, file, serial=serial)
    yield made
    await guest.pull_all()


@pytest.mark.parametrize(
    "topology",
    [
        pytest.param(topology, id=topology.name, marks=() if topology.quick else pytest.mark.campaign)
        for topology in TOPOLOGIES
    ],
)
async def test_a_stick_in_use(guest: Guest, files: dict[str, Path], topology: Topology) -> None:
    first = [await guest.shown(serial, lambda device: not device["BlockedReason"], PATIENT) for serial in SERIALS]
    names = {"A": first[0]["DeviceNode"], "B": first[1]["DeviceNode"]}
    # what the kernel would write later anyway does not count as a change
    await guest.run(f"{PRELUDE}{topology.up}\nsync", environment=names, timeout=300)
    try:
        for device, name in zip(first, "AB", strict=True):
            await _refused(guest, device, files[device["Serial"]], topology, used=name in topology.sticks)
    finally:
        await guest.run(PRELUDE + topology.down, environment=names, timeout=300)
        await guest.run(PRELUDE + CLEAN, environment=names, timeout=300)
    for serial in SERIALS:
        await guest.shown(serial, lambda device: not device["BlockedReason"], PATIENT)


async def _refused(guest: Guest, device: dict[str, Any], file: Path, topology: Topology, *, used: bool) -> None:
    node, serial = device["DeviceNode"], device["Serial"]
    blocked = used and bool(topology.error) and topology.shown
    words = [word.replace("${A}", node).replace("$A", node) for word in topology.words]

    def as_expected(now: dict[str, Any]) -> bool:
        reason = str(now["BlockedReason"])
        return all(word in reason for word in (node, *words)) if blocked else not reason

    shown = await guest.shown(serial, as_expected, PATIENT)
    print(f"{topology.name}: {shown['BlockedReason'] or shown['State']}")
    if not (used and topology.error):
        return
    before = await _settled(file)
    said = await guest.run(
        f"luxusb --json create --yes --device {node} --device-id {device['Id']} memtest86plus", check=False, timeout=300
    )
    assert said.status == 1, said.output
    error = json.loads(said.stdout)["error"]
    assert error["name"] == ERROR + topology.error
    assert all(word in error["message"] for word in words), error
    assert await _settled(file) == before


async def _settled(file: Path) -> str:
    """The digest of a stick's content once what is built on it has written what it had to write."""
    seen = ""
    async with asyncio.timeout(PATIENT):
        while (now := await asyncio.to_thread(_digest, file)) != seen:
            seen = now
            await asyncio.sleep(1.5)
    return seen


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
