"""Reads block maps as bmaptool(1) makes them, versions 1.2 to 2.0. The XML is foreign, and what it holds is bounded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from luxusbd.errors import InvalidArgumentError
from luxusbd.images import blockmap
from luxusbd.images.blockmap import DIGITS, MAX_RANGES
from luxusbd.images.model import BlockMap, MappedRange
from luxusbd.text import clean
from luxusbd.transfer.foreignxml import read_xml

MAX_BMAP = 8 * 1024 * 1024
"""Bytes of a map; `MAX_RANGES` with their hashes fit."""
_MAX_TEXT = 256
_MAX_DEPTH = 8
_MAX_BLOCK = 1 << 26
_NUMBER = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"([0-9]{1,18})(?:\s*-\s*([0-9]{1,18}))?")
_VERSION = re.compile(r"(1\.[2-9]|2\.[0-9])")
_SHA1 = "BmapFileSHA1"
"""Of version 1.3; the later ones say BmapFileChecksum."""


def parse_bmap(data: bytes) -> BlockMap:
    """Read a map.

    Raises:
        InvalidArgumentError: it is none, is damaged, or holds more than any real one.
    """
    if len(data) > MAX_BMAP:
        raise _fault(f"has more than {MAX_BMAP >> 20} MiB")
    reader = _Reader()
    read_xml(data, reader, _fault)
    return reader.result(data)


def _fault(why: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"the block map {why}; take the one that belongs to the image, or none (bmap)")


@dataclass
class _Reader:
    """Follows the elements; the fields are texts until all of them are there."""

    version: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    ranges: list[tuple[str, str]] = field(default_factory=list)
    _path: list[str] = field(default_factory=list)
    _text: str = ""
    _digest: str = ""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """See `foreignxml.Reader`."""
        if len(self._path) == _MAX_DEPTH:
            raise _fault("is nested too deeply")
        if not self._path:
            if name != "bmap":
                raise _fault(f"is none: it begins with <{clean(name, 40)}>")
            self.version = attributes.get("version", "")[:16].strip()
            if not _VERSION.fullmatch(self.version):
                raise _fault(f"has version {clean(self.version, 16) or 'none'}, and 1.2 to 2.0 can be read")
        self._path.append(name)
        self._text = ""
        self._digest = (attributes.get("chksum") or attributes.get("sha1") or "").strip().lower()

    def end(self, name: str) -> None:
        """See `foreignxml.Reader`."""
        self._path.pop()
        text = self._text.strip()
        self._text = ""
        if self._path == ["bmap", "BlockMap"] and name == "Range":
            if len(self.ranges) == MAX_RANGES:
                raise _fault(f"has more than {MAX_RANGES} ranges")
            self.ranges.append((text, self._digest))
        elif self._path == ["bmap"] and name != "BlockMap":
            self.fields[name] = text

    def text(self, data: str) -> None:
        """See `foreignxml.Reader`."""
        self._text += data
        if len(self._text) > _MAX_TEXT:
            if self._text.strip():
                raise _fault("has a text that is too long")
            self._text = ""

    def result(self, data: bytes) -> BlockMap:
        """The map, checked."""
        size, block = self._number("ImageSize"), self._number("BlockSize")
        if not 0 < block <= _MAX_BLOCK:
            raise _fault(f"has blocks of {block} bytes")
        kind = self.fields.get("ChecksumType", "sha1" if self.version.startswith("1.") else "").lower()
        ranges = tuple(self._range(text, digest, block, size) for text, digest in self.ranges)
        hashed = any(each.digest for each in ranges)
        if hashed and kind not in DIGITS:
            raise _fault(f"has hashes of the kind {clean(kind, 16) or 'none'}, which is not known")
        self._check_own(data, kind)
        found = BlockMap(size, ranges, kind if hashed else "")
        try:
            blockmap.check(found)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"{error}: it is damaged") from None
        told = self.fields.get("MappedBlocksCount")
        blocks = sum(-(-each.end // block) - each.start // block for each in ranges)
        if told is not None and self._number("MappedBlocksCount") != blocks:
            raise _fault(f"says that it maps {clean(told, 20)} blocks, and maps {blocks}")
        return found

    def _range(self, text: str, digest: str, block: int, size: int) -> MappedRange:
        found = _RANGE.fullmatch(text)
        if found is None:
            raise _fault(f"has a range {clean(text, 40)!r}")
        first, last = int(found[1]), int(found[2] or found[1])
        # the last block of an image may be cut
        return MappedRange(first * block, min((last + 1) * block, size), digest)

    def _number(self, name: str) -> int:
        text = self.fields.get(name, "")
        if not _NUMBER.fullmatch(text):
            raise _fault(f"does not say its {name}")
        return int(text)

    def _check_own(self, data: bytes, kind: str) -> None:
        """The hash of the map itself is made with zeros in its place."""
        told = (self.fields.get("BmapFileChecksum") or self.fields.get(_SHA1) or "").lower()
        if not told:
            return
        algorithm = "sha1" if _SHA1 in self.fields else kind
        if algorithm not in DIGITS or not re.fullmatch(r"[0-9a-f]+", told):
            raise _fault("has a hash of itself that is none")
        blank = data.replace(told.encode(), b"0" * len(told), 1)
        if hashlib.new(algorithm, blank).hexdigest() != told:
            raise _fault("is damaged: its own hash does not fit")
