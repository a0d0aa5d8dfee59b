"""A stick in an image file, the images for it, and what is done to it by the writer and without it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from luxusbd.stick import reader, writer
from luxusbd.stick.model import (
    MIB,
    ManifestImage,
    MenuChange,
    SourceImage,
    StickContents,
    StickOperation,
    StickOptions,
    StickProgress,
)
from tests.stick import helpers

DATA = 130 * MIB


class Bench:
    """One image file and the sources for it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "stick.img"
        self.fd = helpers.empty_target(self.path)
        self.sources: dict[str, SourceImage] = {}
        self.files: dict[str, Path] = {}
        self.progress: list[StickProgress] = []

    def source(self, name: str, size: int = MIB + 17, **changes: Any) -> SourceImage:
        path = helpers.random_file(self.directory / f"source-{name}", size, len(self.sources) + 1)
        self.files[name] = path
        self.sources[name] = helpers.source(path, name, **changes)
        return self.sources[name]

    async def do(
        self,
        operation: StickOperation,
        *add: SourceImage,
        remove: tuple[str, ...] = (),
        options: StickOptions | None = None,
        persist: tuple[tuple[str, int], ...] = (),
        change: MenuChange | None = None,
        found: tuple[ManifestImage, ...] = (),
        after_step: Callable[[str], None] = lambda _step: None,
    ) -> dict[str, Any]:
        self.progress.clear()
        options = options or StickOptions()
        order = helpers.order(
            operation,
            self.fd,
            add=add,
            remove=remove,
            options=options,
            persist=persist,
            change=change or MenuChange(),
            found=found,
        )
        return await writer.execute(order, self.progress.append, after_step=after_step)

    def look(self) -> StickContents:
        contents = reader.read_stick(self.fd, helpers.SIZE)
        assert contents is not None
        return contents

    def names(self) -> list[str]:
        return [image.name for image in self.look().manifest.images]

    def fsck(self) -> None:
        target = f"/proc/self/fd/{self.fd}?offset={DATA}"
        done = subprocess.run(["e2fsck", "-fn", target], pass_fds=(self.fd,), capture_output=True, check=False)
        assert done.returncode == 0, done.stdout

    def close(self) -> None:
        for source in self.sources.values():
            os.close(source.fd)
        os.close(self.fd)


def lay(bench: Bench, *commands: str) -> None:
    """Change files on the stick without the writer."""
    subprocess.run(
        ["debugfs", "-w", "-f", "-", f"{bench.path}?offset={DATA}"],
        input="\n".join(("cd /iso", *commands, "")),
        text=True,
        check=True,
        capture_output=True,
    )
