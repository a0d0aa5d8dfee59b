"""Images that are not kept: what may go, and who is asked what they are."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import cast

import pytest

from luxusbd.errors import DeviceFailingError, LuxusbError, MalformedImageError
from luxusbd.images.model import Recognition
from luxusbd.jobs.downloadwords import unrecognised
from luxusbd.jobs.growth import Growths
from luxusbd.jobs.passage import Passage, Reader
from luxusbd.jobs.transfers import Transfers
from luxusbd.stick.feeds import Standing

CONTENT = "ab" * 32
FOUND = unrecognised(10, MalformedImageError("it is what it is"))


class Looks:
    """Sticks that are looked at, by their sizes; what is no recognition is raised."""

    def __init__(self) -> None:
        self.says: dict[int, Recognition | LuxusbError] = {}
        self.asked: list[tuple[int, str]] = []

    async def inspect_on_stick(self, fd: int, size: int, name: str) -> Recognition:
        assert os.fstat(fd).st_size == size
        self.asked.append((size, name))
        said = self.says[size]
        if isinstance(said, LuxusbError):
            raise said
        return said


class Case:
    def __init__(self, directory: Path) -> None:
        self.growths = Growths()
        self.looks = Looks()
        self.released: list[tuple[int, int]] = []
        self.fds: list[int] = []
        self.directory = directory
        self.passage = Passage(
            CONTENT, self.growths, cast("Transfers", self.looks), ended=lambda: False, release=self.release
        )

    async def release(self, upto: int, epoch: int) -> None:
        self.released.append((upto, epoch))

    def reader(self, name: str, size: int) -> Reader:
        path = self.directory / name
        path.write_bytes(bytes(size))
        self.fds.append(os.open(path, os.O_RDWR))
        self.passage.expect(name)
        return Reader(name, self.fds[-1], size)

    async def told(self, reader: Reader, safe: int, *, landed: bool = False) -> None:
        await self.passage.told(reader, Standing(safe, landed), self.passage.epoch)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


async def test_what_the_slowest_stick_has_is_given_back(case: Case) -> None:
    one, two, three = case.reader("one", 1), case.reader("two", 2), case.reader("three", 3)
    await case.told(one, 100)
    await case.told(two, 50)
    assert not case.released, "the third has said nothing"
    await case.told(three, 60)
    await case.told(one, 200)
    await case.told(two, 150)
    assert case.released == [(50, 0), (60, 0)]
    # one that fails does not hold up the others, and one that has left says nothing more
    await case.passage.left("three")
    await case.told(three, 1000)
    assert case.released[2:] == [(150, 0)]
    await case.passage.left("one")
    await case.passage.left("two")
    assert case.released[2:] == [(150, 0)], "nobody is left who could have it"


async def test_what_is_said_of_an_earlier_run_does_not_count(case: Case) -> None:
    one = case.reader("one", 1)
    with case.growths.watch(CONTENT):
        case.growths.told(CONTENT, 500, 0, 0)
        before = case.passage.epoch
        await case.told(one, 400)
        case.growths.told(CONTENT, 300, 0, 1)
        await case.passage.told(one, Standing(400, landed=True), before)
        assert case.released == [(400, 0)]
        await case.told(one, 100)
        assert case.released[1:] == [(100, 1)]
        # the download stood still, and a process of its own begins anew
        case.growths.ended(CONTENT)
        case.growths.told(CONTENT, 90, 0, 0)
        await case.told(one, 80)
        assert case.released[2:] == [(80, 0)]


async def test_a_process_that_begins_anew_is_told_of_less(case: Case) -> None:
    """It counts its epochs as the one before, which died."""
    one = case.reader("one", 1)
    with case.growths.watch(CONTENT):
        case.growths.told(CONTENT, 500, 0, 1)
        before = case.passage.epoch
        await case.told(one, 400)
        case.growths.told(CONTENT, 100, 0, 1)
        await case.passage.told(one, Standing(400, landed=True), before)
        await case.told(one, 80)
        assert case.released == [(400, 1), (80, 1)]


async def test_an_image_is_looked_at_where_it_is_whole(case: Case) -> None:
    one, two = case.reader("one", 1), case.reader("two", 2)
    asked = asyncio.ensure_future(case.passage.recognise("a.iso", 10))
    await case.told(one, 10)
    await asyncio.sleep(0)
    assert not case.looks.asked
    case.looks.says = {1: DeviceFailingError("cannot be read"), 2: FOUND}
    await case.told(one, 10, landed=True)
    await asyncio.sleep(0.05)
    assert not asked.done(), "the other stick may have it soon"
    await case.told(two, 10, landed=True)
    assert await asked == FOUND
    assert case.looks.asked == [(1, "a.iso.lux-part"), (2, "a.iso.lux-part")]


async def test_the_last_stick_that_cannot_be_read_fails(case: Case) -> None:
    one = case.reader("one", 1)
    case.looks.says = {1: DeviceFailingError("cannot be read")}
    await case.told(one, 10, landed=True)
    with pytest.raises(DeviceFailingError):
        await case.passage.recognise("a.iso", 10)


async def test_a_file_that_is_no_image_is_told_as_one(case: Case) -> None:
    one = case.reader("one", 1)
    case.looks.says = {1: MalformedImageError("no image at all")}
    await case.told(one, 10, landed=True)
    found = await case.passage.recognise("a.iso", 10)
    assert (found.bootable, found.reason) == (False, "no image at all")
