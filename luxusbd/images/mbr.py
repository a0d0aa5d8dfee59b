"""Reads an MBR partition table with its logical partitions; pure but for the reads it is given."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from luxusbd.images.filesystems import ReadAt
from luxusbd.images.gpt import SECTOR

PROTECTIVE = 0xEE
"""The type under which a GPT shows itself to those who know MBR alone."""
_COMMON = frozenset(b"\x01\x04\x05\x06\x07\x0b\x0c\x0e\x0f\x82\x83\x8e\xa5\xa6\xa9\xee\xef")
_EXTENDED = (0x05, 0x0F, 0x85)
_LOGICAL_LIMIT = 64


@dataclass(frozen=True)
class MbrPartition:
    """One used row; bytes."""

    number: int
    kind: int
    """The type of the row, such as 0x83 for Linux."""
    active: bool
    start: int
    size: int


@dataclass(frozen=True)
class MbrTable:
    """A sound table."""

    partitions: tuple[MbrPartition, ...]
    end: int
    """The byte after the last one that a row claims, also where the file is shorter."""
    plausible: bool
    """Whether the rows begin within the disk, do not overlap and are of known types: program code seldom is so."""


def read(read_at: ReadAt, size: int) -> MbrTable | None:
    """The table of a disk of `size` bytes; None where there is none, or its rows make no sense.

    Partitions that do not lie within the disk are left out.
    """
    if size < SECTOR:
        return None
    sector = read_at(0, SECTOR)
    if sector[510:512] != b"\x55\xaa":
        return None
    found = []
    extended = end = 0
    claims: list[tuple[int, int]] = []
    plausible = True
    for number, (flag, kind, start, length) in enumerate(_rows(sector), 1):
        if flag not in (0x00, 0x80):
            return None
        if not kind or not length:
            continue
        end = max(end, (start + length) * SECTOR)
        apart = all(start + length <= low or high <= start for low, high in claims)
        plausible = plausible and kind in _COMMON and 0 < start * SECTOR < size and apart
        claims.append((start, start + length))
        if (start + length) * SECTOR > size:
            continue
        if kind in _EXTENDED:
            extended = start
        else:
            found.append(MbrPartition(number, kind, flag == 0x80, start * SECTOR, length * SECTOR))
    return MbrTable((*found, *_logical(read_at, size, extended)), end, plausible and bool(claims))


def _logical(read_at: ReadAt, size: int, extended: int) -> list[MbrPartition]:
    found = []
    at = extended
    for number in range(5, 5 + _LOGICAL_LIMIT):
        if not at or (at + 1) * SECTOR > size:
            break
        sector = read_at(at * SECTOR, SECTOR)
        if sector[510:512] != b"\x55\xaa":
            break
        rows = _rows(sector)
        flag, kind, start, length = rows[0]
        if kind and length and (at + start + length) * SECTOR <= size:
            found.append(MbrPartition(number, kind, flag == 0x80, (at + start) * SECTOR, length * SECTOR))
        _flag, kind, start, length = rows[1]
        at = extended + start if kind in _EXTENDED and start else 0
    return found


def _rows(sector: bytes) -> list[tuple[int, int, int, int]]:
    rows = []
    for index in range(4):
        flag, kind, start, length = struct.unpack_from("<B3xB3xII", sector, 446 + index * 16)
        rows.append((flag, kind, start, length))
    return rows
