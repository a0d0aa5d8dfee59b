"""Unpacks streams of foreign compressed bytes, with bounded memory: bytes in, pieces of bounded length out."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from luxusbd.errors import LimitExceededError, MalformedImageError
from luxusbd.transfer.packing import BZIP2_MAGIC, GZIP_MAGIC, LZMA_MAGIC, XZ_MAGIC, Packing
from luxusbd.transfer.zstd import ZstdDecoder

PIECE = 1024 * 1024
"""Bytes at most that come out at once, however much a few bytes of input unpack to."""
LZMA_MEMORY = 128 * 1024 * 1024
"""Bytes that unpacking .xz and .lzma may use; `xz -9` needs 65 MiB."""


class Decoder(Protocol):
    """Unpacks one stream."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Unpack more; pieces of at most `PIECE` bytes. The whole of it has to be consumed before the next call.

        Raises:
            MalformedImageError: the data is damaged, or something follows its end.
            LimitExceededError: unpacking it needs too much memory.
        """

    def end(self) -> None:
        """Say that nothing more comes.

        Raises:
            MalformedImageError: something is missing.
        """


class _Member(Protocol):
    """One stream of several that may follow each other, in the way of lzma and bz2."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _GzipMember:
    """zlib's decompressor in the way of the others."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        found = self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)
        # output that just fits may have left some behind
        self.needs_input = not self._inflate.unconsumed_tail and len(found) < max_length
        return found


class MemberDecoder:
    """Unpacks members that follow each other, as cat(1) of several files or a parallel compressor makes them."""

    def __init__(self, packing: Packing, magic: bytes, member: Callable[[], _Member], padding: int) -> None:
        """`magic` begins each member; zero bytes may follow one, in multiples of `padding` (0: none at all)."""
        self._packing = packing
        self._magic = magic
        self._new = member
        self._padding = padding
        self._member: _Member | None = None
        self._held = b""
        self._zeros = 0
        self._ended = False
        self._taken = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `Decoder`."""
        start = self._taken
        self._taken += len(data)
        data = self._held + data
        self._held = b""
        while data or (self._member is not None and not self._member.needs_input):
            if self._member is None:
                data = self._begin(data)
                if self._member is None:
                    return
            try:
                piece = self._member.decompress(data, PIECE)
            except (lzma.LZMAError, zlib.error, OSError, EOFError, ValueError, MemoryError) as error:
                raise self._damaged(error, start) from error
            data = b""
            if piece:
                yield piece
            if self._member.eof:
                data = self._member.unused_data
                self._member = None
                self._ended = True

    def end(self) -> None:
        """See `Decoder`."""
        if self._member is not None or self._held or not self._ended or (self._zeros and self._zeros % self._padding):
            raise MalformedImageError(f"the {self._packing} data ends too early: the file is not complete")

    def _begin(self, data: bytes) -> bytes:
        """Take padding off and begin the next member, when enough is there to see that it is one."""
        if self._ended and self._padding:
            rest = data.lstrip(b"\0")
            self._zeros += len(data) - len(rest)
            data = rest
        if len(data) < len(self._magic) and self._magic.startswith(data):
            self._held = data
            return b""
        if not data.startswith(self._magic) or (self._zeros and self._zeros % self._padding):
            raise MalformedImageError(
                f"something that is no {self._packing} data follows the end of the compressed image:"
                " the file is damaged, or is not an image alone"
            )
        self._zeros = 0
        self._member = self._new()
        return data

    def _damaged(self, error: Exception, position: int) -> MalformedImageError | LimitExceededError:
        if isinstance(error, MemoryError) or "emory usage limit" in str(error):
            return LimitExceededError(
                f"unpacking this {self._packing} data needs more than {LZMA_MEMORY >> 20} MiB of memory;"
                " unpack it yourself and import the image"
            )
        return MalformedImageError(f"the {self._packing} data is damaged, at byte {position} or after it: {error}")


def decoder_of(packing: Packing) -> Decoder:
    """A decoder for one stream.

    Raises:
        ToolMissingError: a library is missing.
        MalformedImageError: a zip archive, which is no stream.
    """
    match packing:
        case Packing.XZ:
            return MemberDecoder(packing, XZ_MAGIC, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, LZMA_MEMORY), 4)
        case Packing.LZMA:
            return MemberDecoder(packing, LZMA_MAGIC, lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, LZMA_MEMORY), 0)
        case Packing.GZIP:
            return MemberDecoder(packing, GZIP_MAGIC, _GzipMember, 1)
        case Packing.BZIP2:
            return MemberDecoder(packing, BZIP2_MAGIC, bz2.BZ2Decompressor, 0)
        case Packing.ZSTD:
            return ZstdDecoder()
        case Packing.ZIP:
            raise MalformedImageError(
                "a zip archive has its list of contents at its end, and cannot be unpacked from a pipe;"
                " save it to a file and import that"
            )
