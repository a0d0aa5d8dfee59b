"""What the jobs on one stick share: getting at it, changing its manifest, and saying what came of it."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import luxusbd
from luxusbd.errors import DeviceError
from luxusbd.stick import beside, clustermake, kinds, making, partition, reader, target
from luxusbd.stick.blockio import MediumReader, in_thread
from luxusbd.stick.clusterroom import ClusterRoom
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.imagefile import FileRoom
from luxusbd.stick.layout import COMPANION_NAME, SHARE_NAME, data_view, view_of
from luxusbd.stick.model import Layout, Manifest, ManifestImage, PartitionRole, StickOrder
from luxusbd.stick.mounted import MountedRoom
from luxusbd.stick.pair import PairRoom, companion_of, located
from luxusbd.stick.progress import Progress
from luxusbd.stick.room import DataRoom
from luxusbd.stick.session import AfterStep, Session


async def commit(session: Session, manifest: Manifest, added: Sequence[ManifestImage] = ()) -> Manifest:
    """Write the manifest as the next generation, with its menu; see `Session.commit`."""
    current, menus = await session.look()
    manifest = dataclasses.replace(
        await in_thread(session.on_medium, lambda filesystem: located(manifest, filesystem)),
        generation=max(current.generation, menus.newest) + 1,
        updated=int(time.time()),
        luxusbd=luxusbd.__version__,
    )
    await session.commit(manifest, menus.inactive, added)
    return manifest


async def result(session: Session, manifest: Manifest, written: int) -> dict[str, Any]:
    """What a job that changed the stick answers."""
    await session.room.checkpoint()
    return {
        **facts(manifest),
        "images": [image.name for image in beside.shown(manifest.images)],
        "bytes_written": written,
        "free_bytes": await session.free_bytes(),
    }


def facts(manifest: Manifest) -> dict[str, Any]:
    """What every answer says of the stick."""
    return {
        "stick_id": manifest.stick_id,
        "data_uuid": manifest.data_uuid,
        "generation": manifest.generation,
        "firmware": sorted(item.value for item in manifest.firmware),
    }


@asynccontextmanager
async def existing(order: StickOrder, progress: Progress, after_step: AfterStep) -> AsyncIterator[Session]:
    """A session on a stick that is there, brought in order first."""
    with target.exclusive(order):

        def find() -> Layout:
            with MediumReader(order.fd) as medium:
                return target.stick_layout(medium.read_at, order.size)

        found = await in_thread(find)
    await show_partitions(order, found)
    progress.stage("filesystem")
    async with session(order, found, progress, after_step) as opened:
        manifest, _menus = await opened.look()
        await in_thread(making.unmark, order.fd, found)
        await opened.heal(manifest)
        yield opened


async def show_partitions(order: StickOrder, found: Layout) -> None:
    """Make sure that the kernel has the partitions of a disk.

    Raises:
        DeviceBusyError: it does not take them.
    """
    if order.node:
        try:
            partition.find_node(order.fd, found, PartitionRole.DATA)
        except DeviceError:
            await partition.reread(order.fd, found)


def data_room(order: StickOrder, found: Layout, work: Path, kind: Kind | None = None) -> DataRoom:
    """The data partition of a disk or an image file, as a room.

    Args:
        order: for the disk.
        found: where the partition is.
        work: a directory for temporary files.
        kind: which filesystem it is to get; None for the one that it has.
    """
    if found.has(PartitionRole.COMPANION):
        guests = [source.image.name for source in order.add if source.image.partition is PartitionRole.COMPANION]
        inside = work / "companion"
        inside.mkdir(exist_ok=True)
        companion = data_room(order, view_of(found, PartitionRole.COMPANION), inside, Kind.EXT4)
        return PairRoom(data_room(order, data_view(found), work, kind), companion, guests)
    if kind is None:
        with MediumReader(order.fd) as medium:
            kind = reader.superblock(medium.read_at, found).kind
    if kind is not Kind.EXT4:
        return ClusterRoom(order.fd, found, kind, work, disk=bool(order.node))
    return MountedRoom(order.fd, found) if order.node else FileRoom(order.fd, found, work)


@asynccontextmanager
async def session(
    order: StickOrder,
    found: Layout,
    progress: Progress,
    after_step: AfterStep,
    make: Manifest | None = None,
) -> AsyncIterator[Session]:
    """A session on the data partition, on a filesystem that is made for `make`, or else brought in order first."""
    with tempfile.TemporaryDirectory(prefix="luxusb-work-") as work:
        kind = Kind(make.options.filesystem) if make is not None else None
        room = await in_thread(data_room, order, found, Path(work), kind)
        if make is not None:
            await room.make_filesystem(make.data_uuid, make.options.label)
            if make.companion_uuid:
                await companion_of(room).make_companion(make.companion_uuid, COMPANION_NAME)
            if found.has(PartitionRole.SHARE):
                part = found.partition(PartitionRole.SHARE)
                share = kinds.new_uuid(Kind.EXFAT)
                await clustermake.make(order.fd, part, Kind.EXFAT, share, SHARE_NAME, Path(work))
            after_step("filesystem")
        else:
            await room.check()
        try:
            await room.open()
            yield Session(order.fd, found, room, progress, after_step, order.pace)
        finally:
            await room.close()
