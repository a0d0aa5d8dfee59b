"""A data partition on a real disk, mounted by the kernel where no other process sees it."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from luxusbd import process
from luxusbd.errors import DeviceBusyError, DeviceChangedError, DeviceDamagedError, FailedError, InternalError
from luxusbd.stick import fsck, partition, reader, room
from luxusbd.stick.blockio import BLKFLSBUF, MediumReader, finish, in_thread, sync, translated, write_all
from luxusbd.stick.mediumwriter import MediumWriter
from luxusbd.stick.model import Layout, PartitionRole

_CLONE_NEWNS = 0x00020000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_NOATIME = 2, 4, 8, 1024
_MS_REC, _MS_SLAVE = 0x4000, 1 << 19
_UMOUNT_NOFOLLOW = 8

_libc = ctypes.CDLL(None, use_errno=True)
_private = False


def enter_private_namespace() -> None:
    """Give this process mounts of its own: they are seen by nobody else and go when it ends, however it ends.

    What the machine unmounts goes here too (mount_namespaces(7), slave): a copy that stayed would keep disks busy.

    Has to run before the first thread starts, since unshare(2) moves only the calling one.

    Raises:
        FailedError: the kernel refuses; root is needed.
    """
    global _private
    if _libc.unshare(_CLONE_NEWNS) != 0:
        raise FailedError(f"no mount namespace of its own: {os.strerror(ctypes.get_errno())}")
    _mount("none", "/", None, _MS_REC | _MS_SLAVE, None)
    _private = True


def hide_temporary_files() -> None:
    """Put this process's temporary files into memory that goes with it, so that a killed worker leaves none behind.

    TMPDIR may be the same for several workers: each sees memory of its own there, and nothing else that lies in it.

    Raises:
        InternalError: `enter_private_namespace` was not called, and everybody else would lose sight of theirs.
    """
    if not _private:
        raise InternalError("temporary files are hidden in a private mount namespace only")
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    # tempfile takes another directory than the one that is named when its filesystem is full, and that one is not ours
    tempfile.tempdir = os.environ.get("TMPDIR") or tempfile.gettempdir()
    _mount("luxusb", tempfile.tempdir, "tmpfs", flags, "mode=0700,size=256m")


def _open_directory(name: str, directory: int) -> int:
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        raise DeviceDamagedError(f"/{name} on the stick is no directory: {error.strerror}") from error


class MountedRoom:
    """The data partition of a disk; a `room.DataRoom`.

    Args:
        fd: the whole disk, opened for writing and locked by the caller, whose partitions the kernel knows.
        layout: where the partition is.

    Raises:
        InternalError: `enter_private_namespace` was not called.
    """

    written_when_published = False

    def __init__(self, fd: int, layout: Layout) -> None:
        if not _private:
            raise InternalError("a stick is mounted in a private mount namespace only")
        self._fd = fd
        self._layout = layout
        self._mountpoint: str | None = None
        self._root = -1

    async def make_filesystem(self, data_uuid: str, label: str) -> None:
        """Make an empty filesystem."""
        node = self._node()
        await finish(process.run(room.mke2fs(node.path, node.size, data_uuid, label), timeout=1800))
        await in_thread(self._flush)

    async def check(self) -> None:
        """Replay the journal, and repair when the kernel noted errors."""
        await finish(room.e2fsck(self._node().path, force=False))

    async def is_sound(self) -> bool:
        """Whether the filesystem has no error and no journal to replay."""
        state = await in_thread(self._superblock)
        return state.clean and await fsck.is_sound(self._node().path)

    async def mend(self) -> fsck.Mended:
        """Let e2fsck mend it."""
        state = await in_thread(self._superblock)
        done = await fsck.mend(self._node().path, readable=state.readable, backup=state.backup)
        await in_thread(self._flush)
        return done

    async def open(self) -> None:
        """Mount."""
        await in_thread(self._open)

    async def close(self) -> None:
        """Unmount, and flush the disk's own cache."""
        await in_thread(self._close)

    async def make_directory(self, path: str, *, mode: int = 0o755) -> None:
        """Make a directory below the root unless it is there."""
        await in_thread(self._make_directory, path, mode)

    async def names(self, path: str) -> tuple[str, ...]:
        """What lies in a directory."""
        return await in_thread(self._names, path)

    async def write_small(self, path: str, data: bytes) -> None:
        """Write a file beside and rename it over the one that may be there."""
        await in_thread(self._write_small, path, data)

    async def allocate(self, path: str, size: int) -> room.Sink:
        """Start a new file of `size` bytes."""
        return await in_thread(self._allocate, path, size)

    async def reopen(self, path: str, size: int) -> room.Sink:
        """Go on with a file that was allocated."""
        return await in_thread(self._reopen, path, size)

    async def complete(self, path: str) -> None:
        """Nothing: the kernel marks blocks as it writes them."""

    async def publish(self, old: str, new: str) -> None:
        """Rename a finished file."""
        await in_thread(self._rename, old, new)

    async def remove(self, path: str) -> None:
        """Remove a file if it is there."""
        await in_thread(self._remove, path)

    async def remove_tree(self, path: str) -> None:
        """Remove a directory with everything in it, if it is there; links in it are not followed."""
        await in_thread(self._remove_tree, path)

    async def move_directory(self, old: str, new: str) -> None:
        """Rename a directory."""
        await in_thread(self._rename, old, new)

    async def link(self, old: Sequence[bytes], inode: int, new: str) -> None:
        """Give a file, named from the root on, a second name."""
        await in_thread(self._link, old, inode, new)

    async def drop(self, old: Sequence[bytes]) -> bool:
        """Take one of two names of a file away, and its directories where nothing else is in them."""
        await in_thread(self._drop, old)
        return True

    async def checkpoint(self) -> None:
        """Unmount and mount again: after that nothing is in the journal alone.

        FIFREEZE would do the same, but a worker killed before FITHAW would leave the filesystem frozen.
        """
        await in_thread(self._close)
        await in_thread(self._open)

    def _node(self) -> partition.PartitionNode:
        return partition.find_node(self._fd, self._layout, PartitionRole.DATA)

    def _superblock(self) -> reader.Superblock:
        self._forget_cached()
        with MediumReader(self._fd) as medium:
            return reader.superblock(medium.read_at, self._layout)

    def _forget_cached(self) -> None:
        with open(self._node().path, "rb", buffering=0) as file:  # noqa: PTH123
            # earlier writes through the whole disk are not in the partition's cache
            fcntl.ioctl(file, BLKFLSBUF)

    def _open(self) -> None:
        node = self._node()
        self._forget_cached()
        self._mountpoint = tempfile.mkdtemp(prefix="luxusb-mount-")
        flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC | _MS_NOATIME
        try:
            _mount(node.path, self._mountpoint, "ext4", flags, "errors=remount-ro")
        except FailedError:
            Path(self._mountpoint).rmdir()
            self._mountpoint = None
            raise
        self._root = os.open(self._mountpoint, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _close(self) -> None:
        if self._mountpoint is None:
            return
        if self._root >= 0:
            os.close(self._root)
            self._root = -1
        if _libc.umount2(self._mountpoint.encode(), _UMOUNT_NOFOLLOW) != 0:
            number = ctypes.get_errno()
            if number == errno.EBUSY:
                raise DeviceBusyError("the data partition cannot be unmounted: it is in use")
            raise FailedError(f"the data partition cannot be unmounted: {os.strerror(number)}")
        Path(self._mountpoint).rmdir()
        self._mountpoint = None
        self._flush()

    def _flush(self) -> None:
        node = self._node()
        with open(node.path, "rb", buffering=0) as file:  # noqa: PTH123
            os.fsync(file.fileno())
        sync(self._fd)
        # pages of the whole disk that were read before are stale now
        fcntl.ioctl(self._fd, BLKFLSBUF)

    def _directory(self, path: str) -> tuple[int, str]:
        # the filesystem may come from a stranger: a link in it must not lead root out of it
        parts = path.split("/")
        if len(parts) not in (2, 3) or parts[0] or not all(parts[1:]):
            raise InternalError(f"{path!r} is no path on a stick")
        if len(parts) == 2:
            return os.dup(self._root), parts[1]
        return _open_directory(parts[1], self._root), parts[2]

    def _make_directory(self, path: str, mode: int) -> None:
        directory, name = self._directory(path)
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, mode, dir_fd=directory)
            fd = _open_directory(name, directory)
            try:
                # our umask, or a kill right here in an earlier run, may have left less
                if os.fstat(fd).st_mode & mode != mode:
                    os.fchmod(fd, mode)
            finally:
                os.close(fd)
        finally:
            os.close(directory)

    def _names(self, path: str) -> tuple[str, ...]:
        directory, _name = self._directory(path + "/.")
        try:
            return tuple(os.listdir(directory))  # noqa: PTH208 - a path would follow links
        finally:
            os.close(directory)

    def _write_small(self, path: str, data: bytes) -> None:
        directory, name = self._directory(path)
        try:
            temporary = name + ".tmp"
            self._unlink(temporary, directory)
            fd = self._create(temporary, directory)
            try:
                write_all(fd, data, 0)
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            os.fsync(directory)
        except OSError as error:
            raise translated(error, "writing") from error
        finally:
            os.close(directory)

    def _allocate(self, path: str, size: int) -> room.Sink:
        directory, name = self._directory(path)
        try:
            self._unlink(name, directory)
            fd = self._create(name, directory)
            try:
                os.posix_fallocate(fd, 0, size)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            raise translated(error, "writing") from error
        finally:
            os.close(directory)
        return _FileSink(fd)

    def _reopen(self, path: str, size: int) -> room.Sink:
        directory, name = self._directory(path)
        try:
            fd = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        except OSError as error:
            raise translated(error, "writing") from error
        finally:
            os.close(directory)
        if os.fstat(fd).st_size != size:
            os.close(fd)
            raise DeviceDamagedError(f"{path} was changed while it was written")
        return _FileSink(fd)

    def _rename(self, old: str, new: str) -> None:
        directory, name = self._directory(old)
        target, new_name = self._directory(new)
        try:
            os.rename(name, new_name, src_dir_fd=directory, dst_dir_fd=target)
            os.fsync(target)
        except OSError as error:
            raise translated(error, "writing") from error
        finally:
            os.close(directory)
            os.close(target)

    def _remove(self, path: str) -> None:
        directory, name = self._directory(path)
        try:
            self._unlink(name, directory)
        except OSError as error:
            raise translated(error, "writing") from error
        finally:
            os.close(directory)

    def _link(self, old: Sequence[bytes], inode: int, new: str) -> None:
        target, name = self._directory(new)
        try:
            directory = self._descend(old[:-1])
            try:
                if os.stat(old[-1], dir_fd=directory, follow_symlinks=False).st_ino != inode:
                    raise DeviceChangedError("the images were changed while they were looked at; try again")
                os.link(old[-1], name, src_dir_fd=directory, dst_dir_fd=target, follow_symlinks=False)
                os.fsync(target)
            finally:
                os.close(directory)
        except OSError as error:
            raise translated(error, "writing") from error
        finally:
            os.close(target)

    def _drop(self, old: Sequence[bytes]) -> None:
        try:
            directory = self._descend(old[:-1])
            try:
                os.unlink(old[-1], dir_fd=directory)
            finally:
                os.close(directory)
            for depth in range(len(old) - 1, 0, -1):
                above = self._descend(old[: depth - 1])
                try:
                    os.rmdir(old[depth - 1], dir_fd=above)
                except OSError as error:
                    if error.errno != errno.ENOTEMPTY:
                        raise
                    break
                finally:
                    os.close(above)
        except OSError as error:
            raise translated(error, "writing") from error

    def _descend(self, names: Sequence[bytes]) -> int:
        at = os.dup(self._root)
        for name in names:
            try:
                below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            finally:
                os.close(at)
            at = below
        return at

    def _remove_tree(self, path: str) -> None:
        directory, name = self._directory(path)
        try:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(name, dir_fd=directory)
        except OSError as error:
            raise translated(error, "writing") from error
        finally:
            os.close(directory)

    @staticmethod
    def _create(name: str, directory: int) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=directory)
        # the stick goes to other machines, whose users are not ours: who may mount it may read it
        os.fchmod(fd, 0o644)
        return fd

    @staticmethod
    def _unlink(name: str, directory: int) -> None:
        try:
            os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            return


class _FileSink:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._medium = MediumWriter(fd)

    def write(self, data: memoryview, offset: int) -> int:
        return self._medium.write(data, offset)

    def sync(self) -> int:
        return self._medium.sync()

    def close(self) -> None:
        self._medium.close()
        os.close(self._fd)


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None) -> None:
    result = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )
    if result != 0:
        raise FailedError(f"mounting {source} failed: {os.strerror(ctypes.get_errno())}")
