"""What an image may be called."""

from __future__ import annotations

import pytest

from luxusbd.errors import InvalidArgumentError
from luxusbd.images.names import check_name

GOOD = ["a", "debian-12.5.iso", "mein Abbild.iso", "образ.iso", "x" * 200, "..a", "a.", "日本"]


@pytest.mark.parametrize("name", GOOD)
def test_good_names(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "no name"),
        (" \t", "no name"),
        ("x" * 201, "201 characters"),
        (".", "only dots"),
        (".. .", "only dots"),
        ("a\nb", "line break"),
        ("a\u2028b", "line break"),
        ("a\x7fb", "cannot be shown"),
        ("a\ud800b", "cannot be shown"),
        ("/etc/passwd", "is a path"),
    ],
)
def test_names_that_are_none(name: str, said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said) as caught:
        check_name(name)
    # the text goes to a terminal
    assert str(caught.value).isprintable()
