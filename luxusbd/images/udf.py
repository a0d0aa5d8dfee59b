"""A read-only view of the UDF side of an image: bridge discs and pure UDF, revisions 1.02 to 2.60.

What is read: anchors, both volume descriptor sequences, plain and metadata partitions, (extended) file entries with
short, long and embedded allocation descriptors. What is refused, because images for installation never have it: virtual
and sparable partitions of rewritable discs, and the strategy of write-once discs.

The image comes from anywhere, so that everything is bounded: see `bounded` and `tree`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from luxusbd.errors import MalformedImageError
from luxusbd.images import udf_records as records
from luxusbd.images.bounded import BoundedReader
from luxusbd.images.tree import HOLE, MAX_DIRECTORY, Extents, FileTree, Node, usable_name
from luxusbd.images.udf_records import Address, FileEntry, LogicalVolume, Partition

MAX_EXTENTS = 8192
"""Pieces of one file: with the largest possible ones, 8 TiB."""
MAX_CONTINUATIONS = 64
"""Extents of further allocation descriptors of one file."""
MAX_SEQUENCE = 64
"""Descriptors read of one volume descriptor sequence."""

_ANCHOR_BLOCK = 256
_BLOCK_SIZES = (2048, 512, 4096, 1024)
_CACHED_ENTRIES = 4096


@dataclass(frozen=True)
class _Volume:
    block_size: int
    logical: LogicalVolume
    partitions: dict[int, Partition]


class UdfImage(FileTree):
    """The UDF tree of an image.

    Raises:
        MalformedImageError: here and in every method, when there is no UDF volume, when it is truncated, inconsistent
            or of a kind that cannot be read here, or when it exceeds the bounds.
    """

    def __init__(self, reader: BoundedReader) -> None:
        super().__init__(reader)
        self.udf = True
        self.case_sensitive = True
        self._files: OrderedDict[Address, FileEntry] = OrderedDict()
        self._volume = self._find_volume()
        self._metadata: dict[int, _Mapping] = {}
        logical = self._volume.logical
        end = max(partition.start + partition.length for partition in self._volume.partitions.values())
        self._check_size(end * self._volume.block_size)
        for index, entry in enumerate(logical.maps):
            if entry.metadata is not None:
                self._metadata[index] = self._metadata_mapping(index, entry.metadata)
        where = logical.file_set.address
        data = self._block(where)
        if records.tag_of(data, where.block) != records.TAG_FILE_SET:
            raise MalformedImageError("the image is damaged: its UDF volume has no file set")
        self._start = Node("", True, records.long_allocation(data, 400).address)
        if self._entry(self._address(self._start)).file_type != records.TYPE_DIRECTORY:
            raise MalformedImageError("the image is damaged: its UDF volume has no root directory")
        self._check_reach(end * self._volume.block_size)

    @property
    def volume_id(self) -> str:
        """The identifier of the logical volume, which blkid and file managers show as its label."""
        return self._volume.logical.label

    @property
    def uuid(self) -> str:
        """Always empty: no boot entry names a UDF volume by its UUID."""
        return ""

    @property
    def names(self) -> str:
        """Always "udf"."""
        return "udf"

    @property
    def revision(self) -> str:
        """The revision of UDF, such as 2.50; empty where the volume does not say."""
        number = self._volume.logical.revision
        return f"{number >> 8:x}.{number & 0xFF:02x}" if number else ""

    @property
    def _root(self) -> Node:
        return self._start

    def _extents_of(self, node: Node) -> Extents:
        return self._extents(self._address(node))

    def _settled(self, node: Node) -> Node:
        if node.directory:
            return node
        address = self._address(node)
        if self._entry(address).file_type != records.TYPE_SYMLINK:
            return node
        return replace(node, link=records.parse_link(self._content(self._extents(address), records.MAX_LINK)))

    def _read_directory(self, directory: Node) -> dict[str, Node]:
        address = self._address(directory)
        entry = self._entry(address)
        if entry.file_type != records.TYPE_DIRECTORY:
            raise MalformedImageError("the image is damaged: a UDF directory is none")
        if entry.size > MAX_DIRECTORY:
            raise MalformedImageError(f"the image is damaged or hostile: a directory claims {entry.size} bytes")
        entries: dict[str, Node] = {}
        for found in records.iterate_identifiers(self._content(self._extents(address), MAX_DIRECTORY)):
            self._count_entry()
            if found.flags & (records.FID_DELETED | records.FID_PARENT) or not usable_name(found.name):
                continue
            entries.setdefault(found.name, Node(found.name, bool(found.flags & records.FID_DIRECTORY), found.address))
        return entries

    def _find_volume(self) -> _Volume:
        failed: MalformedImageError | None = None
        anchored = False
        for block_size in _BLOCK_SIZES:
            blocks = self.size // block_size
            for at in dict.fromkeys((_ANCHOR_BLOCK, blocks - 1, blocks - 1 - _ANCHOR_BLOCK, blocks - _ANCHOR_BLOCK)):
                if not 0 < at < blocks:
                    continue
                anchor = self.reader.read(at * block_size, 512)
                if records.tag_of(anchor, at) != records.TAG_ANCHOR:
                    continue
                anchored = True
                for field in (16, 24):  # the main sequence, then the reserve
                    length, start = (int.from_bytes(anchor[field + n : field + n + 4], "little") for n in (0, 4))
                    try:
                        return self._sequence(block_size, start, length)
                    except MalformedImageError as error:
                        failed = failed or error
        if failed is not None:
            raise failed
        if not anchored and self.size < (_ANCHOR_BLOCK + 1) * 2048:
            raise MalformedImageError(f"the image is truncated: a UDF volume does not end after {self.size} bytes")
        raise MalformedImageError("the image is truncated or damaged: its UDF volume has no anchor")

    def _sequence(self, block_size: int, start: int, length: int) -> _Volume:
        logical: LogicalVolume | None = None
        partitions: dict[int, tuple[int, Partition]] = {}
        for _at, identifier, data in self._descriptors(block_size, start, length):
            sequence = int.from_bytes(data[16:20], "little")
            if identifier == records.TAG_PARTITION:
                partition = records.parse_partition(data)
                known = partitions.get(partition.number)
                if known is None or known[0] <= sequence:
                    partitions[partition.number] = (sequence, partition)
            elif identifier == records.TAG_LOGICAL and (logical is None or logical.sequence <= sequence):
                logical = records.parse_logical_volume(data)
        if logical is None or not partitions:
            raise MalformedImageError("the image is damaged: its UDF volume descriptors are incomplete")
        if logical.block_size != block_size:
            raise MalformedImageError("the image is damaged: its UDF volume names another size of blocks than it uses")
        for entry in logical.maps:
            if entry.number not in partitions:
                raise MalformedImageError(f"the image is damaged: its UDF partition {entry.number} is not there")
        return _Volume(block_size, logical, {number: found for number, (_, found) in partitions.items()})

    def _descriptors(self, block_size: int, start: int, length: int) -> Iterator[tuple[int, int, bytes]]:
        """(block, identifier, bytes) of a sequence, which may go on elsewhere."""
        at, end = start, start + length // block_size
        for _ in range(MAX_SEQUENCE):
            if at >= end:
                return
            data = self.reader.read(at * block_size, max(block_size, 512))
            identifier = records.tag_of(data, at)
            if identifier is None or identifier == records.TAG_TERMINATOR:
                return
            if identifier == records.TAG_POINTER:
                size, at = (int.from_bytes(data[n : n + 4], "little") for n in (20, 24))
                end = at + size // block_size
                continue
            yield at, identifier, data
            at += 1

    def _metadata_mapping(self, index: int, metadata: records.MetadataFile) -> _Mapping:
        # the file entries of the metadata partition lie in the partition below it, which is none of the map
        failed: MalformedImageError | None = None
        below = index + len(self._volume.logical.maps)
        for block in dict.fromkeys((metadata.file, metadata.mirror)):
            try:
                return _Mapping(self._extents(Address(block, below)))
            except MalformedImageError as error:
                failed = failed or error
        assert failed is not None
        raise failed

    def _place(self, address: Address, length: int) -> Iterator[tuple[int, int]]:
        """The bytes of the image that hold `length` bytes from a block on."""
        maps = self._volume.logical.maps
        count = len(maps)
        if address.partition >= 2 * count:
            raise MalformedImageError(f"the image is damaged: it names the UDF partition {address.partition}")
        if mapping := self._metadata.get(address.partition):
            yield from mapping.pieces(address.block * self._volume.block_size, length)
            return
        partition = self._volume.partitions[maps[address.partition % count].number]
        offset = address.block * self._volume.block_size
        if offset + length > partition.length * self._volume.block_size:
            raise MalformedImageError("the image is damaged: a UDF file lies outside of its partition")
        yield partition.start * self._volume.block_size + offset, length

    def _block(self, address: Address) -> bytes:
        return b"".join(self.reader.read(*piece) for piece in self._place(address, self._volume.block_size))

    def _entry(self, address: Address) -> FileEntry:
        known = self._files.get(address)
        if known is not None:
            self._files.move_to_end(address)
            return known
        data = self._block(address)
        identifier = records.tag_of(data, address.block)
        if identifier not in (records.TAG_FILE_ENTRY, records.TAG_EXTENDED_FILE_ENTRY):
            raise MalformedImageError(f"the image is damaged: there is no UDF file entry in block {address.block}")
        found = records.parse_file_entry(data, identifier, address.partition)
        if any(piece.kind == records.AD_CONTINUED for piece in found.allocations):
            kind = records.allocation_kind(data)
            found = replace(found, allocations=self._continued(found.allocations, kind, address.partition))
        self._files[address] = found
        if len(self._files) > _CACHED_ENTRIES:
            self._files.popitem(last=False)
        return found

    def _continued(
        self, first: tuple[records.Allocation, ...], kind: int, partition: int
    ) -> tuple[records.Allocation, ...]:
        found: list[records.Allocation] = []
        pieces = first
        for _ in range(MAX_CONTINUATIONS):
            further = next((n for n, piece in enumerate(pieces) if piece.kind == records.AD_CONTINUED), None)
            found += pieces[:further]
            if len(found) > MAX_EXTENTS:
                raise MalformedImageError(f"the image is damaged: a UDF file has more than {MAX_EXTENTS} extents")
            if further is None:
                return tuple(found)
            where = pieces[further].address
            data = self._block(where)
            if records.tag_of(data, where.block) != records.TAG_ALLOCATION:
                raise MalformedImageError("the image is damaged: UDF allocation descriptors continue nowhere")
            pieces = tuple(records.parse_allocations(records.parse_allocation_extent(data), kind, partition))
        raise MalformedImageError("the image is damaged: UDF allocation descriptors continue without end")

    def _extents(self, address: Address) -> Extents:
        entry = self._entry(address)
        if entry.embedded is not None:
            return _cut(self._place(address, self._volume.block_size), *entry.embedded)
        found: list[tuple[int, int]] = []
        left = entry.size
        for piece in entry.allocations:
            length = min(piece.length, left)
            if length <= 0:
                break
            left -= length
            if piece.kind == records.AD_RECORDED:
                found += self._place(piece.address, length)
            else:
                found.append((HOLE, length))
            if len(found) > MAX_EXTENTS:
                raise MalformedImageError(f"the image is damaged: a UDF file has more than {MAX_EXTENTS} extents")
        if left:
            raise MalformedImageError("the image is damaged: a UDF file is larger than the space it has")
        return tuple(found)

    def _address(self, node: Node) -> Address:
        assert isinstance(node.place, Address)
        return node.place


class _Mapping:
    """The content of a metadata file, which is a partition of its own."""

    def __init__(self, extents: Extents) -> None:
        self._extents = extents
        self._ends: list[int] = []
        end = 0
        for _start, length in extents:
            end += length
            self._ends.append(end)

    def pieces(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        if not self._ends or offset + length > self._ends[-1]:
            raise MalformedImageError("the image is damaged: a UDF file lies outside of the metadata partition")
        index = bisect_right(self._ends, offset)
        while length:
            start, size = self._extents[index]
            skip = offset - (self._ends[index] - size)
            part = min(size - skip, length)
            if start == HOLE:
                raise MalformedImageError("the image is damaged: its UDF metadata partition has holes")
            yield start + skip, part
            offset += part
            length -= part
            index += 1


def _cut(pieces: Iterator[tuple[int, int]], offset: int, length: int) -> Extents:
    """`length` bytes from `offset` of what the pieces hold together."""
    found = []
    for start, size in pieces:
        if offset < size and length > 0:
            part = min(size - offset, length)
            found.append((start + offset, part))
            length -= part
        offset = max(0, offset - size)
    return tuple(found)
