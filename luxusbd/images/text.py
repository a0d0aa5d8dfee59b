"""Text from foreign sources, made fit to be shown and stored."""

from __future__ import annotations

import re
import unicodedata

_SPACES = re.compile(r"\s+")


def clean(text: str, limit: int) -> str:
    """One line of at most `limit` characters without control, format, surrogate and private characters.

    Directional formatting characters (Unicode category Cf) would let a volume label reorder the text around it.
    """
    kept = "".join(char for char in text[: limit * 4] if char.isspace() or unicodedata.category(char)[0] != "C")
    return _SPACES.sub(" ", kept).strip()[:limit].rstrip()
