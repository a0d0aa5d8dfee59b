"""Plans as tokens: used once, by the uid that asked, before they expire."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from luxusbd.catalog.catalog import Catalog, Sources
from luxusbd.catalog.model import Trust
from luxusbd.devices.model import DeviceIdentity, DeviceState
from luxusbd.errors import (
    DeviceMountedError,
    InvalidArgumentError,
    LargeDiskError,
    LimitExceededError,
    NotBootableError,
    NotEnoughSpaceError,
    PlanExpiredError,
)
from luxusbd.images.model import (
    SECURE,
    BootEntry,
    BootMethod,
    Certificate,
    Firmware,
    Persistence,
    Recognition,
    Store,
    StoredImage,
)
from luxusbd.images.store import ImageStore
from luxusbd.jobs import changes, planning
from luxusbd.jobs.changes import Asked
from luxusbd.jobs.keyring import Keyring
from luxusbd.jobs.planning import LIFETIME, MAX_PLANS_PER_UID, Planner
from luxusbd.jobs.registry import DeviceRegistry
from luxusbd.jobs.trust import TrustPolicy
from luxusbd.jobs.views import Caller, DeviceView, Plan
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.losses import Loss
from luxusbd.stick.model import MIB, PartitionRole, StickOptions
from luxusbd.stick.secureboot import Loaders, Search
from tests.jobs.disks import plain_stick

ME, OTHER = Caller(1000, ":1.1"), Caller(1001, ":1.2")


def identity(size: int = 8 * 1024 * MIB) -> DeviceIdentity:
    return DeviceIdentity("usb-stick", 7, size)


class Registry:
    """One stick that may be written."""

    def check_writable(self, wanted: DeviceIdentity) -> DeviceView:
        return DeviceView(plain_stick(wanted), DeviceState.BLANK)

    def losses(self, _wanted: DeviceIdentity) -> tuple[str, ...]:
        return ("holiday pictures",)

    def loss_details(self, _wanted: DeviceIdentity) -> tuple[Loss, ...]:
        return (Loss(1, "FAT32", "HOLIDAY", 8 << 30, 1 << 30),)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(planning, "time", clock)
    return clock


@pytest.fixture
def planner(tmp_path: Path, clock: Clock) -> Planner:
    catalogue = Catalog.load(Sources(cache=tmp_path / "none.json", admin=tmp_path / "none"))
    return Planner(catalogue, ImageStore(tmp_path / "images"), cast("DeviceRegistry", Registry()), policy(tmp_path))


def policy(place: Path, minimum: Trust = Trust.NONE) -> TrustPolicy:
    return TrustPolicy(Keyring(place / "keys.d", place / "keys", place / "packaged"), minimum)


def kept(store: Store, *on: str) -> Persistence:
    entry = BootEntry("Keep", BootMethod.LINUX, frozenset({Firmware.BIOS}), "/vmlinuz")
    return Persistence(entry, store, on=frozenset(on))


def make(planner: Planner, caller: Caller = ME, **changes: Any) -> Plan:
    reference = planner._catalog.distributions()[0].id
    wanted: dict[str, Any] = {"devices": [identity()], "references": [reference], "options": StickOptions(), **changes}
    return planner.make(caller, **wanted)


def test_a_plan_says_what_it_will_do_and_is_used_once(planner: Planner) -> None:
    plan = make(planner)
    assert [device.lost for device in plan.devices] == [("holiday pictures",)]
    assert [loss.label for device in plan.devices for loss in device.lost_details] == ["HOLIDAY"]
    assert [image.download for image in plan.images] == [True]
    assert planner.get(ME, plan.token).plan == plan
    assert planner.use(ME, plan.token).plan == plan
    with pytest.raises(PlanExpiredError):
        planner.use(ME, plan.token)


def test_a_plan_is_its_uids_own(planner: Planner) -> None:
    plan = make(planner)
    for take in (planner.get, planner.use):
        with pytest.raises(PlanExpiredError) as refused:
            take(OTHER, plan.token)
        with pytest.raises(PlanExpiredError) as unknown:
            take(OTHER, "no such token")
        # whoever guesses does not learn that the token exists
        assert str(refused.value) == str(unknown.value)
    assert planner.use(Caller(ME.uid, ":1.99"), plan.token).plan == plan


def test_a_plan_expires(planner: Planner, clock: Clock) -> None:
    plan = make(planner)
    assert plan.expires == clock.now + LIFETIME
    clock.now = plan.expires - 1
    assert planner.get(ME, plan.token).plan == plan
    clock.now = plan.expires
    with pytest.raises(PlanExpiredError, match="plan again"):
        planner.use(ME, plan.token)
    clock.now -= LIFETIME
    with pytest.raises(PlanExpiredError):
        planner.use(ME, plan.token)


def test_plans_are_counted_for_each_uid(planner: Planner, clock: Clock) -> None:
    for _ in range(MAX_PLANS_PER_UID):
        make(planner)
    with pytest.raises(LimitExceededError):
        make(planner)
    make(planner, OTHER)
    clock.now += LIFETIME
    make(planner)


def test_a_large_disk_is_meant(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Registry.check_writable

    def large(self: Registry, wanted: DeviceIdentity) -> DeviceView:
        view = plain(self, wanted)
        return replace(view, device=replace(view.device, large="a disk of 2.0 TiB"))

    monkeypatch.setattr(Registry, "check_writable", large)
    with pytest.raises(LargeDiskError, match=r"/dev/sdz \(Acme Stick\) is a disk of 2.0 TiB.*allow_large"):
        make(planner)
    assert make(planner, allow_large=True).devices[0].view.device.large


def test_a_dry_run_is_not_kept_and_tells_what_is_missing(planner: Planner) -> None:
    plan = [make(planner, dry_run=True) for _ in range(MAX_PLANS_PER_UID + 1)][-1]
    assert (plan.token, plan.expires, planner.plans()) == ("", 0, ())
    with pytest.raises(PlanExpiredError):
        planner.get(ME, plan.token)
    real = make(planner)
    assert (plan.devices, plan.images) == (real.devices, real.images)
    small = make(planner, dry_run=True, devices=[identity(300 * MIB)])
    (device,) = small.devices
    assert device.bytes_free == 0
    assert device.bytes_missing > 0
    with pytest.raises(NotEnoughSpaceError):
        make(planner, devices=[identity(300 * MIB)])
    fits = make(planner, dry_run=True, devices=[identity(300 * MIB + device.bytes_missing + 64 * MIB)])
    assert fits.devices[0].bytes_missing == 0


def test_of_several_sticks_the_one_that_is_refused_is_named(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    def stick(_registry: Registry, wanted: DeviceIdentity) -> DeviceView:
        if wanted.id == "sdc" and wanted.disk_seq == 9:
            raise DeviceMountedError("/dev/sdc is in use: mounted at /home; unmount it")
        large = "a disk of 4 TB" if wanted.disk_seq == 8 else ""
        return DeviceView(replace(plain_stick(wanted), node=f"/dev/{wanted.id}", large=large), DeviceState.BLANK)

    monkeypatch.setattr(Registry, "check_writable", stick)
    good = [DeviceIdentity(name, 7, 8 << 30) for name in ("sdb", "sdd")]
    assert [device.view.device.node for device in make(planner, devices=good).devices] == ["/dev/sdb", "/dev/sdd"]
    for bad, error in (
        (DeviceIdentity("sdc", 7, 64 * MIB), NotEnoughSpaceError),
        (DeviceIdentity("sdc", 8, 8 << 30), LargeDiskError),
        (DeviceIdentity("sdc", 9, 8 << 30), DeviceMountedError),
    ):
        with pytest.raises(error, match="/dev/sdc") as refused:
            make(planner, devices=[good[0], bad, good[1]])
        assert "/dev/sdb" not in str(refused.value)
        assert "/dev/sdd" not in str(refused.value)


@pytest.mark.parametrize(
    ("ways", "recipe", "kind", "expected"),
    [
        (None, "", Kind.EXT4, "unknown"),
        (None, "no such recipe", Kind.EXT4, "unknown"),
        (None, "casper", Kind.EXT4, "partition"),
        (None, "casper", Kind.FAT32, "file"),
        (None, "memtest86plus", Kind.EXT4, "none"),
        ((), "casper", Kind.EXT4, "none"),
        ((kept(Store.DIRECTORY, "ext4"),), "casper", Kind.EXFAT, "none"),
        ((kept(Store.PARTITION), kept(Store.OWN, "ext4")), "", Kind.EXT4, "own"),
    ],
)
def test_where_changes_would_be_kept(
    ways: tuple[Persistence, ...] | None, recipe: str, kind: Kind, expected: str
) -> None:
    assert changes.keeps(ways, recipe, kind) == expected


def test_plans_that_make_no_sense(planner: Planner) -> None:
    with pytest.raises(InvalidArgumentError, match="no device"):
        make(planner, devices=[])
    with pytest.raises(InvalidArgumentError, match="twice"):
        make(planner, devices=[identity(), identity()])
    with pytest.raises(NotEnoughSpaceError):
        make(planner, devices=[identity(200 * MIB)])


def stored(name: str, size: int, *filesystems: str) -> Any:
    """An image in the store whose system reads it from these filesystems."""
    entry = BootEntry("Start", BootMethod.LINUX, frozenset({Firmware.BIOS}), "/vmlinuz")
    recognition = Recognition(size, "", "", "r", "f", name, "1", "amd64", (entry,), frozenset(filesystems))
    return StoredImage(hashlib.sha256(name.encode()).hexdigest(), name, size, 0, "import", Trust.HASH, recognition)


class Shelf:
    """A store with images that need not exist."""

    def __init__(self, *images: StoredImage) -> None:
        self._images = {image.sha256: image for image in images}

    def get(self, _uid: int, sha256: str) -> StoredImage:
        return self._images[sha256]

    def references(self) -> list[str]:
        return [f"image:{sha256}" for sha256 in self._images]


@pytest.fixture
def shelf(planner: Planner) -> Callable[..., Shelf]:
    def fill(*images: StoredImage) -> Shelf:
        made = Shelf(*images)
        planner._store = cast("ImageStore", made)
        return made

    return fill


GIB = 1024 * MIB


def test_images_that_the_filesystem_cannot_start_are_named_before_anything_is_done(
    planner: Planner, shelf: Callable[..., Shelf]
) -> None:
    made = shelf(
        stored("casper.iso", GIB, "ext4", "fat32"), stored("arch.iso", GIB, "ext4", "exfat"), stored("any.iso", 1)
    )
    with pytest.raises(NotBootableError, match=r"casper\.iso: .*ext4 or fat32, not from exfat; choose ext4 or fat32"):
        make(planner, references=made.references(), options=StickOptions(filesystem="exfat"))
    with pytest.raises(NotBootableError) as refused:
        make(planner, references=made.references(), options=StickOptions(filesystem="fat32"))
    assert "arch.iso" in str(refused.value)
    assert "casper.iso" not in str(refused.value)
    assert "--companion" in str(refused.value)
    plan = make(planner, references=made.references())
    assert {image.partition for image in plan.images} == {PartitionRole.DATA}


def test_a_file_of_4_gib_is_nothing_for_fat32(planner: Planner, shelf: Callable[..., Shelf]) -> None:
    options = StickOptions(filesystem="fat32")
    just = shelf(stored("just.iso", (1 << 32) - 1, "fat32", "ext4"))
    make(planner, references=just.references(), options=options)
    above = shelf(stored("above.iso", 1 << 32, "fat32", "ext4"))
    with pytest.raises(NotBootableError, match=r"above\.iso: it has 4\.0 GiB, and a file on fat32 has less"):
        make(planner, references=above.references(), options=options)


def test_a_companion_takes_what_the_data_partition_cannot_start(planner: Planner, shelf: Callable[..., Shelf]) -> None:
    made = shelf(stored("casper.iso", GIB, "ext4", "fat32"), stored("arch.iso", GIB, "ext4", "exfat"))
    options = StickOptions(filesystem="exfat", companion=2 * GIB, share=GIB)
    plan = make(planner, references=made.references(), options=options)
    assert [image.partition.value for image in plan.images] == ["companion", "data"]
    assert any("companion" in warning for warning in plan.images[0].warnings)
    (device,) = plan.devices
    assert [part.name for part in device.layout.partitions] == ["LUXBIOS", "LUXESP", "LUXDATA", "LUXEXT4", "LUXSHARE"]
    assert device.bytes_needed < 1.1 * GIB
    with pytest.raises(NotEnoughSpaceError, match="companion partition need"):
        make(planner, references=made.references(), options=replace(options, companion=GIB))
    odd = shelf(stored("odd.iso", GIB, "btrfs"))
    with pytest.raises(NotBootableError, match=r"odd\.iso: .*none of ours"):
        make(planner, references=odd.references(), options=options)


def test_exfat_never_promises_secure_boot(
    planner: Planner, shelf: Callable[..., Shelf], monkeypatch: pytest.MonkeyPatch
) -> None:
    references = shelf(stored("any.iso", MIB)).references()
    monkeypatch.setattr("luxusbd.stick.tools.require_any", lambda _kind: frozenset(Firmware))
    assert (
        Firmware.UEFI_SECURE_BOOT
        in make(planner, references=references, options=StickOptions(filesystem="fat32")).firmware
    )
    plan = make(planner, references=references, options=StickOptions(filesystem="exfat"))
    assert plan.firmware == frozenset(Firmware) - SECURE
    assert not plan.secure_boot
    assert any("Secure Boot" in warning for warning in plan.warnings)


PC = frozenset({Firmware.BIOS, Firmware.UEFI, Firmware.UEFI_SECURE_BOOT})


def signed(vendor: str, *outdated: str) -> Search:
    return Search(Loaders(vendor, Path("shim"), Path("grub"), None, outdated, (), ""))


def secured(name: str, *entries: BootEntry) -> StoredImage:
    image: StoredImage = stored(name, MIB)
    firmware = frozenset(one for entry in entries for one in entry.firmware)
    return replace(image, recognition=replace(image.recognition, entries=entries, firmware=firmware))


def test_the_plan_tells_what_stays_out_under_secure_boot(
    planner: Planner, shelf: Callable[..., Shelf], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luxusbd.stick.tools.require_any", lambda _kind: PC)
    monkeypatch.setattr("luxusbd.stick.grub.signed", lambda _platform=None: signed("debian", "grub,4"))
    everywhere = PC
    plain = frozenset({Firmware.BIOS, Firmware.UEFI})
    references = shelf(
        secured("ours.iso", BootEntry("", BootMethod.LINUX, everywhere, "/k", signer="debian")),
        secured("theirs.iso", BootEntry("", BootMethod.LINUX, everywhere, "/k", signer="ubuntu")),
        secured("unsigned.iso", BootEntry("", BootMethod.LINUX, plain, "/k")),
        secured("menu.iso", BootEntry("", BootMethod.CONFIGFILE, plain, "/grub.cfg")),
        secured("bios.iso", BootEntry("", BootMethod.LINUX16, frozenset({Firmware.BIOS}), "/k")),
    ).references()
    plan = make(planner, references=references)
    ours, theirs, unsigned, menu, bios = plan.images
    assert plan.secure_boot
    assert (ours.firmware, ours.warnings) == (everywhere, ())
    assert theirs.firmware == plain
    (warning,) = theirs.warnings
    assert "until the key of ubuntu is enrolled on that computer: the stick has the shim of debian" in warning
    authority = Certificate("Canonical Ltd. Master Certificate Authority", b"der")
    (warning,) = (
        make(planner, references=references, options=StickOptions(certificates=(authority,))).images[1].warnings
    )
    assert warning.startswith(
        "starts under uefi-sb after the certificate 'Canonical Ltd. Master Certificate Authority'"
    )
    assert unsigned.warnings == ("does not start under uefi-sb",)
    assert menu.warnings == ("may not start under uefi-sb: its own menu decides what it loads",)
    assert bios.warnings == ("does not start under uefi", "does not start under uefi-sb")
    assert any("outdated (SBAT grub,4)" in warning for warning in plan.warnings)


def test_the_plan_says_why_there_is_no_secure_boot(
    planner: Planner, shelf: Callable[..., Shelf], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luxusbd.stick.grub.signed", lambda _platform=None: Search(None, "install shim-signed"))
    plan = make(planner, references=shelf(stored("any.iso", MIB)).references())
    assert not plan.secure_boot
    assert "the stick will not start under Secure Boot: install shim-signed, and plan again" in plan.warnings
    assert not any("uefi-sb" in warning for warning in plan.warnings)


def test_a_companion_beside_ext4_and_tiny_parts_are_refused(planner: Planner) -> None:
    for options in (
        StickOptions(companion=GIB),
        StickOptions(share=MIB),
        StickOptions(filesystem="exfat", companion=MIB),
    ):
        with pytest.raises(InvalidArgumentError):
            make(planner, options=options)
    with pytest.raises(NotEnoughSpaceError):
        make(planner, options=StickOptions(share=8 * GIB))


def test_a_download_that_is_expected_to_use_the_partition_takes_nothing_else() -> None:
    def room(name: str, recipe: str) -> Asked:
        return Asked(name, 64 * MIB, PartitionRole.DATA, None, recipe)

    def data(*asked: Asked, partition: bool) -> int:
        return changes.needed(asked, Kind.EXT4, partition=partition)[PartitionRole.DATA]

    assert data(room("u.iso", "casper"), partition=True) == 0
    assert data(room("u.iso", "casper"), partition=False) == 64 * MIB
    assert data(room("u.iso", ""), partition=True) == 64 * MIB
    with pytest.raises(InvalidArgumentError, match=r"u\.iso and d\.iso would keep their changes in the same place"):
        data(room("u.iso", "casper"), room("d.iso", "live-boot"), partition=True)
