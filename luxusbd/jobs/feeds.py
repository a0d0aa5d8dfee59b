"""Asks feeds: finds the keys, lets the transfer process read, keeps what was said, and puts it in force.

What was said is on the disk before anybody sees it in the catalogue. Whatever goes wrong with a feed, what was known
before stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from luxusbd.catalog import update
from luxusbd.catalog.catalog import Catalog, Sources
from luxusbd.catalog.feedcache import FeedCache, FeedRecord
from luxusbd.catalog.feeds.codec import MAX_PROBLEMS
from luxusbd.catalog.feeds.merge import merge
from luxusbd.catalog.feeds.model import Description, Feed, Outcome
from luxusbd.catalog.model import Distribution, Layer
from luxusbd.errors import DistributionNotFoundError, InvalidArgumentError, LuxusbError, NetworkError, host_error
from luxusbd.jobs.checking import Checker, sealed_room
from luxusbd.jobs.keyring import Keyring
from luxusbd.jobs.transfers import Transfers
from luxusbd.transfer.feeds.transcript import MAX_TRANSCRIPT
from luxusbd.transfer.openpgp import MAX_KEY
from luxusbd.transfer.proof import read_small

PATIENCE = 300.0
"""Seconds for one feed of an update, the wait for the transfer process included, which has limits of its own."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What came of asking one feed."""

    record: FeedRecord
    changed: bool = False
    """Whether it tells of releases that the catalogue has otherwise."""
    error: LuxusbError | None = None
    """Why it could not be read."""


class Feeds:
    """The feeds of the catalogue in force."""

    def __init__(
        self,
        transfers: Transfers,
        checker: Checker,
        keyring: Keyring,
        catalog: Catalog,
        sources: Sources,
        changed: Callable[[str], None],
    ) -> None:
        """`sources` is what `catalog` was loaded from; `changed` is told of a layer that was loaded anew."""
        self._transfers = transfers
        self._checker = checker
        self._keyring = keyring
        self._catalog = catalog
        self._sources = sources
        self._changed = changed
        self._records = dict(catalog.feeds.records)
        self._asking: dict[str, asyncio.Lock] = {}
        self._writing = asyncio.Lock()
        self.loading = asyncio.Lock()
        """Held by whoever loads the catalogue anew, so that none puts an older one in force behind a newer one."""

    def use(self, sources: Sources) -> None:
        """Load the catalogue from these from now on; the caller holds `loading`."""
        self._sources = sources

    def wanted(self, ids: Sequence[str] = ()) -> tuple[Description, ...]:
        """The feeds of these distributions, without any of all that are in the catalogue.

        Raises:
            DistributionNotFoundError: there is no such distribution.
            InvalidArgumentError: it has no feed.
        """
        if not ids:
            known = {entry.id for entry in self._catalog.distributions()}
            return tuple(each for each in self._catalog.feeds.descriptions if each.feed.distribution in known)
        found: dict[str, Description] = {}
        for name in ids:
            entry = self._catalog.get(name)
            feeds = self._catalog.feeds.of(entry.id)
            if not feeds:
                raise InvalidArgumentError(f"{entry.name} has no feed that could be asked for newer releases")
            found.update({each.feed.id: each for each in feeds})
        return tuple(found.values())

    def records(self) -> tuple[FeedRecord, ...]:
        """What is known of those that `wanted` without ids names, and that were ever asked."""
        records = (self._records.get(each.feed.id) for each in self.wanted())
        return tuple(record for record in records if record is not None)

    async def ask(self, description: Description, patience: float = PATIENCE) -> Asked:
        """Ask a feed now; who comes while it is being asked gets the same answer. Nothing is put in force.

        Raises:
            FailedError: what it said cannot be stored.
        """
        lock = self._asking.setdefault(description.feed.id, asyncio.Lock())
        waited = lock.locked()
        try:
            async with asyncio.timeout(patience):
                await lock.acquire()
        except TimeoutError:
            return Asked(self._known(description), error=_late(description.feed, patience))
        try:
            known = self._known(description)
            if waited and known.asked:
                return self._judged(description, known)
            asked = await self._ask(description, known, patience)
            await self._store(asked.record)
            return asked
        finally:
            lock.release()

    async def put_in_force(self) -> update.Changes:
        """Load the catalogue with what feeds said, and tell when that changed something."""
        async with self.loading:
            before = self._catalog.distributions()
            self._catalog.renew(await asyncio.to_thread(Catalog.load, self._sources))
            changes = update.compare(before, self._catalog.distributions())
        if changes.added or changes.changed or changes.removed:
            self._changed(Layer.FEED.value)
        return changes

    def _known(self, description: Description) -> FeedRecord:
        known = self._records.get(description.feed.id)
        return known if known is not None and known.digest == description.digest else FeedRecord.of(description)

    async def _ask(self, description: Description, known: FeedRecord, patience: float) -> Asked:
        feed = description.feed
        try:
            async with asyncio.timeout(patience):
                outcome, fetched = await self._read(description, known)
        except TimeoutError:
            late = _late(feed, patience)
            return Asked(known.broken(late.message, int(time.time())), error=late)
        except LuxusbError as error:
            return Asked(known.broken(error.message, int(time.time())), error=error)
        for fingerprint, key in fetched.items():
            await asyncio.to_thread(self._keyring.keep, fingerprint, key)
        return self._judged(description, known.told(outcome, int(time.time())))

    def _judged(self, description: Description, record: FeedRecord) -> Asked:
        """What a record means for the catalogue in force, whose refusals belong to it."""
        try:
            entry = self._catalog.get(description.feed.distribution)
        except DistributionNotFoundError:
            return Asked(record)
        merged = merge(entry, description.feed, record.releases)
        notes = tuple(line for note in merged.notes if (line := record.line(note)) not in record.problems)
        return Asked(
            replace(record, problems=(*record.problems, *notes)), changed=_images(entry) != _images(merged.distribution)
        )

    async def _read(self, description: Description, known: FeedRecord) -> tuple[Outcome, Mapping[str, bytes]]:
        """What a feed said, where it is signed by the word of the process that checks; and keys that were fetched."""
        feed = description.feed
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        asked = {"today": today, "etag": known.etag, "last_modified": known.last_modified}
        async with self._keys(feed) as keys:
            with sealed_room("transcript", MAX_TRANSCRIPT) as room:
                told = await self._transfers.feed(description, asked, keys, self._key_urls(feed), room)
                # the other process still holds the descriptor: what is checked is a copy of our own
                transcript = await asyncio.to_thread(os.pread, room, told.transcript, 0)
            if not feed.has_signed_lists or told.outcome.unchanged:
                return told.outcome, told.fetched
            copies = {name: await asyncio.to_thread(read_small, fd, MAX_KEY, "a key") for name, fd in keys.items()}
        outcome = await self._checker.feed(description, transcript, {**copies, **told.fetched}, asked)
        # why a key cannot be had is known to the one with the network alone
        problems = tuple(dict.fromkeys([*told.outcome.problems, *outcome.problems]))[:MAX_PROBLEMS]
        return replace(outcome, problems=problems), told.fetched

    @contextlib.asynccontextmanager
    async def _keys(self, feed: Feed) -> AsyncIterator[Mapping[str, int]]:
        keys: dict[str, int] = {}
        try:
            for fingerprint in sorted(feed.signing.keys) if feed.has_signed_lists else ():
                fd = await asyncio.to_thread(self._keyring.open, fingerprint)
                if fd is not None:
                    keys[fingerprint] = fd
            yield keys
        finally:
            for fd in keys.values():
                os.close(fd)

    def _key_urls(self, feed: Feed) -> Mapping[str, str]:
        """Where the catalogue says that copies of the feed's keys are."""
        if not feed.has_signed_lists:
            return {}
        return {
            release.key_fingerprint: release.key_url
            for entry in self._catalog.distributions()
            for release in entry.releases
            if release.key_url and release.key_fingerprint in feed.signing.keys
        }

    async def _store(self, record: FeedRecord) -> None:
        path = self._sources.feeds
        assert path is not None
        cache = FeedCache(path)

        async def store() -> None:
            async with self._writing:
                records = {**self._records, record.feed: record}
                await asyncio.to_thread(_write, cache, records)
                self._records = records

        # a job that is cancelled now comes too late: memory and disk are to say the same
        await asyncio.shield(asyncio.ensure_future(store()))


def _write(cache: FeedCache, records: Mapping[str, FeedRecord]) -> None:
    try:
        cache.write(records.values())
    except OSError as error:
        raise host_error(error, f"writing {cache.path}") from error


def _late(feed: Feed, patience: float) -> NetworkError:
    return NetworkError(f"feed {feed.id}: did not answer within {patience:g} seconds")


def _images(entry: Distribution) -> frozenset[tuple[str, str, str, str]]:
    return frozenset((one.version, one.edition, one.architecture, one.content) for one in entry.releases)
