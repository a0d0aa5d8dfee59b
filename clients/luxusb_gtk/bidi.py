"""The order of words where letters that run to the left stand beside some that run to the right. Pure.

A size such as 3.9 GiB would be shown as GiB 3.9 among Hebrew or Arabic words, and a path would end with its first
slash (Unicode Standard Annex 9). Isolates keep such a stretch together.
"""

from __future__ import annotations

import re

_START, _END = "\u2068", "\u2069"
"""FIRST STRONG ISOLATE and POP DIRECTIONAL ISOLATE."""
_LEFTWARD = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\U00010800-\U00010fff\U0001e800-\U0001efff"
"""Blocks whose letters run to the left (DerivedBidiClass.txt)."""
_LETTER = re.compile(f"[{_LEFTWARD}]")
_BETWEEN = re.compile(r"( · |, |\n)")
"""What separates parts that go in the order of the sentence."""
_OTHER = re.compile(rf"(?:[^\W{_LEFTWARD}]|/)(?:[^{_LEFTWARD}]*(?:[^\W{_LEFTWARD}]|[/)\]%]))?")


def ordered(text: str) -> str:
    """`text` with isolates round what runs the other way; unchanged where nothing runs to the left."""
    if not _LETTER.search(text):
        return text
    parts = _BETWEEN.split(text)
    return "".join(_OTHER.sub(lambda found: f"{_START}{found[0]}{_END}", part) for part in parts)
