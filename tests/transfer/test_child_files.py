"""The transfer child looks at files: images, sticks, and what is imported."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import sys
import threading
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from luxusbd.children import transfer_files, transfer_threads
from luxusbd.errors import (
    DeviceNotLuxusbError,
    InvalidArgumentError,
    JobStateError,
    LuxusbError,
    MalformedImageError,
)
from luxusbd.transfer.localcopy import LocalFile
from tests.images.builders import build_iso, x86_kernel
from tests.transfer.child import Core
from tests.transfer.conftest import DATA, SHA256
from tests.transfer.test_child import SETUP, SIZE


def take(**changes: object) -> dict[str, object]:
    return {"job": 3, "size": SIZE, "most": SIZE, "reserve": 0, "algorithms": ["sha256"], **changes}


async def test_copy_reports_and_hashes(core: Core, tmp_path: Path) -> None:
    source, destination = tmp_path / "source", tmp_path / "destination"
    source.write_bytes(DATA)
    with source.open("rb") as one, destination.open("w+b") as two:
        result = await core.channel.request("receive", take(), [one.fileno(), two.fileno()])
    assert result == {
        "image": {"size": SIZE, "digests": {"sha256": SHA256}},
        "packing": None,
        "packed": None,
        "member": "",
        "cloned": False,
    }
    assert destination.read_bytes() == DATA
    assert core.events[-1] == {"job": 3, "bytes_done": SIZE, "bytes_total": SIZE}


async def test_hash(core: Core, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    with (tmp_path / "file").open("rb") as one:
        assert await core.channel.request("hash", {}, [one.fileno()]) == {"sha256": SHA256, "size": SIZE}


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """The rooms that look at foreign bytes, played by the test."""
    room = types.SimpleNamespace(recognise=None, contents=None)

    def module(name: str, **members: object) -> None:
        made = types.ModuleType(name)
        vars(made).update(members)
        monkeypatch.setitem(sys.modules, name, made)

    module("luxusbd.images.recognise", recognise=lambda fd, _recipes: room.recognise(fd))
    module("luxusbd.images.codec", recognition_to_json=lambda value: {"recognised": value})
    module(
        "luxusbd.stick.reader",
        read_stick=lambda fd, size: room.contents(fd, size),
        look_at_contents=lambda _fd, size: ((f"{size} bytes of data",), ()),
    )
    module("luxusbd.stick.codec", contents_to_json=lambda value: {"stick": value})
    return room


async def test_inspect(core: Core, foreign: types.SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    foreign.recognise = lambda fd: os.pread(fd, 100, 0).decode()
    with (tmp_path / "file").open("rb") as one:
        assert await core.channel.request("inspect", {}, [one.fileno()]) == {"recognised": "content"}


async def test_explain(core: Core, tmp_path: Path) -> None:
    (tmp_path / "disk.img").write_bytes(b"XFSB".ljust(100_000, b"\0"))
    with (tmp_path / "disk.img").open("rb") as one:
        answer = await core.channel.request("explain", {}, [one.fileno()])
    assert (answer["container"], answer["recognition"]["family"]) == ("filesystem", "disk-image")


async def test_the_administrators_recipes_count_at_the_next_look(core: Core, tmp_path: Path) -> None:
    recipes = tmp_path / "recipes.d"
    recipes.mkdir()
    image = build_iso(tmp_path / "mine.iso", {"only-here": x86_kernel()}, "-R")
    await core.channel.request("configure", {**SETUP, "recipes": str(recipes)})

    async def seen() -> tuple[str, str]:
        with image.open("rb") as one:
            answer = await core.channel.request("inspect", {}, [one.fileno()])
        return answer["recipe"], answer["system"]

    assert (await seen())[0] == ""
    variant = {"id": "main", "method": "linux", "firmware": ["bios"], "kernel": ["/only-here"]}
    fields = {"id": "mine", "version": 1, "family": "mine", "priority": 50, "system": "Mine"}
    document = {**fields, "match": {"all": ["/only-here"]}, "variants": [variant]}
    (recipes / "mine.json").write_text(json.dumps(document))
    (recipes / "torn.json").write_text("{")
    assert await seen() == ("mine", "Mine")
    with pytest.raises(InvalidArgumentError, match="absolute path"):
        await core.channel.request("configure", {**SETUP, "recipes": "recipes.d"})


async def test_inspect_that_never_ends(
    core: Core, foreign: types.SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer_threads, "INSPECT_TIMEOUT", 0.05)
    release = threading.Event()
    foreign.recognise = lambda _fd: release.wait()
    (tmp_path / "file").write_bytes(b"content")
    try:
        with (tmp_path / "file").open("rb") as one:
            with pytest.raises(LuxusbError, match="took longer"):
                await core.channel.request("inspect", {}, [one.fileno()])
    finally:
        release.set()


async def test_look(core: Core, foreign: types.SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    for contents, expected in ((None, None), ("manifest", {"stick": "manifest"})):
        foreign.contents = lambda _fd, _size, contents=contents: contents
        with (tmp_path / "file").open("rb") as one:
            answer = await core.channel.request("look", {"size": 7}, [one.fileno()])
        assert answer == {"contents": expected, "losses": ["7 bytes of data"], "details": [], "foreign": None}


async def test_cancelled_copy_stops(core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from luxusbd.transfer import localcopy

    monkeypatch.setattr(localcopy, "STEP", 1)
    source, destination = tmp_path / "source", tmp_path / "destination"
    source.write_bytes(DATA)
    with source.open("rb") as one, destination.open("w+b") as two:
        asking = asyncio.create_task(core.channel.request("receive", take(), [one.fileno(), two.fileno()]))
        await core.seen(lambda params: params["bytes_done"] > 0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert core.events[-1]["bytes_done"] < SIZE


async def test_a_pipe_is_taken_and_unpacked(process: Core, tmp_path: Path) -> None:
    packed = gzip.compress(DATA)
    read, write = os.pipe()
    with (tmp_path / "destination").open("w+b") as two:
        asking = asyncio.create_task(process.channel.request("receive", take(size=0), [read, two.fileno()]))
        await asyncio.to_thread(os.write, write, packed[: len(packed) // 2])
        await process.seen(lambda params: params["bytes_done"] > 0)
        rest = packed[len(packed) // 2 :]
        while rest:
            rest = rest[await asyncio.to_thread(os.write, write, rest) :]
        os.close(write)
        result = await asking
    os.close(read)
    assert result["packing"] == "gzip"
    assert result["image"] == {"size": SIZE, "digests": {"sha256": SHA256}}
    assert result["packed"]["digests"] == {"sha256": hashlib.sha256(packed).hexdigest()}
    assert process.events[-1] == {"job": 3, "bytes_done": len(packed), "bytes_total": 0}


async def test_a_silent_pipe_can_be_cancelled(process: Core, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, b"x" * 100)
    with (tmp_path / "destination").open("w+b") as two:
        asking = asyncio.create_task(process.channel.request("receive", take(size=0), [read, two.fileno()]))
        await process.seen(lambda params: params["bytes_done"] == 100)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        # nobody but us has the pipe any more, so that its writer is told
        os.close(read)
        async with asyncio.timeout(20):
            while True:
                try:
                    os.write(write, b"x")
                except BrokenPipeError:
                    break
                await asyncio.sleep(0.01)
    os.close(write)


async def test_signatures_are_checked_in_the_process(process: Core, tmp_path: Path) -> None:
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(f"{SHA256}  x.iso\n{'0' * 64}  y.iso\n")
    with sums.open("rb") as one:
        found = await process.channel.request("prove", {"names": ["x.iso"]}, [one.fileno()])
        assert found["sums"] == [{"name": "x.iso", "algorithm": "sha256", "digest": SHA256}]
        params = {"names": ["x.iso"], "signature": True, "key": True}
        with pytest.raises(MalformedImageError, match="no OpenPGP public key"):
            await process.channel.request("prove", params, [one.fileno()] * 3)
    (tmp_path / "large").write_bytes(bytes(5 << 20))
    with (tmp_path / "large").open("rb") as one:
        with pytest.raises(InvalidArgumentError, match="has more than"):
            await process.channel.request("prove", {"names": ["x.iso"]}, [one.fileno()])


@dataclass
class SlowHash:
    """A hash that stands before its second look at the switch until the test lets it go on."""

    gate: threading.Event = field(default_factory=threading.Event)
    said: list[str] = field(default_factory=list)

    def __call__(self, _fd: int, progress: Callable[[int, int], None], stop: Callable[[], bool]) -> LocalFile:
        assert not stop()
        progress(1, 2)
        self.gate.wait()
        self.said.append("asked")
        self.said.append("stopped" if stop() else "went on")
        return LocalFile("0" * 64, 2)


@pytest.fixture
def slow_hash(monkeypatch: pytest.MonkeyPatch) -> SlowHash:
    made = SlowHash()
    monkeypatch.setattr(transfer_files, "hash_file", made)
    return made


async def test_a_hash_stands_still_while_its_job_is_paused(core: Core, slow_hash: SlowHash, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    with (tmp_path / "file").open("rb") as one:
        hashing = asyncio.create_task(core.channel.request("hash", {"job": 5}, [one.fileno()]))
        await core.seen(lambda params: params["bytes_done"] == 1)
        await core.channel.request("control", {"job": 5, "paused": True})
        slow_hash.gate.set()
        for _turn in range(20):
            # enough time for a hash that does not stand still to go on
            await core.channel.request("control", {"job": 0, "bandwidth": 0})
        slow_hash.said.append("resumed")
        await core.channel.request("control", {"job": 5, "paused": False})
        assert (await hashing)["size"] == 2
    assert [word for word in slow_hash.said if word != "asked"] == ["resumed", "went on"]
    with pytest.raises(JobStateError):
        await core.channel.request("control", {"job": 5, "paused": True})


async def test_a_paused_hash_can_be_cancelled(core: Core, slow_hash: SlowHash, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    with (tmp_path / "file").open("rb") as one:
        hashing = asyncio.create_task(core.channel.request("hash", {"job": 5}, [one.fileno()]))
        await core.seen(lambda params: params["bytes_done"] == 1)
        await core.channel.request("control", {"job": 5, "paused": True})
        slow_hash.gate.set()
        hashing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hashing
    while "stopped" not in slow_hash.said:
        await core.channel.request("control", {"job": 0, "bandwidth": 0})


async def test_files_on_a_stick(process: Core, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(1 << 20))
    with (tmp_path / "file").open("rb") as one:
        for method in ("stick-files", "stick-inspect", "stick-hash"):
            with pytest.raises(DeviceNotLuxusbError):
                await process.channel.request(method, {"job": 1, "size": 1 << 20, "name": "a.iso"}, [one.fileno()])
        with pytest.raises(InvalidArgumentError):
            await process.channel.request("stick-inspect", {"size": 1 << 20, "name": 3}, [one.fileno()])
