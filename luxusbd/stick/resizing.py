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
from luxusbd.images.model import Persistence, Store
from luxusbd.stick import changesfile, persistence, rooms, work
from luxusbd.stick.blockio import finish, in_thread
from luxusbd.stick.layout import BLOCK
from luxusbd.stick.model import Kept, Manifest, ManifestImage
from luxusbd.stick.session import Session


async def resize(
    session: Session, manifest: Manifest, image: ManifestImage, kept: Kept, way: Persistence, size: int
) -> tuple[Manifest, Kept | None]:
    """Give the room of an image another size; the manifest, and the room that nobody uses any more.

    Raises:
        InvalidArgumentError: there is more in it than it would hold.
        LuxusbError: as the room and the tools raise them; then nothing has changed.
    """
    session.progress.stage("persistence", image.name)
    match kept.store:
        case Store.FILE:
            new = persistence.kept_by(image, way, size, manifest.images)
            await _file(session, image, kept, new)
            return await commit(session, manifest, image, new), kept
        case Store.DIRECTORY:
            used = await in_thread(session.on_medium, lambda data: rooms.in_use(data, kept.directory))
            persistence.check_holds(image.name, used, size)
        case Store.OWN:
            if await in_thread(session.on_medium, lambda data: data.lookup(f"/{kept.name}")) is not None:
                raise InvalidArgumentError(
                    f"{image.name} has made its file {kept.name}, and its size is for the system's own tools to change;"
                    f" or take it away, with what is in it (luxusb persistence {image.name} 0)"
                )
        case Store.PARTITION:
            # its filesystem has all of the partition, whatever part of it was asked for
            pass
    return await commit(session, manifest, image, dataclasses.replace(kept, size=size)), None


async def commit(session: Session, manifest: Manifest, image: ManifestImage, kept: Kept | None) -> Manifest:
    """Make this the room of an image, in manifest and menu."""
    changed = (dataclasses.replace(one, kept=kept) if one.name == image.name else one for one in manifest.images)
    return await work.commit(session, dataclasses.replace(manifest, images=tuple(changed)))


async def _file(session: Session, image: ManifestImage, old: Kept, new: Kept) -> None:
    size = new.size // BLOCK * BLOCK
    directory = f"/{new.directory}"
    with tempfile.TemporaryDirectory(prefix="luxusb-work-") as work_directory:
        copy = Path(work_directory) / "changes"
        await in_thread(changesfile.take_out, session, f"/{old.directory}/{old.name}", copy)
        await _grow_or_shrink(image.name, copy, size)
        # what a job that was cut has left there is of no use to anybody
        await session.room.remove_tree(directory)
        try:
            await session.room.make_directory(directory)
            await changesfile.write(session, copy, size, f"{directory}/{new.name}")
        except BaseException:
            await finish(session.room.remove_tree(directory))
            raise
    session.after_step("persistence-made")
    await session.room.checkpoint()


async def _grow_or_shrink(name: str, copy: Path, size: int) -> None:
    # the system may have been switched off without warning
    checked = await finish(process.run(["e2fsck", "-f", "-p", str(copy)], check=False, timeout=1800))
    # e2fsck(8): 1 and 2 mean that errors were corrected
    if checked.returncode & ~3:
        raise DeviceDamagedError(
            f"the changes of {name} are damaged, so that their room keeps its size; start the system with them, which"
            " may mend them"
        )
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
