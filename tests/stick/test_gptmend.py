"""Partition tables that are mended, and what is left of them when the power goes in between."""

from __future__ import annotations

import random
import struct
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from luxusbd.images.gpt import SECTOR, GptCopy, copies
from luxusbd.stick import gptmend, layout, tablechange
from luxusbd.stick.model import MIB

SIZE = 4 * MIB
END = SIZE // SECTOR - 1
SEEDS = 8
"""Ways in which each write is torn."""


@dataclass
class Disk:
    """A disk in memory with the table of a stick."""

    data: bytearray = field(default_factory=lambda: bytearray(SIZE))

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self.data[offset : offset + length])

    def write(self, offset: int, data: bytes) -> None:
        self.data[offset : offset + len(data)] = data

    def zero(self, sector: int) -> None:
        self.write(sector * SECTOR, bytes(SECTOR))

    def flip(self, place: int) -> None:
        self.data[place] ^= 0x40

    def copies(self) -> tuple[GptCopy | None, GptCopy | None]:
        return copies(self.read, len(self.data))

    def move(self, own: int, rows_at: int, rows: int = 128, **fields: int) -> None:
        """Make the copy whose header is in a sector one with other rows, which stay what they say."""
        header = bytearray(self.read(own * SECTOR, 92))
        (before,) = struct.unpack_from("<Q", header, 72)
        moved = self.read(before * SECTOR, rows * 128)
        self.write(before * SECTOR, bytes(128 * 128))
        self.write(rows_at * SECTOR, moved)
        struct.pack_into("<QI", header, 72, rows_at, rows)
        struct.pack_into("<I", header, 88, zlib.crc32(moved))
        for name, value in fields.items():
            struct.pack_into("<Q", header, {"other": 32, "last": 48}[name], value)
        struct.pack_into("<I", header, 16, 0)
        struct.pack_into("<I", header, 16, zlib.crc32(header))
        self.write(own * SECTOR, bytes(header))

    def grub(self) -> bytes:
        """The rows that GRUB takes, which asks for no checksum (grub-core/partmap/gpt.c)."""
        header = self.read(SECTOR, SECTOR)
        (at,) = struct.unpack_from("<Q", header, 72)
        return self.read(at * SECTOR, SECTOR) if header[:8] == b"EFI PART" else b""


@pytest.fixture
def disk() -> Disk:
    made = Disk()
    rows = {
        number: tablechange.Row(kind, name, (2048 + 64 * number) * SECTOR, 64 * SECTOR)
        for number, (kind, name) in enumerate(
            (
                (layout.TYPE_BIOS_BOOT, "LUXBIOS"),
                (layout.TYPE_ESP, "LUXESP"),
                (layout.TYPE_LINUX, layout.DATA_NAME),
            ),
            1,
        )
    }
    empty = GptCopy((), str(uuid.uuid4()), END, END - 33, bytes(128 * 128), 128)
    for place, data in gptmend.written(made.read, tablechange.changed(empty, rows), SIZE):
        made.write(place, data)
    state = gptmend.examine(made.read, SIZE)
    assert state is not None
    assert state.problems == (gptmend.UNPROTECTED,)
    for place, data in state.writes:
        made.write(place, data)
    return made


def grown(disk: Disk) -> None:
    disk.data += bytes(MIB)


def another_guid(disk: Disk) -> None:
    first, _second = disk.copies()
    assert first is not None
    changed = replace(first, guid=str(uuid.uuid4()))
    for place, data in gptmend.written(disk.read, changed, SIZE)[2:]:
        disk.write(place, data)


def other_places(disk: Disk) -> None:
    """As another program may have made them: rows right behind the usual place, for a disk of another size."""
    disk.move(1, 3, other=END - 7, last=END - 90)


def few_rows(disk: Disk) -> None:
    """The second copy has half as many rows, at its end, and the first one is broken."""
    disk.move(END, END - 16, rows=64)
    disk.zero(1)


def led_beside(disk: Disk) -> None:
    """As a takeover leaves it that was cut, on a disk that grew."""
    disk.move(1, 34)
    grown(disk)


DAMAGES: dict[str, Callable[[Disk], object]] = {
    "first header": lambda disk: disk.zero(1),
    "first rows": lambda disk: disk.flip(2 * SECTOR + 200),
    "first rows that nobody uses": lambda disk: disk.flip(20 * SECTOR),
    "checksum of the first header": lambda disk: disk.flip(SECTOR + 16),
    "second header": lambda disk: disk.zero(END),
    "second rows": lambda disk: disk.flip((END - 32) * SECTOR + 200),
    "protective MBR": lambda disk: disk.zero(0),
    "another GUID": another_guid,
    "a disk that grew": grown,
    "other places": other_places,
    "few rows": few_rows,
    "led beside": led_beside,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_one_copy_is_whole_wherever_mending_is_cut(disk: Disk, damage: Callable[[Disk], object]) -> None:
    damage(disk)
    before = disk.copies()
    right = before[0] or before[1]
    assert right is not None
    grub = disk.grub() == right.rows[:SECTOR]
    state = gptmend.examine(disk.read, len(disk.data))
    assert state is not None
    assert state.problems
    for number, (place, data) in enumerate(state.writes):
        for seed in range(SEEDS):
            cut, chance = Disk(bytearray(disk.data)), random.Random(f"{number} {seed}")
            for at in range(0, len(data), SECTOR):
                if chance.random() < 0.5:
                    cut.write(place + at, data[at : at + SECTOR])
            check(cut, right, first=before[0] is not None, grub=grub)
        disk.write(place, data)
        check(disk, right, first=before[0] is not None, grub=grub)
    mended = gptmend.examine(disk.read, len(disk.data))
    assert mended is not None
    assert (mended.problems, mended.writes) == ((), ())
    assert disk.copies() == (right, right)


def check(cut: Disk, right: GptCopy, *, first: bool, grub: bool) -> None:
    found = cut.copies()
    assert right in found, "no copy is whole"
    assert found[0] == right or not first, "the first copy, which Linux takes, was whole and is not any more"
    assert cut.grub() == right.rows[:SECTOR] or not grub, "GRUB finds other partitions"
