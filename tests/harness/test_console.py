"""Reading what a serial console and GRUB's menu print."""

from __future__ import annotations

import pytest

from tests.harness.console import Console
from tests.harness.grubmenu import FAILED, highlighted, new_menu, shows


def console(*pieces: bytes) -> Console:
    made = Console()
    for piece in pieces:
        made.feed(piece)
    return made


def test_cursor_addressing_becomes_lines_and_colours_vanish() -> None:
    text = console(b"\x1b[2J\x1b[5;3H\x1b[7m*First  \x1b[0m\x1b[6;3H Second\r\n").text
    assert text.splitlines() == ["", "*First  ", " Second"]


@pytest.mark.parametrize("cut", range(1, 14))
def test_a_sequence_cut_anywhere_reads_the_same(cut: int) -> None:
    data = b"a\x1b[12;34Hb\x1b[0mc"
    assert console(data[:cut], data[cut:]).text == "a\nbc"


def test_utf8_cut_in_two() -> None:
    assert console(b"\xe2\x94", b"\x82x").text == "│x"


def test_find_consumes() -> None:
    made = console(b"one two one")
    assert made.find("one") is not None
    assert made.find("one") is not None
    assert made.find("one") is None
    made.feed(b" one")
    assert made.find("one") is not None


def test_tail_keeps_the_last_lines_that_hold_anything() -> None:
    assert console(b"a\r\n\r\n  \r\nb\r\nc  \r\n").tail(2) == "b\nc"


MENU = "GNU GRUB\n*Debian 12   \n Memory test\n|\n Debian 12\n*Memory test   \n"


def test_the_last_highlighted_entry_counts() -> None:
    assert highlighted(MENU) == "Memory test"
    assert highlighted("GNU GRUB\n") == ""


@pytest.mark.parametrize("cut", range(1, len("*Memory test   ") + 1))
def test_half_a_line_highlights_nothing(cut: int) -> None:
    assert highlighted("*Debian 12  \n" + "*Memory test   "[:cut]) == "Debian 12"


def test_a_new_menu_has_a_headline_and_an_entry() -> None:
    assert new_menu("Booting\n" + MENU)
    assert not new_menu("GNU GRUB\n*Debi")
    assert not new_menu(" Debian 12  \n*Memory test  \nGNU GRUB\n")


def test_a_title_has_to_be_the_whole_entry() -> None:
    assert shows(MENU, "Debian 12")
    assert shows(" a (b) [c]*\n", "a (b) [c]*")
    assert not shows(MENU, "Debian")
    assert not shows(MENU, "Debian 12 extra")


@pytest.mark.parametrize(
    "line", ["error: file `/x' not found.", "Back to the menu in 30 seconds, or at once with Esc."]
)
def test_failures_of_grub_are_known(line: str) -> None:
    assert FAILED.search(f"Booting\n{line}\n")
    assert not FAILED.search("no error: here\n")
