"""How deep decoded documents go.

A document that can just be decoded is too deep for whoever makes words of its faults, since both are recursive, and the
second starts further down the stack (RecursionError). So those that no reader expects are refused before.
"""

from __future__ import annotations

from luxusbd.errors import CatalogError

MAX_LEVELS = 64
"""Several times what any of our formats has."""


def check_levels(value: object, name: str) -> None:
    """Do nothing with a value that is flat enough; `name` is what an error calls its document.

    Raises:
        CatalogError: lists and objects are inside of each other more often than `MAX_LEVELS`.
    """
    inner = [value]
    for _ in range(MAX_LEVELS + 1):
        found = [each for each in inner if isinstance(each, list | dict)]
        if not found:
            return
        inner = [each for one in found for each in (one.values() if isinstance(one, dict) else one)]
    raise CatalogError(f"{name}: $: found values inside of each other, expected at most {MAX_LEVELS} levels of them")
