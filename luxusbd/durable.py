"""Small files of our own state, replaced so that a power cut leaves the old one or the new one whole."""

from __future__ import annotations

import os
from pathlib import Path


def beside(path: Path) -> Path:
    """Where the new bytes of `path` are written first; a kill may leave it there."""
    return path.with_name(f".{path.name}.new")


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Give `path` these bytes, by default readable for its owner alone; afterwards they are on the disk.

    Raises:
        OSError: the disk refused; what was there still is.
    """
    new = beside(path)
    try:
        with new.open("wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        # on a full disk its blocks are what the next attempt lacks
        new.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Let the names in it survive a power cut.

    Raises:
        OSError: the disk refused.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
