"""A data partition in FAT32 or exFAT, on a disk or in an image file, changed by our own code: no mount, no root.

The kernel's drivers write in whatever order they like, and many kernels have none for exFAT; `clusterwriter` says what
ours promises.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from luxusbd.errors import DeviceDamagedError, DeviceMountedError, InternalError, MalformedImageError
from luxusbd.stick import clusterfsck, clustermake, detect, fsck, partition, room
from luxusbd.stick.blockio import in_thread, translated
from luxusbd.stick.clusterblocks import FileBlocks
from luxusbd.stick.clusters import Run
from luxusbd.stick.clusterwriter import ClusterWriter
from luxusbd.stick.exfat import ExFat
from luxusbd.stick.fat32 import Fat32
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.mediumwriter import MediumWriter
from luxusbd.stick.model import Layout, PartitionRole

_DEEPEST = 64


class ClusterRoom:
    """The data partition of a stick; a `room.DataRoom`.

    Args:
        fd: the disk or the image file, opened for writing and locked by the caller.
        layout: where the partition is.
        kind: which filesystem it has or is to have.
        work: directory for temporary files.
        disk: whether it is a disk, whose partition somebody could mount meanwhile.
    """

    def __init__(self, fd: int, layout: Layout, kind: Kind, work: Path, *, disk: bool) -> None:
        self._fd = fd
        self._layout = layout
        self._part = layout.partition(PartitionRole.DATA)
        self._kind = kind
        self._work = work
        self._disk = disk
        self._held = -1
        self._blocks = FileBlocks(fd, self._part.start)
        self._open: ClusterWriter[Fat32] | ClusterWriter[ExFat] | None = None
        # exFAT knows how far a file was written; FAT32 does not
        self.written_when_published = kind is Kind.EXFAT

    async def make_filesystem(self, data_uuid: str, label: str) -> None:
        """Make an empty filesystem."""
        await clustermake.make(self._fd, self._part, self._kind, data_uuid, label, self._work)

    async def check(self) -> None:
        """Clear away what a cut has left; a volume that is marked clean is believed."""

        def work() -> None:
            found = detect.open_as(self._kind, self._blocks.read, self._part.size)
            if found.clean and not found.has_errors:
                return
            looked = clusterfsck.look(self._blocks, self._kind, self._part.size)
            if not looked.whole:
                problems = "; ".join(looked.survey.problems[:3]) or "it is marked as broken"
                raise DeviceDamagedError(
                    f"the filesystem of the data partition is damaged; repair the stick (luxusb repair): {problems}"
                )
            clusterfsck.tidy(looked)

        try:
            await in_thread(work)
        except MalformedImageError as error:
            raise DeviceDamagedError(
                f"the filesystem of the data partition cannot be read; repair the stick (luxusb repair): {error}"
            ) from error

    async def is_sound(self) -> bool:
        """Whether the filesystem has no error and nothing that a cut has left."""
        return await clusterfsck.is_sound(self._blocks, self._kind, self._part.size, self._work)

    async def mend(self) -> fsck.Mended:
        """Let its fsck mend it."""
        return await clusterfsck.mend(self._blocks, self._kind, self._part.size, self._work)

    async def open(self) -> None:
        """Read what is free, and keep others from mounting the partition."""
        await in_thread(self._hold)
        self._open = await in_thread(clusterfsck.open_filesystem, self._blocks, self._kind, self._part.size)

    async def close(self) -> None:
        """Leave a filesystem that is marked clean."""
        try:
            if self._open is not None:
                writer, self._open = self._open, None
                await in_thread(writer.finish)
        finally:
            if self._held >= 0:
                os.close(self._held)
                self._held = -1

    async def make_directory(self, path: str, *, mode: int = 0o755) -> None:  # noqa: ARG002
        """Make a directory below the root unless it is there; there are no permissions here."""
        await in_thread(self._writer.make_directory, path)

    async def names(self, path: str) -> tuple[str, ...]:
        """What lies in a directory."""
        return await in_thread(self._writer.fs.list, path)

    async def write_small(self, path: str, data: bytes) -> None:
        """Write a file as a whole, in place of one that may be there."""
        await in_thread(self._writer.write_small, path, data)

    async def allocate(self, path: str, size: int) -> room.Sink:
        """Start a new file of `size` bytes."""
        runs = await in_thread(self._writer.allocate, path, size)
        return _RunSink(self._fd, self._part.start, self._writer, runs, size)

    async def reopen(self, path: str, size: int) -> room.Sink:
        """Go on with a file that was allocated."""

        def runs() -> tuple[Run, ...]:
            entry = self._writer.fs.lookup(path)
            if entry is None or entry.size != size:
                raise DeviceDamagedError(f"{path} was changed while it was written")
            return tuple(self._writer.fs.runs(entry))

        return _RunSink(self._fd, self._part.start, self._writer, await in_thread(runs), size)

    async def complete(self, path: str) -> None:
        """Say that all bytes of it are written, which exFAT keeps beside the size."""

        def write() -> None:
            entry = self._writer.fs.lookup(path)
            if entry is not None and entry.valid < entry.size:
                # a name that is written anew says so
                self._writer.publish(path, path)

        await in_thread(write)

    async def publish(self, old: str, new: str) -> None:
        """Rename a finished file, over one that may be there."""
        await in_thread(self._writer.publish, old, new)

    async def remove(self, path: str) -> None:
        """Remove a file if it is there."""
        await in_thread(self._writer.remove, path)

    async def remove_tree(self, path: str) -> None:
        """Remove a directory with everything in it, if it is there."""
        await in_thread(self._remove_tree, path, 0)

    async def move_directory(self, old: str, new: str) -> None:
        """Rename a directory; its link to the one above stays wrong until `mend`, if that is another one."""
        await in_thread(self._writer.publish, old, new)

    async def checkpoint(self) -> None:
        """Bring everything onto the medium, and mark the volume clean."""
        await in_thread(self._writer.finish)

    @property
    def _writer(self) -> ClusterWriter[Fat32] | ClusterWriter[ExFat]:
        if self._open is None:
            raise InternalError("the data partition is not open")
        return self._open

    def _remove_tree(self, path: str, depth: int) -> None:
        entry = self._writer.fs.lookup(path)
        if entry is None:
            return
        if depth > _DEEPEST:
            raise DeviceDamagedError(f"{path} on the stick is nested too deeply")
        if not entry.is_directory:
            self._writer.remove(path)
            return
        for name in self._writer.fs.list(path):
            self._remove_tree(f"{path}/{name}", depth + 1)
        self._writer.remove_directory(path)

    def _hold(self) -> None:
        if not self._disk:
            return
        path = partition.find_node(self._fd, self._layout, PartitionRole.DATA).path
        try:
            self._held = os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise DeviceMountedError(f"{path} is in use: unmount it first") from error
            raise translated(error, "opening") from error


class _RunSink:
    def __init__(
        self,
        fd: int,
        start: int,
        writer: ClusterWriter[Fat32] | ClusterWriter[ExFat],
        runs: Sequence[Run],
        size: int,
    ) -> None:
        self._medium = MediumWriter(fd)
        self._size = size
        cluster = writer.fs.cluster_size
        self._parts: list[tuple[int, int, int]] = []
        at = 0
        for run in runs:
            self._parts.append((at, start + writer.fs.place(run.first), run.count * cluster))
            at += run.count * cluster

    def write(self, data: memoryview, offset: int) -> int:
        if offset + len(data) > self._size:
            raise InternalError("a write beyond the end of an image")
        accepted = 0
        for first, place, length in self._parts:
            begin, end = max(first, offset), min(first + length, offset + len(data))
            if begin < end:
                accepted += self._medium.write(data[begin - offset : end - offset], place + begin - first)
        return accepted

    def sync(self) -> int:
        return self._medium.sync()

    def close(self) -> None:
        """The descriptor is the caller's."""
        self._medium.close()
