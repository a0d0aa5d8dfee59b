"""Text for a terminal: strangers' words made harmless, and guesses at mistyped names."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence

from luxusb_cli.i18n import _

_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"
"""Zero-width joiners are format characters too, but Persian and Indic titles need them."""


def clean(text: str, *, lines: bool = False) -> str:
    """`text` without control, format (also bidirectional) and unassigned characters; white space becomes a space.

    With `lines`, line feeds stay.
    """
    kept: list[str] = []
    for char in text:
        if char == "\n" and lines:
            kept.append(char)
        elif char in "\t\n\r\v\f":
            kept.append(" ")
        elif char in _JOINERS or unicodedata.category(char) not in _DROPPED:
            kept.append(char)
    return "".join(kept)


def shorten(text: str, width: int) -> str:
    """`text` cut to `width` characters, with an ellipsis in the last place when something is missing."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def similar(name: str, known: Iterable[str]) -> list[str]:
    """Up to three known names that look like `name`, best first."""
    by_folded: dict[str, str] = {}
    for candidate in known:
        by_folded.setdefault(candidate.casefold(), candidate)
    wanted = name.casefold()
    close = difflib.get_close_matches(wanted, by_folded, n=3, cutoff=0.6)
    if len(wanted) >= 3:
        close += [key for key in sorted(by_folded) if key.startswith(wanted) and key not in close]
    return [by_folded[key] for key in close[:3]]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question that names similar names, or nothing."""
    return ask_for(similar(name, known))


def ask_for(names: Sequence[str]) -> str:
    """A question whether one of these names was meant, or nothing."""
    if not names:
        return ""
    *others, last = map(clean, names)
    return (
        _("Did you mean {names} or {last}?").format(names=", ".join(others), last=last)
        if others
        else _("Did you mean {last}?").format(last=last)
    )


def join_sentences(*parts: str) -> str:
    """The parts that are not empty, with a space between."""
    return " ".join(part for part in parts if part)
