"""What firmware, GRUB and a kernel find on a stick of LUXusb 0.6.3 whose takeover was cut."""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from luxusbd.images import gpt
from luxusbd.stick import elsewhere, isofiles, menu, reader, writer
from luxusbd.stick import gpt as stick_gpt
from luxusbd.stick.blockio import read_at
from luxusbd.stick.layout import TYPE_ESP
from luxusbd.stick.model import ManifestImage, PartitionRole, StickOperation
from tests.stick import helpers, oldsticks
from tests.stick.cutting import bios_loads, expect, files_of_esp

OLD_MENU = "/boot/grub/grub.cfg"
_IDENTIFIER = 32769
"""Where an ISO 9660 image says that it is one."""


def image(path: Path, size: int, seed: int) -> Path:
    """A file that begins as an image."""
    data = bytearray(random.Random(seed).randbytes(size))
    data[_IDENTIFIER : _IDENTIFIER + 5] = b"CD001"
    path.write_bytes(data)
    return path


@dataclass
class OldBench:
    """A stick of LUXusb 0.6.3, and how it is looked at while it is taken over."""

    work: Path
    images: dict[str, Path]
    """Files by their paths below /isos; their last names are fit for /iso."""
    esp: int = oldsticks.ESP
    gap: int = oldsticks.GAP
    core: str = ""
    """What a BIOS loads of the new stick."""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the files of the new ESP by their paths."""

    def __post_init__(self) -> None:
        self.disk = oldsticks.old(self.work / "disk", self.images, esp=self.esp, gap=self.gap, starts=True)
        self.old_core = bios_loads(self.disk)
        self.hashes = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in self.images.items()}
        self.names = {name.rsplit("/", 1)[-1]: name for name in self.images}

    async def adopt(self, node: str, step: Callable[[str], None] = lambda _name: None) -> None:
        """Do what the daemon's job does."""
        fd = os.open(node, os.O_RDWR)
        try:
            begin = helpers.order(StickOperation.ADOPT_BEGIN, fd, node=node, size=oldsticks.SIZE)
            await writer.execute(begin, lambda _progress: None, after_step=step)
            order = helpers.order(StickOperation.ADOPT, fd, node=node, size=oldsticks.SIZE, found=self._found(fd))
            await writer.execute(order, lambda _progress: None, after_step=step)
        finally:
            os.close(fd)

    def _found(self, fd: int) -> tuple[ManifestImage, ...]:
        filesystem = reader.open_stick(fd, oldsticks.SIZE)
        found = []
        for name in sorted(filesystem.list("/iso")):
            file = isofiles.image_file(filesystem, name)
            sha256 = file.sha256(lambda _done, _total: None, lambda: False)
            found.append(helpers.image(name, name, sha256=sha256, size=file.size, added=2**32))
        return tuple(found)

    def learn(self, disk: Path) -> None:
        """Take over what a stick that was taken over starts with."""
        self.core = bios_loads(disk)
        number, start = self._new_esp(disk)
        self.files = {
            path: _sha256(helpers.grub_read(disk, path, partition=number)) for path in files_of_esp(disk, start)
        }
        expect(self.core not in ("", self.old_core), "the takeover left the old core image")
        expect(self.files and all(self.files.values()), "the new ESP cannot be read")

    def _new_esp(self, disk: Path) -> tuple[int, int]:
        with disk.open("rb") as file:
            table = gpt.read(read_at(file.fileno()), oldsticks.SIZE)
            made = stick_gpt.stick_layout(table, oldsticks.SIZE) if table is not None else None
        expect(made, "the stick is not one of today's")
        assert made is not None
        part = made.partition(PartitionRole.ESP)
        return part.number, part.start

    def check(self, disk: Path) -> bool:
        """Every way to start leads to a menu whose images are whole, before and after a kernel used the stick.

        Returns:
            Whether the stick is one of today's.

        Raises:
            WrongError: it does not.
        """
        self._starts(disk)
        new = self._is_known(disk)
        self._replay(disk)
        self._starts(disk)
        if new:
            with disk.open("rb") as file:
                contents = reader.read_stick(file.fileno(), oldsticks.SIZE)
            expect(contents is not None and not contents.damage, f"the new stick is damaged: {contents}")
            assert contents is not None
            listed = frozenset(each.name for each in contents.manifest.images)
            expect(listed == frozenset(self.names), f"the new stick lists {listed}")
        return new

    def _starts(self, disk: Path) -> None:
        core = bios_loads(disk)
        expect(core in (self.old_core, self.core), "a BIOS loads neither the old nor the new core image")
        numbers = range(1, 6)
        if core == self.old_core:
            # its prefix names the second partition, as grub-install has it
            expect(self._is_old(disk, 2), "the old core image does not find its menu")
            self._old_images(disk)
        else:
            expect(any(self._is_new(disk, number) for number in numbers), "the new core image finds no ESP of its own")
            self._new_images(disk)
        systems = self._systems(disk)
        expect(systems, "a firmware finds no ESP")
        for number in systems:
            if self._is_old(disk, number):
                self._old_images(disk)
            else:
                expect(self._is_new(disk, number), f"partition {number} has neither the old nor the new EFI files")
                self._new_images(disk)

    def _systems(self, disk: Path) -> list[int]:
        """The ESPs of which a firmware takes one."""
        with disk.open("rb") as file:
            copies = gpt.copies(read_at(file.fileno()), oldsticks.SIZE)
        table = copies[0]
        expect(table, "the first copy of the partition table is broken, and Linux takes no other by itself")
        assert table is not None
        return [entry.number for entry in table.entries if entry.type_guid == TYPE_ESP]

    def _is_old(self, disk: Path, number: int) -> bool:
        return helpers.grub_read(disk, OLD_MENU, partition=number) == oldsticks.OLD_MENU and helpers.grub_read(
            disk, oldsticks.EFI_PROGRAM, partition=number
        ) == oldsticks.efi_program(self.work)

    def _is_new(self, disk: Path, number: int) -> bool:
        return bool(self.files) and all(
            _sha256(helpers.grub_read(disk, path, partition=number)) == sha256 for path, sha256 in self.files.items()
        )

    def _old_images(self, disk: Path) -> None:
        for name, sha256 in self.hashes.items():
            expect(_sha256(helpers.grub_read(disk, f"/isos/{name}")) == sha256, f"/isos/{name} is not whole for GRUB")

    def _new_images(self, disk: Path) -> None:
        texts = [found for path in (menu.MENU_A, menu.MENU_B) if (found := helpers.grub_read(disk, path)) is not None]
        best = max(texts, key=lambda text: menu.generation_of(text) or 0, default=b"")
        expect(menu.generation_of(best), "GRUB finds no complete menu")
        shown = frozenset(re.findall(r'\[ -e "\(\$data\)/iso/([^"]+)" \]; then ', best.decode()))
        expect(shown == frozenset(self.names), f"the new menu lists {shown}")
        for name in shown:
            sha256 = _sha256(helpers.grub_read(disk, f"/iso/{name}"))
            expect(sha256 == self.hashes[self.names[name]], f"{name} is not whole for GRUB")

    def _is_known(self, disk: Path) -> bool:
        with disk.open("rb") as file:
            seen = elsewhere.look(file.fileno(), oldsticks.SIZE)
            table = gpt.read(read_at(file.fileno()), oldsticks.SIZE)
        if seen is not None:
            expect(not seen.refusal, f"it can no longer be taken over: {seen.refusal}")
            expect(len(seen.images) == len(self.images), f"it is an old stick with {len(seen.images)} images")
            return False
        made = stick_gpt.stick_layout(table, oldsticks.SIZE) if table is not None else None
        expect(made, "it is neither an old stick nor one of today's")
        return True

    def _replay(self, disk: Path) -> None:
        start = (2 + self.esp + self.gap) << 20
        where = self.work / "mnt"
        where.mkdir(exist_ok=True)
        with helpers.loop_device(
            disk, f"--offset={start}", f"--sizelimit={oldsticks.SIZE - start - (1 << 20)}"
        ) as node:
            subprocess.run(["mount", "-t", "ext4", node, where], check=True, capture_output=True)
            try:
                for name, path in self.names.items():
                    present = [each for each in (where / "isos" / path, where / "iso" / name) if each.exists()]
                    expect(present, f"{name} is gone for the kernel")
                    for each in present:
                        expect(_sha256(each.read_bytes()) == self.hashes[path], f"{each} is not whole for the kernel")
            finally:
                subprocess.run(["umount", where], check=True)
            done = subprocess.run(["e2fsck", "-fn", node], check=False, capture_output=True, text=True)
            expect(done.returncode == 0, done.stdout)


def _sha256(data: bytes | None) -> str:
    return "" if data is None else hashlib.sha256(data).hexdigest()
