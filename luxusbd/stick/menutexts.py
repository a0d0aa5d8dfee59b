"""The fixed texts of the boot menu in the language of the stick.

English texts are their own keys; data/menu/LANGUAGE.json has the others. GRUB's text console under BIOS and a serial
line have no umlauts, so that a menu holds them as variables, whose values are chosen when it is shown.
"""

from __future__ import annotations

import json
import re
from functools import cache

from luxusbd import resources
from luxusbd.stick.text import quote

ENGLISH = "en"
LANGUAGES = (ENGLISH, "de")

_PLAIN = {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"}
_NAMES = {char: f"lux_{'big_' if char.isupper() else ''}{plain.lower()}" for char, plain in _PLAIN.items()}
_SPECIAL = re.compile(f"([{''.join(_PLAIN)}])")


class Texts:
    """Texts in one language; in English for a language that is not known."""

    def __init__(self, language: str = ENGLISH) -> None:
        self._catalogue = catalogue(language) if language in LANGUAGES else {}
        self.has_umlauts = any(_SPECIAL.search(text) for text in self._catalogue.values())

    def shown(self, text: str) -> str:
        """A text as people read it."""
        return self._catalogue.get(text, text)

    def word(self, text: str) -> str:
        """A text as one word of GRUB script, for what runs after `umlauts`."""
        parts = _SPECIAL.split(self.shown(text))
        return "".join(f'"${{{_NAMES[part]}}}"' if part in _NAMES else quote(part) for part in parts if part)

    def ascii_word(self, text: str) -> str:
        """A text as one word of GRUB script in ASCII."""
        return quote(_SPECIAL.sub(lambda match: _PLAIN[match.group()], self.shown(text)))

    def umlauts(self, condition: str) -> list[str]:
        """Lines that set the variables of `word`: to umlauts where a condition of GRUB script holds."""
        if not self.has_umlauts:
            return []
        names = " ".join(_NAMES.values())
        return [
            f"if {condition}; then",
            *(f"  set {_NAMES[char]}='{char}'" for char in _PLAIN),
            "else",
            *(f"  set {_NAMES[char]}='{plain}'" for char, plain in _PLAIN.items()),
            "fi",
            f"export {names}",
        ]


@cache
def catalogue(language: str) -> dict[str, str]:
    """English texts with their translations; empty for English."""
    if language == ENGLISH:
        return {}
    document = json.loads(resources.data("menu", f"{language}.json").read_text("utf-8"))
    return {str(key): str(value) for key, value in document.items()}
