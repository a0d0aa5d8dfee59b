"""Copying what is behind a descriptor of the daemon's into a file of the user's."""

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
    total = os.fstat(fd).st_size
    shown = progress and sys.stdout.isatty() and not plain_terminal()
    drawn = 0.0
    done = 0
    digest = hashlib.sha256()
    with new_file(path, force=force) as file:
        while chunk := os.pread(fd, CHUNK, done):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            if shown and time.monotonic() - drawn > REDRAW_SECONDS:
                drawn = time.monotonic()
                print(f"\r{format_size(done)} / {format_size(total)}\x1b[K", end="", flush=True)
            # Lets Ctrl-C in.
            await asyncio.sleep(0)
        if shown:
            print("\r\x1b[K", end="", flush=True)
        if sha256 and digest.hexdigest() != sha256:
            raise CliError(
                _("{file} was not written").format(file=path),
                _("The stored image is damaged: its sha256 is {hash}.").format(hash=digest.hexdigest()),
                _("Delete the image with `luxusb delete`, and get it again."),
                name=LUXUSB + "VerificationFailed",
            )
    return Copied(done, digest.hexdigest())
