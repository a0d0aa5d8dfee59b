"""Finding a system by words, as people type them: case, accents, hyphens and the order of the words do not count."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

_WORDS = re.compile(r"[^\W_]+")
_STROKES = str.maketrans("øłđ", "old")
"""Letters that Unicode does not take apart into a letter and a mark."""


def words(text: str) -> tuple[str, ...]:
    """The words of a text, without case and accents; whatever is no letter or digit only parts them."""
    apart = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(char for char in apart if not unicodedata.combining(char))
    return tuple(_WORDS.findall(plain.translate(_STROKES)))


def squeezed(text: str) -> str:
    """The same without a gap, so that `Pop!_OS` is `popos`."""
    return "".join(words(text))


@dataclass(frozen=True)
class Searchable:
    """What is known of one system, ready to be searched."""

    names: frozenset[str]
    """Its id and its name, squeezed."""
    text: str
    """All words, and those names and labels once more without gaps."""

    @classmethod
    def of(cls, distribution_id: str, name: str, labels: Iterable[str], prose: Iterable[str]) -> Searchable:
        """Of an id, a name, short labels (category, families, editions) and longer texts."""
        short = (distribution_id, name, *dict.fromkeys(labels))
        spoken = (" ".join(words(part)) for part in (*short, *prose))
        return cls(
            frozenset(map(squeezed, (distribution_id, name))),
            "\n".join(dict.fromkeys((*spoken, *map(squeezed, short)))),
        )


@dataclass(frozen=True)
class Wording:
    """What somebody typed."""

    parts: tuple[str, ...]
    empty: bool
    """Whether nothing was asked for; a text of punctuation alone asks for something, and finds nothing."""

    @classmethod
    def of(cls, text: str) -> Wording:
        """Of a text with any number of words."""
        return cls(words(text), not text.strip())

    def rank(self, searchable: Searchable) -> int | None:
        """0 for what is called exactly so, 1 for what has every word somewhere, None for the others."""
        if self.empty:
            return 1
        if not self.parts:
            return None
        if "".join(self.parts) in searchable.names:
            return 0
        return 1 if all(part in searchable.text for part in self.parts) else None
