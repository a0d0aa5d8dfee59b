"""A stick boots its old or its new menu wherever the power is cut: every write of a job is recorded and cut short.

How it is recorded and what a cut may leave is said in `blocklog`. GRUB's own filesystem code (grub-fstest) then reads
what the firmware and GRUB would read, with no journal replayed, and after that the kernel mounts the stick.

LUXUSB_POWER_CUTS is the number of cuts for each job, LUXUSB_POWER_CUT_SEED decides which. The moments at which the
kernel writes are its own, so that one seed does not give the same disks twice: one that failed is kept.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import struct
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from luxusbd.errors import LuxusbError
from luxusbd.stick import grub, layout, menu, mounted, reader, writer
from luxusbd.stick.model import (
    MIB,
    Layout,
    PartitionRole,
    SourceImage,
    StickOperation,
    StickOptions,
)
from tests.stick import blocklog, helpers

pytestmark = [pytest.mark.root, pytest.mark.chaos, pytest.mark.timeout(1800)]

CUTS = int(os.environ.get("LUXUSB_POWER_CUTS", "13"))
SEED = int(os.environ.get("LUXUSB_POWER_CUT_SEED", "1"))
KEPT = Path("build/power-cut")
FILESYSTEMS = ("ext4",)
"""Data filesystems to try; `_replay` has to know how the kernel's view of each is judged."""


@pytest.fixture(scope="session", autouse=True)
def _private_mounts() -> None:
    mounted.enter_private_namespace()


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


@dataclass(frozen=True)
class Stick:
    """A stick at rest before or after the job."""

    view: View
    hashes: dict[str, str]
    """SHA-256 of each image that was ever meant for the stick."""


class Bench:
    """Sticks, their images and their boot files for one test."""

    def __init__(self, work: Path, filesystem: str) -> None:
        self.work = work
        self.disk = work / "disk"
        self.options = StickOptions(filesystem=filesystem)
        self.layout: Layout = layout.plan(helpers.SIZE, self.options)
        self.hashes: dict[str, str] = {}
        self.esp_paths: frozenset[str] = frozenset()
        self._made: list[SourceImage] = []
        os.close(helpers.empty_target(self.disk))

    def source(self, name: str, size: int) -> SourceImage:
        path = helpers.random_file(self.work / f"source-{name}", size, len(self._made) + 1)
        made = helpers.source(path, name)
        self._made.append(made)
        self.hashes[name] = made.image.sha256
        return made

    def close(self) -> None:
        for source in self._made:
            os.close(source.fd)

    async def run(self, node: str, operation: StickOperation, step: Callable[[str], None], **changes: object) -> None:
        fd = os.open(node, os.O_RDWR)
        try:
            order = helpers.order(operation, fd, node=node, options=self.options, **changes)
            await writer.execute(order, lambda _progress: None, after_step=step)
        finally:
            os.close(fd)

    async def do(self, operation: StickOperation, **changes: object) -> None:
        """Do something without recording it."""
        with helpers.loop_device(self.disk) as node:
            await self.run(node, operation, lambda _step: None, **changes)

    async def prepare(self, *sources: SourceImage) -> None:
        await self.do(StickOperation.CREATE, add=sources)

    def learn_boot_files(self) -> None:
        """Take over which files are on the ESP now."""
        done = subprocess.run(
            ["mdir", "-/", "-b", "-i", f"{self.disk}@@{layout.ESP_START}", "::"],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "MTOOLSRC": "/dev/null"},
        )
        found = {line.removeprefix("::") for line in done.stdout.splitlines() if not line.endswith("/")}
        self.esp_paths |= found

    def look(self, disk: Path) -> View:
        """What GRUB finds on a disk; every image that its menu lists has to be whole."""
        generation, text = 0, b""
        for path in (menu.MENU_A, menu.MENU_B):
            found = helpers.grub_read(disk, path)
            if (menu.generation_of(found) or 0) > generation and found is not None:
                generation, text = menu.generation_of(found) or 0, found
        shown = frozenset(re.findall(r'\[ -e "\(\$data\)/iso/([^"]+)" \]; then ', text.decode()))
        for name in shown:
            data = helpers.grub_read(disk, f"/iso/{name}")
            expect(data is not None, f"GRUB cannot read {name}, which its menu lists")
            expect(hashlib.sha256(data or b"").hexdigest() == self.hashes[name], f"{name} is not whole for GRUB")
        esp = []
        for path in sorted(self.esp_paths):
            data = helpers.grub_read(disk, path, partition=2)
            esp.append((path, "" if data is None else hashlib.sha256(data).hexdigest()))
        return View(_bios_loads(disk), tuple(esp), generation, shown)

    def replay(self, disk: Path, work: Path) -> tuple[int, frozenset[str]]:
        """Let the kernel bring the data partition in order; generation and images of the manifest after that."""
        part = self.layout.partition(PartitionRole.DATA)
        where = work / "mnt"
        where.mkdir(exist_ok=True)
        with helpers.loop_device(disk, f"--offset={part.start}", f"--sizelimit={part.size}") as node:
            _replay(self.options.filesystem, node, where, self.hashes)
        with disk.open("rb") as file:
            contents = reader.read_stick(file.fileno(), helpers.SIZE)
        assert contents is not None
        unfinished = contents.damage.startswith("the stick was not finished when it was made")
        expect(not contents.damage or unfinished, contents.damage)
        return contents.manifest.generation, frozenset(image.name for image in contents.manifest.images)


def _replay(filesystem: str, node: str, where: Path, hashes: dict[str, str]) -> None:
    """Mount read-write as a user's machine would, compare the images with what they should be, and check."""
    assert filesystem == "ext4", filesystem
    subprocess.run(["mount", "-t", "ext4", node, where], check=True)
    try:
        for path in (where / "iso").iterdir():
            if path.name in hashes:
                expect(
                    hashlib.sha256(path.read_bytes()).hexdigest() == hashes[path.name], f"{path.name} for the kernel"
                )
    finally:
        subprocess.run(["umount", where], check=True)
    done = subprocess.run(["e2fsck", "-fn", node], check=False, capture_output=True, text=True)
    expect(done.returncode == 0, done.stdout)


def _bios_loads(disk: Path) -> str:
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
        return hashlib.sha256(
            code[:0x5C] + code[0x64:] + first[:0x1F4] + first[0x1FC:] + file.read(count * 512)
        ).hexdigest()


@pytest.fixture(params=FILESYSTEMS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, request.param)
    yield made
    made.close()


Job = Callable[[blocklog.Recording], Awaitable[None]]


async def cut_everywhere(bench: Bench, name: str, job: Job) -> list[Path]:
    """Record a job on the stick of the bench, cut it and check; returns three of the disks."""
    before_image = bench.work / "before"
    blocklog.copy(bench.disk, before_image)
    bench.learn_boot_files()
    with blocklog.recorded(bench.disk, bench.work) as recording:
        await job(recording)
    bench.learn_boot_files()
    before, after = bench.look(before_image), bench.look(bench.disk)
    assert before.generation < after.generation
    entries, ends = blocklog.read_log(recording.log)
    print(f"{name}: {len(entries)} entries, {sum(entry.flush for entry in entries)} of them flushes")
    chance = random.Random(f"{SEED} {name}")
    cuts = blocklog.Cuts(before_image, entries)
    failures = []
    for prefix in sorted(chosen(entries, chance)):
        disk = bench.work / "cut"
        what = cuts.make(disk, prefix, chance)
        reached = [step for step, length in recording.steps if prefix and ends[prefix - 1] >= length]
        last = reached[-1] if reached else "the beginning"
        what = f"{name}, seed {SEED}, entry {prefix} of {len(entries)}, after {last}, {what}"
        KEPT.mkdir(parents=True, exist_ok=True)
        kept = KEPT / f"{name}-{SEED}-{prefix}.img"
        blocklog.copy(disk, kept)
        try:
            check(bench, disk, before, after)
        except (WrongError, LuxusbError, subprocess.CalledProcessError) as error:
            failures.append(f"{what}: {error}")
        else:
            kept.unlink()
    assert not failures, "\n".join(failures)
    return []


def chosen(entries: Sequence[blocklog.Entry], chance: random.Random) -> list[int]:
    """How many entries each of the cuts gets; every number that makes a difference before any of them twice."""
    # a flush after a flush changes nothing
    different = [0, *(at + 1 for at, entry in enumerate(entries) if entry.data or (at and entries[at - 1].data))]
    rounds = [chance.sample(different, len(different)) for _round in range(-(-CUTS // len(different)))]
    return [number for one in rounds for number in one][:CUTS]


class WrongError(Exception):
    """A cut disk is not what it should be."""


def expect(condition: object, message: str) -> None:
    if not condition:
        raise WrongError(message)


def check(bench: Bench, disk: Path, before: View, after: View) -> None:
    found = bench.look(disk)
    expect(found.core in (before.core, after.core), "the BIOS loads neither the old nor the new core image")
    expect(found.esp in (before.esp, after.esp), f"the ESP is neither the old nor the new one: {found.esp}")
    menus = {(before.generation, before.images), (after.generation, after.images)}
    expect((found.generation, found.images) in menus, f"neither the old nor the new menu: {found}")
    generation, images = bench.replay(disk, bench.work)
    expect((generation, images) in menus, f"after the replay neither the old nor the new manifest: {images}")
    again = bench.look(disk)
    expect((again.generation, again.images) == (generation, images), "after the replay menu and manifest differ")


def names(count: int) -> list[str]:
    """Names of images that fill more than a sector of their directory."""
    return [f"distribution-{number:02}-{'x' * 30}.iso" for number in range(count)]


async def test_add(bench: Bench) -> None:
    await bench.prepare(*(bench.source(name, 20_000) for name in names(14)))
    await bench.do(StickOperation.REMOVE, remove=(names(14)[6], names(14)[9]))
    added = (bench.source("added.iso", 3 * MIB), bench.source("small.iso", 70_000))

    async def job(disk: blocklog.Recording) -> None:
        await bench.run(disk.node, StickOperation.ADD, disk, add=added)

    await cut_everywhere(bench, "add", job)


async def test_remove(bench: Bench) -> None:
    await bench.prepare(*(bench.source(name, 20_000) for name in names(10)))

    async def job(disk: blocklog.Recording) -> None:
        await bench.run(disk.node, StickOperation.REMOVE, disk, remove=(names(10)[3], names(10)[7]))

    await cut_everywhere(bench, "remove", job)


async def test_refresh(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as older:
        stub = menu.stub
        early = grub.early_config
        older.setattr(menu, "stub", lambda uuid, **options: stub(uuid, **options) + "# older\n" * 500)
        older.setattr(grub, "early_config", lambda serial: early(serial) + "# older\n" * 20000)
        await bench.prepare(*(bench.source(name, 20_000) for name in names(3)))

    async def job(disk: blocklog.Recording) -> None:
        await bench.run(disk.node, StickOperation.REFRESH, disk)

    await cut_everywhere(bench, "refresh", job)
