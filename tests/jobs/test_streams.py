"""What workers are told of images that are still being downloaded."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from luxusbd.children.protocol import Channel, Params
from luxusbd.children.transfer_progress import ProgressPump
from luxusbd.errors import FailedError, InterruptedJobError, NetworkError
from luxusbd.images.store import ImageStore
from luxusbd.jobs.growth import Growths, Watch
from luxusbd.jobs.passage import Reader
from luxusbd.jobs.streams import Streamed, Streams, check_lacking
from luxusbd.stick.model import ManifestImage
from tests.stick import helpers

DATA = b"a whole image"
SHA256 = hashlib.sha256(DATA).hexdigest()
IMAGE = helpers.image("one.iso", sha256=SHA256, size=len(DATA))


class Worker:
    """The other end: it notes what it is told, and what it could read then."""

    def __init__(self) -> None:
        self.closed = False
        self.told: list[dict[str, Any]] = []
        self.read: list[bytes] = []
        self.news = asyncio.Event()

    async def request(self, method: str, params: Params, fds: Sequence[int] = ()) -> Params:
        assert method == "feed"
        if self.closed:
            raise InterruptedJobError("gone")
        self.told.append(dict(params))
        self.read += [os.pread(fd, 100, 0) for fd in fds]
        self.news.set()
        return {"safe": 0, "landed": False}

    async def heard(self, count: int) -> dict[str, Any]:
        while len(self.told) < count:
            self.news.clear()
            await self.news.wait()
        return self.told[count - 1]


class Kept:
    """A store with one image."""

    sha512 = ""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, _uid: int, _sha256: str) -> Kept:
        return self

    def open(self, _uid: int, _sha256: str) -> int:
        return os.open(self.path, os.O_RDONLY)


class Coming:
    """One image on its way to workers."""

    def __init__(self, directory: Path) -> None:
        self.growths = Growths()
        self.part = directory / f"{SHA256}.part"
        whole = directory / "whole"
        whole.write_bytes(DATA)
        self.end: asyncio.Future[tuple[ManifestImage, ...]] = asyncio.get_running_loop().create_future()
        self.streams = Streams(
            cast("ImageStore", Kept(whole)), self.growths, directory, 0, [Streamed(IMAGE, SHA256, self._arrival)]
        )

    async def _arrival(self) -> tuple[ManifestImage, ...]:
        return await self.end

    def feed(self, worker: Worker) -> asyncio.Task[None]:
        return asyncio.ensure_future(self.streams.feed(Reader("usb-a", -1, 0), cast("Channel", worker)))


@pytest.fixture
async def coming(tmp_path: Path) -> Coming:
    return Coming(tmp_path)


def test_a_reader_hears_of_the_lowest_place_since_it_asked() -> None:
    watch = Watch()
    watch.told(100, 0)
    assert watch.take() == (100, None)
    watch.told(80, 60)
    watch.told(200, 80)
    assert watch.take() == (200, 60)
    watch.told(200, 200)
    assert not watch.news.is_set(), "nothing is new"


async def test_a_slow_channel_forgets_no_way_back() -> None:
    sent: list[dict[str, Any]] = []

    async def tell(report: dict[str, Any]) -> None:
        sent.append(report)

    pump = ProgressPump(tell, 1)
    for prefix, floor in ((100, 100), (40, 20), (70, 40)):
        pump.put({"prefix": prefix, "floor": floor})
    pump.put({"prefix": None, "floor": 0})
    pump.end()
    await pump.run()
    assert [(one["prefix"], one["floor"]) for one in sent] == [(70, 20)]


async def test_workers_follow_a_download_to_its_end(coming: Coming) -> None:
    first, second = Worker(), Worker()
    tasks = [coming.feed(first)]
    await asyncio.sleep(0)
    coming.part.write_bytes(DATA[:5])
    coming.growths.told(SHA256, 5, 0)
    assert (await first.heard(1))["available"] == 5
    # a second stick that starts later is told where it stands
    tasks.append(coming.feed(second))
    assert (await second.heard(1))["available"] == 5
    coming.growths.told(SHA256, 4, 3)
    for worker in (first, second):
        told = await worker.heard(2)
        assert (told["available"], told["floor"]) == (4, 3)
    coming.end.set_result((IMAGE,))
    await asyncio.gather(*tasks)
    for worker in (first, second):
        assert worker.told[-1]["whole"][0]["sha256"] == SHA256
        # one descriptor of the growing file, and one of the finished one
        assert worker.read == [DATA[:5], DATA]


async def test_more_than_there_is_of_a_file_is_not_promised(coming: Coming) -> None:
    """The process that downloads may say what it likes."""
    worker = Worker()
    task = coming.feed(worker)
    await asyncio.sleep(0)
    coming.part.write_bytes(DATA[:5])
    coming.growths.told(SHA256, 1 << 40, 0)
    assert (await worker.heard(1))["available"] == 5
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await coming.streams.close()


async def test_a_file_that_was_begun_anew_is_read_from_its_start(coming: Coming) -> None:
    worker = Worker()
    task = coming.feed(worker)
    await asyncio.sleep(0)
    coming.part.write_bytes(DATA[:5])
    coming.growths.told(SHA256, 5, 0)
    await worker.heard(1)
    other = coming.part.with_suffix(".new")
    other.write_bytes(DATA[:7])
    other.replace(coming.part)
    coming.growths.told(SHA256, 7, 5)
    told = await worker.heard(2)
    assert (told["available"], told["floor"]) == (7, 0)
    assert worker.read == [DATA[:5], DATA[:7]]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await coming.streams.close()


async def test_a_link_in_the_place_of_the_file_is_not_followed(coming: Coming, tmp_path: Path) -> None:
    """The directory belongs to a process without rights."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"of root")
    coming.part.symlink_to(secret)
    worker = Worker()
    task = coming.feed(worker)
    await asyncio.sleep(0)
    coming.growths.told(SHA256, 5, 0)
    await asyncio.wait([task])
    assert isinstance(task.exception(), FailedError)
    assert not worker.read
    await coming.streams.close()


async def test_a_download_that_fails_is_told_to_every_worker(coming: Coming) -> None:
    worker = Worker()
    coming.end.set_exception(NetworkError("no mirror has it"))
    await coming.feed(worker)
    assert worker.told[-1]["failure"] == [NetworkError.dbus_name, "no mirror has it"]


def test_a_stick_that_lacks_an_image_is_no_success() -> None:
    whole = {"images": ["one.iso"], "lacking": [], "generation": 3}
    assert check_lacking(whole) == {"images": ["one.iso"], "generation": 3}
    lacking = {"name": "two.iso", "error": NetworkError.dbus_name, "message": "no mirror has it"}
    with pytest.raises(NetworkError) as caught:
        check_lacking({**whole, "lacking": [lacking]})
    assert "two.iso: no mirror has it" in caught.value.message
    assert "starts one.iso" in caught.value.message
