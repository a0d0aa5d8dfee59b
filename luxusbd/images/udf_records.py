"""The on-disc structures of UDF, parsed from bytes; nothing here touches a file.

Sources: ECMA-167 3rd edition (descriptor tags in 3/7.2, volume descriptors in 3/10, file structure in 4/14) and the
OSTA UDF specification 2.60 (identifiers in 2.1, the metadata partition in 2.2.10). All figures are little-endian.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from luxusbd.errors import MalformedImageError

TAG_PRIMARY = 1
TAG_ANCHOR = 2
TAG_POINTER = 3
TAG_PARTITION = 5
TAG_LOGICAL = 6
TAG_TERMINATOR = 8
TAG_FILE_SET = 256
TAG_FILE_IDENTIFIER = 257
TAG_ALLOCATION = 258
TAG_FILE_ENTRY = 261
TAG_EXTENDED_FILE_ENTRY = 266

TYPE_DIRECTORY = 4
TYPE_SYMLINK = 12

FID_DIRECTORY = 0x02
FID_DELETED = 0x04
FID_PARENT = 0x08

AD_RECORDED = 0
AD_CONTINUED = 3

MAX_MAPS = 8
MAX_LINK = 4096

_PERMITTED_STRATEGY = 4
_LENGTH_MASK = 0x3FFFFFFF


@dataclass(frozen=True)
class Address:
    """A logical block of a partition: number in that partition, and index of the partition in the volume's map."""

    block: int
    partition: int


@dataclass(frozen=True)
class Allocation:
    """A piece of a file; `length` in bytes."""

    kind: int
    """0 recorded, 1 and 2 read as zeros, 3 is where more of these are."""
    length: int
    address: Address


@dataclass(frozen=True)
class Partition:
    """A partition descriptor; blocks of the volume."""

    number: int
    start: int
    length: int


@dataclass(frozen=True)
class MetadataFile:
    """Where a metadata partition's file entries are: blocks of the partition below it."""

    file: int
    mirror: int


@dataclass(frozen=True)
class PartitionMap:
    """What a partition reference means."""

    number: int
    """Of the partition descriptor."""
    metadata: MetadataFile | None = None


@dataclass(frozen=True)
class LogicalVolume:
    """A logical volume descriptor."""

    sequence: int
    label: str
    block_size: int
    revision: int
    """Of UDF, as 0x0250; 0 where it is another domain."""
    file_set: Allocation
    maps: tuple[PartitionMap, ...]


@dataclass(frozen=True)
class FileEntry:
    """A file entry or an extended one."""

    file_type: int
    size: int
    """Bytes of the content."""
    allocations: tuple[Allocation, ...]
    embedded: tuple[int, int] | None
    """(offset in the block, length) of a content that is inside the entry itself."""


@dataclass(frozen=True)
class FileIdentifier:
    """An entry of a directory."""

    name: str
    flags: int
    address: Address


def tag_of(data: bytes, location: int | None) -> int | None:
    """The identifier of the descriptor that `data` begins with, or None where no sound one is.

    Args:
        data: the descriptor and what follows it.
        location: the block it has to name as its own, None where that is not known.
    """
    if len(data) < 16:
        return None
    identifier, _version, checksum, _serial, crc, crc_length, own = struct.unpack_from("<HHBxHHHI", data)
    if (sum(data[:4]) + sum(data[5:16])) & 0xFF != checksum or not identifier:
        return None
    if location is not None and own != location:
        return None
    if 16 + crc_length > len(data) or binascii.crc_hqx(data[16 : 16 + crc_length], 0) != crc:
        return None
    return int(identifier)


def parse_partition(data: bytes) -> Partition:
    """A partition descriptor (3/10.5)."""
    number, start, length = struct.unpack_from("<H", data, 22)[0], *struct.unpack_from("<II", data, 188)
    return Partition(number, start, length)


def parse_logical_volume(data: bytes) -> LogicalVolume:
    """A logical volume descriptor (3/10.6) of at least one block.

    Raises:
        MalformedImageError: it contradicts itself, or is of a kind that is written to rewritable discs only.
    """
    block_size = struct.unpack_from("<I", data, 212)[0]
    if block_size not in (512, 1024, 2048, 4096):
        raise MalformedImageError(f"the image is damaged: its UDF volume claims blocks of {block_size} bytes")
    table, count = struct.unpack_from("<II", data, 264)
    if not 1 <= count <= MAX_MAPS or 440 + table > len(data):
        raise MalformedImageError(f"the image is damaged: its UDF volume claims {count} partition maps")
    maps = []
    at = 440
    for _ in range(count):
        kind, length = (data[at], data[at + 1]) if at + 6 <= 440 + table else (0, 0)
        if length < 6 or at + length > 440 + table:
            raise MalformedImageError("the image is damaged: its UDF partition maps contradict themselves")
        maps.append(_partition_map(kind, data[at : at + length]))
        at += length
    return LogicalVolume(
        sequence=struct.unpack_from("<I", data, 16)[0],
        label=dstring(data[84:212]),
        block_size=block_size,
        revision=struct.unpack_from("<H", data, 240)[0] if data[217:236] == b"*OSTA UDF Compliant" else 0,
        file_set=long_allocation(data, 248),
        maps=tuple(maps),
    )


def _partition_map(kind: int, data: bytes) -> PartitionMap:
    if kind == 1 and len(data) == 6:
        return PartitionMap(struct.unpack_from("<H", data, 4)[0])
    if kind == 2 and len(data) == 64:
        name = data[5:28].rstrip(b"\0").decode("ascii", "replace")
        number = struct.unpack_from("<H", data, 38)[0]
        if name == "*UDF Metadata Partition":
            return PartitionMap(number, MetadataFile(*struct.unpack_from("<II", data, 40)))
        if name in ("*UDF Virtual Partition", "*UDF Sparable Partition"):
            raise MalformedImageError(
                f"the image was taken from a rewritable disc ({name[5:].lower()}), which cannot be read here"
            )
    raise MalformedImageError("the image is damaged: its UDF volume has a partition of an unknown kind")


def long_allocation(data: bytes, offset: int) -> Allocation:
    """A long allocation descriptor (4/14.14.2)."""
    length, block, partition = struct.unpack_from("<IIH", data, offset)
    return Allocation(length >> 30, length & _LENGTH_MASK, Address(block, partition))


def parse_allocations(data: bytes, kind: int, partition: int) -> Iterator[Allocation]:
    """Short (kind 0) or long (kind 1) allocation descriptors, up to the first of length 0."""
    size = 8 if kind == 0 else 16
    for at in range(0, len(data) - size + 1, size):
        if kind == 0:
            length, block = struct.unpack_from("<II", data, at)
            found = Allocation(length >> 30, length & _LENGTH_MASK, Address(block, partition))
        else:
            found = long_allocation(data, at)
        if not found.length:
            return
        yield found


def allocation_kind(data: bytes) -> int:
    """How the content of the file entry `data` is described: 0 short, 1 long, 2 extended, 3 inside (4/14.6.8)."""
    return int(struct.unpack_from("<H", data, 34)[0] & 7)


def parse_file_entry(data: bytes, identifier: int, partition: int) -> FileEntry:
    """A file entry (4/14.9) or an extended one (4/14.17); `data` is its block.

    Raises:
        MalformedImageError: it contradicts itself, or is written in a way that discs for reading never are.
    """
    attributes_at, body = (208, 216) if identifier == TAG_EXTENDED_FILE_ENTRY else (168, 176)
    if len(data) < body:
        raise MalformedImageError("the image is damaged: a UDF file entry is cut off")
    strategy = struct.unpack_from("<H", data, 20)[0]
    size = struct.unpack_from("<Q", data, 56)[0]
    attributes, length = struct.unpack_from("<II", data, attributes_at)
    start = body + attributes
    if start + length > len(data):
        raise MalformedImageError("the image is damaged: a UDF file entry is longer than its block")
    if strategy != _PERMITTED_STRATEGY:
        raise MalformedImageError(f"the image uses the UDF strategy {strategy}, which cannot be read here")
    kind = allocation_kind(data)
    if kind == 3:
        if size > length:
            raise MalformedImageError("the image is damaged: a UDF file is larger than the entry that holds it")
        return FileEntry(data[27], size, (), (start, size))
    if kind > 1:
        raise MalformedImageError(f"the image is damaged: a UDF file has allocation descriptors of kind {kind}")
    return FileEntry(data[27], size, tuple(parse_allocations(data[start : start + length], kind, partition)), None)


def parse_allocation_extent(data: bytes) -> bytes:
    """The descriptors in a continuation (4/14.5); `data` is its extent.

    Raises:
        MalformedImageError: it contradicts itself.
    """
    length = struct.unpack_from("<I", data, 20)[0] if len(data) >= 24 else 0
    if 24 + length > len(data):
        raise MalformedImageError("the image is damaged: UDF allocation descriptors continue beyond their extent")
    return data[24 : 24 + length]


def iterate_identifiers(data: bytes) -> Iterator[FileIdentifier]:
    """The entries of a directory's content (4/14.4).

    Raises:
        MalformedImageError: an entry contradicts itself.
    """
    offset = 0
    while offset + 38 <= len(data):
        flags, name_length = data[offset + 18], data[offset + 19]
        use = struct.unpack_from("<H", data, offset + 36)[0]
        end = offset + (38 + use + name_length + 3) // 4 * 4
        entry = data[offset:end]
        if end > len(data) or tag_of(entry, None) != TAG_FILE_IDENTIFIER:
            raise MalformedImageError("the image is damaged: a UDF directory entry contradicts itself")
        name = characters(entry[38 + use : 38 + use + name_length])
        yield FileIdentifier(name, flags, long_allocation(entry, 20).address)
        offset = end


def parse_link(data: bytes) -> str:
    """The path in a symbolic link's content (4/14.16)."""
    parts: list[str] = []
    offset = 0
    while offset + 4 <= len(data):
        kind, length = data[offset], data[offset + 1]
        if kind in (1, 2):
            parts = [""]
        elif kind in (3, 4):
            parts.append(".." if kind == 3 else ".")
        elif kind == 5:
            parts.append(characters(data[offset + 4 : offset + 4 + length]))
        offset += 4 + length
    return "/".join(parts)[:MAX_LINK] or "/"


def characters(raw: bytes) -> str:
    """OSTA compressed Unicode (UDF 2.1.1): 8 or 16 bits a character, said by the first byte."""
    if not raw:
        return ""
    if raw[0] in (8, 254):
        return raw[1:].decode("latin-1")
    if raw[0] in (16, 255):
        return raw[1:].decode("utf-16-be", "replace")
    return ""


def dstring(field: bytes) -> str:
    """A text in a field of fixed size, whose last byte tells how much of it is used (UDF 2.1.3)."""
    return characters(field[: min(field[-1], len(field) - 1)]).split("\0")[0].strip()
