"""Sticks whose data partition is FAT32 or exFAT, in image files: no root, no mount."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import subprocess
from typing import Any

import pytest

from luxusbd.errors import AlreadyExistsError, DeviceDamagedError, InvalidArgumentError, NotEnoughSpaceError
from luxusbd.stick import layout, menu, reader, writer
from luxusbd.stick.blockio import read_at
from luxusbd.stick.exfat import ExFat
from luxusbd.stick.ext4 import Ext4
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import MIB, PartitionRole, SourceImage, StickOperation, StickOptions
from tests.stick import helpers
from tests.stick.bench import Bench
from tests.stick.clusterimage import fsck

KINDS = (Kind.FAT32, Kind.EXFAT)
DATA = 130 * MIB


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
            assert set(filesystem.list("/luxusb")) == helpers.beside_menu(filesystem)
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


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stick_with_companion_and_share(bench: Bench, kind: Kind) -> None:
    options = StickOptions(filesystem=kind, companion=32 * MIB, share=20 * MIB)
    size = 260 * MIB
    os.truncate(bench.fd, size)

    async def do(operation: StickOperation, *add: SourceImage, **changes: object) -> dict[str, Any]:
        order = helpers.order(operation, bench.fd, size=size, add=add, **changes)
        return await writer.execute(order, lambda _now: None)

    here = bench.source("here.iso", 300_000)
    there = bench.source("there.iso", 3 * MIB + 5, partition=PartitionRole.COMPANION)
    made = await do(StickOperation.CREATE, here, there, options=options)
    assert made["images"] == ["here.iso", "there.iso"]
    planned = layout.plan(size, options)
    share = planned.partition(PartitionRole.SHARE)
    empty = os.pread(bench.fd, share.size, share.start)
    companion = planned.partition(PartitionRole.COMPANION)

    def beside(path: str) -> bool:
        read = read_at(bench.fd)
        ext4 = Ext4(lambda offset, length: read(companion.start + offset, length), companion.size)
        return ext4.lookup(path) is not None

    def main(path: str) -> bool:
        return reader.open_data(read_at(bench.fd), layout.data_view(planned)).lookup(path) is not None

    assert (beside("/iso/there.iso"), main("/iso/there.iso")) == (True, False)
    assert (beside("/iso/here.iso"), main("/iso/here.iso")) == (False, True)
    contents = reader.read_stick(bench.fd, size)
    assert contents is not None
    assert contents.damage == ""
    assert contents.manifest.options == options
    assert [image.partition.value for image in contents.manifest.images] == ["data", "companion"]
    text = reader.open_stick(bench.fd, size).read_file("/luxusb/menu-b.cfg", 1 << 20)
    text = text if text and b"there.iso" in text else reader.open_stick(bench.fd, size).read_file(menu.MENU_A, 1 << 20)
    assert text is not None
    assert b'[ -e "($companion)/iso/there.iso" ]' in text
    assert f"--set=companion --fs-uuid {contents.manifest.companion_uuid}".encode() in text
    for place, name in ((3, "here.iso"), (4, "there.iso")):
        done = subprocess.run(
            ["grub-fstest", bench.path, "cmp", f"(loop0,gpt{place})/iso/{name}", bench.files[name]],
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
    assert (await do(StickOperation.VERIFY))["ok"] is True
    assert (await do(StickOperation.REPAIR))["findings"] == []

    more = bench.source("more.iso", 2 * MIB, partition=PartitionRole.COMPANION)
    await do(StickOperation.ADD, more)
    assert beside("/iso/more.iso")
    await do(StickOperation.REMOVE, remove=("there.iso", "here.iso"))
    assert not beside("/iso/there.iso")
    assert not main("/iso/here.iso")
    # by hand, with an entry that says nothing of where it is
    third = bench.source("third.iso", 300_000).image
    subprocess.run(
        ["debugfs", "-w", "-f", "-", f"{bench.path}?offset={companion.start}"],
        input=f"cd /iso\nwrite {bench.files['third.iso']} third.iso\n",
        text=True,
        check=True,
        capture_output=True,
    )
    await do(StickOperation.RESCAN, found=(dataclasses.replace(third, added=2**34),))
    contents = reader.read_stick(bench.fd, size)
    assert contents is not None
    assert {image.name: image.partition.value for image in contents.manifest.images} == {
        "more.iso": "companion",
        "third.iso": "companion",
    }
    assert (await do(StickOperation.VERIFY))["ok"] is True
    big = bench.source("big.iso", 40 * MIB, partition=PartitionRole.COMPANION)
    with pytest.raises(NotEnoughSpaceError):
        await do(StickOperation.ADD, big)
    assert os.pread(bench.fd, share.size, share.start) == empty
    copy = bench.directory / "share"
    copy.write_bytes(empty)
    fsck(copy, Kind.EXFAT)
    assert ExFat(lambda offset, length: empty[offset : offset + length], share.size).label == "LUXSHARE"


@pytest.mark.parametrize("kind", KINDS)
async def test_every_step_with_a_companion_leaves_a_stick_that_a_repair_finishes(bench: Bench, kind: Kind) -> None:
    options = StickOptions(filesystem=kind, companion=16 * MIB)
    size = 230 * MIB
    os.truncate(bench.fd, size)
    here = bench.source("here.iso", 300_000)
    there = bench.source("there.iso", 500_000, partition=PartitionRole.COMPANION)
    snapshots = helpers.Snapshots(bench.path, bench.directory / "snapshots")
    order = helpers.order(StickOperation.CREATE, bench.fd, size=size, add=(here, there), options=options)
    await writer.execute(order, lambda _now: None, after_step=snapshots)
    kept: dict[str, str] = {}
    for step, path in snapshots.taken:
        fd = os.open(path, os.O_RDWR)
        try:
            repair = helpers.order(StickOperation.REPAIR, fd, size=size)
            await writer.execute(repair, lambda _now: None)
            contents = reader.read_stick(fd, size)
            assert contents is not None, step
            assert contents.damage == "", step
            assert (await writer.execute(helpers.order(StickOperation.VERIFY, fd, size=size), lambda _now: None))["ok"]
            kept = {image.name: image.partition.value for image in contents.manifest.images}
            assert kept.items() <= {"here.iso": "data", "there.iso": "companion"}.items(), step
        finally:
            os.close(fd)
    assert set(kept) == {"here.iso", "there.iso"}
