"""File name patterns inside an image: `*`, `?` and `[...]`, none of which crosses a slash."""

from __future__ import annotations

import re
from functools import lru_cache

_WILD = re.compile(r"[*?\[]")


def has_wildcard(pattern: str) -> bool:
    """Whether `pattern` is more than a literal name."""
    return _WILD.search(pattern) is not None


@lru_cache(maxsize=4096)
def segment_regex(segment: str) -> str:
    """A regular expression for one name; every `*` becomes a group.

    Raises:
        ValueError: a bracket is not closed.
    """
    out = []
    at = 0
    while at < len(segment):
        char = segment[at]
        if char == "*":
            while segment[at : at + 2] == "**":
                at += 1
            out.append("([^/]*)")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            end = segment.find("]", at + 2)
            if end < 0:
                raise ValueError(f"unclosed bracket in {segment!r}")
            body = segment[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            out.append("[" + ("^" + body[1:] if body.startswith("!") else body.replace("^", "\\^")) + "]")
            at = end
        else:
            out.append(re.escape(char))
        at += 1
    return "".join(out)


def path_regex(pattern: str) -> re.Pattern[str]:
    """A compiled expression for a whole path, whatever its case; every `*` is a group."""
    return re.compile("/".join(segment_regex(part) for part in pattern.split("/")), re.IGNORECASE)
