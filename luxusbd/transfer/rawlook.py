"""Looks at an image that is to be written byte for byte, and unpacks it on the way. Blocking.

Runs in a process that lives for this one image, without network and rights, since it reads foreign bytes and what it
unpacks ends up on a disk.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator

from luxusbd.errors import InvalidArgumentError, MalformedImageError
from luxusbd.images.startable import HEAD as STARTS_HEAD
from luxusbd.images.startable import how_it_starts
from luxusbd.transfer.bmap import MAX_BMAP, parse_bmap
from luxusbd.transfer.decoders import decoder_of
from luxusbd.transfer.frames import Fan
from luxusbd.transfer.packing import HEAD, Packing, packing_of
from luxusbd.transfer.proof import read_small
from luxusbd.transfer.rawmodel import MAX_SIZE, RawLook
from luxusbd.transfer.zipped import open_image

CHUNK = 256 * 1024
"""Bytes of a compressed image that are read at once."""
_XZ_FOOTER = 12
_MAX_INDEX = 16 * 1024 * 1024


def look(fd: int, bmap: int | None = None) -> RawLook:
    """Look at the regular file `fd`, and at a block map for it.

    Raises:
        MalformedImageError: it is empty, or damaged as compressed data.
        InvalidArgumentError: the map is none, or of an image of another size.
        LimitExceededError, ToolMissingError: it cannot be unpacked.
    """
    length = os.fstat(fd).st_size
    if not length:
        raise MalformedImageError("the image is empty")
    packing = packing_of(os.pread(fd, HEAD, 0))
    head = os.pread(fd, STARTS_HEAD, 0) if packing is None else _first(fd, packing, STARTS_HEAD)
    size = length if packing is None else unpacked_size(fd, packing)
    found = None
    if bmap is not None:
        found = parse_bmap(read_small(bmap, MAX_BMAP, "the block map"))
        if size and found.size != size:
            raise InvalidArgumentError(
                f"the block map is of an image of {found.size} bytes, and this one has {size}: it belongs to another"
            )
        size = found.size
    return RawLook(packing, size, how_it_starts(head), found)


def unpack(fd: int, pipes: Fan) -> int:
    """Unpack the regular file `fd` into pipes; the bytes that it became.

    Raises:
        InterruptedJobError: nobody reads them any more.
        MalformedImageError, LimitExceededError, ToolMissingError: it cannot be unpacked.
    """
    packing = packing_of(os.pread(fd, HEAD, 0))
    if packing is None:
        raise MalformedImageError("the image is not compressed in a way that is known")
    size = 0
    for piece in _pieces(fd, packing):
        pipes.write(piece)
        size += len(piece)
    pipes.end()
    return size


def _pieces(fd: int, packing: Packing) -> Iterator[bytes]:
    if packing is Packing.ZIP:
        with open_image(fd, os.fstat(fd).st_size) as image:
            for piece, _position in image.pieces():
                yield piece
        return
    decoder = decoder_of(packing)
    offset = 0
    while data := os.pread(fd, CHUNK, offset):
        offset += len(data)
        yield from decoder.feed(data)
    decoder.end()


def _first(fd: int, packing: Packing, length: int) -> bytes:
    data = b""
    for piece in _pieces(fd, packing):
        data += piece[: length - len(data)]
        if len(data) == length:
            break
    if not data:
        raise MalformedImageError("the image in the compressed file is empty")
    return data


def unpacked_size(fd: int, packing: Packing) -> int:
    """Bytes to which a compressed file says that it unpacks; 0 when it does not say, or cannot be believed to.

    gzip tells the size modulo 4 GiB, and that of its last member; bzip2 nothing; zstd only per frame.
    """
    length = os.fstat(fd).st_size
    if packing is Packing.ZIP:
        with open_image(fd, length) as image:
            return image.size if 0 < image.size <= MAX_SIZE else 0
    return _xz_size(fd, length) if packing is Packing.XZ else 0


def _xz_size(fd: int, length: int) -> int:
    """By the index of a file of one stream (the .xz file format 1.2.0, sections 2.1.2 and 4); 0 for several."""
    if length < 2 * _XZ_FOOTER + 8:
        return 0
    crc, backward, flags, magic = struct.unpack("<II2s2s", os.pread(fd, _XZ_FOOTER, length - _XZ_FOOTER))
    if magic != b"YZ" or crc != zlib.crc32(struct.pack("<I2s", backward, flags)):
        return 0
    index_size = (backward + 1) * 4
    at = length - _XZ_FOOTER - index_size
    if index_size > _MAX_INDEX or at < _XZ_FOOTER:
        return 0
    index = os.pread(fd, index_size, at)
    if index[0] or zlib.crc32(index[:-4]) != int.from_bytes(index[-4:], "little"):
        return 0
    position = 1
    packed = size = 0
    try:
        count, position = _xz_number(index, position)
        for _ in range(count):
            unpadded, position = _xz_number(index, position)
            became, position = _xz_number(index, position)
            packed += -(-unpadded // 4) * 4
            size += became
    except IndexError:
        return 0
    # what lies before the blocks of this stream is another one
    return size if packed == at - _XZ_FOOTER and size <= MAX_SIZE else 0


def _xz_number(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 63, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            break
    return value, position
