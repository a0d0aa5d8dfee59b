"""A virtual machine's screen: a picture, to tell two apart and to keep one for a person, or the text it is made of."""

from __future__ import annotations

import mmap
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

_PPM = re.compile(rb"P6\s+(?:#[^\n]*\n)?(\d+)\s+(\d+)\s+255\s", re.ASCII)


@dataclass(frozen=True)
class Screen:
    """24-bit RGB, row by row from the top."""

    width: int
    height: int
    pixels: bytes

    @classmethod
    def from_ppm(cls, data: bytes) -> Screen:
        """Read the binary PPM that QEMU writes.

        Raises:
            ValueError: it is something else, or cut short.
        """
        if (match := _PPM.match(data)) is None:
            raise ValueError("not a binary PPM with 8 bits a channel")
        width, height = int(match[1]), int(match[2])
        pixels = data[match.end() :]
        if len(pixels) != width * height * 3:
            raise ValueError(f"a PPM of {width}x{height} holds {len(pixels)} bytes of pixels")
        return cls(width, height, pixels)

    def difference(self, other: Screen) -> float:
        """The fraction of pixels that differ, 0 to 1; screens of unlike size differ wholly."""
        if (self.width, self.height) != (other.width, other.height):
            return 1.0
        if self.pixels == other.pixels:
            return 0.0
        ours, theirs = memoryview(self.pixels), memoryview(other.pixels)
        unlike = sum(ours[at : at + 3] != theirs[at : at + 3] for at in range(0, len(ours), 3))
        return unlike / (self.width * self.height)

    def fraction(self, red: int, green: int, blue: int) -> float:
        """The fraction of pixels that have exactly this colour."""
        wanted = bytes((red, green, blue))
        view = memoryview(self.pixels)
        return sum(view[at : at + 3] == wanted for at in range(0, len(view), 3)) / (self.width * self.height)

    def save_png(self, path: Path) -> None:
        """Write it where a person can look at it (PNG specification, third edition: 8-bit truecolour, no filter)."""
        row = self.width * 3
        raw = b"".join(b"\0" + self.pixels[at : at + row] for at in range(0, len(self.pixels), row))
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw, 6)), (b"IEND", b""))
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + b"".join(
                struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
                for name, body in chunks
            )
        )


def characters(cells: bytes) -> str:
    """The lines of a PC's text mode: 80 cells in a line, two bytes each, character and attribute."""
    text = cells[::2].decode("cp437").replace("\0", " ")
    return "\n".join(text[at : at + 80].rstrip() for at in range(0, len(text), 80))


def screen_in(path: Path, beginning: str) -> str:
    """25 lines of such cells in a file of memory, from `beginning` on, which is in one colour; empty without it."""
    cells = b".".join(re.escape(bytes([byte])) for byte in beginning.encode("ascii"))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
        for match in re.finditer(cells, memory, re.DOTALL):
            found = memory[match.start() : match.start() + 80 * 25 * 2]
            # characters with anything between them are on no screen
            if len(set(found[1 : 2 * len(beginning) : 2])) == 1:
                return characters(found)
    return ""
