"""Reading catalogue files, whatever somebody put in their place."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from luxusbd.catalog.model import Document, Layer
from luxusbd.catalog.schema import MAX_DOCUMENT, read_document
from luxusbd.errors import CatalogError


def read_bounded(path: Path, most: int = MAX_DOCUMENT) -> bytes:
    """The bytes of a regular file. A pipe, a device or a directory in its place is refused, and nothing waits for it.

    Raises:
        OSError: it cannot be read.
        CatalogError: it is larger than `most`, or no regular file.
    """
    # without O_NONBLOCK the opening of a pipe that nobody writes to would never end
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        return bytes_of(fd, str(path), most)
    finally:
        os.close(fd)


def bytes_of(fd: int, name: str, most: int) -> bytes:
    """As `read_bounded`, of an open descriptor, from its beginning and without moving its position.

    Raises:
        OSError: it cannot be read.
        CatalogError: it is larger than `most`, or no regular file.
    """
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise CatalogError(f"{name}: no regular file")
    parts: list[bytes] = []
    size = 0
    while status.st_size <= most and size <= most and (part := os.pread(fd, most + 1 - size, size)):
        parts.append(part)
        size += len(part)
    if status.st_size > most or size > most:
        raise CatalogError(f"{name}: larger than {most // 2**20} MiB")
    return b"".join(parts)


def read_layer(path: Path, layer: Layer) -> Document:
    """Read one catalogue file.

    Raises:
        OSError: it cannot be read.
        CatalogError: it is malformed.
    """
    return read_document(read_bounded(path), str(path), layer)


def files_of(directory: Path) -> tuple[Path, ...]:
    """The *.json files in a directory, in the order of their names; hidden ones are left out. Without it there are
    none.

    Raises:
        OSError: it cannot be read.
    """
    try:
        found = sorted(directory.iterdir())
    except FileNotFoundError:
        return ()
    return tuple(path for path in found if path.suffix == ".json" and not path.name.startswith("."))


def trouble(path: Path, error: OSError | CatalogError) -> list[str]:
    """What to say of a file that is skipped, a line each."""
    if isinstance(error, CatalogError):
        return error.message.splitlines()
    return [f"{path}: {error.strerror or errno.errorcode.get(error.errno or 0, 'cannot be read')}"]
