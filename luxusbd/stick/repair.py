"""Mends a stick from the outside in: partition table, filesystem, leftovers, manifest, menu, boot files.

Everything is looked at before anything is written, so that a sound stick stays as it is. The images themselves are not
read here; whoever gives this order compares them afterwards. Every step leaves a stick that starts no less than before
and on which the repair can begin anew.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import os
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import luxusbd
from luxusbd.errors import (
    DeviceDamagedError,
    DeviceFailingError,
    DeviceNotLuxusbError,
    LuxusbError,
    MalformedImageError,
    NewerStickError,
    ToolMissingError,
    VerificationError,
)
from luxusbd.stick import (
    beside,
    bootfiles,
    bootswap,
    copying,
    esp,
    fsck,
    gptmend,
    kinds,
    lostfound,
    making,
    planned,
    reader,
    sums,
    target,
    work,
)
from luxusbd.stick import manifest as manifests
from luxusbd.stick.blockio import MediumReader, in_thread
from luxusbd.stick.condition import Condition, examine, options_of
from luxusbd.stick.filesystem import DataFilesystem, Kind
from luxusbd.stick.findings import Area, Findings
from luxusbd.stick.isofiles import PARTIAL, check_beginning, pieces
from luxusbd.stick.layout import COMPANION_NAME, SECTOR, data_view, view_of
from luxusbd.stick.model import (
    Layout,
    Manifest,
    ManifestImage,
    PartitionRole,
    StickOperation,
    StickOptions,
    StickOrder,
)
from luxusbd.stick.pair import companion_of, located
from luxusbd.stick.progress import Progress
from luxusbd.stick.room import IMAGES_MODE, DataRoom
from luxusbd.stick.session import AfterStep, Session

NAMED = 8
"""Files that a finding names."""
UNFINISHED = "the making of the stick was cut before this image was whole"


async def repair(order: StickOrder, progress: Progress, after_step: AfterStep) -> dict[str, Any]:
    """Mend a stick.

    Returns:
        JSON values: stick_id, data_uuid, generation, firmware, images, free_bytes, findings, lost and filesystem_log;
        or, for a stick whose manifest is lost, only rebuild and the last three: the images in /iso are to be looked at,
        and a REBUILD has to bring what was found.

    Raises:
        DeviceNotLuxusbError: it is none.
        DeviceDamagedError: it cannot be mended.
        DeviceFailingError: the medium gives input/output errors.
    """
    try:
        return await _Repair(order, progress, after_step).run()
    except (LuxusbError, OSError) as error:
        # what a tool or the kernel says of it has no type
        if fsck.DYING not in str(error) and os.strerror(errno.EIO).lower() in str(error).lower():
            raise DeviceFailingError(f"{fsck.DYING} ({error})") from error
        raise


class _Repair:
    def __init__(self, order: StickOrder, progress: Progress, after_step: AfterStep) -> None:
        self._order = order
        self._progress = progress
        self._after_step = after_step
        self._findings = Findings()

    async def run(self) -> dict[str, Any]:
        self._progress.stage("partition")
        layout, unmade = await self._mend_table()
        await work.show_partitions(self._order, layout)
        with tempfile.TemporaryDirectory(prefix="luxusb-work-") as name:
            room = await in_thread(work.data_room, self._order, layout, Path(name))
            session = Session(self._order.fd, layout, room, self._progress, self._after_step)
            self._progress.stage("filesystem")
            await self._make_companion(room, layout)
            fresh, coming = await self._mend_filesystem(room, layout, unmade=unmade)
            look = await self._look(session)
            if coming is not None:
                look = dataclasses.replace(look, planned=coming)
            bad = await self._bad_boot_files(look.manifest)
            if look.manifest is not None and not bad and not look.needs_work() and not look.missing:
                await in_thread(making.unmark, self._order.fd, layout)
                return await self._answer(session, look.manifest)
            try:
                await room.open()
                manifest = await self._mend_files(session, look, bad, fresh=fresh)
                if manifest is None:
                    return {"rebuild": True, **self._findings.to_json()}
                return await self._answer(session, manifest)
            finally:
                await room.close()

    async def _answer(self, session: Session, manifest: Manifest) -> dict[str, Any]:
        return {
            **work.facts(manifest),
            "images": [image.name for image in manifest.images],
            "free_bytes": await session.free_bytes(),
            "rebuild": False,
            **self._findings.to_json(),
        }

    async def _mend_table(self) -> tuple[Layout, bool]:
        """The layout of the stick, and whether it was never finished."""

        def examine() -> tuple[gptmend.TableState | None, bool]:
            with MediumReader(self._order.fd) as medium:
                state = gptmend.examine(medium.read_at, self._order.size)
                return state, state is not None and making.is_marked(medium.read_at, state.layout)

        with target.exclusive(self._order):
            state, unmade = await in_thread(examine)
            if state is None:
                raise DeviceNotLuxusbError(
                    "this is not a LUXusb stick, or both copies of its partition table are destroyed; create it again"
                )
            if state.writes:
                await in_thread(gptmend.mend, self._order.fd, state)
                self._after_step("table-mended")
        for problem in state.problems:
            self._findings.note(Area.TABLE, problem, "written anew from what is whole of the table")
        return state.layout, unmade

    async def _make_companion(self, room: DataRoom, layout: Layout) -> None:
        """Make the companion's filesystem where the making of the stick was cut before that."""
        if not layout.has(PartitionRole.COMPANION):
            return

        def blank() -> bool:
            with MediumReader(self._order.fd) as medium:
                return reader.superblock(medium.read_at, view_of(layout, PartitionRole.COMPANION)).blank

        if await in_thread(blank):
            await companion_of(room).make_companion(kinds.new_uuid(Kind.EXT4), COMPANION_NAME)
            self._findings.note(
                Area.FILESYSTEM, "there is nothing on the companion partition", "an empty filesystem was made"
            )

    async def _mend_filesystem(self, room: DataRoom, layout: Layout, *, unmade: bool) -> tuple[bool, Manifest | None]:
        """Whether it was made anew, and the manifest that was planned for the stick then."""

        def look() -> tuple[reader.Superblock, bool, Manifest | None]:
            with MediumReader(self._order.fd) as medium:
                state = reader.superblock(medium.read_at, layout)
                if not state.readable:
                    return state, False, None
                filesystem = reader.open_data(medium.read_at, data_view(layout))
                try:
                    reader.load_manifest(filesystem)
                except NewerStickError:
                    raise
                except (DeviceDamagedError, MalformedImageError):
                    return state, False, planned.load(filesystem) if unmade else None
                return state, True, None

        state, complete, coming = await in_thread(look)
        if state.blank or (unmade and not complete):
            options = coming.options if coming is not None else StickOptions(filesystem=state.kind)
            await in_thread(making.mark, self._order.fd, layout, state.kind)
            await room.make_filesystem(kinds.new_uuid(state.kind), options.label)
            self._after_step("filesystem")
            cut = "the making of the stick was cut before its data partition had a filesystem"
            gone = "there is nothing at the beginning of the data partition, and so no trace of its files"
            self._findings.note(Area.FILESYSTEM, cut if unmade else gone, "an empty filesystem was made")
            return True, coming
        if not await room.is_sound():
            mended = await room.mend()
            self._after_step("filesystem-mended")
            self._note_mended(mended, state)
        return False, None

    def _note_mended(self, mended: fsck.Mended, state: reader.Superblock) -> None:
        self._findings.log += mended.lines
        if not mended.forced and not state.clean:
            done = "the journal was replayed" if state.kind is Kind.EXT4 else "what that left behind was cleared away"
            self._findings.note(Area.FILESYSTEM, "the stick was pulled while it was written", done)
        else:
            self._findings.note(
                Area.FILESYSTEM,
                "the filesystem of the data partition was damaged",
                "mended by force; what had lost its name is in lost+found" if mended.forced else "mended",
            )

    async def _look(self, session: Session) -> Condition:
        return await in_thread(session.on_medium, examine)

    async def _bad_boot_files(self, manifest: Manifest | None) -> list[str]:
        if manifest is None or not manifest.boot_files:
            return []
        self._progress.stage("read-back", "boot files")
        self._progress.expect(sum(length for _what, _start, length, _sha256 in manifest.boot_files))
        bad = []
        for what, start, length, sha256 in manifest.boot_files:
            if not await in_thread(bootfiles.is_whole, self._order.fd, start, length, sha256):
                bad.append(what)
            self._progress.advance(length)
        return bad

    async def _mend_files(
        self, session: Session, look: Condition, bad: Sequence[str], *, fresh: bool
    ) -> Manifest | None:
        """The manifest of the mended stick; None when the images have to be looked at first."""
        known = None if look.manifest is None else look.manifest.boot_files
        look = await self._bring_back(session, look)
        await session.room.make_directory("/iso", mode=IMAGES_MODE)
        await session.room.make_directory("/luxusb")
        manifest = self._manifest(look, await in_thread(self._esp_serial, session.layout), fresh=fresh)
        if manifest is None:
            return None
        whole = await self._salvage(session, look, manifest)
        if whole:
            manifest = dataclasses.replace(manifest, images=(*manifest.images, *whole))
        if look.manifest is None:
            await session.room.remove(manifests.NEW_PATH)
        await self._clear_leftovers(session, look, manifest)
        if manifest.boot_files != known:
            bad = await self._bad_boot_files(manifest)
        files, refused = await self._mend_boot_files(session, manifest, bad)
        if files is not None:
            manifest = dataclasses.replace(
                manifest, firmware=files.firmware, boot_files=files.records, shim=files.shim, sbat=files.sbat
            )
        stale = look.broken_menus or look.menus.newest < manifest.generation
        if stale and look.manifest is not None:
            self._findings.note(Area.MENU, "a boot menu was incomplete or too old", "written anew")
        if self._order.operation is StickOperation.REBUILD:
            await session.check_found(self._order.found)
        manifest = await in_thread(session.on_medium, functools.partial(located, manifest))
        await self._mend_lists(session, manifest, look.menu)
        if stale or manifest != look.manifest:
            manifest = dataclasses.replace(
                manifest,
                generation=max(manifest.generation, look.menus.newest) + 1,
                updated=int(time.time()),
                luxusbd=luxusbd.__version__,
            )
            await session.commit(manifest, look.menus.inactive, whole)
        if look.planned is not None:
            await session.room.remove(planned.PATH)
            await session.room.checkpoint()
            self._after_step("planned-removed")
        await in_thread(making.unmark, self._order.fd, session.layout)
        if refused is not None:
            raise ToolMissingError(f"the boot files are damaged and cannot be written anew here: {refused}")
        return manifest

    async def _bring_back(self, session: Session, look: Condition) -> Condition:
        """Use what e2fsck has put into lost+found; the look after that."""
        found = await lostfound.restore_directories(session)
        if found:
            await session.room.close()
            self._findings.log += (await session.room.mend()).lines
            await session.room.open()
            look = await self._look(session)
        await session.room.make_directory("/iso", mode=IMAGES_MODE)
        await session.room.make_directory("/luxusb")
        if look.manifest is None and await lostfound.restore_manifest(session):
            found += (manifests.PATH,)
        if look.manifest is None:
            await session.room.checkpoint()
            look = await self._look(session)
        if look.manifest is not None:
            found += await lostfound.restore_images(session, look.manifest) if look.missing else ()
        elif look.planned is None and self._order.operation is StickOperation.REPAIR:
            found += await lostfound.restore_unknown_images(session)
        if found:
            await session.room.checkpoint()
            self._after_step("brought-back")
            self._findings.note(
                Area.FILESYSTEM, f"{_listed(found)} had lost the name", "found in lost+found and put back"
            )
        return look

    def _manifest(self, look: Condition, esp_serial: str, *, fresh: bool) -> Manifest | None:
        if look.manifest is not None:
            found = look.manifest
            if look.broken:
                self._findings.note(Area.MANIFEST, look.broken, "its other copy was taken")
            if found.data_uuid != look.uuid:
                self._findings.note(
                    Area.FILESYSTEM,
                    "the data partition has another UUID than the boot files look for",
                    "the boot files were written anew",
                )
                found = dataclasses.replace(found, data_uuid=look.uuid, boot_files=())
            return found
        rebuild = self._order.operation is StickOperation.REBUILD
        if look.planned is None and not fresh and not rebuild:
            return None
        now = int(time.time())
        if look.planned is not None:
            made = dataclasses.replace(look.planned, data_uuid=look.uuid, images=(), boot_files=())
        else:
            made = Manifest(
                stick_id=str(uuid.uuid4()),
                data_uuid=look.uuid,
                esp_serial=esp_serial or esp.new_serial(),
                generation=1,
                created=now,
                updated=now,
                options=options_of(look),
                firmware=frozenset(),
                boot_files=(),
                images=self._order.found if rebuild else (),
            )
        if not fresh:
            self._findings.note(
                Area.MANIFEST, look.broken or "the list of images was missing", "made anew from what is on the stick"
            )
        return made

    def _esp_serial(self, layout: Layout) -> str:
        with MediumReader(self._order.fd) as medium:
            return esp.serial_of(medium.read_at(layout.partition(PartitionRole.ESP).start, SECTOR))

    async def _salvage(self, session: Session, look: Condition, manifest: Manifest) -> tuple[ManifestImage, ...]:
        """Give images their names that were written when the making of the stick was cut."""
        coming = planned.missing(look.planned, manifest.images)
        whole: list[ManifestImage] = []
        for image in coming:
            if not image.entries and not beside.is_beside(image):
                # it was written while it was downloaded, and how it starts was not known yet
                continue
            if path := await self._whole_file(session, image):
                if path.endswith(PARTIAL):
                    await session.room.publish(path, f"/iso/{image.name}")
                    self._after_step(f"image-named {image.name}")
                # not before the last change of its file, which is now
                whole.append(dataclasses.replace(image, added=max(image.added, int(time.time()) + 1)))
        if not coming:
            return ()
        await session.room.checkpoint()
        lost = [image for image in coming if image.name not in {found.name for found in whole}]
        self._findings.note(
            Area.IMAGE,
            f"the making of the stick was cut: {len(coming)} of its images had no entry",
            f"{_listed([image.name for image in whole])} got one" if whole else "none of them was whole",
        )
        self._findings.lose(lost, UNFINISHED)
        return tuple(whole)

    async def _whole_file(self, session: Session, image: ManifestImage) -> str:
        """Path of a file that holds the whole image, under its name or the one it has while it is written; or empty."""

        def candidates(filesystem: DataFilesystem) -> list[str]:
            found = []
            for path in (f"/iso/{image.name}", f"/iso/{image.name}{PARTIAL}"):
                inode = filesystem.lookup(path)
                if inode is None or not inode.is_file or inode.size != image.size:
                    continue
                parts = tuple(pieces(filesystem.extents(path), filesystem.block_size, image.size))
                written = path.endswith(PARTIAL) and session.room.written_when_published
                try:
                    check_beginning(parts)
                except MalformedImageError:
                    continue
                if written or all(part.initialised for part in parts):
                    found.append(path)
            return found

        for path in await in_thread(session.on_medium, candidates):
            self._progress.stage("read-back", image.name)
            self._progress.expect(self._progress.done + image.size)
            if await copying.hash_file(session.fd, session.layout, path, image.size, self._progress) == image.sha256:
                return path
        return ""

    async def _clear_leftovers(self, session: Session, look: Condition, manifest: Manifest) -> None:
        # without the manifest of that time nobody knows which of the announced names were old ones
        keep = () if look.manifest is not None else await session.room.names("/iso")
        removed = await session.heal(manifest, [name for name in keep if not name.endswith(PARTIAL)])
        if removed or look.leftovers:
            what = _listed(removed or look.leftovers)
            self._findings.note(Area.LEFTOVERS, f"a job that was cut has left something behind: {what}", "cleared away")

    async def _mend_lists(self, session: Session, manifest: Manifest, text: str) -> None:
        """Write the lists anew by which GRUB compares images; those that no menu names yet come with the commit."""
        images = beside.shown(manifest.images)
        wrong = await in_thread(session.on_medium, lambda data: sums.wrong(data, images, text))
        for path, line in wrong.items():
            await session.room.write_small(path, line)
        if not wrong:
            return
        await session.room.checkpoint()
        if await in_thread(session.on_medium, lambda data: sums.wrong(data, images, text)):
            raise VerificationError("lists of hashes read back from the medium differ: the stick is defective")
        self._after_step("lists-written")
        names = [image.name for image in images if sums.sums_path(image) in wrong]
        self._findings.note(
            Area.MENU, f"the hash by which the boot menu checks {_listed(names)} was wrong or missing", "written anew"
        )

    async def _mend_boot_files(
        self, session: Session, manifest: Manifest, bad: Sequence[str]
    ) -> tuple[bootfiles.BootFiles | None, ToolMissingError | None]:
        if not bad and manifest.boot_files:
            return None, None
        try:
            files = await bootfiles.build(
                session.layout,
                manifest.esp_serial,
                manifest.data_uuid,
                serial_console=manifest.options.serial_console,
                style=manifest.options.menu,
                kind=Kind(manifest.options.filesystem),
                certificates=manifest.options.certificates,
            )
        except ToolMissingError as error:
            return None, error
        self._progress.stage("boot-files")
        await bootswap.replace(self._order.fd, session.layout, files, self._progress)
        self._after_step("boot-files")
        if bad:
            self._findings.note(Area.BOOT_FILES, f"the boot files were damaged: {', '.join(bad)}", "written anew")
        return files, None


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
