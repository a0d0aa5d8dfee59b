"""What a firmware, GRUB and a kernel find on a stick whose writing was cut."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luxusbd.stick import clusterfsck, layout, menu, reader, writer
from luxusbd.stick.blockio import size_of
from luxusbd.stick.clusterblocks import FileBlocks
from luxusbd.stick.clusterfsck import PROGRAMS
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import PartitionRole, SourceImage, StickOperation, StickOptions
from tests.stick import helpers

_ENTRY = re.compile(r'\[ -e "\(\$(data|companion)\)/iso/([^"]+)" \]; then ')
"""Where the menu names the file of an image, and the partition that it is on."""


class WrongError(Exception):
    """A stick that was cut is not what it should be."""


def expect(condition: object, message: str) -> None:
    if not condition:
        raise WrongError(message)


@dataclass(frozen=True)
class View:
    """What a firmware and GRUB find on a stick."""

    core: str
    """SHA-256 of what a BIOS loads; empty when sector 0 has no boot code."""
    esp: tuple[tuple[str, str], ...]
    """Path and SHA-256 of every file of the ESP that the old or the new boot files have."""
    generation: int
    """Of the menu that is shown, 0 for none."""
    images: frozenset[str]
    """Names in that menu."""

    @property
    def menu(self) -> tuple[int, frozenset[str]]:
        return self.generation, self.images


class Bench:
    """A stick, the images that go onto it, and how it is looked at.

    Args:
        work: a directory.
        options: of the stick; `replay` has to know how the kernel's view of the data filesystem is judged.
        size: bytes of the stick.
    """

    def __init__(self, work: Path, options: StickOptions, size: int = helpers.SIZE) -> None:
        self.work = work
        self.disk = work / "disk"
        self.options = options
        self.size = size
        self.layout = layout.plan(size, self.options)
        self.hashes: dict[str, str] = {}
        self.esp_paths: frozenset[str] = frozenset()
        self._made: list[SourceImage] = []
        os.close(helpers.empty_target(self.disk, size))

    def source(self, name: str, size: int, **changes: object) -> SourceImage:
        """An image that may go onto the stick."""
        path = helpers.random_file(self.work / f"source-{name}", size, len(self._made) + 1)
        made = helpers.source(path, name, **changes)
        self._made.append(made)
        self.hashes[name] = made.image.sha256
        return made

    def close(self) -> None:
        for source in self._made:
            os.close(source.fd)

    async def run(
        self, node: str, operation: StickOperation, step: Callable[[str], None] = lambda _name: None, **changes: Any
    ) -> dict[str, Any]:
        """Do what a job does."""
        fd = os.open(node, os.O_RDWR)
        try:
            order = helpers.order(operation, fd, node=node, size=self.size, options=self.options, **changes)
            return await writer.execute(order, lambda _progress: None, after_step=step)
        finally:
            os.close(fd)

    async def do(self, operation: StickOperation, disk: Path | None = None, **changes: Any) -> dict[str, Any]:
        """Do what a job does, without recording it."""
        with helpers.loop_device(disk or self.disk) as node:
            return await self.run(node, operation, **changes)

    def learn_boot_files(self) -> None:
        """Take over which files are on the ESP now; a disk may have none."""
        with self.disk.open("rb") as file:
            file.seek(layout.ESP_START)
            if not any(file.read(512)):
                return
        self.esp_paths |= files_of_esp(self.disk, layout.ESP_START)

    def look(self, disk: Path) -> View:
        """What GRUB finds on a disk; every image that its menu lists has to be whole."""
        generation, text = 0, b""
        for path in (menu.MENU_A, menu.MENU_B):
            found = helpers.grub_read(disk, path)
            if (menu.generation_of(found) or 0) > generation and found is not None:
                generation, text = menu.generation_of(found) or 0, found
        found_at = {name: role for role, name in re.findall(_ENTRY, text.decode())}
        shown = frozenset(found_at)
        for name, role in found_at.items():
            part = self.layout.partition(PartitionRole(role)).number
            data = helpers.grub_read(disk, f"/iso/{name}", partition=part)
            expect(data is not None, f"GRUB cannot read {name}, which its menu lists")
            expect(_sha256(data) == self.hashes[name], f"{name} is not whole for GRUB")
        esp = ((path, _sha256(helpers.grub_read(disk, path, partition=2))) for path in sorted(self.esp_paths))
        return View(bios_loads(disk), tuple(esp), generation, shown)

    def replay(self, disk: Path) -> tuple[int, frozenset[str]]:
        """Let whoever uses the data partition next put it right, and judge what is there then.

        Returns the generation and the images of the manifest.
        """
        where = self.work / "mnt"
        where.mkdir(exist_ok=True)
        for role, kind in ((PartitionRole.DATA, self.options.filesystem), (PartitionRole.COMPANION, "ext4")):
            if not self.layout.has(role):
                continue
            part = self.layout.partition(role)
            with helpers.loop_device(disk, f"--offset={part.start}", f"--sizelimit={part.size}") as node:
                _REPLAYS[kind](node, where, self.hashes)
        with disk.open("rb") as file:
            contents = reader.read_stick(file.fileno(), self.size)
        assert contents is not None
        unfinished = contents.damage.startswith("the stick was not finished when it was made")
        expect(not contents.damage or unfinished, contents.damage)
        return contents.manifest.generation, frozenset(image.name for image in contents.manifest.images)

    def check(self, disk: Path, before: View, after: View) -> View:
        """A cut stick has to be the old or the new one; what it was for GRUB.

        Raises:
            WrongError: it is neither.
        """
        found = self.look(disk)
        expect(found.core in (before.core, after.core), "a BIOS loads neither the old nor the new core image")
        expect(found.esp in (before.esp, after.esp), f"the ESP is neither the old nor the new one: {found.esp}")
        expect(found.menu in (before.menu, after.menu), f"neither the old nor the new menu: {found.menu}")
        manifest = self.replay(disk)
        expect(manifest in (before.menu, after.menu), f"neither the old nor the new manifest: {manifest}")
        again = self.look(disk)
        expect(again.menu == manifest, f"after the replay the menu is {again.menu} and the manifest {manifest}")
        return found


def files_of_esp(disk: Path, start: int) -> frozenset[str]:
    """Paths of the files of an ESP that begins at a byte."""
    done = subprocess.run(
        ["mdir", "-/", "-b", "-i", f"{disk}@@{start}", "::"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "MTOOLSRC": "/dev/null"},
    )
    return frozenset(line.removeprefix("::") for line in done.stdout.splitlines() if not line.endswith("/"))


def _replay_ext4(node: str, where: Path, hashes: dict[str, str]) -> None:
    # read-write, as a live system that starts from the stick may do it
    subprocess.run(["mount", "-t", "ext4", node, where], check=True, capture_output=True)
    try:
        for path in (where / "iso").iterdir():
            if path.name in hashes:
                expect(_sha256(path.read_bytes()) == hashes[path.name], f"{path.name} is not whole for the kernel")
    finally:
        subprocess.run(["umount", where], check=True)
    done = subprocess.run(["e2fsck", "-fn", node], check=False, capture_output=True, text=True)
    expect(done.returncode == 0, done.stdout)


def _tidy(kind: Kind, node: str, _where: Path, hashes: dict[str, str]) -> None:
    """What our own next job does first: there is no journal, and what a cut leaves are clusters of nobody."""
    fd = os.open(node, os.O_RDWR)
    try:
        size = size_of(fd)
        looked = clusterfsck.look(FileBlocks(fd, 0), kind, size)
        expect(not looked.survey.problems, f"more than lost clusters: {looked.survey.problems}")
        clusterfsck.tidy(looked)
        filesystem = looked.writer.fs
        for name in filesystem.list("/iso"):
            if name in hashes:
                found = _sha256(filesystem.read_file(f"/iso/{name}", size))
                expect(found == hashes[name], f"{name} is not whole")
    finally:
        os.close(fd)
    done = subprocess.run([PROGRAMS[kind], "-n", node], check=False, capture_output=True, text=True)
    said = done.stdout + done.stderr
    expect(done.returncode == 0 and "ERROR" not in said, said)


_REPLAYS: dict[str, Callable[[str, Path, dict[str, str]], None]] = {
    "ext4": _replay_ext4,
    "fat32": functools.partial(_tidy, Kind.FAT32),
    "exfat": functools.partial(_tidy, Kind.EXFAT),
}


def bios_loads(disk: Path) -> str:
    """SHA-256 of what boot.img and the first sector of the core image make a BIOS load; see luxusbd.stick.bios."""
    with disk.open("rb") as file:
        code = file.read(440)
        if not any(code):
            return ""
        (sector,) = struct.unpack_from("<Q", code, 0x5C)
        file.seek(sector * 512)
        first = file.read(512)
        start, count, _segment = struct.unpack_from("<QHH", first, 0x1F4)
        file.seek(start * 512)
        # where it lies is no part of what it does
        return _sha256(code[:0x5C] + code[0x64:] + first[:0x1F4] + first[0x1FC:] + file.read(count * 512))


def _sha256(data: bytes | None) -> str:
    return "" if data is None else hashlib.sha256(data).hexdigest()
