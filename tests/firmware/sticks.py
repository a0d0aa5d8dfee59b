"""Sticks made in this process, with the loaders that `packages` has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

from luxusbd.images.model import Certificate, Firmware
from luxusbd.images.recognise import recognise
from luxusbd.stick import grub, reader, secureboot, writer
from luxusbd.stick.model import MIB, SourceImage, StickOperation, StickOptions
from tests.firmware.packages import Unpacked
from tests.stick import helpers


async def make(
    path: Path,
    images: Mapping[str, Path],
    *,
    loaders: Unpacked | None = None,
    certificates: tuple[Certificate, ...] = (),
) -> frozenset[Firmware]:
    """Make a stick with images by their titles; the firmware that it serves.

    With `loaders` it has those, else this machine's.
    """
    sources = [_source(title, image) for title, image in images.items()]
    size = -(-sum(source.image.size for source in sources) // MIB) * MIB * 5 // 4 + 256 * MIB
    fd = helpers.empty_target(path, size)
    options = StickOptions(timeout=30, serial_console=True, certificates=certificates)
    order = helpers.order(StickOperation.CREATE, fd, add=tuple(sources), options=options, size=size)
    try:
        with ExitStack() as stack:
            if loaders is not None:
                stack.enter_context(mock.patch.object(grub, "MODULE_ROOT", loaders.modules))
                stack.enter_context(mock.patch.object(secureboot, "SHIM_DIRECTORY", loaders.shims))
            await writer.execute(order, lambda _progress: None)
        contents = reader.read_stick(fd, size)
    finally:
        for descriptor in (fd, *(source.fd for source in sources)):
            os.close(descriptor)
    assert contents is not None
    return contents.manifest.firmware


def _source(title: str, path: Path) -> SourceImage:
    with path.open("rb") as file:
        found = recognise(file.fileno())
    return helpers.source(
        path,
        path.name,
        title=title,
        recipe=found.recipe,
        architecture=found.architecture,
        entries=found.entries,
        volume_id=found.volume_id,
        iso_uuid=found.iso_uuid,
    )
