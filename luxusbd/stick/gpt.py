"""A stick's partition table: finds the parts of a LUXusb stick in a GUID partition table."""

from __future__ import annotations

from collections.abc import Iterable

from luxusbd.images.gpt import GptEntry, GptTable, read
from luxusbd.stick.layout import (
    COMPANION_NAME,
    DATA_NAME,
    PERSISTENCE_NAME,
    SHARE_NAME,
    TYPE_BASIC_DATA,
    TYPE_BIOS_BOOT,
    TYPE_ESP,
    TYPE_LINUX,
)
from luxusbd.stick.model import Layout, PartitionRole, PlannedPartition

__all__ = ["GptEntry", "GptTable", "read", "stick_layout", "stick_layout_of"]

_ROLES = {
    (TYPE_BIOS_BOOT, "LUXBIOS"): PartitionRole.BIOS_BOOT,
    (TYPE_ESP, "LUXESP"): PartitionRole.ESP,
    (TYPE_LINUX, DATA_NAME): PartitionRole.DATA,
    (TYPE_BASIC_DATA, DATA_NAME): PartitionRole.DATA,
    (TYPE_LINUX, COMPANION_NAME): PartitionRole.COMPANION,
    (TYPE_BASIC_DATA, SHARE_NAME): PartitionRole.SHARE,
    (TYPE_LINUX, PERSISTENCE_NAME): PartitionRole.PERSISTENCE,
}
_NEEDED = {PartitionRole.BIOS_BOOT, PartitionRole.ESP, PartitionRole.DATA}


def stick_layout(table: GptTable, size: int) -> Layout | None:
    """The layout of a LUXusb stick, recognised by types and names; None when the table is another one."""
    return stick_layout_of(table.entries, size)


def stick_layout_of(entries: Iterable[GptEntry], size: int) -> Layout | None:
    """As `stick_layout`, for the rows of one copy of a table."""
    parts: dict[PartitionRole, PlannedPartition] = {}
    for entry in entries:
        role = _ROLES.get((entry.type_guid, entry.name))
        if role is not None and role not in parts:
            parts[role] = PlannedPartition(entry.number, role, entry.name, entry.type_guid, entry.start, entry.size)
    if not set(parts) >= _NEEDED:
        return None
    return Layout(size, tuple(sorted(parts.values(), key=lambda part: part.number)))
