"""Looking at all of a bundle: every file there with the right bytes, every signature good."""

from __future__ import annotations

import asyncio
import hashlib
import os

from luxusb_cli.bundles import gpg
from luxusb_cli.bundles.directory import Directory
from luxusb_cli.bundles.index import BundleImage
from luxusb_cli.bundles.opening import Opened, proof_data
from luxusb_cli.copying import CHUNK, Line
from luxusb_cli.errors import CliError
from luxusb_cli.i18n import _
from luxusb_cli.text import clean


async def problems_of(opened: Opened, directory: Directory, *, progress: bool) -> list[str]:
    """What is wrong with the images of a bundle, a line each."""
    found: list[str] = []
    for image in opened.index.images:
        try:
            fd = directory.open(image.file.path)
        except CliError as error:
            found.append(_line(image, error.why or error.what))
            continue
        try:
            with directory.errors(image.file.path):
                found += await _problems(opened, image, fd, progress=progress)
        except CliError as error:
            found.append(_line(image, error.why or error.what))
        finally:
            os.close(fd)
    return found


async def _problems(opened: Opened, image: BundleImage, fd: int, *, progress: bool) -> list[str]:
    size = os.fstat(fd).st_size
    if size != image.file.size:
        return [
            _line(
                image, _("It has {size} bytes, and {expected} are right.").format(size=size, expected=image.file.size)
            )
        ]
    sha256 = await _hash(fd, size, progress=progress)
    if sha256 != image.file.sha256:
        return [_line(image, _("Its sha256 is {hash}: it was changed, or the disk is bad.").format(hash=sha256))]
    try:
        await asyncio.to_thread(proof_data, opened.place, image, fd)
    except gpg.BadSignatureError as error:
        return [_line(image, _("Its maker's signature is not good: {reason}.").format(reason=error))]
    return []


def _line(image: BundleImage, why: str) -> str:
    return f"{clean(image.file.path)} ({clean(image.reference)}): {why}"


async def _hash(fd: int, size: int, *, progress: bool) -> str:
    line = Line(size, shown=progress)
    digest, done = hashlib.sha256(), 0
    while chunk := await asyncio.to_thread(os.pread, fd, CHUNK, done):
        await asyncio.to_thread(digest.update, chunk)
        done += len(chunk)
        line.draw(done)
    line.clear()
    return digest.hexdigest()
