"""What is on a stick, seen with three pairs of eyes: the daemon's own reader, GRUB's, and the kernel's."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from luxusbd.stick import gpt, menu, reader
from luxusbd.stick.blockio import read_at
from luxusbd.stick.ext4 import Ext4
from luxusbd.stick.model import PartitionRole, PlannedPartition, StickContents

IN_MENU = re.compile(r"/iso/([A-Za-z0-9._+-]+)")


def contents(path: Path) -> StickContents:
    """What our reader sees."""
    with path.open("rb") as file:
        found = reader.read_stick(file.fileno(), os.fstat(file.fileno()).st_size)
    assert found is not None, f"{path} is no stick"
    return found


def names(path: Path) -> list[str]:
    """The images of the manifest, in menu order."""
    return [image.name for image in contents(path).manifest.images]


def grub_file(path: Path, inner: str) -> bytes | None:
    """A file of the data partition as GRUB reads it from the raw image; None when it sees none."""
    done = subprocess.run(
        ["grub-fstest", str(path), "cat", f"(loop0,gpt3){inner}"], capture_output=True, check=False, timeout=60
    )
    return done.stdout if done.returncode == 0 else None


def grub_menu(path: Path) -> tuple[int, str]:
    """Generation and text of the menu that GRUB would show: the newer complete one."""
    found: dict[int, str] = {}
    for name in (menu.MENU_A, menu.MENU_B):
        data = grub_file(path, name)
        if (generation := menu.generation_of(data)) is not None:
            assert data is not None
            found[generation] = data.decode()
    assert found, f"{path}: GRUB sees no complete menu"
    newest = max(found)
    return newest, found[newest]


def grub_images(path: Path) -> dict[str, str]:
    """The images that GRUB's menu starts, by name, with the sha256 of what GRUB reads of them."""
    _generation, text = grub_menu(path)
    found: dict[str, str] = {}
    for name in sorted(set(IN_MENU.findall(text))):
        data = grub_file(path, f"/iso/{name}")
        assert data is not None, f"{path}: the menu names {name}, and GRUB does not find it"
        found[name] = hashlib.sha256(data).hexdigest()
    return found


@contextlib.contextmanager
def mounted(path: Path, point: Path) -> Iterator[Path]:
    """The data partition mounted by the kernel, read-only and without a look at its journal. Needs root."""
    part = data_partition(path)
    point.mkdir()
    node = run("losetup", "-f", "--show", "-r", "-o", str(part.start), "--sizelimit", str(part.size), str(path))
    try:
        run("mount", "-t", "ext4", "-o", "ro,noload", node, str(point))
        try:
            yield point
        finally:
            run("umount", str(point))
    finally:
        run("losetup", "-d", node)
        point.rmdir()


def data_partition(path: Path) -> PlannedPartition:
    """Where the data partition of a stick is."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        table = gpt.read(read_at(file.fileno()), size)
    assert table is not None
    layout = gpt.stick_layout(table, size)
    assert layout is not None
    return layout.partition(PartitionRole.DATA)


def run(*argv: str) -> str:
    """Output of a program that must succeed."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout.strip()


def check(path: Path) -> dict[str, str]:
    """Everything that has to hold for a stick at rest; its images by name with their hashes, as GRUB sees them."""
    seen = contents(path)
    assert seen.damage == ""
    expected = {image.name: image.sha256 for image in seen.manifest.images}
    generation, _text = grub_menu(path)
    assert generation >= seen.manifest.generation
    assert grub_images(path) == expected
    return expected


def files(path: Path, inner: str) -> set[str]:
    """What lies in a directory of the data partition."""
    part = data_partition(path)
    with path.open("rb") as file:
        read = read_at(file.fileno())
        return set(Ext4(lambda offset, length: read(part.start + offset, length), part.size).list(inner))
