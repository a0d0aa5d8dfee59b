"""Files that a command writes for the user: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from luxusb_cli.errors import CLIENT, CliError
from luxusb_cli.i18n import _


@contextmanager
def new_file(path: Path, *, force: bool, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A file that appears under its name, flushed to the medium, when the block ends without an error.

    Until then the name is held by an empty file, so that nobody else's file can come in between; with `force` what is
    there stays until it is replaced.

    Args:
        path: its name.
        force: replace a file that is there.
        mode: permissions, lessened by the umask.

    Raises:
        CliError: the file is there and `force` is missing, or it cannot be written.
    """
    part = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    held = False
    try:
        if not force:
            os.close(os.open(path, flags, mode))
            held = True
        elif path.is_dir():
            raise IsADirectoryError(21, os.strerror(21), str(path))
        with os.fdopen(os.open(part, flags, mode), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        held = False
        _sync_directory(path.parent)
    except FileExistsError as error:
        raise CliError(
            _("{file} is there already").format(file=path),
            _("It was not touched."),
            _("Take another name, or --force to replace it."),
            name=CLIENT + "FileExists",
        ) from error
    except OSError as error:
        raise CliError(
            _("Could not write {file}").format(file=path), f"{error.strerror or error}.", _advice(error)
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
        if held:
            with suppress(OSError):
                path.unlink()


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        # Some network filesystems have no fsync for directories; the file's own bytes are safe.
        if error.errno != 22:
            raise
    finally:
        os.close(fd)


def _advice(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return _("Make its directory first.")
    if isinstance(error, PermissionError):
        return _("Take a directory of your own.")
    if error.errno == 28:
        return _("Make room, or take another disk.")
    return ""
