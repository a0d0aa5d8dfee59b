"""The on-disc structures of ISO 9660 and its extensions, parsed from bytes; nothing here touches a file.

Sources: ECMA-119 (volume descriptors in section 8, directory records in 9.1), the System Use Sharing Protocol (IEEE
P1281), Rock Ridge (IEEE P1282), and the Joliet specification.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from luxusbd.errors import MalformedImageError
from luxusbd.images.tree import MAX_NAME

SECTOR = 2048
"""Bytes of a volume descriptor and the unit in which directories are padded."""

FLAG_DIRECTORY = 0x02
FLAG_ASSOCIATED = 0x04
FLAG_MULTI_EXTENT = 0x80

MAX_CONTINUATIONS = 16
MAX_LINK = 4096

_JOLIET_ESCAPES = (b"%/@", b"%/C", b"%/E")


@dataclass(frozen=True)
class Record:
    """One directory record; `extent` and `length` in blocks and bytes."""

    name: bytes
    extent: int
    length: int
    flags: int
    interleaved: bool
    system_use: bytes


@dataclass(frozen=True)
class VolumeDescriptor:
    """A primary or supplementary volume descriptor."""

    volume_id: str
    block_size: int
    blocks: int
    root: Record
    uuid: str
    joliet: bool


@dataclass
class SystemUse:
    """What the SUSP entries of a record say."""

    name: bytes | None = None
    link: str | None = None
    child: int | None = None
    """Block of a relocated directory (CL)."""
    relocated: bool = False
    skip: int | None = None
    """Set when there was an SP entry: the bytes to skip in every other record."""
    link_parts: list[str] = field(default_factory=list)
    link_length: int = 0


def parse_volume(sector: bytes) -> VolumeDescriptor:
    """Read a primary (type 1) or supplementary (type 2) descriptor of 2048 bytes.

    Raises:
        MalformedImageError: block size or root directory make no sense.
    """
    joliet = sector[0] == 2 and sector[88:91] in _JOLIET_ESCAPES
    block_size = struct.unpack_from("<H", sector, 128)[0]
    if block_size not in (512, 1024, 2048):
        raise MalformedImageError(f"the image is damaged: its volume claims blocks of {block_size} bytes")
    root = parse_record(sector, 156, 190)
    if root is None or not root.flags & FLAG_DIRECTORY:
        raise MalformedImageError("the image is damaged: its volume has no root directory")
    raw = sector[40:72]
    label = raw.decode("utf-16-be", "replace") if joliet else raw.decode("utf-8", "replace")
    return VolumeDescriptor(
        volume_id=label.split("\0")[0].rstrip(),
        block_size=block_size,
        blocks=struct.unpack_from("<I", sector, 80)[0],
        root=root,
        uuid=_uuid(sector[830:847]) or _uuid(sector[813:830]),
        joliet=joliet,
    )


def _uuid(date: bytes) -> str:
    """Sixteen digits of a date as libblkid prints them; it takes the modification date and else the creation date."""
    digits = date[:16]
    if not re.fullmatch(rb"[0-9]{16}", digits) or (digits == b"0" * 16 and date[16] == 0):
        return ""
    text = digits.decode("ascii")
    return "-".join((text[:4], *(text[at : at + 2] for at in range(4, 16, 2))))


def parse_record(data: bytes, offset: int, end: int) -> Record | None:
    """The record at `offset`, or None where its length byte is zero (padding).

    Raises:
        MalformedImageError: the record reaches beyond `end` or contradicts itself.
    """
    length = data[offset]
    if length == 0:
        return None
    name_length = data[offset + 32] if offset + 33 <= end else 0
    if length < 34 or offset + length > end or name_length == 0 or 33 + name_length > length:
        raise MalformedImageError("the image is damaged: a directory record contradicts itself")
    extent, size = struct.unpack_from("<I4xI", data, offset + 2)
    name_end = 33 + name_length
    return Record(
        name=data[offset + 33 : offset + name_end],
        extent=extent + data[offset + 1],
        length=size,
        flags=data[offset + 25],
        interleaved=data[offset + 26] != 0,
        system_use=data[offset + name_end + (name_length + 1) % 2 : offset + length],
    )


def iterate_records(data: bytes) -> Iterator[Record]:
    """All records of a directory's bytes; records never cross a sector."""
    for start in range(0, len(data), SECTOR):
        end = min(start + SECTOR, len(data))
        offset = start
        while offset < end:
            record = parse_record(data, offset, end)
            if record is None:
                break
            yield record
            offset += data[offset]


def parse_system_use(area: bytes, fetch: Callable[[int, int, int], bytes]) -> SystemUse:
    """Read SUSP and Rock Ridge entries.

    Args:
        area: the system use field, after the skipped bytes.
        fetch: gives (block, offset in bytes, length in bytes) of a continuation area.

    Raises:
        MalformedImageError: more continuations than any sane image has.
    """
    found = SystemUse()
    name = bytearray()
    named = False
    for _ in range(MAX_CONTINUATIONS):
        continuation: tuple[int, int, int] | None = None
        offset = 0
        while offset + 4 <= len(area):
            signature, length = area[offset : offset + 2], area[offset + 2]
            if length < 4 or offset + length > len(area):
                break
            body = area[offset + 4 : offset + length]
            offset += length
            if signature == b"ST":
                break
            if signature == b"SP" and len(body) >= 3 and body[:2] == b"\xbe\xef":
                found.skip = body[2]
            elif signature == b"CE" and len(body) >= 24:
                continuation = (
                    struct.unpack_from("<I", body, 0)[0],
                    struct.unpack_from("<I", body, 8)[0],
                    struct.unpack_from("<I", body, 16)[0],
                )
            elif signature == b"NM" and body and not body[0] & 0x06 and len(name) <= MAX_NAME:
                name += body[1:]
                named = True
            elif signature == b"SL" and body:
                _parse_link(body[1:], found)
            elif signature == b"CL" and len(body) >= 4:
                found.child = struct.unpack_from("<I", body, 0)[0]
            elif signature == b"RE":
                found.relocated = True
        if continuation is None:
            break
        if continuation[2] > SECTOR:
            raise MalformedImageError("the image is damaged: a continuation area is larger than a sector")
        area = fetch(*continuation)
    else:
        raise MalformedImageError("the image is damaged: its directory entries continue without end")
    if named:
        found.name = bytes(name)
    if found.link_parts:
        found.link = "".join(found.link_parts).removesuffix("/") or "/"
    return found


def _parse_link(components: bytes, found: SystemUse) -> None:
    offset = 0
    while offset + 2 <= len(components) and found.link_length < MAX_LINK:
        flags, length = components[offset], components[offset + 1]
        text = components[offset + 2 : offset + 2 + length].decode("utf-8", "replace")
        if flags & 0x08:
            text = ""
        elif flags & 0x04:
            text = ".."
        elif flags & 0x02:
            text = "."
        found.link_parts.append(text if flags & 0x01 else text + "/")
        found.link_length += len(text) + 1
        offset += 2 + length


def plain_name(raw: bytes) -> str:
    """An ISO 9660 name without version and trailing dot, in lower case as GRUB and Linux show it."""
    return raw.decode("utf-8", "replace").split(";")[0].removesuffix(".").lower()


def joliet_name(raw: bytes) -> str:
    """A Joliet name without its version."""
    return raw.decode("utf-16-be", "replace").split(";")[0]
