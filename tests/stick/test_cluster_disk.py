"""Sticks with FAT32 and exFAT on block devices, where the kernel could mount the partition."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from luxusbd.errors import DeviceMountedError
from luxusbd.stick import layout, partition, reader, writer
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import MIB, PartitionRole, StickOperation, StickOptions, StickOrder
from tests.stick import helpers
from tests.stick.clusterimage import fsck
from tests.stick.test_writer_disk import Disk, Sources, _private_mounts

pytestmark = pytest.mark.root

__all__ = ["_private_mounts"]

KINDS = (Kind.FAT32, Kind.EXFAT)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "medium"
    os.close(helpers.empty_target(path))
    with helpers.loop_device(path) as node:
        made = Disk(node, path)
        yield made
        os.close(made.fd)


@pytest.fixture
def sources(tmp_path: Path) -> Iterator[Sources]:
    made = Sources(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_the_life_of_a_stick(disk: Disk, sources: Sources, kind: Kind, tmp_path: Path) -> None:
    one, two = sources("one.iso"), sources("two.iso", 3_000_001)
    options = StickOptions(filesystem=kind)
    await writer.execute(disk.order(StickOperation.CREATE, add=(one,), options=options), lambda _now: None)
    snapshots = helpers.Snapshots(disk.path, tmp_path / "snapshots")
    made = await writer.execute(disk.order(StickOperation.ADD, add=(two,)), lambda _now: None, after_step=snapshots)
    assert made["images"] == ["one.iso", "two.iso"]
    assert (await writer.execute(disk.order(StickOperation.VERIFY), lambda _now: None))["ok"] is True
    removed = disk.order(StickOperation.REMOVE, remove=("one.iso",))
    made = await writer.execute(removed, lambda _now: None, after_step=snapshots)
    assert made["images"] == ["two.iso"]
    assert (await writer.execute(disk.order(StickOperation.REPAIR), lambda _now: None))["findings"] == []
    for _step, path in snapshots.taken:
        helpers.check_boots(path, sources.files)
    assert disk.look().damage == ""
    assert helpers.check_boots(disk.path, sources.files) == (made["generation"], frozenset({"two.iso"}))
    # what the kernel shows of the partition is what was written through the disk
    planned = layout.plan(helpers.SIZE, options).partition(PartitionRole.DATA)
    node = partition.find_node(disk.fd, layout.plan(helpers.SIZE, options), PartitionRole.DATA)
    copy = tmp_path / "partition"
    copy.write_bytes(Path(node.path).read_bytes())
    assert copy.stat().st_size == planned.size
    fsck(copy, kind)


@pytest.mark.parametrize("kind", KINDS)
async def test_nobody_takes_the_partition_meanwhile(disk: Disk, sources: Sources, kind: Kind) -> None:
    options = StickOptions(filesystem=kind)
    await writer.execute(disk.order(StickOperation.CREATE, options=options), lambda _now: None)
    node = partition.find_node(disk.fd, layout.plan(helpers.SIZE, options), PartitionRole.DATA).path
    refused: list[str] = []

    def take(step: str) -> None:
        try:
            os.close(os.open(node, os.O_RDWR | os.O_EXCL))
        except OSError:
            refused.append(step)

    await writer.execute(disk.order(StickOperation.ADD, add=(sources("one.iso"),)), lambda _now: None, after_step=take)
    assert "images-checkpoint" in refused
    held = os.open(node, os.O_RDWR | os.O_EXCL)
    try:
        with pytest.raises(DeviceMountedError):
            await writer.execute(disk.order(StickOperation.ADD, add=(sources("two.iso"),)), lambda _now: None)
    finally:
        os.close(held)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_job_leaves_nothing_behind(disk: Disk, sources: Sources, kind: Kind) -> None:
    options = StickOptions(filesystem=kind)
    await writer.execute(
        disk.order(StickOperation.CREATE, add=(sources("one.iso"),), options=options), lambda _now: None
    )
    before = disk.look()
    task = asyncio.current_task()
    assert task is not None

    def cancel(step: str) -> None:
        if step.startswith("image-written"):
            task.cancel()

    order = disk.order(StickOperation.ADD, add=(sources("two.iso", 9_000_000),))
    with pytest.raises(asyncio.CancelledError):
        await writer.execute(order, lambda _now: None, after_step=cancel)
    task.uncancel()
    assert disk.look() == before
    assert reader.open_stick(disk.fd, helpers.SIZE).clean


@pytest.mark.parametrize("kind", KINDS)
async def test_a_companion_is_mounted_beside_it(disk: Disk, sources: Sources, kind: Kind) -> None:
    options = StickOptions(filesystem=kind, companion=16 * MIB, share=16 * MIB)
    size = 240 * MIB
    os.truncate(disk.path, size)
    subprocess.run(["losetup", "-c", disk.node], check=True)

    def order(operation: StickOperation, **changes: Any) -> StickOrder:
        return disk.order(operation, **{"size": size, **changes})

    here, there = sources("here.iso"), sources("there.iso", 3_000_001, partition=PartitionRole.COMPANION)
    await writer.execute(order(StickOperation.CREATE, add=(here, there), options=options), lambda _now: None)
    more = sources("more.iso", partition=PartitionRole.COMPANION)
    await writer.execute(order(StickOperation.ADD, add=(more,)), lambda _now: None)
    assert (await writer.execute(order(StickOperation.VERIFY), lambda _now: None))["ok"] is True
    await writer.execute(order(StickOperation.REMOVE, remove=("there.iso",)), lambda _now: None)
    assert (await writer.execute(order(StickOperation.REPAIR), lambda _now: None))["findings"] == []
    contents = reader.read_stick(disk.fd, size)
    assert contents is not None
    assert contents.damage == ""
    assert {image.name: image.partition.value for image in contents.manifest.images} == {
        "here.iso": "data",
        "more.iso": "companion",
    }
    os.sync()
    for place, name in ((3, "here.iso"), (4, "more.iso")):
        done = subprocess.run(
            ["grub-fstest", disk.path, "cmp", f"(loop0,gpt{place})/iso/{name}", sources.files[name]],
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b""), name
