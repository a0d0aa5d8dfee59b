"""The artwork of the boot menu, drawn here: background, frames and letters as PNG, and GRUB's theme.txt.

Places are in percent and pictures have fixed sizes, so that it fits from 640x480 on. There are two sizes of it: under
Secure Boot GRUB takes no other font than its own, so that the smaller one uses that alone.
"""

from __future__ import annotations

import struct
import zlib
from functools import cache

from luxusbd.stick import menufont
from luxusbd.stick.menutexts import Texts

DIRECTORY = "boot/grub/themes/luxusb"
"""On the ESP."""
FONT = "Unifont Regular 16"
"""What unicode.pf2 calls itself."""

Colour = tuple[int, int, int, int]
"""Red, green, blue, opacity."""

_ICON = 32
_CORNER = 8
_TOP, _BOTTOM = (16, 24, 44), (38, 58, 92)
_SELECTED: Colour = (58, 124, 202, 255)
_FRAME: Colour = (255, 255, 255, 26)
_THUMB: Colour = (159, 208, 255, 200)
_CLEAR: Colour = (0, 0, 0, 0)
_WHITE: Colour = (255, 255, 255, 255)
_COLOURS: tuple[Colour, ...] = (
    (183, 62, 62, 255),
    (176, 101, 28, 255),
    (120, 122, 34, 255),
    (52, 128, 62, 255),
    (26, 126, 128, 255),
    (44, 96, 180, 255),
    (110, 74, 180, 255),
    (166, 58, 134, 255),
)
# five columns, the highest bit on the left, seven rows
_LETTERS = {
    "a": "0e11111f111111",
    "b": "1e11111e11111e",
    "c": "0e11101010110e",
    "d": "1e11111111111e",
    "e": "1f10101e10101f",
    "f": "1f10101e101010",
    "g": "0e11101711110f",
    "h": "1111111f111111",
    "i": "0e04040404040e",
    "j": "0702020202120c",
    "k": "11121418141211",
    "l": "1010101010101f",
    "m": "111b1515111111",
    "n": "11191513111111",
    "o": "0e11111111110e",
    "p": "1e11111e101010",
    "q": "0e11111115120d",
    "r": "1e11111e141211",
    "s": "0f10100e01011e",
    "t": "1f040404040404",
    "u": "1111111111110e",
    "v": "11111111110a04",
    "w": "11111115151b11",
    "x": "11110a040a1111",
    "y": "11110a04040404",
    "z": "1f01020408101f",
}
_OTHERS = {"disc": "0e11111511110e", "tools": "04150e1b0e1504", "note": "04000c0404040e"}


def files(texts: Texts) -> dict[str, bytes]:
    """Names below `DIRECTORY` with what belongs there."""
    return {
        **_pictures(),
        "theme.txt": text(texts).encode(),
        "theme-large.txt": text(texts, menufont.NAME, menufont.FACTOR).encode(),
    }


@cache
def _pictures() -> dict[str, bytes]:
    rows = [_blend(_TOP, _BOTTOM, y / 767) for y in range(768)]
    result = {"background.png": png([[(*row, 255)] * 1024 for row in rows])}
    boxes = (("select", _SELECTED, 4), ("frame", _FRAME, _CORNER), ("scroll", _FRAME, 1), ("thumb", _THUMB, 3))
    for name, colour, corner in boxes:
        result |= {f"{name}_{part}.png": picture for part, picture in _nine(colour, corner).items()}
    for number, (name, shape) in enumerate({**_LETTERS, **_OTHERS}.items()):
        named = name if name in _OTHERS else f"letter-{name}"
        result[f"icons/{named}.png"] = png(_glyph(shape, _COLOURS[number * 3 % len(_COLOURS)]))
    return result


def text(texts: Texts, font: str = FONT, factor: int = 1) -> str:
    """theme.txt in the language of `texts`, with all sizes as for a font that is `factor` times as large as `FONT`."""
    keys = texts.shown("Enter: start    e: edit    c: command line    Esc: back")
    if factor > 1:
        keys = keys.replace("    ", "  ")
    timeout = texts.shown("Starts in %d s")
    return f"""# made by luxusbd
title-text: ""
desktop-image: "background.png"
desktop-color: "#10182c"
terminal-font: "{font}"
terminal-left: "4%"
terminal-top: "8%"
terminal-width: "92%"
terminal-height: "84%"
terminal-border: "4"
+ label {{
  left = 6%
  top = 5%
  width = 88%
  height = {24 * factor}
  text = "LUXusb"
  font = "{font}"
  color = "#ffffff"
}}
+ boot_menu {{
  left = 6%
  top = 12%
  width = 88%
  height = 72%
  menu_pixmap_style = "frame_*.png"
  item_font = "{font}"
  selected_item_font = "{font}"
  item_color = "#e6ecf6"
  selected_item_color = "#ffffff"
  selected_item_pixmap_style = "select_*.png"
  icon_width = {_ICON * factor}
  icon_height = {_ICON * factor}
  item_icon_space = {14 * factor}
  item_height = {(_ICON + 4) * factor}
  item_padding = {8 * factor}
  item_spacing = {10 * factor}
  scrollbar = true
  scrollbar_width = {12 * factor}
  scrollbar_frame = "scroll_*.png"
  scrollbar_thumb = "thumb_*.png"
}}
+ label {{
  id = "__timeout__"
  left = 6%
  top = 87%
  width = 88%
  height = {20 * factor}
  align = "left"
  text = "{timeout}"
  font = "{font}"
  color = "#9fd0ff"
}}
+ label {{
  left = 6%
  top = 93%
  width = 88%
  height = {20 * factor}
  align = "left"
  text = "{keys}"
  font = "{font}"
  color = "#b4c2d8"
}}
"""


def png(rows: list[list[Colour]]) -> bytes:
    """A picture in the format of the PNG specification (ISO/IEC 15948): eight bits for each of four channels."""
    raw = b"".join(b"\0" + b"".join(map(bytes, row)) for row in rows)
    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    )


def _blend(first: tuple[int, int, int], second: tuple[int, int, int], part: float) -> tuple[int, int, int]:
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _inside(x: int, y: int, size: int, corner: int = _CORNER) -> bool:
    """Whether a pixel is in a square with round corners."""
    dx = max(corner - 0.5 - x, x - (size - corner - 0.5), 0)
    dy = max(corner - 0.5 - y, y - (size - corner - 0.5), 0)
    return dx * dx + dy * dy <= corner * corner


def _nine(colour: Colour, corner: int) -> dict[str, bytes]:
    """The corners, edges and middle of a box with round corners, as GRUB puts them together."""
    size = 3 * corner
    square = [[colour if _inside(x, y, size, corner) else _CLEAR for x in range(size)] for y in range(size)]
    third = [slice(0, corner), slice(corner, 2 * corner), slice(2 * corner, size)]
    names = (("nw", "n", "ne"), ("w", "c", "e"), ("sw", "s", "se"))
    return {
        names[down][across]: png([row[third[across]] for row in square[third[down]]])
        for down in range(3)
        for across in range(3)
    }


def _glyph(shape: str, colour: Colour) -> list[list[Colour]]:
    """A letter of three pixels to the dot on a square with round corners."""
    dots = [int(shape[at : at + 2], 16) for at in range(0, len(shape), 2)]
    left, top, dot = 9, 6, 3

    def pixel(x: int, y: int) -> Colour:
        column, row = (x - left) // dot, (y - top) // dot
        if 0 <= column < 5 and 0 <= row < 7 and dots[row] >> (4 - column) & 1:
            return _WHITE
        return colour if _inside(x, y, _ICON) else _CLEAR

    return [[pixel(x, y) for x in range(_ICON)] for y in range(_ICON)]
