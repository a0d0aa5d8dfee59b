"""Room in which a system on a stick keeps changes: where it goes and whether it can be had; pure functions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import replace

from luxusbd.errors import InvalidArgumentError, NotEnoughSpaceError
from luxusbd.images.model import Persistence, Store
from luxusbd.stick import layout
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.kinds import FAT32_LARGEST_FILE
from luxusbd.stick.model import MIB, Kept, ManifestImage, PartitionRole
from luxusbd.text import size_text

PREFIX = "persist-"
"""What the directories of changes are called at the root of a partition, with the beginning of an image's hash."""
COMPANION_PREFIX = "persist-x"
"""The same, on the companion partition; no hash begins so."""
_DIRECTORY = re.compile(rf"(?:{PREFIX}|{COMPANION_PREFIX})[0-9a-f]{{16}}")
OWN_FILES = ("live_system.cow",)
"""What systems call the files that they make for changes at the root of a partition (kiwi, kiwi-live-lib.sh)."""
SMALLEST = 16 * MIB
"""Bytes below which no filesystem is made for changes."""


def is_directory(name: str) -> bool:
    """Whether a directory at the root of a partition is called as those for changes are."""
    return _DIRECTORY.fullmatch(name) is not None


def is_stray(name: str) -> bool:
    """Whether room that belongs to no image can be called so."""
    return is_directory(name) or name in (layout.PERSISTENCE_NAME, *OWN_FILES)


def kind_for(image: ManifestImage, data: Kind) -> Kind:
    """The filesystem of the partition that an image is on, whose data partition has `data`."""
    return Kind.EXT4 if image.partition is PartitionRole.COMPANION else data


def way_for(name: str, ways: Iterable[Persistence], kind: Kind, *, partition: bool) -> Persistence:
    """The way in which an image keeps changes on this filesystem.

    Args:
        name: of the image, for the error.
        ways: that it has.
        kind: the filesystem of the partition that the image is on.
        partition: whether the stick has a persistence partition.

    Raises:
        InvalidArgumentError: there is none; the text says what would help.
    """
    known = tuple(ways)
    if not known:
        raise InvalidArgumentError(
            f"{name} keeps no changes: no way is known for its system. If an older version put it on the stick, remove"
            " it and add it again"
        )
    usable = [way for way in known if not way.on or kind in way.on]
    for way in usable:
        if way.store is not Store.PARTITION or partition:
            return way
    if usable:
        raise InvalidArgumentError(
            f"{name} keeps changes on a partition of its own, and the stick has none: make the stick with one (option"
            " persistence_partition; --persistence-partition), or with fat32"
        )
    able = " or ".join(sorted({one for way in known for one in way.on}))
    raise InvalidArgumentError(f"{name} keeps changes on {able} only, and it lies on {kind}; make a stick with {able}")


def check_size(name: str, way: Persistence, size: int, kind: Kind) -> None:
    """Refuse a size that cannot be.

    Raises:
        InvalidArgumentError: it is too small, or more than the filesystem allows.
    """
    if size < SMALLEST:
        raise InvalidArgumentError(
            f"{size_text(size)} are too little for the changes of {name}: {size_text(SMALLEST)} is the least"
        )
    if way.store in (Store.FILE, Store.OWN) and kind is Kind.FAT32 and size > FAT32_LARGEST_FILE:
        raise InvalidArgumentError(
            f"the changes of {name} are kept in a file, and one on fat32 has less than 4 GiB; choose 4095 MiB at most"
        )


def needed(way: Persistence, size: int, kind: Kind) -> int:
    """Bytes of the image's partition that the room takes, or will take as it fills."""
    return 0 if way.store is Store.PARTITION else layout.bytes_needed([size], kind) - layout.bytes_needed([], kind)


def check_room(
    name: str, way: Persistence, size: int, kind: Kind, free: int, kept: Kept | None = None, *, gone: bool = False
) -> None:
    """Refuse a size for which there is no room, beside or in place of what it has now (`kept`).

    Args:
        name: of the image.
        way: in which it keeps changes.
        size: that it is to have.
        kind: the filesystem of the partition that it is on.
        free: bytes of it.
        kept: room that it has.
        gone: whether it had that when it was on the stick before.

    Raises:
        NotEnoughSpaceError: with the figures.
    """
    wanted = needed(way, size, kind) if kept is None else needed_for_more(kept, way, size, kind)
    if wanted <= free:
        return
    said = f"the changes of {name} need {size_text(wanted)} and the stick has {size_text(free)} left"
    if gone and kept is not None and way.store is Store.FILE:
        raise NotEnoughSpaceError(
            f"{said}; it can go on with those that it left there in a file, when it gets the same size ({kept.size} B)"
        )
    raise NotEnoughSpaceError(f"{said}; choose a smaller size, or remove an image first")


def kept_by(
    image: ManifestImage,
    way: Persistence,
    size: int,
    images: Iterable[ManifestImage] = (),
    occupied: Collection[str] = (),
) -> Kept:
    """The room for an image beside that of the others, of which nothing is made yet; `occupied` are directories."""
    directory = next((name for name in directories(image, way, images) if name not in occupied), "")
    return Kept(way.store, way.name, directory, size, way.entry)


def directories(image: ManifestImage, way: Persistence, images: Iterable[ManifestImage]) -> tuple[str, ...]:
    """What the directory of an image can be called, beside those of the others; empty when it has none."""
    if not is_shared_out(way):
        return ()
    prefix = COMPANION_PREFIX if image.partition is PartitionRole.COMPANION else PREFIX
    # a newer release may go on with what was made for this one
    taken = {other.kept.directory for other in images if other.kept is not None}
    parts = (image.sha256[start : start + 16] for start in range(len(image.sha256) - 15))
    return tuple(name for part in parts if (name := prefix + part) not in taken)


def place_of(way: Persistence | Kept) -> tuple[Store, str]:
    """What two images cannot both have: there is one persistence partition, whatever label it gets."""
    return way.store, "" if way.store is Store.PARTITION else way.name


def is_shared_out(way: Persistence) -> bool:
    """Whether every image of a stick can have its own."""
    return way.store in (Store.FILE, Store.DIRECTORY)


def check_same(name: str, kept: Kept, way: Persistence) -> None:
    """Refuse another size of room that the system would not look for any more.

    Raises:
        InvalidArgumentError: it would make room of another kind now.
    """
    if (place_of(kept), kept.name) != (place_of(way), way.name):
        raise InvalidArgumentError(
            f"{name} has room for changes of another kind than its system looks for now; take it away first, with what"
            f" is in it (luxusb persistence {name} 0), then give it the new size"
        )


def needed_for_more(kept: Kept, way: Persistence, size: int, kind: Kind) -> int:
    """Bytes of the partition that another size takes besides what the room has: a file is made anew beside the old."""
    if kept.store is Store.FILE:
        return needed(way, size, kind)
    return max(0, needed(way, size, kind) - needed(way, kept.size, kind))


def check_holds(name: str, used: int, size: int) -> None:
    """Refuse a size below what is in use.

    Raises:
        InvalidArgumentError: with the figures.
    """
    if size < used:
        raise InvalidArgumentError(
            f"{name} has {size_text(used)} of changes, which {size_text(size)} do not hold; choose a larger size, or"
            f" lose them (luxusb persistence {name} 0)"
        )


def check_alone(images: Iterable[ManifestImage], image: ManifestImage, way: Persistence) -> None:
    """Refuse what only one image of a stick can have.

    Raises:
        InvalidArgumentError: another one has it; the text names it.
    """
    if is_shared_out(way):
        return
    for other in images:
        kept = other.kept
        if other.name != image.name and kept is not None and place_of(kept) == place_of(way):
            where = "the persistence partition" if way.store is Store.PARTITION else f"the file {way.name}"
            raise InvalidArgumentError(
                f"{other.name} keeps its changes in {where} already, and only one system can;"
                f" take its room away first (luxusb persistence {other.name} 0)"
            )


def going_on(old: ManifestImage, new: ManifestImage) -> ManifestImage:
    """What takes the place of an image, with its room for changes: started as the new one does it, where it can."""
    if old.kept is None or old is new:
        return new
    way = place_of(old.kept), old.kept.name
    entry = next((one.entry for one in new.persistence if (place_of(one), one.name) == way), None)
    return replace(new, kept=replace(old.kept, entry=entry))
