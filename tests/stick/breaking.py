"""A stick in a file that can be damaged byte by byte, mended, and looked at."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luxusbd.errors import DeviceDamagedError
from luxusbd.stick import layout, reader, writer
from luxusbd.stick.blockio import read_at
from luxusbd.stick.ext4 import Ext4
from luxusbd.stick.model import MIB, SourceImage, StickContents, StickOperation, StickOptions
from tests.stick import helpers

SIZE = 320 * MIB
"""Big enough for a copy of the superblock on the data partition."""
DATA = 130 * MIB
NAMES = ("one.iso", "two.iso", "three.iso")


@dataclass
class Stick:
    """A stick in a file."""

    path: Path
    fd: int
    sources: dict[str, SourceImage]
    files: dict[str, Path]

    async def do(self, operation: StickOperation, **changes: Any) -> dict[str, Any]:
        after_step: Callable[[str], None] = changes.pop("after_step", lambda _step: None)
        size = self.path.stat().st_size
        order = helpers.order(operation, self.fd, size=size, **changes)
        return await writer.execute(order, lambda _progress: None, after_step=after_step)

    async def repair(self, **changes: Any) -> dict[str, Any]:
        return await self.do(StickOperation.REPAIR, **changes)

    def zero(self, place: int, length: int) -> None:
        os.pwrite(self.fd, bytes(length), place)

    def flip(self, place: int) -> None:
        (byte,) = os.pread(self.fd, 1, place)
        os.pwrite(self.fd, bytes([byte ^ 0x40]), place)

    def data(self) -> Ext4:
        read = read_at(self.fd)
        size = layout.plan(SIZE, StickOptions()).partitions[2].size
        return Ext4(lambda offset, length: read(DATA + offset, length), size)

    def debugfs(self, *commands: str) -> None:
        subprocess.run(
            ["debugfs", "-w", "-f", "-", f"{self.path}?offset={DATA}"],
            input="".join(f"{command}\n" for command in commands),
            text=True,
            check=True,
            capture_output=True,
        )

    def break_directory(self, path: str) -> None:
        """Fill the only block of a directory with something else."""
        said = subprocess.run(
            ["debugfs", "-R", f"blocks {path}", f"{self.path}?offset={DATA}"],
            check=True,
            capture_output=True,
            text=True,
        )
        os.pwrite(self.fd, b"\xff" * 4096, DATA + int(said.stdout.split()[0]) * 4096)

    def break_file(self, path: str) -> None:
        place = self.data().extents(path)[0].physical * 4096
        os.pwrite(self.fd, b"#" * 64, DATA + place)

    def look(self) -> StickContents | None:
        return reader.read_stick(self.fd, self.path.stat().st_size)

    def damage(self) -> str:
        """What the daemon would show of it."""
        try:
            contents = self.look()
        except DeviceDamagedError as error:
            return str(error)
        return "foreign" if contents is None else contents.damage

    def digest(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    async def check(self, images: tuple[str, ...]) -> None:
        """It is sound in the eyes of everybody, and has these images."""
        target = f"/proc/self/fd/{self.fd}?offset={DATA}"
        done = subprocess.run(["e2fsck", "-fn", target], pass_fds=(self.fd,), capture_output=True, check=False)
        assert done.returncode == 0, done.stdout
        said = subprocess.run(["sfdisk", "-V", self.path], capture_output=True, text=True, check=False)
        assert "No errors detected" in said.stdout, said
        verified = await self.do(StickOperation.VERIFY)
        assert verified["ok"] is True, verified
        assert self.damage() == ""
        assert helpers.check_boots(self.path, self.files)[1] == set(images)
        data = self.data()
        assert set(data.list("/iso")) == set(images)
        assert set(data.list("/luxusb")) <= helpers.beside_menu(data)
        # any write, also of what is there already, changes the time; hashes of the whole disk would take longer
        os.utime(self.path, ns=(0, 0))
        again = await self.repair()
        assert (again["findings"], again["lost"], again["images"]) == ([], [], list(images))
        assert self.path.stat().st_mtime_ns == 0, "a sound stick is not written"

    def close(self) -> None:
        os.close(self.fd)
