"""What of an ext4 filesystem has to be held while its size is changed: all but what is in its files.

e2fsck and resize2fs look at everything else. Whatever cannot be told from the contents of a file counts as not in one,
so that a mistake here costs room and nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from luxusbd.errors import MalformedImageError
from luxusbd.stick.blockio import ReadAt
from luxusbd.stick.ext4 import Ext4
from luxusbd.stick.filesystem import Extent
from luxusbd.stick.isofiles import StickFile

_PIECE = 64 * 1024
_PIECES = 256

Files = Mapping[int, tuple[Extent, ...]]
"""Where the contents of the files of a filesystem lie, by the numbers of their inodes."""


def open_inside(file: StickFile) -> Ext4:
    """The filesystem in a file on a stick, whose many small reads are answered from few large ones.

    Raises:
        MalformedImageError: it holds none.
    """

    @functools.lru_cache(maxsize=_PIECES)
    def piece(number: int) -> bytes:
        return read_all(file, number * _PIECE, _PIECE)

    def read(offset: int, length: int) -> bytes:
        first, last = offset // _PIECE, (offset + length - 1) // _PIECE
        data = b"".join(piece(number) for number in range(first, last + 1))
        return data[offset - first * _PIECE :][:length].ljust(length, b"\0")

    return Ext4(read, file.size)


def read_all(file: StickFile, offset: int, length: int) -> bytes:
    """Bytes of a file, less only where it ends."""
    parts = []
    while length and (data := file.read(offset, length)):
        parts.append(data)
        offset, length = offset + len(data), length - len(data)
    return b"".join(parts)


def files_of(filesystem: Ext4) -> Files:
    """Where the contents of all files lie that have a name.

    Raises:
        MalformedImageError: the filesystem is inconsistent, or has a file of a kind that is not known here.
    """
    return {node.number: filesystem.extents_of(node) for node in filesystem.tree("/") if node.is_file}


def files_in(read: ReadAt, size: int) -> Files | None:
    """As `files_of`, for a filesystem of `size` bytes; None where they cannot be told."""
    try:
        return files_of(Ext4(read, size))
    except MalformedImageError:
        return None


def marked(files: Files, blocks: int) -> bytearray:
    """A byte for each block of a filesystem, 1 where it holds the content of a file."""
    found = bytearray(blocks)
    for extents in files.values():
        for extent in extents:
            found[extent.physical : extent.physical + extent.length] = b"\1" * extent.length
    return found


def dispensable(file: StickFile, block_size: int) -> bytearray | None:
    """A byte for each block of the filesystem in a file, 1 where it holds the content of a file, or nothing.

    None where that cannot be told.
    """
    try:
        filesystem = open_inside(file)
        if filesystem.block_size != block_size:
            return None
        found = marked(files_of(filesystem), file.size // block_size)
        for first, used in filesystem.used_blocks():
            for at, byte in enumerate(used):
                if byte != 0xFF:
                    for bit in range(8):
                        block = first + at * 8 + bit
                        if not byte >> bit & 1 and block < len(found):
                            found[block] = 1
        return found
    except MalformedImageError:
        return None
