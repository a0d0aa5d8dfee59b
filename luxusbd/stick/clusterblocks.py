"""Where the bytes of a FAT32 or exFAT are kept, and sectors of its directories; the functions are pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from luxusbd.stick.blockio import read_at, sync, write_all
from luxusbd.stick.clusters import SECTOR, SLOT

SLOTS = SECTOR // SLOT


class Blocks(Protocol):
    """Where a partition's bytes are kept."""

    def read(self, offset: int, length: int) -> bytes:
        """Bytes, as they were written last."""

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Write bytes, in whole sectors; in which order they reach the medium is not said."""

    def flush(self) -> None:
        """Return when everything written so far is on the medium."""


class FileBlocks:
    """A partition of a disk or of an image file that begins at byte `start`; a `Blocks`."""

    def __init__(self, fd: int, start: int) -> None:
        self._fd = fd
        self._start = start
        self._read = read_at(fd)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes, as they were written last."""
        return self._read(self._start + offset, length)

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Write bytes."""
        write_all(self._fd, data, self._start + offset)

    def flush(self) -> None:
        """Return when everything written so far is on the medium."""
        sync(self._fd)


@dataclass(frozen=True)
class Spot:
    """Free slots in a sector."""

    place: int
    """Of the sector."""
    data: bytes
    """Of the sector, with nothing behind its end mark."""
    index: int


def in_one_sector(places: Collection[int]) -> bool:
    """Whether slots lie in one sector."""
    return len({place // SECTOR for place in places}) == 1


def end_mark(data: bytes) -> int | None:
    """Which slot of a sector is the end mark."""
    return next((index for index in range(SLOTS) if not data[index * SLOT]), None)


def without_rest(data: bytes) -> bytes:
    """A sector with nothing behind its end mark."""
    mark = end_mark(data)
    return data if mark is None else data[: mark * SLOT].ljust(SECTOR, b"\0")


def placed(spot: Spot, slots: Sequence[bytes]) -> bytes:
    """The sector with slots put in."""
    made = b"".join(slots)
    at = spot.index * SLOT
    return spot.data[:at] + made + spot.data[at + len(made) :]
