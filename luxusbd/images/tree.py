"""The files of an image, whatever its filesystem: lookup, patterns, reading, walking.

A filesystem adds how a directory and the place of a file's bytes are read. Directories are read one by one when a path
is asked for; entries, depth, links and matches are bounded here, reads and bytes in `bounded`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from luxusbd.errors import MalformedImageError
from luxusbd.images.bounded import MAX_READ, BoundedReader
from luxusbd.images.globs import has_wildcard, segment_regex
from luxusbd.text import size_text

MAX_DIRECTORY = 4 * 1024 * 1024
"""Bytes of one directory."""
MAX_ENTRIES = 200_000
"""Directory entries parsed in one image."""
MAX_DEPTH = 64
MAX_LINKS = 16
MAX_MATCHES = 1000
MAX_NAME = 255
PADDING = 300 * 1024
"""Bytes that an image may lack at its end: mkisofs counts 150 sectors of padding into the volume, and some tools that
make hybrid images or copy them do not write them all."""
MAX_WALK = 5000
"""Files that are looked at to find out whether what lacks is padding."""
HOLE = -1
"""Start of an extent that has no bytes in the image and reads as zeros."""

Extents = tuple[tuple[int, int], ...]
"""(start, length) in bytes of the image file; `HOLE` as the start of what reads as zeros."""


@dataclass(frozen=True)
class Node:
    """A file, directory or symbolic link inside the image."""

    name: str
    directory: bool
    place: Hashable
    """Where it is, in the filesystem's own terms; equal for two names of one thing."""
    link: str | None = None
    interleaved: bool = False


class FileTree(ABC):
    """The files of one filesystem of an image."""

    case_sensitive: bool
    """Whether names differ by case."""
    udf: bool
    """Whether the image has a UDF volume."""

    def __init__(self, reader: BoundedReader) -> None:
        self.reader = reader
        self.size = reader.size
        """Bytes of the file."""
        self._entries = 0
        self._directories: dict[Hashable, dict[str, Node]] = {}

    @property
    @abstractmethod
    def volume_id(self) -> str:
        """The label."""

    @property
    @abstractmethod
    def uuid(self) -> str:
        """The filesystem UUID as udev and blkid print it, or empty."""

    @property
    @abstractmethod
    def names(self) -> str:
        """Which names are in force: "rock-ridge", "joliet", "iso9660" or "udf"."""

    @property
    @abstractmethod
    def _root(self) -> Node: ...

    @abstractmethod
    def _read_directory(self, directory: Node) -> dict[str, Node]: ...

    @abstractmethod
    def _extents_of(self, node: Node) -> Extents: ...

    def _settled(self, node: Node) -> Node:
        """The node with what only a look at it tells, such as that it is a link."""
        return node

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
        return sum(length for _, length in self._extents_of(self._file(path)))

    def read(self, path: str, limit: int, offset: int = 0) -> bytes:
        """At most `limit` bytes of the file at `path`, from `offset` on; shorter at its end."""
        node = self._file(path)
        if node.interleaved:
            raise MalformedImageError(f"{path} is interleaved, which this reader (and GRUB) does not support")
        return self._content(self._extents_of(node), min(limit, MAX_READ), offset)

    def walk(self, max_entries: int) -> Iterator[str]:
        """Paths of all files and directories, breadth first, links not followed; ends after `max_entries`."""
        return (path for path, _node in self._walk(max_entries))

    def reach(self, max_entries: int) -> int:
        """The byte of the file after the last one that a file or directory needs; looks at `max_entries` of them."""
        return max(
            (
                start + length
                for node in (self._root, *(node for _path, node in self._walk(max_entries)))
                for start, length in self._extents_of(node)
                if start != HOLE and length
            ),
            default=0,
        )

    def _check_size(self, claimed: int) -> None:
        """Refuse a file that is so much shorter than its volume that it cannot be padding."""
        if claimed - self.size > PADDING:
            raise _truncated(claimed, self.size)

    def _check_reach(self, claimed: int) -> None:
        """Refuse a file that is shorter than its volume and than its content."""
        if claimed <= self.size:
            return
        try:
            whole = self.reach(MAX_WALK) <= self.size
        except MalformedImageError as error:
            raise _truncated(claimed, self.size) from error
        if not whole:
            raise _truncated(claimed, self.size)

    def _walk(self, max_entries: int) -> Iterator[tuple[str, Node]]:
        pending: deque[tuple[str, Node, int]] = deque([("", self._root, 0)])
        seen = {self._root.place}
        left = max_entries
        while pending:
            path, node, depth = pending.popleft()
            for entry in tuple(self._entries_of(node).values()):
                if left <= 0:
                    return
                left -= 1
                yield f"{path}/{entry.name}", entry
                if entry.directory and entry.place not in seen and depth < MAX_DEPTH:
                    seen.add(entry.place)
                    pending.append((f"{path}/{entry.name}", entry, depth + 1))

    def _content(self, extents: Extents, limit: int, offset: int = 0) -> bytes:
        found = bytearray()
        for start, length in extents:
            if offset >= length:
                offset -= length
                continue
            part = min(length - offset, limit - len(found))
            if part <= 0:
                break
            found += bytes(part) if start == HOLE else self.reader.read(start + offset, part)
            offset = 0
        return bytes(found)

    def _count_entry(self) -> None:
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise MalformedImageError(f"the image holds more than {MAX_ENTRIES} directory entries")

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
            entry = self._settled(entry)
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
        cached = self._directories.get(directory.place)
        if cached is None:
            cached = self._read_directory(directory)
            self._directories[directory.place] = cached
        return cached


def _truncated(claimed: int, size: int) -> MalformedImageError:
    missing = claimed - size
    amount = f"{missing} bytes" if missing < 1024 else f"{missing} bytes ({size_text(missing)})"
    return MalformedImageError(
        f"the image is truncated: its volume claims {claimed} bytes and the file has {size}, so that {amount} are"
        " missing; download or copy it again"
    )


def usable_name(name: str) -> bool:
    """Whether `name` can be a segment of a path."""
    return bool(name) and name not in (".", "..") and "/" not in name and "\0" not in name and len(name) <= MAX_NAME


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment not in ("", ".")]
