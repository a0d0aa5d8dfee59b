"""Images, orders and checks that the tests of this part share."""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from luxusbd.images.model import BootEntry, BootMethod, Firmware
from luxusbd.stick import menu, reader, sums
from luxusbd.stick.filesystem import DataFilesystem
from luxusbd.stick.model import (
    MIB,
    Manifest,
    ManifestImage,
    SourceImage,
    StickOperation,
    StickOptions,
    StickOrder,
)

SIZE = 200 * MIB
BOTH = frozenset({Firmware.BIOS, Firmware.UEFI})
UUID = "11111111-2222-3333-4444-555555555555"


def entry(title: str = "Start", **changes: object) -> BootEntry:
    values: dict[str, object] = {
        "title": title,
        "method": BootMethod.LINUX,
        "firmware": BOTH,
        "kernel": "/live/vmlinuz",
        "initrds": ("/live/initrd.img",),
        "parameters": ("boot=live", "findiso={iso}", "quiet"),
    }
    return BootEntry(**{**values, **changes})  # type: ignore[arg-type]


def image(name: str = "one.iso", title: str = "One", **changes: object) -> ManifestImage:
    values: dict[str, object] = {
        "name": name,
        "title": title,
        "sha256": hashlib.sha256(name.encode()).hexdigest(),
        "size": 1000,
        "source": "import",
        "recipe": "debian-live",
        "family": "debian",
        "version": "12",
        "architecture": "amd64",
        "volume_id": "d-live 12",
        "iso_uuid": "2024-10-24-13-58-33-00",
        "added": 0,
        "entries": (entry(),),
    }
    return ManifestImage(**{**values, **changes})  # type: ignore[arg-type]


def manifest(*images: ManifestImage, generation: int = 5, options: StickOptions | None = None) -> Manifest:
    return Manifest(
        stick_id=UUID,
        data_uuid=UUID,
        esp_serial="1A2B-3C4D",
        generation=generation,
        created=1,
        updated=2,
        options=options or StickOptions(),
        firmware=BOTH,
        boot_files=(("esp", 2 * MIB, 100, "0" * 64),),
        images=images,
        luxusbd="0",
    )


def source(path: Path, name: str, **changes: object) -> SourceImage:
    """A source whose descriptor the caller leaves to the end of the process."""
    data = path.read_bytes()
    return SourceImage(
        os.open(path, os.O_RDONLY),
        image(name, **{"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), **changes}),  # type: ignore[arg-type]
    )


def random_file(path: Path, size: int, seed: int) -> Path:
    path.write_bytes(random.Random(seed).randbytes(size))
    return path


def empty_target(path: Path, size: int = SIZE) -> int:
    with path.open("wb") as file:
        file.truncate(size)
    return os.open(path, os.O_RDWR)


def order(operation: StickOperation, fd: int, **changes: object) -> StickOrder:
    values: dict[str, object] = {
        "operation": operation,
        "fd": fd,
        "node": "",
        "disk_seq": 0,
        "size": SIZE,
        "options": StickOptions(),
    }
    return StickOrder(**{**values, **changes})  # type: ignore[arg-type]


class Snapshots:
    """Copies the medium after every step, as a power cut there would leave it."""

    def __init__(self, medium: Path, directory: Path) -> None:
        self._medium = medium
        self._directory = directory
        self.taken: list[tuple[str, Path]] = []
        directory.mkdir()

    def __call__(self, step: str) -> None:
        path = self._directory / f"{len(self.taken):02}.img"
        subprocess.run(["cp", "--sparse=always", self._medium, path], check=True)
        self.taken.append((step, path))


def grub_read(medium: Path, path: str, *, partition: int = 3) -> bytes | None:
    """A file of the data partition, or of another one, as GRUB's own filesystem code reads it."""
    done = subprocess.run(
        ["grub-fstest", medium, "cat", f"(loop0,gpt{partition}){path}"], capture_output=True, check=False, timeout=60
    )
    return done.stdout if done.returncode == 0 and not done.stderr else None


def check_boots(medium: Path, sources: dict[str, Path]) -> tuple[int, frozenset[str]]:
    """GRUB finds a complete menu whose every image is whole, and the reader agrees.

    Returns the generation of that menu and the images it shows.
    """
    texts = [grub_read(medium, path) for path in (menu.MENU_A, menu.MENU_B)]
    generations = [menu.generation_of(text) or 0 for text in texts]
    assert max(generations) > 0, "GRUB finds no complete menu"
    text = texts[generations.index(max(generations))]
    assert text is not None
    shown = frozenset(re.findall(r'\[ -e "\(\$data\)/iso/([^"]+)" \]; then ', text.decode()))
    for name in shown:
        done = subprocess.run(
            ["grub-fstest", medium, "cmp", f"(loop0,gpt3)/iso/{name}", sources[name]],
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr, done.stderr
    fd = os.open(medium, os.O_RDONLY)
    try:
        contents = reader.read_stick(fd, medium.stat().st_size)
    finally:
        os.close(fd)
    assert contents is not None
    assert contents.damage in ("", "the boot menu is older than the list of images; repair the stick") or (
        contents.damage.startswith("the stick was not finished when it was made: ")
    ), contents.damage
    assert contents.manifest.generation in (max(generations), max(generations) + 1)
    return max(generations), shown


def beside_menu(filesystem: DataFilesystem) -> set[str]:
    """What belongs into the directory of the menu."""
    images = reader.load_manifest(filesystem).images
    return {"stick.json", "menu-a.cfg", "menu-b.cfg"} | {sums.sums_path(image).rpartition("/")[2] for image in images}


@contextmanager
def loop_device(path: Path, *options: str) -> Iterator[str]:
    done = subprocess.run(["losetup", "-fP", "--show", *options, path], check=True, capture_output=True, text=True)
    node = done.stdout.strip()
    try:
        yield node
    finally:
        gone = subprocess.run(["losetup", "-d", node], check=False, capture_output=True, text=True)
        assert gone.returncode == 0, gone.stderr
