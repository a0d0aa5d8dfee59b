"""The keys that may sign a feed's lists of hashes: copies at hand, or fetched from where the catalogue says.

Where a copy comes from decides nothing: of each only the key with the pinned fingerprint is taken.
"""

from __future__ import annotations

from collections.abc import Mapping

from luxusbd.catalog.feeds.model import Feed
from luxusbd.errors import MalformedImageError, NetworkError
from luxusbd.text import clean, without_secrets
from luxusbd.transfer.openpgp import MAX_KEY
from luxusbd.transfer.pinned import pinned_key
from luxusbd.transfer.smallmodel import SmallSource


class KeyRing:
    """The keys of one feed, for one reading."""

    def __init__(
        self, files: SmallSource, feed: Feed, copies: Mapping[str, bytes], places: Mapping[str, object]
    ) -> None:
        """Prepare, without looking at anything.

        Args:
            files: what fetches.
            feed: whose keys.
            copies: files of keys, by the fingerprint that should be in them.
            places: https addresses of copies, by fingerprint; asked where there is no good copy.
        """
        self._files = files
        self._feed = feed
        self._places = {name: place for name, place in places.items() if isinstance(place, str) and place}
        self._copies = copies
        self._keys: dict[str, bytes] = {}
        self.fetched: dict[str, bytes] = {}
        """Those that came over the network."""
        self.problems: list[str] = []
        """Why one cannot be had."""

    @property
    def keys(self) -> bytes:
        """All, one behind the other, in binary."""
        return b"".join(self._keys.values())

    async def gather(self) -> None:
        """Find each key, at hand first."""
        if not self._feed.has_signed_lists:
            # nothing is checked before the image is there
            return
        for fingerprint in sorted(self._feed.signing.keys):
            try:
                own = pinned_key(self._copies[fingerprint], fingerprint) if fingerprint in self._copies else None
            except MalformedImageError as error:
                self._lacks(fingerprint, error)
                own = None
            if own is not None:
                self._keys[fingerprint] = own
            else:
                await self._fetch(fingerprint)

    async def refresh(self) -> bool:
        """Fetch the keys that were at hand anew, since makers prolong theirs; whether one is another now."""
        before = self.keys
        for fingerprint in [name for name in self._keys if name not in self.fetched]:
            await self._fetch(fingerprint)
        return self.keys != before

    async def _fetch(self, fingerprint: str) -> None:
        place = self._places.get(fingerprint)
        if place is None:
            return
        try:
            found = pinned_key((await self._files.get(place, MAX_KEY)).data, fingerprint)
        except (MalformedImageError, NetworkError) as error:
            self._lacks(fingerprint, error)
            return
        if found is None:
            shown = clean(without_secrets(place), 200)
            self.problems.append(f"feed {self._feed.id}: what {shown} holds is not the key {fingerprint}")
            return
        self._keys[fingerprint] = self.fetched[fingerprint] = found

    def _lacks(self, fingerprint: str, error: Exception) -> None:
        self.problems.append(f"feed {self._feed.id}: the key {fingerprint}: {error}")
