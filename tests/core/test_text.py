"""Texts for people."""

from __future__ import annotations

import pytest

from luxusbd.text import size_text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (5 * 2**20, "5.0 MiB"),
        (2**31, "2.0 GiB"),
        (2**42, "4.0 TiB"),
        (2**52, "4096.0 TiB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert size_text(count) == text
