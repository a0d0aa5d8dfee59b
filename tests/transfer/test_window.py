"""Downloads of which only a window lies on the disk, while somebody reads them."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from luxusbd.errors import FailedError, InvalidArgumentError, NotEnoughSpaceError
from luxusbd.transfer import diskio
from luxusbd.transfer.engine import Downloader
from luxusbd.transfer.model import DownloadProgress, DownloadRequest, DownloadStage
from tests.transfer.conftest import Client
from tests.transfer.fault_server import FaultServer, file
from tests.transfer.mirrored import DATA, SHA256, SIZE, SMALL, Mirrors, steady
from tests.transfer.passing import Reader, passed

KIB = 1024
WINDOW = 512 * KIB
UNIT = 64 * KIB
SLACK = 192 * KIB
"""What comes while the hashes catch up with the last mark, and the blocks at both ends."""
ORDER = {"sha256": SHA256, "size": SIZE, "window": WINDOW}
PLAIN = replace(SMALL, stall_timeout=10.0, slow_window=10.0, header_timeout=10.0, window_patience=600.0)
LATER = 40.0
"""Seconds in which a mirror that is not read from would be blamed three times."""
ALONE = replace(PLAIN, share_min=2 * SIZE)
"""One mirror at a time."""


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("window", "unit"), [(WINDOW, UNIT), (24 * KIB, 8 * KIB), (24 * KIB, 24 * KIB)])
async def test_a_file_passes_through(reader: Reader, mirrors: Mirrors, count: int, window: int, unit: int) -> None:
    """Also where the window is smaller than what a mirror is given at a time, or is tried by."""
    reader.unit = unit
    urls = mirrors.route(*[steady(3_000_000)] * count)
    outcome = await passed(reader, urls, SMALL, **{**ORDER, "window": window})
    assert outcome.error is None
    assert outcome.result is not None
    assert (outcome.result.sha256, outcome.result.size) == (SHA256, SIZE)
    assert outcome.result.path == str(reader.directory / "file.iso")
    assert reader.content == DATA
    assert reader.seen[-1].prefix == SIZE
    assert outcome.left == frozenset()
    assert reader.farthest <= window
    assert 0 < reader.most <= window + SLACK
    assert not reader.backs


@pytest.mark.parametrize("size", [0, SIZE])
async def test_a_file_without_ranges_passes_through(reader: Reader, mirrors: Mirrors, size: int) -> None:
    """It comes in one answer, which nobody can cut."""
    urls = mirrors.route(file(ranges=False))
    outcome = await passed(reader, urls, SMALL, **{**ORDER, "size": size})
    assert outcome.error is None
    assert reader.content == DATA
    assert outcome.left == frozenset()
    assert reader.farthest <= WINDOW
    assert reader.most <= WINDOW + SLACK
    # two for ranges, as long as nobody knew that it has none, and then the whole
    assert len(mirrors.servers[0].log) <= 3


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("count", [1, 3])
async def test_nobody_is_blamed_while_the_stick_is_waited_for(
    reader: Reader, mirrors: Mirrors, ranges: bool, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.telling = False
    urls = mirrors.route(*[file(ranges=ranges)] * count)
    task = asyncio.create_task(passed(reader, urls, PLAIN if ranges else ALONE, **ORDER))
    await reader.until(lambda one: one.stage is DownloadStage.WAIT_FOR_STICK)
    assert reader.seen[-1].prefix == WINDOW
    asked, told = sum(mirrors.bytes_asked()), len(reader.seen)
    # the clock is put on and nobody sleeps: with limits this long a machine that stands still blames nobody
    loop = asyncio.get_running_loop()
    right = loop.time
    monkeypatch.setattr(loop, "time", lambda: right() + LATER)
    await asyncio.sleep(0.2)
    assert (sum(mirrors.bytes_asked()), len(reader.seen)) == (asked, told), "it does nothing meanwhile"
    reader.released(WINDOW // 8)
    await asyncio.sleep(0.1)
    assert len(reader.seen) == told, "an eighth of the window is not worth a request"
    reader.telling = True
    reader.tell(SIZE)
    outcome = await task
    assert outcome.error is None
    assert reader.content == DATA
    assert reader.farthest <= WINDOW
    for share in reader.seen[-1].sources:
        assert not share.failures
    reasons = {share.reason for share in reader.seen[-1].sources}
    assert not any("sent nothing" in reason or "less than" in reason for reason in reasons)


async def test_a_little_has_to_do_after_a_while(reader: Reader, mirrors: Mirrors) -> None:
    """A reader that keeps the last part of what it has until more is there."""
    reader.telling = False
    limits = replace(SMALL, window_patience=0.05)
    task = asyncio.create_task(passed(reader, mirrors.route(file()), limits, **ORDER))
    await reader.until(lambda one: one.stage is DownloadStage.WAIT_FOR_STICK)
    reader.released(UNIT)
    await reader.until(lambda one: one.prefix == WINDOW + UNIT)
    reader.telling = True
    reader.tell(SIZE)
    assert (await task).error is None
    assert reader.content == DATA


async def test_a_mirror_that_hangs_up_meanwhile_is_asked_again(reader: Reader, mirrors: Mirrors) -> None:
    reader.telling = False
    urls = mirrors.route([file(ranges=False, cut=SIZE // 2), file(ranges=False)])
    task = asyncio.create_task(passed(reader, urls, ALONE, **ORDER))
    await reader.until(lambda one: one.stage is DownloadStage.WAIT_FOR_STICK)
    reader.telling = True
    reader.tell(SIZE)
    outcome = await task
    assert outcome.error is None
    assert reader.content == DATA
    assert not reader.backs
    assert [share.failures for share in reader.seen[-1].sources] == [0]
    assert len(mirrors.servers[0].log) == 2


async def test_pause_and_resume_while_the_stick_is_waited_for(reader: Reader, mirrors: Mirrors) -> None:
    reader.telling = False
    task = asyncio.create_task(passed(reader, mirrors.route(steady(3_000_000)), PLAIN, **ORDER))
    await reader.until(lambda one: one.stage is DownloadStage.WAIT_FOR_STICK)
    reader.control.pause()
    await reader.until(lambda one: one.note == "paused")
    reader.telling = True
    reader.tell(SIZE)
    waiting = len(reader.seen)
    reader.control.resume()
    assert (await task).error is None
    assert reader.content == DATA
    assert len(reader.seen) > waiting


@pytest.mark.parametrize("holed", [True, False])
async def test_cancelled(reader: Reader, mirrors: Mirrors, client: Client, holed: bool) -> None:
    """Once bytes are gone the part is; before that it is like any other."""
    reader.telling = holed
    urls = mirrors.route(steady(3_000_000))
    task = asyncio.create_task(passed(reader, urls, PLAIN, **ORDER))
    if holed:
        await reader.until(lambda _one: reader.control.window.punched > WINDOW)
        assert {path.name for path in reader.directory.iterdir()} == {"file.iso.part"}
    else:
        await reader.until(lambda one: one.stage is DownloadStage.WAIT_FOR_STICK)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    left = {path.name for path in reader.directory.iterdir()}
    assert left - {"file.iso.part.json.bak"} == (set() if holed else {"file.iso.part", "file.iso.part.json"})
    outcome = await client.fetch(urls, sha256=SHA256, size=SIZE, limits=SMALL)
    assert outcome.content == DATA
    assert outcome.result is not None
    assert outcome.result.resumed_bytes == (0 if holed else WINDOW)


async def test_a_part_of_a_plain_run_is_taken_up(reader: Reader, mirrors: Mirrors) -> None:
    """The space that was set aside for all of it is given back, and what is there may be more than the window."""
    limits = replace(SMALL, checkpoint_bytes=64 * KIB)
    downloader = Downloader(limits=limits)
    request = DownloadRequest(tuple(mirrors.route(steady(3_000_000))), SHA256, SIZE, str(reader.directory), "file.iso")
    enough = asyncio.Event()

    def report(progress: DownloadProgress) -> None:
        if progress.bytes_done > 2 * WINDOW:
            enough.set()

    task = asyncio.create_task(downloader.download(request, report))
    await enough.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await downloader.close()
    part = reader.directory / "file.iso.part"
    kept = json.loads((reader.directory / "file.iso.part.json").read_text())["downloaded_bytes"]
    assert part.stat().st_blocks * 512 >= SIZE
    outcome = await passed(reader, mirrors.route(steady(3_000_000)), SMALL, **ORDER)
    assert outcome.result is not None
    assert outcome.result.resumed_bytes == kept
    assert reader.content == DATA
    assert outcome.left == frozenset()
    # the part occupied all of it when the reader looked first, before anything was fetched
    assert all(first <= kept + SLACK for first in reader.occupied if first < SIZE)
    assert reader.occupied[-1] <= WINDOW + SLACK


async def test_a_file_that_is_there_stays(reader: Reader, mirrors: Mirrors) -> None:
    (reader.directory / "file.iso").write_bytes(DATA)
    outcome = await passed(reader, mirrors.route(file()), SMALL, **ORDER)
    assert outcome.result is not None
    assert outcome.result.url == ""
    assert outcome.left == {"file.iso"}
    assert not any(mirrors.bytes_asked())


def _no_holes(code: int) -> Callable[..., int]:
    def fallocate(*_args: object) -> int:
        ctypes.set_errno(code)
        return -1

    return fallocate


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (errno.EOPNOTSUPP, "leave the image on the host instead"),
        (errno.ENOSYS, "leave the image on the host instead"),
        (errno.EIO, "the disk failed"),
    ],
)
async def test_a_filesystem_without_holes_is_found_at_once(
    reader: Reader, mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, code: int, text: str
) -> None:
    monkeypatch.setattr(diskio, "_fallocate", _no_holes(code))
    outcome = await passed(reader, mirrors.route(file()), SMALL, **ORDER)
    assert isinstance(outcome.error, FailedError)
    assert text in outcome.error.message
    assert outcome.left == frozenset()
    assert not any(mirrors.bytes_asked())


async def test_a_window_cannot_be_negative(reader: Reader) -> None:
    outcome = await passed(reader, ["http://127.0.0.1:9/f"], SMALL, **{**ORDER, "window": -1})
    assert isinstance(outcome.error, InvalidArgumentError)


@pytest.mark.root
async def test_only_the_window_has_to_fit(tmp_path: Path, server: FaultServer) -> None:
    server.data = DATA
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=768k", "tmpfs", str(tmp_path)], check=True)
    reader = Reader(tmp_path, UNIT)
    try:
        url = server.route("/f", file())
        filler = tmp_path / "filler"
        filler.write_bytes(bytes(400 * KIB))
        outcome = await passed(reader, [url], SMALL, **ORDER)
        assert isinstance(outcome.error, NotEnoughSpaceError)
        assert "file.iso needs 512.0 KiB more" in outcome.error.message
        assert not server.log
        filler.unlink()
        outcome = await passed(reader, [url], SMALL, **ORDER)
        assert outcome.error is None
        assert reader.content == DATA
    finally:
        reader.close()
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_holes(tmp_path: Path) -> None:
    with (tmp_path / "f").open("w+b") as opened:
        opened.write(b"x" * 3 * diskio.MIB)
        opened.flush()
        fd = opened.fileno()
        before = diskio.allocated(fd)
        diskio.punch(fd, 0, diskio.MIB + 100)
        assert os.fstat(fd).st_size == 3 * diskio.MIB
        assert os.pread(fd, 200, diskio.MIB) == bytes(100) + b"x" * 100
        assert before - diskio.allocated(fd) >= diskio.MIB
        diskio.punch(fd, diskio.MIB, 2 * diskio.MIB)
        assert before - diskio.allocated(fd) >= 2 * diskio.MIB
        with pytest.raises(OSError, match="Invalid argument"):
            diskio.punch(fd, 5, 5)
