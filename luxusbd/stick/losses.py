"""What an erase of a disk would lose, as values: for frontends, beside the lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from luxusbd.text import clean

LIMIT = 64
"""Entries that are taken from the process that looked."""
TEXT_LIMIT = 64
_MAX = 1 << 63


@dataclass(frozen=True)
class Loss:
    """A partition, or the filesystem on the whole disk."""

    number: int
    """0 for the whole disk."""
    filesystem: str
    """As people call it: ext4, NTFS; empty when nothing is recognised."""
    label: str
    size: int
    """Bytes of the partition."""
    used: int | None
    """Bytes that are used, None where the filesystem does not tell."""
    system: str = ""
    """What set the disk up, as far as it can be told: Ventoy, Windows, macOS, LUXusb; the same for all its entries."""


def to_json(losses: Iterable[Loss]) -> list[dict[str, Any]]:
    """As JSON objects."""
    return [
        {
            "number": loss.number,
            "filesystem": loss.filesystem,
            "label": loss.label,
            "size": loss.size,
            "used": loss.used,
            "system": loss.system,
        }
        for loss in losses
    ]


def from_json(documents: Iterable[Mapping[str, Any]]) -> tuple[Loss, ...]:
    """What `to_json` made, and a process without privileges sent: bounded, and fit to be shown."""
    return tuple(
        Loss(
            number=_number(item["number"]),
            filesystem=clean(str(item["filesystem"]), TEXT_LIMIT),
            label=clean(str(item["label"]), TEXT_LIMIT),
            size=_number(item["size"]),
            used=None if item["used"] is None else _number(item["used"]),
            system=clean(str(item["system"]), TEXT_LIMIT),
        )
        for item in list(documents)[:LIMIT]
    )


def _number(value: Any) -> int:
    return min(max(0, int(value)), _MAX)
