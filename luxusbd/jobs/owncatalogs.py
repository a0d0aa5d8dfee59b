"""Catalogues that users import for themselves: each is seen by its uid alone, and gone when the service ends.

Clients pass them on again whenever `sha256` is not that of the file, so that nothing of a user's has to be kept on the
disk here. The transfer process reads the descriptor, since that may lead to a filesystem of the user's own making.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from dataclasses import dataclass

from luxusbd.catalog.catalog import Catalog
from luxusbd.catalog.own import MAX_OWN, read_own
from luxusbd.jobs.checking import sealed_room
from luxusbd.jobs.transfers import Transfers
from luxusbd.text import clean

MAX_USERS = 16
"""Users whose catalogues are kept at the same time; the one that was imported longest ago goes first."""
MAX_NAME = 200

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OwnCatalog:
    """What is known of a user's catalogue."""

    sha256: str
    """Of the document."""
    warnings: tuple[str, ...]


class OwnCatalogs:
    """Takes them, and puts them over the catalogue of their users."""

    def __init__(self, transfers: Transfers, catalog: Catalog) -> None:
        self._transfers = transfers
        self._catalog = catalog
        self._known: dict[int, OwnCatalog] = {}

    def of(self, uid: int) -> OwnCatalog | None:
        """What this user imported last."""
        return self._known.get(uid)

    async def take(self, uid: int, fd: int, name: str) -> int:
        """Put the catalogue behind a descriptor in place of what `uid` imported before; how many distributions it has.

        Raises:
            CatalogError: it is malformed; what was imported before stays.
            LuxusbError: it cannot be read.
        """
        called = clean(name, MAX_NAME) or "your catalogue"
        with sealed_room("own catalogue", MAX_OWN) as room:
            size = await self._transfers.read_own(fd, room, called)
            # the other process still holds the descriptor: what is used is a copy of our own
            data = os.pread(room, size, 0)
        document = await asyncio.to_thread(read_own, data, called)
        self._known.pop(uid, None)
        if document.distributions:
            self._known[uid] = OwnCatalog(hashlib.sha256(data).hexdigest(), document.warnings)
        self._catalog.import_layer(uid, document.distributions)
        while len(self._known) > MAX_USERS:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._catalog.import_layer(oldest, ())
        log.info("uid %d imported a catalogue of %d distributions", uid, len(document.distributions))
        return len(document.distributions)
