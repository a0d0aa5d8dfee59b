"""Downloads as a whole: resuming, pausing, limits, locks, trust, and what is left in the directory."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from luxusbd.errors import (
    FailedError,
    InvalidArgumentError,
    NetworkError,
    NotEnoughSpaceError,
    VerificationError,
)
from luxusbd.transfer.engine import Downloader
from luxusbd.transfer.model import DownloadProgress, DownloadRequest, DownloadStage
from luxusbd.transfer.pace import Control
from tests.transfer.conftest import DATA, FAST, SHA256, Client
from tests.transfer.fault_server import (
    FaultServer,
    drip,
    file,
    half,
    only_with_query,
    other,
    raw,
    redirect,
    status,
)

SIZE = len(DATA)
CUT = 200_000


def request_for(directory: Path, *urls: str, sha256: str = SHA256, size: int = 0) -> DownloadRequest:
    return DownloadRequest(tuple(urls), sha256, size, str(directory), "file.iso")


async def test_pause_closes_connections_and_resume_goes_on(client: Client, server: FaultServer) -> None:
    control = Control()
    url = server.route("/a", half("hang"), file())
    kept = 0

    def watch(progress: DownloadProgress) -> None:
        nonlocal kept
        if progress.note == "paused":
            kept = json.loads((client.directory / "file.iso.part.json").read_text())["downloaded_bytes"]
            control.resume()
        elif progress.bytes_done > 100_000 and not kept:
            control.pause()

    outcome = await client.fetch([url], control=control, watch=watch)
    assert outcome.content == DATA
    assert kept > 100_000
    assert [one.start for one in server.log] == [0, kept]


async def test_pause_while_waiting_for_the_network(client: Client) -> None:
    control = Control()
    paused = asyncio.Event()
    limits = replace(FAST, backoff_first=1000.0, backoff_cap=1000.0)

    def watch(progress: DownloadProgress) -> None:
        if progress.stage is DownloadStage.WAIT:
            paused.set() if progress.note == "paused" else control.pause()

    task = asyncio.create_task(
        client.fetch([f"http://127.0.0.1:{closed_port()}/"], control=control, watch=watch, limits=limits)
    )
    await paused.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_bandwidth_slows_down_and_can_be_lifted(client: Client, server: FaultServer) -> None:
    control = Control(50_000)
    chunks: list[int] = []

    def watch(progress: DownloadProgress) -> None:
        if progress.stage is DownloadStage.TRANSFER:
            chunks.append(progress.bytes_done)
            control.set_bandwidth(0)

    # at 50 000 bytes a second the first batch of 16 KiB comes in pieces of 5000; then the rest comes at once
    outcome = await client.fetch([server.route("/a", file())], control=control, watch=watch)
    assert outcome.content == DATA
    assert chunks[0] < 2 * FAST.batch_min


async def test_53_server_is_done_long_before_us(client: Client, server: FaultServer) -> None:
    head = f"HTTP/1.1 206 P\r\nContent-Range: bytes 0-{SIZE - 1}/{SIZE}\r\nContent-Length: {SIZE}\r\n\r\n"
    outcome = await client.fetch([server.route("/a", raw(head.encode(), DATA))], bandwidth=600_000)
    assert outcome.content == DATA
    assert len(server.log) == 1


async def test_29_expired_signature_is_resolved_anew(client: Client, server: FaultServer) -> None:
    server.route("/signed", only_with_query("sig=1", cut=CUT), only_with_query("sig=2"))
    url = server.route("/a", redirect(f"{server.base}/signed?sig=1"), redirect("/signed?sig=2", "307 Temporary"))
    outcome = await client.fetch([url])
    assert outcome.content == DATA
    assert [one.path for one in server.log] == ["/a", "/signed?sig=1", "/a", "/signed?sig=2"]
    assert server.log[-1].headers["if-range"] == '"v1"'


async def test_44_redirector_to_a_stale_mirror(client: Client, server: FaultServer) -> None:
    server.route("/fresh", file(cut=CUT), file())
    server.route("/stale", file(change=lambda data: data[:1000], etag='"old"'))
    url = server.route("/a", redirect("/fresh"), redirect("/stale"), redirect("/fresh"))
    outcome = await client.fetch([url])
    assert outcome.content == DATA
    assert [one.path for one in server.log] == ["/a", "/fresh", "/a", "/stale", "/a", "/fresh"]
    assert "if-range" not in server.asked("/stale")[0].headers


async def test_44_etags_of_two_mirrors_are_not_compared(client: Client, server: FaultServer) -> None:
    server.route("/one", file(cut=CUT, etag='"1"', date=""))
    server.route("/two", file(etag='"2"', date=""))
    url = server.route("/a", redirect("/one"), redirect("/two"))
    outcome = await client.fetch([url])
    assert outcome.content == DATA
    assert server.asked("/two")[0].headers["range"] == f"bytes={CUT}-{SIZE - 1}"
    assert "if-range" not in server.asked("/two")[0].headers


async def test_42_connection_limit_of_a_host(tmp_path: Path, server: FaultServer) -> None:
    active = 0
    refused = 0

    async def one_at_a_time(running: FaultServer, request, connection) -> None:  # type: ignore[no-untyped-def]
        nonlocal active, refused
        if active:
            refused += 1
            await status("503 One connection only")(running, request, connection)
            return
        active += 1
        try:
            await drip(1_000_000)(running, request, connection)
        finally:
            active -= 1

    url = server.route("/a", one_at_a_time)
    downloader = Downloader(limits=FAST)
    requests = []
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        requests.append(request_for(tmp_path / name, url))
    await asyncio.gather(*(downloader.download(request, lambda _progress: None) for request in requests))
    await downloader.close()
    assert refused >= 1
    for request in requests:
        assert Path(request.directory, "file.iso").read_bytes() == DATA


class Names(AbstractResolver):
    """Name service for the tests: `dead.test` does not exist, `two.test` has an address where nobody listens too."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host == "dead.test":
            raise OSError(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for address, kind in (("::1", socket.AF_INET6), ("127.0.0.1", socket.AF_INET))
        ]

    async def close(self) -> None:
        pass


def named_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Names()), auto_decompress=False)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_46_47_names(tmp_path: Path, server: FaultServer) -> None:
    port = server.base.rpartition(":")[2]
    server.route("/a", file())
    downloader = Downloader(named_session, FAST)
    notes: list[str] = []
    request = request_for(tmp_path, "http://dead.test/a", f"http://two.test:{port}/a")
    await downloader.download(request, lambda progress: notes.append(progress.note))
    await downloader.close()
    assert (tmp_path / "file.iso").read_bytes() == DATA
    assert any("dead.test could not be resolved" in note for note in notes)


async def test_waits_for_the_network_and_then_goes_on(client: Client, server: FaultServer) -> None:
    port = closed_port()
    stages: list[DownloadStage] = []

    async def later() -> None:
        while DownloadStage.WAIT not in stages:
            await asyncio.sleep(0)
        forwarded = await asyncio.start_server(forward, "127.0.0.1", port)
        async with forwarded:
            await asyncio.Event().wait()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE + DATA)
        await writer.drain()
        writer.close()

    network = asyncio.create_task(later())
    limits = replace(FAST, network_attempts=1000)
    outcome = await client.fetch(
        [f"http://127.0.0.1:{port}/"], limits=limits, watch=lambda one: stages.append(one.stage)
    )
    network.cancel()
    await asyncio.gather(network, return_exceptions=True)
    assert outcome.content == DATA


async def test_gives_up_with_what_each_mirror_did(client: Client, server: FaultServer) -> None:
    port = closed_port()
    urls = [f"http://127.0.0.1:{port}/x", server.route("/a", status("404 Not Found")), "ftp://127.0.0.1/y"]
    outcome = await client.fetch(urls)
    assert isinstance(outcome.error, NetworkError)
    lines = outcome.error.message.splitlines()[1:]
    assert lines[0] == f"  {urls[0]}: could not be reached: {os.strerror(errno.ECONNREFUSED)} (5 times)"
    assert lines[1] == f"  {urls[1]}: answered 404 Not Found"
    assert "neither http nor https" in lines[2]
    assert outcome.left == set()


async def test_27_nobody_makes_us_wait_for_ever(client: Client, server: FaultServer) -> None:
    waits = asyncio.Event()

    def watch(progress: DownloadProgress) -> None:
        if "waiting 3600 s" in progress.note:
            waits.set()

    url = server.route("/a", status("503 Busy", "Retry-After: 99999999"))
    task = asyncio.create_task(client.fetch([url], watch=watch))
    await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_no_network_at_all(client: Client) -> None:
    outcome = await client.fetch([f"http://127.0.0.1:{closed_port()}/x"])
    assert isinstance(outcome.error, NetworkError)
    assert "check the network" in outcome.error.message
    assert [one for one in outcome.seen if one.stage is DownloadStage.WAIT]


async def test_too_large_is_refused_before_the_network(client: Client, server: FaultServer) -> None:
    outcome = await client.fetch([server.route("/a", file())], size=2**60)
    assert isinstance(outcome.error, NotEnoughSpaceError)
    assert "TiB" in outcome.error.message
    assert not server.log
    assert outcome.left == set()


@pytest.mark.root
@pytest.mark.parametrize("full", ["at once", "in the middle"])
async def test_54_disk_full(tmp_path: Path, server: FaultServer, full: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(tmp_path)], check=True)
    try:
        filler = tmp_path / "filler"
        client = Client(tmp_path)
        if full == "at once":
            filler.write_bytes(b"x" * 200_000)
            outcome = await client.fetch([server.route("/a", file())], size=SIZE)
            assert not server.log
        else:
            # of unknown size, so that nothing can be set aside
            from tests.transfer.fault_server import chunked

            filler.write_bytes(b"x" * 200_000)
            outcome = await client.fetch([server.route("/a", chunked())])
        assert isinstance(outcome.error, NotEnoughSpaceError)
        filler.unlink()
        outcome = await client.fetch([server.route("/b", file())])
        assert outcome.content == DATA
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": "../x"}, "plain file name"),
        ({"name": ".."}, "plain file name"),
        ({"name": "x" * 300}, "longer"),
        ({"urls": ()}, "no address"),
        ({"sha256": "abc"}, "no sha256"),
        ({"size": -1}, "negative"),
        ({"directory": "relative"}, "absolute"),
    ],
)
async def test_senseless_requests(tmp_path: Path, change: dict[str, object], text: str) -> None:
    downloader = Downloader(limits=FAST)
    request = replace(request_for(tmp_path, "http://127.0.0.1:1/"), **change)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match=text):
        await downloader.download(request, lambda _progress: None)
    await downloader.close()


async def test_strange_files_in_the_way(client: Client, server: FaultServer) -> None:
    url = server.route("/a", file())
    (client.directory / "file.iso").mkdir()
    outcome = await client.fetch_error([url])
    assert "no regular file" in outcome
    (client.directory / "file.iso").rmdir()
    (client.directory / "file.iso.part").symlink_to("/etc/passwd")
    assert "cannot be opened" in await client.fetch_error([url])
    (client.directory / "file.iso.part").unlink()
    os.mkfifo(client.directory / "file.iso.part")
    assert "no regular file" in await client.fetch_error([url])


async def test_directory_that_is_not_there(tmp_path: Path) -> None:
    downloader = Downloader(limits=FAST)
    with pytest.raises(FailedError, match="cannot be opened"):
        await downloader.download(request_for(tmp_path / "no", "http://127.0.0.1:1/"), lambda _progress: None)
    await downloader.close()


async def test_verification_error_names_both(client: Client, server: FaultServer) -> None:
    urls = [server.route("/a", file(change=other)), server.route("/b", file(change=other))]
    outcome = await client.fetch(urls)
    assert isinstance(outcome.error, VerificationError)
    assert all(url in outcome.error.message for url in urls)
    assert outcome.left == set()
