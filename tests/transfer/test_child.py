"""The transfer child as a process of its own, spoken to as the core does."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import json
import os
import signal
import socket
import sys
import threading
import types
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from luxusbd.children import transfer_files, transfer_progress, transfer_threads
from luxusbd.children.protocol import Channel, Params
from luxusbd.children.transfer_main import TransferChild
from luxusbd.errors import (
    AlreadyExistsError,
    DeviceNotLuxusbError,
    FailedError,
    InvalidArgumentError,
    JobStateError,
    LuxusbError,
    MalformedImageError,
    NetworkError,
)
from luxusbd.resources import import_root
from luxusbd.transfer.codec import progress_from_json, request_to_json, result_from_json, sources_from_json
from luxusbd.transfer.localcopy import LocalFile
from luxusbd.transfer.model import DownloadProgress, DownloadRequest, DownloadStage
from luxusbd.transfer.network import Network, to_json
from luxusbd.transfer.network import Proxy as ProxyAt
from tests.images.builders import build_iso, x86_kernel
from tests.transfer.conftest import DATA, FAST, SHA256
from tests.transfer.fault_server import FaultServer, file, half, status
from tests.transfer.proxies import Proxy

SIZE = len(DATA)


@dataclass
class Core:
    """Our end of the channel."""

    channel: Channel
    pid: int = 0
    events: list[Params] = field(default_factory=list)
    waiting: list[tuple[Callable[[Params], bool], asyncio.Event]] = field(default_factory=list)

    def on_event(self, name: str, params: Params) -> None:
        assert name == "progress"
        self.events.append(params)
        for wanted, event in self.waiting:
            if wanted(params):
                event.set()

    async def seen(self, wanted: Callable[[Params], bool]) -> None:
        event = asyncio.Event()
        self.waiting.append((wanted, event))
        if not any(wanted(params) for params in self.events):
            await event.wait()


@asynccontextmanager
async def connected(sock: socket.socket) -> AsyncIterator[Core]:
    core = Core(None)  # type: ignore[arg-type]
    core.channel = Channel(sock, on_event=core.on_event)
    running = asyncio.create_task(core.channel.run())
    try:
        yield core
    finally:
        core.channel.close()
        await running


@pytest.fixture
async def process() -> AsyncIterator[Core]:
    """A real child process."""
    ours, theirs = socket.socketpair()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "luxusbd.children.transfer_main", str(theirs.fileno())),
        pass_fds=(theirs.fileno(),),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(import_root())},
    )
    theirs.close()
    async with connected(ours) as core:
        core.pid = child.pid
        yield core
    async with asyncio.timeout(20):
        assert await child.wait() == 0


@pytest.fixture
async def core(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> AsyncIterator[Core]:
    """A child in this process, with short limits."""
    monkeypatch.setattr(transfer_progress, "PROGRESS_INTERVAL", 0.01)
    ours, theirs = socket.socketpair()
    # patient but where a test is about the end of patience
    limits = FAST if "started_twice" in request.node.name else replace(FAST, lock_patience=10.0)
    child = asyncio.create_task(TransferChild(theirs, limits).run())
    async with connected(ours) as core:
        yield core
    await child


def order(directory: Path, url: str, job: int = 1, **changes: object) -> dict[str, Any]:
    request = DownloadRequest((url,), SHA256, SIZE, str(directory), "x.iso")
    return {"job": job, **request_to_json(request), **changes}


async def test_download_in_a_process(process: Core, server: FaultServer, memory_path: Path) -> None:
    result = result_from_json(await process.channel.request("download", order(memory_path, server.route("/a", file()))))
    assert result.path == str(memory_path / "x.iso")
    assert result.sha256 == SHA256
    assert (memory_path / "x.iso").read_bytes() == DATA
    assert (memory_path / "x.iso").stat().st_mode & 0o777 == 0o600
    last = progress_from_json(process.events[-1])
    assert process.events[-1]["job"] == 1
    assert replace(last, sources=()) == DownloadProgress(DownloadStage.VERIFY, SIZE, SIZE, 0, "")
    (share,) = last.sources
    assert (share.bytes_done, share.successes, share.failures) == (SIZE, 1, 0)


async def test_race_in_a_process(process: Core, server: FaultServer, memory_path: Path) -> None:
    urls = [server.route("/a", file()), server.route("/b", status("404 Not Found"))]
    found = await process.channel.request("race", order(memory_path, urls[0], urls=urls))
    good, bad = sources_from_json(found["sources"])
    assert (good.url, good.successes, good.reason) == (urls[0], 1, "")
    assert good.measured > 0
    assert (bad.url, bad.measured) == (urls[1], 0)
    assert "404" in bad.reason
    assert list(memory_path.iterdir()) == []
    told = progress_from_json(process.events[-1])
    assert [share.url for share in told.sources] == urls


@pytest.mark.root
async def test_the_process_holds_nothing(process: Core, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with (tmp_path / "file").open("rb") as file_:
        await process.channel.request("hash", {}, [file_.fileno()])
    text = Path(f"/proc/{process.pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in text.splitlines())
    assert {fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert fields["NoNewPrivs"] == "1"
    assert fields["Umask"] == "0077"
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    assert "Max core file size        0                    0" in limits
    # every thread, not only the one that dropped them
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        assert "CapEff:\t0000000000000000" in (task / "status").read_text()


@pytest.mark.parametrize("how", ["channel", "SIGTERM", "SIGINT"])
async def test_the_process_ends_in_good_order(server: FaultServer, memory_path: Path, how: str) -> None:
    ours, theirs = socket.socketpair()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "luxusbd.children.transfer_main", str(theirs.fileno())),
        pass_fds=(theirs.fileno(),),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(import_root())},
    )
    theirs.close()
    async with connected(ours) as core:
        asking = asyncio.create_task(
            core.channel.request("download", order(memory_path, server.route("/a", half("hang"))))
        )
        await core.seen(lambda one: one["bytes_done"] > 100_000)
        if how != "channel":
            child.send_signal(getattr(signal, how))
            await asyncio.wait((asking,))
    with pytest.raises(LuxusbError):
        await asking
    async with asyncio.timeout(20):
        assert await child.wait() == 0
    # and it put on the disk what it had
    state = json.loads((memory_path / "x.iso.part.json").read_text())
    assert state["downloaded_bytes"] > 100_000


async def test_the_process_dies_with_its_parent(tmp_path: Path) -> None:
    # the parent is killed: no channel is closed in an orderly way as long as we hold the other end
    ours, theirs = socket.socketpair()
    script = (
        "import os, subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-P', '-m', 'luxusbd.children.transfer_main', sys.argv[1]],"
        " pass_fds=[int(sys.argv[1])])\n"
        "print(p.pid, flush=True)\n"
        "time.sleep(1000)\n"
    )
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, str(theirs.fileno())),
        pass_fds=(theirs.fileno(),),
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(import_root())},
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    descriptor = os.pidfd_open(pid)
    async with connected(ours) as core:
        (tmp_path / "file").write_bytes(b"x")
        with (tmp_path / "file").open("rb") as file_:
            await core.channel.request("hash", {}, [file_.fileno()])
        parent.kill()
        await parent.wait()
        gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(descriptor, gone.set)
        async with asyncio.timeout(20):
            await gone.wait()
        asyncio.get_running_loop().remove_reader(descriptor)
    os.close(descriptor)
    theirs.close()


async def test_cancelled_request_keeps_the_part(core: Core, server: FaultServer, memory_path: Path) -> None:
    asking = asyncio.create_task(
        core.channel.request("download", order(memory_path, server.route("/a", half("hang"), file())))
    )
    await core.seen(lambda one: one["bytes_done"] > 100_000)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    # at once, while the first one is still putting its bytes on the disk
    result = await core.channel.request("download", order(memory_path, server.base + "/a"))
    assert result["resumed_bytes"] > 100_000
    assert (memory_path / "x.iso").read_bytes() == DATA


async def test_cancelled_and_discarded_at_once(core: Core, server: FaultServer, memory_path: Path) -> None:
    asking = asyncio.create_task(core.channel.request("download", order(memory_path, server.route("/a", half("hang")))))
    await core.seen(lambda one: one["bytes_done"] > 100_000)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await core.channel.request("discard", {"directory": str(memory_path), "name": "x.iso"})
    assert not list(memory_path.iterdir())


async def test_a_job_that_runs_is_not_started_twice(core: Core, server: FaultServer, memory_path: Path) -> None:
    asking = asyncio.create_task(core.channel.request("download", order(memory_path, server.route("/a", half("hang")))))
    await core.seen(lambda one: one["bytes_done"] > 100_000)
    with pytest.raises(AlreadyExistsError):
        await core.channel.request("download", order(memory_path, server.base + "/a"))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_pause_and_resume(core: Core, server: FaultServer, memory_path: Path) -> None:
    asking = asyncio.create_task(
        core.channel.request("download", order(memory_path, server.route("/a", half("hang"), file()), job=7))
    )
    await core.seen(lambda one: one["bytes_done"] > 100_000)
    await core.channel.request("control", {"job": 7, "paused": True})
    await core.seen(lambda one: one["note"] == "paused")
    await core.channel.request("control", {"job": 7, "paused": False, "bandwidth": 10**9})
    assert (await asking)["size"] == SIZE


async def test_bandwidth_of_all_jobs(core: Core, server: FaultServer, memory_path: Path) -> None:
    await core.channel.request("control", {"job": 0, "bandwidth": 40_000})
    asking = asyncio.create_task(core.channel.request("download", order(memory_path, server.route("/a", file()))))
    await core.seen(lambda one: one["stage"] == "transfer")
    assert core.events[-1]["bytes_done"] < SIZE
    await core.channel.request("control", {"job": 0, "bandwidth": 0})
    await asking


async def test_who_becomes_urgent_while_it_waits_gets_the_next_connection(
    core: Core, server: FaultServer, memory_path: Path
) -> None:
    await core.channel.request("configure", {**SETUP, "connections": 1})
    paths = ["/first", "/second", "/urgent"]
    urls = [server.route(paths[0], half("hang"), file()), *(server.route(path, file()) for path in paths[1:])]
    asking = []
    for job, url in enumerate(urls, 1):
        directory = memory_path / str(job)
        directory.mkdir()
        asking.append(asyncio.create_task(core.channel.request("download", order(directory, url, job=job))))
        # a job that waits for its connection has said so
        await core.seen(lambda one, job=job: one["job"] == job and (job > 1 or one["bytes_done"] > 100_000))  # type: ignore[misc]
    await core.channel.request("control", {"job": 3, "priority": 10})
    await core.channel.request("control", {"job": 1, "paused": True})
    await asyncio.gather(*asking[1:])
    assert [request.path for request in server.log] == ["/first", "/urgent", "/second"]
    await core.channel.request("control", {"job": 1, "paused": False})
    await asking[0]


SETUP = {"bandwidth": 0, "host_connections": 1, "connections": 2, "network": to_json(Network())}


async def test_it_is_configured_before_the_first_download(
    core: Core, server: FaultServer, memory_path: Path, tmp_path: Path
) -> None:
    async with Proxy({"mirror.test": int(server.base.rpartition(":")[2])}) as proxy:
        network = to_json(Network(http=ProxyAt(proxy.url)))
        await core.channel.request("configure", {**SETUP, "bandwidth": 40_000, "network": network})
        server.route("/a", file())
        asking = asyncio.create_task(core.channel.request("download", order(memory_path, "http://mirror.test/a")))
        await core.seen(lambda one: one["stage"] == "transfer")
        assert core.events[-1]["bytes_done"] < SIZE
        with pytest.raises(JobStateError, match="downloads run already"):
            await core.channel.request("configure", SETUP)
        await core.channel.request("control", {"job": 0, "bandwidth": 0})
        assert (await asking)["size"] == SIZE
        assert len(proxy.log) == 1


async def test_all_downloads_rest_at_once(core: Core, server: FaultServer, memory_path: Path) -> None:
    """When the answer is there, so are the bytes; what is asked for meanwhile waits."""
    asking = asyncio.create_task(
        core.channel.request("download", order(memory_path, server.route("/a", half("hang"), file()), job=7))
    )
    await core.seen(lambda one: one["bytes_done"] > 100_000)
    await core.channel.request("control", {"job": 0, "paused": True})
    claims = await core.channel.request("claims", {"directory": str(memory_path), "name": "y.iso"})
    assert claims == {"total": 0, "done": 0}
    (state,) = memory_path.glob("*.part.json")
    assert json.loads(state.read_text())["downloaded_bytes"] > 100_000
    (memory_path / "other").mkdir()
    second = asyncio.create_task(
        core.channel.request("download", order(memory_path / "other", server.route("/b", file()), job=8))
    )
    await core.seen(lambda one: one["job"] == 8 and one["note"] == "paused")
    assert server.asked("/b") == []
    await core.channel.request("control", {"job": 0, "paused": False})
    assert (await asking)["size"] == SIZE
    assert (await second)["size"] == SIZE


async def test_what_a_part_claims(core: Core, server: FaultServer, memory_path: Path) -> None:
    request = order(memory_path, server.route("/a", half("hang"), file()))
    asking = asyncio.create_task(core.channel.request("download", request))
    await core.seen(lambda one: one["bytes_done"] > 100_000)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    where = {"directory": request["directory"], "name": request["name"]}
    found = None
    while found is None:
        # the cancelled one is still putting its bytes on the disk
        with contextlib.suppress(FailedError):
            found = await core.channel.request("claims", where)
    (state,) = memory_path.glob("*.part.json")
    assert found == {"total": SIZE, "done": json.loads(state.read_text())["downloaded_bytes"]}
    assert found["done"] > 100_000
    state.write_text("{")
    (memory_path / f"{state.name}.bak").unlink(missing_ok=True)
    assert await core.channel.request("claims", where) == {"total": 0, "done": 0}
    # asking leaves nothing behind where there is nothing
    await core.channel.request("claims", {"directory": str(memory_path), "name": "z.iso"})
    assert not list(memory_path.glob("z.iso*"))


async def test_discard(core: Core, server: FaultServer, memory_path: Path) -> None:
    (memory_path / "x.iso.part").write_bytes(b"x")
    (memory_path / "x.iso.part.json").write_bytes(b"x")
    await core.channel.request("discard", {"directory": str(memory_path), "name": "x.iso"})
    assert not list(memory_path.iterdir())


async def test_errors_keep_their_class_and_the_last_progress_comes_first(
    core: Core, server: FaultServer, memory_path: Path
) -> None:
    with pytest.raises(NetworkError, match="404"):
        await core.channel.request("download", order(memory_path, server.route("/a", status("404 No"))))
    assert "404" in core.events[-1]["note"]


@pytest.mark.parametrize(
    ("method", "params", "kind", "text"),
    [
        ("download", {"job": 1, "urls": "x"}, InvalidArgumentError, "list of addresses"),
        ("download", {"job": True}, InvalidArgumentError, "whole number"),
        (
            "download",
            {"job": 1, "urls": ["http://a"], "sha256": "", "size": "1", "directory": "/", "name": "x"},
            InvalidArgumentError,
            "size",
        ),
        ("control", {"job": 5, "paused": True}, JobStateError, "not being downloaded"),
        ("control", {"job": 5, "bandwidth": -1}, InvalidArgumentError, "negative"),
        ("control", {"job": 5, "paused": 1}, InvalidArgumentError, "true or false"),
        ("discard", {"directory": 1}, InvalidArgumentError, "discard needs"),
        ("configure", {**SETUP, "connections": 0}, InvalidArgumentError, "at least 1"),
        ("configure", {**SETUP, "network": 1}, InvalidArgumentError, "must be an object"),
        ("configure", {**SETUP, "network": {}}, InvalidArgumentError, "where a list has to be"),
        ("configure", {**SETUP, "network": {**to_json(Network()), "http": 1}}, InvalidArgumentError, "dict has to be"),
        ("claims", {"name": 1}, InvalidArgumentError, "claims needs"),
        ("claims", {"directory": "/", "name": "../x"}, InvalidArgumentError, "no plain file name"),
        ("hash", {}, InvalidArgumentError, "1 descriptors are needed, 0 came"),
        ("receive", {"job": 1}, InvalidArgumentError, "2 descriptors"),
        ("prove", {"names": ["x"]}, InvalidArgumentError, "1 descriptors are needed, 0 came"),
        ("prove", {"names": ["x"], "signature": True, "key": True}, InvalidArgumentError, "3 descriptors"),
    ],
)
async def test_senseless_requests(
    core: Core, method: str, params: dict[str, object], kind: type[LuxusbError], text: str
) -> None:
    with pytest.raises(kind, match=text):
        await core.channel.request(method, params)


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
        assert answer == {"contents": expected, "losses": ["7 bytes of data"], "details": []}


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
