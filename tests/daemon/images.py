"""Small systems for tests: ISOs with a kernel and an initrd that are recognised, and two that really boot."""

from __future__ import annotations

import hashlib
import random
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from luxusbd.images.model import Firmware
from tests.harness.images import BOTH, RealImage
from tests.images.builders import x86_kernel

MIB = 1024 * 1024
MEMTEST = Path("/usr/lib/memtest86+/memtest86+x64.iso")
RESCUE = Path("/usr/lib/grub-rescue/grub-rescue-cdrom.iso")


@dataclass(frozen=True)
class TestImage:
    """An image file and what is known of it."""

    __test__ = False

    id: str
    path: Path
    firmware: frozenset[Firmware]

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def reference(self) -> str:
        return f"image:{self.sha256}"

    def for_catalogue(self) -> RealImage:
        """As the catalogue of the mirrors wants it."""
        return RealImage(
            id=self.id,
            name=self.id.title(),
            description=f"{self.id} for tests",
            homepage="https://example.org",
            category="test",
            version="1.0",
            path=self.path,
            firmware=self.firmware,
        )


def make_iso(path: Path, files: Mapping[str, bytes], label: str) -> Path:
    """An ISO 9660 image with these files."""
    tree = path.with_suffix(".tree")
    for name, data in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    subprocess.run(
        ["xorriso", "-as", "mkisofs", "-quiet", "-r", "-J", "-V", label, "-o", str(path), str(tree)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return path


def bootable(directory: Path, name: str, size: int) -> TestImage:
    """An image that the recipe of Debian's mini.iso fits, of about `size` bytes that do not compress."""
    return installer(directory, name, random.Random(name).randbytes(size))


def installer(directory: Path, name: str, noise: bytes) -> TestImage:
    size = len(noise)
    files = {
        "linux": noise[: size // 4],
        "initrd.gz": noise[size // 4 :],
        ".disk/mini-info": b"Debian GNU/Linux 12 network installer, amd64\n",
    }
    return TestImage(name, make_iso(directory / f"{name}.iso", files, name.upper()), BOTH)


def unbootable(directory: Path) -> TestImage:
    """An image that no recipe fits."""
    files = {"readme.txt": b"nothing to start here\n", "data.bin": random.Random(5).randbytes(MIB)}
    return TestImage("dull", make_iso(directory / "dull.iso", files, "DULL"), frozenset())


@dataclass(frozen=True)
class Images:
    """All images of a test session."""

    alpha: TestImage
    beta: TestImage
    large: TestImage
    huge: TestImage
    dull: TestImage
    memtest: TestImage
    rescue: TestImage

    @property
    def all(self) -> tuple[TestImage, ...]:
        return (self.alpha, self.beta, self.large, self.huge, self.dull, self.memtest, self.rescue)


def make_images(directory: Path) -> Images:
    return Images(
        alpha=bootable(directory, "alpha", 2 * MIB),
        beta=bootable(directory, "beta", 3 * MIB),
        large=bootable(directory, "large", 24 * MIB),
        huge=installer(directory, "huge", bytes(60 * MIB)),
        dull=unbootable(directory),
        memtest=TestImage("memtest", MEMTEST, BOTH),
        rescue=TestImage("rescue", RESCUE, frozenset({Firmware.BIOS})),
    )


def debian_live(directory: Path, version: str = "12.5.0") -> Path:
    """An image whose initramfs looks for it on ext4 or FAT32, and not on exFAT, and that can keep changes."""
    files = {
        "live/vmlinuz-6.1.0-18-amd64": x86_kernel(signer=b"Debian Secure Boot Signer"),
        "live/initrd.img-6.1.0-18-amd64": b"i",
        "live/filesystem.squashfs": b"hsqs",
        ".disk/info": f"Debian GNU/Linux {version} amd64".encode(),
    }
    return make_iso(directory / "debian.iso", files, "DEBIAN")
