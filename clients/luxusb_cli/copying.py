"""Reading whole files in the client: copying what is behind a descriptor into a file of the user's, and hashing."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from luxusb_cli.context import plain_terminal
from luxusb_cli.errors import LUXUSB, CliError
from luxusb_cli.files import new_file
from luxusb_cli.i18n import _
from luxusb_cli.units import format_size

CHUNK = 4 * 1024 * 1024
REDRAW_SECONDS = 0.2


@dataclass(frozen=True)
class Copied:
    """What was written."""

    size: int
    sha256: str


async def copy_to_file(fd: int, path: Path, *, force: bool, sha256: str = "", progress: bool = False) -> Copied:
    """Copy all of `fd` into a new file, flushed to the medium.

    Args:
        fd: a descriptor that is read from its start.
        path: the file.
        force: replace a file that is there.
        sha256: what the bytes have to be, where it is known.
        progress: show on a terminal how far it is.

    Raises:
        CliError: the file cannot be written, or the bytes are others; nothing is left then.
    """
    line = Line(os.fstat(fd).st_size, shown=progress)
    done = 0
    digest = hashlib.sha256()
    with new_file(path, force=force) as file:
        while chunk := os.pread(fd, CHUNK, done):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            line.draw(done)
            # Lets Ctrl-C in.
            await asyncio.sleep(0)
        line.clear()
        if sha256 and digest.hexdigest() != sha256:
            raise CliError(
                _("{file} was not written").format(file=path),
                _("The stored image is damaged: its sha256 is {hash}.").format(hash=digest.hexdigest()),
                _("Delete the image with `luxusb delete`, and get it again."),
                name=LUXUSB + "VerificationFailed",
            )
    return Copied(done, digest.hexdigest())


async def hash_file(fd: int, *, progress: bool = False) -> str:
    """The sha256 of all that is behind `fd`, read from its start; with `progress`, a terminal shows how far it is."""
    line = Line(os.fstat(fd).st_size, shown=progress)
    done = 0
    digest = hashlib.sha256()
    while chunk := os.pread(fd, CHUNK, done):
        digest.update(chunk)
        done += len(chunk)
        line.draw(done)
        # Lets Ctrl-C in.
        await asyncio.sleep(0)
    line.clear()
    return digest.hexdigest()


class Line:
    """The line of a terminal that says how far it is."""

    def __init__(self, total: int, *, shown: bool) -> None:
        self._total = total
        self._shown = shown and sys.stdout.isatty() and not plain_terminal()
        self._drawn = 0.0

    def draw(self, done: int) -> None:
        """Show that so many bytes are done, if the last time is long enough ago."""
        if self._shown and time.monotonic() - self._drawn > REDRAW_SECONDS:
            self._drawn = time.monotonic()
            print(f"\r{format_size(done)} / {format_size(self._total)}\x1b[K", end="", flush=True)

    def clear(self) -> None:
        """Leave nothing of it."""
        if self._shown:
            print("\r\x1b[K", end="", flush=True)
