"""Takes over a stick of LUXusb 0.6.3: images get names in /iso without being copied, then new boot files lead to them.

The old boot files start the images by their old names, so that these stay until the new boot files are whole. Until the
row of the data partition gets its new name, as the last of all, the stick is an old one, and can be taken over again.
"""

from __future__ import annotations

import dataclasses
import logging
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import luxusbd
from luxusbd.errors import DeviceChangedError, DeviceError, InternalError, MalformedImageError, VerificationError
from luxusbd.stick import adoption, bootfiles, bootswap, esp, oldmenu, partition, tablechange, target, work
from luxusbd.stick.adoption import Adoption, OldFile
from luxusbd.stick.blockio import MediumReader, in_thread, sync, write_all
from luxusbd.stick.condition import Condition, examine, options_of
from luxusbd.stick.detect import open_as
from luxusbd.stick.filesystem import DataFilesystem, Kind
from luxusbd.stick.imagefile import FileRoom
from luxusbd.stick.isofiles import DIRECTORY, MAX_FILES
from luxusbd.stick.layout import MAXIMUM_TIMEOUT, SECTOR
from luxusbd.stick.model import Manifest, ManifestImage, PartitionRole, StickOptions, StickOrder
from luxusbd.stick.mounted import MountedRoom
from luxusbd.stick.oldmenu import OldMenu
from luxusbd.stick.progress import Progress
from luxusbd.stick.room import IMAGES_MODE, LinkingRoom
from luxusbd.stick.session import AfterStep, Session
from luxusbd.stick.tablechange import Row
from luxusbd.stick.text import sanitise_name

log = logging.getLogger(__name__)


async def begin(order: StickOrder, progress: Progress, after_step: AfterStep) -> dict[str, Any]:
    """Give the images second names in /iso.

    Returns:
        JSON values: names, the file names in /iso by their old paths.

    Raises:
        NotSupportedError: the stick cannot be taken over.
    """
    async with _open(order, progress, after_step) as (session, _old):
        await session.room.make_directory("/iso", mode=IMAGES_MODE)
        await session.room.make_directory("/luxusb")
        await session.room.checkpoint()
        files, present, linked = await in_thread(session.on_medium, _look)
        room = _linking(session)
        names: dict[str, str] = {}
        for file in files:
            if file.inode in linked:
                names[file.path] = linked[file.inode]
                continue
            name = sanitise_name(file.parts[-1].decode("utf-8", "replace"), present)
            await room.link(file.parts, file.inode, f"{DIRECTORY}/{name}")
            after_step(f"image-named {name}")
            present.append(name)
            linked[file.inode] = names[file.path] = name
        await session.room.checkpoint()
        after_step("images-named")
        return {"names": names}


async def adopt(order: StickOrder, progress: Progress, after_step: AfterStep) -> dict[str, Any]:
    """Write manifest, menu and boot files, and make the table one of today's.

    Returns:
        As `work.result`, and left: old names of images that stay.

    Raises:
        NotSupportedError: the stick cannot be taken over.
        VerificationError: the medium gives other bytes back than were written.
    """
    async with _open(order, progress, after_step) as (session, old):
        look = await in_thread(session.on_medium, examine)
        menu = await in_thread(_old_menu, session, old)
        options = look.manifest.options if look.manifest is not None else _options(order, look, menu)
        images = order.found
        if look.manifest is None:
            images = await in_thread(session.on_medium, partial(_default_first, images, menu.image))
        serial = await in_thread(_serial, session, old)
        files = await bootfiles.build(old.layout, serial, look.uuid, serial_console=options.serial_console)
        await session.check_found(order.found)
        manifest = _manifest(look, options, serial, files, images)
        await session.commit(manifest, look.menus.inactive, order.found)
        progress.stage("boot-files")
        if old.add:
            await _write_beside(session, old, files)
            await _change_table(session, old, dict(old.add))
            after_step("table-rows-added")
        await bootswap.replace(order.fd, old.layout, files, progress)
        after_step("boot-files")
        rows: dict[int, Row | None] = {**dict(old.add), **dict(old.name)}
        await _change_table(session, old, rows)
        after_step("table-rows-named")
        left = await _drop_old_names(session)
        manifest = await _dated(session, manifest)
        result = await work.result(session, manifest, files.size)
        await _change_table(session, old, {**rows, old.last[0]: old.last[1]})
        after_step("table")
    if order.node:
        await partition.reread(order.fd, old.layout)
    return {**result, "left": left}


@asynccontextmanager
async def _open(
    order: StickOrder, progress: Progress, after_step: AfterStep
) -> AsyncIterator[tuple[Session, Adoption]]:
    def find() -> Adoption:
        with MediumReader(order.fd) as medium:
            return adoption.examine(medium.read_at, order.size)

    with target.exclusive(order):
        old = await in_thread(find)
    if order.node:
        try:
            partition.find_node(order.fd, old.layout, PartitionRole.DATA)
        except DeviceError:
            await partition.reread(order.fd, old.present)
    progress.stage("filesystem")
    async with work.session(order, old.layout, progress, after_step) as session:
        yield session, old


def _look(filesystem: DataFilesystem) -> tuple[tuple[OldFile, ...], list[str], dict[int, str]]:
    """The old files, the names in /iso, and those of them that are second names by the number of their inode."""
    inside = [(name.decode("utf-8", "replace"), node) for name, node in filesystem.entries(DIRECTORY, MAX_FILES)]
    numbers = {getattr(node, "number", 0): name for name, node in inside}
    return adoption.images(filesystem), [name for name, _node in inside], numbers


def _linking(session: Session) -> LinkingRoom:
    if not isinstance(session.room, MountedRoom | FileRoom):
        raise InternalError("an old stick has ext4")
    return session.room


def _options(order: StickOrder, look: Condition, menu: OldMenu) -> StickOptions:
    timeout = order.options.timeout
    if menu.timeout is not None:
        # no menu of today waits for ever
        timeout = MAXIMUM_TIMEOUT if menu.timeout < 0 else min(menu.timeout, MAXIMUM_TIMEOUT)
    return dataclasses.replace(order.options, filesystem=look.kind, label=options_of(look).label, timeout=timeout)


def _old_menu(session: Session, old: Adoption) -> OldMenu:
    """What the old menu does by itself; nothing where it cannot be read, since the images are what counts."""
    if old.menu is None:
        return oldmenu.read("")
    start, size = old.menu
    with session.medium() as medium:
        try:
            filesystem = open_as(Kind.FAT32, lambda at, length: medium.read_at(start + at, length), size)
            text = filesystem.read_file(oldmenu.PATH, oldmenu.LIMIT)
        except MalformedImageError as error:
            log.warning("the menu of the old stick cannot be read: %s", error)
            text = None
    return oldmenu.read((text or b"").decode("utf-8", "replace"))


def _default_first(
    images: tuple[ManifestImage, ...], path: str, filesystem: DataFilesystem
) -> tuple[ManifestImage, ...]:
    """The images with that of the old default entry as the first, which is today's default."""
    files, _present, linked = _look(filesystem)
    name = next((linked.get(file.inode, "") for file in files if file.path == path), "")
    return tuple(sorted(images, key=lambda image: image.name != name))


def _serial(session: Session, old: Adoption) -> str:
    """The serial of the ESP: a new one, unless there is one already that stays."""
    start = old.layout.partition(PartitionRole.ESP).start
    added = {row.start for _number, row in old.add}
    with session.medium() as medium:
        present = "" if start in added else esp.serial_of(medium.read_at(start, SECTOR))
    return present or esp.new_serial()


def _manifest(
    look: Condition,
    options: StickOptions,
    serial: str,
    files: bootfiles.BootFiles,
    found: tuple[ManifestImage, ...],
) -> Manifest:
    now = int(time.time())
    before = look.manifest
    return Manifest(
        stick_id=before.stick_id if before is not None else str(uuid.uuid4()),
        data_uuid=look.uuid,
        esp_serial=serial,
        generation=max(before.generation if before is not None else 0, look.menus.newest) + 1,
        created=now,
        updated=now,
        options=options,
        firmware=files.firmware,
        boot_files=files.records,
        shim=files.shim,
        sbat=files.sbat,
        images=found,
        luxusbd=luxusbd.__version__,
    )


async def _write_beside(session: Session, old: Adoption, files: bootfiles.BootFiles) -> None:
    """Write what goes into room where no partition is yet."""
    starts = {row.start for _number, row in old.add}

    def write() -> None:
        for piece in files.pieces:
            if piece.start in starts:
                write_all(session.fd, piece.data, piece.start)
        sync(session.fd)
        with session.medium() as medium:
            if any(
                medium.read_at(each.start, len(each.data)) != each.data for each in files.pieces if each.start in starts
            ):
                raise VerificationError(
                    "boot files read back from the medium differ from what was written: the stick is defective"
                )

    await in_thread(write)
    session.after_step("boot-files-beside")


async def _change_table(session: Session, old: Adoption, rows: Mapping[int, Row | None]) -> None:
    """Write the table with these rows instead of those that it had in the beginning."""

    def write() -> None:
        with session.medium() as medium:
            pieces = tablechange.writes(medium.read_at, tablechange.changed(old.table, rows), old.layout.size)
        for place, data in pieces:
            write_all(session.fd, data, place)
            sync(session.fd)
        with session.medium() as medium:
            if any(medium.read_at(place, len(data)) != data for place, data in dict(pieces).items()):
                raise VerificationError("the partition table read back differs from what was written")

    await in_thread(write)


async def _drop_old_names(session: Session) -> list[str]:
    """Take the old names away; those that stay."""
    files, _present, linked = await in_thread(session.on_medium, _look)
    room = _linking(session)
    left = [file.path for file in files if file.inode not in linked or not await room.drop(file.parts)]
    await session.room.checkpoint()
    session.after_step("old-names-dropped")
    return left


async def _dated(session: Session, manifest: Manifest) -> Manifest:
    """Commit the images once more with the time of that change, which a rescan would take for one of their bytes."""

    def changed(filesystem: DataFilesystem) -> dict[str, int]:
        found = {image.name: filesystem.lookup(f"{DIRECTORY}/{image.name}") for image in manifest.images}
        if any(node is None for node in found.values()):
            raise DeviceChangedError("an image went away while the stick was taken over; adopt it again")
        return {name: node.changed for name, node in found.items() if node is not None}

    times = await in_thread(session.on_medium, changed)
    images = tuple(
        dataclasses.replace(image, added=max(image.added, times[image.name], int(time.time())))
        for image in manifest.images
    )
    return await work.commit(session, dataclasses.replace(manifest, images=images), images)
