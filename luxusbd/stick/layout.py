"""Where everything goes on a stick, and how much fits: pure arithmetic on sizes.

The partition table follows the GPT of the UEFI specification 2.10, section 5.3: 34 sectors at the start and 33 at the
end of the disk belong to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from luxusbd.errors import InvalidArgumentError, NotEnoughSpaceError
from luxusbd.stick import kinds
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import MIB, Layout, PartitionRole, PlannedPartition, StickOptions
from luxusbd.text import size_text

SECTOR = 512
BLOCK = 4096
"""Block size of the data filesystem in bytes."""
INODE_SIZE = 256
BLOCKS_PER_GROUP = 32768
DESCRIPTOR_SIZE = 64

BIOS_START = 1 * MIB
BIOS_SIZE = 1 * MIB
ESP_START = BIOS_START + BIOS_SIZE
ESP_SIZE = 128 * MIB
DATA_START = ESP_START + ESP_SIZE
MINIMUM_DATA = 64 * MIB
BACKUP_TABLE = 33 * SECTOR

TYPE_BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
TYPE_ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
TYPE_LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
TYPE_BASIC_DATA = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"
"""What Windows and macOS mount."""

DATA_NAME = "LUXDATA"
"""GPT name of the data partition; it stays the same whatever label the filesystem gets."""
COMPANION_NAME = "LUXEXT4"
SHARE_NAME = "LUXSHARE"
PERSISTENCE_NAME = "LUXPERSIST"
MINIMUM_EXTRA = 16 * MIB
"""Bytes of the smallest share, companion or persistence partition."""
MAXIMUM_TIMEOUT = 30

RESERVE = 2 * MIB
"""Bytes kept for the manifest, both menus and directories."""

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,15}\Z")


def check_options(options: StickOptions) -> None:
    """Refuse what no stick can have.

    Raises:
        InvalidArgumentError: timeout or label is out of range, or the filesystem is unknown.
    """
    if options.filesystem not in tuple(Kind):
        raise InvalidArgumentError(f"unknown filesystem {options.filesystem!r}; choose {', '.join(Kind)}")
    if not 0 <= options.timeout <= MAXIMUM_TIMEOUT:
        raise InvalidArgumentError(f"the timeout is {options.timeout} s; it has to be from 0 to {MAXIMUM_TIMEOUT}")
    if not _LABEL.match(options.label):
        raise InvalidArgumentError(
            f"the label {options.label!r} has to be 1 to 16 letters, digits, '_', '.' or '-', "
            "with a letter or digit first"
        )
    kind = Kind(options.filesystem)
    if kind is not Kind.EXT4 and len(options.label) > kinds.LABEL_LIMIT:
        raise InvalidArgumentError(f"a label on {kind} has at most {kinds.LABEL_LIMIT} characters")
    if kind is Kind.FAT32 and "." in options.label:
        raise InvalidArgumentError("a label on fat32 has no '.'")
    if kind is Kind.EXT4 and options.companion:
        raise InvalidArgumentError("with ext4 there is nothing that a companion partition would be for; leave it out")
    extras = {"companion": options.companion, "share": options.share, "persistence": options.persistence}
    for what, extra in extras.items():
        if extra and extra < MINIMUM_EXTRA:
            raise InvalidArgumentError(f"a {what} partition has at least {size_text(MINIMUM_EXTRA)}")


def plan(size: int, options: StickOptions) -> Layout:
    """The partition table for a disk or an image file of `size` bytes.

    Raises:
        NotEnoughSpaceError: it is smaller than any stick can be.
        InvalidArgumentError: as `check_options`, or it is bigger than the filesystem can be.
    """
    check_options(options)
    end = (size - BACKUP_TABLE) // MIB * MIB
    extras = [
        (PartitionRole.COMPANION, COMPANION_NAME, TYPE_LINUX, options.companion),
        (PartitionRole.PERSISTENCE, PERSISTENCE_NAME, TYPE_LINUX, options.persistence),
        (PartitionRole.SHARE, SHARE_NAME, TYPE_BASIC_DATA, options.share),
    ]
    behind: list[PlannedPartition] = []
    for role, name, type_guid, wanted in reversed(extras):
        if wanted:
            length = -(-wanted // MIB) * MIB
            end -= length
            behind.append(PlannedPartition(0, role, name, type_guid, end, length))
    if end - DATA_START < MINIMUM_DATA:
        needed = minimum_size() + sum(part.size for part in behind)
        raise NotEnoughSpaceError(f"the disk has {size_text(size)}; such a stick needs at least {size_text(needed)}")
    kind = Kind(options.filesystem)
    if kind is Kind.FAT32 and end - DATA_START > kinds.FAT32_LARGEST_PARTITION:
        raise InvalidArgumentError(
            f"the disk has {size_text(size)}, and fat32 reaches to {size_text(kinds.FAT32_LARGEST_PARTITION)};"
            " choose exfat or ext4"
        )
    return Layout(
        size,
        (
            PlannedPartition(1, PartitionRole.BIOS_BOOT, "LUXBIOS", TYPE_BIOS_BOOT, BIOS_START, BIOS_SIZE),
            PlannedPartition(2, PartitionRole.ESP, "LUXESP", TYPE_ESP, ESP_START, ESP_SIZE),
            PlannedPartition(3, PartitionRole.DATA, DATA_NAME, type_of(kind), DATA_START, end - DATA_START),
            *(replace(part, number=number) for number, part in enumerate(reversed(behind), start=4)),
        ),
    )


def minimum_size() -> int:
    """Bytes of the smallest disk that can become a stick."""
    return DATA_START + MINIMUM_DATA + MIB


def journal_size(size: int) -> int:
    """Bytes of the journal of a data filesystem of `size` bytes; few files, so less than what mke2fs would take."""
    if size < 1024 * MIB:
        return 4 * MIB
    return 16 * MIB if size < 16 * 1024 * MIB else 32 * MIB


def inode_count(size: int) -> int:
    """Inodes to ask for: one a MiB, since images are big, and enough for files that a user adds."""
    return max(2048, size // MIB)


def type_of(kind: Kind) -> str:
    """The type of a data partition."""
    return TYPE_LINUX if kind is Kind.EXT4 else TYPE_BASIC_DATA


def bytes_needed(sizes: Iterable[int], filesystem: str = Kind.EXT4) -> int:
    """Bytes that images of these sizes take on the data partition, with their extent trees.

    A whole extent maps at most 32768 blocks (Linux, Documentation/filesystems/ext4/ifork.rst) and group metadata
    splits it at most once more; a block of the tree holds 340 extents.
    """
    kind = Kind(filesystem)
    if kind is not Kind.EXT4:
        return 2 * RESERVE + sum(kinds.bytes_of(kind, size) for size in sizes)
    total = RESERVE
    for size in sizes:
        blocks = -(-size // BLOCK)
        extents = 2 * (blocks // BLOCKS_PER_GROUP + 2)
        total += (blocks + extents // 340 + 2) * BLOCK
    return total


def capacity(layout: Layout, filesystem: str = Kind.EXT4) -> int:
    """Bytes that the data filesystem has for files: what is left beside its own metadata.

    It is never more than what mke2fs leaves free with `journal_size` and `inode_count`.
    """
    kind = Kind(filesystem)
    size = layout.partition(PartitionRole.DATA).size
    return filesystem_capacity(size) if kind is Kind.EXT4 else kinds.capacity(kind, size)


def companion_capacity(layout: Layout) -> int:
    """As `capacity`, of the companion partition; 0 where there is none."""
    if not layout.has(PartitionRole.COMPANION):
        return 0
    return filesystem_capacity(layout.partition(PartitionRole.COMPANION).size)


def view_of(layout: Layout, role: PartitionRole) -> Layout:
    """The layout as it looks to whoever works on one of the other partitions and knows only data partitions."""
    kept = [part for part in layout.partitions if part.role in (PartitionRole.BIOS_BOOT, PartitionRole.ESP)]
    part = layout.partition(role)
    return Layout(layout.size, (*kept, replace(part, role=PartitionRole.DATA)))


def data_view(layout: Layout) -> Layout:
    """The layout without its companion."""
    return Layout(layout.size, tuple(part for part in layout.partitions if part.role is not PartitionRole.COMPANION))


def filesystem_capacity(size: int) -> int:
    """`capacity` for a data filesystem of `size` bytes."""
    blocks = size // BLOCK
    groups = -(-blocks // BLOCKS_PER_GROUP)
    # mke2fs spreads the inodes evenly and fills whole blocks of the table in every group, to a multiple of 8 inodes
    per_group = -(-inode_count(size) // groups)
    table = -(-(-(-per_group // 8) * 8 * INODE_SIZE) // BLOCK)
    descriptors = -(-groups * DESCRIPTOR_SIZE // BLOCK)
    copies = sum(1 for group in range(groups) if _has_backup(group))
    metadata = groups * (table + 2) + copies * (1 + descriptors) + journal_size(size) // BLOCK
    directories = 16
    return max(0, (blocks - metadata - directories) * BLOCK)


def _has_backup(group: int) -> bool:
    """Feature sparse_super: copies of the superblock in groups 0, 1 and the powers of 3, 5 and 7."""
    if group <= 1:
        return True
    for base in (3, 5, 7):
        power = base
        while power < group:
            power *= base
        if power == group:
            return True
    return False
