"""The keys that may sign a feed's lists of hashes: copies at hand, or fetched from where the catalogue says.

Where a copy comes from decides nothing: of each only the key with the pinned fingerprint is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from luxusbd.catalog.feeds.model import Feed, SignatureKind
from luxusbd.errors import MalformedImageError, NetworkError
from luxusbd.text import clean, without_secrets
from luxusbd.transfer.openpgp import MAX_KEY
from luxusbd.transfer.pinned import pinned_key
from luxusbd.transfer.small import SmallFiles


@dataclass(frozen=True)
class KeysOfFeed:
    """What was gathered."""

    keys: bytes
    """One behind the other, in binary."""
    fetched: Mapping[str, bytes]
    """Those that came over the network, by fingerprint."""
    problems: tuple[str, ...]
    """Why one cannot be had."""


class FeedKeys:
    """Gathers keys."""

    def __init__(self, files: SmallFiles) -> None:
        """`files` is what fetches."""
        self._files = files

    async def gather(self, feed: Feed, copies: Mapping[str, bytes], places: Mapping[str, object]) -> KeysOfFeed:
        """The keys that a feed pins.

        Args:
            feed: whose keys.
            copies: files of keys, by the fingerprint that should be in them.
            places: https addresses of copies, by fingerprint; asked where there is no good copy.
        """
        keys, fetched, problems = b"", {}, []
        if feed.signing.kind not in (SignatureKind.DETACHED, SignatureKind.INLINE):
            # nothing is checked before the image is there
            return KeysOfFeed(b"", {}, ())
        for fingerprint in sorted(feed.signing.keys):
            place = places.get(fingerprint)
            try:
                own = pinned_key(copies[fingerprint], fingerprint) if fingerprint in copies else None
                if own is None and isinstance(place, str) and place:
                    own = pinned_key((await self._files.get(place, MAX_KEY)).data, fingerprint)
                    if own is None:
                        shown = clean(without_secrets(place), 200)
                        problems.append(f"feed {feed.id}: what {shown} holds is not the key {fingerprint}")
                    else:
                        fetched[fingerprint] = own
            except (MalformedImageError, NetworkError) as error:
                problems.append(f"feed {feed.id}: the key {fingerprint}: {error}")
            else:
                keys += own or b""
        return KeysOfFeed(keys, fetched, tuple(problems))
