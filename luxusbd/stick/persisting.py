"""Makes and removes the room in which systems keep changes: the work of the stick worker.

What is made is on the medium before the manifest names it, and the manifest forgets what is to go before that goes, so
that a cut leaves at most a directory that no entry uses; the next job for the same image takes it away.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from luxusbd import process
from luxusbd.errors import ImageNotFoundError, InvalidArgumentError, ToolFailedError
from luxusbd.images.model import Persistence, Store
from luxusbd.stick import kinds, partition, persistence, room, work
from luxusbd.stick.blockio import CHUNK, finish, in_thread, sync, write_all
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.layout import BLOCK
from luxusbd.stick.model import MIB, Kept, Manifest, ManifestImage, PartitionRole, StickOrder
from luxusbd.stick.progress import Progress
from luxusbd.stick.session import SYNC_EVERY, AfterStep, Session

_FREE = re.compile(rb"^  Free blocks: *(.*)$", re.MULTILINE)
_COUNT = re.compile(rb"^Block count: *(\d+)$", re.MULTILINE)


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
        if image is None:
            listed = ", ".join(image.name for image in manifest.images) or "none"
            raise ImageNotFoundError(f"the stick has no image {name}; it has {listed}")
        if size:
            manifest = await _give(session, order, manifest, image, size)
        elif image.kept is not None:
            manifest = await _commit(session, manifest, image, None)
            await remove(session, image.kept)
    return manifest


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
        if image.kept.size == size:
            return manifest
        raise InvalidArgumentError(persistence.other_size(image.name))
    if way.store is Store.PARTITION and size > (most := layout.partition(PartitionRole.PERSISTENCE).size):
        raise InvalidArgumentError(f"the persistence partition has {most} bytes, and {size} were asked for")
    if image.partition is PartitionRole.DATA:
        persistence.check_room(image.name, way, size, kind, await session.free_bytes())
    kept = persistence.kept_by(image, way, size, manifest.images)
    session.progress.stage("persistence", image.name)
    if kept.directory:
        # what a job that was cut has left there is of no use to anybody
        await session.room.remove_tree(f"/{kept.directory}")
        try:
            await session.room.make_directory(f"/{kept.directory}")
            await _fill(session, way, kept)
        except BaseException:
            await finish(session.room.remove_tree(f"/{kept.directory}"))
            raise
    elif way.store is Store.PARTITION:
        await _format(session, order, way)
    session.after_step("persistence-made")
    await session.room.checkpoint()
    return await _commit(session, manifest, image, kept)


def _forget(session: Session) -> None:
    part = session.layout.partition(PartitionRole.PERSISTENCE)
    write_all(session.fd, bytes(MIB), part.start)
    sync(session.fd)


async def _commit(session: Session, manifest: Manifest, image: ManifestImage, kept: Kept | None) -> Manifest:
    changed = (dataclasses.replace(one, kept=kept) if one.name == image.name else one for one in manifest.images)
    return await work.commit(session, dataclasses.replace(manifest, images=tuple(changed)))


async def _fill(session: Session, way: Persistence, kept: Kept) -> None:
    if way.store is Store.FILE:
        await _make_file(session, way, f"/{kept.directory}/{way.name}", kept.size)
        return
    for path, text in way.files:
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
        await in_thread(_lay_out, inside, way.files)
        uuid = kinds.new_uuid(Kind.EXT4)
        command = room.mke2fs_for_changes(target, part.size, uuid, way.name, str(inside), offset)
        await finish(process.run(command, pass_fds=() if order.node else (order.fd,), timeout=1800))
    await in_thread(sync, order.fd)


async def _make_file(session: Session, way: Persistence, path: str, size: int) -> None:
    """A file with an ext4 of its own; of its blocks only those are written that mean something to it."""
    size = size // BLOCK * BLOCK
    with tempfile.TemporaryDirectory(prefix="luxusb-work-") as directory:
        made = Path(directory) / "changes"
        inside = Path(directory) / "inside"
        await in_thread(_lay_out, inside, way.files)
        command = room.mke2fs_for_changes(str(made), size, kinds.new_uuid(Kind.EXT4), way.name, str(inside))
        await finish(process.run(command, timeout=1800))
        spans = await _used(made, size)
        session.progress.expect(session.progress.done + sum(length for _start, length in spans))
        partial = f"{path}.tmp"
        sink = await session.room.allocate(partial, size)
        try:
            source = await in_thread(os.open, made, os.O_RDONLY | os.O_CLOEXEC)
            try:
                unsynced = 0
                for start, length in spans:
                    for offset in range(start, start + length, CHUNK):
                        count = min(CHUNK, start + length - offset)
                        data = await in_thread(os.pread, source, count, offset)
                        await in_thread(sink.write, memoryview(data.ljust(count, b"\0")), offset)
                        unsynced += count
                        if unsynced >= SYNC_EVERY:
                            await in_thread(sink.sync)
                            session.progress.advance(unsynced)
                            unsynced = 0
                await in_thread(sink.sync)
                session.progress.advance(unsynced)
            finally:
                os.close(source)
        finally:
            await in_thread(sink.close)
    session.after_step("persistence-written")
    await session.room.publish(partial, path)


def _lay_out(root: Path, files: Sequence[tuple[str, str]]) -> None:
    root.mkdir()
    for path, text in files:
        target = root / path.lstrip("/")
        if text:
            target.write_text(text, "ascii")
        else:
            target.mkdir()


async def _used(path: Path, size: int) -> tuple[tuple[int, int], ...]:
    """(start, length) in bytes of what a filesystem in a file has in use."""
    said = (await process.run(["dumpe2fs", str(path)], timeout=600)).stdout
    count = _COUNT.search(said)
    if count is None or int(count.group(1)) * BLOCK != size:
        raise ToolFailedError("dumpe2fs says another size of a filesystem than mke2fs was told")
    return tuple(_between(list(_ranges(said)), size // BLOCK))


def _ranges(said: bytes) -> Iterator[tuple[int, int]]:
    for line in _FREE.findall(said):
        for part in filter(None, (each.strip() for each in line.split(b","))):
            first, _dash, last = part.partition(b"-")
            yield int(first), int(last or first) + 1


def _between(free: Sequence[tuple[int, int]], blocks: int) -> Iterator[tuple[int, int]]:
    at = 0
    for first, end in sorted(free):
        if first > at:
            yield at * BLOCK, (first - at) * BLOCK
        at = end
    if at < blocks:
        yield at * BLOCK, (blocks - at) * BLOCK
