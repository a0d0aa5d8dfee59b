"""Room for changes on sticks in image files: no root, no mount."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.errors import (
    ImageNotFoundError,
    InvalidArgumentError,
    LuxusbError,
    NotEnoughSpaceError,
)
from luxusbd.images.model import BootEntry, BootMethod, Firmware, Persistence, Store
from luxusbd.stick import layout, manifest, menu, persistence, reader, writer
from luxusbd.stick.blockio import read_at
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.isofiles import pieces
from luxusbd.stick.model import MIB, Kept, PartitionRole, SourceImage, StickOperation, StickOptions
from tests.stick import helpers
from tests.stick.bench import DATA, Bench
from tests.stick.test_cluster_sticks import check

ROOM = 24 * MIB


def entry(*words: str) -> BootEntry:
    return BootEntry(
        "Live (with saved changes)",
        BootMethod.LINUX,
        frozenset({Firmware.BIOS, Firmware.UEFI}),
        "/live/vmlinuz",
        ("/live/initrd",),
        ("boot=live", "findiso={iso}", *words),
    )


IN_FILE = Persistence(
    entry("persistence", "persistence-path={persistence}"),
    Store.FILE,
    "persistence",
    files=(("/persistence.conf", "/ union\n"),),
)
IN_DIRECTORY = Persistence(
    entry("rd.live.overlay=UUID={data_uuid}:{persistence}/overlay"),
    Store.DIRECTORY,
    on=frozenset({"ext4"}),
    files=(("/overlay", ""), ("/ovlwork", "")),
)
ON_PARTITION = (
    Persistence(entry("persistent", "persistent-path={persistence}"), Store.FILE, "writable", frozenset({"fat32"})),
    Persistence(entry("persistent"), Store.PARTITION, "writable"),
)
OWN = Persistence(entry("mbsize={persistence_mb}"), Store.OWN, "live_system.cow")


def sound(bench: Bench, kind: Kind) -> None:
    if kind is Kind.EXT4:
        bench.fsck()
    else:
        check(bench, kind)


def taken_out(bench: Bench, path: str) -> Path:
    """A file of the stick, as the kernel would read it."""
    filesystem = reader.open_stick(bench.fd, helpers.SIZE)
    node = filesystem.lookup(path)
    assert node is not None
    start = reader_start(bench)
    out = bench.directory / "taken-out"
    with out.open("wb") as file:
        for piece in pieces(filesystem.extents(path), filesystem.block_size, node.size):
            assert piece.place is not None
            file.write(os.pread(bench.fd, piece.length, start + piece.place))
    return out


def reader_start(bench: Bench) -> int:
    from luxusbd.stick import target

    return target.stick_layout(read_at(bench.fd), helpers.SIZE).partition(PartitionRole.DATA).start


def live(bench: Bench, name: str, *ways: Persistence, size: int = 300_000, **changes: object) -> SourceImage:
    plain = BootEntry("Live", BootMethod.LINUX, frozenset({Firmware.BIOS, Firmware.UEFI}), "/live/vmlinuz", (), ())
    return bench.source(name, size, persistence=ways, entries=(plain,), **changes)


@pytest.mark.parametrize("kind", list(Kind))
async def test_a_file_for_changes_is_made_kept_and_removed(bench: Bench, kind: Kind) -> None:
    one, two = live(bench, "one.iso", IN_FILE), live(bench, "two.iso", IN_FILE)
    made = await bench.do(StickOperation.CREATE, one, two, options=StickOptions(filesystem=kind))
    done = await bench.do(StickOperation.PERSIST, persist=(("one.iso", ROOM),))
    assert done["persistence"] == {"one.iso": ROOM}
    assert made["free_bytes"] - done["free_bytes"] >= ROOM
    assert bench.progress[-1].bytes_done == bench.progress[-1].bytes_total > 0
    sound(bench, kind)
    assert bench.look().damage == ""
    directory = f"persist-{one.image.sha256[:16]}"
    kept = bench.look().manifest.images[0].kept
    assert kept == Kept(Store.FILE, "persistence", directory, ROOM, IN_FILE.entry)

    inside = taken_out(bench, f"/{directory}/persistence")
    assert inside.stat().st_size == ROOM
    assert subprocess.run(["e2fsck", "-fn", inside], capture_output=True, check=False).returncode == 0
    said = subprocess.run(["debugfs", "-R", "cat /persistence.conf", inside], capture_output=True, check=True).stdout
    assert said == b"/ union\n"

    text = menu.render(bench.look().manifest)
    assert f"persistence-path=/{directory}" in text
    assert f'if [ -e "($data)/{directory}" ]; then' in text
    assert (await bench.do(StickOperation.VERIFY))["ok"] is True
    assert (await bench.do(StickOperation.REPAIR))["findings"] == []
    assert (await bench.do(StickOperation.REFRESH))["images"] == ["one.iso", "two.iso"]
    assert bench.look().manifest.images[0].kept == kept

    gone = await bench.do(StickOperation.PERSIST, persist=(("one.iso", 0),))
    assert gone["persistence"] == {}
    assert gone["free_bytes"] >= made["free_bytes"] - MIB
    assert reader.open_stick(bench.fd, helpers.SIZE).lookup(f"/{directory}") is None
    assert "persistence" not in menu.render(bench.look().manifest)
    sound(bench, kind)
    helpers.check_boots(bench.path, bench.files)


@pytest.mark.parametrize("kind", list(Kind))
async def test_it_goes_with_its_image(bench: Bench, kind: Kind) -> None:
    one, two = live(bench, "one.iso", IN_FILE), live(bench, "two.iso", IN_FILE)
    options = StickOptions(filesystem=kind)
    persist = (("two.iso", ROOM), ("one.iso", ROOM))
    await bench.do(StickOperation.CREATE, one, two, options=options, persist=persist)
    assert [image.kept is not None for image in bench.look().manifest.images] == [True, True]
    await bench.do(StickOperation.REMOVE, remove=("one.iso",))
    filesystem = reader.open_stick(bench.fd, helpers.SIZE)
    assert filesystem.lookup(f"/persist-{one.image.sha256[:16]}") is None
    assert filesystem.lookup(f"/persist-{two.image.sha256[:16]}/persistence") is not None
    sound(bench, kind)


async def test_a_directory_full_of_odd_names_is_removed(bench: Bench) -> None:
    one = live(bench, "one.iso", IN_DIRECTORY)
    await bench.do(StickOperation.CREATE, one)
    await bench.do(StickOperation.PERSIST, persist=(("one.iso", ROOM),))
    directory = f"/persist-{one.image.sha256[:16]}"
    filesystem = reader.open_stick(bench.fd, helpers.SIZE)
    assert set(filesystem.list(directory)) == {"overlay", "ovlwork"}
    free = filesystem.free_bytes()
    # what a live system leaves: names with blanks and quotes, links, a whiteout, a file with two names
    (bench.directory / "file").write_bytes(bytes(70_000))
    script = [
        f"cd {directory}/overlay",
        'mkdir "a b"',
        'cd "a b"',
        'write file "x;y\'z"',
        "symlink link /etc/passwd",
        "mknod gone c 0 0",
        "mkdir deep",
        "cd deep",
        "write file other",
        "ln other again",
        "sif other links_count 2",
    ]
    subprocess.run(
        ["debugfs", "-w", "-f", "-", f"/proc/self/fd/{bench.fd}?offset={DATA}"],
        input="\n".join([*script, ""]),
        text=True,
        pass_fds=(bench.fd,),
        cwd=bench.directory,
        check=True,
        capture_output=True,
    )
    bench.fsck()
    assert reader.open_stick(bench.fd, helpers.SIZE).free_bytes() < free
    await bench.do(StickOperation.PERSIST, persist=(("one.iso", 0),))
    bench.fsck()
    after = reader.open_stick(bench.fd, helpers.SIZE)
    assert after.lookup(directory) is None
    assert after.free_bytes() > free


async def test_a_partition_for_changes_is_for_one_system(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = live(bench, "one.iso", *ON_PARTITION), live(bench, "two.iso", *ON_PARTITION)
    options = StickOptions(persistence=20 * MIB)
    monkeypatch.setattr(helpers, "SIZE", 240 * MIB)
    os.ftruncate(bench.fd, helpers.SIZE)
    await bench.do(StickOperation.CREATE, one, two, options=options, persist=(("one.iso", 20 * MIB),))
    assert bench.look().manifest.options == options
    table = layout.plan(helpers.SIZE, options)
    part = table.partition(PartitionRole.PERSISTENCE)
    assert part.size == 20 * MIB
    copy = bench.directory / "writable"
    copy.write_bytes(os.pread(bench.fd, part.size, part.start))
    assert subprocess.run(["e2fsck", "-fn", copy], capture_output=True, check=False).returncode == 0
    label = subprocess.run(["e2label", copy], capture_output=True, text=True, check=True).stdout.strip()
    assert label == "writable"
    with pytest.raises(InvalidArgumentError, match=r"one\.iso keeps its changes in the persistence partition already"):
        await bench.do(StickOperation.PERSIST, persist=(("two.iso", 20 * MIB),))
    await bench.do(StickOperation.PERSIST, persist=(("one.iso", 0),))
    assert not any(os.pread(bench.fd, MIB, part.start))
    await bench.do(StickOperation.PERSIST, persist=(("two.iso", 20 * MIB),))
    assert [image.kept is not None for image in bench.look().manifest.images] == [False, True]
    assert "'persistent'" in menu.render(bench.look().manifest)


async def test_on_fat32_the_same_system_takes_a_file(bench: Bench) -> None:
    one, two = live(bench, "one.iso", *ON_PARTITION), live(bench, "two.iso", *ON_PARTITION)
    persist = (("one.iso", ROOM), ("two.iso", ROOM))
    await bench.do(StickOperation.CREATE, one, two, options=StickOptions(filesystem="fat32"), persist=persist)
    filesystem = reader.open_stick(bench.fd, helpers.SIZE)
    for source in (one, two):
        assert filesystem.lookup(f"/persist-{source.image.sha256[:16]}/writable") is not None


async def test_what_a_system_makes_by_itself(bench: Bench) -> None:
    await bench.do(StickOperation.CREATE, live(bench, "one.iso", OWN), live(bench, "two.iso", OWN))
    await bench.do(StickOperation.PERSIST, persist=(("one.iso", ROOM),))
    assert f"mbsize={ROOM // MIB}" in menu.render(bench.look().manifest)
    with pytest.raises(InvalidArgumentError, match=r"keeps its changes in the file live_system\.cow already"):
        await bench.do(StickOperation.PERSIST, persist=(("two.iso", ROOM),))
    (bench.directory / "file").write_bytes(bytes(70_000))
    target = f"/proc/self/fd/{bench.fd}?offset={DATA}"
    command = ["debugfs", "-w", "-R", "write file live_system.cow", target]
    subprocess.run(command, pass_fds=(bench.fd,), cwd=bench.directory, check=True, capture_output=True)
    await bench.do(StickOperation.PERSIST, persist=(("one.iso", 0),))
    assert reader.open_stick(bench.fd, helpers.SIZE).lookup("/live_system.cow") is None


async def test_a_newer_release_goes_on_with_the_changes(bench: Bench) -> None:
    one = live(bench, "one.iso", IN_FILE)
    await bench.do(StickOperation.CREATE, one, persist=(("one.iso", ROOM),))
    way = dataclasses.replace(IN_FILE, entry=entry("persistence", "newer", "persistence-path={persistence}"))
    await bench.do(StickOperation.UPDATE, live(bench, "one-2.iso", way, size=400_000), remove=("one.iso",))
    image = bench.look().manifest.images[0]
    directory = f"persist-{one.image.sha256[:16]}"
    assert image.kept == Kept(Store.FILE, "persistence", directory, ROOM, way.entry)
    assert bench.look().damage == ""

    # one that knows no way loses the entry, and nothing else
    await bench.do(StickOperation.UPDATE, live(bench, "one-3.iso", size=500_000), remove=("one-2.iso",))
    image = bench.look().manifest.images[0]
    assert image.kept == Kept(Store.FILE, "persistence", directory, ROOM, None)
    assert reader.open_stick(bench.fd, helpers.SIZE).lookup(f"/{directory}/persistence") is not None
    assert "persistence" not in menu.render(bench.look().manifest)
    await bench.do(StickOperation.REMOVE, remove=("one-3.iso",))
    assert reader.open_stick(bench.fd, helpers.SIZE).lookup(f"/{directory}") is None


async def test_the_older_release_again_leaves_the_newer_ones_changes_alone(bench: Bench) -> None:
    one = live(bench, "one.iso", IN_FILE)
    await bench.do(StickOperation.CREATE, one, persist=(("one.iso", ROOM),))
    await bench.do(StickOperation.UPDATE, live(bench, "one-2.iso", IN_FILE, size=400_000), remove=("one.iso",))
    await bench.do(StickOperation.ADD, one, persist=(("one.iso", 16 * MIB),))
    newer, older = (image.kept for image in bench.look().manifest.images)
    assert newer is not None
    assert older is not None
    assert newer.directory != older.directory
    filesystem = reader.open_stick(bench.fd, helpers.SIZE)
    sizes = [filesystem.lookup(f"/{kept.directory}/persistence") for kept in (newer, older)]
    assert [node.size for node in sizes if node is not None] == [ROOM, 16 * MIB]
    bench.fsck()


async def test_a_rescan_leaves_the_room_with_its_image(bench: Bench) -> None:
    one = live(bench, "one.iso", IN_FILE)
    await bench.do(StickOperation.CREATE, one, persist=(("one.iso", ROOM),))
    before = bench.look().manifest.images[0]
    again = dataclasses.replace(before, kept=None, added=before.added + 100_000)
    await writer.execute(helpers.order(StickOperation.RESCAN, bench.fd, found=(again,)), _nothing)
    assert bench.look().manifest.images == (dataclasses.replace(again, kept=before.kept),)


def test_directories_of_the_two_partitions_are_never_mistaken() -> None:
    for digit in "0123456789abcdef":
        here = helpers.image("one.iso", sha256=digit * 64)
        there = dataclasses.replace(here, partition=PartitionRole.COMPANION)
        assert not persistence.kept_by(here, IN_FILE, ROOM).directory.startswith(persistence.COMPANION_PREFIX)
        assert persistence.kept_by(there, IN_FILE, ROOM).directory.startswith(persistence.COMPANION_PREFIX)


@pytest.mark.parametrize(
    ("filesystem", "ways", "wanted", "error", "says"),
    [
        ("ext4", (), ROOM, InvalidArgumentError, "no way is known for its system"),
        ("exfat", (IN_DIRECTORY,), ROOM, InvalidArgumentError, "keeps changes on ext4 only, and it lies on exfat"),
        ("ext4", ON_PARTITION, ROOM, InvalidArgumentError, "the stick has none: make the stick with one"),
        ("ext4", (IN_FILE,), MIB, InvalidArgumentError, "too little"),
        ("fat32", (IN_FILE,), 5 << 30, InvalidArgumentError, "less than 4 GiB"),
        ("ext4", (IN_FILE,), 100 * MIB, NotEnoughSpaceError, "choose a smaller size"),
        ("ext4", (IN_DIRECTORY,), 100 * MIB, NotEnoughSpaceError, "choose a smaller size"),
    ],
)
async def test_what_cannot_be_is_refused_and_changes_nothing(
    bench: Bench,
    filesystem: str,
    ways: tuple[Persistence, ...],
    wanted: int,
    error: type[LuxusbError],
    says: str,
) -> None:
    await bench.do(StickOperation.CREATE, live(bench, "one.iso", *ways), options=StickOptions(filesystem=filesystem))
    before = bench.look()
    with pytest.raises(error, match=says):
        await bench.do(StickOperation.PERSIST, persist=(("one.iso", wanted),))
    assert bench.look() == before


async def test_the_same_size_and_an_image_that_is_not_there(bench: Bench) -> None:
    await bench.do(StickOperation.CREATE, live(bench, "one.iso", IN_FILE), persist=(("one.iso", ROOM),))
    before = bench.look()
    assert (await bench.do(StickOperation.PERSIST, persist=(("one.iso", ROOM),)))["persistence"] == {"one.iso": ROOM}
    with pytest.raises(ImageNotFoundError, match=r"the stick has no image other\.iso; it has one\.iso"):
        await bench.do(StickOperation.PERSIST, persist=(("other.iso", ROOM),))
    assert bench.look() == before


@pytest.mark.parametrize("kind", list(Kind))
async def test_every_step_leaves_a_stick_that_boots(bench: Bench, kind: Kind) -> None:
    await bench.do(StickOperation.CREATE, live(bench, "one.iso", IN_FILE), options=StickOptions(filesystem=kind))
    snapshots = helpers.Snapshots(bench.path, bench.directory / "snapshots")
    await bench.do(StickOperation.PERSIST, persist=(("one.iso", ROOM),), after_step=snapshots)
    await bench.do(StickOperation.PERSIST, persist=(("one.iso", 0),), after_step=snapshots)
    kept = []
    for step, path in snapshots.taken:
        assert helpers.check_boots(path, bench.files)[1] == {"one.iso"}, step
        fd = os.open(path, os.O_RDWR)
        try:
            contents = reader.read_stick(fd, helpers.SIZE)
            assert contents is not None
            assert contents.damage == "", step
            (image,) = contents.manifest.images
            kept.append(image.kept is not None)
            if kept[-1]:
                filesystem = reader.open_stick(fd, helpers.SIZE)
                assert filesystem.lookup(f"/persist-{image.sha256[:16]}/persistence") is not None, step
            # whatever was cut, it can be had and taken away
            for size in (ROOM, 0):
                await writer.execute(helpers.order(StickOperation.PERSIST, fd, persist=(("one.iso", size),)), _nothing)
            assert reader.open_stick(fd, helpers.SIZE).lookup(f"/persist-{image.sha256[:16]}") is None
        finally:
            os.close(fd)
    assert [now for now, before in zip(kept, [None, *kept], strict=False) if now != before] == [False, True, False]


async def test_a_cancelled_job_leaves_nothing_behind(bench: Bench) -> None:
    await bench.do(StickOperation.CREATE, live(bench, "one.iso", IN_FILE))
    before = bench.look()
    task = asyncio.current_task()
    assert task is not None

    def cancel(step: str) -> None:
        if step == "persistence-written":
            task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await bench.do(StickOperation.PERSIST, persist=(("one.iso", ROOM),), after_step=cancel)
    task.uncancel()
    assert bench.look() == before
    bench.fsck()


def test_a_missing_directory_is_told_and_its_entry_hidden(tmp_path: Path) -> None:
    kept = Kept(Store.FILE, "persistence", "persist-0123456789abcdef", ROOM, IN_FILE.entry)
    image = helpers.image("one.iso", kept=kept, persistence=(IN_FILE,))
    stick = helpers.manifest(image)
    assert manifest.decode(manifest.encode(stick)) == stick
    path = tmp_path / "menu.cfg"
    path.write_text(menu.render(stick))
    assert subprocess.run(["grub-script-check", path], check=False).returncode == 0


@given(st.sampled_from(list(Kind)), st.integers(persistence.SMALLEST, 1 << 45))
def test_room_is_never_counted_too_small(kind: Kind, size: int) -> None:
    assert persistence.needed(IN_FILE, size, kind) >= size
    assert persistence.needed(ON_PARTITION[1], size, kind) == 0


def _nothing(_progress: object) -> None:
    return
