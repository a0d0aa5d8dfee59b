"""Sticks for the matrix, made by the service itself: `luxusb create` against `luxusbd --private`, onto image files."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luxusbd.images.model import Firmware
from tests.demo.result import file_hash
from tests.harness.service import Service
from tests.matrix.cases import Filesystem

MIB = 1024 * 1024


class StickError(Exception):
    """A stick is not what the matrix says that it has to be; the text says what to change."""


@dataclass(frozen=True)
class OnStick:
    """An image as the stick has it."""

    title: str
    """As the menu shows it."""
    sha256: str
    recipe: str


@dataclass(frozen=True)
class Stick:
    """A finished stick."""

    path: Path
    images: Mapping[str, OnStick]
    """By the ids of the systems."""


async def make(service: Service, path: Path, filesystem: Filesystem, images: Mapping[str, Path]) -> Stick:
    """Make a stick with these images on a data partition with this filesystem.

    Raises:
        ServiceError: the service refuses or fails.
        StickError: it starts under other firmware than the matrix says.
    """
    path.unlink(missing_ok=True)
    size = -(-(sum(image.stat().st_size for image in images.values()) * 5 // 4 + 256 * MIB) // MIB)
    said = await service.ask(
        *("create", "--image-file", str(path), "--size", f"{size}MiB", "--yes", "--serial-console"),
        *filesystem.options,
        *map(str, images.values()),
        timeout=1800,
    )
    serves = frozenset(Firmware(name) for name in said["plan"]["firmware"])
    if serves != filesystem.firmware:
        raise StickError(
            f"a stick with {filesystem.name} starts under {_names(serves)}, and tests/matrix/cases.py says "
            f"{_names(filesystem.firmware)}: one of the two is wrong"
        )
    contents = await service.ask("contents", "--image-file", str(path))
    listed = {str(item["sha256"]): item for item in contents["images"]}
    return Stick(path, {name: await asyncio.to_thread(_on_stick, image, listed) for name, image in images.items()})


def _on_stick(image: Path, listed: Mapping[str, dict[str, Any]]) -> OnStick:
    sha256 = file_hash(image)
    if sha256 not in listed:
        raise StickError(f"the stick does not hold the bytes of {image}")
    return OnStick(str(listed[sha256]["title"]), sha256, str(listed[sha256]["recipe"]))


def _names(firmware: frozenset[Firmware]) -> str:
    return ", ".join(sorted(firmware)) or "nothing"
