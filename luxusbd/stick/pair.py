"""A data partition and its companion as one: images lie in /iso of either, everything else on the first.

Room and filesystem both say and take paths as if there were one /iso. What the filesystem says of places is counted
from the start of the data partition, behind which the companion lies.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from luxusbd.errors import InternalError, MalformedImageError
from luxusbd.stick.blockio import ReadAt
from luxusbd.stick.clusters import SECTOR
from luxusbd.stick.ext4 import Ext4
from luxusbd.stick.filesystem import DataFilesystem, Extent, Kind, Node
from luxusbd.stick.fsck import Mended
from luxusbd.stick.isofiles import DIRECTORY, PARTIAL
from luxusbd.stick.model import Manifest, PartitionRole
from luxusbd.stick.persistence import COMPANION_PREFIX
from luxusbd.stick.room import DataRoom, Sink

LOST = "/lost+found"
_THEIRS = f"/{COMPANION_PREFIX}"


class PairFilesystem:
    """Both filesystems, read from the medium; a `DataFilesystem`.

    Args:
        data: the one of the data partition.
        companion: the one of the companion.
        read: reads of bytes, 0 being the start of the data partition.
        distance: bytes from the start of the data partition to that of the companion.
    """

    block_size = SECTOR

    def __init__(self, data: DataFilesystem, companion: Ext4, read: ReadAt, distance: int) -> None:
        self._data = data
        self._companion = companion
        self._read = read
        self._distance = distance

    @property
    def kind(self) -> Kind:
        """Of the data partition."""
        return self._data.kind

    @property
    def uuid(self) -> str:
        """Of the data partition."""
        return self._data.uuid

    @property
    def companion_uuid(self) -> str:
        """Of the companion."""
        return self._companion.uuid

    @property
    def label(self) -> str:
        """Of the data partition."""
        return self._data.label

    @property
    def clean(self) -> bool:
        """Whether both were unmounted in order."""
        return self._data.clean and self._companion.clean

    @property
    def has_errors(self) -> bool:
        """Whether one of them has errors."""
        return self._data.has_errors or self._companion.has_errors

    def role_of(self, path: str) -> PartitionRole | None:
        """On which partition a path is; None where it is on neither."""
        if self._data.lookup(path) is not None:
            return PartitionRole.DATA
        return PartitionRole.COMPANION if _shared(path) and self._companion.lookup(path) is not None else None

    def home(self, path: str) -> DataFilesystem:
        """The filesystem that a path is on; that of the data partition where it is on neither."""
        return self._companion if self.role_of(path) is PartitionRole.COMPANION else self._data

    def lookup(self, path: str) -> Node | None:
        """The file or directory at an absolute path, or None."""
        found = self._data.lookup(path)
        return found if found is not None or not _shared(path) else self._companion.lookup(path)

    def list(self, path: str) -> tuple[str, ...]:
        """Names in a directory of both; of the companion's root those of rooms for changes."""
        mine = self._data.list(path)
        theirs = self._companion.list(path) if _shared(path) or path == "/" else ()
        if path == "/":
            theirs = tuple(name for name in theirs if name.startswith(COMPANION_PREFIX))
        return (*mine, *(name for name in theirs if name not in mine))

    def entries(self, path: str, limit: int) -> tuple[tuple[bytes, Node], ...]:
        """The first `limit` names in a directory of both with what they name."""
        mine = self._data.entries(path, limit)
        known = {name for name, _node in mine}
        theirs = self._companion.entries(path, limit) if _shared(path) else ()
        return (*mine, *((name, node) for name, node in theirs if name not in known))[:limit]

    def read_file(self, path: str, limit: int) -> bytes | None:
        """Content of a file, or None when there is none."""
        on_companion = self.role_of(path) is PartitionRole.COMPANION
        return (self._companion if on_companion else self._data).read_file(path, limit)

    def extents(self, path: str) -> tuple[Extent, ...]:
        """Where the sectors of a file lie, counted from the start of the data partition."""
        match self.role_of(path):
            case PartitionRole.DATA:
                found, block, shift = self._data.extents(path), self._data.block_size, 0
            case PartitionRole.COMPANION:
                found, block, shift = self._companion.extents(path), self._companion.block_size, self._distance
            case _:
                raise MalformedImageError(f"no file {path!r} on the stick")
        times = block // SECTOR
        return tuple(
            Extent(each.logical * times, each.physical * times + shift // SECTOR, each.length * times, each.initialised)
            for each in found
        )

    def read_bytes(self, place: int, length: int) -> bytes:
        """Bytes, counted from the start of the data partition."""
        return self._read(place, length)

    def free_bytes(self) -> int:
        """Unallocated bytes of the data partition."""
        return self._data.free_bytes()


class PairRoom:
    """Both partitions; a `room.DataRoom`.

    Args:
        data: the data partition.
        companion: the companion.
        guests: names of images that are to be written to the companion.
    """

    def __init__(self, data: DataRoom, companion: DataRoom, guests: Collection[str]) -> None:
        self._data = data
        self._companion = companion
        self._guests = frozenset(guests)
        self.written_when_published = data.written_when_published

    async def make_filesystem(self, data_uuid: str, label: str) -> None:
        """Make an empty filesystem on the data partition."""
        await self._data.make_filesystem(data_uuid, label)

    async def make_companion(self, uuid: str, label: str) -> None:
        """Make an empty filesystem on the companion."""
        await self._companion.make_filesystem(uuid, label)

    async def check(self) -> None:
        """Bring both in order after a crash."""
        await self._data.check()
        await self._companion.check()

    async def is_sound(self) -> bool:
        """Whether both have no error."""
        return await self._data.is_sound() and await self._companion.is_sound()

    async def mend(self) -> Mended:
        """Mend what is not sound of them."""
        done = Mended(False, ())
        for each in (self._data, self._companion):
            if not await each.is_sound():
                now = await each.mend()
                done = Mended(done.forced or now.forced, (*done.lines, *now.lines))
        return done

    async def open(self) -> None:
        """Make the other methods usable."""
        await self._data.open()
        await self._companion.open()

    async def close(self) -> None:
        """Leave everything on the medium."""
        try:
            await self._companion.close()
        finally:
            await self._data.close()

    async def make_directory(self, path: str, *, mode: int = 0o755) -> None:
        """Make a directory; that of the images on both."""
        if path.startswith(_THEIRS):
            await self._companion.make_directory(path, mode=mode)
            return
        await self._data.make_directory(path, mode=mode)
        if path == DIRECTORY:
            await self._companion.make_directory(path, mode=mode)

    async def names(self, path: str) -> tuple[str, ...]:
        """What lies in a directory of both."""
        mine = await self._data.names(path)
        theirs = await self._companion.names(path) if path == DIRECTORY else ()
        return (*mine, *(name for name in theirs if name not in mine))

    async def write_small(self, path: str, data: bytes) -> None:
        """Write a file to the data partition, or among the changes of a system on the companion."""
        await (self._companion if path.startswith(_THEIRS) else self._data).write_small(path, data)

    async def allocate(self, path: str, size: int) -> Sink:
        """Start a new file, on the companion if it is one of its guests."""
        directory, _slash, name = path.rpartition("/")
        guest = (directory == DIRECTORY and name.removesuffix(PARTIAL) in self._guests) or path.startswith(_THEIRS)
        return await (self._companion if guest else self._data).allocate(path, size)

    async def reopen(self, path: str, size: int) -> Sink:
        """Go on with a file where it is."""
        return await (await self._home(path)).reopen(path, size)

    async def complete(self, path: str) -> None:
        """Let a finished file be read on the partition that has it."""
        await (await self._home(path)).complete(path)

    async def publish(self, old: str, new: str) -> None:
        """Rename a finished file on the partition that has it."""
        home = await self._home(old)
        await home.publish(old, new)
        if home is self._companion:
            # the menu that will name it goes to the other partition, where it counts before this one's journal does
            await home.checkpoint()

    async def remove(self, path: str) -> None:
        """Remove a file where it is."""
        await (await self._home(path)).remove(path)

    async def remove_tree(self, path: str) -> None:
        """Remove a directory where it is."""
        await (await self._home(path)).remove_tree(path)

    async def move_directory(self, old: str, new: str) -> None:
        """Rename a directory where it is."""
        await (await self._home(old)).move_directory(old, new)

    async def checkpoint(self) -> None:
        """Bring everything in place on both."""
        await self._companion.checkpoint()
        await self._data.checkpoint()

    async def _home(self, path: str) -> DataRoom:
        directory, _slash, name = path.rpartition("/")
        if directory == LOST or path.startswith(_THEIRS):
            return self._companion
        if directory != DIRECTORY or name in await self._data.names(DIRECTORY):
            return self._data
        return self._companion


def located(manifest: Manifest, filesystem: DataFilesystem) -> Manifest:
    """The manifest with the partition that each image is on, as files that were copied by hand may be on either."""
    if not isinstance(filesystem, PairFilesystem):
        return manifest
    images = []
    for image in manifest.images:
        role = filesystem.role_of(f"{DIRECTORY}/{image.name}")
        images.append(image if role is None else replace(image, partition=role))
    return replace(manifest, images=tuple(images), companion_uuid=filesystem.companion_uuid)


def companion_of(room: DataRoom) -> PairRoom:
    """The room as a pair.

    Raises:
        InternalError: it is none.
    """
    if not isinstance(room, PairRoom):
        raise InternalError("the stick has no companion partition")
    return room


def _shared(path: str) -> bool:
    return path.rstrip("/") == DIRECTORY or path.startswith((f"{DIRECTORY}/", LOST, _THEIRS))
