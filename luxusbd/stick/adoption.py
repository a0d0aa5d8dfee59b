"""Recognises a stick that LUXusb 0.6.3 made, and works out how it becomes one of today's. Nothing is written here.

That version made a GPT with a BIOS boot partition of 1 MiB, an ESP of 1 GiB labelled VMBOOT, and from 1536 MiB on a
data partition with ext4 labelled LUXusb. Its images lie in /isos/<distribution>/, and there is no manifest. It is known
by that label; of the names in its table nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from luxusbd.errors import MalformedImageError, NotSupportedError
from luxusbd.images import gpt, mbr
from luxusbd.images.gpt import SECTOR, GptCopy, GptEntry
from luxusbd.stick import gpt as stick_gpt
from luxusbd.stick import isofiles
from luxusbd.stick.blockio import ReadAt
from luxusbd.stick.ext4 import INCOMPAT_READABLE, MAGIC, Ext4
from luxusbd.stick.filesystem import DataFilesystem
from luxusbd.stick.layout import (
    BIOS_SIZE,
    DATA_NAME,
    ESP_SIZE,
    TYPE_BASIC_DATA,
    TYPE_BIOS_BOOT,
    TYPE_ESP,
    TYPE_LINUX,
)
from luxusbd.stick.model import MIB, Layout, PartitionRole, PlannedPartition
from luxusbd.stick.tablechange import ROWS, Row
from luxusbd.text import size_text

LABEL = b"LUXusb"
OLD_DIRECTORY = "/isos"
BIOS_NAME, ESP_NAME = "LUXBIOS", "LUXESP"
SUFFIXES = (".iso", ".img")
MAX_FILES = 2000
"""Entries of one directory that are looked at."""
MAX_DIRECTORIES = 200
_CHECKSUM_SEED = 0x2000
_ENTRY = {PartitionRole.BIOS_BOOT: TYPE_BIOS_BOOT, PartitionRole.ESP: TYPE_ESP}


@dataclass(frozen=True)
class OldFile:
    """An image file of the old stick."""

    parts: tuple[bytes, ...]
    """Names from the root of the data partition on."""
    inode: int
    size: int

    @property
    def path(self) -> str:
        """For people."""
        return "/" + "/".join(part.decode("utf-8", "replace") for part in self.parts)


@dataclass(frozen=True)
class Adoption:
    """How an old stick becomes one of today's."""

    table: GptCopy
    present: Layout
    """All partitions that are there now; their roles mean nothing."""
    layout: Layout
    """The stick afterwards."""
    menu: tuple[int, int] | None
    """Byte and size of the partition with the old menu; None once it is given up."""
    beside: bool
    """Whether its ESP is a new one, which no old file is on; else the old one is written over."""
    add: tuple[tuple[int, Row], ...]
    """Rows that come before anything leads to them."""
    name: tuple[tuple[int, Row | None], ...]
    """Rows that change once the new boot files start: names, and the old ESP, which goes."""
    last: tuple[int, Row]
    """The row that makes it a LUXusb stick for whoever looks."""
    notes: tuple[str, ...]


def is_old(read: ReadAt, size: int) -> bool:
    """Whether a disk is a stick of LUXusb 0.6.3, whatever else there is to say about it."""
    return _data(read, size) is not None


def examine(read: ReadAt, size: int) -> Adoption:
    """How the stick can be taken over.

    Raises:
        NotSupportedError: it cannot; the text says why, and what helps.
    """
    copies = gpt.copies(read, size)
    table = copies[0] or copies[1]
    if table is None:
        raise NotSupportedError(
            "its partition table is an MBR, which LUXusb 0.6.3 never made, and in which today's boot files have no"
            " place; mount it, keep its images with luxusb import FILE, and make the stick anew with luxusb create"
        )
    data = _data(read, size)
    if data is None:
        raise NotSupportedError("this is no stick of LUXusb 0.6.3")
    _check_filesystem(read, data)
    bios = [entry for entry in table.entries if entry.type_guid == TYPE_BIOS_BOOT]
    systems = [entry for entry in table.entries if entry.type_guid == TYPE_ESP]
    known = {data.number, *(entry.number for entry in (*bios, *systems))}
    own = next((entry for entry in systems if entry.name == ESP_NAME), None)
    old = next((entry for entry in systems if entry is not own), None)
    if len(known) != len(table.entries) or len(bios) > 1 or len(systems) > (2 if own else 1):
        raise NotSupportedError("it has partitions that LUXusb 0.6.3 did not make; what they are for is not known here")
    if table.row_size != 128 or len(table.rows) > ROWS * table.row_size:
        raise NotSupportedError("its partition table has more rows than such a stick has; create it anew")
    return _planned(table, size, data, bios, own, old)


def _planned(
    table: GptCopy,
    size: int,
    data: GptEntry,
    bios: Sequence[GptEntry],
    own: GptEntry | None,
    old: GptEntry | None,
) -> Adoption:
    taken = [(entry.start, entry.start + entry.size) for entry in table.entries]
    numbers = [number for number in range(1, ROWS + 1) if number not in {entry.number for entry in table.entries}]
    add: list[tuple[int, Row]] = []
    name: list[tuple[int, Row | None]] = []
    notes: list[str] = []

    def place(role: PartitionRole, called: str, length: int) -> PlannedPartition | None:
        start = _gap(taken, size, length)
        if start is None:
            return None
        taken.append((start, start + length))
        number = numbers.pop(0)
        add.append((number, Row(_ENTRY[role], called, start, length)))
        return PlannedPartition(number, role, called, _ENTRY[role], start, length)

    if bios and bios[0].size >= BIOS_SIZE:
        core = _kept(bios[0], PartitionRole.BIOS_BOOT, BIOS_NAME)
        name.append((core.number, _row(bios[0], BIOS_NAME, bios[0].type_guid)))
    else:
        made = None if bios else place(PartitionRole.BIOS_BOOT, BIOS_NAME, BIOS_SIZE)
        if made is None:
            raise NotSupportedError(
                f"it has no room of {size_text(BIOS_SIZE)} outside of its partitions for the boot files of BIOS; save"
                " the images and create the stick anew"
            )
        core = made
        notes.append("a partition for the boot files of BIOS is made in free room")
    beside = True
    system = _kept(own, PartitionRole.ESP, ESP_NAME) if own else place(PartitionRole.ESP, ESP_NAME, ESP_SIZE)
    if system is not None and old is not None:
        name.append((old.number, None))
        notes.append(
            f"the new EFI partition lies in free room, and the old one of {size_text(old.size)} is given up;"
            " the old boot files start until the new ones are whole"
        )
    elif system is None and old is not None and old.size >= ESP_SIZE:
        beside = False
        system = _kept(old, PartitionRole.ESP, ESP_NAME)
        name.append((old.number, _row(old, ESP_NAME, TYPE_ESP)))
        notes.append(
            "there is no free room for a new EFI partition, so that the old one is written over: a stick that is pulled"
            " in these seconds does not start until it is adopted again"
        )
    if system is None:
        raise NotSupportedError(
            f"neither its EFI partition nor the room outside of its partitions has {size_text(ESP_SIZE)}; save the"
            " images and create the stick anew"
        )
    kept = _kept(data, PartitionRole.DATA, DATA_NAME, TYPE_LINUX)
    parts = tuple(sorted((core, system, kept), key=lambda part: part.number))
    present = tuple(_kept(entry, PartitionRole.DATA, entry.name) for entry in table.entries)
    return Adoption(
        table=table,
        present=Layout(size, present),
        layout=Layout(size, parts),
        menu=(old.start, old.size) if old is not None else None,
        beside=beside,
        add=tuple(add),
        name=tuple(name),
        last=(data.number, _row(data, DATA_NAME, TYPE_LINUX)),
        notes=tuple(notes),
    )


def view_of(read: ReadAt, size: int) -> Layout | None:
    """Where the data partition of an old stick is, for whoever reads its images; None for any other disk."""
    data = _data(read, size)
    return None if data is None else Layout(size, (_kept(data, PartitionRole.DATA, DATA_NAME),))


def images(filesystem: DataFilesystem) -> tuple[OldFile, ...]:
    """The image files below /isos: in it, and in its directories.

    Raises:
        MalformedImageError: the filesystem is inconsistent.
    """
    return tuple(file for file in _files(filesystem) if isofiles.looks_like_an_image(filesystem, file.path))


def _files(filesystem: DataFilesystem) -> Iterator[OldFile]:
    top = OLD_DIRECTORY.strip("/").encode()
    directories: list[tuple[bytes, ...]] = [(top,)]
    for parts in directories:
        for name, node in filesystem.entries("/" + b"/".join(parts).decode("utf-8", "replace"), MAX_FILES):
            if node.is_directory and len(parts) == 1 and len(directories) < MAX_DIRECTORIES:
                directories.append((*parts, name))
            elif node.is_file and name.lower().endswith(tuple(suffix.encode() for suffix in SUFFIXES)):
                yield OldFile((*parts, name), getattr(node, "number", 0), node.size)


def _data(read: ReadAt, size: int) -> GptEntry | None:
    """The data partition of an old stick, told by its label; None where the disk is no such stick, or today's."""
    copies = gpt.copies(read, size)
    table = copies[0] or copies[1]
    if table is not None:
        if stick_gpt.stick_layout_of(table.entries, size) is not None:
            return None
        rows = [entry for entry in table.entries if entry.type_guid in (TYPE_LINUX, TYPE_BASIC_DATA)]
    else:
        dos = mbr.read(read, size)
        parts = dos.partitions if dos is not None else ()
        rows = [GptEntry(part.number, "", "", "", part.start, part.size) for part in parts if part.kind == 0x83]
    return next((row for row in rows if row.size >= MIB and _is_labelled(read, row)), None)


def _is_labelled(read: ReadAt, row: GptEntry) -> bool:
    block = read(row.start + 1024, 1024)
    return int.from_bytes(block[0x38:0x3A], "little") == MAGIC and block[0x78:0x88].rstrip(b"\0") == LABEL


def _check_filesystem(read: ReadAt, data: GptEntry) -> None:
    block = read(data.start + 1024, 1024)
    incompatible = int.from_bytes(block[0x60:0x64], "little") & ~INCOMPAT_READABLE
    if incompatible == _CHECKSUM_SEED:
        raise NotSupportedError(
            "its ext4 has the feature metadata_csum_seed, which GRUB cannot read; unmount it, take that away with"
            f" tune2fs -O ^metadata_csum_seed on partition {data.number} of the stick, and adopt it then"
        )
    try:
        Ext4(lambda offset, length: read(data.start + offset, length), data.size)
    except MalformedImageError as error:
        raise NotSupportedError(f"its data partition cannot be used: {error.message}") from None


def _kept(entry: GptEntry, role: PartitionRole, name: str, type_guid: str = "") -> PlannedPartition:
    return PlannedPartition(entry.number, role, name, type_guid or entry.type_guid, entry.start, entry.size)


def _row(entry: GptEntry, name: str, type_guid: str) -> Row:
    return Row(type_guid, name, entry.start, entry.size, entry.guid)


def _gap(taken: Sequence[tuple[int, int]], size: int, length: int) -> int | None:
    """The first byte, in whole MiB, of free room of this length."""
    start = MIB
    for begin, end in sorted([*taken, ((size - 33 * SECTOR) // MIB * MIB, size)]):
        if begin - start >= length:
            return start
        start = max(start, -(-end // MIB) * MIB)
    return None
