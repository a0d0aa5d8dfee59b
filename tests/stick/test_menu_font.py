"""The larger font of the menu: GRUB takes it, and its letters are those of GRUB's own."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from luxusbd.errors import InternalError
from luxusbd.stick import grub, menu, menufont, menutools, theme
from luxusbd.stick.menutexts import Texts
from luxusbd.stick.model import MenuStyle, StickOptions
from tests.stick import grubemu, helpers


def own_font() -> bytes:
    path = grub.font()
    assert path is not None
    return path.read_bytes()


def drawn(font: bytes, letter: str) -> list[str]:
    """The rows of a letter as dots, read without the code under test."""
    index = font.index(b"CHIX")
    (size,) = struct.unpack_from(">I", font, index + 4)
    for at in range(index + 8, index + 8 + size, 9):
        code, _flags, place = struct.unpack_from(">IBI", font, at)
        if code == ord(letter):
            width, height = struct.unpack_from(">HH", font, place)
            number = int.from_bytes(font[place + 10 : place + 10 + (width * height + 7) // 8], "big")
            bits = f"{number:0{(width * height + 7) // 8 * 8}b}"
            return [bits[row * width : (row + 1) * width] for row in range(height)]
    raise AssertionError(f"no {letter}")


@pytest.mark.parametrize("letter", ["A", "g", "ß", "│"])
def test_a_letter_is_the_same_with_larger_dots(letter: str) -> None:
    small, large = drawn(own_font(), letter), drawn(menufont.enlarged(own_font()), letter)
    assert "1" in "".join(small)
    assert large == ["".join(dot * 2 for dot in row) for row in small for _ in range(2)]


def test_grub_reads_the_font_and_knows_it_by_its_name(tmp_path: Path) -> None:
    font = menufont.enlarged(own_font())
    # it is on the ESP of every stick
    assert len(font) < 200_000
    (tmp_path / "large.pf2").write_bytes(font)
    config = f"if loadfont (host){tmp_path}/large.pf2; then lsfonts; echo done; fi\nreboot\n"
    assert menufont.NAME in grubemu.run(tmp_path, config, "done")


@pytest.mark.parametrize("kept", [0, 4, 100, 4000])
def test_what_is_no_font_is_refused(kept: int) -> None:
    with pytest.raises(InternalError, match="font cannot be read"):
        menufont.enlarged(own_font()[:kept])


def test_the_larger_theme_names_the_larger_font_alone() -> None:
    files = theme.files(Texts("en"))
    small, large = files["theme.txt"].decode(), files["theme-large.txt"].decode()
    assert theme.FONT in small
    assert menufont.NAME not in small
    assert menufont.NAME in large
    assert theme.FONT not in large
    assert "icon_width = 32\n" in small
    assert "icon_width = 64\n" in large


@pytest.mark.parametrize(
    ("large", "lockdown", "graphics", "offered"),
    [
        ("", "", "y", "Larger letters"),
        ("n", "", "y", "Larger letters"),
        ("y", "", "y", "Smaller letters"),
        ("y", "y", "y", ""),
        ("", "", "", ""),
    ],
)
def test_the_tools_offer_the_other_size(tmp_path: Path, large: str, lockdown: str, graphics: str, offered: str) -> None:
    """Where GRUB draws letters, and may load a font; here it draws none, so that the test says that it does."""
    (tmp_path / "fonts").mkdir()
    (tmp_path / "fonts" / "unicode.pf2").write_bytes(own_font())
    (tmp_path / "fonts" / "large.pf2").write_bytes(menufont.enlarged(own_font()))
    (tmp_path / "grubenv").write_text(f"# GRUB Environment Block\nlux_large={large}\n".ljust(1024, "#"))
    text = menu.render(helpers.manifest()).replace("if terminal_output gfxterm", f'if [ "{graphics}" = y ]')
    (tmp_path / "menu").write_text(text)
    config = f"prefix=(host){tmp_path}\nlockdown={lockdown}\nlux_pass=menu\nsource (host){tmp_path}/menu\n"
    # what is in the submenu, without its first line and its last
    config += "\n".join(menutools.tools(Texts("en").word)[1:-1])
    config += '\nset timeout=-1\necho "<$gfxterm_font$lux_size>"\n'
    shown = grubemu.run(tmp_path, config, "About this stick")
    assert (f"<{menufont.NAME}-large>" in shown) == (offered == "Smaller letters")
    for title in ("Larger letters", "Smaller letters"):
        assert (title in shown) == (title == offered)


def test_the_choice_of_letters_is_noted_where_there_is_room_for_it() -> None:
    text = menu.render(helpers.manifest())
    assert text.count('save_env -f "$prefix/grubenv" lux_large') == 2
    assert 'load_env -f "$prefix/grubenv" lux_large' in text
    options = StickOptions(menu=MenuStyle(remember=False))
    assert "grubenv" not in menu.render(helpers.manifest(options=options))


@pytest.mark.parametrize("name", ["theme.txt", "theme-large.txt"])
def test_a_theme_names_pictures_that_are_there(name: str) -> None:
    files = theme.files(Texts("en"))
    named = re.findall(r'"([a-z_*]+\.png)"', files[name].decode())
    assert len(named) == 5
    for picture in named:
        parts = [picture.replace("*", part) for part in ("n", "ne", "e", "se", "s", "sw", "w", "nw", "c")]
        assert {*parts} <= {*files}
