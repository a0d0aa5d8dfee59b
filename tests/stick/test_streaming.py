"""Images onto a stick while they are still coming: the worker's side, with files that grow under it."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from luxusbd.errors import CancelledError, LuxusbError, NetworkError, NotEnoughSpaceError, VerificationError
from luxusbd.images.startfile import FAMILY
from luxusbd.stick import mounted, places, reader, writer
from luxusbd.stick.feeds import Feed, FeedNews, Feeds, news_from_json, news_to_json
from luxusbd.stick.isofiles import list_files
from luxusbd.stick.model import MIB, ManifestImage, SourceImage, StickOperation, StickOptions
from luxusbd.stick.trail import Trail
from tests.stick import helpers

SIZE = 9 * MIB + 4321


class Coming:
    """An image that a download brings bit by bit, as the core tells a worker of it."""

    def __init__(self, directory: Path, name: str, number: int, size: int = SIZE) -> None:
        self.name = name
        self.number = number
        self.data = random.Random(name).randbytes(size)
        self.path = directory / f"{name}.part"
        self.path.touch()
        self.fd = os.open(self.path, os.O_RDWR)
        self.image = helpers.image(name, name, sha256=hashlib.sha256(self.data).hexdigest(), size=size)
        self._told = False

    @property
    def early(self) -> ManifestImage:
        """As much as the catalogue knows."""
        return dataclasses.replace(self.image, entries=(), volume_id="", family="", recipe="")

    def put(self, start: int, end: int, *, wrong: bool = False) -> None:
        data = self.data[start:end]
        os.pwrite(self.fd, bytes(255 - byte for byte in data) if wrong else data, start)

    def tell(self, feeds: Feeds, available: int, floor: int | None = None) -> None:
        fds = [] if self._told else [self.fd]
        self._told = True
        feeds.take(news_to_json(FeedNews(self.number, available, floor)), fds)

    def grow(self, feeds: Feeds, start: int, end: int) -> None:
        self.put(start, end)
        self.tell(feeds, end)

    def finish(self, feeds: Feeds, **changes: Any) -> None:
        self.put(0, len(self.data))
        source = SourceImage(-1, dataclasses.replace(self.image, **changes))
        feeds.take(news_to_json(FeedNews(self.number, whole=(source,))), [self.fd])

    def hand_over(self, feeds: Feeds) -> None:
        """Say that all is there, of an image that is not kept."""
        feeds.take(news_to_json(FeedNews(self.number, len(self.data), ended=True)), [])

    def finish_without_file(self, feeds: Feeds, **changes: Any) -> None:
        source = SourceImage(-1, dataclasses.replace(self.image, **changes))
        feeds.take(news_to_json(FeedNews(self.number, whole=(source,), passed=True)), [])

    def forget(self, end: int) -> None:
        """Give back what the worker said it needs no more."""
        os.pwrite(self.fd, bytes(end), 0)

    def fail(self, feeds: Feeds, reason: LuxusbError) -> None:
        feeds.take(news_to_json(FeedNews(self.number, failure=reason)), [])


class Bench:
    """A stick in an image file, or on a loop device where there is a `node`."""

    def __init__(self, directory: Path, medium: Path, node: str = "") -> None:
        self.directory = directory
        self.medium = medium
        self.node = node
        self.fd = os.open(node or medium, os.O_RDWR)
        self.feeds = Feeds()
        self.steps: list[str] = []
        self.hooks: dict[str, Callable[[], None]] = {}
        self.coming: list[Coming] = []

    def image(self, name: str, size: int = SIZE) -> Coming:
        self.coming.append(Coming(self.directory, name, len(self.coming), size))
        return self.coming[-1]

    async def do(
        self,
        operation: StickOperation = StickOperation.CREATE,
        kind: str = "ext4",
        add: tuple[SourceImage, ...] = (),
        remove: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        names = [image.name for image in self.coming]
        order = helpers.order(
            operation,
            self.fd,
            node=self.node,
            options=StickOptions(filesystem=kind),
            add=add,
            remove=remove,
            streams=tuple(image.early for image in self.coming),
            sequence=(*names, *(source.image.name for source in add)),
        )

        def after(step: str) -> None:
            self.steps.append(step)
            if hook := self.hooks.pop(step, None):
                hook()

        return await writer.execute(order, lambda _progress: None, after_step=after, feeds=self.feeds)

    def names(self) -> list[str]:
        os.sync()
        contents = reader.read_stick(self.fd, helpers.SIZE)
        assert contents is not None
        assert not contents.damage
        return [image.name for image in contents.manifest.images]

    def check(self, *names: str) -> None:
        """The stick has these images in this order, and GRUB reads each as it should be."""
        assert self.names() == list(names)
        for image in self.coming:
            if image.name in names:
                assert helpers.grub_read(self.medium, f"/iso/{image.name}") == image.data
            else:
                assert helpers.grub_read(self.medium, f"/iso/{image.name}") is None

    def close(self) -> None:
        self.feeds.close()
        os.close(self.fd)
        for image in self.coming:
            os.close(image.fd)


def ignored(_result: object) -> None:
    """For a lambda that is a hook."""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    medium = tmp_path / "stick.img"
    os.close(helpers.empty_target(medium))
    made = Bench(tmp_path, medium)
    yield made
    made.close()


def test_a_trail_goes_back_to_a_mark_and_on_again() -> None:
    data = random.Random(1).randbytes(1000)
    trail = Trail(("sha256", "sha512"), step=100)
    for start in range(0, 900, 90):
        trail.update(data[start : start + 90])
    assert trail.back(900) == trail.position == 900
    assert trail.back(550) == trail.mark == 500, "the last mark at or before the place, whatever came at a time"
    trail.update(data[500:])
    assert trail.digests() == {name: hashlib.new(name, data).hexdigest() for name in ("sha256", "sha512")}
    assert trail.back(0) == 0
    assert trail.digests()["sha256"] == hashlib.sha256().hexdigest()


def test_news_of_growing_images_survive_the_wire() -> None:
    whole = (SourceImage(7, helpers.image("a.iso"), "ab"), SourceImage(8, helpers.image("b.iso")))
    for news, fds in (
        (FeedNews(3, 100, None), [5]),
        (FeedNews(0, 100, 20), []),
        (FeedNews(1, whole=whole), [7, 8]),
    ):
        assert news_from_json(news_to_json(news), fds) == news
    read = news_from_json(news_to_json(FeedNews(2, failure=NetworkError("gone"))), [])
    assert isinstance(read.failure, NetworkError)
    assert read.failure.message == "gone"


def test_a_feed_remembers_the_lowest_way_back_until_it_was_taken() -> None:
    feed = Feed()
    for available, floor in ((100, None), (50, 40), (80, 60), (90, None)):
        feed.take(FeedNews(0, available, floor), [])
    assert (feed.available, feed.take_floor(), feed.take_floor()) == (90, 40, None)


def test_the_menu_has_the_order_of_the_plan_whatever_comes_first() -> None:
    a, b, c, old = (helpers.image(name) for name in ("a.iso", "b.iso", "c.iso", "old.iso"))
    assert places.in_sequence((old, c, a), ("a.iso", "b.iso", "c.iso")) == (old, a, c)
    assert places.in_sequence((old, c, a, b), ("a.iso", "b.iso", "c.iso")) == (old, a, b, c)


@pytest.mark.parametrize("kind", ["ext4", "exfat", "fat32"])
async def test_images_are_written_while_they_come(bench: Bench, kind: str) -> None:
    one, two = bench.image("one.iso"), bench.image("two.iso")
    written: list[int] = []

    def finish_both() -> None:
        two.finish(bench.feeds)
        one.finish(bench.feeds)

    def second_half() -> None:
        # the worker asked for nothing: it has written what was there of a file that is not whole
        written.append(bench.steps.count("streamed one.iso"))
        two.grow(bench.feeds, 0, 5 * MIB)
        bench.hooks["streamed two.iso"] = finish_both

    bench.hooks["streamed one.iso"] = second_half
    bench.hooks["streams-set-aside"] = lambda: one.grow(bench.feeds, 0, 6 * MIB)
    made = await bench.do(kind=kind)
    assert written == [1]
    assert made["lacking"] == []
    assert made["images"] == ["one.iso", "two.iso"]
    assert bench.steps.index("stream-finished two.iso") != bench.steps.index("stream-finished one.iso")
    bench.check("one.iso", "two.iso")


async def test_bytes_that_are_taken_back_are_written_again(bench: Bench) -> None:
    one = bench.image("one.iso")
    one.put(0, 5 * MIB)
    one.put(5 * MIB, 8 * MIB, wrong=True)
    one.tell(bench.feeds, 8 * MIB)

    def corrected() -> None:
        one.tell(bench.feeds, 8 * MIB, 5 * MIB)
        one.finish(bench.feeds)

    bench.hooks["streamed one.iso"] = corrected
    await bench.do()
    assert bench.steps.count("streamed one.iso") == 2
    bench.check("one.iso")


async def test_a_wrong_copy_is_made_anew_from_the_finished_file(bench: Bench) -> None:
    """Also where nobody said that bytes have changed."""
    one = bench.image("one.iso")
    one.put(0, 8 * MIB, wrong=True)
    one.tell(bench.feeds, 8 * MIB)
    bench.hooks["streamed one.iso"] = lambda: one.finish(bench.feeds)
    await bench.do()
    bench.check("one.iso")


async def test_a_file_that_is_wrong_to_the_end_gets_no_entry(bench: Bench) -> None:
    one, two = bench.image("one.iso"), bench.image("two.iso")
    one.finish(bench.feeds)
    two.finish(bench.feeds)
    two.put(MIB, 2 * MIB, wrong=True)
    made = await bench.do()
    (lacking,) = made["lacking"]
    assert lacking["name"] == "two.iso"
    assert lacking["error"] == VerificationError.dbus_name
    bench.check("one.iso")


async def test_an_image_of_another_hash_than_planned_is_refused(bench: Bench) -> None:
    one = bench.image("one.iso")
    other = random.Random(5).randbytes(SIZE)
    one.data = other
    one.finish(bench.feeds, sha256=hashlib.sha256(other).hexdigest())
    made = await bench.do()
    assert [one["name"] for one in made["lacking"]] == ["one.iso"]
    bench.check()


async def test_an_image_that_is_overwritten_while_another_one_comes_is_found_out(bench: Bench) -> None:
    """As by a stick that is smaller than it claims, after the image was read back and has its entry."""
    one, two = bench.image("one.iso"), bench.image("two.iso")
    one.finish(bench.feeds)

    def wrap() -> None:
        place = bench.medium.read_bytes().find(one.data[MIB : MIB + 4096])
        assert place > 0
        os.pwrite(bench.fd, bytes(1_200_000), place)
        two.finish(bench.feeds)

    bench.hooks["stream-finished one.iso"] = wrap
    with pytest.raises(VerificationError, match=r"one\.iso .*defective or smaller than it claims"):
        await bench.do()


async def test_what_came_stays_when_another_download_fails(bench: Bench) -> None:
    one, two = bench.image("one.iso"), bench.image("two.iso")
    two.grow(bench.feeds, 0, 5 * MIB)
    bench.hooks["streamed two.iso"] = lambda: one.finish(bench.feeds)
    bench.hooks["stream-finished one.iso"] = lambda: two.fail(bench.feeds, NetworkError("no mirror has it"))
    made = await bench.do()
    assert made["lacking"] == [
        {"name": "two.iso", "error": NetworkError.dbus_name, "message": "no mirror has it"},
    ]
    assert made["images"] == ["one.iso"]
    bench.check("one.iso")


async def test_a_stick_that_is_cut_starts_what_is_whole_and_says_what_it_lacks(bench: Bench, tmp_path: Path) -> None:
    one, _two = bench.image("one.iso"), bench.image("two.iso")
    one.finish(bench.feeds)

    def cut() -> None:
        raise CancelledError("power")

    bench.hooks["stream-finished one.iso"] = cut
    with pytest.raises(CancelledError):
        await bench.do()
    assert helpers.check_boots(bench.medium, {"one.iso": one.path})[1] == {"one.iso"}
    contents = reader.read_stick(bench.fd, helpers.SIZE)
    assert contents is not None
    assert "two.iso" in contents.damage
    assert "one.iso" not in contents.damage
    bench.coming = []
    await bench.do(StickOperation.REPAIR)
    assert bench.names() == ["one.iso"]


async def test_a_stick_without_room_is_refused_before_the_first_byte(bench: Bench) -> None:
    bench.image("big.iso", 9 * MIB).image = helpers.image("big.iso", size=150 * MIB)
    with pytest.raises(NotEnoughSpaceError):
        await bench.do()
    assert not bench.steps


async def test_images_are_added_beside_those_that_are_there(bench: Bench) -> None:
    source = helpers.source(helpers.random_file(bench.directory / "old", MIB, 3), "old.iso")
    try:
        await bench.do(add=(source,))
    finally:
        os.close(source.fd)
    one = bench.image("one.iso")
    bench.hooks["streams-set-aside"] = lambda: one.grow(bench.feeds, 0, 5 * MIB)
    bench.hooks["streamed one.iso"] = lambda: one.finish(bench.feeds)
    await bench.do(StickOperation.ADD)
    bench.check("old.iso", "one.iso")


async def test_a_cancelled_job_leaves_the_stick_as_it_was(bench: Bench) -> None:
    source = helpers.source(helpers.random_file(bench.directory / "old", MIB, 3), "old.iso")
    try:
        await bench.do(add=(source,))
    finally:
        os.close(source.fd)
    one = bench.image("one.iso")
    one.grow(bench.feeds, 0, 5 * MIB)
    task = asyncio.ensure_future(bench.do(StickOperation.ADD))
    bench.hooks["streamed one.iso"] = lambda: ignored(task.cancel())
    with pytest.raises(asyncio.CancelledError):
        await task
    bench.check("old.iso")
    assert helpers.grub_read(bench.medium, "/iso/one.iso.lux-part") is None


async def test_what_starts_an_image_comes_with_it(bench: Bench) -> None:
    one = bench.image("one.iso")
    data = random.Random(9).randbytes(MIB)
    path = bench.directory / "initrd"
    path.write_bytes(data)
    start = helpers.image(
        "initrd-0123.gz", sha256=hashlib.sha256(data).hexdigest(), size=MIB, family=FAMILY, entries=()
    )
    one.put(0, SIZE)
    with path.open("rb") as file:
        news = FeedNews(0, whole=(SourceImage(-1, one.image), SourceImage(-1, start)))
        bench.feeds.take(news_to_json(news), [one.fd, file.fileno()])
        made = await bench.do()
    assert made["images"] == ["one.iso"]
    assert helpers.grub_read(bench.medium, "/iso/initrd-0123.gz") == data


@pytest.mark.root
@pytest.mark.parametrize("kind", ["ext4", "exfat"])
async def test_on_a_disk(tmp_path: Path, kind: str) -> None:
    mounted.enter_private_namespace()
    medium = tmp_path / "medium"
    os.close(helpers.empty_target(medium))
    with helpers.loop_device(medium) as node:
        bench = Bench(tmp_path, medium, node)
        try:
            one, two = bench.image("one.iso"), bench.image("two.iso")
            one.grow(bench.feeds, 0, 6 * MIB)
            bench.hooks["streamed one.iso"] = lambda: two.grow(bench.feeds, 0, 5 * MIB)
            # the other one is in the middle of its file when this one gets its name, which unmounts the filesystem
            bench.hooks["streamed two.iso"] = lambda: one.finish(bench.feeds)
            bench.hooks["stream-finished one.iso"] = lambda: two.finish(bench.feeds)
            # the names come in another second than all before them
            bench.hooks["announced"] = lambda: time.sleep(1.1)
            made = await bench.do(kind=kind)
            assert made["lacking"] == []
            bench.check("one.iso", "two.iso")
            filesystem = reader.open_stick(bench.fd, helpers.SIZE)
            changed = {file.name: file.changed for file in list_files(filesystem)}
            for image in reader.load_manifest(filesystem).images:
                assert changed[image.name] <= image.added, "a rescan would take it for changed by hand, and read it all"
        finally:
            bench.close()


async def test_an_image_that_is_not_kept_passes_through(bench: Bench) -> None:
    """What the worker says it needs no more is gone while it goes on, also when the rest is taken back meanwhile."""
    image, other = bench.image("a.iso", 40 * MIB), bench.image("b.iso")
    feed = bench.feeds.of(0)
    gone: list[int] = []

    def give_back() -> None:
        gone.append(feed.safe)
        image.forget(feed.safe)

    def wrong() -> None:
        give_back()
        image.put(gone[-1], 30 * MIB)
        image.tell(bench.feeds, 30 * MIB, floor=gone[-1] + 100)
        assert feed.safe == 0, "until the worker has gone back"
        bench.hooks["streamed a.iso"] = rest

    def rest() -> None:
        give_back()
        image.put(30 * MIB, 40 * MIB)
        image.hand_over(bench.feeds)

    def landed() -> None:
        assert feed.landed
        assert feed.safe == len(image.data)
        give_back()
        image.finish_without_file(bench.feeds)
        other.finish(bench.feeds)

    image.put(0, 20 * MIB)
    image.put(20 * MIB, 22 * MIB, wrong=True)
    image.tell(bench.feeds, 22 * MIB + 1000)
    bench.hooks["streamed a.iso"] = wrong
    bench.hooks["stream-landed a.iso"] = landed
    made = await bench.do()
    assert not made["lacking"]
    assert gone == [20 * MIB, 28 * MIB, 40 * MIB]
    bench.check("a.iso", "b.iso")


async def test_an_image_that_is_not_kept_and_was_read_wrongly_is_left_out(bench: Bench) -> None:
    """It cannot be copied once more."""
    image = bench.image("a.iso")
    image.put(0, SIZE, wrong=True)
    image.tell(bench.feeds, SIZE)
    image.hand_over(bench.feeds)
    bench.hooks["stream-landed a.iso"] = lambda: image.finish_without_file(bench.feeds)
    made = await bench.do()
    (lacking,) = made["lacking"]
    assert lacking["error"] == VerificationError.dbus_name
    bench.check()
