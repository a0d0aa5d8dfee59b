"""Images onto a stick while they are still being downloaded.

All of them get their room first. Then the worker takes whatever has come of any of them, and reads back what it has
written while it waits for more, so that almost nothing is left to do when the last byte has come. An image that is
whole gets its name and its entry at once: a stick that is cut, or whose other downloads fail, starts those it has.

What was copied is hashed on the way. When bytes are taken back, because a mirror sent wrong ones, the copying goes back
with them; and where the hash of the whole is wrong, the image is copied once more from the finished file.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from luxusbd.errors import (
    AlreadyExistsError,
    DeviceFailingError,
    LuxusbError,
    NotEnoughSpaceError,
    VerificationError,
)
from luxusbd.stick import beside, copying, layout, places, work
from luxusbd.stick.arriving import Stream
from luxusbd.stick.blockio import ALIGNMENT, finish, in_thread
from luxusbd.stick.early import check_samples, differs, rows, samples
from luxusbd.stick.feeds import Feeds
from luxusbd.stick.filesystem import DataFilesystem, Kind
from luxusbd.stick.isofiles import PARTIAL, Piece, pieces
from luxusbd.stick.model import Manifest, ManifestImage, PartitionRole, SourceImage, StickOrder
from luxusbd.stick.session import Session
from luxusbd.text import size_text

TURN = 32 * 1024 * 1024
"""Bytes of one image before another one may have its turn."""
WORTH = 4 * 1024 * 1024
"""Bytes for which it is worth beginning, while more are to come."""
PATIENCE = 1.0
"""Seconds without anything to do after which it is said that the download is what is waited for."""

NOTHING: Mapping[str, str] = MappingProxyType({})

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lacking:
    """An image that did not get onto the stick."""

    name: str
    reason: LuxusbError


async def take(
    session: Session,
    images: Sequence[ManifestImage],
    feeds: Feeds,
    sequence: Sequence[str] = (),
    instead: Mapping[str, str] = NOTHING,
) -> Sequence[Lacking]:
    """Write images whose bytes come by `feeds`, each with its entry in the menu as soon as it is whole.

    Args:
        session: on the stick, brought in order.
        images: as far as they are known: name, size and sha256 have to be right.
        feeds: what the core tells of them, in their order.
        sequence: names of all new images in the order in which the menu is to have them.
        instead: by the names of new images those of older ones whose places they take, and which go then.

    Returns:
        Those that did not come, with the reason; the others are there.

    Raises:
        LuxusbError: of the stick. What has an entry by then keeps it.
    """
    streams = [Stream(image, feeds.of(number)) for number, image in enumerate(images)]
    return await _Taker(session, streams, feeds, sequence, instead).run()


async def result(session: Session, order: StickOrder, lacking: Sequence[Lacking], written: int = 0) -> dict[str, Any]:
    """What a worker answers whose order may have `streams`; `written` are bytes beside those of images."""
    manifest, _menus = await session.look()
    gone = {one.name for one in lacking}
    written += sum(image.size for image in order.coming if image.name not in gone)
    answer = await work.result(session, manifest, written)
    if not order.streams:
        return answer
    told = [{"name": one.name, "error": one.reason.dbus_name, "message": one.reason.message} for one in lacking]
    return {**answer, "lacking": told}


class _Taker:
    def __init__(
        self,
        session: Session,
        streams: list[Stream],
        feeds: Feeds,
        sequence: Sequence[str],
        instead: Mapping[str, str],
    ) -> None:
        self._session = session
        self._open = streams
        self._feeds = feeds
        self._sequence = tuple(sequence)
        self._instead = instead
        self._lacking: list[Lacking] = []
        self._there: list[Stream] = []
        """Those that have their entries."""
        self._beside: dict[str, SourceImage] = {}
        """Files that start images, written and without an entry, by sha256."""
        self._stage = ("", "")
        self._turns = copying.AtOnce(session.progress.advance)

    async def run(self) -> Sequence[Lacking]:
        try:
            await self._set_aside()
            while self._open:
                if not await self._step():
                    await self._wait()
            # a stick that wraps wrote later bytes over earlier ones that were read back already
            await in_thread(self._look_again)
        except BaseException:
            await finish(self._leave())
            raise
        return self._lacking

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._feeds.wait()
        except TimeoutError:
            self._tell("download", "")
            await self._feeds.wait()

    async def _set_aside(self) -> None:
        """Give every image its room, so that what does not fit is known before the first byte."""
        room = self._session.room
        present = {name.lower() for name in await room.names("/iso")}
        for stream in self._open:
            if stream.image.name.lower() in present:
                raise AlreadyExistsError(
                    f"a file {stream.image.name} is on the stick already and does not belong to it; rename or delete"
                    " it, or rescan the stick to give it an entry"
                )
        for stream in self._open:
            await in_thread((await room.allocate(stream.path, stream.image.size)).close)
        # only on the medium it can be seen where the bytes will lie
        await room.checkpoint()
        rooms = await in_thread(self._session.on_medium, self._rooms)
        for stream in self._open:
            stream.parts = rooms[stream.path]
        self._session.after_step("streams-set-aside")

    def _rooms(self, filesystem: DataFilesystem) -> dict[str, tuple[Piece, ...]]:
        return {
            stream.path: tuple(pieces(filesystem.extents(stream.path), filesystem.block_size, stream.image.size))
            for stream in self._open
        }

    async def _step(self) -> bool:
        """Do the most urgent thing; whether there was any."""
        for stream in self._open:
            if stream.feed.failure is not None:
                await self._give_up(stream, stream.feed.failure)
                return True
            floor = stream.feed.take_floor()
            if floor is not None:
                self._back(stream, floor)
        ready = [stream for stream in self._open if stream.complete]
        landing = [stream for stream in self._open if stream.landing]
        if ready or landing:
            # images that can be started are worth more than a part of another one
            behind = next((stream for stream in (*ready, *landing) if stream.unproven), None)
            if behind is not None:
                await self._read_back(behind)
            else:
                await (self._finish(ready) if ready else self._land(landing))
            return True
        fullest = max(self._open, key=lambda stream: stream.waiting)
        if fullest.waiting >= WORTH or (fullest.waiting > 0 and (fullest.feed.whole or fullest.feed.ended)):
            await self._copy(fullest)
            return True
        behind = max(self._open, key=lambda stream: stream.unproven)
        if behind.unproven >= WORTH:
            await self._read_back(behind)
            return True
        return False

    async def _copy(self, stream: Stream) -> None:
        self._tell("write-image", stream.image.name)
        if stream.sink is None:
            stream.sink = await self._session.room.reopen(stream.path, stream.image.size)
        begin = stream.written.position
        end = begin + min(TURN, stream.waiting)
        if end < stream.image.size:
            # whole pages go past the page cache
            end = end // ALIGNMENT * ALIGNMENT
        source, hashers = copying.FileSource(stream.feed.fd), [stream.written.update]
        try:
            await copying.copy(source, stream.sink, [(begin, end - begin)], hashers, self._turns)
        except VerificationError as error:
            # cut by the process that downloads, which tells of it; a finished file is cut by nobody
            stream.feed.available = min(stream.feed.available, begin)
            self._back(stream, begin)
            if stream.feed.whole or stream.feed.ended:
                await self._give_up(stream, error)
                return
        stream.tell_reached()
        self._session.after_step(f"streamed {stream.image.name}")

    async def _read_back(self, stream: Stream) -> None:
        if stream.complete or stream.landing:
            # in between it takes turns with the writing, many times a second
            self._tell("read-back", stream.image.name)
        begin = stream.proven.position
        end = begin + min(TURN, stream.unproven)
        if end < stream.image.size:
            # a sector that is only half written is not read
            end = max(begin, end // ALIGNMENT * ALIGNMENT)
        base = self._session.layout.partition(PartitionRole.DATA).start
        parts = stream.lying(begin, end)
        chunks = copying.chunks(parts)

        def look(data: memoryview) -> None:
            at = stream.proven.position
            stream.proven.update(data)
            place, _count = next(chunks)
            if place is not None:
                first = base + place
                for sample in samples(data, first):
                    stream.samples.append((at + sample.place - first + ALIGNMENT, sample))

        with self._session.medium() as medium:
            await copying.look_through(medium, base, parts, look, self._turns)

    def _look_again(self) -> None:
        with self._session.medium() as medium:
            for stream in self._there:
                check_samples(medium, stream.image.name, (sample for _end, sample in stream.samples))

    def _back(self, stream: Stream, offset: int) -> None:
        taken = stream.back(offset)
        if taken:
            log.info("%s: %d bytes are written again from byte %d on", stream.image.name, taken, offset)
            self._session.progress.advance(-taken)

    async def _land(self, landing: Sequence[Stream]) -> None:
        """Bring images that passed through to the medium, where they can be looked at."""
        await self._close_sinks()
        for stream in landing:
            await self._session.room.complete(stream.path)
        await self._session.room.checkpoint()
        for stream in landing:
            stream.feed.land()
            self._session.after_step(f"stream-landed {stream.image.name}")

    async def _finish(self, ready: Sequence[Stream]) -> None:
        """Give images that are whole their entries, with one commit for all of them."""
        right = [stream for stream in ready if await self._is_right(stream)]
        if right:
            await self._close_sinks()
            await self._give_entries([stream for stream in right if await self._has_what_starts_it(stream)])

    async def _is_right(self, stream: Stream) -> bool:
        """Whether an image is what it should be; else it is copied once more, or left out.

        Raises:
            VerificationError: the medium gives back something else than it got.
        """
        source = stream.feed.whole[0]
        digests = stream.written.digests()
        if source.image.sha256 != stream.image.sha256 or source.image.size != stream.image.size:
            error = VerificationError(f"{stream.image.name}: what was downloaded is not the image that was planned")
            await self._give_up(stream, error)
            return False
        if digests["sha256"] != source.image.sha256:
            if not stream.again and source.fd >= 0:
                stream.again = True
                self._back(stream, 0)
                return False
            error = VerificationError(
                f"{stream.image.name}: the file's sha256 is {digests['sha256']} and should be {source.image.sha256};"
                " download it again"
            )
            await self._give_up(stream, error)
            return False
        if stream.proven.digests() != digests:
            raise differs(stream.image.name)
        return True

    async def _has_what_starts_it(self, stream: Stream) -> bool:
        """Write the files that start an image, whose size was not known before; without room the image is left out."""
        session = self._session
        manifest, _menus = await session.look()
        extra = [
            one for one in beside.to_write(manifest, stream.feed.whole[1:]) if one.image.sha256 not in self._beside
        ]
        if extra:
            needed = layout.bytes_needed([one.image.size for one in extra], Kind(manifest.options.filesystem))
            if needed - layout.RESERVE // 2 > (free := await session.free_bytes()):
                what = f"what starts {stream.image.name} needs {size_text(needed)}"
                await self._give_up(stream, NotEnoughSpaceError(f"{what} and the stick has {size_text(free)} left"))
                return False
            await session.add(extra)
            self._beside.update({one.image.sha256: one for one in extra})
        return True

    async def _give_entries(self, streams: Sequence[Stream]) -> None:
        session = self._session
        if not streams:
            return
        await session.room.checkpoint()
        rooms = await in_thread(session.on_medium, self._rooms)
        for stream in streams:
            if rows(rooms[stream.path]) != rows(stream.parts):
                raise DeviceFailingError(f"{stream.image.name} lies elsewhere on the medium than it was written")
        added = [*(stream.feed.whole[0] for stream in streams), *self._beside.values()]
        manifest, _menus = await session.look()
        coming = [one.image for one in added]
        replaced = [self._instead[image.name] for image in coming if image.name in self._instead]
        stale = beside.unneeded(self._listed_with(manifest, coming)) if replaced else ()
        going = (*replaced, *stale)
        await session.publish(added, going)
        self._beside.clear()
        # a name is a change of its file too: one after `added` would have a rescan read the whole image
        now = int(time.time())
        new = tuple(dataclasses.replace(image, added=image.added or now) for image in coming)
        images = tuple(image for image in self._listed_with(manifest, new) if image.name not in stale)
        await work.commit(session, dataclasses.replace(manifest, images=images), new)
        await session.settle(going)
        for stream in streams:
            self._open.remove(stream)
            self._there.append(stream)
            session.after_step(f"stream-finished {stream.image.name}")

    def _listed_with(self, manifest: Manifest, new: Sequence[ManifestImage]) -> tuple[ManifestImage, ...]:
        """The images of the stick with these at their places."""
        taking = {self._instead[image.name]: image for image in new if image.name in self._instead}
        behind = [image for image in new if image.name not in self._instead]
        return places.in_sequence(places.put(manifest.images, taking, behind), self._sequence)

    async def _give_up(self, stream: Stream, reason: LuxusbError) -> None:
        log.warning("%s does not get onto the stick: %s", stream.image.name, reason)
        await self._close_sinks()
        await self._session.room.remove(stream.path)
        self._open.remove(stream)
        self._lacking.append(Lacking(stream.image.name, reason))
        self._session.after_step(f"stream-given-up {stream.image.name}")

    async def _close_sinks(self) -> None:
        """Let go of all files, so that a filesystem can be unmounted."""
        for stream in self._open:
            if stream.sink is not None:
                sink, stream.sink = stream.sink, None
                await in_thread(sink.close)

    async def _leave(self) -> None:
        try:
            await self._close_sinks()
            for path in (*(stream.path for stream in self._open), *map(_partial, self._beside.values())):
                await self._session.room.remove(path)
        except LuxusbError as error:
            # what made the job fail is more telling; the next job clears away what is left
            log.warning("partial images stay until the next job on the stick: %s", error)

    def _tell(self, stage: str, note: str) -> None:
        if self._stage != (stage, note):
            # the note stands in the job's history, which images that take turns would fill
            self._session.progress.stage(stage, note if stage == "write-image" else "")
            self._stage = (stage, note)


def _partial(source: SourceImage) -> str:
    return f"/iso/{source.image.name}{PARTIAL}"
