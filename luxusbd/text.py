"""Text from foreign sources, made fit to be shown and stored."""

from __future__ import annotations

import re
import unicodedata

_SPACES = re.compile(r"\s+")
_DIGITS = re.compile(r"([0-9]+)")


def clean(text: str, limit: int) -> str:
    """One line of at most `limit` characters without control, format, surrogate and private characters.

    Directional formatting characters (Unicode category Cf) would let a volume label reorder the text around it.
    """
    kept = "".join(char for char in text[: limit * 4] if char.isspace() or unicodedata.category(char)[0] != "C")
    return _SPACES.sub(" ", kept).strip()[:limit].rstrip()


def size_text(count: int) -> str:
    """A number of bytes for people, with binary units (IEC 80000-13) and exact below 1 KiB: `3.9 GiB`."""
    if count < 1024:
        return f"{count} bytes"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Orders texts by the numbers in them: 6.1.0-18 after 6.1.0-9, and 24.04.1 after 24.04."""
    parts = _DIGITS.split(text)
    return tuple((1, int(part[:18]), "") if part.isdecimal() else (0, 0, part) for part in parts if part)
