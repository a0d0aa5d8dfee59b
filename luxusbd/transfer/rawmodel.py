"""What is known of an image that is to be written byte for byte, and how that crosses between processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from luxusbd.errors import InvalidArgumentError
from luxusbd.images import blockmap
from luxusbd.images.model import BlockMap
from luxusbd.images.startable import Starts
from luxusbd.transfer.packing import Packing

MAX_SIZE = 1 << 50


@dataclass(frozen=True)
class RawLook:
    """What an image is, as far as writing it byte for byte goes."""

    packing: Packing | None
    """How it is compressed."""
    size: int
    """Bytes on the disk, as the compressed file says where it is one; 0 when that is known at its end alone."""
    starts: Starts
    map: BlockMap | None = None


def to_json(found: RawLook) -> dict[str, Any]:
    """A look as JSON values."""
    return {
        "packing": found.packing.value if found.packing else "",
        "size": found.size,
        "starts": found.starts.value,
        "map": blockmap.to_json(found.map) if found.map is not None else None,
    }


def from_json(document: Any) -> RawLook:
    """What `to_json` made; the process that sent it reads foreign bytes.

    Raises:
        InvalidArgumentError: it is anything else.
    """
    if not isinstance(document, Mapping) or type(size := document.get("size")) is not int or not 0 <= size <= MAX_SIZE:
        raise InvalidArgumentError("a look at an image has a `size`")
    try:
        packing = Packing(document["packing"]) if document["packing"] else None
        starts = Starts(document["starts"])
    except (KeyError, ValueError) as error:
        raise InvalidArgumentError(f"a look at an image: {error}") from None
    given = document.get("map")
    return RawLook(packing, size, starts, blockmap.from_json(given) if given is not None else None)
