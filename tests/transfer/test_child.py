"""The transfer child as a process of its own, spoken to as the core does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from luxusbd.errors import (
    AlreadyExistsError,
    FailedError,
    InvalidArgumentError,
    JobStateError,
    LuxusbError,
    NetworkError,
)
from luxusbd.resources import import_root
from luxusbd.transfer.codec import progress_from_json, request_to_json, result_from_json, sources_from_json
from luxusbd.transfer.model import DownloadProgress, DownloadRequest, DownloadStage
from luxusbd.transfer.network import Network, to_json
from luxusbd.transfer.network import Proxy as ProxyAt
from tests.transfer.child import Core, connected
from tests.transfer.conftest import DATA, SHA256
from tests.transfer.fault_server import FaultServer, file, half, status
from tests.transfer.proxies import Proxy

SIZE = len(DATA)


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
    assert replace(last, sources=()) == DownloadProgress(DownloadStage.VERIFY, SIZE, SIZE, 0, "", prefix=SIZE)
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


async def test_what_readers_have_is_told_by_control(core: Core, server: FaultServer, memory_path: Path) -> None:
    asking = asyncio.create_task(
        core.channel.request("download", order(memory_path, server.route("/a", file()), job=7, window=100_000))
    )
    await core.seen(lambda one: one["stage"] == "wait-for-stick")
    assert core.events[-1]["prefix"] == 100_000
    part = (memory_path / "x.iso.part").open("rb")
    content = b""
    with part:
        while len(content) < SIZE:
            had = len(content)
            await core.seen(lambda one, had=had: one["prefix"] > had)  # type: ignore[misc]
            content += part.read(core.events[-1]["prefix"] - len(content))
            now = core.events[-1]["epoch"]
            if len(content) == SIZE:
                await core.seen(lambda one: one["stage"] == "hand-over")
                assert not asking.done(), "it waits for its readers"
            await core.channel.request("control", {"job": 7, "released": len(content), "epoch": now})
        result = result_from_json(await asking)
    assert content == DATA
    assert (result.sha256, result.path) == (SHA256, str(memory_path / "x.iso"))
    assert core.events[-1]["prefix"] == SIZE
    assert list(memory_path.iterdir()) == []
    with pytest.raises(JobStateError, match="not being downloaded"):
        await core.channel.request("control", {"job": 7, "released": SIZE, "epoch": 0})


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
        # the first is at work; the others say first that they begin, and only then that they wait for a connection
        await core.seen(
            lambda one, job=job: (
                one["job"] == job and (one["stage"] == "wait-for-connection" or one["bytes_done"] > 100_000)
            )  # type: ignore[misc]
        )
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
        ("control", {"job": 5, "released": 1, "epoch": 0}, JobStateError, "not being downloaded"),
        ("control", {"job": 5, "released": "1"}, InvalidArgumentError, "whole number"),
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
