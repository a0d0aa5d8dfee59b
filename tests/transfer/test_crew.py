"""Several mirrors at one file: who brings what, and what happens when one of them fails."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from luxusbd.errors import NetworkError, VerificationError
from luxusbd.transfer import diskio
from luxusbd.transfer.crew import Crew
from luxusbd.transfer.engine import Downloader
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.mirrors import Mirror
from luxusbd.transfer.model import DownloadProgress, DownloadRequest, PieceHashes, SourceHint, SourceShare, SourceState
from luxusbd.transfer.pace import Control
from luxusbd.transfer.worker import Worker
from tests.transfer.conftest import Client, Outcome
from tests.transfer.fault_server import (
    LATER,
    Connection,
    FaultServer,
    Move,
    Request,
    file,
    flip,
    other,
    raw,
    status,
)
from tests.transfer.mirrored import DATA, KIB, SHA256, SIZE, SMALL, Mirrors, steady


async def fetch(client: Client, urls: Sequence[str], limits: TransferLimits = SMALL, **more: object) -> Outcome:
    return await client.fetch(urls, sha256=SHA256, size=SIZE, limits=limits, **more)  # type: ignore[arg-type]


def brought(outcome: Outcome) -> dict[str, int]:
    return {share.url: share.bytes_done for share in outcome.seen[-1].sources}


def last(outcome: Outcome) -> dict[str, SourceShare]:
    return {share.url: share for share in outcome.seen[-1].sources}


async def test_two_mirrors_share_a_file(client: Client, mirrors: Mirrors) -> None:
    urls = mirrors.route(steady(2_000_000), steady(2_000_000))
    outcome = await fetch(client, urls)
    assert outcome.error is None
    assert outcome.content == DATA
    assert outcome.left == {"file.iso"}
    assert all(count > SIZE // 5 for count in brought(outcome).values()), brought(outcome)
    assert sum(brought(outcome).values()) < SIZE * 1.1
    assert any([share.state for share in one.sources].count(SourceState.SERVING) == 2 for one in outcome.seen)


async def test_race_measures_every_mirror(client: Client, mirrors: Mirrors) -> None:
    urls = mirrors.route(steady(2_000_000), status("404 Not Found"), steady(300_000), steady(20_000_000))
    downloader = Downloader(limits=replace(SMALL, race_span=256 * KIB))
    request = DownloadRequest(tuple(urls), SHA256, SIZE, str(client.directory), "file.iso")
    shares = await downloader.race(request, lambda _progress: None)
    await downloader.close()
    assert [share.url for share in shares] == urls
    assert shares[0].measured > shares[2].measured > 0
    assert shares[3].measured > shares[0].measured
    assert shares[1].measured == 0
    assert "404" in shares[1].reason
    assert not list(client.directory.iterdir())


FAST_MIRROR = steady(3_000_000)


async def test_a_mirror_that_stalls_is_replaced(client: Client, mirrors: Mirrors) -> None:
    urls = mirrors.route(steady(2_000_000, stop=300_000, then="hang"), FAST_MIRROR)
    outcome = await fetch(client, urls, replace(SMALL, stall_timeout=60.0))
    # the stalled mirror is never given up in this time: the other one takes over what it had
    assert outcome.content == DATA
    assert last(outcome)[urls[0]].failures == 0
    assert brought(outcome)[urls[1]] > SIZE - 600_000
    assert sum(brought(outcome).values()) < SIZE + 200_000


async def test_a_mirror_that_dies_costs_nothing_twice(client: Client, mirrors: Mirrors) -> None:
    dying = steady(2_000_000, stop=300_000, then="reset")
    urls = mirrors.route([FAST_MIRROR, dying, status("503 Gone", "Retry-After: 600")], FAST_MIRROR)
    outcome = await fetch(client, urls)
    assert outcome.content == DATA
    share = last(outcome)[urls[0]]
    assert (share.state, share.failures, share.successes) == (SourceState.WAITING, 2, 1)
    assert share.rests > 100
    assert "503" in share.reason
    assert sum(brought(outcome).values()) < SIZE + 200_000


async def test_a_mirror_that_drips_is_left(client: Client, mirrors: Mirrors) -> None:
    urls = mirrors.route(steady(2_000_000, stop=400_000, then="20000"), steady(1_000_000))
    outcome = await fetch(
        client, urls, replace(SMALL, slow_window=1.0, steal_eta=1e9, endgame_bytes=0, endgame_share=0)
    )
    assert outcome.content == DATA
    assert "sent less than" in "".join(one.note for one in outcome.seen)
    assert last(outcome)[urls[0]].failures >= 1


async def test_43_a_burst_does_not_deceive(client: Client, mirrors: Mirrors) -> None:
    """A token bucket: the first bytes come fast, the rest slowly."""
    urls = mirrors.route(steady(20_000_000, stop=300_000, then="40000"), steady(1_500_000))
    outcome = await fetch(client, urls)
    assert outcome.content == DATA
    assert brought(outcome)[urls[1]] > SIZE // 2


async def test_a_mirror_whose_file_changes_loses_what_it_brought(client: Client, mirrors: Mirrors) -> None:
    old = steady(2_000_000, change=other)
    urls = mirrors.route([old, steady(2_000_000, etag='"v2"', date=LATER)], steady(1_000_000))
    outcome = await fetch(client, urls)
    assert outcome.content == DATA
    assert "changed during the download" in "".join(one.note for one in outcome.seen)
    assert last(outcome)[urls[0]].state is SourceState.GIVEN_UP


@pytest.mark.parametrize("liar", [0, 1])
@pytest.mark.parametrize("count", [2, 3])
async def test_7_the_liar_is_named_and_only_its_bytes_come_again(
    client: Client, mirrors: Mirrors, liar: int, count: int
) -> None:
    moves = [steady(2_000_000) for _ in range(count)]
    moves[liar] = steady(2_000_000, change=other)
    urls = mirrors.route(*moves)
    outcome = await fetch(client, urls)
    assert outcome.content == DATA
    share = last(outcome)[urls[liar]]
    assert share.state is SourceState.BANNED
    assert "wrong bytes" in share.reason
    assert [one.state for one in outcome.seen[-1].sources].count(SourceState.BANNED) == 1
    notes = [one.note for one in outcome.seen if "fetched again" in one.note]
    # with two only the hash can tell which of them it is, and the wrong one may be doubted first
    assert len(notes) == 1 or count == 2
    assert urls[liar].split("/")[2].split(":")[0] in notes[-1]
    assert sum(brought(outcome).values()) < SIZE + (1 if count > 2 else 2) * share.bytes_done + 600_000


async def test_35_one_flipped_bit_among_two_mirrors(client: Client, mirrors: Mirrors) -> None:
    urls = mirrors.route(steady(2_000_000), steady(2_000_000, change=lambda data: flip(data, 0.2)))
    outcome = await fetch(client, urls)
    assert outcome.content == DATA
    shares = last(outcome)
    if any("fetched again" in one.note for one in outcome.seen):
        assert shares[urls[1]].state is SourceState.BANNED


def piece_hashes(length: int, data: bytes = DATA) -> PieceHashes:
    values = [hashlib.sha1(data[at : at + length]).hexdigest() for at in range(0, len(data), length)]
    return PieceHashes("sha1", length, tuple(values))


async def fetch_pieces(client: Client, urls: Sequence[str], pieces: PieceHashes) -> Outcome:
    return await fetch(client, urls, pieces=pieces)


async def test_a_wrong_piece_is_found_while_the_rest_comes(client: Client, mirrors: Mirrors) -> None:
    urls = mirrors.route(steady(2_000_000, change=lambda data: flip(data, 0.01)), steady(2_000_000))
    outcome = await fetch_pieces(client, urls, piece_hashes(64 * KIB))
    assert outcome.content == DATA
    assert last(outcome)[urls[0]].state is SourceState.BANNED
    notes = [one.note for one in outcome.seen if "fetched again" in one.note]
    assert len(notes) == 1
    assert "65536 bytes from 0 on" in notes[0]


async def test_wrong_hashes_of_pieces_do_no_harm(client: Client, mirrors: Mirrors) -> None:
    urls = mirrors.route(steady(4_000_000), steady(4_000_000))
    outcome = await fetch_pieces(client, urls, piece_hashes(64 * KIB, other(DATA)))
    assert outcome.content == DATA
    assert SourceState.BANNED not in [share.state for share in outcome.seen[-1].sources]
    assert "not used" in "".join(one.note for one in outcome.seen)
    # hashes of another file are not even tried
    outcome = await fetch_pieces(client, urls, piece_hashes(64 * KIB, DATA[:1000]))
    assert outcome.error is None


async def test_a_disk_that_forgets_is_no_fault_of_a_mirror(
    client: Client, mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = diskio.place_all
    spoiled: list[int] = []

    def place_all(fd: int, parts: Sequence[diskio.Placed], *, summed: bool) -> tuple[int, ...]:
        sums = real(fd, parts, summed=summed)
        if not spoiled:
            spoiled.append(parts[0].span.start)
            os.pwrite(fd, b"spoiled", parts[0].span.start)
        return sums

    monkeypatch.setattr("luxusbd.transfer.keeper.place_all", place_all)
    urls = mirrors.route(steady(3_000_000), steady(3_000_000))
    outcome = await fetch(client, urls)
    assert outcome.content == DATA
    assert "the disk gave back" in "".join(one.note for one in outcome.seen)
    assert all(share.state is not SourceState.BANNED for share in outcome.seen[-1].sources)


async def test_all_mirrors_agree_and_the_catalogue_is_wrong(client: Client, mirrors: Mirrors) -> None:
    urls = mirrors.route(steady(8_000_000), steady(8_000_000))
    outcome = await client.fetch(urls, sha256="0" * 64, size=SIZE, limits=SMALL)
    assert isinstance(outcome.error, VerificationError)
    assert all(url in outcome.error.message for url in urls)
    assert outcome.left == set()
    assert sum(brought(outcome).values()) < 2.5 * SIZE


async def test_eight_mirrors(client: Client, mirrors: Mirrors) -> None:
    rates = [200_000, 1_000_000, 100_000, 800_000, 50_000, 1_200_000, 300_000, 150_000]
    urls = mirrors.route(*map(steady, rates))
    outcome = await fetch(client, urls)
    assert outcome.content == DATA
    assert max([share.state for share in one.sources].count(SourceState.SERVING) for one in outcome.seen) <= 5
    assert sum(brought(outcome).values()) < SIZE * 1.2


async def test_known_mirrors_need_no_race(client: Client, mirrors: Mirrors) -> None:
    urls = mirrors.route(*[steady(1_500_000)] * 4)
    hints = (SourceHint(urls[2], 1_500_000, 0.01, 1.0), SourceHint(urls[0], 10_000, 0.01, 1.0))
    outcome = await fetch(client, urls, hints=hints)
    assert outcome.content == DATA
    assert outcome.seen[0].sources == () or outcome.seen[0].sources[0].url == urls[2]
    first = next(one for one in outcome.seen if one.sources)
    assert [share.url for share in first.sources] == [urls[2]]


async def test_pause_and_resume_with_several(client: Client, mirrors: Mirrors) -> None:
    urls = mirrors.route(steady(2_000_000), steady(2_000_000))
    control = Control()
    pauses = 0

    def watch(progress: DownloadProgress) -> None:
        nonlocal pauses
        if progress.note == "paused":
            pauses += 1
            control.resume()
        elif progress.bytes_done > (pauses + 1) * 1_000_000 and pauses < 3:
            control.pause()

    outcome = await fetch(client, urls, control=control, watch=watch)
    assert outcome.content == DATA
    assert pauses == 3
    assert sum(brought(outcome).values()) < SIZE + 600_000


async def test_no_ranges_at_the_others(client: Client, mirrors: Mirrors) -> None:
    urls = mirrors.route(file(ranges=False), file(ranges=False), steady(4_000_000))
    outcome = await fetch(client, urls)
    assert outcome.content == DATA


async def test_size_is_learned_and_then_shared(client: Client, mirrors: Mirrors) -> None:
    urls = mirrors.route(steady(2_000_000), steady(2_000_000))
    outcome = await client.fetch(urls, sha256=SHA256, size=0, limits=SMALL)
    assert outcome.content == DATA
    assert all(count > SIZE // 5 for count in brought(outcome).values()), brought(outcome)


async def test_the_last_picture_is_sent_after_a_failure_too(client: Client, mirrors: Mirrors) -> None:
    urls = mirrors.route(status("404 Not Found"), status("403 No"), raw(b"garbage\r\n\r\n"))
    outcome = await fetch(client, urls)
    assert isinstance(outcome.error, NetworkError)
    shares = last(outcome)
    assert [shares[url].state is SourceState.SERVING for url in urls] == [False] * 3
    assert all(shares[url].failures >= 1 and shares[url].reason for url in urls)


async def test_a_second_connection_to_the_only_mirror_when_it_is_far(client: Client, mirrors: Mirrors) -> None:
    near, far = steady(1_000_000), later(0.1, steady(1_000_000))
    for move, most in ((near, 1), (far, 2)):
        urls = mirrors.route(move)
        (client.directory / "file.iso").unlink(missing_ok=True)
        open_before = mirrors.servers[0].connections
        outcome = await fetch(client, urls)
        assert outcome.content == DATA
        assert mirrors.servers[0].most_open == most
        assert mirrors.servers[0].connections > open_before


async def test_the_slow_tail_is_asked_for_twice(client: Client, mirrors: Mirrors) -> None:
    """Nothing may be stolen here, so that the end is left to the slow mirror; the fast one has it first."""
    limits = replace(SMALL, steal_min=2**40, range_size=1024 * KIB, range_time=0.0, endgame_bytes=1024 * KIB)
    urls = mirrors.route(steady(4_000_000), steady(400_000))
    outcome = await fetch(client, urls, limits)
    assert outcome.content == DATA
    assert any(request.range == mirrors.servers[0].log[-1].range for request in mirrors.servers[0].log)
    assert sum(brought(outcome).values()) <= SIZE + 1100 * KIB
    assert brought(outcome)[urls[1]] < 900 * KIB


async def test_who_ran_out_of_work_is_called_back_when_somebody_becomes_slow(client: Client, mirrors: Mirrors) -> None:
    """Nothing is stolen, and the slower one asks for nothing twice: it leaves, and then the faster one crawls."""
    limits = replace(SMALL, steal_min=2**40, range_size=1024 * KIB, range_time=0.0, endgame_bytes=1024 * KIB)
    urls = mirrors.route(steady(500_000), steady(1_100_000, crawl=3800 * KIB))
    outcome = await fetch(client, urls, limits)
    assert outcome.content == DATA
    assert [share.failures for share in last(outcome).values()] == [0, 0], "nobody waits for the watchdog"


async def test_a_worker_may_be_dismissed_before_it_began(
    client: Client, mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes are nobody's then, and its place is free."""
    hire = Crew._hire
    hired: list[Worker] = []

    def dismissed(crew: Crew, mirror: Mirror, **how: Any) -> Worker:
        worker = hire(crew, mirror, **how)
        hired.append(worker)
        if len(hired) == 2:
            crew._dismiss(worker)
        return worker

    monkeypatch.setattr(Crew, "_hire", dismissed)
    limits = replace(SMALL, steal_min=2**40, endgame_bytes=0, endgame_share=0.0)
    async with asyncio.timeout(60):
        outcome = await fetch(client, mirrors.route(steady(2_000_000), steady(2_000_000)), limits)
    assert outcome.content == DATA
    assert len(hired) >= 2


async def test_a_better_mirror_takes_the_place_of_the_slowest(client: Client, mirrors: Mirrors) -> None:
    limits = replace(SMALL, crew=2, race=2, probe_interval=0.3)
    urls = mirrors.route(steady(600_000), steady(300_000), steady(2_000_000))
    outcome = await fetch(client, urls, limits)
    assert outcome.content == DATA
    assert brought(outcome)[urls[2]] > SIZE // 3


async def test_connections_of_all_downloads_are_shared(client: Client, mirrors: Mirrors) -> None:
    """One download has all four connections that there are; a second one gets some of them soon."""
    limits = replace(SMALL, total_connections=4)
    urls = mirrors.route(*[steady(300_000)] * 4)
    downloader = Downloader(limits=limits)
    directories = [client.directory / name for name in ("one", "two")]
    seen: list[list[DownloadProgress]] = [[], []]
    tasks = []
    for directory, reports in zip(directories, seen, strict=True):
        directory.mkdir()
        request = DownloadRequest(tuple(urls), SHA256, SIZE, str(directory), "file.iso")
        tasks.append(asyncio.create_task(downloader.download(request, reports.append)))
        while not any(share.state is SourceState.SERVING for one in reports[-1:] for share in one.sources):
            await asyncio.sleep(0.01)
        if directory is directories[0]:
            await asyncio.sleep(1.5)
    assert seen[0][-1].bytes_done < SIZE
    for task in tasks:
        await task
    await downloader.close()
    assert [(directory / "file.iso").read_bytes() == DATA for directory in directories] == [True, True]


async def test_42_a_connection_limit_lowers_ours_and_bans_nobody(client: Client, mirrors: Mirrors) -> None:
    """Two files from the same two mirrors, of which one takes a single connection."""
    active = 0

    async def single(running: FaultServer, request: Request, connection: Connection) -> None:
        nonlocal active
        if active:
            await status("503 One connection only")(running, request, connection)
            return
        active += 1
        try:
            await steady(1_000_000)(running, request, connection)
        finally:
            active -= 1

    urls = mirrors.route(single, steady(1_000_000))
    downloader = Downloader(limits=SMALL)
    tasks = []
    for name in ("one", "two"):
        (client.directory / name).mkdir()
        request = DownloadRequest(tuple(urls), SHA256, SIZE, str(client.directory / name), "file.iso")
        tasks.append(asyncio.create_task(downloader.download(request, lambda _progress: None)))
    await asyncio.gather(*tasks)
    await downloader.close()
    for name in ("one", "two"):
        assert (client.directory / name / "file.iso").read_bytes() == DATA


async def test_race_keeps_what_a_part_lacks(client: Client, mirrors: Mirrors) -> None:
    urls = mirrors.route(steady(1_000_000), steady(500_000), status("404 Not Found"))
    downloader = Downloader(limits=replace(SMALL, race_span=128 * KIB))
    request = DownloadRequest(tuple(urls), SHA256, SIZE, str(client.directory), "file.iso")
    enough = asyncio.Event()
    task = asyncio.create_task(
        downloader.download(request, lambda one: enough.set() if one.bytes_done > 500_000 else None)
    )
    await enough.wait()
    # while it is being downloaded the bytes of a race are dropped
    assert [share.measured > 0 for share in await downloader.race(request, lambda _one: None)] == [True, True, False]
    task.cancel()
    await asyncio.wait((task,))
    before = json.loads((client.directory / "file.iso.part.json").read_text())["downloaded_bytes"]
    assert task.cancelled()
    shares = await downloader.race(request, lambda _one: None)
    state = json.loads((client.directory / "file.iso.part.json").read_text())
    assert [share.bytes_done for share in shares] == [128 * KIB, 128 * KIB, 0]
    assert state["downloaded_bytes"] == before + 256 * KIB
    result = await downloader.download(request, lambda _one: None)
    await downloader.close()
    assert result.resumed_bytes > before
    assert (client.directory / "file.iso").read_bytes() == DATA


def later(seconds: float, then: Move) -> Move:
    """As `then`, but the answer begins that many seconds after the request."""

    async def move(server: FaultServer, request: Request, connection: Connection) -> None:
        await asyncio.sleep(seconds)
        await then(server, request, connection)

    return move
