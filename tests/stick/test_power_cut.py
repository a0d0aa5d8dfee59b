"""A stick boots its old or its new menu wherever the power is cut: every write of a job is recorded and cut short.

How it is recorded and what a cut may leave is said in `blocklog`. GRUB's own filesystem code (grub-fstest) then reads
what the firmware and GRUB would read, with no journal replayed, and after that the kernel mounts the stick.

LUXUSB_POWER_CUTS is the number of cuts for each job, LUXUSB_POWER_CUT_SEED decides which. The moments at which the
kernel writes are its own, so that one seed does not give the same disks twice: what failed is kept in build/power-cut.
"""

from __future__ import annotations

import copy
import functools
import os
import random
import struct
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from luxusbd.errors import LuxusbError
from luxusbd.images.model import Persistence, Store
from luxusbd.stick import grub, layout, menu, mounted, reader
from luxusbd.stick.model import MIB, PartitionRole, StickOperation, StickOptions
from tests.stick import blocklog, helpers
from tests.stick.boot import boot
from tests.stick.cutting import Bench, View, WrongError, expect
from tests.stick.cutting_old import OldBench, image

pytestmark = [pytest.mark.root, pytest.mark.timeout(3000)]

CUTS = int(os.environ.get("LUXUSB_POWER_CUTS", "8"))
SEED = int(os.environ.get("LUXUSB_POWER_CUT_SEED", "1"))
ADOPT_CUTS = CUTS if "LUXUSB_POWER_CUTS" in os.environ else 6
COMPANION_CUTS = CUTS if "LUXUSB_POWER_CUTS" in os.environ else 4
KEPT = Path("build/power-cut")
FILESYSTEMS = ("ext4", "fat32", "exfat")
GO_ON = 6
"""One cut in so many is followed by the same job once more."""


@pytest.fixture(scope="session", autouse=True)
def _private_mounts() -> None:
    mounted.enter_private_namespace()


@pytest.fixture(params=FILESYSTEMS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, StickOptions(filesystem=request.param, timeout=20, serial_console=True))
    yield made
    made.close()


Job = Callable[[str, Callable[[str], None]], Awaitable[object]]
"""Takes a node and what is told the steps."""


@dataclass(frozen=True)
class Recorded:
    """What a job wrote."""

    before_disk: Path
    entries: tuple[blocklog.Entry, ...]
    steps: tuple[tuple[str, int], ...]
    """Names of moments, and how many entries there were by then."""

    def step(self, name: str) -> int:
        """How many entries there were when a step was done."""
        return dict(self.steps)[name]

    def reached(self, prefix: int) -> str:
        return next((name for name, count in reversed(self.steps) if count <= prefix), "the beginning")


@dataclass(frozen=True)
class Log(Recorded):
    """A job that was recorded on a stick of ours."""

    before: View
    after: View


async def recorded(bench: Bench | OldBench, job: Job) -> Recorded:
    """Do a job on the disk of a bench and record it."""
    before_disk = bench.work / "before"
    blocklog.copy(bench.disk, before_disk)
    with blocklog.recorded(bench.disk, bench.work) as recording:
        await job(recording.node, recording)
    entries, ends = blocklog.read_log(recording.log)
    steps = tuple((name, sum(end <= length for end in ends)) for name, length in recording.steps)
    return Recorded(before_disk, entries, steps)


async def record(bench: Bench, job: Job) -> Log:
    """Do a job on the stick of the bench and record it."""
    bench.learn_boot_files()
    found = await recorded(bench, job)
    bench.learn_boot_files()
    before, after = bench.look(found.before_disk), bench.look(bench.disk)
    return Log(found.before_disk, found.entries, found.steps, before, after)


async def cut_everywhere(
    bench: Bench | OldBench,
    name: str,
    log: Recorded,
    check: Callable[[Path, random.Random], Awaitable[None]],
    first: int = 0,
    cuts: int = CUTS,
) -> None:
    """Cut what was recorded from its `first` entry on, and check each disk."""
    chance = random.Random(f"{SEED} {name}")
    cutter = blocklog.Cuts(log.before_disk, log.entries)
    disk = bench.work / "cut"
    failures = []
    for prefix in sorted(chosen(log.entries, first, chance, cuts)):
        became = cutter.make(disk, prefix, chance)
        KEPT.mkdir(parents=True, exist_ok=True)
        kept = KEPT / f"{name}-{SEED}-{prefix}.img"
        blocklog.copy(disk, kept)
        try:
            await check(disk, chance)
        except (WrongError, LuxusbError, OSError, subprocess.CalledProcessError) as error:
            where = f"entry {prefix} of {len(log.entries)}, after {log.reached(prefix)}"
            failures.append(f"{name}, seed {SEED}, {where}, {became}: {type(error).__name__}: {error} [{kept}]")
        else:
            kept.unlink()
    print(f"\npower cut: {name}: {cuts} cuts of {len(log.entries)} entries, seed {SEED}")
    assert not failures, "\n".join(failures)


def chosen(entries: Sequence[blocklog.Entry], first: int, chance: random.Random, cuts: int) -> list[int]:
    """How many entries each of the cuts gets; every number that makes a difference before any of them twice."""
    # a flush after a flush changes nothing
    different = [at + 1 for at, entry in enumerate(entries) if entry.data or (at and entries[at - 1].data)]
    different = [first, *(count for count in different if count > first)]
    rounds = [chance.sample(different, len(different)) for _round in range(-(-cuts // len(different)))]
    return [number for one in rounds for number in one][:cuts]


def names(count: int) -> list[str]:
    """Names of images that fill more than a sector of their directory."""
    return [f"distribution-{number:02}-{'x' * 30}.iso" for number in range(count)]


async def cut_a_change(
    bench: Bench, name: str, job: Job, more: Callable[[Path], None] = lambda _disk: None, *, cuts: int = CUTS
) -> None:
    """Record a job that changes a stick, and cut it: each stick is the old or the new one, and the job can go on.

    `more` says what else has to hold of a stick that was cut.
    """
    log = await record(bench, job)
    assert log.before.generation < log.after.generation

    async def check(disk: Path, chance: random.Random) -> None:
        found = bench.check(disk, log.before, log.after)
        more(disk)
        if chance.randrange(GO_ON) or (name != "refresh" and found.menu == log.after.menu):
            return
        if bench.look(disk).menu == log.before.menu or name == "refresh":
            with helpers.loop_device(disk) as node:
                await job(node, lambda _step: None)
        ended = bench.look(disk)
        expect(ended.images == log.after.images, f"done once more, the menu has {ended.images}")
        expect((ended.core, ended.esp) == (log.after.core, log.after.esp), "done once more, boot files are other ones")

    await cut_everywhere(bench, name, log, check, cuts=cuts)


@pytest.mark.chaos
async def test_add(bench: Bench) -> None:
    """The new names go into gaps of a directory that has more than one sector."""
    await bench.do(StickOperation.CREATE, add=[bench.source(name, 20_000) for name in names(14)])
    await bench.do(StickOperation.REMOVE, remove=(names(14)[6], names(14)[9]))
    added = (bench.source("added.iso", 3 * MIB), bench.source("small.iso", 70_000))

    async def job(node: str, step: Callable[[str], None]) -> None:
        await bench.run(node, StickOperation.ADD, step, add=added)

    await cut_a_change(bench, "add", job)


@pytest.mark.chaos
@pytest.mark.parametrize("what", ["add", "update"])
async def test_companion(tmp_path: Path, what: str) -> None:
    """An image on the ext4 companion, which has a journal of its own, comes and goes with the menu of the other one."""
    options = StickOptions(filesystem="exfat", timeout=20, serial_console=True, companion=20 * MIB)
    bench = Bench(tmp_path, options, helpers.SIZE + 40 * MIB)
    try:
        there = [bench.source(name, 20_000, partition=PartitionRole.COMPANION) for name in names(4)]
        await bench.do(StickOperation.CREATE, add=[bench.source("here.iso", 20_000), *there])
        added = [
            bench.source("added.iso", 3 * MIB, partition=PartitionRole.COMPANION),
            bench.source("small.iso", 70_000),
        ]
        changes: dict[str, dict[str, object]] = {
            "add": {"add": added},
            "update": {"add": added, "remove": (names(4)[1], "here.iso")},
        }

        async def job(node: str, step: Callable[[str], None]) -> None:
            await bench.run(node, StickOperation(what), step, **changes[what])

        await cut_a_change(bench, f"companion-{what}", job, cuts=COMPANION_CUTS)
    finally:
        bench.close()


@pytest.mark.chaos
async def test_remove(bench: Bench) -> None:
    await bench.do(StickOperation.CREATE, add=[bench.source(name, 20_000) for name in names(12)])

    async def job(node: str, step: Callable[[str], None]) -> None:
        await bench.run(node, StickOperation.REMOVE, step, remove=(names(12)[3], names(12)[9]))

    await cut_a_change(bench, "remove", job)


@pytest.mark.chaos
async def test_update(bench: Bench) -> None:
    await bench.do(StickOperation.CREATE, add=[bench.source(name, 20_000) for name in names(12)])
    new = [bench.source("newer.iso", 3 * MIB), bench.source("small.iso", 70_000)]

    async def job(node: str, step: Callable[[str], None]) -> None:
        await bench.run(node, StickOperation.UPDATE, step, add=new, remove=(names(12)[3], names(12)[9]))

    await cut_a_change(bench, "update", job)


@pytest.mark.chaos
@pytest.mark.parametrize("had", [0, 18 * MIB], ids=["give", "resize"])
async def test_persist(bench: Bench, had: int) -> None:
    """Room for changes comes with the menu that has an entry for it, or not at all; another size takes nothing away."""
    words = ("persistent", "persistent-path={persistence}")
    way = Persistence(helpers.entry(parameters=words), Store.FILE, "writable", files=(("/note", "x"),))
    sources = [bench.source(name, 20_000, persistence=(way,)) for name in names(3)]
    await bench.do(StickOperation.CREATE, add=sources, persist=((names(3)[1], had),) if had else ())

    async def job(node: str, step: Callable[[str], None]) -> None:
        await bench.run(node, StickOperation.PERSIST, step, persist=((names(3)[1], 16 * MIB),))

    keeps = functools.partial(keeps_changes, bench, had)
    await cut_a_change(bench, "resize" if had else "persist", job, keeps, cuts=-(-CUTS // 2))


def keeps_changes(bench: Bench, had: int, disk: Path) -> None:
    """The middle image of a stick has the room that it had, or the new one, and in it all that was there."""
    with disk.open("rb") as file:
        contents = reader.read_stick(file.fileno(), helpers.SIZE)
        expect(contents is not None, "it is no stick any more")
        assert contents is not None
        kept = {image.name: image.kept for image in contents.manifest.images}[names(3)[1]]
    expect((kept.size if kept else 0) in (had, 16 * MIB), f"the room is {kept}")
    if kept is None:
        return
    data = helpers.grub_read(disk, f"/{kept.directory}/{kept.name}")
    expect(data is not None and len(data) == kept.size, "the room of the manifest is not whole")
    assert data is not None
    inside = bench.work / "inside"
    inside.write_bytes(data)
    checked = subprocess.run(["e2fsck", "-fn", inside], check=False, capture_output=True, text=True)
    expect(checked.returncode == 0, f"the filesystem in the room is broken: {checked.stdout}")
    said = subprocess.run(["debugfs", "-R", "cat /note", inside], capture_output=True, check=True).stdout
    expect(said == b"x", f"what was in the room is {said!r}")


@pytest.mark.chaos
async def test_replace(bench: Bench) -> None:
    """With the old image, without it, or with the new one; then it can be added."""
    old = [bench.source(name, 20_000) for name in names(3)]
    await bench.do(StickOperation.CREATE, add=old)
    new = bench.source("newer.iso", 2 * MIB)

    async def job(node: str, step: Callable[[str], None]) -> None:
        await bench.run(node, StickOperation.REPLACE, step, add=[new], remove=(names(3)[1],))

    log = await record(bench, job)
    before, without = log.before.images, log.before.images - {names(3)[1]}
    states = tuple(
        (log.before.generation + more, each) for more, each in enumerate((before, without, log.after.images))
    )
    assert log.after.menu == states[2]

    async def check(disk: Path, chance: random.Random) -> None:
        found = bench.look(disk)
        expect(found.menu in states, f"the menu is {found.menu}")
        manifest = bench.replay(disk)
        expect(manifest in states, f"the manifest is {manifest}")
        expect(bench.look(disk).menu == manifest, f"after the replay the menu is not that of the manifest: {manifest}")
        if not chance.randrange(GO_ON) and manifest != states[2]:
            await bench.do(StickOperation.ADD, disk, add=[new])
            ended = bench.look(disk).images
            expect(ended == manifest[1] | {"newer.iso"}, f"added once more, the menu has {ended}")

    await cut_everywhere(bench, "replace", log, check)


@pytest.mark.chaos
async def test_adopt(tmp_path: Path) -> None:
    """The old menu or the new one, for a BIOS and for every EFI partition that a firmware may take."""
    files = {f"distribution-{number}/{name}": name for number, name in enumerate(("one.iso", "two.iso"))}
    images = {path: image(tmp_path / name, 90_000, number) for number, (path, name) in enumerate(files.items())}
    images["three.iso"] = image(tmp_path / "three.iso", 2 * MIB, 3)
    bench = OldBench(tmp_path, images)
    log = await recorded(bench, bench.adopt)
    bench.learn(bench.disk)
    assert bench.check(bench.disk), "taken over to its end it is still an old stick"

    async def check(disk: Path, chance: random.Random) -> None:
        if bench.check(disk) or chance.randrange(GO_ON):
            return
        with helpers.loop_device(disk) as node:
            await bench.adopt(node)
        again = copy.copy(bench)
        again.learn(disk)
        expect(again.check(disk), "done once more, it is still an old stick")

    await cut_everywhere(bench, "adopt", log, check, cuts=ADOPT_CUTS)


async def with_older_boot_files(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a stick whose boot files are of other sizes than those of today."""
    with monkeypatch.context() as older:
        stub, early = menu.stub, grub.early_config
        older.setattr(menu, "stub", lambda uuid, **options: stub(uuid, **options) + "# older\n" * 500)
        older.setattr(grub, "early_config", lambda serial: early(serial) + "# older\n" * 20000)
        await bench.do(StickOperation.CREATE, add=[bench.source(name, 20_000) for name in names(2)])


@pytest.mark.chaos
async def test_refresh(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await with_older_boot_files(bench, monkeypatch)

    async def job(node: str, step: Callable[[str], None]) -> None:
        await bench.run(node, StickOperation.REFRESH, step)

    await cut_a_change(bench, "refresh", job)


@pytest.mark.chaos
async def test_create(bench: Bench) -> None:
    """From the partition table on: no menu, or one whose images are whole; and a repair ends what was begun."""
    sources = [bench.source(name, 200_000) for name in names(3)]

    async def job(node: str, step: Callable[[str], None]) -> None:
        await bench.run(node, StickOperation.CREATE, step, add=sources)

    log = await record(bench, job)
    nothing, everything = frozenset[str](), frozenset(names(3))

    async def check(disk: Path, chance: random.Random) -> None:
        found = bench.look(disk)
        expect(found.menu in ((0, nothing), (1, nothing), (2, everything)), f"the menu is {found.menu}")
        if found.generation:
            expect((found.core, found.esp) == (log.after.core, log.after.esp), "not all of the boot files are there")
            manifest = bench.replay(disk)
            expect(manifest in ((1, nothing), (2, everything)), f"the manifest is {manifest}")
        elif chance.randrange(2):
            await bench.do(StickOperation.REPAIR, disk)
            expect(bench.look(disk).generation, "a repair gave the stick no menu")
            verified = await bench.do(StickOperation.VERIFY, disk)
            expect(verified["ok"], f"a repair left a stick that is not whole: {verified}")

    await cut_everywhere(bench, "create", log, check, log.step("table"))


@pytest.mark.boot
async def test_three_cut_sticks_start(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a refresh, while a BIOS or UEFI is led to the copy, and of an add."""
    await with_older_boot_files(bench, monkeypatch)

    async def refresh(node: str, step: Callable[[str], None]) -> None:
        await bench.run(node, StickOperation.REFRESH, step)

    log = await record(bench, refresh)
    cuts = blocklog.Cuts(log.before_disk, log.entries)
    flushes = [at + 1 for at, entry in enumerate(log.entries) if entry.flush]
    disk = bench.work / "cut"
    copied_core = struct.pack("<Q", (layout.BIOS_START + layout.BIOS_SIZE // 2) // 512)
    while _bytes(disk, cuts, flushes, 0x5C, 8) != copied_core:
        pass
    _starts(disk, bench.work, uefi=False)
    while _bytes(disk, cuts, flushes, layout.ESP_START + 44, 4) == struct.pack("<I", 2):
        pass
    _starts(disk, bench.work, uefi=True)

    async def add(node: str, step: Callable[[str], None]) -> None:
        await bench.run(node, StickOperation.ADD, step, add=(added,))

    added = bench.source("added.iso", MIB)
    log = await record(bench, add)
    prefix = (log.step("menu-written") + log.step("menu-checkpoint")) // 2
    blocklog.Cuts(log.before_disk, log.entries).make(disk, prefix, random.Random(SEED))
    _starts(disk, bench.work, uefi=False)


def _bytes(disk: Path, cuts: blocklog.Cuts, flushes: list[int], place: int, length: int) -> bytes:
    """Cut at the next flush; some bytes of the disk then."""
    cuts.make(disk, flushes.pop(0), random.Random(SEED))
    with disk.open("rb") as file:
        file.seek(place)
        return file.read(length)


def _starts(disk: Path, work: Path, *, uefi: bool) -> None:
    shown = boot(disk, work, "Tools", uefi=uefi)
    assert "One" in shown
    assert "No complete boot menu" not in shown
    # what the menu takes out under UEFI is no module of the GRUB that is built here
    known = ("error: no such module.",) if uefi else ()
    assert not [line for line in shown.splitlines() if "error:" in line and not line.strip().endswith(known)]
