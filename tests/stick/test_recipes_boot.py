"""A sample of the systems, started by real GRUB with a real kernel: the command line arrives word by word."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from luxusbd.images.recognise import recognise
from luxusbd.stick import reader, writer
from luxusbd.stick.model import StickOperation, StickOptions
from tests.harness import tinyinit
from tests.images.builders import INSTALLER, build_iso
from tests.images.systems import ROWS
from tests.images.systems.row import Row
from tests.stick import helpers
from tests.stick.boot import boot

pytestmark = pytest.mark.boot

SAMPLE = (
    ("Ubuntu-24.04.1", False),
    ("Debian-GNU-Linux-Live-12.5.0", True),
    ("Clonezilla-live-3.1.3-16", False),
    ("Fedora-Workstation-41", False),
    ("Arch-Linux-2022.06.01", True),
    ("SystemRescue-11.01", False),
)


def build(row: Row, directory: Path) -> Path:
    """The image of a row, with Debian's kernel, and initrds each of which leaves a file of its own behind."""
    files = {path: text.encode() if isinstance(text, str) else text for path, text in row.tree.items()}
    files[row.kernel] = (INSTALLER / "linux").read_bytes()
    *first, last = row.initrds.split()
    files |= {path: tinyinit.archive({f"early-{number}": b""}) for number, path in enumerate(first)}
    files[last] = tinyinit.initrd("last")
    return build_iso(directory / "image.iso", files, "-R", "-J", volume_id=row.label)


@pytest.mark.parametrize(("name", "uefi"), SAMPLE, ids=[name for name, _ in SAMPLE])
async def test_the_kernel_is_given_what_the_table_says(name: str, uefi: bool, tmp_path: Path) -> None:
    row = next(row for row in ROWS if row.id == name)
    iso = build(row, tmp_path)
    with iso.open("rb") as file:
        found = recognise(file.fileno())
    assert found.recipe == row.recipe
    image = helpers.source(
        iso,
        "the+image-1.0.iso",
        title=row.name,
        entries=found.entries,
        volume_id=found.volume_id,
        iso_uuid=found.iso_uuid,
    )
    stick = tmp_path / "stick.img"
    fd = helpers.empty_target(stick)
    try:
        order = helpers.order(
            StickOperation.CREATE, fd, add=(image,), options=StickOptions(timeout=1, serial_console=True)
        )
        await writer.execute(order, lambda _progress: None)
        contents = reader.read_stick(fd, helpers.SIZE)
    finally:
        os.close(image.fd)
        os.close(fd)
    assert contents is not None
    expected = row.parameters
    for placeholder, value in (
        ("{iso}", "/iso/the+image-1.0.iso"),
        ("{data_uuid}", contents.manifest.data_uuid),
        ("{volume_id}", row.label),
    ):
        expected = expected.replace(placeholder, value)
    shown = boot(stick, tmp_path, tinyinit.END, uefi=uefi).rpartition(tinyinit.BEGIN)[2]
    line = next(line for line in shown.splitlines() if line.startswith("command line: "))
    assert line.removeprefix("command line: ") == f"BOOT_IMAGE=(loop){row.kernel} {expected}"
    there = {line.removeprefix("found: ") for line in shown.splitlines() if line.startswith("found: ")}
    assert there >= {"last", *(f"early-{number}" for number in range(len(row.initrds.split()) - 1))}
