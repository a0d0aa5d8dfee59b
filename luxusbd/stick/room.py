"""What a writer needs of a data partition, whether the kernel mounts it or the tools of e2fsprogs fill it.

Paths are absolute inside the partition, of a directory that `make_directory` made and a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from luxusbd import process
from luxusbd.errors import DeviceDamagedError
from luxusbd.stick.fsck import Mended
from luxusbd.stick.layout import BLOCK, INODE_SIZE, inode_count, journal_size
from luxusbd.stick.model import MIB

FEATURES = ",".join(
    (
        # everything that GRUB 2.06 reads; metadata_csum_seed and orphan_file, newer defaults, make it say "unknown
        # filesystem" (GRUB, grub-core/fs/ext2.c, EXT2_DRIVER_SUPPORTED_INCOMPAT)
        "none",
        "has_journal",
        "extent",
        "huge_file",
        "flex_bg",
        "64bit",
        "dir_nlink",
        "extra_isize",
        "sparse_super",
        "large_file",
        "filetype",
        "dir_index",
        "ext_attr",
        # not metadata_csum: the superblock of two sectors has its checksum in the second, and no kernel mounts one of
        # which a power cut has left only one
    )
)

IMAGES_MODE = 0o777
"""Of /iso: whoever may mount a stick may put images there by hand and take them away, whatever his number is here."""


class Sink(Protocol):
    """A file that is being written. Its methods block, so they are called in threads, also in several at once."""

    def write(self, data: memoryview, offset: int) -> int:
        """Write bytes into the file.

        Returns:
            How many bytes more the device has accepted; some may wait in memory for the next write, or for `sync`.
        """

    def sync(self) -> int:
        """Return when the device has everything written so far, and how many bytes more that are."""

    def close(self) -> None:
        """Give the descriptor back; without `sync` nothing is sure."""


class DataRoom(Protocol):
    """The data partition of one stick, from `open` to `close`."""

    written_when_published: bool
    """Whether the blocks of a new file count as only reserved until it gets its name."""

    async def make_filesystem(self, data_uuid: str, label: str) -> None:
        """Make an empty filesystem; the room is not open then."""

    async def check(self) -> None:
        """Bring the filesystem in order after a crash; the room is not open then."""

    async def is_sound(self) -> bool:
        """Whether the filesystem has no error and no journal to replay; nothing is written."""

    async def mend(self) -> Mended:
        """Mend all that can be mended; the room is not open then.

        Raises:
            DeviceDamagedError: the filesystem is lost.
            DeviceError: the medium gives input/output errors.
        """

    async def open(self) -> None:
        """Make the other methods usable."""

    async def close(self) -> None:
        """Leave everything on the medium; safe to call twice."""

    async def make_directory(self, path: str, *, mode: int = 0o755) -> None:
        """Make a directory below the root unless it is there, with `mode` whatever our umask."""

    async def names(self, path: str) -> tuple[str, ...]:
        """What lies in a directory."""

    async def write_small(self, path: str, data: bytes) -> None:
        """Write a file as a whole, in place of one that may be there."""

    async def allocate(self, path: str, size: int) -> Sink:
        """Start a new file of `size` bytes."""

    async def reopen(self, path: str, size: int) -> Sink:
        """Go on with a file that was allocated with `size` bytes and closed before a checkpoint."""

    async def complete(self, path: str) -> None:
        """Let a file whose bytes are all written be read as such before it is published."""

    async def publish(self, old: str, new: str) -> None:
        """Rename a finished file, over one that may be there."""

    async def remove(self, path: str) -> None:
        """Remove a file if it is there."""

    async def remove_tree(self, path: str) -> None:
        """Remove a directory of the root with everything in it, if it is there."""

    async def move_directory(self, old: str, new: str) -> None:
        """Rename a directory; what is wrong with its links afterwards, `mend` puts right."""

    async def checkpoint(self) -> None:
        """Return when GRUB, which replays no journal, would find all that was done so far."""


class LinkingRoom(DataRoom, Protocol):
    """A room with ext4, on which a file can have two names."""

    async def link(self, old: Sequence[bytes], inode: int, new: str) -> None:
        """Give a file, named from the root on, a second name."""

    async def drop(self, old: Sequence[bytes]) -> bool:
        """Take one of two names of a file away, and its directories where nothing else is in them.

        False where that cannot be done here, and the name stays.
        """


def mke2fs(target: str, size: int, data_uuid: str, label: str, offset: int = 0) -> list[str]:
    """The command that makes the data filesystem with the figures that `layout.filesystem_capacity` reckons with.

    Args:
        target: node or file.
        size: bytes of the filesystem.
        data_uuid: UUID it gets.
        label: label it gets.
        offset: bytes before it in `target`.
    """
    extended = ["lazy_itable_init=0", "lazy_journal_init=0", "nodiscard", "root_owner=0:0"]
    if offset:
        extended.append(f"offset={offset}")
    return [
        "mke2fs",
        "-q",
        "-F",
        "-t",
        "ext4",
        "-b",
        str(BLOCK),
        "-I",
        str(INODE_SIZE),
        "-N",
        str(inode_count(size)),
        "-J",
        f"size={journal_size(size) // MIB}",
        "-O",
        FEATURES,
        "-m",
        "0",
        "-L",
        label,
        "-U",
        data_uuid,
        "-E",
        ",".join(extended),
        target,
        f"{size // 1024}K",
    ]


def mke2fs_for_changes(target: str, size: int, uuid: str, label: str, content: str, offset: int = 0) -> list[str]:
    """The command that makes a filesystem in which a live system keeps many small changes.

    Args:
        target: node or file.
        size: bytes of the filesystem.
        uuid: UUID of the filesystem.
        label: label of the filesystem.
        content: directory whose content it gets.
        offset: bytes before it in `target`.
    """
    extended = "lazy_itable_init=0,lazy_journal_init=0,nodiscard,root_owner=0:0"
    return [
        *("mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK), "-I", str(INODE_SIZE), "-O", FEATURES, "-m", "0"),
        *("-J", f"size={journal_size(size) // MIB}", "-L", label, "-U", uuid, "-d", content),
        *("-E", f"{extended},offset={offset}" if offset else extended, target, f"{size // 1024}K"),
    ]


async def e2fsck(target: str, pass_fds: tuple[int, ...] = (), *, force: bool) -> None:
    """Repair what can be repaired without asking.

    Raises:
        DeviceDamagedError: more is broken.
    """
    options = ["-f", "-p"] if force else ["-p"]
    done = await process.run(["e2fsck", *options, target], pass_fds=pass_fds, check=False, timeout=3600)
    # e2fsck(8): 1 and 2 mean that errors were corrected
    if done.returncode & ~3:
        said = (done.stdout.decode("utf-8", "replace") + "\n" + done.stderr).strip()
        raise DeviceDamagedError(
            "the filesystem of the data partition is damaged; repair the stick (luxusb repair), or make it anew:"
            f" {said[-600:]}"
        )
