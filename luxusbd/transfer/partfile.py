"""A partial file on the disk: `<name>.part` and the claims about it in `<name>.part.json`.

Everything here blocks and is called from threads. The order that makes the claims true after a power cut: write the
data, fdatasync it, write the claims beside the old ones, fsync them, rename them into place, fsync the directory.
One older state is kept as `.part.json.bak`, so that a damaged `.part.json` costs one interval and not the whole part;
it goes before any claim is withdrawn.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from luxusbd.errors import FailedError, InvalidArgumentError, NotEnoughSpaceError
from luxusbd.text import size_text
from luxusbd.transfer.diskio import (
    HASH_STEP,
    HOLE_ALIGN,
    NO_HOLES,
    Hash,
    allocate,
    allocated,
    disk_error,
    free_space,
    hash_span,
    punch,
)
from luxusbd.transfer.partstate import STATE_LIMIT, PartState, PartStateError, decode, encode
from luxusbd.transfer.segments import SpanSet

PART = ".part"
STATE = ".part.json"
NEW_STATE = ".part.json.tmp"
OLD_STATE = ".part.json.bak"
MAX_NAME = 255 - len(NEW_STATE)


class PartBusyError(FailedError):
    """Another process, or another job of this one, writes the same file."""


def check_name(name: str) -> None:
    """Refuse a name that would leave the directory or that no filesystem takes.

    Raises:
        InvalidArgumentError: with the reason.
    """
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise InvalidArgumentError(f"{name!r} is no plain file name")
    if len(os.fsencode(name)) > MAX_NAME:
        raise InvalidArgumentError(f"the file name {name[:40]!r}... is longer than {MAX_NAME} bytes")


class PartFile:
    """An open, locked `.part` in an open directory. One thread at a time, except for writes to disjoint places."""

    def __init__(self, directory: str, name: str, dir_fd: int, fd: int) -> None:
        self.directory = directory
        self.name = name
        self._dir_fd = dir_fd
        self.fd = fd
        self.reserved = False
        """Whether the filesystem has set aside the space of the whole file."""

    @property
    def path(self) -> str:
        """Where the finished file will be."""
        return str(Path(self.directory) / self.name)

    @staticmethod
    def open(directory: str, name: str) -> PartFile:
        """Open or create the `.part` and lock it against every other process.

        Raises:
            PartBusyError: somebody else holds it.
            FailedError: the directory or the file cannot be opened.
            InvalidArgumentError: `name` is no plain file name.
        """
        check_name(name)
        dir_fd = _open_directory(directory)
        try:
            fd = _open_locked(dir_fd, name + PART, directory)
        except BaseException:
            os.close(dir_fd)
            raise
        return PartFile(directory, name, dir_fd, fd)

    def close(self) -> None:
        """Give the lock back. Leaves an empty part without claims behind as nothing at all."""
        if os.fstat(self.fd).st_size == 0 and not self.finished and not self._exists(STATE):
            self._unlink(PART)
        os.close(self.fd)
        os.close(self._dir_fd)

    finished = False

    def load(self) -> tuple[PartState | None, str]:
        """The claims, from `.part.json` or else from the one before it; and why there are none, for the log."""
        reasons = []
        for suffix in (STATE, OLD_STATE):
            try:
                state = decode(self._read(suffix))
            except FileNotFoundError:
                continue
            except (PartStateError, OSError) as error:
                reasons.append(f"{self.name}{suffix} is damaged ({error})")
                continue
            if state.done.end > os.fstat(self.fd).st_size:
                reasons.append(f"{self.name}{PART} is shorter than {self.name}{suffix} says")
                continue
            return state, "; ".join(reasons)
        return None, "; ".join(reasons)

    def load_claims(self) -> PartState | None:
        """The claims in `.part.json` whatever the part looks like, None without readable ones."""
        try:
            return decode(self._read(STATE))
        except (FileNotFoundError, PartStateError):
            return None

    def prove(self, state: PartState, stop: Callable[[], bool]) -> Hash | None:
        """Hash the prefix again: the running hash when the bytes are what was claimed, else None.

        `stop` is asked now and then; when it says yes the answer is None.
        """
        running = hashlib.sha256()
        position = 0
        while position < state.prefix_length:
            if stop():
                return None
            step = min(HASH_STEP, state.prefix_length - position)
            if hash_span(self.fd, running, position, position + step) != step:
                return None
            position += step
        return running if running.copy().hexdigest() == state.prefix_sha256 else None

    def make_room(self, total: int, reserve: int) -> None:
        """Set aside the space for a file of `total` bytes.

        Raises:
            NotEnoughSpaceError: it does not fit; the text says how much is missing.
            FailedError: the disk failed.
        """
        try:
            self._check_room(total, reserve)
            self.reserved = allocate(self.fd, total)
        except OSError as error:
            raise disk_error(error, self.path, max(0, total - allocated(self.fd))) from error

    def make_window(self, size: int, reserve: int, written: SpanSet) -> None:
        """Have the part occupy no more than the bytes that are `written`, and check that `size` bytes of it fit.

        Nothing is set aside: what is given back meanwhile would have to be set aside again.

        Raises:
            NotEnoughSpaceError: they do not fit; the text says how much is missing.
            FailedError: the disk failed.
        """
        try:
            os.ftruncate(self.fd, written.end)
            for gap in written.missing(written.end):
                punch(self.fd, gap.start, gap.end)
            self.reserved = False
            self._check_room(size, reserve)
        except OSError as error:
            raise disk_error(error, self.path) from error

    def check_holes(self) -> None:
        """Find out whether the filesystem takes back parts of a file; no byte of the part changes.

        Raises:
            FailedError: it does not, or the disk failed.
        """
        end = os.fstat(self.fd).st_size
        try:
            punch(self.fd, end, end + HOLE_ALIGN)
        except OSError as error:
            if error.errno not in NO_HOLES:
                raise disk_error(error, self.path) from error
            raise FailedError(
                f"the filesystem of {self.directory} cannot take back parts of a file ({error.strerror}), so that"
                f" {self.name} cannot pass through it: leave the image on the host instead"
            ) from error

    def _check_room(self, size: int, reserve: int) -> None:
        needed = max(0, size - allocated(self.fd))
        lacking = needed + reserve - free_space(self.fd)
        if needed > 0 and lacking > 0:
            raise NotEnoughSpaceError(
                f"{self.name} needs {size_text(needed)} more in {self.directory},"
                f" and {size_text(lacking)} too little are free: free some space, then resume the job"
            )

    def sync(self) -> None:
        """fdatasync: what was written before this call survives a power cut once it returned."""
        os.fdatasync(self.fd)

    def save(self, state: PartState, *, keep_old: bool = True) -> None:
        """Put claims beside the part. Every byte of `state.done` must have been synced before.

        Without `keep_old` the older state goes first: for claims that withdraw some of those before.
        """
        if not keep_old:
            self._unlink(OLD_STATE)
            self._sync_directory()
        self._write(NEW_STATE, encode(state))
        if keep_old:
            self._keep_old_state()
        os.rename(self.name + NEW_STATE, self.name + STATE, src_dir_fd=self._dir_fd, dst_dir_fd=self._dir_fd)
        self._sync_directory()

    def clear(self) -> None:
        """Forget everything: no claims, no bytes."""
        self.forget()
        os.ftruncate(self.fd, 0)
        self.reserved = False

    def forget(self) -> None:
        """Remove all claims; they do not come back with a power cut."""
        for suffix in (OLD_STATE, STATE, NEW_STATE):
            self._unlink(suffix)
        self._sync_directory()

    def give_back(self, start: int, end: int) -> None:
        """Give the bytes [start, end) back to the filesystem; all before `start` were given back already.

        The claims must be gone, see `forget`.

        Raises:
            OSError: from fallocate(2).
        """
        punch(self.fd, start - start % HOLE_ALIGN, end)

    def finish(self, size: int) -> None:
        """Give the part its final name, replacing an older file of that name. It must be complete and synced."""
        if os.fstat(self.fd).st_size != size:
            os.ftruncate(self.fd, size)
        os.fsync(self.fd)
        os.rename(self.name + PART, self.name, src_dir_fd=self._dir_fd, dst_dir_fd=self._dir_fd)
        self.finished = True
        self._sync_directory()
        for suffix in (OLD_STATE, STATE, NEW_STATE):
            self._unlink(suffix)
        self._sync_directory()

    def discard(self) -> None:
        """Remove the part and its claims; the lock stays until `close`."""
        for suffix in (OLD_STATE, STATE, NEW_STATE, PART):
            self._unlink(suffix)
        self.finished = True
        self._sync_directory()

    def open_final(self) -> int | None:
        """A descriptor of the regular file that already has the final name, None without one."""
        try:
            fd = os.open(self.name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self._dir_fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FailedError(f"{self.path} cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise FailedError(f"{self.path} is there and is no regular file: move it away")
        return fd

    def drop_leftovers(self) -> None:
        """Remove what a crash after the last rename left beside the finished file."""
        for suffix in (OLD_STATE, STATE, NEW_STATE, PART):
            self._unlink(suffix)
        self.finished = True
        self._sync_directory()

    def _keep_old_state(self) -> None:
        self._unlink(OLD_STATE)
        try:
            os.link(self.name + STATE, self.name + OLD_STATE, src_dir_fd=self._dir_fd, dst_dir_fd=self._dir_fd)
        except FileNotFoundError:
            return  # the first state of this part
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            # vfat and exfat have no hard links; there the rename alone has to do

    def _read(self, suffix: str) -> bytes:
        fd = os.open(
            self.name + suffix, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self._dir_fd
        )
        with os.fdopen(fd, "rb") as file:
            if os.fstat(fd).st_size > STATE_LIMIT:
                raise PartStateError("too long")
            return file.read(STATE_LIMIT)

    def _write(self, suffix: str, text: bytes) -> None:
        self._unlink(suffix)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self.name + suffix, flags, 0o600, dir_fd=self._dir_fd)
        with os.fdopen(fd, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(fd)

    def _unlink(self, suffix: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.name + suffix, dir_fd=self._dir_fd)

    def _exists(self, suffix: str) -> bool:
        try:
            os.stat(self.name + suffix, dir_fd=self._dir_fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _sync_directory(self) -> None:
        os.fsync(self._dir_fd)


def _open_directory(directory: str) -> int:
    try:
        return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise FailedError(f"the directory {directory} cannot be opened: {error.strerror}") from error


def _open_locked(dir_fd: int, part: str, directory: str) -> int:
    while True:
        try:
            fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=dir_fd)
        except OSError as error:
            raise FailedError(f"{directory}/{part} cannot be opened for writing: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise FailedError(f"{directory}/{part} is there and is no regular file: move it away")
            if _same_file(fd, part, dir_fd):
                return fd
        except BlockingIOError:
            os.close(fd)
            raise PartBusyError(f"{directory}/{part} is being written by another download of the same file") from None
        except BaseException:
            os.close(fd)
            raise
        # whoever held the lock before has renamed or removed the file meanwhile
        os.close(fd)


def _same_file(fd: int, part: str, dir_fd: int) -> bool:
    try:
        there = os.stat(part, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    mine = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)
