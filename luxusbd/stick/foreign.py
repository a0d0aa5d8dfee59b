"""Values that say what a stick of another program holds: of an older LUXusb, which can be taken over, or of Ventoy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from luxusbd.text import clean

MAX_IMAGES = 200
"""Images that are listed."""
PATH_LIMIT = 255
TEXT_LIMIT = 400
NOTES_LIMIT = 16
_MAX = 1 << 63


class Maker(StrEnum):
    """Which program made a stick."""

    OLD_LUXUSB = "luxusb-0.6.3"
    VENTOY = "ventoy"


NAMES = {Maker.OLD_LUXUSB: "LUXusb 0.6.3", Maker.VENTOY: "Ventoy"}
"""As people know them."""


@dataclass(frozen=True)
class ForeignImage:
    """An image file on such a stick."""

    path: str
    """Untrusted, made fit to be shown."""
    size: int
    volume_id: str
    """What an ISO 9660 image calls itself, untrusted; empty for another file."""


@dataclass(frozen=True)
class ForeignStick:
    """A stick of another program."""

    maker: Maker
    filesystem: str
    """Of the partition with the images, as people call it."""
    images: tuple[ForeignImage, ...] = ()
    notes: tuple[str, ...] = ()
    """What a takeover does, or why images are not listed; a sentence each."""
    refusal: str = ""
    """Why nothing but `create` may write it; empty for one that can be taken over."""

    @property
    def line(self) -> str:
        """What an erase would destroy, in a line."""
        count = len(self.images)
        return f"{NAMES[self.maker]} stick with {count} image{'' if count == 1 else 's'}"


def to_json(found: ForeignStick | None) -> dict[str, Any] | None:
    """As a JSON object."""
    if found is None:
        return None
    return {
        "maker": found.maker.value,
        "filesystem": found.filesystem,
        "images": [{"path": each.path, "size": each.size, "volume_id": each.volume_id} for each in found.images],
        "notes": list(found.notes),
        "refusal": found.refusal,
    }


def from_json(document: Mapping[str, Any] | None) -> ForeignStick | None:
    """What `to_json` made, and a process without privileges sent: bounded, and fit to be shown."""
    if document is None:
        return None
    return ForeignStick(
        maker=Maker(document["maker"]),
        filesystem=clean(str(document["filesystem"]), PATH_LIMIT),
        images=tuple(
            ForeignImage(
                clean(str(item["path"]), PATH_LIMIT) or "?",
                min(max(0, int(item["size"])), _MAX),
                clean(str(item["volume_id"]), PATH_LIMIT),
            )
            for item in list(document["images"])[:MAX_IMAGES]
        ),
        notes=tuple(clean(str(note), TEXT_LIMIT) for note in list(document["notes"])[:NOTES_LIMIT]),
        refusal=clean(str(document["refusal"]), TEXT_LIMIT),
    )
