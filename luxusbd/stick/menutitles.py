"""Titles of entries in the language of the stick: the name of a system stays, what recipes say of the way does not."""

from __future__ import annotations

from luxusbd.stick.menutexts import Texts
from luxusbd.stick.text import clean_title, quote

WAYS = (
    "safe graphics",
    "its own menu",
    "direct",
    "run from memory",
    "with saved changes",
    "derived from its own menu, untested",
    "safe graphics, derived from its own menu, untested",
)
"""What packaged recipes, and those made of an image's own menu, put behind a name, in brackets; others stay."""


def title_word(title: str, fallback: str, texts: Texts) -> str:
    """The title of an entry as one word of GRUB script."""
    shown = clean_title(title, fallback)
    for way in WAYS:
        name = shown.removesuffix(f" ({way})")
        if name != shown:
            return quote(f"{name} (") + texts.word(way) + quote(")")
    return quote(shown)
