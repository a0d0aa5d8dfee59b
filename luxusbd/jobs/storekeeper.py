"""Keeping the image store: listing, pinning, deleting, and removing what nobody needs any more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from pathlib import Path

from luxusbd.catalog.catalog import Catalog, reference_to
from luxusbd.errors import ImageInUseError, ImageNotFoundError, ImagePinnedError, LuxusbError
from luxusbd.images.model import StoredImage
from luxusbd.images.sidecar import ROOT, Record
from luxusbd.images.store import ImageStore
from luxusbd.jobs import partials
from luxusbd.jobs.downloadwords import release_title
from luxusbd.jobs.holds import Holds, reason
from luxusbd.jobs.planning import Planner
from luxusbd.jobs.room import Room
from luxusbd.jobs.views import Caller, ImageView, Pruned, PrunedKind, PruneOptions
from luxusbd.text import size_text

DAY = 86400

log = logging.getLogger(__name__)


class StoreKeeper:
    """What callers do with stored images, apart from filling the store."""

    def __init__(
        self,
        store: ImageStore,
        catalog: Catalog,
        planner: Planner,
        holds: Holds,
        room: Room,
        *,
        incoming: Path,
        keep_partial: int,
    ) -> None:
        """`keep_partial` is in days, 0 for ever."""
        self._store = store
        self._catalog = catalog
        self._planner = planner
        self._holds = holds
        self._room = room
        self._incoming = incoming
        self.keep_partial = keep_partial
        self.adopting = False
        """Whether images without a description are being looked at; they are no orphans yet."""

    async def images(self, caller: Caller) -> tuple[ImageView, ...]:
        """The images that the caller may see."""
        uid = caller.uid
        records = {record.sha256: record for record in await asyncio.to_thread(self._store.records)}
        found = []
        for image in await asyncio.to_thread(self._store.list, uid):
            genuine = self._catalog.find_by_hash(image.sha256, sha512=image.sha512)
            record = records.get(image.sha256)
            public = record is not None and record.public
            owners = len(record.imported_by | record.requested_by) if record is not None and uid == ROOT else None
            found.append(
                ImageView(
                    image,
                    release_title(*genuine) if genuine else "",
                    bool(self._holds.of(image.sha256, uid, public=public)),
                    reference_to(*genuine) if genuine else "",
                    owners,
                )
            )
        return tuple(found)

    async def pin(self, caller: Caller, sha256: str, pinned: bool) -> None:
        """Keep an image, or let go of it.

        Raises:
            ImageNotFoundError: there is none that the caller may see.
            NotEnoughSpaceError: his quota has no room for it.
        """
        await asyncio.to_thread(self._store.get, caller.uid, sha256)
        if pinned:
            await self._room.check_pin(caller.uid, sha256)
        await asyncio.to_thread(self._store.pin, caller.uid, sha256, pinned)

    async def delete(self, caller: Caller, sha256: str) -> None:
        """Take an image out of the caller's view.

        His own plans with the image expire: he has changed his mind. A job that needs it refuses.

        Raises:
            ImageNotFoundError: there is none that the caller may see.
            ImageInUseError: with the job or the plan that needs it.
            ImagePinnedError: somebody wants it kept.
        """
        uid = caller.uid
        held_by, tokens = self._needed(uid, sha256)
        await asyncio.to_thread(self._store.delete, uid, sha256, held_by)
        for token in tokens:
            self._planner.drop(token)

    async def prune(self, caller: Caller, options: PruneOptions) -> tuple[Pruned, ...]:
        """Remove what can be had again, and with `imports` the caller's own imports too; the least recently used first.

        Pinned images and those in use stay, and what cannot be removed is left out of the answer and logged.
        """
        before = time.time() - options.older_than
        wanted = [
            one
            for one in await self._removable(caller.uid, imports=options.imports)
            if (one.last_used <= before) and (not options.only or one.sha256 in options.only)
        ]
        wanted.sort(key=lambda one: (one.last_used, one.kind, one.sha256))
        if options.dry_run:
            return tuple(wanted)
        gone = []
        for one in wanted:
            try:
                await self._remove(caller.uid, one)
            except (ImageInUseError, ImageNotFoundError):
                continue  # used, pinned or gone in this moment
            except LuxusbError as error:
                log.warning("%s stays: %s", one.name, error)
                continue
            log.info("removed %s (%s) for uid %d", one.name, size_text(one.size), caller.uid)
            gone.append(one)
        return tuple(gone)

    async def clean_partials(self) -> None:
        """Remove unfinished downloads that no job has touched for too long."""
        if not self.keep_partial:
            return
        before = time.time() - self.keep_partial * DAY
        for part in await asyncio.to_thread(partials.scan, self._incoming):
            if part.changed > before or self._held(part.content):
                continue
            try:
                await partials.remove(self._incoming, part.content)
            except LuxusbError as error:
                log.warning("an old unfinished download stays: %s", error)
            else:
                log.info("removed an unfinished download of %d days (%s)", self.keep_partial, size_text(part.size))

    def _needed(self, uid: int, sha256: str) -> tuple[str, tuple[str, ...]]:
        """Why an image cannot go, or empty; and the plans that go with it."""
        record = self._record(sha256)
        holds = self._holds.of(sha256, uid, public=record is not None and record.public)
        own = [hold.plan.token for hold in holds if hold.plan is not None and uid in (hold.uid, ROOT)]
        others = [hold for hold in holds if hold.plan is None or hold.plan.token not in own]
        return reason(others[0], uid) if others else "", tuple(own)

    def _record(self, sha256: str) -> Record | None:
        return next((record for record in self._store.records() if record.sha256 == sha256), None)

    def _held(self, content: str) -> bool:
        return any(hold.content == content for hold in self._holds.all())

    async def _removable(self, uid: int, *, imports: bool) -> list[Pruned]:
        parts = await asyncio.to_thread(partials.scan, self._incoming)
        orphans = await asyncio.to_thread(self._store.orphans) if uid == ROOT and not self.adopting else ()
        # jobs and plans belong to the loop: they are asked here, and not in a thread
        found = list(self._removable_images(uid, imports=imports))
        held = {hold.content for hold in self._holds.all()}
        for part in parts:
            known = self._catalog.find_by_content({part.content}, uid)
            # what nobody's catalogue names any more may be another user's own: root alone is told of it
            if part.content in held or (known is None and uid != ROOT):
                continue
            reference, name = (reference_to(*known), release_title(*known)) if known else ("", part.content)
            found.append(Pruned(PrunedKind.PARTIAL, part.content, reference, name, part.size, part.changed))
        return found + [
            Pruned(PrunedKind.ORPHAN, orphan.sha256, "", orphan.path.name, orphan.size, 0) for orphan in orphans
        ]

    def _removable_images(self, uid: int, *, imports: bool) -> Iterator[Pruned]:
        for record in self._store.records():
            image = record.seen_by(uid)
            if image is None or not self._may_prune(uid, record, imports=imports):
                continue
            imported = bool(record.imported_by) if uid == ROOT else uid in record.imported_by
            kind = PrunedKind.IMPORT if imported else PrunedKind.IMAGE
            yield _pruned(kind, image)

    def _may_prune(self, uid: int, record: Record, *, imports: bool) -> bool:
        mine = record.imported_by if uid == ROOT else record.imported_by & {uid}
        if mine and not imports:
            return False
        # of bytes that only others imported too, their pins are nobody's business
        pins = record.pins if record.public or uid == ROOT else record.pins & {uid, ROOT}
        return not pins and not self._holds.of(record.sha256, uid, public=record.public)

    async def _remove(self, uid: int, one: Pruned) -> None:
        if one.kind is PrunedKind.ORPHAN:
            await asyncio.to_thread(self._store.remove_orphan, one.sha256)
        elif one.kind is PrunedKind.PARTIAL:
            if self._held(one.sha256):
                raise ImageInUseError(f"{one.name} is being downloaded")
            await partials.remove(self._incoming, one.sha256)
        else:
            record = self._record(one.sha256)
            if record is None or not self._may_prune(uid, record, imports=one.kind is PrunedKind.IMPORT):
                raise ImagePinnedError(f"{one.name} is needed")
            await asyncio.to_thread(self._store.delete, uid, one.sha256)


def _pruned(kind: PrunedKind, image: StoredImage) -> Pruned:
    return Pruned(kind, image.sha256, image.reference, image.name, image.size, image.last_used)
