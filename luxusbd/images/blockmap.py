"""Which bytes of an image count: a block map, such as the ones that bmaptool makes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from luxusbd.errors import InvalidArgumentError
from luxusbd.images.model import BlockMap, MappedRange

MAX_RANGES = 32_768
"""Ranges of one map, so that it fits into a message between processes."""
MAX_SIZE = 1 << 50
DIGITS: Mapping[str, int] = {"sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}
"""Hex digits of the hashes that a map may use."""
_HEX = re.compile(r"[0-9a-f]*")


def check(found: BlockMap) -> BlockMap:
    """The same map, when it is one.

    Raises:
        InvalidArgumentError: ranges out of order, beyond the image or too many, or digests of a wrong kind.
    """
    if not 0 < found.size <= MAX_SIZE:
        raise InvalidArgumentError(f"the block map is of an image of {found.size} bytes")
    if not found.ranges:
        raise InvalidArgumentError("the block map maps nothing")
    if len(found.ranges) > MAX_RANGES:
        raise InvalidArgumentError(f"the block map has more than {MAX_RANGES} ranges")
    if found.algorithm and found.algorithm not in DIGITS:
        raise InvalidArgumentError("the block map uses an unknown kind of hash")
    digits = DIGITS.get(found.algorithm, 0)
    before = 0
    for each in found.ranges:
        if not before <= each.start < each.end <= found.size:
            raise InvalidArgumentError(
                f"the block map has a range from byte {each.start} to {each.end} that is out of order or beyond the"
                f" image of {found.size} bytes"
            )
        if len(each.digest) not in (0, digits) or not _HEX.fullmatch(each.digest):
            raise InvalidArgumentError("the block map has a hash that is none")
        before = each.end
    return found


def segments(ranges: Sequence[MappedRange], start: int, end: int, align: int) -> Iterator[tuple[int, int]]:
    """The parts of `start` to `end` that have to be written, as (start, end).

    Each is widened to multiples of `align`, as far as that stays within the bounds, so that a device takes it; those
    that touch become one.
    """
    low = high = start
    for each in ranges:
        if each.end <= start:
            continue
        if each.start >= end:
            break
        first = max(start, max(each.start, start) // align * align)
        last = min(end, -(-min(each.end, end) // align) * align)
        if first > high and high > low:
            yield low, high
            low = first
        elif high == low:
            low = first
        high = max(high, last)
    if high > low:
        yield low, high


def to_json(found: BlockMap) -> dict[str, Any]:
    """A map as JSON values."""
    return {
        "size": found.size,
        "algorithm": found.algorithm,
        "ranges": [[each.start, each.end, each.digest] for each in found.ranges],
    }


def from_json(document: Any) -> BlockMap:
    """What `to_json` made; a process that reads foreign bytes may have sent it.

    Raises:
        InvalidArgumentError: it is anything else.
    """
    if not isinstance(document, Mapping) or not isinstance(rows := document.get("ranges"), list):
        raise InvalidArgumentError("a block map is an object with `ranges`")
    size, algorithm = document.get("size"), document.get("algorithm")
    if type(size) is not int or not isinstance(algorithm, str) or len(rows) > MAX_RANGES:
        raise InvalidArgumentError("a block map has `size` and `algorithm`")
    return check(BlockMap(size, tuple(_range(row) for row in rows), algorithm))


def _range(row: object) -> MappedRange:
    match row:
        case [int(start), int(end), str(digest)]:
            return MappedRange(start, end, digest)
    raise InvalidArgumentError("a range of a block map is start, end and hash")
