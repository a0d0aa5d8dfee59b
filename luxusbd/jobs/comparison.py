"""What a comparison of a stick with its manifest is to look for, and what it found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import ManifestImage

MAX_SKIPPED = 200
"""Files left out that a result names."""


@dataclass(frozen=True)
class Skipped:
    """A file in /iso that gets no entry."""

    name: str
    reason: str


@dataclass(frozen=True)
class How:
    """What a comparison reads and makes of it."""

    thorough: bool = False
    """Also hash the files that have their size and were not touched since they got their entry."""
    mending: bool = False
    """Bytes that differ in a file that nobody touched are damage, not another image."""
    newcomers: bool = True
    """Give files entries that never had one."""
    kind: Kind | None = None
    """The filesystem that all of them are on; None where that differs or does not matter."""


class Fate(Enum):
    """Why an image loses its entry."""

    GONE = auto()
    """It has no file."""
    DAMAGED = auto()
    """Its bytes are no image any more, and nobody changed them by hand."""
    UNREADABLE = auto()
    """The medium gives input/output errors."""
    UNFIT = auto()
    """What somebody put in its place cannot be started."""


@dataclass(frozen=True)
class LostImage:
    """An image that loses its entry."""

    image: ManifestImage
    fate: Fate
    reason: str


@dataclass(frozen=True)
class Comparison:
    """What has to change so that the manifest fits the files."""

    found: tuple[ManifestImage, ...] = ()
    """New and changed images, whole; each takes the place of the one of its name."""
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    """Names in the manifest whose file is gone, or cannot be started any more."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Old name by new name, for files that got another name by hand."""
    lost: tuple[LostImage, ...] = ()
    """Those of `removed` that are under no other name on the stick either."""
    skipped: tuple[Skipped, ...] = ()
    unchanged: int = 0

    @property
    def empty(self) -> bool:
        """Whether the manifest fits already."""
        return not self.found and not self.removed

    def result(self) -> dict[str, Any]:
        """As the job's Result tells it."""
        images = {image.name: image for image in self.found}

        def told(name: str) -> dict[str, Any]:
            image = images[name]
            return {
                "name": name,
                "title": image.title,
                "sha256": image.sha256,
                "size": image.size,
                "source": image.source,
                "renamed_from": self.renamed.get(name, ""),
            }

        more = len(self.skipped) - MAX_SKIPPED
        skipped = [{"name": item.name, "reason": item.reason} for item in self.skipped[:MAX_SKIPPED]]
        if more > 0:
            skipped.append({"name": "", "reason": f"and {more} more files"})
        return {
            "added": [told(name) for name in self.added],
            "changed": [told(name) for name in self.changed],
            "removed": list(self.removed),
            "skipped": skipped,
            "unchanged": self.unchanged,
        }
