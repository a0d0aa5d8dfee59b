"""Another size for room for changes, and room that belongs to no image: in image files, no root, no mount."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
from pathlib import Path

import pytest

from luxusbd.errors import ImageNotFoundError, InvalidArgumentError, NotEnoughSpaceError
from luxusbd.images.model import Store
from luxusbd.stick import codec, gpt, layout, menu, persistence, reader, rooms
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.isofiles import pieces
from luxusbd.stick.layout import PERSISTENCE_NAME
from luxusbd.stick.model import MIB, Kept, PartitionRole, StickOperation, StickOptions, StrayRoom
from tests.stick import helpers
from tests.stick.bench import DATA, Bench
from tests.stick.test_persistence import (
    IN_DIRECTORY,
    IN_FILE,
    ON_PARTITION,
    OWN,
    ROOM,
    live,
    reader_start,
    sound,
    taken_out,
)


def write(bench: Bench, path: str, size: int) -> None:
    """Write a file as a system that was started from the stick does, into a directory that is there."""
    (bench.directory / "file").write_bytes(os.urandom(size))
    directory, _slash, name = path.rpartition("/")
    debugfs(bench, f"cd {directory or '/'}", f"write file {name}")


def debugfs(bench: Bench, *commands: str) -> None:
    """Change the data partition by hand."""
    subprocess.run(
        ["debugfs", "-w", "-f", "-", f"/proc/self/fd/{bench.fd}?offset={DATA}"],
        input="".join(f"{command}\n" for command in commands),
        text=True,
        pass_fds=(bench.fd,),
        cwd=bench.directory,
        check=True,
        capture_output=True,
    )


def stray(bench: Bench) -> tuple[StrayRoom, ...]:
    """Rooms that belong to no image, as the core learns of them."""
    return codec.contents_from_json(codec.contents_to_json(bench.look())).stray


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("size", [ROOM + 3 * MIB, 18 * MIB])
async def test_a_file_gets_another_size_with_what_is_in_it(bench: Bench, kind: Kind, size: int) -> None:
    one = live(bench, "one.iso", IN_FILE)
    options = StickOptions(filesystem=kind)
    await bench.do(StickOperation.CREATE, one, options=options, persist=(("one.iso", ROOM),))
    before = bench.look()
    old = before.manifest.images[0].kept
    assert old is not None
    done = await bench.do(StickOperation.PERSIST, persist=(("one.iso", size),))
    assert done["persistence"] == {"one.iso": size}
    found = bench.look()
    kept = found.manifest.images[0].kept
    assert kept is not None
    assert (kept.size, kept.entry, kept.store) == (size, old.entry, old.store)
    assert kept.directory != old.directory
    assert f"persistence-path=/{kept.directory}" in menu.render(found.manifest)
    assert (found.damage, found.stray) == ("", ())
    assert found.free_bytes == pytest.approx(before.free_bytes + ROOM - size, abs=MIB)
    sound(bench, kind)

    inside = taken_out(bench, f"/{kept.directory}/persistence")
    assert inside.stat().st_size == size
    assert subprocess.run(["e2fsck", "-fn", inside], capture_output=True, check=False).returncode == 0
    told = subprocess.run(["dumpe2fs", "-h", inside], capture_output=True, check=True, text=True).stdout
    (count,) = [line.split()[-1] for line in told.splitlines() if line.startswith("Block count:")]
    assert int(count) * layout.BLOCK == size
    said = subprocess.run(["debugfs", "-R", "cat /persistence.conf", inside], capture_output=True, check=True).stdout
    assert said == b"/ union\n"


async def test_a_file_is_not_made_smaller_than_what_is_in_it(bench: Bench) -> None:
    await bench.do(StickOperation.CREATE, live(bench, "one.iso", IN_FILE), persist=(("one.iso", 40 * MIB),))
    kept = bench.look().manifest.images[0].kept
    assert kept is not None
    path = f"/{kept.directory}/persistence"
    inside = taken_out(bench, path)
    (bench.directory / "file").write_bytes(os.urandom(20 * MIB))
    subprocess.run(
        ["debugfs", "-w", "-R", "write file kept", inside], cwd=bench.directory, check=True, capture_output=True
    )
    inside.rename(bench.directory / "changed")
    subprocess.run(
        ["debugfs", "-w", "-f", "-", f"/proc/self/fd/{bench.fd}?offset={DATA}"],
        input=f"rm {path}\ncd /{kept.directory}\nwrite changed persistence\n",
        text=True,
        pass_fds=(bench.fd,),
        cwd=bench.directory,
        check=True,
        capture_output=True,
    )
    before = bench.look()
    with pytest.raises(InvalidArgumentError, match=r"of changes, which 17\.0 MiB do not hold"):
        await bench.do(StickOperation.PERSIST, persist=(("one.iso", 17 * MIB),))
    assert bench.look() == before
    await bench.do(StickOperation.PERSIST, persist=(("one.iso", 36 * MIB),))
    now = bench.look().manifest.images[0].kept
    assert now is not None
    inside = taken_out(bench, f"/{now.directory}/persistence")
    out = bench.directory / "out"
    subprocess.run(["debugfs", "-R", f"dump /kept {out}", inside], check=True, capture_output=True)
    assert out.read_bytes() == (bench.directory / "file").read_bytes()
    bench.fsck()


def fill(bench: Bench, path: str, *commands: str) -> None:
    """Change what is in a filesystem in a file, which stays where it is, as the kernel does it."""
    inside = taken_out(bench, path)
    subprocess.run(
        ["debugfs", "-w", "-f", "-", inside],
        input="".join(f"{command}\n" for command in commands),
        text=True,
        cwd=bench.directory,
        check=True,
        capture_output=True,
    )
    filesystem = reader.open_stick(bench.fd, helpers.SIZE)
    with inside.open("rb") as file:
        for piece in pieces(filesystem.extents(path), filesystem.block_size, inside.stat().st_size):
            assert piece.place is not None
            os.pwrite(bench.fd, file.read(piece.length), reader_start(bench) + piece.place)


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker has this much for temporary files instead of 256 MiB."""
    left: dict[int, int] = {}
    pwrite = os.pwrite

    def limited(fd: int, data: bytes, offset: int) -> int:
        if Path(f"/proc/self/fd/{fd}").readlink().name == "changes":
            left[fd] = left.get(fd, 8 * MIB) - len(data)
            if left[fd] < 0:
                left.clear()
                raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", limited)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("kind", [Kind.EXT4, Kind.FAT32])
async def test_a_file_that_is_more_than_fits_into_memory(bench: Bench, kind: Kind) -> None:
    one = live(bench, "one.iso", IN_FILE)
    await bench.do(StickOperation.CREATE, one, options=StickOptions(filesystem=kind), persist=(("one.iso", 30 * MIB),))
    kept = bench.look().manifest.images[0].kept
    assert kept is not None
    for name in ("gone", "stays"):
        (bench.directory / name).write_bytes(os.urandom(10 * MIB) + bytes(8192) + b"its end")
    path = f"/{kept.directory}/persistence"
    fill(
        bench,
        path,
        "write gone gone",
        "write stays stays",
        "rm gone",
        "mkdir in",
        "cd in",
        "write stays also",
        "rm also",
    )
    before = bench.look()
    # what is in "stays" lies behind the new end
    with pytest.raises(NotEnoughSpaceError, match="than this service can hold at once, so that its size stays; choose"):
        await bench.do(StickOperation.PERSIST, persist=(("one.iso", 18 * MIB),))
    assert bench.look() == before

    await bench.do(StickOperation.PERSIST, persist=(("one.iso", 33 * MIB),))
    now = bench.look().manifest.images[0].kept
    assert now is not None
    assert now.size == 33 * MIB
    inside = taken_out(bench, f"/{now.directory}/persistence")
    checked = subprocess.run(["e2fsck", "-fn", inside], capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout
    out = bench.directory / "out"
    subprocess.run(["debugfs", "-R", f"dump /stays {out}", inside], check=True, capture_output=True)
    assert out.read_bytes() == (bench.directory / "stays").read_bytes()
    sound(bench, kind)


async def test_a_file_needs_room_beside_the_old_one(bench: Bench) -> None:
    one = live(bench, "one.iso", IN_FILE)
    await bench.do(StickOperation.CREATE, one, persist=(("one.iso", 40 * MIB),))
    before = bench.look()
    with pytest.raises(NotEnoughSpaceError, match="choose a smaller size"):
        await bench.do(StickOperation.PERSIST, persist=(("one.iso", 44 * MIB),))
    assert bench.look() == before
    # nor has an image that was added again, but for what it has left
    await bench.do(StickOperation.RESCAN, remove=("one.iso",))
    await bench.do(StickOperation.RESCAN, found=(dataclasses.replace(one.image, added=2**32),))
    with pytest.raises(NotEnoughSpaceError, match=rf"when it gets the same size \({40 * MIB} B\)"):
        await bench.do(StickOperation.PERSIST, persist=(("one.iso", 44 * MIB),))
    done = await bench.do(StickOperation.PERSIST, persist=(("one.iso", 40 * MIB),))
    assert done["persistence"] == {"one.iso": 40 * MIB}


async def test_a_directory_has_only_its_figure_changed(bench: Bench) -> None:
    await bench.do(StickOperation.CREATE, live(bench, "one.iso", IN_DIRECTORY), persist=(("one.iso", ROOM),))
    kept = bench.look().manifest.images[0].kept
    assert kept is not None
    write(bench, f"/{kept.directory}/overlay/kept", 20 * MIB)
    await bench.do(StickOperation.PERSIST, persist=(("one.iso", ROOM + MIB),))
    before = bench.look()
    now = before.manifest.images[0].kept
    assert now is not None
    assert (now.size, now.directory) == (ROOM + MIB, kept.directory)
    with pytest.raises(InvalidArgumentError, match=r"one\.iso has 20\.0 MiB of changes, which 16\.0 MiB do not hold"):
        await bench.do(StickOperation.PERSIST, persist=(("one.iso", 16 * MIB),))
    assert bench.look() == before
    assert taken_out(bench, f"/{kept.directory}/overlay/kept").stat().st_size == 20 * MIB


async def test_a_systems_own_file_is_left_to_it(bench: Bench) -> None:
    await bench.do(StickOperation.CREATE, live(bench, "one.iso", OWN), persist=(("one.iso", ROOM),))
    await bench.do(StickOperation.PERSIST, persist=(("one.iso", 2 * ROOM),))
    assert f"mbsize={2 * ROOM // MIB}" in menu.render(bench.look().manifest)
    write(bench, "/live_system.cow", 70_000)
    with pytest.raises(InvalidArgumentError, match=r"one\.iso has made its file live_system\.cow"):
        await bench.do(StickOperation.PERSIST, persist=(("one.iso", ROOM),))
    assert stray(bench) == ()
    await bench.do(StickOperation.RESCAN, remove=("one.iso",))
    assert stray(bench) == (StrayRoom("live_system.cow", 70_000),)
    await bench.do(StickOperation.PERSIST, persist=(("live_system.cow", 0),))
    assert stray(bench) == ()
    assert reader.open_stick(bench.fd, helpers.SIZE).lookup("/live_system.cow") is None


async def test_a_partition_keeps_what_is_in_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    options = StickOptions(persistence=20 * MIB)
    monkeypatch.setattr(helpers, "SIZE", 240 * MIB)
    os.ftruncate(bench.fd, helpers.SIZE)
    one = live(bench, "one.iso", *ON_PARTITION)
    await bench.do(StickOperation.CREATE, one, options=options, persist=(("one.iso", 18 * MIB),))
    part = layout.plan(helpers.SIZE, options).partition(PartitionRole.PERSISTENCE)
    before = os.pread(bench.fd, part.size, part.start)
    await bench.do(StickOperation.PERSIST, persist=(("one.iso", 20 * MIB),))
    assert os.pread(bench.fd, part.size, part.start) == before
    assert stray(bench) == ()

    # deleted by hand, and the stick scanned anew
    await bench.do(StickOperation.RESCAN, remove=("one.iso",))
    assert stray(bench) == (StrayRoom(PERSISTENCE_NAME, 20 * MIB),)
    await bench.do(StickOperation.PERSIST, persist=((PERSISTENCE_NAME, 0),))
    assert stray(bench) == ()
    assert not any(os.pread(bench.fd, MIB, part.start))


@pytest.mark.parametrize("kind", list(Kind))
async def test_room_of_an_image_that_is_gone_is_shown_and_can_be_removed(bench: Bench, kind: Kind) -> None:
    one, two = live(bench, "one.iso", IN_FILE), live(bench, "two.iso", IN_FILE)
    persist = (("one.iso", ROOM), ("two.iso", 16 * MIB))
    await bench.do(StickOperation.CREATE, one, two, options=StickOptions(filesystem=kind), persist=persist)
    assert stray(bench) == ()
    directory = f"persist-{one.image.sha256[:16]}"
    await bench.do(StickOperation.RESCAN, remove=("one.iso",))
    assert stray(bench) == (StrayRoom(directory, ROOM),)
    with pytest.raises(ImageNotFoundError):
        await bench.do(StickOperation.PERSIST, persist=((directory, ROOM),))
    with pytest.raises(ImageNotFoundError):
        await bench.do(StickOperation.PERSIST, persist=((f"persist-{two.image.sha256[:16]}", 0),))
    free = bench.look().free_bytes
    done = await bench.do(StickOperation.PERSIST, persist=((directory, 0),))
    assert done["persistence"] == {"two.iso": 16 * MIB}
    assert done["free_bytes"] >= free + ROOM
    assert stray(bench) == ()
    assert reader.open_stick(bench.fd, helpers.SIZE).lookup(f"/{directory}") is None
    sound(bench, kind)


def test_a_stranger_cannot_name_other_directories() -> None:
    for name in ("iso", "persist-", "persist-0123", "persist-../../iso00000", "persist-x0123456789abcde", "LUXDATA"):
        assert not persistence.is_stray(name)
    for name in ("persist-0123456789abcdef", "persist-x0123456789abcdef", PERSISTENCE_NAME):
        assert persistence.is_stray(name)


async def test_a_room_with_too_many_files_is_listed_without_its_size(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.do(StickOperation.CREATE, live(bench, "one.iso", IN_DIRECTORY), persist=(("one.iso", ROOM),))
    kept = bench.look().manifest.images[0].kept
    assert kept is not None
    write(bench, f"/{kept.directory}/overlay/kept", MIB)
    manifest = dataclasses.replace(bench.look().manifest, images=())

    def read(at: int, length: int) -> bytes:
        return os.pread(bench.fd, length, at)

    size = os.fstat(bench.fd).st_size
    table = gpt.read(read, size)
    assert table is not None
    places = gpt.stick_layout(table, size)
    assert places is not None

    def found() -> tuple[StrayRoom, ...]:
        return rooms.stray(reader.open_data(read, places), manifest, places, read)

    (one,) = found()
    assert one.size >= MIB
    monkeypatch.setattr(rooms, "_MOST_LOOKED_AT", 2)
    assert found() == (StrayRoom(kept.directory, 0),)


@pytest.mark.parametrize(("kind", "size"), [(Kind.EXT4, ROOM), (Kind.EXT4, ROOM + 2 * MIB), (Kind.FAT32, ROOM)])
async def test_an_image_that_is_added_again_goes_on_with_its_file(bench: Bench, kind: Kind, size: int) -> None:
    one = live(bench, "one.iso", IN_FILE)
    options = StickOptions(filesystem=kind)
    await bench.do(StickOperation.CREATE, one, options=options, persist=(("one.iso", ROOM),))
    directory = f"persist-{one.image.sha256[:16]}"
    (bench.directory / "mine").write_bytes(b"what I changed")
    fill(bench, f"/{directory}/persistence", "write mine mine")
    await bench.do(StickOperation.RESCAN, remove=("one.iso",))
    await bench.do(StickOperation.RESCAN, found=(dataclasses.replace(one.image, added=2**32),))
    assert stray(bench) == (StrayRoom(directory, ROOM),)
    done = await bench.do(StickOperation.PERSIST, persist=(("one.iso", size),))
    assert done["persistence"] == {"one.iso": size}
    kept = bench.look().manifest.images[0].kept
    assert kept is not None
    inside = taken_out(bench, f"/{kept.directory}/persistence")
    assert inside.stat().st_size == size
    said = subprocess.run(["debugfs", "-R", "cat /mine", inside], capture_output=True, check=True).stdout
    assert said == b"what I changed"
    assert (stray(bench), bench.look().damage) == ((), "")
    sound(bench, kind)


async def test_an_image_that_is_added_again_goes_on_with_its_directory(bench: Bench) -> None:
    one = live(bench, "one.iso", IN_DIRECTORY)
    await bench.do(StickOperation.CREATE, one, persist=(("one.iso", 20 * MIB),))
    directory = f"persist-{one.image.sha256[:16]}"
    write(bench, f"/{directory}/overlay/kept", 17 * MIB)
    await bench.do(StickOperation.RESCAN, remove=("one.iso",))
    await bench.do(StickOperation.RESCAN, found=(dataclasses.replace(one.image, added=2**32),))
    # as a job leaves it that was cut before it had made all of it
    debugfs(bench, f"rmdir /{directory}/ovlwork")
    with pytest.raises(InvalidArgumentError, match=r"one\.iso has 17\.0 MiB of changes"):
        await bench.do(StickOperation.PERSIST, persist=(("one.iso", 16 * MIB),))
    await bench.do(StickOperation.PERSIST, persist=(("one.iso", ROOM),))
    found = bench.look()
    assert found.manifest.images[0].kept == Kept(Store.DIRECTORY, "", directory, ROOM, IN_DIRECTORY.entry)
    assert taken_out(bench, f"/{directory}/overlay/kept").stat().st_size == 17 * MIB
    assert set(reader.open_stick(bench.fd, helpers.SIZE).list(f"/{directory}")) == {"overlay", "ovlwork"}
    assert (found.stray, found.damage) == ((), "")


async def test_what_lies_under_its_name_and_is_something_else_stays(bench: Bench) -> None:
    one = live(bench, "one.iso", IN_FILE)
    await bench.do(StickOperation.CREATE, one)
    first, second = (f"persist-{one.image.sha256[start : start + 16]}" for start in (0, 1))
    debugfs(bench, f"mkdir /{first}", f"mkdir /{second}")
    write(bench, f"/{first}/letter", 1000)
    # a job that was cut
    write(bench, f"/{second}/persistence.tmp", 70_000)
    await bench.do(StickOperation.PERSIST, persist=(("one.iso", ROOM),))
    kept = bench.look().manifest.images[0].kept
    assert kept is not None
    assert kept.directory == second
    assert reader.open_stick(bench.fd, helpers.SIZE).list(f"/{second}") == ("persistence",)
    assert stray(bench) == (StrayRoom(first, 1000),)


async def test_a_partition_with_changes_of_somebody_is_not_formatted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helpers, "SIZE", 240 * MIB)
    os.ftruncate(bench.fd, helpers.SIZE)
    options = StickOptions(persistence=20 * MIB)
    one, two = live(bench, "one.iso", *ON_PARTITION), live(bench, "two.iso", *ON_PARTITION)
    await bench.do(StickOperation.CREATE, one, two, options=options, persist=(("one.iso", 20 * MIB),))
    await bench.do(StickOperation.RESCAN, remove=("one.iso",))
    # nothing is in it yet
    await bench.do(StickOperation.PERSIST, persist=(("two.iso", 20 * MIB),))
    part = layout.plan(helpers.SIZE, options).partition(PartitionRole.PERSISTENCE)
    subprocess.run(
        ["debugfs", "-w", "-R", "mkdir /upper", f"{bench.path}?offset={part.start}"], check=True, capture_output=True
    )
    await bench.do(StickOperation.RESCAN, remove=("two.iso",))
    await bench.do(StickOperation.RESCAN, found=(dataclasses.replace(two.image, added=2**32),))
    before = os.pread(bench.fd, part.size, part.start)
    with pytest.raises(InvalidArgumentError, match=r"which two\.iso would lose; remove them first"):
        await bench.do(StickOperation.PERSIST, persist=(("two.iso", 20 * MIB),))
    assert os.pread(bench.fd, part.size, part.start) == before
    await bench.do(StickOperation.PERSIST, persist=((PERSISTENCE_NAME, 0), ("two.iso", 20 * MIB)))
    assert before != os.pread(bench.fd, part.size, part.start)
