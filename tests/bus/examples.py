"""What the tests of the bus tell of: a disk, an image, a system, a job, and answers of an engine."""

from __future__ import annotations

from typing import Any

from luxusbd.catalog.model import Distribution, Layer, Mirror, Origin, Release, Trust
from luxusbd.devices.model import Device, DeviceIdentity, DeviceState
from luxusbd.images.details import Container, Details, Keeps, PartitionInfo, ProgramInfo, Toram
from luxusbd.images.eltorito import BootRecord
from luxusbd.images.hints import SecureBoot
from luxusbd.images.model import BootEntry, BootMethod, Firmware, Recognition, StoredImage
from luxusbd.images.recipelist import ListedRecipe, Recipes
from luxusbd.jobs.listed import Listed, ListedRelease
from luxusbd.jobs.mirrorchoice import MirrorState, Standing
from luxusbd.jobs.model import Job, JobState, LogLine, Operation
from luxusbd.jobs.views import Caller, CatalogStatus, DeviceView, ImageView, PlannedImage, Pruned, PrunedKind
from luxusbd.stick.model import Layout, ManifestImage, PartitionRole, PlannedPartition

SHA = "ab" * 32
ENTRY = BootEntry(
    "Live",
    BootMethod.LINUX,
    frozenset({Firmware.BIOS, Firmware.UEFI}),
    "/vmlinuz",
    ("/initrd",),
    ("a={iso}", "u={iso_uuid}", "l={volume_id}", "{iso_uuid}{data_uuid}", "b={blank}."),
)
RECOGNITION = Recognition(
    size=42,
    volume_id="DEBIAN",
    iso_uuid="2024-01-01-00-00-00-00",
    recipe="debian-live",
    family="debian",
    system="Debian \0 \ud800 Live",
    version="12",
    architecture="amd64",
    entries=(ENTRY,),
    filesystems=frozenset({"ext4"}),
    firmware=ENTRY.firmware,
)
DETAILS = Details(
    container=Container.ISO9660,
    names="rock-ridge",
    recipe_version=3,
    minimum_memory=512,
    table="gpt",
    partitions=(PartitionInfo(1, "83", "\0ROOT", "ext4", 1 << 20, 5, active=True),),
    boot_records=(BootRecord("bios", "", bootable=True, start=2048, size=512),),
    programs=(ProgramInfo("/vmlinuz", "amd64", signed=True, signers=("Debian",)),),
    toram=Toram.ENTRY,
    persistence=Keeps.FILE,
    persistence_on=frozenset({"xfs", "ext4"}),
)
DISTRIBUTION = Distribution(
    id="debian",
    name="Debian",
    description="The universal operating system",
    homepage="https://www.debian.org/",
    logo_url="",
    category="general",
    popularity_rank=1,
    releases=(
        Release(
            "12.5",
            "2024-02-10",
            "https://one.example/a.iso",
            SHA,
            600,
            (Mirror("https://one.example/a.iso", "DE"),),
            document="distros.json",
        ),
    ),
    layer=Layer.PACKAGED,
    origins=(Origin("name", Layer.ADMIN, "/etc/luxusb/distros.d/a.json"),),
)
LISTED = Listed(
    DISTRIBUTION,
    tuple(ListedRelease(release, "debian-live", SecureBoot.UNKNOWN, ended=True) for release in DISTRIBUTION.releases),
)
IMAGE = ImageView(StoredImage(SHA, "debian.iso", 42, 1, "import", Trust.HASH, RECOGNITION), "", in_use=False)
PRUNED = Pruned(PrunedKind.IMAGE, SHA, f"image:{SHA}", "debian.iso", 42, 7)
PLANNED_IMAGE = PlannedImage(f"image:{SHA}", "a.iso", "A", 42, frozenset(), (), download=False, trust=Trust.HASH)
LAYOUT = Layout(8 << 30, (PlannedPartition(1, PartitionRole.DATA, "LUXDATA", "guid", 1 << 20, 7 << 30),))
STATUS = CatalogStatus(
    "https://one.example/c", 1, 2, 3, 4, 5, "AB" * 20, previous=False, problems=("old \0",), feeds=54,
    feeds_asked=6, feeds_failed=("kali",),
)  # fmt: skip
RECIPES = Recipes(
    (
        ListedRecipe(
            "admin",
            "mine",
            2,
            "mine",
            60,
            ("Mine \0",),
            bootable=True,
            filesystems=("ext4",),
            toram="entry",
            persistence="file",
        ),
    ),
    ("torn.json: no JSON",),
)
STANDINGS = (
    Standing("https://one.example/a.iso", "one.example", "DE", MirrorState.OK, 5, 0.25, 0.5, 7, preferred=True),
    Standing("https://two.example/a.iso", "two.example", "", MirrorState.BANNED, until=9, reason="it lied"),
)
MANIFEST_IMAGE = ManifestImage(
    name="debian.iso",
    title="Debian",
    sha256=SHA,
    size=42,
    source="import",
    recipe="debian-live",
    family="debian",
    version="12",
    architecture="amd64",
    volume_id="DEBIAN",
    iso_uuid="",
    added=1,
    entries=(ENTRY,),
)


def device(name: str = "usb-Acme_Stick-1", *, size: int = 8 << 30, seq: int = 7, node: str = "/dev/sdz") -> Device:
    return Device(
        identity=DeviceIdentity(name, seq, size),
        node=node,
        sys_path="/sys/block/sdz",
        vendor="Acme",
        model="Stick",
        serial="0001",
        bus="usb",
        read_only=False,
        removable=True,
        partitions=(),
        block_error="",
        blocked_reason="",
    )


def view(name: str = "usb-Acme_Stick-1", *, owner: Caller | None = None, **fields: Any) -> DeviceView:
    return DeviceView(device(name), DeviceState.LUXUSB, images=(MANIFEST_IMAGE,), owner=owner, **fields)


def job(number: int, uid: int, **fields: Any) -> Job:
    standard: dict[str, Any] = {
        "operation": Operation.DOWNLOAD,
        "state": JobState.RUNNING,
        "created": 1000,
        "params": {"reference": "distro:debian"},
        "title": "Debian",
        "log": (LogLine(1000, "queued"),),
    }
    return Job(id=number, owner_uid=uid, **{**standard, **fields})
