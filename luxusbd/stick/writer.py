"""Carries out one order for a stick: the work of the stick worker."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Sequence
from typing import Any

import luxusbd
from luxusbd.errors import (
    AlreadyExistsError,
    DeviceDamagedError,
    DeviceError,
    ImageNotFoundError,
    InvalidArgumentError,
    MalformedImageError,
    NotEnoughSpaceError,
)
from luxusbd.images.certificate import check_certificates
from luxusbd.images.model import with_kinds_of_uefi
from luxusbd.stick import (
    adopting,
    beside,
    bootfiles,
    bootswap,
    copying,
    esp,
    kinds,
    layout,
    making,
    menu,
    partition,
    persistence,
    persisting,
    places,
    planned,
    rawwrite,
    reader,
    repair,
    streaming,
    sums,
    target,
    updating,
    wholedisk,
    work,
)
from luxusbd.stick.blockio import MediumReader, in_thread
from luxusbd.stick.condition import newest_menu
from luxusbd.stick.feeds import Feeds
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import (
    Layout,
    Manifest,
    ManifestImage,
    PartitionRole,
    Probe,
    SourceImage,
    StickOperation,
    StickOrder,
)
from luxusbd.stick.progress import Progress, Report
from luxusbd.stick.room import IMAGES_MODE
from luxusbd.stick.session import AfterStep, Session
from luxusbd.stick.text import IMAGE_NAME
from luxusbd.text import size_text


async def execute(
    order: StickOrder, report: Report, *, after_step: AfterStep = lambda _name: None, feeds: Feeds | None = None
) -> dict[str, Any]:
    """Do what the order says.

    Args:
        order: what to do; its descriptors stay open.
        report: called in the loop with the progress, a few times a second at most on real media.
        after_step: called after every step that changed the medium; what it raises stops the job.
        feeds: for the order's `streams`.

    Returns:
        JSON values: stick_id, data_uuid, generation, firmware, images (their names), bytes_written and free_bytes; for
        an order with `streams` also lacking (name, error, message of those that did not come); for VERIFY ok, images
        (name, sha256, state) and boot_files (what, state) in place of the last two.

    Raises:
        LuxusbError: by its class.
    """
    target.check(order)
    target.lock(order.fd)
    _check_sources(order.add, order.streams)
    progress = Progress(report)
    feeds = feeds or Feeds()
    try:
        match order.operation:
            case StickOperation.CREATE:
                return await _create(order, progress, after_step, feeds)
            case StickOperation.ADD:
                return await _add(order, progress, after_step, feeds)
            case StickOperation.REMOVE:
                return await _remove(order, progress, after_step)
            case StickOperation.UPDATE:
                return await updating.update(order, progress, after_step, feeds)
            case StickOperation.REPLACE:
                return await updating.replace(order, progress, after_step)
            case StickOperation.REFRESH:
                return await _refresh(order, progress, after_step)
            case StickOperation.VERIFY:
                return await _verify(order, progress)
            case StickOperation.CHECK:
                async with work.existing(order, progress, after_step) as session:
                    manifest, _menus = await session.look()
                    return await work.result(session, manifest, 0)
            case StickOperation.PROBE:
                return await wholedisk.probe(order, progress)
            case StickOperation.RESTORE:
                return await wholedisk.restore(order, progress)
            case StickOperation.WRITE_RAW:
                return await rawwrite.write(order, progress, after_step)
            case StickOperation.PERSIST:
                return await persisting.persist(order, progress, after_step)
            case StickOperation.RESCAN:
                return await _rescan(order, progress, after_step)
            case StickOperation.ADOPT_BEGIN:
                return await adopting.begin(order, progress, after_step)
            case StickOperation.ADOPT:
                _check_images(order.found)
                return await adopting.adopt(order, progress, after_step)
            case StickOperation.REPAIR | StickOperation.REBUILD:
                _check_images(order.found)
                return await repair.repair(order, progress, after_step)
    except MalformedImageError as error:
        if order.operation is StickOperation.WRITE_RAW:
            raise
        # of the stick's own filesystem, not of an image that goes onto it
        raise DeviceDamagedError(f"the data partition cannot be read: {error}; create the stick anew") from error


async def _create(order: StickOrder, progress: Progress, after_step: AfterStep, feeds: Feeds) -> dict[str, Any]:
    table = layout.plan(order.size, order.options)
    kind = Kind(order.options.filesystem)
    guests = [source.image.size for source in order.add if source.image.partition is PartitionRole.COMPANION]
    if guests and layout.bytes_needed(guests) > layout.companion_capacity(table):
        raise NotEnoughSpaceError(
            f"the images for the companion partition need {size_text(layout.bytes_needed(guests))} and it has room for"
            f" {size_text(layout.companion_capacity(table))}; make it bigger"
        )
    here = [image.size for image in order.coming if image.partition is PartitionRole.DATA]
    needed = layout.bytes_needed(here, kind)
    if needed > (capacity := layout.capacity(table, kind)):
        raise NotEnoughSpaceError(
            f"the images need {size_text(needed)} and the stick"
            f" has room for {size_text(capacity)}; leave some out or take a bigger one"
        )
    esp_serial = esp.new_serial()
    data_uuid = kinds.new_uuid(kind)
    # everything that can fail without the disk comes before the first write to it
    files = await bootfiles.build(
        table,
        esp_serial,
        data_uuid,
        serial_console=order.options.serial_console,
        style=order.options.menu,
        kind=kind,
        certificates=order.options.certificates,
    )
    if order.probe is Probe.QUICK and order.node:
        await wholedisk.check_genuine(order, progress)
    progress.expect(progress.done + 2 * files.size + 2 * sum(image.size for image in order.coming))
    progress.stage("partition")
    with target.exclusive(order):
        await partition.write_table(order.fd, table, str(uuid.uuid4()))
        await in_thread(making.mark, order.fd, table, kind)
        after_step("table")
        progress.stage("boot-files")
        await bootfiles.write(order.fd, files)
        progress.advance(files.size)
        await bootfiles.read_back(order.fd, files)
        progress.advance(files.size)
        after_step("boot-files")
    if order.node:
        await partition.reread(order.fd, table)
    now = int(time.time())
    manifest = Manifest(
        stick_id=str(uuid.uuid4()),
        data_uuid=data_uuid,
        esp_serial=esp_serial,
        generation=1,
        created=now,
        updated=now,
        options=order.options,
        firmware=files.firmware,
        boot_files=files.records,
        shim=files.shim,
        sbat=files.sbat,
        luxusbd=luxusbd.__version__,
        companion_uuid=kinds.new_uuid(Kind.EXT4) if table.has(PartitionRole.COMPANION) else "",
    )
    progress.stage("filesystem")
    async with work.session(order, table, progress, after_step, make=manifest) as session:
        await session.room.make_directory("/iso", mode=IMAGES_MODE)
        await session.room.make_directory("/luxusb")
        if images := order.coming:
            await session.room.write_small(planned.PATH, places.coming(manifest, images, order.sequence))
        # a stick that is cut from here on boots, and says that it holds no images
        await session.commit(manifest, menu.menu_path(manifest.generation))
        await in_thread(making.unmark, order.fd, table)
        if order.add:
            await _add_images(session, order.add)
        lacking = await streaming.take(session, order.streams, feeds, order.sequence)
        if images:
            await session.room.remove(planned.PATH)
            manifest = await persisting.apply(session, order)
        return await streaming.result(session, order, lacking, files.size)


async def _add(order: StickOrder, progress: Progress, after_step: AfterStep, feeds: Feeds) -> dict[str, Any]:
    if not order.coming:
        raise InvalidArgumentError("no images were named to add")
    progress.expect(2 * sum(image.size for image in order.coming))
    async with work.existing(order, progress, after_step) as session:
        if order.add:
            await _add_images(session, order.add)
        if order.streams:
            manifest, _menus = await session.look()
            _check_new(manifest, order.streams)
            await _check_room(session, manifest, order.streams)
        lacking = await streaming.take(session, order.streams, feeds, order.sequence)
        await persisting.apply(session, order)
        return await streaming.result(session, order, lacking)


async def _add_images(session: Session, sources: Sequence[SourceImage]) -> Manifest:
    manifest, _menus = await session.look()
    sources = beside.to_write(manifest, sources)
    _check_new(manifest, [source.image for source in sources])
    await _check_room(session, manifest, [source.image for source in sources])
    await session.add(sources)
    await session.publish(sources)
    now = int(time.time())
    added = tuple(dataclasses.replace(source.image, added=source.image.added or now) for source in sources)
    manifest = await work.commit(session, dataclasses.replace(manifest, images=(*manifest.images, *added)), added)
    await session.settle()
    return manifest


async def _check_room(session: Session, manifest: Manifest, images: Sequence[ManifestImage]) -> None:
    here = [image.size for image in images if image.partition is PartitionRole.DATA]
    needed = layout.bytes_needed(here, Kind(manifest.options.filesystem)) - layout.RESERVE // 2
    if needed > (free := await session.free_bytes()):
        raise NotEnoughSpaceError(
            f"the images need {size_text(needed)} and the stick has {size_text(free)} left; remove some first"
        )


async def _remove(order: StickOrder, progress: Progress, after_step: AfterStep) -> dict[str, Any]:
    if not order.remove:
        raise InvalidArgumentError("no images were named to remove")
    async with work.existing(order, progress, after_step) as session:
        manifest, _menus = await session.look()
        names = [image.name for image in manifest.images]
        for name in order.remove:
            if name not in names:
                raise ImageNotFoundError(f"the stick has no image {name}; it has {', '.join(names) or 'none'}")
        kept = tuple(image for image in manifest.images if image.name not in order.remove)
        going = tuple(dict.fromkeys((*order.remove, *beside.unneeded(kept))))
        await session.announce(going)
        kept = tuple(image for image in kept if image.name not in going)
        gone = [each.kept for each in manifest.images if each.name in order.remove and each.kept is not None]
        manifest = await work.commit(session, dataclasses.replace(manifest, images=kept))
        await session.settle(going)
        for changes in gone:
            await persisting.remove(session, changes)
        await session.room.checkpoint()
        return await work.result(session, manifest, 0)


async def _refresh(order: StickOrder, progress: Progress, after_step: AfterStep) -> dict[str, Any]:
    async with work.existing(order, progress, after_step) as session:
        manifest, _menus = await session.look()
        # what is there already stays, and new ones come beside it
        certificates = tuple(dict.fromkeys((*manifest.options.certificates, *order.options.certificates)))
        check_certificates(certificates)
        options = dataclasses.replace(order.change.applied(manifest.options), certificates=certificates)
        layout.check_options(options)
        files = await bootfiles.build(
            session.layout,
            manifest.esp_serial,
            manifest.data_uuid,
            serial_console=options.serial_console,
            style=options.menu,
            kind=Kind(options.filesystem),
            certificates=certificates,
        )
        progress.stage("boot-files")
        await bootswap.replace(order.fd, session.layout, files, progress)
        after_step("boot-files")
        manifest = await work.commit(
            session,
            dataclasses.replace(
                manifest,
                options=options,
                firmware=files.firmware,
                boot_files=files.records,
                shim=files.shim,
                sbat=files.sbat,
                images=tuple(_with_kinds_of_uefi(image) for image in manifest.images),
            ),
        )
        return await work.result(session, manifest, files.size)


def _with_kinds_of_uefi(image: ManifestImage) -> ManifestImage:
    """An image from a time when there was one kind of UEFI, so that other kinds show it too."""
    entries = tuple(
        dataclasses.replace(entry, firmware=with_kinds_of_uefi(entry.firmware, entry.method, image.architecture))
        for entry in image.entries
    )
    return dataclasses.replace(image, entries=entries)


async def _rescan(order: StickOrder, progress: Progress, after_step: AfterStep) -> dict[str, Any]:
    _check_images(order.found)
    async with work.existing(order, progress, after_step) as session:
        manifest, _menus = await session.look()
        await session.check_found(order.found)
        found = {image.name: image for image in order.found}
        images = [
            persistence.going_on(image, found.pop(image.name, image))
            for image in manifest.images
            if image.name not in order.remove
        ]
        images += found.values()
        # the files lie there already, so that nothing is announced: what is announced and not listed would be removed
        manifest = await work.commit(session, dataclasses.replace(manifest, images=tuple(images)), order.found)
        return await work.result(session, manifest, 0)


async def _verify(order: StickOrder, progress: Progress) -> dict[str, Any]:
    def look() -> tuple[Layout, Manifest, reader.Menus, bool]:
        with MediumReader(order.fd) as medium:
            found = target.stick_layout(medium.read_at, order.size)
            filesystem = reader.open_data(medium.read_at, found)
            manifest, menus = reader.load_manifest(filesystem), reader.load_menus(filesystem)
            shown = beside.shown(manifest.images)
            wrong = sums.wrong(filesystem, shown, newest_menu(filesystem, menus))
            return found, manifest, menus, not wrong

    stick, manifest, menus, lists = await in_thread(look)
    progress.expect(
        sum(length for _what, _start, length, _sha256 in manifest.boot_files)
        + sum(image.size for image in manifest.images)
    )
    boot: list[dict[str, str]] = []
    progress.stage("read-back", "boot files")
    for what, start, length, sha256 in manifest.boot_files:
        whole = await in_thread(bootfiles.is_whole, order.fd, start, length, sha256)
        boot.append({"what": what, "state": "ok" if whole else "corrupt"})
        progress.advance(length)
    boot.append({"what": "menu", "state": "ok" if menus.newest >= manifest.generation else "corrupt"})
    boot.append({"what": "hash list", "state": "ok" if lists else "corrupt"})
    images: list[dict[str, str]] = []
    for image in manifest.images:
        progress.stage("read-back", image.name)
        state = await _image_state(order.fd, stick, image, progress)
        images.append({"name": image.name, "sha256": image.sha256, "state": state})
    return {
        **work.facts(manifest),
        "ok": all(item["state"] == "ok" for item in (*boot, *images)),
        "images": images,
        "boot_files": boot,
    }


async def _image_state(fd: int, stick: Layout, image: ManifestImage, progress: Progress) -> str:
    def size() -> int | None:
        with MediumReader(fd) as medium:
            inode = reader.open_data(medium.read_at, stick).lookup(f"/iso/{image.name}")
            return inode.size if inode is not None and inode.is_file else None

    try:
        found = await in_thread(size)
        if found is None:
            return "missing"
        if found != image.size:
            return "wrong-size"
        sha256 = await copying.hash_file(fd, stick, f"/iso/{image.name}", image.size, progress)
    except (MalformedImageError, DeviceError):
        return "corrupt"
    return "ok" if sha256 == image.sha256 else "corrupt"


def _check_sources(sources: Sequence[SourceImage], streams: Sequence[ManifestImage]) -> None:
    _check_images([*(source.image for source in sources), *streams])


def _check_images(images: Sequence[ManifestImage]) -> None:
    for image in images:
        if not IMAGE_NAME.match(image.name):
            raise InvalidArgumentError(f"{image.name!r} cannot be the name of an image on a stick")
        if image.size <= 0:
            raise InvalidArgumentError(f"{image.name} is empty")
    for key, what in (
        ([image.name.lower() for image in images], "name"),
        ([image.sha256 for image in images], "content"),
    ):
        if len(set(key)) != len(key):
            raise AlreadyExistsError(f"two of the images have the same {what}")


def _check_new(manifest: Manifest, images: Sequence[ManifestImage]) -> None:
    names = {image.name.lower() for image in manifest.images}
    hashes = {image.sha256: image.name for image in manifest.images}
    for image in images:
        if image.sha256 in hashes:
            raise AlreadyExistsError(f"{image.name} is on the stick already, as {hashes[image.sha256]}")
        if image.name.lower() in names:
            raise AlreadyExistsError(f"the stick has another image called {image.name}")
