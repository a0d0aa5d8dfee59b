from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from luxusbd.stick.text import IMAGE_NAME, clean_title, quote, sanitise_name


@given(st.text(st.characters(), max_size=300))
def test_titles_are_visible_short_and_no_option(text: str) -> None:
    title = clean_title(text, "fallback")
    assert 1 <= len(title) <= 80
    assert not title.startswith("-")
    assert title == title.strip()
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in title)


def test_titles_of_people_stay_as_they_are() -> None:
    assert clean_title("Ubuntu 24.04 “Noble” – Größe", "x") == "Ubuntu 24.04 “Noble” – Größe"
    assert clean_title("a\u202eb\tc\nd", "x") == "ab c d"
    assert clean_title("--help", "x") == "help"
    assert clean_title(" -\u200b- ", "x") == "x"


def test_quotes() -> None:
    assert quote("it's $(x) `y`") == r"'it'\''s $(x) `y`'"


@given(st.text(st.characters(), max_size=300), st.lists(st.text(max_size=20), max_size=5))
def test_names_are_safe_and_new(name: str, others: list[str]) -> None:
    first = sanitise_name(name, others)
    assert IMAGE_NAME.match(first)
    assert first.endswith(".iso")
    assert len(first) <= 200
    assert not first.startswith((".", "-", "+"))
    second = sanitise_name(name, [*others, first])
    assert IMAGE_NAME.match(second)
    assert second.lower() != first.lower()


def test_names_that_are_fine_stay() -> None:
    assert sanitise_name("debian-12.5.0-amd64+nonfree.iso") == "debian-12.5.0-amd64+nonfree.iso"
    assert sanitise_name("../../etc/Größe of it.ISO") == "Groe-of-it.iso"
    assert sanitise_name("a.iso", ["A.ISO", "a-2.iso"]) == "a-3.iso"
    assert sanitise_name("\u202e") == "image.iso"
    assert sanitise_name("memtest.img") == "memtest.iso"
