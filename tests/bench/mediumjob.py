"""One job on a stick, in a process of its own: `python -m tests.bench.mediumjob ORDER`, which prints figures as JSON.

ORDER is JSON: `operation` (create, add or remove), `node`, `size`, `filesystem`, `images` (path, name and sha256 each),
and `worth`: from which gain on images are read back while others are written; None for what the program does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from luxusbd.stick import duplex, mounted, writer
from luxusbd.stick.model import SourceImage, StickOperation, StickOptions, StickProgress
from tests.stick import helpers


class Watch:
    """Notes when steps were done and bytes counted."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}
        self._bytes = 0
        self._last = 0.0
        self._silence = 0.0
        self._since: Callable[[], bool] = lambda: "healed" in self.steps and "images-read-back" not in self.steps

    def step(self, name: str) -> None:
        now = time.perf_counter()
        self.steps[name] = now
        if name == "healed":
            self._last = now
        elif name == "images-checkpoint":
            self.steps["last byte written"] = self._last

    def progress(self, progress: StickProgress) -> None:
        if progress.bytes_done > self._bytes and self._since():
            now = time.perf_counter()
            self._silence = max(self._silence, now - self._last)
            self._last = now
        self._bytes = max(self._bytes, progress.bytes_done)

    def figures(self) -> dict[str, float]:
        """Seconds."""
        at = self.steps
        if "images-read-back" not in at:
            return {}
        return {
            "write": at["images-checkpoint"] - at["healed"],
            "checkpoint": at["images-checkpoint"] - at["last byte written"],
            "read-back": at["images-read-back"] - at["images-checkpoint"],
            "silence": self._silence,
            "all": at["images-read-back"] - at["healed"],
        }


async def run(asked: dict[str, Any]) -> dict[str, float]:
    """Do it."""
    images = []
    for path, name, sha256 in asked["images"]:
        fd = os.open(path, os.O_RDONLY)
        images.append(SourceImage(fd, helpers.image(name, sha256=sha256, size=os.fstat(fd).st_size)))
    operation = StickOperation(asked["operation"])
    changes: dict[str, object] = {"node": asked["node"], "size": asked["size"]}
    if operation is StickOperation.REMOVE:
        changes["remove"] = tuple(source.image.name for source in images)
    else:
        changes["add"] = tuple(images)
        changes["options"] = StickOptions(filesystem=asked["filesystem"])
    if asked["worth"] is not None:
        duplex.WORTH = asked["worth"]
    watch = Watch()
    disk = os.open(asked["node"], os.O_RDWR)
    try:
        await writer.execute(helpers.order(operation, disk, **changes), watch.progress, after_step=watch.step)
    finally:
        os.close(disk)
    return watch.figures()


if __name__ == "__main__":
    mounted.enter_private_namespace()
    print(json.dumps(asyncio.run(run(json.loads(sys.argv[1])))))
