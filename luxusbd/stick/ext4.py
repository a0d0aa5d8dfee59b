"""A small read-only ext4, for looking at a data partition without mounting it.

It reads what GRUB reads: no journal replay, no encryption, no inline data. Layout of the structures: Linux,
Documentation/filesystems/ext4. The filesystem may be hostile, so that every loop is bounded and every figure checked.
"""

from __future__ import annotations

import stat
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from luxusbd.errors import LimitExceededError, MalformedImageError
from luxusbd.stick.blockio import ReadAt
from luxusbd.stick.filesystem import Extent, Kind

MAGIC = 0xEF53
ROOT_INODE = 2
JOURNAL_INODE = 8
DIRECTORY_LIMIT = 8 * 1024 * 1024
"""Bytes of one directory that are read."""
EXTENT_LIMIT = 262144
"""Extents of one file: 340 a block, so a terabyte in pieces of 4 MiB."""
GROUP_LIMIT = 1 << 20
DEPTH_LIMIT = 5

INCOMPAT_RECOVER = 0x4
_INCOMPAT_FILETYPE = 0x2
_INCOMPAT_EXTENTS = 0x40
_INCOMPAT_64BIT = 0x80
_INCOMPAT_FLEX_BG = 0x200
INCOMPAT_READABLE = _INCOMPAT_FILETYPE | INCOMPAT_RECOVER | _INCOMPAT_EXTENTS | _INCOMPAT_64BIT | _INCOMPAT_FLEX_BG
_BLOCK_UNINIT = 0x2
"""bg_flags: nothing but what belongs to the filesystem itself is in the group, and its map is not kept."""
_FLAG_EXTENTS = 0x80000
_FLAG_INLINE_DATA = 0x10000000
_FLAG_ENCRYPTED = 0x800
_EXTENT_MAGIC = 0xF30A
_JOURNAL_MAGIC = 0xC03B3998
_LONGEST_EXTENT = 32768
_DIRECT = 12
"""Blocks that an inode without extents names itself."""
_MAXIMUM_BLOCKS = 1 << 48

_BACKUP_GROUPS = (1, 3, 5, 7, 9, 25, 27, 49)
"""Groups with a copy of the superblock (feature sparse_super): 1 and powers of 3, 5 and 7."""


@dataclass(frozen=True)
class Inode:
    """A file or a directory."""

    number: int
    mode: int
    size: int
    """Bytes."""
    flags: int
    block: bytes
    """The 60 bytes of i_block."""
    changed: int
    """When its content, name or attributes changed last (i_ctime), in Unix seconds."""

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)


class Ext4:
    """An ext4 filesystem.

    Args:
        read: reads of the partition's bytes, 0 being its start.
        size: bytes of the partition.

    Raises:
        MalformedImageError: here and in every method: this is no ext4 that GRUB could read, or it is inconsistent.
    """

    kind = Kind.EXT4

    def __init__(self, read: ReadAt, size: int) -> None:
        self._read = read
        if size < 4096:
            raise MalformedImageError("too small for an ext4 filesystem")
        block = read(1024, 1024)
        if _u16(block, 0x38) != MAGIC:
            raise MalformedImageError("no ext4 filesystem")
        shift = _u32(block, 0x18)
        if shift > 6:
            raise MalformedImageError(f"ext4 with impossible blocks of 2^{10 + min(shift, 99)} bytes")
        self.block_size = 1024 << shift
        self.incompat = _u32(block, 0x60)
        if unreadable := self.incompat & ~INCOMPAT_READABLE:
            raise MalformedImageError(f"ext4 with features that GRUB cannot read (incompat {unreadable:#x})")
        wide = bool(self.incompat & _INCOMPAT_64BIT)
        self.blocks = _u32(block, 0x04) | (_u32(block, 0x150) << 32 if wide else 0)
        self._first_data = _u32(block, 0x14)
        self._blocks_per_group = _u32(block, 0x20)
        self._inodes = _u32(block, 0x00)
        self._inodes_per_group = _u32(block, 0x28)
        revision = _u32(block, 0x4C)
        self._inode_size = _u16(block, 0x58) if revision else 128
        self._descriptor_size = _u16(block, 0xFE) if wide else 32
        self.state = _u16(block, 0x3A)
        self.uuid = str(uuid.UUID(bytes=block[0x68:0x78]))
        self.label = block[0x78:0x88].split(b"\0")[0].decode("utf-8", "replace")
        if not 0 < self.blocks <= min(_MAXIMUM_BLOCKS, size // self.block_size):
            raise MalformedImageError("the ext4 filesystem is bigger than its partition")
        if self._first_data != (1 if self.block_size == 1024 else 0):
            raise MalformedImageError("ext4 with an impossible first block")
        if not 8 <= self._blocks_per_group <= 8 * self.block_size:
            raise MalformedImageError("ext4 with an impossible group size")
        if not 1 <= self._inodes_per_group <= 8 * self.block_size:
            raise MalformedImageError("ext4 with an impossible number of inodes")
        if not 128 <= self._inode_size <= self.block_size or self._inode_size & (self._inode_size - 1):
            raise MalformedImageError("ext4 with an impossible inode size")
        if not 32 <= self._descriptor_size <= 1024 or self._descriptor_size & (self._descriptor_size - 1):
            raise MalformedImageError("ext4 with an impossible descriptor size")
        self.groups = -(-(self.blocks - self._first_data) // self._blocks_per_group)
        if self.groups > GROUP_LIMIT:
            raise MalformedImageError("ext4 with too many groups")

    @property
    def clean(self) -> bool:
        """Whether it was unmounted in order: neither errors nor a journal to replay."""
        return self.state & 3 == 1 and not self.incompat & INCOMPAT_RECOVER

    @property
    def has_errors(self) -> bool:
        """Whether the kernel or e2fsck noted that something in it is broken (EXT4_ERROR_FS)."""
        return bool(self.state & 2)

    @property
    def needs_recovery(self) -> bool:
        """Whether its superblock says that the journal is to be replayed."""
        return bool(self.incompat & INCOMPAT_RECOVER)

    def journal_empty(self) -> bool:
        """Whether the journal holds nothing to replay: s_start of its superblock is 0 (Documentation, jbd2)."""
        extent = next(self._extents(self._inode(JOURNAL_INODE)), None)
        if extent is None or extent.logical:
            raise MalformedImageError("ext4 with a journal that has no beginning")
        head = self._read(extent.physical * self.block_size, 1024)
        if int.from_bytes(head[:4], "big") != _JOURNAL_MAGIC:
            raise MalformedImageError("ext4 with a journal that is none")
        return not any(head[0x1C:0x20])

    def lookup(self, path: str) -> Inode | None:
        """The file or directory at an absolute path, or None; links are not followed."""
        inode = self._inode(ROOT_INODE)
        for part in path.split("/"):
            if not part:
                continue
            if not inode.is_directory:
                return None
            wanted = part.encode()
            number = next((entry for name, entry in self._entries(inode) if name == wanted), None)
            if number is None:
                return None
            inode = self._inode(number)
        return inode

    def list(self, path: str) -> tuple[str, ...]:
        """Names in a directory, without `.` and `..`; empty when there is no such directory."""
        inode = self.lookup(path)
        if inode is None or not inode.is_directory:
            return ()
        return tuple(
            name.decode("utf-8", "replace") for name, _number in self._entries(inode) if name not in (b".", b"..")
        )

    def entries(self, path: str, limit: int) -> tuple[tuple[bytes, Inode], ...]:
        """The first `limit` names in a directory with what they name; empty when there is no such directory."""
        inode = self.lookup(path)
        if inode is None or not inode.is_directory:
            return ()
        found = [(name, number) for name, number in self._entries(inode) if name not in (b".", b"..")]
        return tuple((name, self._inode(number)) for name, number in found[:limit])

    def tree(self, path: str, most: int | None = None) -> tuple[Inode, ...]:
        """A directory and everything below it, each once; empty when there is no such directory.

        Raises:
            LimitExceededError: there are more than `most`.
        """
        top = self.lookup(path)
        if top is None or not top.is_directory:
            return ()
        found = {top.number: top}
        waiting = [top]
        while waiting:
            for name, number in self._entries(waiting.pop()):
                if name in (b".", b"..") or number in found:
                    continue
                if most is not None and len(found) >= most:
                    raise LimitExceededError(f"{path} holds more than {most} files and directories")
                inode = found[number] = self._inode(number)
                if inode.is_directory:
                    waiting.append(inode)
        return tuple(found.values())

    def links_of_root(self) -> int:
        """How many names the root directory has: two, and one in each directory below it."""
        numbers = [number for name, number in self._entries(self._inode(ROOT_INODE)) if name not in (b".", b"..")]
        return 2 + sum(self._inode(number).is_directory for number in numbers)

    def read_file(self, path: str, limit: int) -> bytes | None:
        """Content of a regular file of at most `limit` bytes, or None when there is none."""
        inode = self.lookup(path)
        if inode is None or not inode.is_file:
            return None
        return self._content(inode, limit)

    def extents(self, path: str) -> tuple[Extent, ...]:
        """Where the blocks of a regular file lie, in order; holes are left out."""
        inode = self.lookup(path)
        if inode is None or not inode.is_file:
            raise MalformedImageError(f"no file {path!r} on the data partition")
        return tuple(self._extents(inode))

    def extents_of(self, inode: Inode) -> tuple[Extent, ...]:
        """As `extents`, for a file that was found already."""
        return tuple(self._extents(inode))

    def read_bytes(self, place: int, length: int) -> bytes:
        """Bytes of the partition, as an extent of a file names them in blocks."""
        return self._read(place, length)

    def free_bytes(self) -> int:
        """Unallocated bytes, as the group descriptors count them; the superblock's sum is stale while mounted."""
        free = 0
        per_read = max(1, 65536 // self._descriptor_size)
        for first in range(0, self.groups, per_read):
            count = min(per_read, self.groups - first)
            table = self._descriptors(first, count)
            for index in range(count):
                at = index * self._descriptor_size
                blocks = _u16(table, at + 0x0C)
                if self._descriptor_size >= 64:
                    blocks |= _u16(table, at + 0x2C) << 16
                free += min(blocks, self._blocks_per_group)
        return free * self.block_size

    def used_blocks(self) -> Iterator[tuple[int, bytes]]:
        """The first block of each group whose map of used blocks is kept, with that map, a bit a block."""
        for group in range(self.groups):
            descriptor = self._descriptors(group, 1)
            if _u16(descriptor, 0x12) & _BLOCK_UNINIT:
                continue
            place = _u32(descriptor, 0x00)
            if self._descriptor_size >= 64:
                place |= _u32(descriptor, 0x20) << 32
            if place >= self.blocks:
                raise MalformedImageError("ext4 whose map of blocks lies outside of it")
            first = self._first_data + group * self._blocks_per_group
            count = min(self._blocks_per_group, self.blocks - first)
            yield first, self._read(place * self.block_size, -(-count // 8))

    def _descriptors(self, first: int, count: int) -> bytes:
        start = (self._first_data + 1) * self.block_size + first * self._descriptor_size
        length = count * self._descriptor_size
        if start + length > self.blocks * self.block_size:
            raise MalformedImageError("ext4 whose descriptors lie outside of it")
        return self._read(start, length)

    def _inode(self, number: int) -> Inode:
        if not 1 <= number <= self._inodes:
            raise MalformedImageError(f"ext4 names inode {number}, which does not exist")
        group, index = divmod(number - 1, self._inodes_per_group)
        if group >= self.groups:
            raise MalformedImageError(f"ext4 names inode {number}, whose group does not exist")
        descriptor = self._descriptors(group, 1)
        table = _u32(descriptor, 0x08)
        if self._descriptor_size >= 64:
            table |= _u32(descriptor, 0x28) << 32
        start = table * self.block_size + index * self._inode_size
        if start + self._inode_size > self.blocks * self.block_size:
            raise MalformedImageError("ext4 whose inodes lie outside of it")
        raw = self._read(start, min(self._inode_size, 256))
        size = _u32(raw, 0x04) | _u32(raw, 0x6C) << 32
        return Inode(number, _u16(raw, 0), size, _u32(raw, 0x20), raw[0x28 : 0x28 + 60], _changed(raw))

    def _extents(self, inode: Inode) -> Iterator[Extent]:
        if inode.flags & (_FLAG_INLINE_DATA | _FLAG_ENCRYPTED):
            raise MalformedImageError(f"inode {inode.number} does not store its data in blocks of its own")
        # e2fsck makes the directories anew that it misses, and in the old way
        old = not inode.flags & _FLAG_EXTENTS
        found = self._block_map(inode) if old else self._nodes(inode.block, DEPTH_LIMIT, root=True)
        end = 0
        for count, extent in enumerate(found):
            if count >= EXTENT_LIMIT:
                raise MalformedImageError(f"inode {inode.number} has too many extents")
            if extent.logical < end or extent.length == 0:
                raise MalformedImageError(f"inode {inode.number} has extents out of order")
            if extent.physical == 0 or extent.physical + extent.length > self.blocks:
                raise MalformedImageError(f"inode {inode.number} has blocks outside of the filesystem")
            end = extent.logical + extent.length
            yield extent

    def _block_map(self, inode: Inode) -> Iterator[Extent]:
        """The blocks of a file without extents, one by one: twelve direct ones, then one and two levels of tables."""
        wanted = -(-inode.size // self.block_size)
        for logical, physical in enumerate(self._pointers(inode.block)):
            if logical >= wanted:
                return
            if physical:
                yield Extent(logical, physical, 1, initialised=True)

    def _pointers(self, block: bytes) -> Iterator[int]:
        numbers = struct.unpack("<15I", block)
        yield from numbers[:_DIRECT]
        yield from self._table(numbers[_DIRECT])
        for table in self._table(numbers[_DIRECT + 1]):
            yield from self._table(table)
        if numbers[_DIRECT + 2]:
            raise MalformedImageError("ext4 with a file without extents that is too big for one")

    def _table(self, block: int) -> tuple[int, ...]:
        count = self.block_size // 4
        if not block:
            return (0,) * count
        if block >= self.blocks:
            raise MalformedImageError("ext4 with a table of blocks outside of the filesystem")
        return struct.unpack(f"<{count}I", self._read(block * self.block_size, self.block_size))

    def _nodes(self, node: bytes, depth_limit: int, *, root: bool = False) -> Iterator[Extent]:
        # the depth falls with every level and an index has at most 340 entries, but entries may all name one block:
        # only an order that rises keeps the walk finite in practice, and EXTENT_LIMIT in any case
        magic, entries, _maximum, depth = struct.unpack_from("<HHHH", node, 0)
        if magic != _EXTENT_MAGIC or depth > depth_limit or 12 + entries * 12 > len(node):
            raise MalformedImageError("ext4 with a broken extent tree")
        if entries == 0 and not root:
            raise MalformedImageError("ext4 with an empty node in an extent tree")
        for index in range(entries):
            at = 12 + index * 12
            if depth:
                _logical, low, high = struct.unpack_from("<IIH", node, at)
                block = low | high << 32
                if not 0 < block < self.blocks:
                    raise MalformedImageError("ext4 with an extent tree outside of the filesystem")
                child = self._read(block * self.block_size, self.block_size)
                if struct.unpack_from("<H", child, 6)[0] != depth - 1:
                    raise MalformedImageError("ext4 with an extent tree of uneven depth")
                yield from self._nodes(child, depth - 1)
            else:
                logical, length, high, low = struct.unpack_from("<IHHI", node, at)
                initialised = length <= _LONGEST_EXTENT
                yield Extent(logical, low | high << 32, length if initialised else length - 32768, initialised)

    def _content(self, inode: Inode, limit: int) -> bytes:
        if inode.size > limit:
            raise MalformedImageError(f"inode {inode.number} has {inode.size} bytes, more than the {limit} expected")
        data = bytearray(inode.size)
        for extent in self._extents(inode):
            start = extent.logical * self.block_size
            length = min(extent.length * self.block_size, inode.size - start)
            if length <= 0:
                break
            if extent.initialised:
                data[start : start + length] = self._read(extent.physical * self.block_size, length)
        return bytes(data)

    def _entries(self, inode: Inode) -> Iterator[tuple[bytes, int]]:
        # the index blocks of a hashed directory look like empty entries, so that reading on in a line finds all names
        data = self._content(inode, DIRECTORY_LIMIT)
        for start in range(0, len(data), self.block_size):
            block = data[start : start + self.block_size]
            at = 0
            while at + 8 <= len(block):
                number, length, name_length = struct.unpack_from("<IHB", block, at)
                if length < 8 or length % 4 or at + length > len(block) or 8 + name_length > length:
                    raise MalformedImageError(f"ext4 with a broken directory (inode {inode.number})")
                if number:
                    yield block[at + 8 : at + 8 + name_length], number
                at += length


def backup_superblock(read: ReadAt, size: int, block_size: int) -> int:
    """Block of a copy of the superblock, 0 when there is none; the first one lies 128 MiB behind the start.

    Args:
        read: reads of the partition's bytes, 0 being its start.
        size: bytes of the partition.
        block_size: bytes of the blocks that the filesystem was made with, 2048 or more.
    """
    for group in _BACKUP_GROUPS:
        block = group * 8 * block_size
        if (block + 1) * block_size > size:
            break
        head = read(block * block_size, 1024)
        if _u16(head, 0x38) == MAGIC and 1024 << min(_u32(head, 0x18), 9) == block_size and _u16(head, 0x5A) == group:
            return block
    return 0


def _changed(inode: bytes) -> int:
    # the two low bits of i_ctime_extra count how often the 32 bits went round since 1970; i_extra_isize says whether
    # the field is there
    (seconds,) = struct.unpack_from("<i", inode, 0x0C)
    if len(inode) < 0x88 or 0x80 + _u16(inode, 0x80) < 0x88:
        return int(seconds)
    return int(seconds) + ((_u32(inode, 0x84) & 3) << 32)


def _u16(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 2], "little")


def _u32(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "little")
