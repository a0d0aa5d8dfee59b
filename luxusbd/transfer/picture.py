"""A small picture of a stranger, such as a system's logo: looked at, and written anew from what of it is drawn.

What comes out is a PNG or an SVG by its content, whatever its server called it. A PNG keeps the pieces that make its
pixels and nothing else, and is known to unpack to just them; `picturesvg` says the same for SVG. So whoever shows it
decodes neither text, colour profiles nor further pictures of a stranger, and knows how large it gets.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import StrEnum

from luxusbd.errors import NoLogoError
from luxusbd.transfer.picturesvg import rewrite_svg

MAX_PICTURE = 1 << 20
"""Bytes of a picture, as it comes and as it is kept."""
MAX_SIDE = 1024
"""Pixels of a PNG's width and height: 4 MiB in memory."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GZIP = b"\x1f\x8b"
_HEADER = struct.Struct(">IIBBBBB")
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# of each pass of an interlaced picture: first column and row, and the steps between them (PNG specification, 8.2)
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


class PictureKind(StrEnum):
    """What a picture is."""

    PNG = "png"
    SVG = "svg"


@dataclass(frozen=True)
class Picture:
    """One that may be shown."""

    kind: PictureKind
    data: bytes


def read_picture(data: bytes) -> Picture:
    """The picture in `data`, written anew.

    Raises:
        NoLogoError: it is none, or one that is not shown; the text begins with a verb ("is no picture ...").
    """
    if len(data) > MAX_PICTURE:
        raise NoLogoError(f"has more than {MAX_PICTURE >> 10} KiB")
    if data.startswith(_SIGNATURE):
        return Picture(PictureKind.PNG, _rewrite_png(data))
    if data.startswith(_GZIP):
        raise NoLogoError("is compressed; only plain PNG and SVG are shown")
    if data.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return Picture(PictureKind.SVG, rewrite_svg(data, MAX_PICTURE))
    raise NoLogoError("is no picture of a kind that is shown (PNG or SVG)")


def _rewrite_png(data: bytes) -> bytes:
    chunks = _chunks(data)
    if [kind for kind, _body in chunks].count(b"IHDR") != 1 or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise NoLogoError("is a PNG without a proper header")
    width, height, depth, colour, compression, filtering, interlaced = _HEADER.unpack(chunks[0][1])
    if depth not in _DEPTHS.get(colour, ()) or compression or filtering or interlaced > 1:
        raise NoLogoError("is a PNG of a kind that does not exist")
    if not 0 < width <= MAX_SIDE or not 0 < height <= MAX_SIDE:
        raise NoLogoError(f"has {width} x {height} pixels; at most {MAX_SIDE} x {MAX_SIDE} are shown")
    pixels = b"".join(body for kind, body in chunks if kind == b"IDAT")
    wanted = _raw_size(width, height, depth * _CHANNELS[colour], interlaced=bool(interlaced))
    unpacker = zlib.decompressobj()
    try:
        got = len(unpacker.decompress(pixels, wanted + 1))
    except zlib.error as error:
        raise NoLogoError(f"is a damaged PNG ({error})") from error
    if got != wanted or not unpacker.eof:
        raise NoLogoError("is a PNG that does not hold as many pixels as it says")
    palette = next((body for kind, body in chunks if kind == b"PLTE"), b"")
    if len(palette) % 3 or len(palette) > 768 or (colour == 3 and not palette):
        raise NoLogoError("is a PNG without a proper palette")
    clear = next((body for kind, body in chunks if kind == b"tRNS"), b"")
    made = [_chunk(b"IHDR", chunks[0][1])]
    if palette and colour in (2, 3, 6):
        made.append(_chunk(b"PLTE", palette))
    if len(clear) == {0: 2, 2: 6}.get(colour) or (colour == 3 and 0 < len(clear) <= len(palette) // 3):
        made.append(_chunk(b"tRNS", clear))
    return _SIGNATURE + b"".join([*made, _chunk(b"IDAT", pixels), _chunk(b"IEND", b"")])


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Those that make pixels, each with its content; what is behind the end is left out."""
    found: list[tuple[bytes, bytes]] = []
    at = len(_SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (told,) = struct.unpack_from(">I", data, at + 8 + length) if at + 12 + length <= len(data) else (None,)
        if told != zlib.crc32(kind + body):
            break
        if kind in _KEPT:
            found.append((kind, body))
        elif not kind[0] & 0x20:
            raise NoLogoError("is a PNG with pieces that nobody knows")
        if kind == b"IEND":
            return found
        at += 12 + length
    raise NoLogoError("is a damaged PNG (it ends too early, or its checksums are wrong)")


def _raw_size(width: int, height: int, bits: int, *, interlaced: bool) -> int:
    """Bytes of all pixels: each line has one in front that names its filter."""
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    total = 0
    for left, top, across, down in passes:
        columns, lines = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and lines > 0:
            total += lines * (1 + (columns * bits + 7) // 8)
    return total


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
