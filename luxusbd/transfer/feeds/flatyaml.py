"""The little YAML that release lists are written in: one list of flat mappings (Alpine's `latest-releases.yaml`).

Texts in quotes, plain ones and blocks (`|`, `>`) are read, and nothing else: no anchors, aliases, tags, merges, flows
or documents behind the first, so that nothing can be expanded into more than was sent. Every value stays a text.
"""

from __future__ import annotations

import re

from luxusbd.errors import CatalogError
from luxusbd.text import clean

MAX_ENTRIES = 2000
MAX_KEYS = 100
MAX_BLOCK = 4096
"""Characters of a block after which its further lines are dropped."""
_PAIR = re.compile(r"([A-Za-z_][A-Za-z0-9_-]{0,63})[ \t]*:(?:[ \t]+(.*))?", re.ASCII)
_BLOCK = re.compile(r"[|>][+-]?\d?[+-]?")
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "/": "/", "0": "\0"}
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?')
_SINGLE = re.compile(r"'((?:[^']|'')*)'\s*(?:#.*)?")
_REFUSED = {"&": "an anchor", "*": "an alias", "!": "a tag", "{": "a flow", "[": "a flow", "%": "a directive"}


def parse_flat_yaml(text: str) -> list[dict[str, str]]:
    """The mappings of the list.

    Raises:
        CatalogError: it is anything else, with the number of the line.
    """
    entries: list[dict[str, str]] = []
    indent = -1
    block: tuple[int, str] | None = None
    """Indentation and key of a block whose lines follow."""
    for number, raw in enumerate(text.splitlines(), 1):
        stripped = raw.strip()
        depth = len(raw) - len(raw.lstrip(" "))
        if block is not None:
            if not stripped or depth > block[0]:
                so_far = entries[-1][block[1]]
                if len(so_far) < MAX_BLOCK:
                    entries[-1][block[1]] = so_far + stripped + "\n"
                continue
            block = None
        if not stripped or stripped.startswith("#") or (stripped == "---" and not entries):
            continue
        if stripped in ("...", "---"):
            raise _fault(number, "a second document")
        if stripped == "-" or stripped.startswith("- "):
            if len(entries) >= MAX_ENTRIES:
                raise _fault(number, f"more than {MAX_ENTRIES} entries")
            if depth != 0:
                raise _fault(number, "a list inside an entry")
            entries.append({})
            rest = stripped[1:].lstrip(" ")
            indent = depth + 1 + len(stripped[1:]) - len(rest) if rest else -1
            if not rest:
                continue
            stripped, depth = rest, indent
        if not entries:
            raise _fault(number, f"{clean(stripped, 60)!r} before the first entry of a list")
        if indent < 0:
            indent = depth
        if depth != indent or depth == 0:
            raise _fault(number, "a value that is no text")
        key, value = _pair(stripped, number)
        if key in entries[-1] or len(entries[-1]) >= MAX_KEYS:
            raise _fault(number, f"{key} a second time, or too many fields")
        if _BLOCK.fullmatch(value):
            block = (depth, key)
            value = ""
        entries[-1][key] = _scalar(value, number)
    return entries


def _pair(text: str, number: int) -> tuple[str, str]:
    found = _PAIR.fullmatch(text)
    if found is None:
        raise _fault(number, f"{clean(text, 60)!r}, expected a field with its value")
    return found[1], (found[2] or "").strip()


def _scalar(text: str, number: int) -> str:
    if not text:
        return ""
    if text[0] in _REFUSED:
        raise _fault(number, _REFUSED[text[0]])
    if text[0] == '"':
        found = _DOUBLE.fullmatch(text)
        if found is None:
            raise _fault(number, "a text whose quotes do not end")
        return re.sub(r"\\(.)", lambda char: _ESCAPES.get(char[1], char[1]), found[1])
    if text[0] == "'":
        found = _SINGLE.fullmatch(text)
        if found is None:
            raise _fault(number, "a text whose quotes do not end")
        return found[1].replace("''", "'")
    return text.split(" #", 1)[0].rstrip()


def _fault(number: int, what: str) -> CatalogError:
    return CatalogError(f"line {number} of the YAML has {what}")
