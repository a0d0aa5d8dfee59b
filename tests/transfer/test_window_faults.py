"""What turns out wrong when some of the bytes are gone already."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from luxusbd.errors import VerificationError
from luxusbd.transfer.diskio import Hash, hash_span
from luxusbd.transfer.model import Digest, DownloadStage, PieceHashes, SourceHint
from tests.transfer.conftest import Client
from tests.transfer.fault_server import LATER, FaultServer, Move, file, flip, other
from tests.transfer.mirrored import DATA, KIB, SHA256, SIZE, SMALL, Mirrors, steady
from tests.transfer.passing import Passed, Reader, passed
from tests.transfer.test_window import ALONE, ORDER, SLACK, UNIT, WINDOW

PIECE = 96 * KIB


def pieces(length: int = PIECE) -> PieceHashes:
    parts = [DATA[start : start + length] for start in range(0, SIZE, length)]
    return PieceHashes("sha256", length, tuple(hashlib.sha256(part).hexdigest() for part in parts))


def came_through(reader: Reader, outcome: Passed, window: int = WINDOW) -> None:
    assert outcome.error is None
    assert outcome.result is not None
    assert outcome.result.sha256 == SHA256
    assert reader.content == DATA
    assert outcome.left == frozenset()
    assert reader.farthest <= window
    assert reader.seen[-1].prefix == SIZE


def banned(reader: Reader) -> set[str]:
    return {share.url for share in reader.seen[-1].sources if share.state == "banned"}


async def test_a_piece_that_is_wrong_is_all_that_comes_again(reader: Reader, mirrors: Mirrors) -> None:
    urls = mirrors.route(*[steady(2_000_000)] * 2, steady(2_000_000, change=flip_everywhere))
    outcome = await passed(reader, urls, SMALL, pieces=pieces(), **ORDER)
    came_through(reader, outcome)
    assert reader.most <= WINDOW + PIECE + SLACK
    assert min(reader.backs, default=SIZE) > 0, "never from the start"
    assert sum(share.bytes_done for share in reader.seen[-1].sources) < 2 * SIZE
    assert urls[2] in banned(reader)


def flip_everywhere(data: bytes) -> bytes:
    return bytes(byte ^ 1 for byte in data)


@pytest.mark.parametrize("length", [2 * WINDOW, 50 * KIB])
async def test_pieces_that_do_not_fit_the_window(reader: Reader, mirrors: Mirrors, length: int) -> None:
    """One larger than the window is kept until it is checked."""
    outcome = await passed(reader, mirrors.route(steady(9_000_000)), SMALL, pieces=pieces(length), **ORDER)
    came_through(reader, outcome)
    assert reader.most <= WINDOW + length + SLACK


async def test_pieces_that_are_checked_slowly(
    reader: Reader, mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there and not checked yet is waited for: the disk need not hold more because of it."""

    def slowly(fd: int, running: Hash, start: int, end: int) -> int:
        time.sleep(0.03)
        return hash_span(fd, running, start, end)

    monkeypatch.setattr("luxusbd.transfer.pieces.hash_span", slowly)
    outcome = await passed(reader, mirrors.route(steady(9_000_000)), SMALL, pieces=pieces(50 * KIB), **ORDER)
    came_through(reader, outcome)
    assert reader.most <= WINDOW + 50 * KIB + SLACK


async def test_wrong_bytes_of_one_mirror_of_three(reader: Reader, mirrors: Mirrors) -> None:
    """Only the hash of all tells, and then it is too late to ask whose they were: who brought most is left out."""
    urls = mirrors.route(steady(300_000), steady(300_000), steady(4_000_000, change=lambda data: flip(data, 0.05)))
    hints = tuple(SourceHint(url, rate) for url, rate in zip(urls, (300_000, 300_000, 4_000_000), strict=True))
    outcome = await passed(reader, urls, SMALL, hints=hints, **ORDER)
    came_through(reader, outcome)
    assert reader.backs == [0]
    assert any("once more from the start" in one.note for one in reader.seen)


@pytest.mark.parametrize("count", [1, 3])
async def test_wrong_at_every_mirror(reader: Reader, mirrors: Mirrors, count: int) -> None:
    urls = mirrors.route(*[steady(9_000_000, change=other)] * count)
    outcome = await passed(reader, urls, SMALL, **ORDER)
    assert isinstance(outcome.error, VerificationError)
    assert "is not the expected file" in outcome.error.message
    assert outcome.left == frozenset()
    assert reader.backs[0] == 0
    assert len(reader.backs) <= 2, "once more, and what is removed in the end"


async def test_a_window_that_never_moved_asks_whose_bytes_are_wrong(reader: Reader, mirrors: Mirrors) -> None:
    """As without a window: everything is still there to be compared."""
    urls = mirrors.route(file(change=flip), file())
    reader.telling = False
    outcome = await passed(reader, urls, ALONE, **{**ORDER, "window": 2 * SIZE})
    came_through(reader, outcome, 2 * SIZE)
    assert banned(reader) == {urls[0]}
    assert not reader.control.window.holed


async def test_further_hashes_are_of_all_bytes(reader: Reader, mirrors: Mirrors) -> None:
    digests = tuple(Digest(name, hashlib.new(name, DATA).hexdigest()) for name in ("sha512", "blake2b"))
    outcome = await passed(
        reader, mirrors.route(steady(9_000_000)), SMALL, digests=digests[:1], also=("blake2b",), **ORDER
    )
    came_through(reader, outcome)
    assert outcome.result is not None
    assert set(outcome.result.digests) == set(digests)


@pytest.mark.parametrize("count", [1, 2])
async def test_a_file_that_changes_meanwhile(reader: Reader, mirrors: Mirrors, count: int) -> None:
    """What came from the mirror before is worth nothing, and some of it is gone: all begins anew."""
    old = file(change=other, etag='"old"')
    new = file(etag='"new"', date=LATER)
    moves: list[Move | Sequence[Move]] = [[old, old, old, new], [file()]]
    outcome = await passed(reader, mirrors.route(*moves[:count]), ALONE, **ORDER)
    came_through(reader, outcome)
    assert reader.backs == [0]


@pytest.mark.parametrize("again", [False, True])
async def test_nothing_proves_that_the_rest_is_of_the_same_file(
    reader: Reader, tls_server: FaultServer, tls_client: Client, again: bool
) -> None:
    """No hash and no strong ETag: a connection that breaks costs everything, and twice is too often."""
    cut = file(etag="", cut=SIZE // 2)
    tls_server.data = DATA
    urls = [tls_server.route("/f", *([cut] if again else [cut, file(etag="")]))]
    request = {**ORDER, "sha256": "", "size": 0}
    reader.context = tls_client.context
    outcome = await passed(reader, urls, SMALL, **request)
    if again:
        assert isinstance(outcome.error, VerificationError)
        assert "no mirror can prove" in outcome.error.message
        assert outcome.left == frozenset()
    else:
        came_through(reader, outcome)
        assert reader.backs == [0]


async def test_a_mark_of_the_try_before_is_ignored(reader: Reader, mirrors: Mirrors) -> None:
    urls = mirrors.route(steady(9_000_000, change=other), steady(9_000_000))
    task = asyncio.create_task(passed(reader, urls, ALONE, **ORDER))
    await reader.until(lambda one: "once more from the start" in one.note)
    reader.telling = False
    await reader.until(lambda one: bool(reader.backs) and bool(one.prefix))
    now = reader.seen[-1].epoch
    reader.control.release(SIZE, now)
    reader.control.release(len(reader.content), now - 1)
    await reader.until(lambda one: one.stage is DownloadStage.WAIT_FOR_STICK)
    assert reader.seen[-1].prefix == WINDOW
    reader.telling = True
    reader.tell(SIZE)
    came_through(reader, await task)
    assert reader.backs == [0]


async def test_units_of_any_size(memory_path: Path, mirrors: Mirrors) -> None:
    for number, unit in enumerate((1000, UNIT, WINDOW // 3, WINDOW)):
        reader = Reader(memory_path, unit, f"{number}.iso")
        try:
            came_through(reader, await passed(reader, mirrors.route(*[steady(30_000_000)] * 3), SMALL, **ORDER))
        finally:
            reader.close()
