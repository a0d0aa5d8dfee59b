"""Values of small files about images, and where they come from: a network, or a transcript of what it said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from luxusbd.errors import NetworkError


class NotThereError(NetworkError):
    """The server answers, and says that it has no such file."""


@dataclass(frozen=True)
class Version:
    """By what a server tells whether a file has changed."""

    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True)
class Small:
    """A fetched file."""

    data: bytes
    url: str
    """Where it came from, behind all redirects."""
    version: Version


class SmallSource(Protocol):
    """Gives small files; see `luxusbd.transfer.small.SmallFiles` for what each method means."""

    async def get(self, url: str, most: int) -> Small:
        """Fetch a file."""

    async def get_if_changed(self, url: str, most: int, known: Version) -> Small | None:
        """Fetch a file unless it is still the one that is known."""

    async def size(self, url: str) -> int:
        """Bytes of a file, 0 when nobody tells."""
