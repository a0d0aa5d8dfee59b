"""An image that is taken in: what may come, and what came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from luxusbd.transfer.packing import Packing

ALGORITHMS = ("sha256", "sha384", "sha512", "blake2b")


@dataclass(frozen=True)
class Order:
    """What may come, and what is wanted of it."""

    size: int
    """Bytes that come through the descriptor, 0 when that is not known. Of a regular file it is known."""
    most: int
    """Bytes to which a compressed image may unpack."""
    reserve: int
    """Bytes of the disk that stay free."""
    algorithms: tuple[str, ...] = ("sha256",)
    """Hashes to make, of `ALGORITHMS`."""
    keep_packed: bool = False
    """Whether what is compressed stays so."""


@dataclass(frozen=True)
class Content:
    """Bytes and their hashes."""

    size: int
    digests: Mapping[str, str]
    """Lower-case hex digits by algorithm."""


@dataclass(frozen=True)
class Received:
    """What came."""

    image: Content
    """As it is stored."""
    packing: Packing | None = None
    packed: Content | None = None
    """What came through the descriptor, where that was compressed."""
    member: str = ""
    """Name of the image in a zip archive."""
    cloned: bool = False
    """Whether the image shares its blocks with the file that it came from."""
