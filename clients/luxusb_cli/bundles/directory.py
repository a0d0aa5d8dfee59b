"""The directory of a bundle, which may lie on somebody else's disk: no link in it is followed, none leads out."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from luxusb_cli.errors import CLIENT, LUXUSB, CliError
from luxusb_cli.i18n import _
from luxusb_cli.text import clean

BAD = CLIENT + "BadBundle"
"""Name of the error for a bundle that is not as it should be."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# a fifo in the place of a file is not to hang whoever opens it
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def damaged(what: str, why: str, todo: str = "") -> CliError:
    """The error for a bundle, or a file of it, that is not as it should be."""
    advice = todo or _("`luxusb bundle check` looks at all of it; get it again, or make it anew.")
    return CliError(_("{bundle} cannot be used as a bundle").format(bundle=clean(what)), why, advice, name=BAD)


class Directory:
    """An open directory. Paths are those of an index: relative, of plain names."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            CliError: it cannot be opened.
        """
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise damaged(
                str(path), f"{error.strerror}.", _("Name the directory in which {file} is.").format(file="bundle.json")
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        os.close(self._fd)

    @property
    def shown(self) -> str:
        """What messages call it."""
        return str(self.path.absolute())

    def open(self, path: str) -> int:
        """A descriptor of a regular file, which the caller closes.

        Raises:
            CliError: there is no such file, or it is something else.
        """
        with self.errors(path), self._parent(path) as (parent, name):
            fd = os.open(name, _FILE, dir_fd=parent)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                os.close(fd)
                raise damaged(self._shown(path), _("It is no regular file."))
            return fd

    def read(self, path: str, most: int) -> bytes:
        """All of a file of at most `most` bytes.

        Raises:
            CliError: as `open`, or it is larger.
        """
        fd = self.open(path)
        try:
            with self.errors(path):
                data = _pread(fd, most + 1)
        finally:
            os.close(fd)
        if len(data) > most:
            raise damaged(self._shown(path), _("It has more than {size} KiB.").format(size=most // 1024))
        return data

    def has(self, path: str) -> bool:
        """Whether there is anything of that name."""
        try:
            with self._parent(path) as (parent, name):
                os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError:
            return False
        return True

    def empty(self) -> bool:
        """Whether nothing is in it but what disks bring along."""
        with self.errors(""), os.scandir(self._fd) as found:
            return all(entry.name in {"lost+found", ".Trash-1000"} for entry in found)

    def free(self) -> int:
        """Bytes that can still be written."""
        with self.errors(""):
            found = os.fstatvfs(self._fd)
        return found.f_bavail * found.f_frsize

    def open_part(self, path: str) -> int:
        """A descriptor of what there is of a file that is not whole yet, to go on with; the caller closes it."""
        with self.errors(path), self._parent(path, make=True) as (parent, name):
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            fd = os.open(_part_name(name), flags, 0o644, dir_fd=parent)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                os.close(fd)
                raise damaged(self._shown(path), _("It is no regular file."))
            return fd

    def part_size(self, path: str) -> int:
        """Bytes of what there is of it."""
        try:
            with self._parent(path) as (parent, name):
                return os.stat(_part_name(name), dir_fd=parent, follow_symlinks=False).st_size
        except OSError:
            return 0

    def keep(self, path: str, fd: int) -> None:
        """Give a part that is whole its name, when its bytes are on the medium."""
        with self.errors(path), self._parent(path) as (parent, name):
            os.fsync(fd)
            os.rename(_part_name(name), name, src_dir_fd=parent, dst_dir_fd=parent)
            _sync(parent)

    def write(self, path: str, data: bytes) -> None:
        """Put a small file in place of what is there; it is whole or not there at all."""
        fd = self.open_part(path)
        try:
            with self.errors(path):
                os.ftruncate(fd, 0)
                write_all(fd, data, 0)
            self.keep(path, fd)
        finally:
            os.close(fd)

    def remove(self, path: str) -> None:
        """Take a file, and what there is of it, away; one that is not there is no error."""
        with self.errors(path):
            try:
                with self._parent(path) as (parent, name):
                    for each in (name, _part_name(name)):
                        with suppress(FileNotFoundError):
                            os.unlink(each, dir_fd=parent)
            except FileNotFoundError:
                return

    def _shown(self, path: str) -> str:
        return str(self.path / path) if path else str(self.path)

    @contextmanager
    def _parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        *directories, name = path.split("/")
        opened: list[int] = []
        try:
            parent = self._fd
            for each in directories:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(each, 0o755, dir_fd=parent)
                parent = os.open(each, _DIRECTORY, dir_fd=parent)
                opened.append(parent)
            yield parent, name
        finally:
            for fd in opened:
                os.close(fd)

    @contextmanager
    def errors(self, path: str) -> Iterator[None]:
        """Tell what the disk refuses as an error of this file."""
        try:
            yield
        except OSError as error:
            raise _told(self._shown(path), error) from error


def write_all(fd: int, data: bytes, offset: int) -> None:
    """Write all of it, however many calls that takes.

    Raises:
        OSError: the disk refused.
    """
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done


def _told(shown: str, error: OSError) -> CliError:
    why = f"{error.strerror}."
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
        if error.errno != errno.ENOENT:
            why = _("It is a link, or lies behind one; links in a bundle are not followed.")
        return damaged(shown, why)
    what = _("Could not write {file}").format(file=clean(shown))
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CliError(
            what, why, _("Make room and run the command again: what is there is kept."), name=LUXUSB + "NotEnoughSpace"
        )
    if error.errno == errno.EROFS:
        return CliError(what, why, _("Release the write protection of the disk, or take another directory."))
    if error.errno == errno.EFBIG:
        return CliError(
            what,
            _("A file on this disk may not be so large: FAT32 ends at 4 GiB."),
            _("Take a disk with exFAT or ext4: `luxusb restore` makes an exFAT one."),
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return CliError(what, why, _("Take a directory of your own."))
    return CliError(_("Could not use {file}").format(file=clean(shown)), why)


def _part_name(name: str) -> str:
    # no path of an index begins with a dot
    return f".{name}.part"


def _pread(fd: int, most: int) -> bytes:
    found = b""
    while len(found) < most and (chunk := os.pread(fd, most - len(found), len(found))):
        found += chunk
    return found


def _sync(fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError as error:
        # some filesystems have no fsync for directories; the file's own bytes are safe
        if error.errno != errno.EINVAL:
            raise
