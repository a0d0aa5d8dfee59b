"""Work on the data partition of one stick, in an order that leaves a stick that boots wherever it is cut.

GRUB replays no journal, so what the next step relies on is first brought in place by `checkpoint`. Of the two menus
only the one that GRUB does not use is written.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from luxusbd.errors import AlreadyExistsError, DeviceChangedError, LuxusbError, VerificationError
from luxusbd.stick import beside, copying, menu, reader, sums
from luxusbd.stick import manifest as manifests
from luxusbd.stick.blockio import MediumReader, finish, in_thread
from luxusbd.stick.duplex import Duplex
from luxusbd.stick.early import EarlyReading, differs
from luxusbd.stick.filesystem import DataFilesystem
from luxusbd.stick.isofiles import PARTIAL, PENDING, Piece, pending, pieces
from luxusbd.stick.model import FREE_PACE, Layout, Manifest, ManifestImage, Pace, PartitionRole, SourceImage
from luxusbd.stick.progress import Progress
from luxusbd.stick.room import DataRoom, Sink
from luxusbd.stick.text import IMAGE_NAME

T = TypeVar("T")
AfterStep = Callable[[str], None]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """One job's view of one stick; `room` is open."""

    fd: int
    layout: Layout
    room: DataRoom
    progress: Progress
    after_step: AfterStep
    pace: Pace = FREE_PACE

    def medium(self) -> MediumReader:
        """The medium itself, past the page cache."""
        return MediumReader(self.fd)

    async def look(self) -> tuple[Manifest, reader.Menus]:
        """Manifest and menus as they are on the medium."""

        def read() -> tuple[Manifest, reader.Menus]:
            with self.medium() as medium:
                filesystem = reader.open_data(medium.read_at, self.layout)
                return reader.load_manifest(filesystem), reader.load_menus(filesystem)

        return await in_thread(read)

    async def free_bytes(self) -> int:
        """Free bytes of the data partition as of the last checkpoint."""
        return await in_thread(self.on_medium, lambda filesystem: filesystem.free_bytes())

    async def heal(self, manifest: Manifest, keep: Collection[str] = ()) -> tuple[str, ...]:
        """Finish or undo what a job that was cut has left; the names in /iso that it removed.

        Files in /iso that `keep` names stay, also when such a job announced them.
        """
        changed = False
        names = await self.room.names("/luxusb")
        if manifests.NEW_PATH.rsplit("/", 1)[1] in names:
            # it may be the only copy: the one that counts has to be in place before another new one is written
            if await in_thread(self._in_place, manifest):
                await self.room.remove(manifests.NEW_PATH)
            else:
                await self.room.publish(manifests.NEW_PATH, manifests.PATH)
            changed = True
        known = {image.name for image in manifest.images} | set(keep)
        present = await self.room.names("/iso")
        # a stranger's file may have any name; ours have good ones
        leftovers = [name for name in present if name.endswith(PARTIAL) and IMAGE_NAME.match(name)]
        if PENDING.rsplit("/", 1)[1] in names:
            cut = await in_thread(self.on_medium, pending)
            leftovers += [name for name in present if name in cut and name not in known]
        for name in leftovers:
            log.info("removing %s, left by a job that was cut", name)
            await self.room.remove(f"/iso/{name}")
            changed = True
        await self.room.remove(PENDING)
        if changed:
            await self.room.checkpoint()
        self.after_step("healed")
        return tuple(leftovers)

    async def add(self, sources: Sequence[SourceImage]) -> None:
        """Write images beside what is there, and compare them with their hashes on the way in and on the medium.

        Nothing names them yet afterwards. On failure or cancellation they are gone again.

        Raises:
            VerificationError: a source, or what the medium gives back, is not what it should be.
            AlreadyExistsError: a file of that name lies in /iso already.
        """
        present = {name.lower() for name in await self.room.names("/iso")}
        for source in sources:
            if source.image.name.lower() in present:
                raise AlreadyExistsError(
                    f"a file {source.image.name} is on the stick already and does not belong to it; rename or delete"
                    " it, or rescan the stick to give it an entry"
                )
        try:
            for source in await self._write(sources):
                self.progress.stage("read-back", source.image.name)
                await self._read_back(_partial(source), source)
            self.after_step("images-read-back")
        except BaseException:
            await finish(self._drop([source.image.name + PARTIAL for source in sources]))
            raise

    async def publish(self, sources: Sequence[SourceImage], leaving: Sequence[str] = ()) -> None:
        """Give written images their names; `leaving` are names in /iso that are to go with the next commit."""
        await self.announce([*(source.image.name for source in sources), *leaving])
        for source in sources:
            name = source.image.name
            await self.room.publish(f"/iso/{name}{PARTIAL}", f"/iso/{name}")
            self.after_step(f"image-named {name}")

    async def announce(self, names: Sequence[str]) -> None:
        """Note which names in /iso are about to come or go."""
        await self.room.write_small(PENDING, "".join(f"{name}\n" for name in names).encode("ascii"))
        self.after_step("announced")

    async def check_found(self, images: Sequence[ManifestImage]) -> None:
        """Make sure that files which were looked at before are still the same.

        Raises:
            DeviceChangedError: one is gone, or was changed after its `added`.
        """

        def check(filesystem: DataFilesystem) -> None:
            for image in images:
                inode = filesystem.lookup(f"/iso/{image.name}")
                if inode is None or not inode.is_file or inode.size != image.size or inode.changed > image.added:
                    raise DeviceChangedError(f"{image.name} was changed while it was looked at; rescan the stick again")

        await in_thread(self.on_medium, check)
        self.after_step("found-checked")

    async def settle(self, leaving: Sequence[str] = ()) -> None:
        """All that was announced is done, once these in /iso are gone."""
        for name in leaving:
            await self.room.remove(f"/iso/{name}")
            self.after_step(f"image-removed {name}")
        await self.room.remove(PENDING)
        self.after_step("settled")

    async def commit(self, manifest: Manifest, inactive: str, added: Sequence[ManifestImage] = ()) -> None:
        """Write manifest and menu, and read both back from the medium.

        Args:
            manifest: the new one, with its generation above that of both menus.
            inactive: path of the menu that GRUB does not need now.
            added: images that have to be whole now; older ones may be damaged, and do not hinder the job.

        Raises:
            VerificationError: the medium gives something else back.
        """
        self.progress.stage("menu")
        document = manifests.encode(manifest)
        text = menu.render(manifest).encode()
        shown = beside.shown(manifest.images)
        present = await self.room.names(sums.DIRECTORY)
        lists = sums.missing(shown, present)
        for path, line in lists.items():
            await self.room.write_small(path, line)
        await self.room.write_small(manifests.NEW_PATH, document)
        self.after_step("manifest-written")
        await self.room.write_small(inactive, text)
        self.after_step("menu-written")
        await self.room.checkpoint()
        self.after_step("menu-checkpoint")
        for path, data in ((manifests.NEW_PATH, document), (inactive, text), *lists.items()):
            if await in_thread(self._small, path, len(data)) != data:
                raise VerificationError(f"{path} read back from the medium differs: the stick is defective")
        await in_thread(self.on_medium, lambda filesystem: _all_whole(filesystem, added))
        # only a matter of names now: with the complete menu the new manifest counts already
        await self.room.publish(manifests.NEW_PATH, manifests.PATH)
        self.after_step("manifest-named")
        for path in sums.stale(shown, present):
            await self.room.remove(path)
        self.after_step("committed")

    async def _write(self, sources: Sequence[SourceImage]) -> Sequence[SourceImage]:
        """Write images, and read those back already for which there is time; the others."""
        duplex = Duplex(self.progress.advance, self.progress.advance)
        early = EarlyReading(self.fd, self.layout.partition(PartitionRole.DATA).start, duplex)
        origins = [copying.source_of(source) for source in sources]
        places: Mapping[str, tuple[Piece, ...]] = {}
        if several := len(sources) > 1:
            # only on the medium it can be seen where they will lie
            for source in sources:
                await in_thread((await self._allocate(source)).close)
            await self.room.checkpoint()
            self.after_step("images-set-aside")
            places = await in_thread(self.on_medium, lambda filesystem: _places(filesystem, sources))
        async with copying.together() as group:
            group.create_task(early.run())
            for source, origin in zip(sources, origins, strict=True):
                path, size = _partial(source), source.image.size
                sink = await (self.room.reopen(path, size) if several else self._allocate(source))
                await self._write_image(source, origin, sink, duplex.writing)
                self.after_step(f"image-written {source.image.name}")
                if source is not sources[-1]:
                    early.add(source, places[source.image.name])
            early.stop()
            await self.room.checkpoint()
            self.after_step("images-checkpoint")
        if several:
            places = await in_thread(self.on_medium, lambda filesystem: _places(filesystem, sources))
        proven = await early.check(places)
        return [source for source in sources if source.image.name not in proven]

    async def _allocate(self, source: SourceImage) -> Sink:
        return await self.room.allocate(_partial(source), source.image.size)

    async def _write_image(self, source: SourceImage, origin: copying.Source, sink: Sink, turns: copying.Turns) -> None:
        image = source.image
        self.progress.stage("write-image", image.name)
        expected = {"sha256": image.sha256} | ({"sha512": source.sha512} if source.sha512 else {})
        hashers = {name: hashlib.new(name) for name in expected}
        updates = [hasher.update for hasher in hashers.values()]
        try:
            await copying.copy(copying.Paced(origin, self.pace), sink, [(0, image.size)], updates, turns)
        finally:
            await in_thread(sink.close)
        for name, hasher in hashers.items():
            if hasher.hexdigest() != expected[name]:
                raise VerificationError(
                    f"{image.name}: the file's {name} is {hasher.hexdigest()} and should be {expected[name]}; "
                    "download or import it again"
                )

    async def _read_back(self, path: str, source: SourceImage) -> None:
        found = await copying.hash_file(self.fd, self.layout, path, source.image.size, self.progress)
        if found != source.image.sha256:
            raise differs(source.image.name)

    async def _drop(self, names: Sequence[str]) -> None:
        try:
            for name in names:
                await self.room.remove(f"/iso/{name}")
        except LuxusbError as error:
            # what made the job fail is more telling; the next job clears away what is left
            log.warning("partial images stay until the next job on the stick: %s", error)

    def _small(self, path: str, limit: int) -> bytes | None:
        return self.on_medium(lambda filesystem: filesystem.read_file(path, limit))

    def _in_place(self, manifest: Manifest) -> bool:
        """Whether the manifest that counts has its name."""

        def whole(filesystem: DataFilesystem) -> bool:
            data = filesystem.read_file(manifests.PATH, manifests.LIMIT)
            return data is not None and manifests.decode(data) == manifest

        try:
            return self.on_medium(whole)
        except LuxusbError:
            return False

    def on_medium(self, look: Callable[[DataFilesystem], T]) -> T:
        """What `look` says of the data filesystem as it is on the medium; blocks."""
        with self.medium() as medium:
            return look(reader.open_data(medium.read_at, self.layout))


def _partial(source: SourceImage) -> str:
    return f"/iso/{source.image.name}{PARTIAL}"


def _places(filesystem: DataFilesystem, sources: Sequence[SourceImage]) -> dict[str, tuple[Piece, ...]]:
    """Where images that are not finished lie on the data partition, by their names."""
    return {
        source.image.name: tuple(pieces(filesystem.extents(_partial(source)), filesystem.block_size, source.image.size))
        for source in sources
    }


def _all_whole(filesystem: DataFilesystem, images: Sequence[ManifestImage]) -> None:
    for image in images:
        inode = filesystem.lookup(f"/iso/{image.name}")
        if inode is None or inode.size != image.size:
            raise VerificationError(f"{image.name} is not whole on the medium: verify the stick, then add it again")
        extents = filesystem.extents(f"/iso/{image.name}")
        if not all(piece.initialised for piece in pieces(extents, filesystem.block_size, image.size)):
            raise VerificationError(f"{image.name} is only reserved on the medium, not written: the stick is defective")
