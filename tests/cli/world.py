"""What the fake daemon knows at its start."""

from __future__ import annotations

import hashlib
from typing import Any

from dbus_next.signature import Variant

GIB = 1024**3
USB = "/org/luxusb/devices/usb_Kingston_DT_001A"
USB_ID = "usb-Kingston_DT-001A"
STICK = "/org/luxusb/devices/usb_SanDisk_Ultra_77"
STICK_ID = "usb-SanDisk_Ultra-77"
SYSTEM = "/org/luxusb/devices/ata_Samsung_1"
SHA_A = "a1" * 32
IMAGE_BYTES = b"an image" * 1000
IMAGE_SHA = hashlib.sha256(IMAGE_BYTES).hexdigest()
SHA_B = "b2" * 32
ISO_SHA = hashlib.sha256(b"CD001" * 100).hexdigest()

Dict = dict[str, Any]


def device(path_id: str, **changed: Any) -> Dict:
    values: Dict = {
        "Id": path_id,
        "DeviceNode": "",
        "Vendor": "",
        "Model": "",
        "Serial": "",
        "Bus": "usb",
        "Size": 16 * GIB,
        "DiskSeq": 7,
        "ReadOnly": False,
        "Removable": True,
        "Large": False,
        "State": "blank",
        "Images": [],
        "FreeBytes": 0,
        "UnlistedImages": 0,
        "StrayChanges": [],
        "Foreign": {},
        "Contents": [],
        "Damage": "",
        "Firmware": [],
        "BootWarning": "",
        "Updates": [],
        "BlockedReason": "",
        "Mounts": [],
        "CurrentJob": "/",
    }
    return values | changed


def stick_image(name: str, sha256: str, title: str) -> Dict:
    return {
        "name": Variant("s", name),
        "title": Variant("s", title),
        "reference": Variant("s", f"image:{sha256}"),
        "sha256": Variant("s", sha256),
        "size": Variant("t", 3 * GIB),
        "source": Variant("s", "import"),
        "recipe": Variant("s", "debian-live"),
        "added": Variant("t", 1_700_000_000),
        "firmware": Variant("as", ["bios", "uefi"]),
    }


def devices() -> dict[str, Dict]:
    images = [stick_image("debian.iso", SHA_A, "Debian Live 12.5"), stick_image("arch.iso", SHA_B, "Arch Linux")]
    return {
        USB: device(
            USB_ID, DeviceNode="/dev/sdb", Vendor="Kingston", Model="DataTraveler", Serial="001A", State="foreign"
        ),
        STICK: device(
            STICK_ID,
            DeviceNode="/dev/sdc",
            Vendor="SanDisk",
            Model="Ultra",
            Serial="77",
            State="luxusb",
            FreeBytes=9 * GIB,
            Images=images,
        ),
        SYSTEM: device(
            "ata-Samsung-1",
            DeviceNode="/dev/sda",
            Vendor="Samsung",
            Model="970",
            Serial="1",
            Bus="ata",
            Removable=False,
            State="busy",
            BlockedReason="The running system lives on this disk.",
        ),
    }


def release(version: str, edition: str = "", size: int = 3 * GIB, end_of_life: str = "") -> Dict:
    return {
        "version": Variant("s", version),
        "release_date": Variant("s", "2026-02-10"),
        "edition": Variant("s", edition),
        "architecture": Variant("s", "amd64"),
        "size": Variant("t", size),
        "sha256": Variant("s", SHA_A),
        "url": Variant("s", "https://example.org/a.iso"),
        "trust": Variant("s", "signed"),
        "origin": Variant("s", "packaged"),
        "family": Variant("s", "debian-live"),
        "secure_boot": Variant("s", "yes" if size else "unknown"),
        "end_of_life": Variant("s", end_of_life),
        "ended": Variant("b", bool(end_of_life)),
        "mirrors": Variant(
            "aa{sv}", [{"url": Variant("s", "https://example.org/a.iso"), "country": Variant("s", "DE")}]
        ),
    }


def distro(name: str, title: str, rank: int, category: str, *releases: Dict) -> Dict:
    return {
        "id": Variant("s", name),
        "name": Variant("s", title),
        "description": Variant("s", f"{title} is a system."),
        "homepage": Variant("s", f"https://{name}.example.org/"),
        "category": Variant("s", category),
        "popularity_rank": Variant("u", rank),
        "origin": Variant("s", "packaged"),
        "releases": Variant("aa{sv}", list(releases)),
    }


def traced(found: Dict, *, origins: bool) -> Dict:
    """A distribution with where it comes from, if that was asked for."""
    if not origins:
        return found
    place = {"origin": Variant("s", "packaged"), "document": Variant("s", "/usr/share/luxusb/data/distros.json")}
    releases = [{**release, "document": place["document"]} for release in found["releases"].value]
    return {
        **found,
        "releases": Variant("aa{sv}", releases),
        "origins": Variant("aa{sv}", [{"field": Variant("s", name), **place} for name in ("name", "description")]),
    }


def distros() -> list[Dict]:
    return [
        distro("debian-live", "Debian Live", 1, "desktop", release("12.5", "xfce"), release("12.4")),
        distro("ubuntu", "Ubuntu", 2, "desktop", release("26.04", size=0)),
        distro("sysrescue", "SystemRescue", 3, "rescue", release("11.0")),
    ]


def stored(name: str, sha256: str) -> Dict:
    return {
        "reference": Variant("s", f"image:{sha256}"),
        "sha256": Variant("s", sha256),
        "name": Variant("s", name),
        "size": Variant("t", 3 * GIB),
        "added": Variant("t", 1_700_000_000),
        "source": Variant("s", "import"),
        "trust": Variant("s", "none"),
        "genuine_reference": Variant("s", ""),
        "genuine": Variant("s", ""),
        "bootable": Variant("b", True),
        "family": Variant("s", "debian"),
        "system": Variant("s", "Debian GNU/Linux 12.5"),
        "in_use": Variant("b", False),
        "pinned": Variant("b", False),
        "last_used": Variant("t", 1_700_086_400),
    }


def pruned(kind: str, name: str, sha256: str) -> Dict:
    return {
        "kind": Variant("s", kind),
        "reference": Variant("s", f"image:{sha256}" if kind in {"image", "import"} else ""),
        "sha256": Variant("s", sha256),
        "name": Variant("s", name),
        "size": Variant("t", 3 * GIB),
        "last_used": Variant("t", 1_700_086_400),
    }


def unneeded() -> list[Dict]:
    return [pruned("image", "debian.iso", SHA_A), pruned("partial", "Ubuntu 26.04", "c3" * 32)]


def images() -> dict[str, Dict]:
    return {
        f"image:{SHA_A}": stored("debian.iso", SHA_A),
        f"image:{SHA_B}": stored("arch.iso", SHA_B),
    }


def settings() -> Dict:
    return {
        "downloads.max_parallel": Variant("u", 3),
        "devices.allow_loop": Variant("b", False),
        "mirrors.exclude": Variant("as", ["XX", "YY"]),
    }


def recipes() -> Dict:
    """Two boot recipes in force, and one that is not."""

    def recipe(name: str, origin: str, systems: list[str], *, bootable: bool) -> Dict:
        return {
            "origin": Variant("s", origin),
            "id": Variant("s", name),
            "version": Variant("t", 3),
            "family": Variant("s", name),
            "priority": Variant("t", 50),
            "systems": Variant("as", systems),
            "bootable": Variant("b", bootable),
            "filesystems": Variant("as", ["ext4"]),
            "toram": Variant("s", "entry"),
            "persistence": Variant("s", "file"),
        }

    found = [
        recipe("casper", "catalog", ["Ubuntu", "Mint\x1b[31m"], bootable=True),
        recipe("windows", "packaged", ["Windows"], bootable=False),
    ]
    return {"recipes": Variant("aa{sv}", found), "problems": Variant("as", ["catalog, recipe 3: broken"])}


def catalog_status() -> Dict:
    return {
        "url": Variant("s", "https://school.example/distros.json"),
        "updated": Variant("t", 1_800_000_000),
        "checked": Variant("t", 1_800_086_400),
        "made": Variant("t", 1_799_990_000),
        "serial": Variant("t", 7),
        "expires": Variant("t", 1_805_000_000),
        "fingerprint": Variant("s", "AB" * 20),
        "previous": Variant("b", False),
        "problems": Variant("as", []),
        "feeds": Variant("t", 54),
        "feeds_asked": Variant("t", 1_800_086_400),
        "feeds_failed": Variant("as", ["gparted"]),
    }


def asked() -> Dict:
    """What feeds add to the result of an update."""
    return {
        "feeds_asked": Variant("t", 54),
        "feeds_changed": Variant("t", 3),
        "feeds_unchanged": Variant("t", 50),
        "feeds_failed": Variant("t", 1),
        "failed_feeds": Variant("as", ["gparted"]),
        "feed_problems": Variant("as", ["feed gparted: the key of its maker is not at hand \x1b[2J"]),
    }


def updated() -> Dict:
    """The result of an update of the catalogue."""
    return {
        "updated": Variant("b", True),
        "serial": Variant("t", 7),
        "expires": Variant("t", 1_805_000_000),
        "added": Variant("as", ["school", "exam"]),
        "changed": Variant("as", ["debian"]),
        "removed": Variant("as", []),
    }


BANNED_UNTIL = 1_800_000_000


def mirrors() -> list[Dict]:
    return [
        {
            "url": Variant("s", "https://fast.example.org/a.iso"),
            "country": Variant("s", "DE"),
            "rate": Variant("t", 20 * 1024**2),
            "latency": Variant("d", 0.025),
            "success_rate": Variant("d", 0.98),
            "measured": Variant("t", 1_790_000_000),
            "state": Variant("s", "ok"),
            "preferred": Variant("b", True),
            "host": Variant("s", "fast.example.org"),
        },
        {"url": Variant("s", "https://new.example.org/a.iso"), "state": Variant("s", "untried")},
        {
            "url": Variant("s", "https://liar.example.org/a.iso"),
            "country": Variant("s", "US"),
            "state": Variant("s", "banned"),
            "until": Variant("t", BANNED_UNTIL),
            "reason": Variant("s", "its bytes differed"),
        },
    ]


def inspected() -> dict[str, Variant]:
    """What InspectImage tells beside the entries."""
    partition = {
        "number": Variant("t", 1),
        "type": Variant("s", "17"),
        "label": Variant("s", "ESP"),
        "filesystem": Variant("s", "FAT32"),
        "start": Variant("t", 1 << 20),
        "size": Variant("t", 4 << 20),
        "active": Variant("b", True),
    }
    record = {
        "platform": Variant("s", "bios"),
        "emulation": Variant("s", ""),
        "bootable": Variant("b", True),
        "start": Variant("t", 4096),
        "size": Variant("t", 2048),
    }
    program = {
        "path": Variant("s", "/live/vmlinuz"),
        "architecture": Variant("s", "amd64"),
        "signed": Variant("b", True),
        "signers": Variant("as", ["Debian Secure Boot Signer"]),
    }
    return {
        "uuid": Variant("s", "2024-02-10-11-27-00-00"),
        "recipe_version": Variant("t", 2),
        "minimum_memory": Variant("t", 512 << 20),
        "toram": Variant("s", "entry"),
        "persistence": Variant("s", "file"),
        "persistence_filesystems": Variant("as", ["ext4"]),
        "container": Variant("s", "iso9660+udf"),
        "names": Variant("s", "rock-ridge"),
        "partition_table": Variant("s", "mbr"),
        "partitions": Variant("aa{sv}", [partition]),
        "boot_records": Variant("aa{sv}", [record]),
        "programs": Variant("aa{sv}", [program]),
        "sha256": Variant("s", ""),
        "genuine": Variant("s", ""),
    }


def probed(verdict: str, capacity: int) -> dict[str, Variant]:
    """The Result of ProbeCapacity for a disk that says it has 16 GiB."""
    rows = [(0, capacity, "good"), (capacity, 16 * GIB - capacity, "good" if capacity == 16 * GIB else "wrapped")]
    regions = [
        {"start": Variant("t", start), "size": Variant("t", size), "state": Variant("s", state)}
        for start, size, state in rows
        if size
    ]
    numbers = {"size": 16 * GIB, "capacity": capacity, "write_rate": 10 << 20, "read_rate": 20 << 20}
    return {
        "mode": Variant("s", "quick"),
        "verdict": Variant("s", verdict),
        "message": Variant("s", ""),
        "regions": Variant("aa{sv}", regions),
        **{key: Variant("t", value) for key, value in numbers.items()},
    }


def raw() -> dict[str, Variant]:
    """What a plan says of an image that is written byte for byte."""
    return {
        "packing": Variant("s", "xz"),
        "size": Variant("t", 4 * GIB),
        "starts": Variant("s", "hybrid"),
        "mapped": Variant("t", GIB),
    }
