"""What the network said while a feed was read, so that somebody who has none can read the feed once more.

A transcript is an index in JSON behind its length (8 bytes, little-endian), and behind it the documents one after the
other. An entry of the index has what was asked, the address, and of a document its bytes and validators.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from luxusbd.errors import InvalidArgumentError, NetworkError
from luxusbd.text import size_text
from luxusbd.transfer.smallmodel import NotThereError, Small, SmallSource, Version

MAX_TRANSCRIPT = 16 * 1024 * 1024
"""Bytes; signed feeds are read in a few hundred kilobytes."""
MAX_ENTRIES = 1000
_LENGTH = 8
_DOCUMENT, _SAME, _GONE, _SIZE = "document", "same", "gone", "size"


class Recording:
    """Gives what another source gives, and keeps it. Keys are not kept: whoever reads again has to have them."""

    def __init__(self, source: SmallSource) -> None:
        self._source = source
        self._index: list[list[object]] = []
        self._documents: list[bytes] = []

    async def get(self, url: str, most: int) -> Small:
        """See `SmallSource`."""
        return await self._source.get(url, most)

    async def get_if_changed(self, url: str, most: int, known: Version) -> Small | None:
        """See `SmallSource`."""
        try:
            found = await self._source.get_if_changed(url, most, known)
        except NotThereError:
            self._index.append([_GONE, url])
            raise
        if found is None:
            self._index.append([_SAME, url])
        else:
            self._index.append([_DOCUMENT, url, len(found.data), found.version.etag, found.version.last_modified])
            self._documents.append(found.data)
        return found

    async def size(self, url: str) -> int:
        """See `SmallSource`."""
        try:
            size = await self._source.size(url)
        except NotThereError:
            self._index.append([_GONE, url])
            raise
        except NetworkError:
            self._index.append([_SIZE, url, 0])
            raise
        self._index.append([_SIZE, url, size])
        return size

    def transcript(self) -> bytes:
        """All of it.

        Raises:
            NetworkError: it is larger than anybody would read.
        """
        index = json.dumps(self._index).encode()
        data = b"".join((len(index).to_bytes(_LENGTH, "little"), index, *self._documents))
        if len(data) > MAX_TRANSCRIPT:
            raise NetworkError(f"its documents are larger than {size_text(MAX_TRANSCRIPT)} together")
        return data


class Replay:
    """Gives what a transcript has, in its order; whoever asks for anything else was told something else then."""

    def __init__(self, transcript: bytes) -> None:
        """Read the index.

        Raises:
            InvalidArgumentError: it is no transcript.
        """
        start = _LENGTH + int.from_bytes(transcript[:_LENGTH], "little")
        if start > len(transcript):
            raise _nonsense()
        try:
            index = json.loads(transcript[_LENGTH:start])
        except (ValueError, RecursionError):
            raise _nonsense() from None
        if not isinstance(index, list) or len(index) > MAX_ENTRIES:
            raise _nonsense()
        self._entries: Iterator[object] = iter(index)
        self._rest = transcript[start:]

    async def get(self, url: str, most: int) -> Small:  # noqa: ARG002 - of the protocol
        """There are no keys in it.

        Raises:
            NetworkError: always.
        """
        raise NetworkError(f"{url} cannot be had: there is no network here")

    async def get_if_changed(self, url: str, most: int, known: Version) -> Small | None:  # noqa: ARG002 - as above
        """See `SmallSource`.

        Raises:
            InvalidArgumentError: the transcript has something else in this place.
        """
        match next(self._entries, None):
            case [str(kind), str(asked)] if asked == url and kind in (_SAME, _GONE):
                if kind == _GONE:
                    raise NotThereError(f"{url} is not there")
                return None
            case [str(kind), str(asked), int(length), str(etag), str(last_modified)] if (
                asked == url and kind == _DOCUMENT and 0 <= length <= min(most, len(self._rest))
            ):
                data, self._rest = self._rest[:length], self._rest[length:]
                return Small(data, url, Version(etag, last_modified))
        raise _nonsense()

    async def size(self, url: str) -> int:
        """See `SmallSource`; raises as `get_if_changed`."""
        match next(self._entries, None):
            case [str(kind), str(asked)] if asked == url and kind == _GONE:
                raise NotThereError(f"{url} is not there")
            case [str(kind), str(asked), int(size)] if asked == url and kind == _SIZE and size >= 0:
                return size
        raise _nonsense()


def _nonsense() -> InvalidArgumentError:
    return InvalidArgumentError("what the network said does not fit the reading of this feed")
