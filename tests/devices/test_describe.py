from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luxusbd.devices.describe import ID_LIMIT, describe, reduce_id
from luxusbd.devices.guard import GuardPolicy, identify_again, look_up
from luxusbd.devices.inventory import Inventory, compare, take_inventory
from luxusbd.devices.model import DesktopMount, EventKind
from luxusbd.devices.sysfs import Transport, disk_name, read_disk
from luxusbd.errors import DeviceChangedError, DeviceIsPartitionError, DeviceMountedError, DeviceNotFoundError
from tests.devices.recorded import GIB, Recorded

LARGE = GuardPolicy(large_disk=256 * GIB)
POLICY = GuardPolicy(allow_loop=("/dev/loop7",))


@pytest.fixture
def machine(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path)


@settings(deadline=None)
@given(st.lists(st.text(max_size=200), max_size=5))
def test_an_id_is_always_a_name(parts: list[str]) -> None:
    text = reduce_id(*parts)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
    assert len(text) <= ID_LIMIT
    assert text == reduce_id(*parts)


@settings(deadline=None)
@given(
    st.text(st.characters(exclude_characters=" _-.:/!\t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0", exclude_categories=["Z"])),
    st.text(st.characters(exclude_characters=" _-.:/!\t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0", exclude_categories=["Z"])),
)
def test_different_serials_stay_different(one: str, two: str) -> None:
    same = reduce_id("usb", "Vendor", "Model", one) == reduce_id("usb", "Vendor", "Model", two)
    assert same == (one == two)


def test_id_of_a_stick_with_serial(machine: Recorded) -> None:
    machine.usb("sdb")
    device = look_up("/dev/sdb", POLICY, machine.roots)
    assert device.identity.id == "usb-SanDisk-Ultra-4C530001230101"
    assert (device.identity.disk_seq, device.identity.size) == (1, 32 * GIB)
    assert (device.bus, device.vendor, device.model, device.serial) == ("usb", "SanDisk", "Ultra", "4C530001230101")
    assert device.eligible
    assert device.removable


def test_id_is_the_same_before_and_after_udev_looked(machine: Recorded) -> None:
    machine.usb("sdb", vendor="San Disk")
    before = look_up("/dev/sdb", POLICY, machine.roots)
    machine.udev(
        "sdb",
        ID_BUS="ata",
        ID_VENDOR="San_Disk",
        ID_VENDOR_ENC=r"San\x20Disk",
        ID_MODEL="Ultra_Fit",
        ID_MODEL_ENC=r"Ultra\x20Fit\xc3\xa9\x20\x20",
        ID_SERIAL_SHORT="4C530001230101",
    )
    after = look_up("/dev/sdb", POLICY, machine.roots)
    assert after.identity == before.identity
    assert (after.bus, after.vendor, after.model) == ("usb", "San Disk", "Ultra Fité")


def test_partitions_come_from_sysfs_and_their_contents_from_udev(machine: Recorded) -> None:
    machine.mmc()
    machine.udev("mmcblk0p1", ID_FS_TYPE="vfat", ID_FS_LABEL="BOOT", ID_FS_LABEL_ENC=r"BO\x20OT", ID_FS_UUID="12-34")
    device = look_up("/dev/mmcblk0", POLICY, machine.roots)
    (part,) = device.partitions
    assert (part.node, part.number, part.start, part.size) == ("/dev/mmcblk0p1", 1, 2048 * 512, 8 * GIB)
    assert (part.filesystem, part.label, part.uuid) == ("vfat", "BO OT", "12-34")
    assert device.identity.id == "mmc-SC32G-0x1a2b3c4d"


def test_filesystem_on_the_whole_disk_is_number_0(machine: Recorded) -> None:
    machine.usb("sdb", parts=0)
    machine.udev("sdb", ID_FS_TYPE="iso9660", ID_FS_LABEL="evil\x1b[2J")
    (part,) = look_up("/dev/sdb", POLICY, machine.roots).partitions
    assert (part.number, part.start, part.size, part.filesystem) == (0, 0, 32 * GIB, "iso9660")
    assert part.label == "evil\N{REPLACEMENT CHARACTER}[2J"


@pytest.mark.parametrize("serial", [None, "", "000000000000", "None"])
def test_identical_sticks_without_serial_differ_by_their_ports(machine: Recorded, serial: str | None) -> None:
    machine.usb("sdb", port="1-2", serial=serial)
    machine.usb("sdc", port="1-3.1", serial=serial)
    ids = [look_up(f"/dev/{name}", POLICY, machine.roots).identity.id for name in ("sdb", "sdc")]
    assert ids == ["usb-SanDisk-Ultra-1-2_1_0-0", "usb-SanDisk-Ultra-1-3_1_1_0-0"]


def test_slots_of_a_reader_share_its_serial_and_get_different_ids(machine: Recorded) -> None:
    for lun, name in enumerate(("sdb", "sdc", "sdd")):
        machine.usb(name, lun=lun, size=0, parts=0)
    found = take_inventory(POLICY, machine.roots, Inventory())
    ids = [found.devices[name].identity.id for name in ("sdb", "sdc", "sdd")]
    assert ids == [
        "usb-SanDisk-Ultra-4C530001230101",
        "usb-SanDisk-Ultra-4C530001230101-1-2_1_0-1",
        "usb-SanDisk-Ultra-4C530001230101-1-2_1_0-2",
    ]
    # The long id stays with its disk, alone or in company.
    machine.pull("sdb")
    again = take_inventory(POLICY, machine.roots, found)
    assert [again.devices[name].identity.id for name in ("sdc", "sdd")] == ids[1:]
    assert identify_again(found.devices["sdc"], POLICY, machine.roots).identity == found.devices["sdc"].identity


def test_a_newcomer_never_takes_the_id_of_a_disk_that_is_there(machine: Recorded) -> None:
    machine.usb("sdc", port="1-3")
    before = take_inventory(POLICY, machine.roots, Inventory())
    machine.usb("sdb", port="1-2")
    now = take_inventory(POLICY, machine.roots, before)
    assert now.devices["sdc"] == before.devices["sdc"]
    assert now.devices["sdb"].identity.id == "usb-SanDisk-Ultra-4C530001230101-1-2_1_0-0"


def test_ids_that_would_meet_on_the_bus_are_kept_apart(machine: Recorded) -> None:
    machine.usb("sdb", serial="A_1")
    machine.usb("sdc", serial="A-1", port="1-5")
    found = take_inventory(POLICY, machine.roots, Inventory())
    ids = {device.identity.id.replace("-", "_") for device in found.devices.values()}
    assert len(ids) == 2


def test_a_disk_without_any_name(machine: Recorded) -> None:
    machine.usb("sdb", vendor=None, model=None, serial=None)
    device = look_up("/dev/sdb", POLICY, machine.roots)
    assert (device.vendor, device.model, device.serial) == ("", "", "")
    assert device.identity.id == "usb-1-2_1_0-0"


def test_identify_again_tells_another_medium(machine: Recorded) -> None:
    machine.usb("sdb")
    device = look_up("/dev/sdb", POLICY, machine.roots)
    assert identify_again(device, POLICY, machine.roots) == device
    machine.attribute("sdb", diskseq="99")
    with pytest.raises(DeviceChangedError, match="choose again"):
        identify_again(device, POLICY, machine.roots)
    machine.pull("sdb")
    with pytest.raises(DeviceNotFoundError):
        identify_again(device, POLICY, machine.roots)


def test_only_whole_disks_have_a_name(machine: Recorded) -> None:
    machine.nvme()
    assert disk_name("/dev/nvme0n1", machine.roots) == "nvme0n1"
    with pytest.raises(DeviceIsPartitionError, match=r"choose /dev/nvme0n1$"):
        disk_name("/dev/nvme0n1p2", machine.roots)
    with pytest.raises(DeviceNotFoundError):
        disk_name("/dev/nvme0n", machine.roots)
    with pytest.raises(DeviceNotFoundError):
        look_up("/dev/../etc/passwd", POLICY, machine.roots)


def test_a_partition_that_goes_while_it_is_read_is_left_out(machine: Recorded) -> None:
    machine.usb("sdb", parts=2)
    (machine.place("sdb1") / "size").write_text("")
    disk = read_disk("sdb", machine.roots)
    assert [part.name for part in disk.partitions] == ["sdb2"]
    assert disk.transport is Transport.USB


def test_what_is_shown(machine: Recorded) -> None:
    machine.sata("sda")
    machine.mmc(kind="MMC")
    machine.emmc_boot_area()
    machine.nvme()
    machine.attribute("nvme0n1", hidden="1")
    machine.virtual("dm-0", on=("sda1",), title="x", uuid="LVM-x")
    machine.virtual("zram0")
    machine.loop("loop7", "/a.img")
    machine.loop("loop8", "/b.img")
    machine.usb("sr0", port="1-7")
    machine.attribute("sr0", dev="11:0")
    found = take_inventory(POLICY, machine.roots, Inventory())
    assert sorted(found.devices) == ["loop7", "mmcblk0", "sda"]
    assert found.devices["sda"].block_error == "org.luxusb.Error.DeviceNotRemovable"
    assert found.devices["sda"].blocked_reason.startswith("/dev/sda is attached by ata")


def test_a_named_loop_without_a_file_is_no_disk(machine: Recorded) -> None:
    machine.loop("loop7", "")
    assert take_inventory(POLICY, machine.roots, Inventory()).devices == {}


def test_card_inserted_and_drawn(machine: Recorded) -> None:
    machine.usb("sdb", size=0, parts=0)
    empty = take_inventory(POLICY, machine.roots, Inventory())
    assert empty.devices["sdb"].block_error == "org.luxusb.Error.NoMedium"
    machine.attribute("sdb", size=str(GIB // 512), diskseq="7")
    full = take_inventory(POLICY, machine.roots, empty)
    events = list(compare(empty, full))
    assert [event.kind for event in events] == [EventKind.REMOVED, EventKind.ADDED]
    assert events[0].device == empty.devices["sdb"]
    assert events[1].device.identity.disk_seq == 7
    assert events[1].device.identity.id == events[0].device.identity.id
    assert events[1].device.eligible


def test_changes_of_the_same_medium_are_changes(machine: Recorded) -> None:
    machine.usb("sdb")
    before = take_inventory(POLICY, machine.roots, Inventory())
    assert list(compare(before, take_inventory(POLICY, machine.roots, before))) == []
    machine.mount("/mnt", "sdb1")
    now = take_inventory(POLICY, machine.roots, before)
    (event,) = compare(before, now)
    assert event.kind is EventKind.CHANGED
    assert event.device.block_error == "org.luxusb.Error.DeviceMounted"


def test_two_plugs_of_one_stick_without_diskseq(machine: Recorded) -> None:
    machine.usb("sdb")
    machine.attribute("sdb", diskseq="0")
    before = take_inventory(POLICY, machine.roots, Inventory())
    now = take_inventory(POLICY, machine.roots, before)
    assert [event.kind for event in compare(before, now, {"sdb"})] == [EventKind.REMOVED, EventKind.ADDED]
    assert list(compare(before, now, {"sdb1"})) == []


def test_a_disk_that_cannot_be_read_is_left_out(machine: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    machine.usb("sdb")
    machine.usb("sdc", port="1-3", serial="C")
    # A directory where a file should be is EISDIR for everybody, root too.
    size = machine.place("sdb") / "size"
    size.unlink()
    size.mkdir()
    found = take_inventory(POLICY, machine.roots, Inventory())
    assert list(found.devices) == ["sdc"]
    assert "the disk sdb is left out" in caplog.text
    caplog.clear()
    take_inventory(POLICY, machine.roots, found)
    assert caplog.text == ""


def test_unreadable_tables_block_every_disk(machine: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    machine.usb("sdb")
    (machine.root / "proc/swaps").unlink()
    (machine.root / "proc/swaps").mkdir()
    found = take_inventory(POLICY, machine.roots, Inventory())
    assert found.devices["sdb"].block_error == "org.luxusb.Error.DeviceBusy"
    assert "mounts or holders cannot be read" in caplog.text


def test_a_machine_without_disks(machine: Recorded) -> None:
    assert take_inventory(POLICY, machine.roots, Inventory()) == Inventory()


def test_describe_keeps_an_id_only_when_it_can_be_its_own(machine: Recorded) -> None:
    machine.usb("sdb")
    disk = read_disk("sdb", machine.roots)
    long = describe(disk, machine.roots, taken=("usb-SanDisk-Ultra-4C530001230101",)).identity.id
    assert describe(disk, machine.roots, keep=long).identity.id == long
    assert describe(disk, machine.roots, keep="usb-Other-Stick").identity.id == "usb-SanDisk-Ultra-4C530001230101"


@pytest.mark.parametrize(
    ("size", "removable", "policy", "large"),
    [
        (32 * GIB, True, LARGE, ""),
        (256 * GIB - 512, True, LARGE, ""),
        (256 * GIB, True, LARGE, "a disk of 256.0 GiB"),
        (2048 * GIB, False, LARGE, "a disk of 2.0 TiB"),
        (32 * GIB, False, LARGE, "a hard disk or SSD of 32.0 GiB"),
        (2048 * GIB, False, POLICY, ""),
    ],
)
def test_large_disks(machine: Recorded, size: int, removable: bool, policy: GuardPolicy, large: str) -> None:
    machine.usb("sdb", size=size, removable=removable)
    assert look_up("/dev/sdb", policy, machine.roots).large == large


def test_what_a_desktop_mounted_does_not_block(machine: Recorded) -> None:
    machine.usb("sdb", parts=2).mount("/media/u/A", "sdb1").mount("/run/media/u/B", "sdb2")
    device = look_up("/dev/sdb", POLICY, machine.roots)
    assert device.eligible
    assert device.mounts == (DesktopMount("/dev/sdb1", "/media/u/A"), DesktopMount("/dev/sdb2", "/run/media/u/B"))
    found = take_inventory(POLICY, machine.roots, Inventory()).devices["sdb"]
    assert found == device
    # the last look before writing is not lenient
    assert isinstance(machine.verdict("sdb"), DeviceMountedError)


@pytest.mark.parametrize(
    "more",
    [
        lambda m: m.mount("/mnt", "sdb2"),
        lambda m: m.mount("/mediation", "sdb2"),
        lambda m: m.swap("/dev/sdb2"),
        lambda m: m.loop("loop3", "/media/u/A/disk.img"),
        lambda m: m.virtual("dm-0", on=("sdb2",), title="x", uuid="CRYPT-1"),
        lambda m: m.journal("sdb2"),
        lambda m: m.mount("/media/u/B", "sdb2", pid=9),
    ],
    ids=["elsewhere", "near", "swap", "loop on a file", "LUKS", "held", "another namespace"],
)
def test_what_blocks_beside_a_desktops_mount(machine: Recorded, more: Callable[[Recorded], object]) -> None:
    machine.usb("sdb", parts=2).mount("/media/u/A", "sdb1")
    more(machine)
    device = look_up("/dev/sdb", POLICY, machine.roots)
    assert device.block_error
    assert device.mounts == ()


def test_half_of_a_pool_is_not_unmounted(machine: Recorded) -> None:
    machine.usb("sdb").usb("sdc", port="1-3", serial="B")
    machine.filesystem_held("btrfs", "aa", "sdb1", "sdc1").mount(
        "/media/u/pool", fstype="btrfs", source="/dev/sdb1", dev="0:60"
    )
    assert look_up("/dev/sdc", POLICY, machine.roots).block_error == DeviceMountedError.dbus_name
