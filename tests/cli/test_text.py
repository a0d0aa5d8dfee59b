from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from luxusb_cli.text import clean, did_you_mean, shorten, similar


@given(st.text())
def test_clean_text_has_no_character_that_drives_a_terminal(text: str) -> None:
    for char in clean(text):
        assert unicodedata.category(char) not in {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
        assert char not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\ufeff"
    assert set(clean(text, lines=True)) - set(clean(text)) <= {"\n"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Debian 12", "Debian 12"),
        ("a\x1b[31mb", "a[31mb"),
        ("a\x1b]0;title\x07b", "a]0;titleb"),
        ("a\r\nb\tc", "a  b c"),
        ("x\u202eosi.exe", "xosi.exe"),
        ("\x9b2J", "2J"),
        ("日本語 é", "日本語 é"),
        ("نمی\u200cخواهم", "نمی\u200cخواهم"),
    ],
)
def test_clean(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_finds_similar_names() -> None:
    known = ["debian-live", "ubuntu", "sysrescue", "arch"]
    assert similar("ubunut", known) == ["ubuntu"]
    assert similar("Debian", known) == ["debian-live"]
    assert similar("zzz", known) == []
    assert did_you_mean("ubunut", known) == "Did you mean ubuntu?"
    assert did_you_mean("zzz", known) == ""


def test_shortens_with_an_ellipsis() -> None:
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdefg", 6) == "abcde…"
