"""Room in the image store: what running jobs were promised, and what has to give way for them.

One lock orders all promises, so that the same bytes are never promised twice. What a job was promised and has not
written yet counts as taken; what it has written is on the disk and counts there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from luxusbd.errors import ImageNotFoundError, NotEnoughSpaceError
from luxusbd.images.keeping import ROOT, Holding, Kind, Limits, Need, Situation, charged_to, make_room
from luxusbd.images.model import StoredImage
from luxusbd.images.sidecar import Record
from luxusbd.images.store import ImageStore
from luxusbd.jobs import partials
from luxusbd.jobs.holds import Holds
from luxusbd.jobs.model import Operation
from luxusbd.jobs.running import JobContext
from luxusbd.text import size_text
from luxusbd.transfer.partfile import PartBusyError

log = logging.getLogger(__name__)


@dataclass
class Promise:
    """Room for one file, as long as its job runs."""

    uid: int
    size: int
    """Bytes of the whole file."""
    content: str = ""
    """Names a download (`Release.content`), whose files are in the incoming directory."""
    place: Path | None = None
    """Where anything else is written."""


class Room:
    """Grants room, and makes it."""

    def __init__(self, store: ImageStore, holds: Holds, limits: Limits, *, incoming: Path) -> None:
        self._store = store
        self._holds = holds
        self._limits = limits
        self._incoming = incoming
        self._lock = asyncio.Lock()
        self._promises: list[Promise] = []

    @contextlib.asynccontextmanager
    async def promised(
        self, context: JobContext, size: int, *, content: str = "", place: Path | None = None
    ) -> AsyncIterator[Promise]:
        """Room for a file of `size` bytes (0: nobody knows) until the block ends, made first when there is none.

        Name a download by its `Release.content`, and the file that anything else is written to by `place`. What is
        there of it already needs no room again.

        Raises:
            NotEnoughSpaceError: there is none, and none can be made; the text says what holds it.
        """
        # of no size at first: it keeps what is there of its own file from making room for the rest
        promise = Promise(context.job.owner_uid, 0, content, place)
        self._promises.append(promise)
        try:
            async with self._lock:
                missing = max(0, size - await self._written(promise))
                await self._remove_for(Need(promise.uid, missing), context.note)
                promise.size = size
            yield promise
        finally:
            self._promises.remove(promise)

    async def store(
        self, context: JobContext, promise: Promise, size: int, move: Callable[[], StoredImage]
    ) -> StoredImage:
        """Let `move`, which runs in a thread, take the written file of `size` bytes into the store.

        Raises:
            NotEnoughSpaceError: it is larger than what was promised, and a quota has no room for that.
            LuxusbError: as `move`.
        """
        async with self._lock:
            if size > promise.size:
                promise.size = size
                await self._remove_for(Need(promise.uid, 0, written=True), context.note)
            image = await asyncio.to_thread(move)
            # from here on it counts as an image
            promise.size = 0
            return image

    async def check(self, uid: int, size: int) -> None:
        """Find out whether a file of `size` bytes could have room, without making any.

        Raises:
            NotEnoughSpaceError: it could not.
        """
        async with self._lock:
            make_room(Need(uid, size), await self.situation(), self._limits)

    async def check_pin(self, uid: int, sha256: str) -> None:
        """Find out whether an image may count for a user who wants to pin it.

        Raises:
            NotEnoughSpaceError: his quota has no room for it.
        """
        async with self._lock:
            now = await self.situation()
        quota = self._limits.quota_per_user
        wanted = next((one for one in now.holdings if one.key == sha256 and one.kind is not Kind.PARTIAL), None)
        if wanted is None or not quota or uid == ROOT or uid in wanted.charged:
            return
        counted = charged_to(uid, now)
        if counted + wanted.size > quota:
            raise NotEnoughSpaceError(
                f"a pinned image counts for your quota of {size_text(quota)} ([images] quota_per_user), of which"
                f" {size_text(counted)} are taken, and it has {size_text(wanted.size)}; delete or unpin another image"
            )

    async def situation(self) -> Situation:
        """What takes the space at this moment."""
        held = {hold.content for hold in self._holds.all()} | {promise.content for promise in self._promises}
        owners: dict[str, set[int]] = {}
        for hold in self._holds.all():
            if hold.job is not None and hold.job.operation is Operation.DOWNLOAD:
                owners.setdefault(hold.content, set()).add(hold.uid)
        for promise in self._promises:
            owners.setdefault(promise.content, set()).add(promise.uid)
        return await asyncio.to_thread(self._look, tuple(self._promises), held, owners)

    def _look(self, promises: Collection[Promise], held: Collection[str], owners: dict[str, set[int]]) -> Situation:
        found = partials.scan(self._incoming)
        sizes = {part.content: part.size for part in found}
        holdings = [_holding(record, held) for record in self._store.records()]
        holdings += [
            Holding(
                part.content,
                Kind.PARTIAL,
                part.size,
                part.changed,
                in_use=part.content in held,
                charged=frozenset(owners.get(part.content, ())),
            )
            for part in found
        ]
        holdings += [Holding(orphan.sha256, Kind.ORPHAN, orphan.size, 0) for orphan in self._store.orphans()]
        promised: dict[int, int] = {}
        for promise in promises:
            if promise.place is not None:
                written = partials.allocated(promise.place)
                holdings.append(
                    Holding(str(promise.place), Kind.PARTIAL, written, 0, in_use=True, charged=frozenset({promise.uid}))
                )
            else:
                written = sizes.get(promise.content, 0)
            promised[promise.uid] = promised.get(promise.uid, 0) + max(0, promise.size - written)
        # the filesystem is asked last: what is written meanwhile counts twice then, and not never
        return Situation(tuple(holdings), promised, self._store.free_bytes())

    async def _written(self, promise: Promise) -> int:
        """What an earlier run has left of a download."""
        if not promise.content:
            return 0
        found = await asyncio.to_thread(partials.scan, self._incoming)
        return sum(part.size for part in found if part.content == promise.content)

    async def _remove_for(self, need: Need, note: Callable[[str], None]) -> None:
        stuck: set[str] = set()
        while True:
            now = await self.situation()
            holdings = tuple(replace(one, in_use=True) if one.key in stuck else one for one in now.holdings)
            going = make_room(need, replace(now, holdings=holdings), self._limits)
            if not going:
                return
            # one after the other, and looked at anew: what is still open somewhere gives its space back later, and a
            # plan may have been made meanwhile
            try:
                await self._remove(going[0], need.uid, note)
            except PartBusyError:
                stuck.add(going[0].key)

    async def _remove(self, one: Holding, uid: int, note: Callable[[str], None]) -> None:
        if any(hold.content == one.key for hold in self._holds.all()):
            return  # since we looked
        if one.kind is Kind.PARTIAL:
            await partials.remove(self._incoming, one.key)
            text = f"removed an unfinished download ({size_text(one.size)}) to make room"
        else:
            image = self._store.held(uid, one.key)
            try:
                withdrawn = self._store.withdraw(one.key)
            except ImageNotFoundError:
                return  # somebody deleted it in this moment
            await asyncio.to_thread(self._store.discard, withdrawn)
            name = image.name if image is not None else "an image that another user imported"
            text = f"removed {name} ({size_text(one.size)}) to make room"
        note(text)
        log.info("%s: %s", text, one.key)


def _holding(record: Record, held: Collection[str]) -> Holding:
    return Holding(
        record.sha256,
        Kind.IMPORT if record.imported_by else Kind.IMAGE,
        record.size,
        record.last_used,
        pinned=bool(record.pins),
        in_use=record.sha256 in held,
        charged=record.charged,
    )
