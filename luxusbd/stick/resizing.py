"""Another size for room in which a system keeps changes, with what is in it.

A directory and a partition have only a figure to be changed. A file is made anew beside the old one, which goes when
the manifest names the new one: a cut leaves at most one of them that belongs to no image, and the other whole.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path

from luxusbd import process
from luxusbd.errors import DeviceDamagedError, InvalidArgumentError, ToolFailedError
from luxusbd.images.model import Store
from luxusbd.stick import changesfile, persistence, reader, rooms, skeleton, work
from luxusbd.stick.blockio import finish, in_thread, read_at
from luxusbd.stick.isofiles import StickFile
from luxusbd.stick.layout import BLOCK
from luxusbd.stick.model import Kept, Manifest, ManifestImage
from luxusbd.stick.session import Session


async def resize(
    session: Session, manifest: Manifest, image: ManifestImage, kept: Kept, new: Kept
) -> tuple[Manifest, Kept | None]:
    """Give the room of an image another size; the manifest, and the room that nobody uses any more.

    Args:
        session: of the stick.
        manifest: of the stick.
        image: which one.
        kept: its room.
        new: the room with the new size; where it is a file, it is made there.

    Raises:
        InvalidArgumentError: there is more in it than it would hold.
        LuxusbError: as the room and the tools raise them; then nothing has changed.
    """
    session.progress.stage("persistence", image.name)
    match kept.store:
        case Store.FILE:
            await _file(session, image, kept, new)
            return await commit(session, manifest, image, new), kept
        case Store.DIRECTORY:
            used = await in_thread(session.on_medium, lambda data: rooms.in_use(data, kept.directory))
            persistence.check_holds(image.name, used, new.size)
        case Store.OWN:
            if await in_thread(session.on_medium, lambda data: data.lookup(f"/{kept.name}")) is not None:
                raise InvalidArgumentError(
                    f"{image.name} has made its file {kept.name}, and its size is for the system's own tools to change;"
                    f" or take it away, with what is in it (luxusb persistence {image.name} 0)"
                )
        case Store.PARTITION:
            # its filesystem has all of the partition, whatever part of it was asked for
            pass
    return await commit(session, manifest, image, dataclasses.replace(kept, size=new.size)), None


async def commit(session: Session, manifest: Manifest, image: ManifestImage, kept: Kept | None) -> Manifest:
    """Make this the room of an image, in manifest and menu."""
    changed = (dataclasses.replace(one, kept=kept) if one.name == image.name else one for one in manifest.images)
    return await work.commit(session, dataclasses.replace(manifest, images=tuple(changed)))


async def _file(session: Session, image: ManifestImage, old: Kept, new: Kept) -> None:
    size = new.size // BLOCK * BLOCK
    directory = f"/{new.directory}"
    with tempfile.TemporaryDirectory(prefix="luxusb-work-") as work_directory, session.medium() as medium:
        copy = Path(work_directory) / "changes"
        stick = await in_thread(reader.open_data, medium.read_at, session.layout)
        source = await in_thread(StickFile, stick, f"/{old.directory}/{old.name}")
        contents = await _reshape(image.name, source, copy, size)
        # what a job that was cut has left there is of no use to anybody
        await session.room.remove_tree(directory)
        try:
            await session.room.make_directory(directory)
            await changesfile.write(session, copy, size, f"{directory}/{new.name}", contents)
        except BaseException:
            await finish(session.room.remove_tree(directory))
            raise
    session.after_step("persistence-made")
    await session.room.checkpoint()


async def _reshape(name: str, source: StickFile, copy: Path, size: int) -> changesfile.Contents | None:
    """Make a copy of a filesystem in another size.

    Temporary files of a worker lie in memory, and what systems keep does not fit there. So the copy has everything but
    what is in its files, as long as that stays in its place; where a smaller size moves some of it, it has all.

    Returns:
        Where to read what the copy does not have; None when it has all.
    """
    whole = await in_thread(lambda: changesfile.take_out(source, copy, whole=False))
    await _check(name, copy)
    before = None if whole else await in_thread(_files, copy)
    await _grow_or_shrink(name, copy, size)
    if whole:
        return None
    if before is not None and before == await in_thread(_files, copy):
        return changesfile.Contents(source, skeleton.marked(before, size // BLOCK))
    await in_thread(copy.unlink)
    await in_thread(lambda: changesfile.take_out(source, copy, whole=True))
    await _check(name, copy)
    await _grow_or_shrink(name, copy, size)
    return None


def _files(copy: Path) -> skeleton.Files | None:
    with copy.open("rb") as file:
        return skeleton.files_in(read_at(file.fileno()), os.fstat(file.fileno()).st_size)


async def _check(name: str, copy: Path) -> None:
    # the system may have been switched off without warning
    checked = await finish(process.run(["e2fsck", "-f", "-p", str(copy)], check=False, timeout=1800))
    # e2fsck(8): 1 and 2 mean that errors were corrected
    if checked.returncode & ~3:
        raise DeviceDamagedError(
            f"the changes of {name} are damaged, so that their room keeps its size; start the system with them, which"
            " may mend them"
        )


async def _grow_or_shrink(name: str, copy: Path, size: int) -> None:
    said = (await process.run(["resize2fs", "-P", str(copy)], timeout=600)).stdout.decode("utf-8", "replace")
    least = said.rpartition(":")[2].strip()
    if not least.isdigit():
        raise ToolFailedError(f"resize2fs does not say how small a filesystem can be: {said[-200:]!r}")
    persistence.check_holds(name, int(least) * BLOCK, size)
    await in_thread(_make_longer, copy, size)
    await finish(process.run(["resize2fs", str(copy), f"{size // 1024}K"], timeout=1800))
    await in_thread(os.truncate, copy, size)


def _make_longer(copy: Path, size: int) -> None:
    if size > copy.stat().st_size:
        os.truncate(copy, size)
