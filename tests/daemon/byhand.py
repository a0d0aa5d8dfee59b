"""What a user does to the files of a stick without LUXusb."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from luxusbd.stick import target
from luxusbd.stick.blockio import read_at
from luxusbd.stick.imagefile import FileRoom
from tests.daemon.conftest import Target
from tests.daemon.sticks import data_partition, run


class Hand:
    """Changes /iso of a stick: through the kernel on a disk, as a user would; by debugfs in a file, without root."""

    def __init__(self, stick: Target) -> None:
        self._target = stick

    async def copy(self, source: Path, name: str) -> None:
        """Put a file there, over one of that name, in a later second than what was there: no user is that quick."""
        await asyncio.sleep(1 - time.time() % 1)
        if self._target.node:
            with self._mounted() as point:
                shutil.copyfile(source, point / "iso" / name)
            return
        # debugfs alone would make holes of zeros
        with tempfile.TemporaryDirectory() as work, self._target.file.open("r+b") as file:
            size = self._target.file.stat().st_size
            room = FileRoom(file.fileno(), target.stick_layout(read_at(file.fileno()), size), Path(work))
            data = source.read_bytes()
            if data:
                (await room.allocate("/iso/by-hand.tmp", len(data))).write(memoryview(data), 0)
                await room.publish("/iso/by-hand.tmp", "/iso/by-hand")
            else:
                await room.write_small("/iso/by-hand", data)
        self.debugfs(f'rm "/iso/{name}"')
        self.rename("by-hand", name)

    def copy_with_holes(self, source: Path, name: str) -> None:
        """Put a file there whose zeros are holes, as `cp --sparse=always` does."""
        with tempfile.NamedTemporaryFile() as sparse:
            run("cp", "--sparse=always", str(source), sparse.name)
            self.debugfs("cd /iso", f'write "{sparse.name}" "{name}"')

    def delete(self, name: str) -> None:
        if self._target.node:
            with self._mounted() as point:
                (point / "iso" / name).unlink()
        else:
            self.debugfs(f'rm "/iso/{name}"')

    def rename(self, old: str, new: str) -> None:
        if self._target.node:
            with self._mounted() as point:
                (point / "iso" / old).rename(point / "iso" / new)
        else:
            self.debugfs(f'ln "/iso/{old}" "/iso/{new}"', f'unlink "/iso/{old}"')

    def make_directory(self, name: str) -> None:
        if self._target.node:
            with self._mounted() as point:
                (point / "iso" / name).mkdir()
        else:
            self.debugfs(f'mkdir "/iso/{name}"')

    def leave_unclean(self) -> None:
        """Pull the stick while it is mounted: its journal is to be replayed."""
        self.debugfs("feature needs_recovery")

    def copied_and_pulled(self, source: Path, name: str, medium: Path) -> Path:
        """The medium as it is when the stick is pulled after the copy, before it is unmounted."""
        with self._mounted() as point:
            shutil.copyfile(source, point / "iso" / name)
            with (point / "iso" / name).open("rb") as file:
                os.fsync(file.fileno())
            run("cp", "--sparse=always", str(self._target.file), str(medium))
        return medium

    def debugfs(self, *commands: str) -> None:
        """Change the filesystem without the kernel."""
        self._flush()
        part = data_partition(self._target.file)
        subprocess.run(
            ["debugfs", "-w", "-f", "-", f"{self._target.file}?offset={part.start}"],
            input="".join(f"{command}\n" for command in commands),
            text=True,
            check=True,
            capture_output=True,
            timeout=60,
        )
        self._flush()

    def debugfs_says(self, command: str) -> str:
        """What debugfs answers."""
        part = data_partition(self._target.file)
        return run("debugfs", "-R", command, f"{self._target.file}?offset={part.start}")

    @contextlib.contextmanager
    def _mounted(self) -> Iterator[Path]:
        part = data_partition(self._target.file)
        self._flush()
        with tempfile.TemporaryDirectory(prefix="lux-hand-") as point:
            node = run(
                "losetup", "-f", "--show", "-o", str(part.start), "--sizelimit", str(part.size), str(self._target.file)
            )
            try:
                run("mount", "-t", "ext4", node, point)
                try:
                    yield Path(point)
                finally:
                    run("umount", point)
            finally:
                run("losetup", "-d", node)
        self._flush()

    def _flush(self) -> None:
        if self._target.node:
            run("blockdev", "--flushbufs", self._target.node)
