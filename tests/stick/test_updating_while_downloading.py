"""Newer images in the places of older ones, written while they are still coming."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from luxusbd.errors import AlreadyExistsError, InvalidArgumentError, NetworkError, NotEnoughSpaceError
from luxusbd.images.startfile import FAMILY, PLACE
from luxusbd.stick import reader, writer
from luxusbd.stick.model import MIB, SourceImage, StickOperation
from tests.stick import helpers
from tests.stick.test_streaming import SIZE, Bench, ignored

OLD = ("one.iso", "two.iso", "three.iso")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    medium = tmp_path / "stick.img"
    os.close(helpers.empty_target(medium))
    made = Bench(tmp_path, medium)
    yield made
    made.close()


def file_on(bench: Bench, name: str, number: int, **more: object) -> SourceImage:
    return helpers.source(helpers.random_file(bench.directory / f"file-{name}", MIB, number), name, **more)


async def create(bench: Bench, *sources: SourceImage, kind: str = "ext4") -> None:
    try:
        await bench.do(kind=kind, add=sources)
    finally:
        for source in sources:
            os.close(source.fd)
    bench.steps.clear()


async def with_three(bench: Bench, kind: str = "ext4") -> None:
    await create(bench, *(file_on(bench, name, number) for number, name in enumerate(OLD)), kind=kind)


@pytest.mark.parametrize("kind", ["ext4", "exfat", "fat32"])
async def test_each_has_the_place_of_its_old_one_as_soon_as_it_is_whole(bench: Bench, kind: str) -> None:
    await with_three(bench, kind)
    first, second = bench.image("one-2.iso"), bench.image("two-2.iso")
    third = file_on(bench, "three-2.iso", 9)
    seen = []

    def look() -> None:
        seen.append(bench.names())
        second.finish(bench.feeds)

    bench.hooks["streams-set-aside"] = lambda: first.grow(bench.feeds, 0, 5 * MIB)
    bench.hooks["streamed one-2.iso"] = lambda: first.finish(bench.feeds)
    bench.hooks["stream-finished one-2.iso"] = look
    try:
        made = await bench.do(StickOperation.UPDATE, kind, add=(third,), remove=("three.iso", "one.iso", "two.iso"))
    finally:
        os.close(third.fd)
    assert seen == [["one-2.iso", "two.iso", "three-2.iso"]]
    assert made["lacking"] == []
    assert made["bytes_written"] == 2 * SIZE + MIB
    assert made["images"] == ["one-2.iso", "two-2.iso", "three-2.iso"]
    bench.check("one-2.iso", "two-2.iso", "three-2.iso")
    for name in OLD:
        assert helpers.grub_read(bench.medium, f"/iso/{name}") is None


async def test_what_does_not_come_leaves_its_old_one(bench: Bench) -> None:
    await with_three(bench)
    first, second = bench.image("one-2.iso"), bench.image("two-2.iso")
    second.grow(bench.feeds, 0, 5 * MIB)
    bench.hooks["streamed two-2.iso"] = lambda: first.finish(bench.feeds)
    bench.hooks["stream-finished one-2.iso"] = lambda: second.fail(bench.feeds, NetworkError("no mirror has it"))
    made = await bench.do(StickOperation.UPDATE, remove=("one.iso", "two.iso"))
    assert [one["name"] for one in made["lacking"]] == ["two-2.iso"]
    bench.check("one-2.iso", "two.iso", "three.iso")
    assert helpers.grub_read(bench.medium, "/iso/two-2.iso.lux-part") is None


async def test_a_cancelled_one_leaves_the_old_ones(bench: Bench) -> None:
    await with_three(bench)
    first = bench.image("one-2.iso")
    first.grow(bench.feeds, 0, 5 * MIB)
    task = asyncio.ensure_future(bench.do(StickOperation.UPDATE, remove=("one.iso",)))
    bench.hooks["streamed one-2.iso"] = lambda: ignored(task.cancel())
    with pytest.raises(asyncio.CancelledError):
        await task
    bench.check(*OLD)
    assert helpers.grub_read(bench.medium, "/iso/one-2.iso.lux-part") is None


async def test_every_step_leaves_the_old_one_or_the_new_one(bench: Bench) -> None:
    await with_three(bench)
    first, second = bench.image("one-2.iso"), bench.image("two-2.iso")
    files = {name: bench.directory / f"file-{name}" for name in OLD}
    files |= {image.name: image.path for image in (first, second)}
    first.finish(bench.feeds)
    second.finish(bench.feeds)
    snapshots = helpers.Snapshots(bench.medium, bench.directory / "snapshots")
    order = helpers.order(
        StickOperation.UPDATE, bench.fd, streams=(first.early, second.early), remove=("one.iso", "three.iso")
    )
    await writer.execute(order, lambda _now: None, after_step=snapshots, feeds=bench.feeds)
    shown = []
    for step, path in snapshots.taken:
        shown.append(frozenset(helpers.check_boots(path, files)[1]))
        fd = os.open(path, os.O_RDWR)
        try:
            contents = reader.read_stick(fd, helpers.SIZE)
            assert contents is not None
            assert contents.damage == ""
            assert frozenset(image.name for image in contents.manifest.images) == shown[-1], step
            await writer.execute(helpers.order(StickOperation.CHECK, fd), lambda _now: None)
        finally:
            os.close(fd)
        assert set(helpers.check_boots(path, files)[1]) == shown[-1], step
        for name in (*OLD, "one-2.iso", "two-2.iso"):
            assert (helpers.grub_read(path, f"/iso/{name}") is not None) == (name in shown[-1]), step
    assert list(dict.fromkeys(shown)) == [
        frozenset(OLD),
        frozenset({"one-2.iso", "two.iso", "three.iso"}),
        frozenset({"one-2.iso", "two.iso", "two-2.iso"}),
    ]


async def test_what_started_the_old_one_goes_with_it(bench: Bench) -> None:
    entry = helpers.entry(initrds=(f"{PLACE}initrd-1.gz",))
    started = file_on(bench, "one.iso", 1, entries=(entry,))
    start = file_on(bench, "initrd-1.gz", 2, family=FAMILY, entries=())
    await create(bench, started, start)
    first = bench.image("one-2.iso")
    first.finish(bench.feeds)
    await bench.do(StickOperation.UPDATE, remove=("one.iso",))
    bench.check("one-2.iso")
    assert helpers.grub_read(bench.medium, "/iso/initrd-1.gz") is None


async def test_orders_that_are_wrong_change_nothing(bench: Bench) -> None:
    await with_three(bench)
    first = bench.image("one-2.iso")
    with pytest.raises(InvalidArgumentError, match="a new image for every old one"):
        await bench.do(StickOperation.UPDATE, remove=("one.iso", "two.iso"))
    first.name = "two.iso"
    first.image = helpers.image("two.iso", sha256="1" * 64, size=SIZE)
    with pytest.raises(AlreadyExistsError, match=r"another image called two\.iso"):
        await bench.do(StickOperation.UPDATE, remove=("one.iso",))
    first.image = helpers.image("big.iso", size=150 * MIB)
    with pytest.raises(NotEnoughSpaceError, match="update one at a time"):
        await bench.do(StickOperation.UPDATE, remove=("one.iso",))
    assert bench.names() == list(OLD)
