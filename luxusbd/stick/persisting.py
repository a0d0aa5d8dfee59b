"""Makes and removes the room in which systems keep changes: the work of the stick worker.

What is made is on the medium before the manifest names it, and the manifest forgets what is to go before that goes, so
that a cut leaves at most a directory that no entry uses. The same image, added again, goes on with what lies there.
"""

from __future__ import annotations

import dataclasses
import logging
import tempfile
from pathlib import Path
from typing import Any

from luxusbd import process
from luxusbd.errors import ImageNotFoundError, InvalidArgumentError
from luxusbd.images.model import Persistence, Store
from luxusbd.stick import changesfile, kinds, partition, persistence, reader, resizing, room, rooms, work
from luxusbd.stick.blockio import finish, in_thread, sync, write_all
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.layout import PERSISTENCE_NAME
from luxusbd.stick.model import (
    MIB,
    Kept,
    Manifest,
    ManifestImage,
    PartitionRole,
    StickOperation,
    StickOrder,
    StrayRoom,
)
from luxusbd.stick.progress import Progress
from luxusbd.stick.session import AfterStep, Session

log = logging.getLogger(__name__)


async def persist(order: StickOrder, progress: Progress, after_step: AfterStep) -> dict[str, Any]:
    """Carry out an order for room for changes.

    Raises:
        LuxusbError: as `writer.execute`.
    """
    async with work.existing(order, progress, after_step) as session:
        manifest = await apply(session, order)
        return {**await work.result(session, manifest, progress.done), "persistence": sizes(manifest)}


def sizes(manifest: Manifest) -> dict[str, int]:
    """Bytes of the rooms for changes by the names of their images."""
    return {image.name: image.kept.size for image in manifest.images if image.kept is not None}


async def apply(session: Session, order: StickOrder) -> Manifest:
    """Give images on an open stick room for changes, or take it away, one commit each."""
    manifest, _menus = await session.look()
    for name, size in order.persist:
        image = next((image for image in manifest.images if image.name == name), None)
        if image is None and not size and await _remove_stray(session, manifest, name):
            continue
        if image is None:
            listed = ", ".join(image.name for image in manifest.images) or "none"
            raise ImageNotFoundError(f"the stick has no image {name}; it has {listed}")
        if size:
            manifest = await _give(session, order, manifest, image, size)
        elif image.kept is not None:
            manifest = await resizing.commit(session, manifest, image, None)
            await remove(session, image.kept)
    return manifest


async def _remove_stray(session: Session, manifest: Manifest, name: str) -> bool:
    """Remove room that belongs to no image; False where there is none of that name."""

    def look() -> tuple[StrayRoom, ...]:
        with session.medium() as medium:
            filesystem = reader.open_data(medium.read_at, session.layout)
            return rooms.stray(filesystem, manifest, session.layout, medium.read_at)

    if name not in {room.name for room in await in_thread(look)}:
        return False
    if name in persistence.OWN_FILES:
        left = Kept(Store.OWN, name, "", 0, None)
    elif name == PERSISTENCE_NAME:
        left = Kept(Store.PARTITION, "", "", 0, None)
    else:
        left = Kept(Store.DIRECTORY, "", name, 0, None)
    await remove(session, left)
    return True


async def remove(session: Session, kept: Kept) -> None:
    """Remove the room for changes that no entry uses any more, with what is in it."""
    if kept.directory:
        await session.room.remove_tree(f"/{kept.directory}")
    elif kept.store is Store.OWN and kept.name:
        await session.room.remove(f"/{kept.name}")
    elif kept.store is Store.PARTITION and session.layout.has(PartitionRole.PERSISTENCE):
        # without its superblock no system finds what is left of it
        await in_thread(_forget, session)
    session.after_step("persistence-removed")
    await session.room.checkpoint()


async def _give(session: Session, order: StickOrder, manifest: Manifest, image: ManifestImage, size: int) -> Manifest:
    kind = persistence.kind_for(image, Kind(manifest.options.filesystem))
    layout = session.layout
    way = persistence.way_for(image.name, image.persistence, kind, partition=layout.has(PartitionRole.PERSISTENCE))
    persistence.check_size(image.name, way, size, kind)
    persistence.check_alone(manifest.images, image, way)
    if image.kept is not None:
        persistence.check_same(image.name, image.kept, way)
        if image.kept.size == size:
            return manifest
    if way.store is Store.PARTITION and size > (most := layout.partition(PartitionRole.PERSISTENCE).size):
        raise InvalidArgumentError(f"the persistence partition has {most} bytes, and {size} were asked for")
    names = persistence.directories(image, way, manifest.images)
    left = await in_thread(session.on_medium, lambda data: rooms.left_for(data, way, names))
    had = image.kept or left.kept
    # another size of a file is made beside it
    if image.partition is PartitionRole.DATA and (had is None or had.size != size):
        persistence.check_room(image.name, way, size, kind, await session.free_bytes(), had, gone=image.kept is None)
    if image.kept is None and left.kept is not None:
        manifest = await _go_on(session, manifest, image, way, left.kept, size)
        image = next(one for one in manifest.images if one.name == image.name)
    if image.kept is not None:
        if image.kept.size == size:
            return manifest
        new = persistence.kept_by(image, way, size, manifest.images, left.occupied)
        manifest, old = await resizing.resize(session, manifest, image, image.kept, new)
        if old is not None:
            await remove(session, old)
        return manifest
    kept = persistence.kept_by(image, way, size, manifest.images, left.occupied)
    session.progress.stage("persistence", image.name)
    if kept.directory:
        # what a job that was cut has left there, before there were any changes in it
        await session.room.remove_tree(f"/{kept.directory}")
        try:
            await session.room.make_directory(f"/{kept.directory}")
            await _fill(session, way, kept)
        except BaseException:
            await finish(session.room.remove_tree(f"/{kept.directory}"))
            raise
    elif way.store is Store.PARTITION:
        if order.operation is not StickOperation.CREATE:
            await in_thread(_check_unused, session, image.name, way)
        await _format(session, order, way)
    session.after_step("persistence-made")
    await session.room.checkpoint()
    return await resizing.commit(session, manifest, image, kept)


async def _go_on(
    session: Session, manifest: Manifest, image: ManifestImage, way: Persistence, left: Kept, size: int
) -> Manifest:
    """Give an image the room back that it had when it was on the stick before, with what is in it.

    Raises:
        InvalidArgumentError: there is more in it than it would hold.
    """
    log.info("%s goes on with the changes in %s", image.name, left.directory)
    if way.store is Store.FILE:
        return await resizing.commit(session, manifest, image, left)
    persistence.check_holds(image.name, left.size, size)
    await _fill(session, way, left)
    await session.room.checkpoint()
    return await resizing.commit(session, manifest, image, dataclasses.replace(left, size=size))


def _check_unused(session: Session, name: str, way: Persistence) -> None:
    part = session.layout.partition(PartitionRole.PERSISTENCE)
    with session.medium() as medium:

        def inside(offset: int, length: int) -> bytes:
            return medium.read_at(part.start + offset, length)

        if rooms.holds_changes(inside, part.size, way):
            raise InvalidArgumentError(
                f"the persistence partition holds changes of an image that is not on the stick any more, which {name}"
                f" would lose; remove them first (luxusb persistence {PERSISTENCE_NAME} 0)"
            )


def _forget(session: Session) -> None:
    part = session.layout.partition(PartitionRole.PERSISTENCE)
    write_all(session.fd, bytes(MIB), part.start)
    sync(session.fd)


async def _fill(session: Session, way: Persistence, kept: Kept) -> None:
    if way.store is Store.FILE:
        await changesfile.make(session, way, f"/{kept.directory}/{way.name}", kept.size)
        return
    present = await in_thread(session.on_medium, lambda data: data.list(f"/{kept.directory}"))
    for path, text in way.files:
        if path.lstrip("/") in present:
            continue
        if text:
            await session.room.write_small(f"/{kept.directory}{path}", text.encode("ascii"))
        else:
            await session.room.make_directory(f"/{kept.directory}{path}")


async def _format(session: Session, order: StickOrder, way: Persistence) -> None:
    part = session.layout.partition(PartitionRole.PERSISTENCE)
    if order.node:
        target, offset = partition.find_node(order.fd, session.layout, PartitionRole.PERSISTENCE).path, 0
    else:
        target, offset = f"/proc/self/fd/{order.fd}", part.start
    with tempfile.TemporaryDirectory(prefix="luxusb-work-") as directory:
        inside = Path(directory) / "inside"
        await in_thread(changesfile.lay_out, inside, way.files)
        uuid = kinds.new_uuid(Kind.EXT4)
        command = room.mke2fs_for_changes(target, part.size, uuid, way.name, str(inside), offset)
        await finish(process.run(command, pass_fds=() if order.node else (order.fd,), timeout=1800))
    await in_thread(sync, order.fd)
