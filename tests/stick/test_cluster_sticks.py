"""Sticks whose data partition is FAT32 or exFAT, in image files: no root, no mount."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from luxusbd.errors import AlreadyExistsError, DeviceDamagedError, InvalidArgumentError, NotEnoughSpaceError
from luxusbd.stick import layout, reader, writer
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import MIB, PartitionRole, StickOperation, StickOptions
from tests.stick import helpers
from tests.stick.clusterimage import fsck
from tests.stick.test_writer_file import Bench

KINDS = (Kind.FAT32, Kind.EXFAT)
DATA = 130 * MIB


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def check(bench: Bench, kind: Kind) -> None:
    """The filesystem's own checker finds nothing."""
    part = layout.plan(helpers.SIZE, StickOptions(filesystem=kind)).partition(PartitionRole.DATA)
    copy = bench.directory / "partition"
    copy.write_bytes(os.pread(bench.fd, part.size, part.start))
    fsck(copy, kind)
    copy.unlink()


@pytest.mark.parametrize("kind", KINDS)
async def test_the_life_of_a_stick(bench: Bench, kind: Kind) -> None:
    one, two = bench.source("one.iso"), bench.source("two.iso", 5 * MIB + 4095)
    options = StickOptions(filesystem=kind, timeout=3, label="MINE")
    made = await bench.do(StickOperation.CREATE, one, options=options)
    assert made["images"] == ["one.iso"]
    assert len(made["data_uuid"]) == 9
    contents = bench.look()
    assert contents.damage == ""
    assert contents.free_bytes == made["free_bytes"]
    assert contents.manifest.options == options
    filesystem = reader.open_stick(bench.fd, helpers.SIZE)
    assert (filesystem.kind, filesystem.uuid, filesystem.label) == (kind, made["data_uuid"], "MINE")
    assert filesystem.clean
    check(bench, kind)

    added = await bench.do(StickOperation.ADD, two)
    assert added["images"] == ["one.iso", "two.iso"]
    verified = await bench.do(StickOperation.VERIFY)
    assert verified["ok"] is True
    removed = await bench.do(StickOperation.REMOVE, remove=("one.iso",))
    assert removed["images"] == ["two.iso"]
    assert removed["free_bytes"] > added["free_bytes"]
    refreshed = await bench.do(StickOperation.REFRESH)
    assert (await bench.do(StickOperation.VERIFY))["ok"] is True
    assert (await bench.do(StickOperation.REPAIR))["findings"] == []
    check(bench, kind)
    assert helpers.check_boots(bench.path, bench.files) == (refreshed["generation"], frozenset({"two.iso"}))


@pytest.mark.parametrize("kind", KINDS)
async def test_every_step_leaves_a_stick_that_boots_and_the_next_job_heals_it(bench: Bench, kind: Kind) -> None:
    one, two, three = (bench.source(f"{name}.iso", 300_000) for name in ("one", "two", "three"))
    await bench.do(StickOperation.CREATE, one, options=StickOptions(filesystem=kind))
    snapshots = helpers.Snapshots(bench.path, bench.directory / "snapshots")
    await bench.do(StickOperation.ADD, two, after_step=snapshots)
    await bench.do(StickOperation.REMOVE, remove=("one.iso",), after_step=snapshots)
    await bench.do(StickOperation.REFRESH, after_step=snapshots)
    shown = []
    for step, path in snapshots.taken:
        shown.append(helpers.check_boots(path, bench.files)[1])
        fd = os.open(path, os.O_RDWR)
        try:
            contents = reader.read_stick(fd, helpers.SIZE)
            assert contents is not None
            assert contents.damage == "", step
            assert shown[-1] == {image.name for image in contents.manifest.images}, step
            result = await writer.execute(helpers.order(StickOperation.ADD, fd, add=(three,)), lambda _progress: None)
            assert "three.iso" in result["images"]
            filesystem = reader.open_stick(fd, helpers.SIZE)
            assert set(filesystem.list("/iso")) == set(result["images"]), step
            assert set(filesystem.list("/luxusb")) == {"stick.json", "menu-a.cfg", "menu-b.cfg"}
            assert filesystem.clean
        finally:
            os.close(fd)
        helpers.check_boots(path, bench.files)
    assert list(dict.fromkeys(shown)) == [
        frozenset({"one.iso"}),
        frozenset({"one.iso", "two.iso"}),
        frozenset({"two.iso"}),
    ]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_job_leaves_nothing_behind(bench: Bench, kind: Kind) -> None:
    await bench.do(StickOperation.CREATE, bench.source("one.iso"), options=StickOptions(filesystem=kind))
    before = bench.look()
    task = asyncio.current_task()
    assert task is not None

    def cancel(step: str) -> None:
        if step.startswith("image-written"):
            task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await bench.do(StickOperation.ADD, bench.source("two.iso", 9 * MIB), after_step=cancel)
    task.uncancel()
    assert bench.look() == before
    check(bench, kind)


@pytest.mark.parametrize("kind", KINDS)
async def test_images_that_do_not_fit_and_one_that_just_does(bench: Bench, kind: Kind) -> None:
    options = StickOptions(filesystem=kind)
    capacity = layout.capacity(layout.plan(helpers.SIZE, options), kind)
    size = capacity - 2 * layout.RESERVE - MIB
    while layout.bytes_needed([size + 4096], kind) <= capacity:
        size += 4096
    with pytest.raises(NotEnoughSpaceError):
        await bench.do(StickOperation.CREATE, bench.source("big.iso", size + 2 * MIB), options=options)
    result = await bench.do(StickOperation.CREATE, bench.source("all.iso", size), options=options)
    assert 0 < result["free_bytes"] < 9 * MIB
    with pytest.raises(NotEnoughSpaceError):
        await bench.do(StickOperation.ADD, bench.source("more.iso", 8 * MIB))
    check(bench, kind)


async def test_names_differ_by_more_than_case(bench: Bench) -> None:
    await bench.do(StickOperation.CREATE, bench.source("one.iso"), options=StickOptions(filesystem="fat32"))
    with pytest.raises(AlreadyExistsError):
        await bench.do(StickOperation.ADD, bench.source("ONE.iso"))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_volume_that_was_pulled_is_tidied_and_a_damaged_one_refused(bench: Bench, kind: Kind) -> None:
    one = bench.source("one.iso")
    await bench.do(StickOperation.CREATE, one, options=StickOptions(filesystem=kind))
    before = reader.open_stick(bench.fd, helpers.SIZE)
    free = before.free_bytes()
    place = DATA + before.extents("/iso/one.iso")[0].physical * 512

    # a worker that is killed: nothing is cleared up
    snapshots = helpers.Snapshots(bench.path, bench.directory / "snapshots")
    await bench.do(StickOperation.ADD, bench.source("two.iso"), after_step=snapshots)
    cut = next(path for name, path in snapshots.taken if name == "image-written two.iso")
    fd = os.open(cut, os.O_RDWR)
    try:
        assert not reader.open_stick(fd, helpers.SIZE).clean
        result = await writer.execute(helpers.order(StickOperation.REPAIR, fd), lambda _progress: None)
        assert "what that left behind was cleared away" in [item["done"] for item in result["findings"]]
        assert reader.open_stick(fd, helpers.SIZE).clean
        assert reader.open_stick(fd, helpers.SIZE).free_bytes() == free
    finally:
        os.close(fd)
    assert os.pread(bench.fd, 100, place) == bench.files["one.iso"].read_bytes()[:100]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_broken_first_sector_is_repaired_from_its_copy(bench: Bench, kind: Kind) -> None:
    one = bench.source("one.iso")
    await bench.do(StickOperation.CREATE, one, options=StickOptions(filesystem=kind))
    os.pwrite(bench.fd, b"?" * 512, DATA)
    with pytest.raises(DeviceDamagedError):
        reader.read_stick(bench.fd, helpers.SIZE)
    with pytest.raises(DeviceDamagedError, match="repair"):
        await bench.do(StickOperation.REMOVE, remove=("one.iso",))
    repaired = await bench.do(StickOperation.REPAIR)
    assert repaired["images"] == ["one.iso"]
    assert (await bench.do(StickOperation.VERIFY))["ok"] is True
    check(bench, kind)


async def test_labels_and_files_beyond_fat32(bench: Bench) -> None:
    for options in (
        StickOptions(filesystem="fat32", label="LONGERTHAN11"),
        StickOptions(filesystem="exfat", label="LONGERTHAN11"),
        StickOptions(filesystem="fat32", label="A.B"),
    ):
        with pytest.raises(InvalidArgumentError, match="label"):
            layout.check_options(options)
    with pytest.raises(InvalidArgumentError, match="reaches to"):
        layout.plan(3 << 40, StickOptions(filesystem="fat32"))
    layout.plan(3 << 40, StickOptions(filesystem="exfat"))
