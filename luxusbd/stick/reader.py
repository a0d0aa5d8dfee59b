"""A look at a disk through a read-only descriptor, without mounting anything: for an unprivileged process.

The disk may come from anywhere: everything on it is data to be checked.
"""

from __future__ import annotations

from dataclasses import dataclass

from luxusbd.errors import DeviceDamagedError, DeviceError, DeviceNotLuxusbError, MalformedImageError, NewerStickError
from luxusbd.stick import adoption, gpt, gptmend, isofiles, making, manifest, menu, planned, rooms
from luxusbd.stick.blockio import ReadAt, read_at
from luxusbd.stick.detect import kind_of, open_as
from luxusbd.stick.ext4 import Ext4, backup_superblock
from luxusbd.stick.filesystem import DataFilesystem, Kind
from luxusbd.stick.layout import BLOCK
from luxusbd.stick.losses import Loss
from luxusbd.stick.model import MIB, Layout, Manifest, PartitionRole, StickContents
from luxusbd.stick.pair import PairFilesystem

MENU_LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True)
class Menus:
    """Generations of the two menu files; None for one that is incomplete."""

    a: int | None
    b: int | None

    @property
    def newest(self) -> int:
        """Generation that GRUB would show, 0 when there is none."""
        return max(self.a or 0, self.b or 0)

    @property
    def inactive(self) -> str:
        """Path of the one that GRUB does not need, which is the one to write next."""
        return menu.MENU_B if (self.a or 0) > (self.b or 0) else menu.MENU_A


@dataclass(frozen=True)
class Superblock:
    """What can be told of a data partition without looking through it."""

    kind: Kind
    """Which filesystem it has, or seems to have had."""

    readable: bool
    """Whether it begins like a filesystem that GRUB can read."""
    clean: bool
    """Whether it was unmounted in order, without errors."""
    backup: int
    """Block of a copy of the superblock, 0 for none."""
    blank: bool
    """Whether nothing at all is in its first MiB, as CreateStick leaves it until it makes the filesystem."""


def read_stick(fd: int, size: int) -> StickContents | None:
    """What a LUXusb stick holds; None when the disk is none.

    Args:
        fd: the disk or image file, open for reading.
        size: its bytes.

    Raises:
        DeviceDamagedError: it is a LUXusb stick, and not even its manifest can be read.
        OSError: the disk cannot be read.
    """
    read = read_at(fd)
    try:
        table = gpt.read(read, size)
        layout = gpt.stick_layout(table, size) if table is not None else None
        if table is None or layout is None:
            return None
        filesystem = open_data(read, layout)
        found = load_manifest(filesystem)
        damage = table_damage(read, table)
        if filesystem.has_errors:
            damage.append("the filesystem has errors; repair the stick")
        if absent := planned.missing(planned.load(filesystem), found.images):
            damage.append(planned.damage(absent))
        damage += content_damage(filesystem, found)
        unlisted = isofiles.unlisted(filesystem, {image.name for image in found.images})
        stray = rooms.stray(filesystem, found, layout, read)
        return StickContents(found, filesystem.free_bytes(), "; ".join(damage), unlisted, stray)
    except (MalformedImageError, DeviceError) as error:
        if isinstance(error, DeviceDamagedError):
            raise
        raise DeviceDamagedError(
            f"the data partition of the stick cannot be read: {error}; repair the stick, or create it again"
        ) from error


def table_damage(read: ReadAt, table: gpt.GptTable) -> list[str]:
    """What is wrong with a partition table, a sentence each."""
    damage = [f"{table.damage}; repair the stick"] if table.damage else []
    return damage if gptmend.is_protected(read) else [*damage, f"{gptmend.UNPROTECTED}; repair the stick"]


def superblock(read: ReadAt, layout: Layout) -> Superblock:
    """Look at the beginning of the data partition, and for copies of its superblock.

    Raises:
        DeviceError: the medium cannot be read.
    """
    part = layout.partition(PartitionRole.DATA)

    def inside(offset: int, length: int) -> bytes:
        return read(part.start + offset, length)

    kind = kind_of(inside, part)
    try:
        clean = open_as(kind, inside, part.size).clean
        readable = True
    except MalformedImageError:
        clean = readable = False
    if not readable:
        kind = making.wanted_kind(read, layout) or kind
    blank = not readable and not any(inside(0, min(MIB, part.size)))
    backup = backup_superblock(inside, part.size, BLOCK) if kind is Kind.EXT4 else 0
    return Superblock(kind, readable, clean, backup, blank)


def open_stick(fd: int, size: int) -> DataFilesystem:
    """The data filesystem of a stick, also of one of LUXusb 0.6.3.

    Args:
        fd: the disk or image file, open for reading.
        size: its bytes.

    Raises:
        DeviceNotLuxusbError: the disk is no stick.
        MalformedImageError: its data partition holds no filesystem that can be read.
    """
    read = read_at(fd)
    table = gpt.read(read, size)
    layout = gpt.stick_layout(table, size) if table is not None else None
    if layout is None:
        # while it is taken over
        layout = adoption.view_of(read, size)
    if layout is None:
        raise DeviceNotLuxusbError("this is not a LUXusb stick any more")
    return open_data(read, layout)


def open_data(read: ReadAt, layout: Layout) -> DataFilesystem:
    """The filesystem of the data partition.

    Raises:
        MalformedImageError: it is none.
    """
    part = layout.partition(PartitionRole.DATA)

    def inside(offset: int, length: int) -> bytes:
        return read(part.start + offset, length)

    found = open_as(kind_of(inside, part), inside, part.size)
    if not layout.has(PartitionRole.COMPANION):
        return found
    extra = layout.partition(PartitionRole.COMPANION)
    companion = Ext4(lambda offset, length: read(extra.start + offset, length), extra.size)
    return PairFilesystem(found, companion, inside, extra.start - part.start)


def load_manifest(filesystem: DataFilesystem) -> Manifest:
    """The manifest that fits the menu: a new one counts as soon as its menu is complete, whatever it is called yet.

    So the one write that completes a menu changes both at once, and a writer that is stopped anywhere leaves a stick
    that is sound and holds either all of a change or nothing of it.

    Raises:
        DeviceDamagedError: neither is there and whole.
        NewerStickError: one is of a newer version of this program.
    """
    failed = ""
    found: list[Manifest] = []
    for path in (manifest.PATH, manifest.NEW_PATH):
        try:
            data = filesystem.read_file(path, manifest.LIMIT)
            if data is not None:
                found.append(manifest.decode(data))
        except NewerStickError:
            raise
        except (DeviceDamagedError, MalformedImageError) as error:
            failed = failed or str(error)
    if not found:
        raise DeviceDamagedError(failed or f"the stick has no manifest ({manifest.PATH}); repair it, or make it anew")
    if len(found) > 1 and found[0].generation < found[1].generation <= load_menus(filesystem).newest:
        return found[1]
    return found[0]


def load_menus(filesystem: DataFilesystem) -> Menus:
    """Which of the two menus are complete."""

    def generation(path: str) -> int | None:
        try:
            return menu.generation_of(filesystem.read_file(path, MENU_LIMIT))
        except MalformedImageError:
            return None

    return Menus(generation(menu.MENU_A), generation(menu.MENU_B))


def content_damage(filesystem: DataFilesystem, found: Manifest) -> list[str]:
    """What is wrong with the files that the manifest names, a sentence each; their bytes are not compared."""
    damage = []
    for image in found.images:
        try:
            inode = filesystem.lookup(f"/iso/{image.name}")
            if inode is None or not inode.is_file:
                damage.append(f"the image {image.name} is missing; repair the stick, then add it again")
            elif inode.size != image.size:
                wrong = f"the image {image.name} has {inode.size} bytes instead of {image.size}"
                damage.append(f"{wrong}; repair the stick, or rescan it")
        except MalformedImageError as error:
            damage.append(f"the image {image.name} cannot be read ({error}); repair the stick")
        if (kept := image.kept) is not None and kept.directory and filesystem.lookup(f"/{kept.directory}") is None:
            damage.append(
                f"the changes that {image.name} has kept are gone; give it room anew:"
                f" luxusb persistence {image.name} 0, then with a size"
            )
    newest = load_menus(filesystem).newest
    if not newest:
        damage.append("both boot menus are incomplete; repair the stick")
    elif newest < found.generation:
        damage.append("the boot menu is older than the list of images; repair the stick")
    return damage


def describe_contents(fd: int, size: int) -> tuple[str, ...]:
    """What an erase of a disk would destroy, a line each; empty when nothing is recognised.

    Raises:
        OSError: the disk cannot be read.
    """
    return look_at_contents(fd, size)[0]


def look_at_contents(fd: int, size: int) -> tuple[tuple[str, ...], tuple[Loss, ...]]:
    """The lines of `describe_contents`, and the same as values.

    Raises:
        OSError: the disk cannot be read.
    """
    from luxusbd.stick import signatures

    return signatures.look(read_at(fd), size)
