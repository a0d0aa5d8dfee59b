"""Hashes by further algorithms: computed while the file grows, withdrawn with its bytes, and all have to be right."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from luxusbd.errors import FailedError, InvalidArgumentError, LuxusbError, VerificationError
from luxusbd.transfer.codec import request_from_json, request_to_json, result_from_json, result_to_json
from luxusbd.transfer.engine import Downloader
from luxusbd.transfer.model import Digest, DownloadRequest, DownloadResult, PieceHashes
from luxusbd.transfer.source import default_session
from luxusbd.transfer.verifier import FurtherHashes
from tests.transfer.conftest import DATA, FAST, SHA256, Client
from tests.transfer.fault_server import FaultServer, file, flip, half

RIGHT = tuple(Digest(name, hashlib.new(name, DATA).hexdigest()) for name in ("sha512", "blake2b"))
WRONG = "ab" * 64
OLD_SIZE = len(DATA) - 5


async def fetched(
    client: Client, *urls: str, sha256: str = SHA256, digests: tuple[Digest, ...] = RIGHT, also: tuple[str, ...] = (),
    older: tuple[int, ...] = (),
) -> DownloadResult | LuxusbError:  # fmt: skip
    downloader = Downloader(lambda: default_session(client.context), FAST)
    request = DownloadRequest(
        urls, sha256, len(DATA), str(client.directory), "file.iso", digests=digests, also=also, older=older
    )
    try:
        return await downloader.download(request, lambda _progress: None)
    except LuxusbError as error:
        return error
    finally:
        await downloader.close()


def path_of(client: Client) -> Path:
    return client.directory / "file.iso"


async def test_all_hashes_are_checked_and_told(client: Client, server: FaultServer) -> None:
    result = await fetched(client, server.route("/a", file()), digests=RIGHT[:1], also=("blake2b",))
    assert isinstance(result, DownloadResult)
    assert set(result.digests) == set(RIGHT)
    assert result_from_json(result_to_json(result)) == result
    # once it is there, too
    again = await fetched(client, "http://127.0.0.1:9/none")
    assert isinstance(again, DownloadResult)
    assert (set(again.digests), again.url) == (set(RIGHT), "")


@pytest.mark.parametrize("which", ["sha512", "blake2b"])
async def test_one_that_is_wrong_is_named(client: Client, server: FaultServer, which: str) -> None:
    digests = tuple(Digest(one.algorithm, WRONG) if one.algorithm == which else one for one in RIGHT)
    error = await fetched(client, server.route("/a", file()), server.route("/b", file()), digests=digests)
    assert isinstance(error, VerificationError)
    right = next(one for one in RIGHT if one.algorithm == which).value
    assert f"its {which} is {right}, expected {WRONG}" in error.message
    assert "although its sha256" in error.message
    assert "the catalogue is wrong" in error.message
    # no mirror could do better, so that none was asked again
    assert len(server.log) == 1
    assert not list(client.directory.iterdir())


async def test_wrong_bytes_are_told_by_the_sha256(client: Client, server: FaultServer) -> None:
    result = await fetched(client, server.route("/bad", file(change=flip)), server.route("/a", file()))
    assert isinstance(result, DownloadResult)
    assert set(result.digests) == set(RIGHT)
    assert path_of(client).read_bytes() == DATA


async def test_sha512_alone_is_as_good(client: Client, server: FaultServer) -> None:
    """Bytes of several mirrors are mixed, and whose were wrong is found."""
    bad, good = server.route("/bad", file(change=flip)), server.route("/a", file())
    result = await fetched(client, bad, good, sha256="", digests=RIGHT[:1])
    assert isinstance(result, DownloadResult)
    assert (result.sha256, result.digests) == (SHA256, RIGHT[:1])
    assert path_of(client).read_bytes() == DATA
    again = await fetched(client, "http://127.0.0.1:9/none", sha256="", digests=RIGHT[:1])
    assert isinstance(again, DownloadResult)
    assert (again.sha256, again.url) == (SHA256, "")


async def test_a_wrong_sha512_alone_is_named(client: Client, server: FaultServer) -> None:
    error = await fetched(client, server.route("/a", file()), sha256="", digests=(Digest("sha512", WRONG),))
    assert isinstance(error, VerificationError)
    assert f"its sha512 is {RIGHT[0].value}, expected {WRONG}; it came from" in error.message
    assert not list(client.directory.iterdir())


async def test_a_part_of_another_sha512_is_not_gone_on_with(client: Client, server: FaultServer) -> None:
    other = server.route("/other", half("close"), half("close"), half("close"), half("close"), half("close"))
    assert isinstance(await fetched(client, other, sha256="", digests=(Digest("sha512", WRONG),)), LuxusbError)
    state = json.loads((client.directory / "file.iso.part.json").read_text())
    assert state["expected"] == {"algorithm": "sha512", "value": WRONG}
    result = await fetched(client, server.route("/a", file()), sha256="", digests=RIGHT[:1])
    assert isinstance(result, DownloadResult)
    assert result.resumed_bytes == 0


@pytest.mark.parametrize("right", [True, False])
async def test_without_claims_the_sha512_proves_a_whole_part(client: Client, server: FaultServer, right: bool) -> None:
    (client.directory / "file.iso.part").write_bytes(DATA if right else flip(DATA))
    url = server.route("/a", file())
    result = await fetched(client, url, sha256="", digests=RIGHT[:1])
    assert isinstance(result, DownloadResult)
    assert (result.sha256, bool(server.log)) == (SHA256, not right)


async def test_a_finished_file_with_another_hash_is_not_taken(client: Client, server: FaultServer) -> None:
    path_of(client).write_bytes(DATA)
    error = await fetched(client, server.route("/a", file()), digests=(Digest("sha512", WRONG),))
    assert isinstance(error, VerificationError)


async def test_after_an_interruption(client: Client, server: FaultServer) -> None:
    result = await fetched(client, server.route("/a", half("close"), file()))
    assert isinstance(result, DownloadResult)
    assert set(result.digests) == set(RIGHT)


async def test_a_mirror_that_lags_behind_is_no_liar(client: Client, server: FaultServer) -> None:
    old = server.route("/old", file(change=lambda data: data[:OLD_SIZE]))
    error = await fetched(client, old, older=(OLD_SIZE,))
    assert isinstance(error, LuxusbError)
    assert f"still has an older version of the file, of {OLD_SIZE} bytes: it lags behind" in error.message
    assert isinstance(await fetched(client, old, server.route("/a", file()), older=(OLD_SIZE,)), DownloadResult)


def test_the_request_as_json() -> None:
    request = DownloadRequest(
        ("https://a.example/x",), SHA256, 5, "/d", "n", digests=RIGHT, also=("sha512",), older=(3, 4),
        pieces=PieceHashes("sha1", 65536, ("00" * 20,)), window=7,
    )  # fmt: skip
    value = request_to_json(request)
    assert request_from_json(value) == request
    assert request_from_json({key: one for key, one in value.items() if key != "window"}).window == 0
    for changed in (
        {"digests": [{"algorithm": "md5", "value": "00" * 16}]},
        {"digests": [{"algorithm": "sha512", "value": "00" * 32}]},
        {"digests": [{"algorithm": "sha512", "value": "zz" * 64}]},
        {"also": ["md5"]},
        {"also": "sha512"},
        {"older": ["1"]},
        {"window": "7"},
    ):
        with pytest.raises(InvalidArgumentError):
            request_from_json({**value, **changed})


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


async def test_withdrawn_bytes_are_hashed_anew(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    """Random growth and withdrawals, with hashing going on meanwhile: what counts is the content at the end."""
    rng = random.Random(5)
    path = tmp_path / "f"
    path.write_bytes(b"")
    fd = os.open(path, os.O_RDWR)
    further = FurtherHashes(fd, ("sha512", "blake2b"), threads)
    length = 0
    following = asyncio.create_task(further.follow(lambda: length))
    for _ in range(60):
        if rng.random() < 0.4:
            length = rng.randint(0, length)
            further.withdraw(length)
        piece = rng.randbytes(rng.randint(1, 200_000))
        os.pwrite(fd, piece, length)
        length += len(piece)
        await asyncio.sleep(rng.choice((0, 0, 0.01)))
        if rng.random() < 0.2:
            await further.finish(length)
    os.ftruncate(fd, length)
    found = await further.finish(length)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    os.close(fd)
    content = path.read_bytes()
    assert found == tuple(Digest(name, hashlib.new(name, content).hexdigest()) for name in ("sha512", "blake2b"))


async def test_a_file_that_became_shorter(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"12345")
    with path.open("rb") as opened, pytest.raises(FailedError, match="became shorter"):
        await FurtherHashes(opened.fileno(), ("sha512",), threads).finish(6)
