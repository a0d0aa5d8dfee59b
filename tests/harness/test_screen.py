"""Pictures of a screen."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from tests.harness.screen import Screen, characters, screen_in

RED, BLUE = b"\xff\0\0", b"\0\0\xff"


def test_ppm_is_read() -> None:
    screen = Screen.from_ppm(b"P6\n# made by hand\n2 1\n255\n" + RED + BLUE)
    assert screen == Screen(2, 1, RED + BLUE)


@pytest.mark.parametrize("data", [b"", b"P5\n2 1\n255\n123456", b"P6\n2 1\n65535\n", b"P6\n2 1\n255\n" + RED])
def test_what_is_no_whole_ppm_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="PPM"):
        Screen.from_ppm(data)


def test_difference_and_fraction() -> None:
    ours = Screen(2, 2, RED * 3 + BLUE)
    assert ours.difference(ours) == 0
    assert ours.difference(Screen(2, 2, RED * 4)) == 0.25
    assert ours.difference(Screen(4, 1, RED * 4)) == 1
    assert ours.fraction(255, 0, 0) == 0.75
    assert ours.fraction(0, 0, 254) == 0


def test_png_holds_the_pixels(tmp_path: Path) -> None:
    path = tmp_path / "screen.png"
    Screen(2, 2, RED + BLUE + BLUE + RED).save_png(path)
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks: dict[bytes, bytes] = {}
    at = 8
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size)[0] == zlib.crc32(name + body)
        chunks[name] = body
        at += 12 + size
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBB", chunks[b"IHDR"][:10]) == (2, 2, 8, 2)
    assert zlib.decompress(chunks[b"IDAT"]) == b"\0" + RED + BLUE + b"\0" + BLUE + RED


def test_text_is_read_from_cells() -> None:
    cells = b"".join(bytes((byte, 7)) for byte in b"one".ljust(80, b"\0") + b" \xc9two".ljust(80))
    assert characters(cells) == "one\n \u2554two"


def test_a_screen_is_found_in_memory_by_text_of_one_colour(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    lure = b"".join(bytes((byte, at)) for at, byte in enumerate(b"Test"))
    cells = b"".join(bytes((byte, 31)) for byte in b"Test 1".ljust(80) + b"CPU".ljust(80))
    memory.write_bytes(b"Test" + lure + bytes(999) + cells + bytes(9000))
    assert screen_in(memory, "Test").splitlines()[:2] == ["Test 1", "CPU"]
    assert screen_in(memory, "Other") == ""
