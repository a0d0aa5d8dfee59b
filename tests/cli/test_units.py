from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from luxusb_cli.units import MAX_SIZE, format_duration, format_exact, format_rate, format_size, parse_size

sizes = st.integers(0, MAX_SIZE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("4096", 4096),
        ("4096B", 4096),
        ("4GiB", 4 * 1024**3),
        ("4 GiB", 4 * 1024**3),
        ("4g", 4 * 1024**3),
        ("512M", 512 * 1024**2),
        ("512Mi", 512 * 1024**2),
        ("1.5KiB", 1536),
        ("8GB", 8 * 10**9),
        (" 1kB ", 1000),
        ("0.0001K", 0),
    ],
)
def test_reads_sizes(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize(
    "text", ["", "GiB", "-1", "+1", "1e3", "4 Gi B", "4GiBs", "٤GiB", "1..5G", ".5G", "5.G", "16EiB", "0x10", "1\n2"]
)
def test_refuses_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a size|is more than 16EiB"):
        parse_size(text)


@given(sizes)
def test_exact_text_reads_back_as_the_same_size(size: int) -> None:
    assert parse_size(format_exact(size)) == size


@given(sizes)
def test_text_for_people_is_within_a_twentieth_of_its_unit(size: int) -> None:
    text = format_size(size)
    figure, unit = text.split(" ")
    read = parse_size(text) if size < 15 * 1024**6 else round(float(figure) * 1024**6)
    assert abs(read - size) <= parse_size(f"1{unit}") // 20 + 1
    assert float(figure) < 1024


@given(st.text())
def test_any_text_is_a_size_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert 0 <= parse_size(text) <= MAX_SIZE


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "0 B"), (17, "17 B"), (1023, "1023 B"), (1024, "1 KiB"), (1024**2 - 1, "1 MiB"), (3650722202, "3.4 GiB")],
)
def test_shows_sizes(size: int, expected: str) -> None:
    assert format_size(size) == expected


def test_shows_rates_and_times() -> None:
    assert format_rate(2 * 1024**2) == "2 MiB/s"
    assert [format_duration(seconds) for seconds in (-1, 7, 754, 3723, 2 * 86400 + 3 * 3600 + 240)] == [
        "0:00",
        "0:07",
        "12:34",
        "1:02:03",
        "2d 03:04",
    ]
