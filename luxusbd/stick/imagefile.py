"""A data partition inside a file, filled without root: no loop device, no mount.

debugfs changes the metadata; the bytes of images go straight into the blocks that it allocated.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from luxusbd import process
from luxusbd.errors import InternalError, NotEnoughSpaceError, ToolFailedError
from luxusbd.stick import fsck, reader, room
from luxusbd.stick.blockio import finish, in_thread, read_at, sync
from luxusbd.stick.ext4 import Ext4
from luxusbd.stick.filesystem import Extent
from luxusbd.stick.mediumwriter import MediumWriter
from luxusbd.stick.model import Layout, PartitionRole
from luxusbd.text import size_text

_SAFE = re.compile(r"([A-Za-z0-9._+-]+|#[0-9]+)\Z")
_BANNER = re.compile(r"debugfs \d[^\n]*\Z")


class FileRoom:
    """The data partition of an image file; a `room.DataRoom`.

    Args:
        fd: the image file, opened for writing and locked by the caller.
        layout: where the partition is.
        work: directory for temporary files.
    """

    written_when_published = True

    def __init__(self, fd: int, layout: Layout, work: Path) -> None:
        self._fd = fd
        self._layout = layout
        self._part = layout.partition(PartitionRole.DATA)
        self._work = work

    @property
    def _target(self) -> str:
        return f"/proc/self/fd/{self._fd}?offset={self._part.start}"

    async def make_filesystem(self, data_uuid: str, label: str) -> None:
        """Make an empty filesystem."""
        command = room.mke2fs(f"/proc/self/fd/{self._fd}", self._part.size, data_uuid, label, self._part.start)
        await finish(process.run(command, pass_fds=(self._fd,), timeout=1800))
        await self.checkpoint()

    async def check(self) -> None:
        """Look through the whole filesystem: a killed debugfs leaves no mark that it was at work."""
        await self._replay()
        await finish(room.e2fsck(self._target, (self._fd,), force=True))

    async def is_sound(self) -> bool:
        """Whether the filesystem has no error and no journal to replay."""
        state = await in_thread(self._superblock)
        return state.clean and await fsck.is_sound(self._target, (self._fd,))

    async def mend(self) -> fsck.Mended:
        """Let e2fsck mend it."""
        state = await in_thread(self._superblock)
        if state.readable:
            await self._replay()
        done = await fsck.mend(self._target, (self._fd,), readable=state.readable, backup=state.backup)
        await self.checkpoint()
        return done

    def _superblock(self) -> reader.Superblock:
        return reader.superblock(read_at(self._fd), self._layout)

    async def _replay(self) -> None:
        """Replay the journal of a stick that was pulled while it was mounted, and copied into a file.

        e2fsck does it and then opens the filesystem anew without the offset (1.47: e2fsck_run_ext3_journal), so that it
        fails before it takes the mark away that a replay is due. An empty journal proves that it got that far.
        """
        if not (await in_thread(self._filesystem)).needs_recovery:
            return
        await finish(
            process.run(
                ["e2fsck", "-p", "-E", "journal_only", self._target], pass_fds=(self._fd,), check=False, timeout=3600
            )
        )
        filesystem = await in_thread(self._filesystem)
        if filesystem.needs_recovery and await in_thread(filesystem.journal_empty):
            await self._debugfs("feature -needs_recovery")

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Flush."""
        await self.checkpoint()

    async def make_directory(self, path: str, *, mode: int = 0o755) -> None:
        """Make a directory below the root unless it is there."""
        if not await in_thread(self._exists, path):
            await self._debugfs(f"mkdir {_checked(path)}", f"sif {_checked(path)} mode 040{mode:03o}")

    async def names(self, path: str) -> tuple[str, ...]:
        """What lies in a directory."""
        return await in_thread(lambda: self._filesystem().list(path))

    async def write_small(self, path: str, data: bytes) -> None:
        """Write a file as a whole, in place of one that may be there."""
        directory, name = _split(path)
        source = self._work / "small"
        await in_thread(source.write_bytes, data)
        temporary = f"{name}.tmp"
        await self.remove(f"{directory}/{temporary}")
        # `write` takes its second argument for a name in the current directory, slashes and all
        await self._debugfs(f"cd {directory}", f"write small {temporary}", f"sif {temporary} mode 0100644")
        await self.checkpoint()
        # debugfs fills a file after it has named it, so that only a finished one may get the name that counts
        await self.publish(f"{directory}/{temporary}", path)

    async def allocate(self, path: str, size: int) -> room.Sink:
        """Start a new file of `size` bytes, on blocks that read as zeros until it is published."""
        directory, name = _split(path)
        free = await in_thread(lambda: self._filesystem().free_bytes())
        if size > free:
            raise NotEnoughSpaceError(f"an image of {size_text(size)} does not fit into {size_text(free)} on the stick")
        block = (await in_thread(self._filesystem)).block_size
        await in_thread((self._work / "small").write_bytes, b"")
        await self._debugfs(
            f"cd {directory}",
            f"write small {name}",
            f"sif {name} mode 0100644",
            f"fallocate {name} 0 {(size - 1) // block}",
            f"sif {name} size {size}",
        )
        return await self.reopen(path, size)

    async def reopen(self, path: str, size: int) -> room.Sink:
        """Go on with a file that was allocated."""
        filesystem = await in_thread(self._filesystem)
        extents = await in_thread(filesystem.extents, path)
        return _ExtentSink(self._fd, self._part.start, filesystem.block_size, extents, size)

    async def complete(self, path: str) -> None:
        """Mark the blocks as written."""
        if commands := await self._marking(path):
            await self._debugfs(*commands)

    async def publish(self, old: str, new: str) -> None:
        """Mark the blocks as written and rename."""
        commands = await self._marking(old)
        if await in_thread(self._exists, new):
            commands.append(f"rm {_checked(new)}")
        # debugfs's ln and unlink leave the link count alone, so that it stays 1
        await self._debugfs(*commands, f"ln {old} {_checked(new)}", f"unlink {old}")
        await self.checkpoint()

    async def _marking(self, path: str) -> list[str]:
        _checked(path)
        filesystem = await in_thread(self._filesystem)
        extents = await in_thread(filesystem.extents, path)
        commands: list[str] = []
        if any(not extent.initialised for extent in extents):
            commands.append(f"extent_open {path}")
            for extent in extents:
                if not extent.initialised:
                    commands += [
                        f"goto_block {extent.logical}",
                        f"replace_node {extent.logical} {extent.length} {extent.physical}",
                    ]
            commands.append("extent_close")
        return commands

    async def remove(self, path: str) -> None:
        """Remove a file if it is there."""
        if await in_thread(self._exists, path):
            await self._debugfs(f"rm {_checked(path)}")

    async def remove_tree(self, path: str) -> None:
        """Remove a directory of the root with everything in it, if it is there."""
        filesystem = await in_thread(self._filesystem)
        found = await in_thread(filesystem.tree, _checked(path))
        if not found:
            return
        # by numbers, since a live system gives names that debugfs would not take; from the bottom, since e2fsck -p
        # clears names of what is gone, and gives up on what has lost its name
        commands: list[str] = []
        for inode in reversed(found):
            commands += [f"sif <{inode.number}> links_count 0", f"kill_file <{inode.number}>"]
        links = await in_thread(filesystem.links_of_root)
        await self._debugfs(*commands, f"unlink {path}", f"sif / links_count {links - 1}")
        await self.checkpoint()

    async def move_directory(self, old: str, new: str) -> None:
        """Rename a directory, whose link to the one above it stays wrong until `mend`."""
        await self._debugfs(f"ln {_checked(old)} {_checked(new)}", f"unlink {old}")
        await self.checkpoint()

    async def link(self, old: Sequence[bytes], inode: int, new: str) -> None:
        """Give a file, named from the root on, a second name."""
        del old
        await self._debugfs(f"ln <{inode}> {_checked(new)}", f"sif <{inode}> links_count 2")
        await self.checkpoint()

    async def drop(self, old: Sequence[bytes]) -> bool:
        """Take one of two names of a file away, and its directories where nothing else is in them.

        False where debugfs cannot be told of the name, which stays then.
        """
        names = [part.decode("utf-8", "replace") for part in old]
        if not all(_SAFE.match(name) and not name.startswith("-") for name in names):
            return False
        path = "/" + "/".join(names)
        await self._debugfs(f"sif {path} links_count 1", f"unlink {path}")
        for depth in range(len(names) - 1, 0, -1):
            above = "/" + "/".join(names[:depth])
            if (await in_thread(self._filesystem)).list(above):
                break
            await self._debugfs(f"rmdir {above}")
        await self.checkpoint()
        return True

    async def checkpoint(self) -> None:
        """Flush the file; debugfs writes no journal, so what it wrote is in place."""
        await in_thread(sync, self._fd)

    def _filesystem(self) -> Ext4:
        read = read_at(self._fd)
        start = self._part.start
        return Ext4(lambda offset, length: read(start + offset, length), self._part.size)

    def _exists(self, path: str) -> bool:
        return self._filesystem().lookup(path) is not None

    async def _debugfs(self, *commands: str) -> None:
        done = await finish(
            process.run(
                ["debugfs", "-w", "-f", "-", self._target],
                stdin="".join(f"{command}\n" for command in commands).encode("ascii"),
                pass_fds=(self._fd,),
                cwd=str(self._work),
                timeout=600,
            )
        )
        # its exit status is 0 whatever happened
        said = [line for line in done.stderr.splitlines() if line.strip() and not _BANNER.match(line)]
        if said:
            raise ToolFailedError(f"debugfs failed on the image file: {'; '.join(said)[:1000]}")


class _ExtentSink:
    def __init__(self, fd: int, start: int, block: int, extents: tuple[Extent, ...], size: int) -> None:
        self._start = start
        self._block = block
        self._extents = extents
        self._size = size
        if sum(extent.length for extent in extents) * block < size:
            raise NotEnoughSpaceError("the data partition has too few free blocks for the image")
        self._medium = MediumWriter(fd)

    def write(self, data: memoryview, offset: int) -> int:
        if offset + len(data) > self._size:
            raise InternalError("a write beyond the end of an image")
        accepted = 0
        while data:
            position, room_left = self._place(offset)
            count = min(room_left, len(data))
            accepted += self._medium.write(data[:count], position)
            data = data[count:]
            offset += count
        return accepted

    def sync(self) -> int:
        return self._medium.sync()

    def close(self) -> None:
        """The descriptor is the caller's."""
        self._medium.close()

    def _place(self, offset: int) -> tuple[int, int]:
        for extent in self._extents:
            first = extent.logical * self._block
            length = extent.length * self._block
            if first <= offset < first + length:
                inside = offset - first
                return self._start + extent.physical * self._block + inside, length - inside
        raise InternalError(f"byte {offset} of an image has no block")


def _split(path: str) -> tuple[str, str]:
    directory, name = os.path.split(_checked(path))
    return directory, name


def _checked(path: str) -> str:
    parts = path.split("/")
    if parts[0] or len(parts) > 3 or not all(_SAFE.match(part) and not part.startswith("-") for part in parts[1:]):
        raise InternalError(f"{path!r} is no path that may be given to debugfs")
    return path
