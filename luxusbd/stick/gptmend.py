"""Mends a stick's partition table: the copy that is broken is made anew from the one that is whole.

Layout of header, rows and protective MBR: UEFI specification 2.10, sections 5.2.3 and 5.3.2. What the kernel wants of
the protective MBR: Linux, block/partitions/efi.c, is_pmbr_valid.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from luxusbd.images.gpt import SECTOR, GptCopy, copies
from luxusbd.stick.blockio import ReadAt, sync, write_all
from luxusbd.stick.gpt import stick_layout_of
from luxusbd.stick.model import Layout

UNPROTECTED = "the protective MBR is broken, so that no system shows the partitions"

_SIGNATURE = 510
_MBR_ROWS = 446
_GPT_TYPE = 0xEE
_HEADER = 92
_FIRST_ROWS = 2
_ROWS_BESIDE = 34
"""Sector behind the usual rows; no partition of a stick begins before the first MiB."""
_ROWS_SECTORS = 32
"""Sectors of the 128 rows of 128 bytes that every table of this program has."""


@dataclass(frozen=True)
class TableState:
    """What the partition table of a stick is like."""

    layout: Layout
    problems: tuple[str, ...]
    """What is broken, a sentence each."""
    writes: tuple[tuple[int, bytes], ...]
    """(byte, data), in the order in which they mend it, each on the medium before the next: at every moment one copy
    is whole, and the first one, which alone Linux takes by itself, if it was so before."""


def examine(read: ReadAt, size: int) -> TableState | None:
    """Look at the table of a disk of `size` bytes; None when neither copy is that of a LUXusb stick."""
    primary, backup = copies(read, size)
    good = primary or backup
    layout = stick_layout_of(good.entries, size) if good is not None else None
    if good is None or layout is None:
        return None
    problems: list[str] = []
    end = size // SECTOR - 1
    if len(good.rows) > _ROWS_SECTORS * SECTOR or any(
        row.start + row.size > (end - _ROWS_SECTORS) * SECTOR or row.start < (_ROWS_SECTORS + 2) * SECTOR
        for row in good.entries
    ):
        # not one that this program made: a copy of it could overwrite what lies in a partition
        return TableState(layout, (), ())
    first, second = _first(read, good, size), _second(good, size)
    if primary is None:
        problems.append(_problem(primary, backup))
        # the whole one stays as it is until the first one is, and then only if it is not the usual one
        writes = (*first, *(second if not _is_usual(read, second) else ()))
    else:
        if primary != backup:
            problems.append(_problem(primary, backup))
        writes = second if primary != backup else ()
        if (primary.other, primary.last) != (end, end - _ROWS_SECTORS - 1):
            if backup is not None:
                problems.append("the partition table was made for a disk of another size")
            writes = (*writes, *first)
    if not is_protected(read):
        problems.append(UNPROTECTED)
        writes = (*writes, (0, _protective(read(0, SECTOR), size)))
    return TableState(layout, tuple(problems), writes)


def is_protected(read: ReadAt) -> bool:
    """Whether a disk has the MBR without which systems do not look for a GPT."""
    sector = read(0, SECTOR)
    if sector[_SIGNATURE:] != b"\x55\xaa":
        return False
    rows = (sector[at : at + 16] for at in range(_MBR_ROWS, _SIGNATURE, 16))
    return any(row[4] == _GPT_TYPE and row[8:12] == (1).to_bytes(4, "little") for row in rows)


def mend(fd: int, state: TableState) -> None:
    """Write what is broken, one piece after the other.

    Raises:
        DeviceError: the disk cannot be written.
    """
    for place, data in state.writes:
        write_all(fd, data, place)
        sync(fd)


def written(read: ReadAt, table: GptCopy, size: int) -> tuple[tuple[int, bytes], ...]:
    """(byte, data) to write, one after the other, so that a disk of `size` bytes has this table instead of its own.

    Both copies are whole at the end, and the first one at every moment if it is so now: Linux does not look for the
    second one by itself (block/partitions/efi.c, find_valid_gpt).
    """
    return (*_second(table, size), *_first(read, table, size))


def _second(table: GptCopy, size: int) -> tuple[tuple[int, bytes], ...]:
    end = size // SECTOR - 1
    return (((end - _ROWS_SECTORS) * SECTOR, _rows(table)), (end * SECTOR, _header(table, end, 1, size)))


def _first(read: ReadAt, table: GptCopy, size: int) -> tuple[tuple[int, bytes], ...]:
    """The writes after which the first copy is this table; it is whole in between if it was before.

    One sector decides, the header, which says where its rows are: new rows go beside, the header leads there, the usual
    place is written, and the header leads back.
    """
    end, rows = size // SECTOR - 1, _rows(table)
    header = _header(table, 1, end, size)
    if read(_FIRST_ROWS * SECTOR, len(rows)) == rows:
        return ((SECTOR, header),)
    at = int.from_bytes(read(SECTOR, SECTOR)[72:80], "little")
    # behind those of now, where another program put them over the usual place
    beside = _ROWS_BESIDE if at <= _FIRST_ROWS else _ROWS_BESIDE + _ROWS_SECTORS
    last: tuple[tuple[int, bytes], ...] = ((_FIRST_ROWS * SECTOR, rows), (SECTOR, header))
    if at >= _ROWS_BESIDE or any(row.start < (beside + _ROWS_SECTORS) * SECTOR for row in table.entries):
        return last
    return ((beside * SECTOR, rows), (SECTOR, _header(table, 1, end, size, rows_at=beside)), *last)


def _rows(table: GptCopy) -> bytes:
    return table.rows.ljust(_ROWS_SECTORS * SECTOR, b"\0")


def _is_usual(read: ReadAt, writes: Iterable[tuple[int, bytes]]) -> bool:
    return all(read(place, len(data)) == data for place, data in writes)


def _problem(primary: GptCopy | None, backup: GptCopy | None) -> str:
    if primary is None:
        return "the first copy of the partition table is broken"
    if backup is None:
        return "the second copy of the partition table is broken or not at the end of the disk"
    return "the two copies of the partition table differ"


def _header(good: GptCopy, own: int, other: int, size: int, *, rows_at: int = _FIRST_ROWS) -> bytes:
    end = size // SECTOR - 1
    values = (
        b"EFI PART",
        0x00010000,
        _HEADER,
        0,
        0,
        own,
        other,
        rows_at + _ROWS_SECTORS,
        end - _ROWS_SECTORS - 1,
        uuid.UUID(good.guid).bytes_le,
        rows_at if own == 1 else end - _ROWS_SECTORS,
        _ROWS_SECTORS * SECTOR // good.row_size,
        good.row_size,
        zlib.crc32(_rows(good)),
    )
    header = bytearray(struct.pack("<8sIIIIQQQQ16sQIII", *values))
    struct.pack_into("<I", header, 16, zlib.crc32(header))
    return bytes(header.ljust(SECTOR, b"\0"))


def _protective(sector: bytes, size: int) -> bytes:
    row = struct.pack("<B3sB3sII", 0, b"\0\2\0", _GPT_TYPE, b"\xff\xff\xff", 1, min(size // SECTOR - 1, 0xFFFFFFFF))
    return sector[:_MBR_ROWS] + row + bytes(48) + b"\x55\xaa"
