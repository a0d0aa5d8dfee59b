"""Newer images in the places of older ones, in image files: no root, no loop device, no mount."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from typing import Any

import pytest

from luxusbd.catalog.model import Trust
from luxusbd.errors import (
    AlreadyExistsError,
    ImageNotFoundError,
    InvalidArgumentError,
    LuxusbError,
    NotEnoughSpaceError,
    VerificationError,
)
from luxusbd.stick import layout, reader, writer
from luxusbd.stick.blockio import MediumReader
from luxusbd.stick.model import MIB, SourceImage, StickOperation, StickOptions
from tests.stick import helpers
from tests.stick.bench import Bench, lay

BOTH_WAYS = pytest.mark.parametrize("operation", [StickOperation.UPDATE, StickOperation.REPLACE])


def in_iso(fd: int) -> set[str]:
    with MediumReader(fd) as medium:
        return set(reader.open_data(medium.read_at, layout.plan(helpers.SIZE, StickOptions())).list("/iso"))


async def update(bench: Bench, operation: StickOperation, *pairs: tuple[str, SourceImage], **more: Any) -> Any:
    return await bench.do(
        operation, *(source for _old, source in pairs), remove=tuple(old for old, _source in pairs), **more
    )


@BOTH_WAYS
async def test_new_images_have_the_places_of_the_old_ones(bench: Bench, operation: StickOperation) -> None:
    names = ("one", "two", "three")
    made = await bench.do(StickOperation.CREATE, *(bench.source(f"{name}.iso", 300_000) for name in names))
    new = bench.source("one-2.iso", 400_000, title="One 2", version="2", trust=Trust.SIGNED, entries=())
    last = bench.source("three-2.iso", 200_000)
    result = await update(bench, operation, ("one.iso", new), ("three.iso", last))
    assert result["images"] == ["one-2.iso", "two.iso", "three-2.iso"]
    assert result["generation"] > made["generation"]
    assert result["bytes_written"] == 600_000
    image = bench.look().manifest.images[0]
    assert image == dataclasses.replace(new.image, added=image.added)
    assert image.added > 0
    assert in_iso(bench.fd) == set(result["images"])
    assert bench.progress[-1].bytes_done == bench.progress[-1].bytes_total
    assert (await bench.do(StickOperation.VERIFY))["ok"] is True
    bench.fsck()
    assert helpers.check_boots(bench.path, bench.files)[1] == set(result["images"])


async def test_every_step_of_an_update_leaves_the_old_images_or_the_new_ones(bench: Bench) -> None:
    one, two, three = (bench.source(f"{name}.iso", 300_000) for name in ("one", "two", "three"))
    await bench.do(StickOperation.CREATE, one, two, three)
    pairs = [("one.iso", bench.source("one-2.iso", 310_000)), ("three.iso", bench.source("three-2.iso", 320_000))]
    snapshots = helpers.Snapshots(bench.path, bench.directory / "snapshots")
    await update(bench, StickOperation.UPDATE, *pairs, after_step=snapshots)
    old, new = ["one.iso", "two.iso", "three.iso"], ["one-2.iso", "two.iso", "three-2.iso"]
    assert len(snapshots.taken) > 14
    states = []
    for step, path in snapshots.taken:
        shown = helpers.check_boots(path, bench.files)[1]
        assert shown in (set(old), set(new)), step
        states.append(shown == set(new))
        fd = os.open(path, os.O_RDWR)
        try:
            before = [image.name for image in seen(fd)]
            assert before == (new if shown == set(new) else old), step
            # the next job brings it in order, and the update can be done again
            if before == old:
                order = helpers.order(
                    StickOperation.UPDATE,
                    fd,
                    add=tuple(source for _old, source in pairs),
                    remove=("one.iso", "three.iso"),
                )
            else:
                order = helpers.order(StickOperation.CHECK, fd)
            assert (await writer.execute(order, lambda _now: None))["images"] == new, step
            assert in_iso(fd) == set(new), step
        finally:
            os.close(fd)
        assert helpers.check_boots(path, bench.files)[1] == set(new), step
    assert states == sorted(states), "once the new ones are shown, they stay"


async def test_every_step_of_a_replacement_leaves_a_menu_of_whole_images(bench: Bench) -> None:
    one, two = bench.source("one.iso", 300_000), bench.source("two.iso", 300_000)
    await bench.do(StickOperation.CREATE, one, two)
    new = bench.source("one-2.iso", 310_000)
    snapshots = helpers.Snapshots(bench.path, bench.directory / "snapshots")
    await update(bench, StickOperation.REPLACE, ("one.iso", new), after_step=snapshots)
    shown = []
    for step, path in snapshots.taken:
        shown.append(helpers.check_boots(path, bench.files)[1])
        fd = os.open(path, os.O_RDWR)
        try:
            assert {image.name for image in seen(fd)} == shown[-1], step
            result = await writer.execute(helpers.order(StickOperation.CHECK, fd), lambda _now: None)
            assert in_iso(fd) == set(result["images"]) == shown[-1], step
        finally:
            os.close(fd)
    assert list(dict.fromkeys(shown)) == [{"one.iso", "two.iso"}, {"two.iso"}, {"one-2.iso", "two.iso"}]


def seen(fd: int) -> Any:
    contents = reader.read_stick(fd, helpers.SIZE)
    assert contents is not None
    assert contents.damage == ""
    return contents.manifest.images


@BOTH_WAYS
async def test_a_wrong_image_changes_nothing(bench: Bench, operation: StickOperation) -> None:
    await bench.do(StickOperation.CREATE, bench.source("one.iso", 300_000))
    before = bench.look()
    for bad in (
        bench.source("bad.iso", 300_000, sha256="0" * 64),
        dataclasses.replace(bench.source("worse.iso", 300_000), sha512="0" * 128),
    ):
        with pytest.raises(VerificationError, match=r"(bad|worse)\.iso"):
            await update(bench, operation, ("one.iso", bad))
        assert bench.look() == before
        assert in_iso(bench.fd) == {"one.iso"}
    bench.fsck()


async def test_there_is_no_room_for_both(bench: Bench) -> None:
    await bench.do(StickOperation.CREATE, bench.source("one.iso", 34 * MIB), bench.source("two.iso", 300_000))
    before, new = bench.look(), bench.source("one-2.iso", 35 * MIB)
    assert before.free_bytes < 35 * MIB
    with pytest.raises(NotEnoughSpaceError, match="beside the old ones"):
        await update(bench, StickOperation.UPDATE, ("one.iso", new))
    with pytest.raises(NotEnoughSpaceError, match="without the old ones"):
        await update(bench, StickOperation.REPLACE, ("two.iso", new))
    assert bench.look() == before
    result = await update(bench, StickOperation.REPLACE, ("one.iso", new))
    assert result["images"] == ["one-2.iso", "two.iso"]
    assert (await bench.do(StickOperation.VERIFY))["ok"] is True


async def test_a_replacement_that_fails_says_what_is_gone(bench: Bench) -> None:
    await bench.do(StickOperation.CREATE, bench.source("one.iso", 300_000), bench.source("two.iso", 300_000))
    new = bench.source("new.iso", 300_000)
    path = bench.files["new.iso"]

    def spoil(step: str) -> None:
        if step == "old-images-gone":
            path.write_bytes(bytes(300_000))

    with pytest.raises(VerificationError, match=r"one\.iso had to go before that .* add import"):
        await update(bench, StickOperation.REPLACE, ("one.iso", new), after_step=spoil)
    assert bench.names() == ["two.iso"]
    assert in_iso(bench.fd) == {"two.iso"}
    assert helpers.check_boots(bench.path, bench.files)[1] == {"two.iso"}


async def test_a_cancelled_update_leaves_the_old_images(bench: Bench) -> None:
    await bench.do(StickOperation.CREATE, bench.source("one.iso", 300_000))
    before = bench.look()
    task = asyncio.current_task()
    assert task is not None

    def cancel(step: str) -> None:
        if step.startswith("image-written"):
            task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await update(bench, StickOperation.UPDATE, ("one.iso", bench.source("new.iso")), after_step=cancel)
    task.uncancel()
    assert bench.look() == before
    assert in_iso(bench.fd) == {"one.iso"}


@BOTH_WAYS
async def test_orders_that_are_wrong(bench: Bench, operation: StickOperation) -> None:
    await bench.do(StickOperation.CREATE, bench.source("one.iso", 300_000), bench.source("two.iso", 300_000))
    lay(bench, f"write {bench.files['one.iso']} mine.iso")
    before = bench.look()
    new = bench.source("new.iso", 300_000)
    twin = bench.sources["twin"] = helpers.source(bench.files["two.iso"], "twin.iso")
    wrong: list[tuple[tuple[tuple[str, SourceImage], ...], type[LuxusbError]]] = [
        ((), InvalidArgumentError),
        ((("absent.iso", new),), ImageNotFoundError),
        ((("one.iso", twin),), AlreadyExistsError),
        ((("one.iso", bench.source("TWO.iso", 400_000)),), AlreadyExistsError),
        ((("one.iso", bench.source("three.iso", 400_000)), ("one.iso", new)), InvalidArgumentError),
    ]
    for pairs, error in wrong:
        with pytest.raises(error):
            await update(bench, operation, *pairs)
    with pytest.raises(InvalidArgumentError):
        await bench.do(operation, new, remove=("one.iso", "two.iso"))
    assert bench.look() == before


async def test_a_file_of_the_users_own_is_not_overwritten(bench: Bench) -> None:
    await bench.do(StickOperation.CREATE, bench.source("one.iso", 300_000))
    mine = bench.source("mine.iso", 300_000)
    lay(bench, f"write {bench.files['one.iso']} mine.iso")
    with pytest.raises(AlreadyExistsError, match="does not belong"):
        await update(bench, StickOperation.UPDATE, ("one.iso", mine))
    assert bench.names() == ["one.iso"]
