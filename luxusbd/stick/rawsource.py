"""Where the bytes come from that are written to a disk as they are: an image file, or what unpacks one."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from typing import Protocol

from luxusbd.errors import VerificationError, host_error
from luxusbd.images.model import BlockMap, MappedRange
from luxusbd.stick.blockio import CHUNK
from luxusbd.stick.model import SourceImage
from luxusbd.transfer.frames import Frames


class Source(Protocol):
    """Reads an image once, from its start."""

    def read(self) -> bytes:
        """The next `CHUNK` bytes; fewer at the end alone. Blocking."""

    def stop(self) -> None:
        """Let a reading that waits end."""


class FileSource:
    """A regular file."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._offset = 0

    def read(self) -> bytes:
        """See `Source`."""
        data = read_exactly(self._fd, self._offset, CHUNK)
        self._offset += len(data)
        return data

    def stop(self) -> None:
        """See `Source`; nothing to do, a file does not wait."""


class PipeSource:
    """What another process unpacks."""

    def __init__(self, fd: int) -> None:
        self._stopped = threading.Event()
        self._frames = Frames(fd, self._stopped.is_set)

    def read(self) -> bytes:
        """See `Source`."""
        return self._frames.read(CHUNK)

    def stop(self) -> None:
        """See `Source`."""
        self._stopped.set()


class Ahead:
    """Reads a source one chunk ahead of who takes them, and hashes them; made and used in the loop."""

    def __init__(self, source: Source, *, sha512: bool) -> None:
        self._source = source
        self._hashes = {name: hashlib.new(name) for name in ("sha256", *(("sha512",) if sha512 else ()))}
        self._next: asyncio.Future[bytes] | None = None

    async def read(self) -> bytes:
        """The next chunk; empty at the end."""
        coming = self._next or self._begin()
        data = await asyncio.shield(coming)
        self._next = self._begin() if len(data) == CHUNK else _done()
        return data

    async def close(self) -> None:
        """Stop reading."""
        self._source.stop()
        if self._next is not None:
            await asyncio.wait([self._next])
            if not self._next.cancelled():
                self._next.exception()

    def hexdigest(self, name: str = "sha256") -> str:
        """The hash of all that was read."""
        return self._hashes[name].hexdigest()

    def _begin(self) -> asyncio.Future[bytes]:
        self._next = asyncio.ensure_future(asyncio.to_thread(self._read))
        return self._next

    def _read(self) -> bytes:
        data = self._source.read()
        for each in self._hashes.values():
            each.update(data)
        return data


class RangeCheck:
    """Compares an image with the hashes of its block map as it comes."""

    def __init__(self, found: BlockMap) -> None:
        self._algorithm = found.algorithm
        self._ranges = [each for each in reversed(found.ranges) if each.digest]
        self._begin()

    def take(self, position: int, data: bytes) -> None:
        """The next bytes, which follow the last ones.

        Raises:
            VerificationError: a range has another hash.
        """
        end = position + len(data)
        while (each := self._now) is not None and each.start < end:
            self._hash.update(memoryview(data)[max(0, each.start - position) : each.end - position])
            if each.end > end:
                return
            if self._hash.hexdigest() != each.digest:
                raise VerificationError(
                    f"the bytes {each.start} to {each.end} of the image do not have the hash that its block map says:"
                    " one of the two is damaged, or they do not belong together"
                )
            self._begin()

    def _begin(self) -> None:
        self._now: MappedRange | None = self._ranges.pop() if self._ranges else None
        self._hash = hashlib.new(self._algorithm or "sha256")


def check_packed(source: SourceImage) -> None:
    """Hash a compressed image, before anything of it is believed. Blocking.

    Raises:
        VerificationError: it is not what was stored.
    """
    wanted = {"sha256": source.image.sha256, **({"sha512": source.sha512} if source.sha512 else {})}
    running = {name: hashlib.new(name) for name in wanted}
    offset = 0
    while data := read_exactly(source.fd, offset, CHUNK):
        offset += len(data)
        for each in running.values():
            each.update(data)
    if any(running[name].hexdigest() != digest for name, digest in wanted.items()):
        raise VerificationError(
            f"{source.image.name} is not what was stored any more: this machine's own disk is failing; delete the image"
            " and fetch it again"
        )


def read_exactly(fd: int, offset: int, length: int) -> bytes:
    """So many bytes of a file, fewer at its end alone.

    Raises:
        LuxusbError: this machine's own disk cannot be read.
    """
    data = bytearray()
    try:
        while len(data) < length and (piece := os.pread(fd, length - len(data), offset + len(data))):
            data += piece
    except OSError as error:
        raise host_error(error, "reading the image") from error
    return bytes(data)


def _done() -> asyncio.Future[bytes]:
    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    future.set_result(b"")
    return future
