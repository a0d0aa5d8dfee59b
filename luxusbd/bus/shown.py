"""The systems of the catalogue as they travel, kept for as long as the catalogue stays what it is."""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakKeyDictionary

from luxusbd.bus import render
from luxusbd.bus._lib import Variant
from luxusbd.bus.values import variant
from luxusbd.jobs.listed import Listed


class ShownSystems:
    """Entries of ListDistributions.

    Giving every value its type takes longer than all the rest of a call together. The engine gives the same object for
    what has not changed, and lets go of it when the catalogue, the day or a key has; then the entry goes, too.
    """

    def __init__(self) -> None:
        self._entries: WeakKeyDictionary[Listed, Mapping[str, Variant]] = WeakKeyDictionary()

    def entry(self, item: Listed) -> Mapping[str, Variant]:
        """One system, without the addresses of its mirrors."""
        known = self._entries.get(item)
        if known is None:
            shown = render.distribution(item, mirrors=False)
            known = self._entries[item] = {key: variant(value) for key, value in shown.items()}
        return known
