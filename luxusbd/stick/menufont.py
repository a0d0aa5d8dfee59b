"""A larger copy of GRUB's font, for screens on which its letters of 16 pixels cannot be read: pure functions.

GRUB cannot scale a font. The format is PFF2 (GRUB developer manual 2.06, "PFF2 Font File Format"): sections with a name
of four letters and a length, an index of characters with places in the file, and the characters as bits.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from luxusbd.errors import InternalError

FACTOR = 2
NAME = "LUXusb Large"
"""What the copy calls itself."""
_COPIED = (range(0x20, 0x180), range(0x2010, 0x2027), range(0x2190, 0x2194), range(0x2500, 0x25D0))
"""The Latin alphabets, dashes and quotes, arrows, and what frames are made of."""
_ENTRY = struct.Struct(">IBI")
_GLYPH = struct.Struct(">HHhhh")
"""Width, height, place to the right and up of the baseline, and the step to the next character, in pixels."""
_SCALED = (b"PTSZ", b"MAXW", b"MAXH", b"ASCE", b"DESC")


def enlarged(font: bytes) -> bytes:
    """A font with the letters of European languages alone, each dot of which is a square of `FACTOR` pixels.

    Raises:
        InternalError: this is no such font.
    """
    try:
        sections = dict(_sections(font))
        glyphs = {
            code: _larger(font, place)
            for code, place in _index(sections[b"CHIX"])
            if any(code in those for those in _COPIED)
        }
        numbers = {name: struct.unpack(">H", sections[name])[0] * FACTOR for name in _SCALED}
    except (KeyError, IndexError, struct.error) as error:
        raise InternalError(f"GRUB's font cannot be read: {error!r}") from error
    head = _section(b"FILE", b"PFF2") + _section(b"NAME", NAME.encode() + b"\0")
    head += b"".join(_section(name, sections[name]) for name in (b"FAMI", b"WEIG", b"SLAN"))
    head += b"".join(_section(name, struct.pack(">H", number)) for name, number in numbers.items())
    place = len(head) + 8 + len(glyphs) * _ENTRY.size + 8
    index = b""
    for code, glyph in glyphs.items():
        index += _ENTRY.pack(code, 0, place)
        place += len(glyph)
    return head + _section(b"CHIX", index) + b"DATA" + b"\xff" * 4 + b"".join(glyphs.values())


def _section(name: bytes, data: bytes) -> bytes:
    return name + struct.pack(">I", len(data)) + data


def _sections(font: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Those before the characters, whose section has no length."""
    at = 0
    while (name := font[at : at + 4]) != b"DATA":
        (size,) = struct.unpack_from(">I", font, at + 4)
        yield name, font[at + 8 : at + 8 + size]
        at += 8 + size


def _index(section: bytes) -> Iterator[tuple[int, int]]:
    for code, _flags, place in _ENTRY.iter_unpack(section):
        yield code, place


def _larger(font: bytes, place: int) -> bytes:
    width, height, *others = _GLYPH.unpack_from(font, place)
    start = place + _GLYPH.size
    packed = font[start : start + -(-width * height // 8)]
    bits = "".join(f"{byte:08b}" for byte in packed)
    rows = [bits[row * width : (row + 1) * width] for row in range(height)]
    wide = "".join("".join(bit * FACTOR for bit in row) * FACTOR for row in rows)
    wide += "0" * (-len(wide) % 8)
    data = int(wide, 2).to_bytes(len(wide) // 8, "big") if wide else b""
    return _GLYPH.pack(width * FACTOR, height * FACTOR, *(number * FACTOR for number in others)) + data
