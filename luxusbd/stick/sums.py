"""Lists of one hash each beside the menu, by which GRUB compares an image itself; nothing is written here.

GRUB's `hashsum --check` reads a list as sha256sum writes it. What is in a list follows from its name, so that none is
ever written over, but by a repair: the list of a new image is there before the menu that names it, and goes after that
menu has gone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

from luxusbd.errors import MalformedImageError
from luxusbd.stick.filesystem import DataFilesystem
from luxusbd.stick.model import ManifestImage

DIRECTORY = "/luxusb"
_NAME = re.compile(r"sum-[0-9a-f]{16}\Z")
_LIMIT = 4096
"""Bytes of a list that are read; a sound one is a line."""


def sums_path(image: ManifestImage) -> str:
    """The list of an image, on the data partition."""
    return f"{DIRECTORY}/sum-{hashlib.sha256(_line(image)).hexdigest()[:16]}"


def missing(images: Iterable[ManifestImage], present: Iterable[str]) -> Mapping[str, bytes]:
    """Content by path of the lists that images lack, where the names `present` are in the directory."""
    there = set(present)
    wanted = {sums_path(image): _line(image) for image in images}
    return {path: data for path, data in wanted.items() if path.rpartition("/")[2] not in there}


def wrong(filesystem: DataFilesystem, images: Iterable[ManifestImage], menu: str) -> Mapping[str, bytes]:
    """Right content by path of the lists that are not what they should be: GRUB says "damaged" of whole images then.

    Args:
        filesystem: of the data partition.
        images: those of the manifest.
        menu: text of the newest menu. A list that is not there is missing only where it is named: older versions of
            this program wrote none.
    """
    wanted = {sums_path(image): _line(image) for image in images}
    found = {path: _read(filesystem, path) for path in wanted}
    return {
        path: line
        for path, line in wanted.items()
        if found[path] != line and (found[path] is not None or f'"($data){path}"' in menu)
    }


def stale(images: Iterable[ManifestImage], present: Iterable[str]) -> tuple[str, ...]:
    """Paths of the lists that belong to none of these images."""
    wanted = {sums_path(image) for image in images}
    found = (f"{DIRECTORY}/{name}" for name in present if _NAME.match(name))
    return tuple(path for path in found if path not in wanted)


def _read(filesystem: DataFilesystem, path: str) -> bytes | None:
    try:
        return filesystem.read_file(path, _LIMIT)
    except MalformedImageError:
        # longer than any, a directory, or broken
        return b""


def _line(image: ManifestImage) -> bytes:
    return f"{image.sha256}  {image.name}\n".encode("ascii")
