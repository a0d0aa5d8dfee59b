"""What a repair of a stick found, what it did about it, and what is lost: values for its result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from luxusbd.stick.model import ManifestImage


class Area(StrEnum):
    """The part of a stick that a finding is about."""

    TABLE = "partition-table"
    FILESYSTEM = "filesystem"
    LEFTOVERS = "leftovers"
    MANIFEST = "manifest"
    BOOT_FILES = "boot-files"
    MENU = "menu"
    IMAGE = "image"


@dataclass(frozen=True)
class Finding:
    """One thing that was wrong."""

    area: Area
    problem: str
    done: str
    """What was done about it."""


@dataclass
class Findings:
    """What a repair comes to know, in its order."""

    found: list[Finding] = field(default_factory=list)
    lost: list[dict[str, Any]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    """What e2fsck said."""

    def note(self, area: Area, problem: str, done: str) -> None:
        """Something was wrong."""
        self.found.append(Finding(area, problem, done))

    def lose(self, images: Iterable[ManifestImage], reason: str) -> None:
        """Images are not in the menu any more, or never came to be in it."""
        self.lost += [lost(image, reason) for image in images]

    def to_json(self) -> dict[str, Any]:
        """As the result of an order has them."""
        return {
            "findings": [{"area": item.area.value, "problem": item.problem, "done": item.done} for item in self.found],
            "lost": self.lost,
            "filesystem_log": self.log,
        }


def lost(image: ManifestImage, reason: str) -> dict[str, Any]:
    """A lost image as a result tells it."""
    return {
        "name": image.name,
        "title": image.title,
        "sha256": image.sha256,
        "size": image.size,
        "source": image.source,
        "reason": reason,
    }
