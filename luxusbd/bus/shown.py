"""The systems of the catalogue as they travel, kept for as long as the catalogue stays what it is."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from weakref import WeakKeyDictionary

from luxusbd.bus import render
from luxusbd.bus._lib import encode
from luxusbd.bus.values import convert
from luxusbd.jobs.listed import Listed

_LENGTH = struct.Struct("<I")
_DICTIONARY = "a{sv}"


class ShownSystems:
    """The replies to ListDistributions.

    Giving every value its type and writing it takes ten times longer than all the rest of a call together. The engine
    gives the same object for what has not changed, and lets go of it when the catalogue, the day or a key has; then the
    bytes that were made of it go, too.
    """

    def __init__(self) -> None:
        self._entries: WeakKeyDictionary[Listed, bytes] = WeakKeyDictionary()

    def body(self, found: Sequence[Listed]) -> bytes:
        """The reply's body (aa{sv}): the systems in their order, without the addresses of their mirrors."""
        return joined(self._entry(item) for item in found)

    def _entry(self, item: Listed) -> bytes:
        known = self._entries.get(item)
        if known is None:
            shown = render.distribution(item, mirrors=False)
            # in front of the entries are their length and, as they begin at a multiple of 8, four bytes of padding
            known = self._entries[item] = encode(_DICTIONARY, [convert(_DICTIONARY, shown)])[8:]
        return known


def joined(dictionaries: Iterable[bytes]) -> bytes:
    """The body of one aa{sv} from the entries of its dictionaries, each encoded as if it began at a multiple of 8.

    An array is its length, padding up to the alignment of its elements, which does not count, and the elements; a
    dictionary is an array that is aligned to 4 itself, and its entries are to 8 (D-Bus Specification, Marshaling).
    """
    body = bytearray(_LENGTH.size)
    for entries in dictionaries:
        body += bytes(-len(body) % 4) + _LENGTH.pack(len(entries))
        body += bytes(-len(body) % 8) + entries
    _LENGTH.pack_into(body, 0, len(body) - _LENGTH.size)
    return bytes(body)
