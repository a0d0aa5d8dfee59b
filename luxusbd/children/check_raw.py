"""Requests of the check process about images that are written byte for byte; `check_main` says what each takes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from luxusbd.children.params import descriptors
from luxusbd.children.protocol import Params
from luxusbd.errors import InvalidArgumentError
from luxusbd.transfer import rawlook, rawmodel
from luxusbd.transfer.diskio import in_thread
from luxusbd.transfer.frames import Fan


async def look(params: Params, fds: Sequence[int]) -> dict[str, Any]:
    """What an image is, with the block map that comes behind it."""
    mapped = bool(params.get("map"))
    image, *bmap = descriptors(fds, 1 + mapped)
    found = await in_thread(None, rawlook.look, image, bmap[0] if bmap else None, stop=threading.Event())
    return rawmodel.to_json(found)


async def unpack(_params: Params, fds: Sequence[int]) -> dict[str, Any]:
    """Unpack an image into the pipes that come behind it."""
    if len(fds) < 2:
        raise InvalidArgumentError("an image and at least one pipe are needed")
    image, *pipes = fds
    # a cancelled request waits for its thread, which ends when the last reader has gone
    return {"size": await in_thread(None, rawlook.unpack, image, Fan(pipes), stop=threading.Event())}
