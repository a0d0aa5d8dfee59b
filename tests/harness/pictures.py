"""Small pictures, good and bad."""

from __future__ import annotations

import struct
import zlib

SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10">'
    b'<rect width="10" height="10" fill="#a80030"/><circle cx="5" cy="5" r="3" fill="#fff"/></svg>'
)


def chunk(kind: bytes, body: bytes) -> bytes:
    """One piece of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int = 16,
    height: int = 16,
    colour: bytes = b"\xa8\x00\x30",
    *,
    further: bytes = b"",
    interlaced: bool = False,
    pixels: bytes | None = None,
    behind: bytes = b"",
) -> bytes:
    """A PNG of one colour.

    `further` are pieces in front of the pixels, `pixels` other ones than belong there, and `behind` what follows the
    end. `interlaced` says so of one that is a single pixel, whose bytes are the same.
    """
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, int(interlaced))
    raw = (b"\0" + colour * width) * height if pixels is None else pixels
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + further
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
        + behind
    )
