"""Newer images in the places of older ones: the work of the stick worker for an update.

Beside each other, where there is room for both: the one commit that names new images takes the old ones out, so that
the stick starts the old image or the new one wherever it is cut. Without that room the old ones go first, which
only a user can decide: a stick that is cut then has neither, and its menu says so.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from collections.abc import Sequence
from typing import Any

from luxusbd.errors import (
    AlreadyExistsError,
    ImageNotFoundError,
    InvalidArgumentError,
    LuxusbError,
    NotEnoughSpaceError,
    VerificationError,
    from_name,
)
from luxusbd.stick import beside, layout, places, streaming, work
from luxusbd.stick.blockio import CHUNK, in_thread
from luxusbd.stick.feeds import Feeds
from luxusbd.stick.model import Manifest, ManifestImage, PartitionRole, SourceImage, StickOrder
from luxusbd.stick.progress import Progress
from luxusbd.stick.session import AfterStep, Session
from luxusbd.text import size_text


async def update(order: StickOrder, progress: Progress, after_step: AfterStep, feeds: Feeds) -> dict[str, Any]:
    """Write images beside those whose places they take, let a commit put them there, then remove the old ones.

    Those that are here have one commit together; each that is still being downloaded has its own once it is whole.

    Raises:
        LuxusbError: as for `writer.execute`; `NotEnoughSpaceError` when there is no room for both.
    """
    _check_pairs(order)
    progress.expect(2 * sum(image.size for image in order.coming))
    async with work.existing(order, progress, after_step) as session:
        manifest, _menus = await session.look()
        here = dataclasses.replace(order, add=beside.to_write(manifest, order.add))
        _check_order(manifest, here, beside=True)
        if (needed := _needed(manifest, here)) > (free := await session.free_bytes()):
            raise NotEnoughSpaceError(
                f"the new images need {size_text(needed)} beside the old ones and the stick has {size_text(free)} left;"
                " update one at a time, or remove an image first"
            )
        count = len(order.remove) - len(order.streams)
        here = dataclasses.replace(here, remove=order.remove[:count])
        if here.add:
            await session.add(here.add)
            stale = beside.unneeded(_in_places(manifest.images, here))
            going = (*here.remove, *stale)
            await session.publish(here.add, going)
            await _put_in_place(session, manifest.images, here, stale)
            await session.settle(going)
        instead = {image.name: old for image, old in zip(order.streams, order.remove[count:], strict=True)}
        lacking = await streaming.take(session, order.streams, feeds, instead=instead)
        return await streaming.result(session, order, lacking)


async def replace(order: StickOrder, progress: Progress, after_step: AfterStep) -> dict[str, Any]:
    """Remove images, then write those that take their places.

    Nothing is removed before the new ones were read whole and found right, and are sure to fit.

    Raises:
        LuxusbError: as for `writer.execute`.
    """
    _check_pairs(order)
    size = sum(source.image.size for source in order.add)
    progress.expect(3 * size)
    async with work.existing(order, progress, after_step) as session:
        manifest, _menus = await session.look()
        order = dataclasses.replace(order, add=beside.to_write(manifest, order.add))
        _check_order(manifest, order, beside=False)
        free = await session.free_bytes() + sum(
            image.size
            for image in manifest.images
            if image.name in order.remove and image.partition is PartitionRole.DATA
        )
        if (needed := _needed(manifest, order)) > free:
            raise NotEnoughSpaceError(
                f"the new images need {size_text(needed)} and the stick has {size_text(free)} without the old ones;"
                " remove an image first"
            )
        for source in order.add:
            progress.stage("read-image", source.image.name)
            await _check_source(source, progress)
        await session.announce(order.remove)
        kept = tuple(image for image in manifest.images if image.name not in order.remove)
        await work.commit(session, dataclasses.replace(manifest, images=kept))
        await session.settle(order.remove)
        # the room of what was removed is there only once that is on the medium
        await session.room.checkpoint()
        after_step("old-images-gone")
        try:
            await session.add(order.add)
            stale = beside.unneeded(_in_places(manifest.images, order))
            await session.publish(order.add, stale)
            manifest = await _put_in_place(session, manifest.images, order, stale)
            await session.settle(stale)
        except LuxusbError as error:
            raise from_name(
                error.dbus_name,
                f"{error}; {', '.join(order.remove)} had to go before that and is not on the stick any more, which"
                f" starts everything else: add {', '.join(source.image.source for source in order.add)}",
            ) from error
        return await work.result(session, manifest, size)


def _needed(manifest: Manifest, order: StickOrder) -> int:
    """Bytes that the new images take on the data partition."""
    here = [image.size for image in order.coming if image.partition is PartitionRole.DATA]
    return layout.bytes_needed(here, manifest.options.filesystem) - layout.RESERVE // 2


def _in_places(images: Sequence[ManifestImage], order: StickOrder, now: int = 0) -> tuple[ManifestImage, ...]:
    """What the stick holds with the new images in the places of the old ones, and the files that start them behind."""
    added = [dataclasses.replace(one.image, added=one.image.added or now) for one in order.add]
    new = [image for image in added if not beside.is_beside(image)]
    behind = [image for image in added if beside.is_beside(image)]
    return places.put(images, dict(zip(order.remove, new, strict=True)), behind)


async def _put_in_place(
    session: Session, images: Sequence[ManifestImage], order: StickOrder, stale: Sequence[str]
) -> Manifest:
    """Commit a manifest in which new images have the places of old ones, without the files that are `stale`."""
    listed = tuple(image for image in _in_places(images, order, int(time.time())) if image.name not in stale)
    new = {source.image.name for source in order.add}
    added = tuple(image for image in listed if image.name in new)
    current, _menus = await session.look()
    return await work.commit(session, dataclasses.replace(current, images=listed), added)


async def _check_source(source: SourceImage, progress: Progress) -> None:
    """Make sure that an image is whole before anything goes for it.

    Raises:
        VerificationError: it is not.
    """
    image = source.image
    wanted = {"sha256": image.sha256, **({"sha512": source.sha512} if source.sha512 else {})}
    hashers = {name: hashlib.new(name) for name in wanted}
    done = 0
    while data := await in_thread(os.pread, source.fd, CHUNK, done):
        for hasher in hashers.values():
            await in_thread(hasher.update, data)
        done += len(data)
        progress.advance(len(data))
    if done != image.size or {name: hasher.hexdigest() for name, hasher in hashers.items()} != wanted:
        raise VerificationError(f"{image.name}: the file is not what it should be; download it again")


def _check_pairs(order: StickOrder) -> None:
    if not order.coming or sum(not beside.is_beside(image) for image in order.coming) != len(order.remove):
        raise InvalidArgumentError("an update needs a new image for every old one")
    if len(set(order.remove)) != len(order.remove):
        raise InvalidArgumentError("an image cannot be updated twice at once")


def _check_order(manifest: Manifest, order: StickOrder, *, beside: bool) -> None:
    there = {image.name: image for image in manifest.images}
    for name in order.remove:
        if name not in there:
            raise ImageNotFoundError(f"the stick has no image {name}; it has {', '.join(there) or 'none'}")
    hashes = {image.sha256: image.name for image in manifest.images}
    taken = {name.lower() for name in there if beside or name not in order.remove}
    for image in order.coming:
        if image.sha256 in hashes:
            raise AlreadyExistsError(f"{image.name} is on the stick already, as {hashes[image.sha256]}")
        if image.name.lower() in taken:
            raise AlreadyExistsError(f"the stick has another image called {image.name}")
