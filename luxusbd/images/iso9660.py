"""A read-only view of the ISO 9660 side of an image.

The image comes from anywhere, so it is data to distrust: directories are read one by one when a path is asked for, and
the number of reads, the bytes, the entries and the depth are bounded (`bounded`, `tree`). That is why this is not
pycdlib, which parses the whole tree at once and without bounds.

Names are chosen as GRUB chooses them, because GRUB is what will open the files: Rock Ridge, else Joliet, else the plain
names in lower case.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from luxusbd.errors import MalformedImageError
from luxusbd.images.bounded import BoundedReader
from luxusbd.images.iso9660_records import (
    FLAG_ASSOCIATED,
    FLAG_DIRECTORY,
    FLAG_MULTI_EXTENT,
    SECTOR,
    Record,
    VolumeDescriptor,
    iterate_records,
    joliet_name,
    parse_record,
    parse_system_use,
    plain_name,
)
from luxusbd.images.tree import MAX_DIRECTORY, Extents, FileTree, Node, usable_name
from luxusbd.images.volumes import Volumes

MAX_CONTINUED = 16 * 1024 * 1024
"""Bytes of continuation areas parsed, counted also where a thousand records share one area."""
MAX_EXTENTS = 1024

_CACHED_BLOCKS = 64


class IsoImage(FileTree):
    """The ISO 9660 tree of an image.

    Raises:
        MalformedImageError: here and in every method, when the image is truncated or inconsistent, or when it exceeds
            the bounds of this module.
    """

    def __init__(self, reader: BoundedReader, volumes: Volumes) -> None:
        super().__init__(reader)
        if volumes.primary is None:
            raise MalformedImageError("the file is not an ISO 9660 image")
        self._continued = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._primary: VolumeDescriptor = volumes.primary
        self._joliet = volumes.joliet
        self.udf = volumes.udf
        claimed = self._primary.blocks * self._primary.block_size
        self._check_size(claimed)
        self._skip = self._susp_skip()
        self._volume = self._primary if self._skip is not None or self._joliet is None else self._joliet
        self.case_sensitive = self._skip is not None
        root = self._volume.root
        self._start = Node("", True, self._extent(root.extent, root.length))
        self._check_reach(claimed)

    @property
    def volume_id(self) -> str:
        """The label in the primary volume descriptor."""
        return self._primary.volume_id

    @property
    def uuid(self) -> str:
        """The filesystem UUID as udev and blkid print it, such as 2024-10-24-13-58-33-00, or empty."""
        return self._primary.uuid

    @property
    def names(self) -> str:
        """Which names are in force: "rock-ridge", "joliet" or "iso9660"."""
        if self._skip is not None:
            return "rock-ridge"
        return "joliet" if self._volume.joliet else "iso9660"

    @property
    def _root(self) -> Node:
        return self._start

    def _extents_of(self, node: Node) -> Extents:
        assert isinstance(node.place, tuple)
        return node.place

    def _susp_skip(self) -> int | None:
        root = self._primary.root
        first = self.reader.read(root.extent * self._primary.block_size, min(SECTOR, max(root.length, 34)))
        record = parse_record(first, 0, len(first))
        if record is None:
            raise MalformedImageError("the image is damaged: its root directory is empty")
        return parse_system_use(record.system_use, self._continuation).skip

    def _continuation(self, block: int, offset: int, length: int) -> bytes:
        self._continued += length
        if self._continued > MAX_CONTINUED:
            raise MalformedImageError("the image is damaged or hostile: its directory entries continue without end")
        start = block * self._primary.block_size + offset
        sector = start - start % SECTOR
        data = b""
        while len(data) < start - sector + length:
            data += self._block(sector + len(data))
        return data[start - sector : start - sector + length]

    def _block(self, start: int) -> bytes:
        if start in self._blocks:
            self._blocks.move_to_end(start)
            return self._blocks[start]
        data = self.reader.read(start, SECTOR)
        self._blocks[start] = data
        if len(self._blocks) > _CACHED_BLOCKS:
            self._blocks.popitem(last=False)
        return data

    def _extent(self, block: int, length: int) -> Extents:
        return ((block * self._volume.block_size, length),)

    def _read_directory(self, directory: Node) -> dict[str, Node]:
        start, length = self._extents_of(directory)[0]
        if length > MAX_DIRECTORY:
            raise MalformedImageError(f"the image is damaged or hostile: a directory claims {length} bytes")
        entries: dict[str, Node] = {}
        open_name: str | None = None
        for record in iterate_records(self.reader.read(start, length)):
            self._count_entry()
            if record.name in (b"\0", b"\1") or record.flags & FLAG_ASSOCIATED:
                continue
            node = self._node(record)
            if node is None:
                continue
            key = self._key(node.name)
            if open_name == key and key in entries:
                known = entries[key]
                extents = self._extents_of(known)
                if len(extents) >= MAX_EXTENTS:
                    raise MalformedImageError(f"the image is damaged: {node.name} has more than {MAX_EXTENTS} extents")
                entries[key] = replace(known, place=extents + self._extents_of(node))
            elif key not in entries:
                entries[key] = node
            open_name = key if record.flags & FLAG_MULTI_EXTENT else None
        return entries

    def _node(self, record: Record) -> Node | None:
        directory = bool(record.flags & FLAG_DIRECTORY)
        link = None
        block, length = record.extent, record.length
        if self._skip is not None:
            use = parse_system_use(record.system_use[self._skip :], self._continuation)
            if use.relocated:
                return None
            name = use.name.decode("utf-8", "replace") if use.name is not None else plain_name(record.name)
            link = use.link
            if use.child is not None:
                block, length, directory = use.child, self._child_length(use.child), True
        else:
            name = joliet_name(record.name) if self._volume.joliet else plain_name(record.name)
        if not usable_name(name):
            return None
        return Node(name, directory, self._extent(block, length), link, record.interleaved)

    def _child_length(self, block: int) -> int:
        """Length of a relocated directory, which only its own "." record tells."""
        sector = self._block(block * self._volume.block_size)
        record = parse_record(sector, 0, SECTOR)
        if record is None or record.extent != block:
            raise MalformedImageError("the image is damaged: a relocated directory is not where it should be")
        return record.length
