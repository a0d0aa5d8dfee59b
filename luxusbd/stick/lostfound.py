"""Brings back what e2fsck has moved to /lost+found: a broken directory costs names, not images.

e2fsck calls what it finds there by the number of its inode, such as #16 (Linux, e2fsprogs, e2fsck/pass3.c).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from luxusbd.errors import DeviceDamagedError, MalformedImageError
from luxusbd.stick import copying, menu
from luxusbd.stick import manifest as manifests
from luxusbd.stick.blockio import in_thread
from luxusbd.stick.filesystem import DataFilesystem
from luxusbd.stick.isofiles import looks_like_an_image
from luxusbd.stick.model import Manifest
from luxusbd.stick.session import Session

DIRECTORY = "/lost+found"
MAX_ENTRIES = 1000

_NAME = re.compile(r"#[0-9]+\Z")


@dataclass(frozen=True)
class LostFile:
    """A regular file in /lost+found."""

    name: str
    size: int

    @property
    def path(self) -> str:
        """Its path on the data partition."""
        return f"{DIRECTORY}/{self.name}"


async def restore_directories(session: Session) -> tuple[str, ...]:
    """Give /iso and /luxusb their names again where they are lost; which of them came back.

    The links of such a directory may be wrong afterwards: the filesystem is to be mended once more.
    """
    moves = await in_thread(session.on_medium, _directories)
    for old, new in moves:
        await session.room.move_directory(old, new)
    return tuple(new for _old, new in moves)


async def restore_manifest(session: Session) -> bool:
    """Bring back the newest manifest that is there; whether there is one."""
    best = await in_thread(session.on_medium, _manifest)
    if best is None:
        return False
    await session.room.publish(best.path, manifests.PATH)
    return True


async def restore_images(session: Session, manifest: Manifest) -> tuple[str, ...]:
    """Bring back images of the manifest that have no file in /iso, told by their hash; their names."""

    def missing(filesystem: DataFilesystem) -> list[str]:
        return [image.name for image in manifest.images if filesystem.lookup(f"/iso/{image.name}") is None]

    wanted = set(await in_thread(session.on_medium, missing))
    found: list[str] = []
    for file in await in_thread(session.on_medium, files) if wanted else ():
        images = [image for image in manifest.images if image.name in wanted and image.size == file.size]
        if not images:
            continue
        session.progress.stage("read-back", file.name)
        try:
            sha256 = await copying.hash_file(session.fd, session.layout, file.path, file.size, session.progress)
        except MalformedImageError:
            continue
        for image in images:
            if image.sha256 == sha256:
                await session.room.publish(file.path, f"/iso/{image.name}")
                wanted.discard(image.name)
                found.append(image.name)
                break
    return tuple(found)


async def restore_unknown_images(session: Session) -> tuple[str, ...]:
    """Move what looks like an image to /iso, under made-up names, when no manifest tells which ones there were."""

    def look(filesystem: DataFilesystem) -> list[LostFile]:
        return [file for file in files(filesystem) if looks_like_an_image(filesystem, file.path)]

    found: list[str] = []
    for file in await in_thread(session.on_medium, look):
        name = f"recovered-{file.name[1:]}.iso"
        await session.room.publish(file.path, f"/iso/{name}")
        found.append(name)
    return tuple(found)


def files(filesystem: DataFilesystem) -> tuple[LostFile, ...]:
    """The regular files in /lost+found under the names that e2fsck gives."""
    return tuple(
        LostFile(name.decode("ascii", "replace"), inode.size)
        for name, inode in filesystem.entries(DIRECTORY, MAX_ENTRIES)
        if inode.is_file and _NAME.match(name.decode("ascii", "replace"))
    )


def _directories(filesystem: DataFilesystem) -> list[tuple[str, str]]:
    moves: list[tuple[str, str]] = []
    for raw, inode in filesystem.entries(DIRECTORY, MAX_ENTRIES):
        name = raw.decode("ascii", "replace")
        if not inode.is_directory or not _NAME.match(name):
            continue
        path = f"{DIRECTORY}/{name}"
        inside = filesystem.entries(path, MAX_ENTRIES)
        ours = {known.rsplit("/", 1)[1].encode() for known in (manifests.PATH, menu.MENU_A, menu.MENU_B)}
        if ours & {entry for entry, _inode in inside}:
            target = "/luxusb"
        elif any(entry_inode.is_file for _entry, entry_inode in inside):
            target = "/iso"
        else:
            continue
        if filesystem.lookup(target) is None and target not in [new for _old, new in moves]:
            moves.append((path, target))
    return moves


def _manifest(filesystem: DataFilesystem) -> LostFile | None:
    found: list[tuple[int, LostFile]] = []
    for file in files(filesystem):
        if file.size > manifests.LIMIT:
            continue
        try:
            data = filesystem.read_file(file.path, manifests.LIMIT)
            if data is not None:
                found.append((manifests.decode(data).generation, file))
        except (DeviceDamagedError, MalformedImageError):
            continue
    return max(found, key=lambda item: item[0])[1] if found else None
