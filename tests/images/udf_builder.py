"""Writes UDF images, with what real tools do not: metadata partitions, continued and embedded allocations, holes.

Structures as in `luxusbd.images.udf_records`, written from ECMA-167 and the UDF specification independently of it.
"""

from __future__ import annotations

import struct
from binascii import crc_hqx
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

Tree = Mapping[str, "bytes | Link | Tree"]
START = 300
"""Block at which the partition begins."""


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


class Style(Enum):
    """How the content of files is described."""

    SHORT = 0
    LONG = 1
    EMBEDDED = 3


@dataclass
class Udf:
    """What to write."""

    tree: Tree
    label: str = "UDF"
    block: int = 2048
    style: Style = Style.SHORT
    pieces: int = 1
    """In how many extents a file is cut; every second one is preceded by a block that belongs to nobody."""
    metadata: bool = False
    extended: bool = False
    """Extended file entries."""
    continued: bool = False
    """All allocation descriptors but the first are in a continuation."""
    broken_main: bool = False
    anchors: tuple[int, ...] = (256,)
    """Blocks; a negative one counts from the end, -1 being the last."""
    revision: int = 0x0250
    _blocks: dict[int, bytes] = field(default_factory=dict)
    _meta: dict[int, bytes] = field(default_factory=dict)
    _next: int = 4
    _next_meta: int = 0

    def build(self) -> bytes:
        """The image."""
        self._blocks, self._meta = {}, {}
        self._next, self._next_meta = 8, 4
        part = 1 if self.metadata else 0
        fileset_block, root_block = 0, 1
        where = self._meta if self.metadata else self._blocks
        self._directory(self.tree, root_block, root_block)
        fsd = bytearray(512)
        fsd[400:416] = self._long(self.block, root_block, part)
        where[fileset_block] = tag(256, fileset_block, bytes(fsd[16:]))
        maps = struct.pack("<BBHH", 1, 6, 1, 0)
        if self.metadata:
            self._write_metadata_files()
            identifier = bytes(1) + b"*UDF Metadata Partition" + struct.pack("<H6x", self.revision)
            maps += struct.pack("<BB2x32sHHIIIIHB5x", 2, 64, identifier, 1, 0, 2, 3, 0xFFFFFFFF, 32, 1, 0)
        length = max(self._next, 64)
        total = START + length + 300
        out = bytearray(total * self.block)
        for at, name in enumerate((b"BEA01", b"NSR03", b"TEA01")):
            offset = 32768 + at * max(2048, self.block)
            out[offset : offset + 7] = b"\0" + name + b"\1"
        for number, at in enumerate((257, 273)):
            for index, (identifier_, body) in enumerate(self._volume(maps, length, part)):
                sector = bytearray(tag(identifier_, at + index, body))
                if self.broken_main and not number:
                    sector[20] ^= 1
                put(out, (at + index) * self.block, sector)
        for anchor in self.anchors:
            at = anchor if anchor >= 0 else total + anchor
            put(
                out, at * self.block, tag(2, at, struct.pack("<IIII", *(16 * self.block, 257), *(16 * self.block, 273)))
            )
        for at, data in self._blocks.items():
            put(out, (START + at) * self.block, data)
        return bytes(out)

    def _volume(self, maps: bytes, length: int, part: int) -> list[tuple[int, bytes]]:
        logical = bytearray(440)
        struct.pack_into("<I", logical, 16, 1)
        logical[84:212] = dstring(self.label, 128)
        struct.pack_into("<I", logical, 212, self.block)
        logical[217:236] = b"*OSTA UDF Compliant"
        struct.pack_into("<H", logical, 240, self.revision)
        logical[248:264] = self._long(self.block, 0, part)
        struct.pack_into("<II", logical, 264, len(maps), 2 if self.metadata else 1)
        partition = bytearray(512)
        struct.pack_into("<IHH", partition, 16, 1, 1, 0)
        struct.pack_into("<II", partition, 188, START, length)
        return [(1, bytes(496)), (5, bytes(partition[16:])), (6, bytes(logical[16:]) + maps), (8, bytes(496))]

    def _write_metadata_files(self) -> None:
        count = max(self._meta) + 1
        half = -(-count // 2)
        first, second = self._take(half), self._take(count - half + 1)
        for at, data in self._meta.items():
            self._blocks[first + at if at < half else second + at - half] = data.ljust(self.block, b"\0")
        extents = [(half * self.block, first), ((count - half) * self.block, second)]
        data = b"".join(struct.pack("<II", *extent) for extent in extents if extent[0])
        for at, kind in ((2, 250), (3, 251)):
            self._blocks[at] = self._entry(at, kind, count * self.block, 0, data)

    def _take(self, count: int) -> int:
        at = self._next
        self._next += count
        return at

    def _slot(self) -> int:
        if not self.metadata:
            return self._take(1)
        self._next_meta += 1
        return self._next_meta - 1

    def _directory(self, tree: Tree, at: int, parent: int) -> None:
        data = fid("", 0x0A, self._long(self.block, parent, self._part()))
        for name, content in tree.items():
            below = self._slot()
            if isinstance(content, Mapping):
                self._directory(content, below, at)
            elif isinstance(content, Link):
                self._file(below, 12, link(content.target))
            else:
                self._file(below, 5, content)
            data += fid(name, 2 if isinstance(content, Mapping) else 0, self._long(self.block, below, self._part()))
        self._file(at, 4, data)

    def _part(self) -> int:
        return 1 if self.metadata else 0

    def _file(self, at: int, kind: int, data: bytes) -> None:
        where = self._meta if self.metadata else self._blocks
        if self.style is Style.EMBEDDED and len(data) <= self.block - 216:
            where[at] = self._entry(at, kind, len(data), 3, data)
            return
        allocations = b""
        # in a metadata partition a short descriptor names blocks of that partition, so that files need long ones
        wide = self.style is not Style.SHORT or self.metadata
        size = 16 if wide else 8
        piece = max(1, -(-len(data) // max(1, self.pieces * self.block))) * self.block
        for offset in range(0, len(data), piece):
            part = data[offset : offset + piece]
            if self.pieces > 1:
                self._take(1)
            if not any(part) and kind == 5:
                allocations += self._allocation(len(part) | 2 << 30, 0, wide)
                continue
            block = self._take(-(-len(part) // self.block))
            for index in range(0, len(part), self.block):
                self._blocks[block + index // self.block] = part[index : index + self.block]
            allocations += self._allocation(len(part), block, wide)
        if self.continued and len(allocations) > size:
            block = self._slot()
            body = struct.pack("<II", 0, len(allocations) - size) + allocations[size:]
            where[block] = tag(258, block, body)
            further = struct.pack("<II", self.block | 3 << 30, block)
            if wide:
                further = self._long(self.block | 3 << 30, block, self._part())
            allocations = allocations[:size] + further
        where[at] = self._entry(at, kind, len(data), 1 if wide else 0, allocations)

    def _allocation(self, length: int, block: int, wide: bool) -> bytes:
        return self._long(length, block, 0) if wide else struct.pack("<II", length, block)

    def _long(self, length: int, block: int, part: int) -> bytes:
        return struct.pack("<IIH6x", length, block, part)

    def _entry(self, at: int, kind: int, size: int, flags: int, data: bytes) -> bytes:
        head = 216 if self.extended else 176
        entry = bytearray(head)
        struct.pack_into("<IHHHBB6xH", entry, 16, 0, 4, 0, 1, 0, kind, flags)
        struct.pack_into("<Q", entry, 56, size)
        struct.pack_into("<II", entry, head - 8, 0, len(data))
        return tag(266 if self.extended else 261, at, bytes(entry[16:]) + data)


def tag(identifier: int, location: int, body: bytes) -> bytes:
    """A descriptor with its tag."""
    head = bytearray(struct.pack("<HHBxHHHI", identifier, 3, 0, 1, crc_hqx(body, 0), len(body), location))
    head[4] = sum(head) & 0xFF
    return bytes(head) + body


def put(out: bytearray, at: int, data: bytes | bytearray) -> None:
    """Write into an image."""
    out[at : at + len(data)] = data


def characters(text: str) -> bytes:
    """OSTA compressed Unicode."""
    if not text:
        return b""
    if all(ord(char) < 256 for char in text):
        return b"\x08" + text.encode("latin-1")
    return b"\x10" + text.encode("utf-16-be")


def dstring(text: str, size: int) -> bytes:
    """A text in a field of fixed size."""
    raw = characters(text)
    return raw.ljust(size - 1, b"\0") + bytes([len(raw)])


def fid(name: str, flags: int, icb: bytes) -> bytes:
    """A directory entry."""
    raw = characters(name)
    body = struct.pack("<HBB16sH", 1, flags, len(raw), icb, 0) + raw
    return tag(257, 0, body + bytes(-(len(body) + 16) % 4))


def link(target: str) -> bytes:
    """The content of a symbolic link."""
    parts = b"\x02\0\0\0" if target.startswith("/") else b""
    for part in target.strip("/").split("/"):
        raw = b"" if part in ("..", ".") else characters(part)
        parts += bytes([{"..": 3, ".": 4}.get(part, 5), len(raw), 0, 0]) + raw
    return parts
