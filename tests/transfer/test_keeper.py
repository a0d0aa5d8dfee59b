"""What is written, saved and withdrawn of one partial file, below the level of a download."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from luxusbd.transfer import diskio, keeper
from luxusbd.transfer.keeper import PartKeeper
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.model import DownloadRequest
from luxusbd.transfer.partfile import PartFile
from luxusbd.transfer.partstate import Validators
from luxusbd.transfer.segments import Span, SpanSet
from luxusbd.transfer.writer import BatchWriter
from tests.transfer.conftest import FAST

URL = "http://mirror.test/f"
KIB = 1024


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[PartKeeper]:
    """A file of unknown size of which nothing is there."""
    with ThreadPoolExecutor(4) as disk, ThreadPoolExecutor(1) as hasher:
        part = PartFile.open(str(tmp_path), "f")
        one = PartKeeper(part, DownloadRequest((URL,), "", 0, str(tmp_path), "f"), FAST, disk, hasher)
        one.origins.set_validators(URL, Validators(URL))
        yield one
        part.close()


async def write(kept: PartKeeper, data: bytes, at: int) -> None:
    written = kept.submit(URL, [data], Span(at, at + len(data)))
    await written.future
    kept.wrote(written)


async def test_what_was_withdrawn_is_not_saved_over_and_over(kept: PartKeeper) -> None:
    """A checkpoint was due when everything was thrown away: the loop must come to other things."""
    await write(kept, bytes(FAST.sync_after), 0)
    await kept.clear()
    kept.origins.set_validators(URL, Validators(URL))
    checkpoints = asyncio.ensure_future(kept.run())
    await asyncio.sleep(0)
    assert not checkpoints.done()
    await write(kept, b"new", 0)
    while kept.part.load_claims() is None:
        await asyncio.sleep(0.01)
    checkpoints.cancel()
    await asyncio.gather(checkpoints, return_exceptions=True)


async def test_a_checkpoint_of_nothing_new_rests(kept: PartKeeper) -> None:
    """It was due, and somebody else made it."""
    await write(kept, bytes(FAST.sync_after), 0)
    await kept.checkpoint()
    kept._dirty.set()
    kept._due.set()
    checkpoints = asyncio.ensure_future(kept.run())
    await asyncio.sleep(0)
    assert not checkpoints.done()
    checkpoints.cancel()
    await asyncio.gather(checkpoints, return_exceptions=True)


async def test_what_came_while_an_old_batch_was_written_is_written_too(
    kept: PartKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time is up while the disk is busy, and its server falls silent."""
    go_on = threading.Event()

    def slow(fd: int, parts: Any, *, summed: bool) -> tuple[int, ...]:
        go_on.wait(30)
        return diskio.place_all(fd, parts, summed=summed)

    monkeypatch.setattr(keeper, "place_all", slow)
    limits: TransferLimits = replace(FAST, batch_min=64 * KIB, batch_max=128 * KIB)
    writer = BatchWriter(kept, limits, URL, lambda: None)
    await writer.add(bytes(64 * KIB), 0)
    await writer.add(b"last", 64 * KIB)
    await asyncio.sleep(5 * limits.batch_age)
    go_on.set()
    async with asyncio.timeout(30):
        while kept.written.prefix < 64 * KIB + 4:
            await asyncio.sleep(0.01)
    assert os.pread(kept.part.fd, 8, 64 * KIB) == b"last"
    await writer.flush()


async def test_whoever_copies_the_beginning_hears_how_far_it_went_back(kept: PartKeeper) -> None:
    await write(kept, bytes(40), 0)
    await write(kept, bytes(10), 60)
    assert kept.take_prefix() == (40, 0)
    await write(kept, bytes(20), 40)
    assert kept.take_prefix() == (70, 40)
    await kept.drop(SpanSet((Span(20, 30),)))
    await write(kept, bytes(10), 20)
    assert kept.take_prefix() == (70, 20), "it is as long as before, and not the same"
    await kept.clear()
    kept.origins.set_validators(URL, Validators(URL))
    await write(kept, bytes(5), 0)
    assert kept.take_prefix() == (5, 0)


async def test_another_run_begins_at_what_it_could_prove(tmp_path: Path) -> None:
    """The run before told of bytes that it never saved."""
    with ThreadPoolExecutor(4) as disk, ThreadPoolExecutor(1) as hasher:
        for told in ((40, 0), (40, 40)):
            part = PartFile.open(str(tmp_path), "f")
            one = PartKeeper(part, DownloadRequest((URL,), "", 100, str(tmp_path), "f"), FAST, disk, hasher)
            await one.load()
            one.origins.set_validators(URL, Validators(URL))
            if not one.loaded:
                await write(one, bytes(40), 0)
                await one.checkpoint()
            assert one.take_prefix() == told
            part.close()


@pytest.fixture
async def passing(tmp_path: Path) -> AsyncIterator[PartKeeper]:
    """A file of 1000 KiB of which 100 KiB may be on the disk."""
    with ThreadPoolExecutor(4) as disk, ThreadPoolExecutor(1) as hasher:
        part = PartFile.open(str(tmp_path), "f")
        request = DownloadRequest((URL,), "", 1000 * KIB, str(tmp_path), "f", window=100 * KIB, also=("sha512",))
        one = PartKeeper(part, request, FAST, disk, hasher)
        await one.begin()
        one.origins.set_validators(URL, Validators(URL))
        yield one
        part.close()


def holes(kept: PartKeeper) -> int:
    """Bytes at the start that read as zeros."""
    content = os.pread(kept.part.fd, 1000 * KIB, 0)
    return len(content) - len(content.lstrip(b"\0"))


async def test_nothing_between_two_marks_is_given_back(passing: PartKeeper) -> None:
    await write(passing, b"x" * 60 * KIB, 0)
    passing.checked = lambda: 25 * KIB
    for mark in (10, 20, 30):
        passing.window.release(mark * KIB, passing.window.epoch)
    await passing.give_back()
    assert holes(passing) == passing.window.punched == 20 * KIB
    await passing.give_back()
    assert holes(passing) == 20 * KIB
    passing.checked = lambda: passing.written.prefix
    await passing.give_back()
    assert holes(passing) == 30 * KIB


async def test_a_mark_on_bytes_that_came_anew_is_void(passing: PartKeeper) -> None:
    """Whoever told it has to read them again."""
    await write(passing, b"x" * 60 * KIB, 0)
    passing.window.release(20 * KIB, passing.window.epoch)
    passing.window.release(50 * KIB, passing.window.epoch)
    await passing.drop(SpanSet((Span(30 * KIB, 40 * KIB),)))
    await write(passing, b"y" * 10 * KIB, 30 * KIB)
    await passing.give_back()
    assert holes(passing) == 20 * KIB
    passing.window.release(50 * KIB, passing.window.epoch)
    await passing.give_back()
    assert holes(passing) == 50 * KIB


async def test_what_is_gone_cannot_be_withdrawn(passing: PartKeeper) -> None:
    await write(passing, b"x" * 60 * KIB, 0)
    passing.window.release(20 * KIB, passing.window.epoch)
    await passing.give_back()
    await passing.drop(SpanSet((Span(20 * KIB, 30 * KIB),)))
    assert passing.take_prefix() == (20 * KIB, 0)
    with pytest.raises(keeper.LostBytesError):
        await passing.drop(SpanSet((Span(19 * KIB, 21 * KIB),)))
    assert passing.written.prefix == 20 * KIB
    await passing.clear()
    passing.origins.set_validators(URL, Validators(URL))
    await write(passing, b"x" * 60 * KIB, 0)
    await passing.checkpoint()
    assert passing.part.load_claims() is None, "it is known that it cannot be taken up"
    assert (passing.window.punched, holes(passing)) == (0, 0)


async def test_a_complete_file_keeps_its_bytes(passing: PartKeeper) -> None:
    """They tell why, if it turns out wrong."""
    await write(passing, b"x" * 1000 * KIB, 0)
    passing.window.release(1000 * KIB, passing.window.epoch)
    await passing.give_back()
    assert holes(passing) == 0
    assert passing.part.load_claims() is not None


async def test_claims_of_a_window_are_of_what_was_checked(passing: PartKeeper) -> None:
    """The hash in them must not run ahead of what may come anew."""
    passing.checked = lambda: 25 * KIB
    await write(passing, b"x" * 60 * KIB, 0)
    await passing.checkpoint()
    state = passing.part.load_claims()
    assert state is not None
    assert state.done == SpanSet((Span(0, 25 * KIB),))
    assert state.prefix_length == 25 * KIB
