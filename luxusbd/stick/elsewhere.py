"""What is on a stick that another program made, read without mounting it: for an unprivileged process.

A Ventoy stick is known by its partition of 65536 sectors with a FAT labelled VTOYEFI (Ventoy, INSTALL/tool:
VENTOY_SECTOR_NUM, and the label of its boot image); the images may lie anywhere on the other one, in exFAT unless the
user chose something else. Everything on it is data to be checked.
"""

from __future__ import annotations

from collections.abc import Iterator

from luxusbd.errors import DeviceError, MalformedImageError, NotSupportedError
from luxusbd.images import gpt, mbr
from luxusbd.images.filesystems import probe
from luxusbd.stick import adoption, isofiles
from luxusbd.stick.blockio import ReadAt, read_at
from luxusbd.stick.detect import open_as
from luxusbd.stick.ext4 import Ext4
from luxusbd.stick.filesystem import DataFilesystem, Kind
from luxusbd.stick.foreign import MAX_IMAGES, ForeignImage, ForeignStick, Maker
from luxusbd.stick.layout import SECTOR
from luxusbd.stick.model import MIB, PartitionRole

SUFFIXES = (".iso", ".img", ".wim", ".vhd", ".vhdx", ".efi", ".vtoy")
"""What Ventoy shows in its menu."""
DEPTH = 8
MAX_DIRECTORIES = 500
MAX_FILES = 2000
"""Entries of one directory that are looked at."""

VENTOY_REFUSAL = (
    "this is a Ventoy stick, which is only looked at and never changed; luxusb create makes a LUXusb stick of it and"
    " erases everything on it"
)
_VENTOY_SIZE = 65536 * SECTOR
_VENTOY_LABEL = "VTOYEFI"
_KINDS = {"ext4": Kind.EXT4, "exFAT": Kind.EXFAT, "FAT32": Kind.FAT32}
_VOLUME = 16 * 2048
"""Where an ISO 9660 image says what it is called (ECMA-119, section 8.4)."""


def look(fd: int, size: int) -> ForeignStick | None:
    """A stick of another program; None for any other disk.

    Args:
        fd: the disk or image file, open for reading.
        size: its bytes.

    Raises:
        OSError: the disk cannot be read.
    """
    read = read_at(fd)
    try:
        if adoption.is_old(read, size):
            return _old(read, size)
        return _ventoy(read, size)
    except (DeviceError, MalformedImageError):
        return None


def _old(read: ReadAt, size: int) -> ForeignStick:
    view = adoption.view_of(read, size)
    assert view is not None
    part = view.partition(PartitionRole.DATA)
    refusal = ""
    notes: list[str] = []
    try:
        notes += adoption.examine(read, size).notes
    except NotSupportedError as error:
        refusal = error.message
    images: tuple[ForeignImage, ...] = ()
    try:
        filesystem = Ext4(lambda offset, length: read(part.start + offset, length), part.size)
        found = [(file.path, file.size) for file in adoption.images(filesystem)]
        # what a takeover that was cut has given its new name already
        here = {getattr(filesystem.lookup(path), "number", 0) for path, _size in found}
        for name, inode in filesystem.entries(isofiles.DIRECTORY, MAX_FILES):
            path = f"{isofiles.DIRECTORY}/{name.decode('utf-8', 'replace')}"
            if inode.is_file and inode.number not in here and isofiles.looks_like_an_image(filesystem, path):
                found.append((path, inode.size))
        images = tuple(_image(filesystem, path, size) for path, size in found[:MAX_IMAGES])
    except MalformedImageError as error:
        notes.append(f"its images cannot be listed: {error.message}")
    return ForeignStick(Maker.OLD_LUXUSB, "ext4", images, tuple(notes), refusal)


def _ventoy(read: ReadAt, size: int) -> ForeignStick | None:
    parts = _partitions(read, size)
    system = next((part for part in parts if part[1] == _VENTOY_SIZE and _is_ventoy(read, part)), None)
    others = [part for part in parts if part != system and part[1] >= MIB]
    if system is None or not others:
        return None
    start, length = others[0]
    seen = probe(read, start, length)
    kind = _KINDS.get(seen.kind) if seen is not None else None
    name = seen.kind if seen is not None else ""
    if kind is None:
        note = f"images on {name or 'an unknown filesystem'} cannot be listed without mounting it"
        return ForeignStick(Maker.VENTOY, name, (), (note,), VENTOY_REFUSAL)
    images: list[ForeignImage] = []
    notes: list[str] = []
    try:
        filesystem = open_as(kind, lambda offset, count: read(start + offset, count), length)
        for path, bytes_of in _walk(filesystem):
            if len(images) == MAX_IMAGES:
                notes.append(f"it has more than {MAX_IMAGES} images; the first ones are listed")
                break
            images.append(_image(filesystem, path, bytes_of))
    except (DeviceError, MalformedImageError) as error:
        notes.append(f"not all of its images can be listed: {error}")
    return ForeignStick(Maker.VENTOY, name, tuple(images), tuple(notes), VENTOY_REFUSAL)


def _partitions(read: ReadAt, size: int) -> list[tuple[int, int]]:
    table = gpt.read(read, size)
    if table is not None:
        return [(entry.start, entry.size) for entry in table.entries]
    dos = mbr.read(read, size)
    return [(part.start, part.size) for part in dos.partitions] if dos is not None else []


def _is_ventoy(read: ReadAt, part: tuple[int, int]) -> bool:
    found = probe(read, *part)
    return found is not None and found.kind.startswith("FAT") and found.label == _VENTOY_LABEL


def _walk(filesystem: DataFilesystem) -> Iterator[tuple[str, int]]:
    """Paths and sizes of images, a directory after the other."""
    directories = [("", 0)]
    for directory, depth in directories:
        for raw, node in filesystem.entries(directory or "/", MAX_FILES):
            path = f"{directory}/{raw.decode('utf-8', 'replace')}"
            if node.is_directory:
                if depth < DEPTH and len(directories) < MAX_DIRECTORIES:
                    directories.append((path, depth + 1))
            elif node.is_file and path.lower().endswith(SUFFIXES):
                yield path, node.size


def _image(filesystem: DataFilesystem, path: str, size: int) -> ForeignImage:
    try:
        head = isofiles.StickFile(filesystem, path).read(_VOLUME, 72)
    except (DeviceError, MalformedImageError):
        head = b""
    name = head[40:72].decode("ascii", "replace").strip() if head[1:6] == b"CD001" else ""
    return ForeignImage(path, size, name)
