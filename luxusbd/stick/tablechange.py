"""Changes rows of a GUID partition table, both copies, so that the first of them is whole at every moment.

The second copy is written first. GRUB asks for no checksum, so that the rows that a stick uses have to change at once
for it, too: they lie in one sector, and the header, which is another one, leads to the old rows or the new ones.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from luxusbd.images.gpt import SECTOR, GptCopy
from luxusbd.stick.blockio import ReadAt
from luxusbd.stick.gptmend import written

_ROW = struct.Struct("<16s16sQQQ72s")
ROWS = 128
"""Rows of a table that is changed here."""


@dataclass(frozen=True)
class Row:
    """What a row is to say; bytes."""

    type_guid: str
    name: str
    start: int
    size: int
    guid: str = ""
    """Empty for a new one."""


def changed(good: GptCopy, rows: Mapping[int, Row | None]) -> GptCopy:
    """The table with some rows, by their numbers, made anew, or emptied where there is None.

    `entries` stay those of `good`; only `rows` are what is written.
    """
    data = bytearray(good.rows.ljust(ROWS * good.row_size, b"\0"))
    for number, row in rows.items():
        start = (number - 1) * good.row_size
        data[start : start + good.row_size] = bytes(good.row_size)
        if row is None:
            continue
        guid = uuid.UUID(row.guid) if row.guid else uuid.uuid4()
        _ROW.pack_into(
            data,
            start,
            uuid.UUID(row.type_guid).bytes_le,
            guid.bytes_le,
            row.start // SECTOR,
            (row.start + row.size) // SECTOR - 1,
            0,
            row.name.encode("utf-16-le"),
        )
    return replace(good, rows=bytes(data))


def writes(read: ReadAt, table: GptCopy, size: int) -> tuple[tuple[int, bytes], ...]:
    """(byte, data) to write in this order, each on the medium before the next."""
    return written(read, table, size)
