"""Updating the catalogue from a remote that signs it: fetch, check, judge, put in force.

The transfer process fetches and is believed nothing: the bytes are copied out of its reach, a process apart from it
checks the signature and the format, and only then the core reads the document, judges its serial and expiry, and writes
it. Whatever goes wrong, the catalogue in force stays.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from luxusbd.catalog import update
from luxusbd.catalog.cache import CatalogCache, Record
from luxusbd.catalog.catalog import Catalog, Sources
from luxusbd.catalog.model import Layer
from luxusbd.catalog.schema import MAX_DOCUMENT, read_document
from luxusbd.config import CatalogConfig
from luxusbd.errors import (
    ConfigError,
    FailedError,
    InterruptedJobError,
    InvalidArgumentError,
    LuxusbError,
    MalformedImageError,
    VerificationError,
    host_error,
)
from luxusbd.jobs.catalogrecipes import CatalogRecipes
from luxusbd.jobs.checking import Checker, sealed_room
from luxusbd.jobs.feeds import Feeds
from luxusbd.jobs.feedupdate import MAX_LINE, FeedUpdates
from luxusbd.jobs.model import Job, Operation
from luxusbd.jobs.queue import JobQueue
from luxusbd.jobs.remote import Remote, pinned_fingerprints, read_keys
from luxusbd.jobs.running import JobContext, Lane
from luxusbd.jobs.transfers import Transfers
from luxusbd.jobs.views import CatalogStatus
from luxusbd.text import clean, without_secrets
from luxusbd.transfer.model import DownloadProgress
from luxusbd.transfer.openpgp import MAX_SIGNATURE
from luxusbd.transfer.pairmodel import PairRequest
from luxusbd.transfer.vouch import Vouched

log = logging.getLogger(__name__)

PAIRS = 3
"""How often document and signature are fetched anew when they do not belong together: the remote may be changing."""
PAIR_WAIT = 2.0
MAX_NAMES = 500
"""Ids of one kind in a job's result."""


class CatalogUpdates:
    """Keeps the catalogue up to date. One job runs at a time."""

    def __init__(
        self,
        queue: JobQueue,
        transfers: Transfers,
        checker: Checker,
        catalog: Catalog,
        sources: Sources,
        config: CatalogConfig,
        changed: Callable[[str], None],
        feeds: Feeds,
        recipes: CatalogRecipes,
    ) -> None:
        """`sources` is what `catalog` was loaded from; `changed` is told of a layer that was loaded anew."""
        self._feeds = feeds
        self._recipes = recipes
        self._feed_updates = FeedUpdates(feeds)
        self._queue = queue
        self._transfers = transfers
        self._checker = checker
        self._catalog = catalog
        self._sources = sources
        self._config = config
        self._changed = changed
        self._cache = CatalogCache(sources.cache, pinned_fingerprints(config))
        self._installing: asyncio.Future[update.Changes] | None = None

    @property
    def busy(self) -> bool:
        """Whether an update runs or waits."""
        jobs = self._queue.jobs()
        return any(job.operation is Operation.UPDATE_CATALOG and not job.state.finished for job in jobs)

    async def use(self, config: CatalogConfig) -> None:
        """Follow another remote from now on; an edition that no key of it vouches for is in force no more."""
        pinned = pinned_fingerprints(config)
        self._config = config
        self._sources = replace(self._sources, pinned=pinned)
        self._cache = CatalogCache(self._sources.cache, pinned)
        async with self._feeds.loading:
            self._feeds.use(self._sources)
            self._catalog.renew(await asyncio.to_thread(Catalog.load, self._sources))
            await asyncio.to_thread(self._recipes.follow, self._catalog.cached)
        self._changed(Layer.CACHE.value)

    async def start(self, owner_uid: int, *, feeds: bool = False, ids: Sequence[str] = ()) -> Job:
        """Start an update; one that is asked for twice by one uid is one job.

        Args:
            owner_uid: who asks.
            feeds: whether the makers' feeds are asked, too; then a remote need not be configured.
            ids: distributions to which asking feeds is limited; empty for all.

        Raises:
            ConfigError: no remote is configured, or not well.
            DistributionNotFoundError: there is no such distribution.
            InvalidArgumentError: it has no feed, or no feeds are to be asked.
        """
        if ids and not feeds:
            raise InvalidArgumentError("ids limit which feeds are asked, and none are: give the option feeds, too")
        if feeds:
            self._feeds.wanted(ids)
        remote = Remote.of(self._config) if self._config.update_url or not feeds else None
        params: dict[str, Any] = {"feeds": feeds, "ids": sorted(set(ids))}
        for job in self._queue.jobs():
            if (
                job.operation is Operation.UPDATE_CATALOG
                and job.owner_uid == owner_uid
                and not job.state.finished
                and _wishes(job) == params
            ):
                return job
        return await self._queue.submit(
            Operation.UPDATE_CATALOG,
            Lane.CATALOG,
            self.run,
            owner_uid=owner_uid,
            params=params,
            title=_title(remote, params),
        )

    def status(self) -> CatalogStatus:
        """How up to date the catalogue is."""
        cached = self._catalog.cached
        record = cached.record if cached is not None else None
        problems = list(self._catalog.problems)
        if record is not None and (warning := update.warning(record.stamp, int(time.time()))):
            problems.insert(0, warning)
        problems += (f"a boot recipe is not used: {clean(problem, MAX_LINE)}" for problem in self._recipes.problems)
        asked = self._feeds.records()
        problems += [clean(problem, MAX_LINE) for each in asked for problem in each.problems]
        return CatalogStatus(
            url=without_secrets(self._config.update_url),
            updated=record.fetched if record else 0,
            checked=record.checked if record else 0,
            made=record.made if record else 0,
            serial=record.serial if record else 0,
            expires=record.expires if record else 0,
            fingerprint=record.fingerprint if record else "",
            previous=cached is not None and cached.previous,
            problems=tuple(problems),
            feeds=len(self._feeds.wanted()),
            feeds_asked=max((each.asked for each in asked), default=0),
            feeds_failed=tuple(each.feed for each in asked if each.failed),
            migrated=self._sources.notes,
        )

    async def run(self, context: JobContext) -> Mapping[str, Any]:
        """The runner of an update.

        A remote that cannot be followed fails the job, but only after the feeds were asked.
        """
        wishes = _wishes(context.job)
        if not wishes["feeds"]:
            return await self._follow(context)
        followed: Mapping[str, Any] = {"updated": False, "serial": 0, "expires": 0, "added": [], "removed": []}
        trouble: LuxusbError | None = None
        if self._config.update_url:
            try:
                followed = await self._follow(context)
            except LuxusbError as error:
                trouble = error
                context.note(f"{error.message}; the feeds are asked all the same")
        told = await self._feed_updates.run(context, wishes["ids"])
        if trouble is not None:
            raise trouble
        changed = sorted({*followed.get("changed", ()), *told["changed"]} - {*followed["added"]})
        return {**followed, **told, "changed": changed[:MAX_NAMES]}

    async def _follow(self, context: JobContext) -> Mapping[str, Any]:
        """Get the newest edition of the remote."""
        remote = Remote.of(self._config)
        update.check_clock(int(time.time()))
        keys = await asyncio.to_thread(read_keys, remote.key)
        in_force = self._catalog.cached.record if self._catalog.cached and not self._catalog.cached.previous else None
        known = in_force if in_force is not None and in_force.url == remote.url else None
        before: _Fetched | None = None
        for attempt in itertools.count(1):
            context.report(0, 0, stage="fetch")
            fetched = await self._fetch(context, remote, known)
            if fetched is None:
                assert in_force is not None
                return await self._same(context, in_force, etag=in_force.etag, last_modified=in_force.last_modified)
            context.report(len(fetched.document), len(fetched.document), stage="check")
            try:
                vouched = await self._check(remote, keys, fetched)
            except VerificationError as error:
                if attempt == PAIRS or (before is not None and before.same_as(fetched)):
                    raise
                context.note(f"{error}; both are fetched once more")
            else:
                return await self._accept(context, remote, fetched, vouched, in_force)
            # one of the two may be newer than the other, because the remote is changing right now
            before, known = fetched, None
            await asyncio.sleep(PAIR_WAIT)
        raise AssertionError

    async def _accept(
        self, context: JobContext, remote: Remote, fetched: _Fetched, vouched: Vouched, in_force: Record | None
    ) -> Mapping[str, Any]:
        sha256 = hashlib.sha256(fetched.document).hexdigest()
        if vouched.sha256 != sha256 or vouched.fingerprint not in remote.pinned:
            raise InterruptedJobError("the process that checks signatures has checked something else")
        document = await asyncio.to_thread(read_document, fetched.document, without_secrets(remote.url), Layer.CACHE)
        now = int(time.time())
        newest = await asyncio.to_thread(self._cache.newest)
        update.judge(update.Edition(document.stamp, sha256), newest.edition if newest is not None else None, now)
        if in_force is not None and in_force.sha256 == sha256:
            return await self._same(context, in_force, etag=fetched.etag, last_modified=fetched.last_modified)
        stamp = document.stamp
        record = Record(
            sha256=sha256,
            url=remote.url,
            fingerprint=vouched.fingerprint,
            signing_key=vouched.signing_key,
            serial=stamp.serial,
            made=stamp.made,
            expires=stamp.expires,
            fetched=now,
            checked=now,
            etag=fetched.etag,
            last_modified=fetched.last_modified,
            signature=fetched.signature,
        )
        context.report(len(fetched.document), len(fetched.document), stage="install")
        # whoever cancels the job now comes too late: what is on the disk and what is in force are to be the same
        self._installing = asyncio.ensure_future(self._put_in_force(fetched.document, record))
        changes = await asyncio.shield(self._installing)
        context.note(
            f"serial {record.serial}, signed by {record.fingerprint}: {len(changes.added)} new,"
            f" {len(changes.changed)} changed, {len(changes.removed)} gone"
        )
        for problem in self._recipes.problems:
            context.note(f"a boot recipe is not used: {clean(problem, MAX_LINE)}")
        return {
            "updated": True,
            "serial": record.serial,
            "expires": record.expires,
            "added": list(changes.added[:MAX_NAMES]),
            "changed": list(changes.changed[:MAX_NAMES]),
            "removed": list(changes.removed[:MAX_NAMES]),
        }

    async def _put_in_force(self, document: bytes, record: Record) -> update.Changes:
        async with self._feeds.loading:
            before = self._catalog.distributions()
            self._catalog.renew(await asyncio.to_thread(self._install, document, record))
        self._changed(Layer.CACHE.value)
        return update.compare(before, self._catalog.distributions())

    async def _same(self, context: JobContext, record: Record, *, etag: str, last_modified: str) -> Mapping[str, Any]:
        """The remote has none newer than the one in force, which is good only while that is fresh."""
        now = int(time.time())
        update.check_clock(now, record.made)
        if record.expires <= now:
            raise update.expired(record.stamp, now)

        def confirm() -> None:
            try:
                self._cache.confirm(record, checked=now, etag=etag, last_modified=last_modified)
            except OSError as error:
                raise host_error(error, f"writing {self._cache.state}") from error

        await asyncio.to_thread(confirm)
        async with self._feeds.loading:
            self._catalog.renew(await asyncio.to_thread(Catalog.load, self._sources))
        context.note(f"serial {record.serial} is the newest")
        return {
            "updated": False,
            "serial": record.serial,
            "expires": record.expires,
            "added": [],
            "changed": [],
            "removed": [],
        }

    def _install(self, document: bytes, record: Record) -> Catalog:
        try:
            self._cache.install(document, record)
        except OSError as error:
            raise host_error(error, f"writing {self._cache.path}") from error
        loaded = Catalog.load(self._sources)
        if loaded.cached is None or loaded.cached.record.sha256 != record.sha256:
            raise FailedError(f"{self._cache.path}: what was written cannot be read back; the log says why")
        self._recipes.follow(loaded.cached)
        return loaded

    async def _fetch(self, context: JobContext, remote: Remote, known: Record | None) -> _Fetched | None:
        request = PairRequest(
            url=remote.url,
            signature_url=remote.signature_url,
            most=MAX_DOCUMENT,
            most_signature=MAX_SIGNATURE,
            etag=known.etag if known else "",
            last_modified=known.last_modified if known else "",
        )

        def progress(now: DownloadProgress) -> None:
            context.report(now.bytes_done, now.bytes_total, stage="fetch")

        with sealed_room("catalogue", MAX_DOCUMENT) as document, sealed_room("signature", MAX_SIGNATURE) as signature:
            pair = await self._transfers.fetch_pair(context.job.id, request, document, signature, progress)
            if not pair.changed:
                return None
            # the other process still holds the descriptors: what is checked is a copy of our own
            return _Fetched(
                os.pread(document, pair.size, 0),
                os.pread(signature, pair.signature_size, 0),
                pair.etag,
                pair.last_modified,
            )

    async def _check(self, remote: Remote, keys: bytes, fetched: _Fetched) -> Vouched:
        try:
            return await self._checker.catalogue(
                fetched.document, fetched.signature, keys, remote.pinned, without_secrets(remote.url)
            )
        except MalformedImageError as error:
            raise ConfigError(f"catalog.update_key: {remote.key}: {error}") from error


@dataclass(frozen=True)
class _Fetched:
    document: bytes
    signature: bytes
    etag: str
    last_modified: str

    def same_as(self, other: _Fetched) -> bool:
        return (self.document, self.signature) == (other.document, other.signature)


def _wishes(job: Job) -> dict[str, Any]:
    """What a job was asked for; one of an older version knows of no feeds."""
    return {"feeds": job.params.get("feeds", False), "ids": list(job.params.get("ids", ()))}


def _title(remote: Remote | None, wishes: Mapping[str, Any]) -> str:
    what = f"the releases of {', '.join(wishes['ids'][:3]) or 'all makers'}" if wishes["feeds"] else ""
    if remote is None:
        return what
    catalogue = f"the catalogue of {_host(remote.url)}"
    return f"{catalogue}, and {what}" if what else catalogue


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""
