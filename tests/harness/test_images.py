"""The images of the demo come from this machine's packages and are what they claim to be."""

from __future__ import annotations

from pathlib import Path

from luxusbd.process import run
from tests.harness.images import find


async def test_three_images_and_a_mini_iso_with_what_the_installer_needs(tmp_path: Path) -> None:
    found = await find(tmp_path)
    assert len(found.images) >= 3, found.missing
    assert len({image.sha256() for image in found.images}) == len(found.images)
    mini = next(image for image in found.images if image.id == "debian-mini")
    listing = await run(["xorriso", "-indev", str(mini.path), "-find", "/", "-maxdepth", "3"])
    names = {line.strip("'") for line in listing.stdout.decode().splitlines()}
    assert {"/linux", "/initrd.gz", "/.disk/mini-info", "/boot/grub/grub.cfg", "/efi.img"} <= names

    before = mini.path.stat().st_mtime_ns
    again = await find(tmp_path)
    assert next(image for image in again.images if image.id == "debian-mini").path.stat().st_mtime_ns == before

    (tmp_path / "mini.iso.made-of").write_text("another package")
    await find(tmp_path)
    assert mini.path.stat().st_mtime_ns != before
