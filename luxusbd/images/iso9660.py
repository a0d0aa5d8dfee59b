"""A read-only view of an ISO 9660 image.

The image comes from anywhere, so it is data to distrust: directories are read one by one when a path is asked for, and
the number of reads, the bytes, the entries and the depth are bounded. That is why this is not pycdlib, which parses the
whole tree at once and without bounds.

Names are chosen as GRUB chooses them, because GRUB is what will open the files: Rock Ridge, else Joliet, else the plain
names in lower case.
"""

from __future__ import annotations

import re
import struct
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from luxusbd.errors import MalformedImageError
from luxusbd.images.globs import has_wildcard, segment_regex
from luxusbd.images.iso9660_records import (
    FLAG_ASSOCIATED,
    FLAG_DIRECTORY,
    FLAG_MULTI_EXTENT,
    MAX_NAME,
    SECTOR,
    Record,
    VolumeDescriptor,
    foreign_format,
    iterate_records,
    joliet_name,
    parse_boot_catalogue,
    parse_record,
    parse_system_use,
    parse_volume,
    plain_name,
)
from luxusbd.images.source import FileSource, ImageSource

MAX_READS = 20_000
MAX_BYTES = 256 * 1024 * 1024
"""All bytes ever read from one image."""
MAX_READ = 16 * 1024 * 1024
"""Bytes of one read of a file."""
MAX_DIRECTORY = 4 * 1024 * 1024
"""Bytes of one directory."""
MAX_ENTRIES = 200_000
"""Directory records parsed in one image."""
MAX_CONTINUED = 16 * 1024 * 1024
"""Bytes of continuation areas parsed, counted also where a thousand records share one area."""
MAX_EXTENTS = 1024
MAX_DESCRIPTORS = 64
MAX_DEPTH = 64
MAX_LINKS = 16
MAX_MATCHES = 1000

_FIRST_DESCRIPTOR = 16 * SECTOR
_CACHED_BLOCKS = 64


@dataclass(frozen=True)
class Node:
    """A file, directory or symbolic link inside the image."""

    name: str
    directory: bool
    extents: tuple[tuple[int, int], ...]
    """(start, length) in bytes."""
    link: str | None = None
    interleaved: bool = False

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return sum(length for _, length in self.extents)


class IsoImage:
    """An image: what a source gives, or the regular file behind a descriptor, which stays the caller's.

    Raises:
        MalformedImageError: here and in every method, when the image is empty, short, truncated, of another kind or
            inconsistent, or when it exceeds the bounds of this module.
    """

    def __init__(self, source: int | ImageSource) -> None:
        self._source = FileSource(source) if isinstance(source, int) else source
        self._reads = 0
        self._bytes = 0
        self._entries = 0
        self._continued = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._directories: dict[tuple[tuple[int, int], ...], dict[str, Node]] = {}
        self.size = self._source.size
        """Bytes of the file."""
        self._primary, self._joliet, boot_catalogue, self.udf = self._descriptors()
        claimed = self._primary.blocks * self._primary.block_size
        if claimed > self.size:
            raise MalformedImageError(
                f"the image is truncated: its volume claims {claimed} bytes and the file has {self.size};"
                " download or copy it again"
            )
        self._skip = self._susp_skip()
        self._volume = self._primary if self._skip is not None or self._joliet is None else self._joliet
        self.case_sensitive = self._skip is not None
        """Whether names differ by case, which they do with Rock Ridge alone."""
        self.boot_platforms = self._boot_platforms(boot_catalogue)
        """"bios" and "uefi" as far as the El Torito catalogue offers them; empty where there is none."""
        root = self._volume.root
        self._root = Node("", True, self._extent(root.extent, root.length))

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

    def exists(self, path: str) -> bool:
        """Whether there is anything at `path` (absolute, links followed)."""
        return self._lookup(path) is not None

    def listdir(self, path: str) -> tuple[str, ...]:
        """Names in the directory `path` in disc order; empty where there is no such directory."""
        node = self._lookup(path)
        if node is None or not node.directory:
            return ()
        return tuple(entry.name for entry in self._entries_of(node).values())

    def glob(self, pattern: str) -> tuple[str, ...]:
        """Paths that match an absolute pattern; `*`, `?` and `[...]` stay within one name. At most `MAX_MATCHES`."""
        found: list[tuple[str, Node]] = [("", self._root)]
        for segment in _segments(pattern):
            wild = has_wildcard(segment)
            regex = re.compile(segment_regex(segment), 0 if self.case_sensitive else re.IGNORECASE)
            matches: list[tuple[str, Node]] = []
            for path, node in found:
                if not node.directory:
                    continue
                entries = self._entries_of(node)
                names = tuple(entries) if wild else (self._key(segment),)
                for name in names:
                    entry = entries.get(name)
                    if entry is None or not regex.fullmatch(entry.name):
                        continue
                    target = self._lookup(f"{path}/{entry.name}") if entry.link is not None else entry
                    if target is not None and len(matches) < MAX_MATCHES:
                        matches.append((f"{path}/{entry.name}", target))
            found = matches
        return tuple(path for path, _ in found)

    def file_size(self, path: str) -> int:
        """Bytes of the file at `path`."""
        return self._file(path).size

    def read(self, path: str, limit: int, offset: int = 0) -> bytes:
        """At most `limit` bytes of the file at `path`, from `offset` on; shorter at its end."""
        node = self._file(path)
        if node.interleaved:
            raise MalformedImageError(f"{path} is interleaved, which this reader (and GRUB) does not support")
        wanted = min(limit, MAX_READ)
        found = bytearray()
        for start, length in node.extents:
            if offset >= length:
                offset -= length
                continue
            part = min(length - offset, wanted - len(found))
            if part <= 0:
                break
            found += self._pread(start + offset, part)
            offset = 0
        return bytes(found)

    def walk(self, max_entries: int) -> Iterator[str]:
        """Paths of all files and directories, breadth first, links not followed; ends after `max_entries`."""
        pending: deque[tuple[str, Node, int]] = deque([("", self._root, 0)])
        seen = {self._root.extents}
        left = max_entries
        while pending:
            path, node, depth = pending.popleft()
            for entry in tuple(self._entries_of(node).values()):
                if left <= 0:
                    return
                left -= 1
                yield f"{path}/{entry.name}"
                if entry.directory and entry.extents not in seen and depth < MAX_DEPTH:
                    seen.add(entry.extents)
                    pending.append((f"{path}/{entry.name}", entry, depth + 1))

    def _descriptors(self) -> tuple[VolumeDescriptor, VolumeDescriptor | None, int | None, bool]:
        if self.size == 0:
            raise MalformedImageError("the file is empty")
        if self.size < _FIRST_DESCRIPTOR + 2 * SECTOR:
            raise MalformedImageError(f"the file is too short to be an ISO 9660 image: {self.size} bytes")
        primary: VolumeDescriptor | None = None
        joliet: VolumeDescriptor | None = None
        catalogue: int | None = None
        udf = False
        for index in range(MAX_DESCRIPTORS):
            at = _FIRST_DESCRIPTOR + index * SECTOR
            if at + SECTOR > self.size:
                break
            sector = self._pread(at, SECTOR)
            identifier = sector[1:6]
            if identifier in (b"NSR02", b"NSR03"):
                udf = True
            elif identifier == b"CD001":
                kind = sector[0]
                if kind == 1 and primary is None:
                    primary = parse_volume(sector)
                elif kind == 2 and joliet is None and (volume := parse_volume(sector)).joliet:
                    joliet = volume
                elif kind == 0 and sector[7:30] == b"EL TORITO SPECIFICATION" and catalogue is None:
                    catalogue = struct.unpack_from("<I", sector, 71)[0]
            elif identifier not in (b"BEA01", b"TEA01", b"BOOT2"):
                break
        if primary is None:
            raise MalformedImageError(foreign_format(self._pread(0, 512), udf))
        return primary, joliet, catalogue, udf

    def _boot_platforms(self, catalogue: int | None) -> frozenset[str]:
        if catalogue is None:
            return frozenset()
        start = catalogue * self._primary.block_size
        if start + SECTOR > self.size:
            return frozenset()  # a broken boot record does not keep the files from being read
        return parse_boot_catalogue(self._pread(start, SECTOR))

    def _susp_skip(self) -> int | None:
        root = self._primary.root
        first = self._pread(root.extent * self._primary.block_size, min(SECTOR, max(root.length, 34)))
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
        data = self._pread(start, SECTOR)
        self._blocks[start] = data
        if len(self._blocks) > _CACHED_BLOCKS:
            self._blocks.popitem(last=False)
        return data

    def _pread(self, start: int, length: int) -> bytes:
        if start + length > self.size:
            raise MalformedImageError(
                f"the image is truncated or damaged: byte {start + length} is needed and the file has {self.size}"
            )
        self._reads += 1
        self._bytes += length
        if self._reads > MAX_READS or self._bytes > MAX_BYTES:
            raise MalformedImageError("the image is damaged or hostile: its directories take more reads than allowed")
        data = bytearray()
        while len(data) < length:
            try:
                part = self._source.read(start + len(data), length - len(data))
            except OSError as error:
                raise MalformedImageError(f"the image cannot be read at byte {start}: {error.strerror}") from error
            if not part:
                raise MalformedImageError("the image became shorter while it was read")
            data += part
        return bytes(data)

    def _extent(self, block: int, length: int) -> tuple[tuple[int, int], ...]:
        return ((block * self._volume.block_size, length),)

    def _key(self, name: str) -> str:
        return name if self.case_sensitive else name.lower()

    def _file(self, path: str) -> Node:
        node = self._lookup(path)
        if node is None or node.directory:
            raise MalformedImageError(f"the image has no file {path}")
        return node

    def _lookup(self, path: str) -> Node | None:
        trail = [self._root]
        pending = deque(_segments(path))
        links = 0
        while pending:
            segment = pending.popleft()
            if segment == "..":
                if len(trail) > 1:
                    trail.pop()
                continue
            here = trail[-1]
            if not here.directory or len(trail) > MAX_DEPTH:
                return None
            entry = self._entries_of(here).get(self._key(segment))
            if entry is None:
                return None
            if entry.link is None:
                trail.append(entry)
                continue
            links += 1
            if links > MAX_LINKS:
                return None
            if entry.link.startswith("/"):
                del trail[1:]
            pending.extendleft(reversed(_segments(entry.link)))
            if len(pending) > MAX_DEPTH * 2:
                return None
        return trail[-1]

    def _entries_of(self, directory: Node) -> dict[str, Node]:
        cached = self._directories.get(directory.extents)
        if cached is None:
            cached = self._read_directory(directory)
            self._directories[directory.extents] = cached
        return cached

    def _read_directory(self, directory: Node) -> dict[str, Node]:
        start, length = directory.extents[0]
        if length > MAX_DIRECTORY:
            raise MalformedImageError(f"the image is damaged or hostile: a directory claims {length} bytes")
        entries: dict[str, Node] = {}
        open_name: str | None = None
        for record in iterate_records(self._pread(start, length)):
            self._entries += 1
            if self._entries > MAX_ENTRIES:
                raise MalformedImageError(f"the image holds more than {MAX_ENTRIES} directory entries")
            if record.name in (b"\0", b"\1") or record.flags & FLAG_ASSOCIATED:
                continue
            node = self._node(record)
            if node is None:
                continue
            key = self._key(node.name)
            if open_name == key and key in entries:
                known = entries[key]
                if len(known.extents) >= MAX_EXTENTS:
                    raise MalformedImageError(f"the image is damaged: {node.name} has more than {MAX_EXTENTS} extents")
                entries[key] = replace(known, extents=known.extents + node.extents)
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
        if not name or name in (".", "..") or "/" in name or "\0" in name or len(name) > MAX_NAME:
            return None
        return Node(name, directory, self._extent(block, length), link, record.interleaved)

    def _child_length(self, block: int) -> int:
        """Length of a relocated directory, which only its own "." record tells."""
        sector = self._block(block * self._volume.block_size)
        record = parse_record(sector, 0, SECTOR)
        if record is None or record.extent != block:
            raise MalformedImageError("the image is damaged: a relocated directory is not where it should be")
        return record.length


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment not in ("", ".")]
