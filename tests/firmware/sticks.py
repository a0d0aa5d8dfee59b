"""Sticks made in this process, with the GRUB that `packages` has."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

from luxusbd.images.model import Certificate, Firmware
from luxusbd.images.recognise import recognise
from luxusbd.stick import grub, reader, secureboot, writer
from luxusbd.stick.model import MIB, StickOperation, StickOptions
from tests.stick import helpers

UNSIGNED = Path("/nonexistent")


async def make(
    path: Path,
    image: Path,
    title: str,
    *,
    modules: Path | None = None,
    certificates: tuple[Certificate, ...] = (),
) -> frozenset[Firmware]:
    """Make a stick with one image; the firmware that it serves.

    With `modules` every kind of UEFI starts an unsigned GRUB made of these, else this machine's GRUB is taken.
    """
    with image.open("rb") as file:
        found = recognise(file.fileno())
    source = helpers.source(
        image,
        "image.iso",
        title=title,
        architecture=found.architecture,
        entries=found.entries,
        volume_id=found.volume_id,
        iso_uuid=found.iso_uuid,
    )
    size = -(-image.stat().st_size // MIB) * MIB * 5 // 4 + 256 * MIB
    fd = helpers.empty_target(path, size)
    options = StickOptions(timeout=30, serial_console=True, certificates=certificates)
    order = helpers.order(StickOperation.CREATE, fd, add=(source,), options=options, size=size)
    root, shims = (grub.MODULE_ROOT, secureboot.SHIM_DIRECTORY) if modules is None else (modules, UNSIGNED)
    try:
        with mock.patch.object(grub, "MODULE_ROOT", root), mock.patch.object(secureboot, "SHIM_DIRECTORY", shims):
            await writer.execute(order, lambda _progress: None)
        contents = reader.read_stick(fd, size)
    finally:
        os.close(source.fd)
        os.close(fd)
    assert contents is not None
    return contents.manifest.firmware
