"""Downloads that go on: what is kept, what is proven of it, and who may write to it."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest

from luxusbd.transfer.engine import Downloader
from luxusbd.transfer.model import DownloadProgress
from luxusbd.transfer.partfile import PartBusyError
from luxusbd.transfer.source import default_session
from tests.transfer.conftest import DATA, FAST, SHA256, Client
from tests.transfer.fault_server import (
    FaultServer,
    file,
    half,
    other,
    raw,
)
from tests.transfer.test_engine import SIZE, request_for


async def interrupted(
    client: Client, url: str, *, sha256: str = SHA256, size: int = 0, more_than: int = 100_000
) -> int:
    """Download from a server that hangs in the middle, cancel there; how many bytes were kept."""
    downloader = Downloader(lambda: default_session(client.context), FAST)
    enough = asyncio.Event()

    def report(progress: DownloadProgress) -> None:
        if progress.bytes_done > more_than:
            enough.set()

    task = asyncio.create_task(
        downloader.download(request_for(client.directory, url, sha256=sha256, size=size), report)
    )
    await enough.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await downloader.close()
    return int(json.loads((client.directory / "file.iso.part.json").read_text())["downloaded_bytes"])


async def test_cancel_keeps_everything_that_came(client: Client, server: FaultServer) -> None:
    url = server.route("/a", half("hang"), file())
    kept = await interrupted(client, url)
    assert kept > 100_000
    state = json.loads((client.directory / "file.iso.part.json").read_text())
    part = (client.directory / "file.iso.part").read_bytes()
    assert part[:kept] == DATA[:kept]
    assert state["url"] == url
    assert state["total_size"] == SIZE
    assert state["checksum_partial"] == {
        "algorithm": "sha256",
        "length": kept,
        "value": hashlib.sha256(DATA[:kept]).hexdigest(),
    }
    assert state["timestamp"].endswith("+00:00")
    outcome = await client.fetch([url])
    assert outcome.content == DATA
    assert outcome.result is not None
    assert outcome.result.resumed_bytes == kept
    assert server.log[-1].headers["range"] == f"bytes={kept}-{SIZE - 1}"
    assert server.log[-1].headers["if-range"] == '"v1"'


async def test_resume_goes_on_at_another_mirror(client: Client, server: FaultServer) -> None:
    kept = await interrupted(client, server.route("/a", half("hang")))
    outcome = await client.fetch([server.route("/b", file(etag='"other"'))])
    assert outcome.content == DATA
    assert server.log[-1].headers["range"] == f"bytes={kept}-{SIZE - 1}"
    assert "if-range" not in server.log[-1].headers


async def test_part_that_was_changed_by_others_is_not_continued(client: Client, server: FaultServer) -> None:
    url = server.route("/a", half("hang"), file())
    await interrupted(client, url)
    part = client.directory / "file.iso.part"
    spoiled = bytearray(part.read_bytes())
    spoiled[1000] ^= 1
    part.write_bytes(spoiled)
    outcome = await client.fetch([url])
    assert outcome.content == DATA
    assert server.log[-1].start == 0
    assert any("not what was saved" in one.note for one in outcome.seen)


@pytest.mark.parametrize(
    "text", [b"", b"\0" * 700, b"{", b"[]", b'{"format": 99}', b"\xff\xfe", b'{"url": "x"}', b"9" * 5_000_000]
)
async def test_damaged_claims_cost_one_interval(client: Client, server: FaultServer, text: bytes) -> None:
    url = server.route("/a", half("hang"), half("hang"), file())
    before = await interrupted(client, url)
    after = await interrupted(client, url, more_than=before)
    (client.directory / "file.iso.part.json").write_bytes(text)
    outcome = await client.fetch([url])
    assert outcome.content == DATA
    # the state before the last one is still there
    assert before <= server.log[-1].start < after


async def test_part_without_claims_begins_anew(client: Client, server: FaultServer) -> None:
    url = server.route("/a", half("hang"), file())
    await interrupted(client, url)
    (client.directory / "file.iso.part.json").unlink()
    (client.directory / "file.iso.part.json.bak").unlink()
    outcome = await client.fetch([url])
    assert outcome.content == DATA
    assert server.log[-1].start == 0


async def test_complete_part_without_claims_is_proven_by_its_checksum(client: Client, server: FaultServer) -> None:
    (client.directory / "file.iso.part").write_bytes(DATA)
    outcome = await client.fetch([server.route("/a", file())], size=SIZE)
    assert outcome.content == DATA
    assert not server.log
    assert outcome.left == {"file.iso"}


async def test_claims_of_another_version_are_not_used(client: Client, server: FaultServer) -> None:
    await interrupted(client, server.route("/old", half("hang")), sha256="0" * 64)
    outcome = await client.fetch([server.route("/a", file())])
    assert outcome.content == DATA
    assert server.asked("/a")[0].start == 0


async def test_finished_file_needs_no_network(client: Client) -> None:
    (client.directory / "file.iso").write_bytes(DATA)
    outcome = await client.fetch(["http://127.0.0.1:1/"])
    assert outcome.result is not None
    assert outcome.left == {"file.iso"}


async def test_wrong_finished_file_is_replaced(client: Client, server: FaultServer) -> None:
    (client.directory / "file.iso").write_bytes(other(DATA))
    outcome = await client.fetch([server.route("/a", file())])
    assert outcome.content == DATA


async def test_second_download_of_the_same_file_is_refused(client: Client, server: FaultServer) -> None:
    started = asyncio.Event()
    url = server.route("/a", half("hang"))
    downloader = Downloader(limits=FAST)
    request = request_for(client.directory, url)
    first = asyncio.create_task(downloader.download(request, lambda _progress: started.set()))
    await started.wait()
    with pytest.raises(PartBusyError):
        await downloader.download(request, lambda _progress: None)
    with pytest.raises(PartBusyError):
        await downloader.discard(request.directory, request.name)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await downloader.discard(request.directory, request.name)
    assert not list(client.directory.iterdir())
    await downloader.close()


async def test_wrong_resumed_half_is_fetched_again_from_the_only_mirror(client: Client, server: FaultServer) -> None:
    # without validators the old half cannot be told from the new one; only the checksum can
    await interrupted(client, server.route("/a", half_of(other(DATA)), file(etag="", date="")))
    outcome = await client.fetch([server.base + "/a"])
    assert outcome.content == DATA
    assert [one.start for one in server.log][-1] == 0


def half_of(data: bytes):  # type: ignore[no-untyped-def]
    head = f"HTTP/1.1 206 P\r\nContent-Range: bytes 0-{SIZE - 1}/{SIZE}\r\nContent-Length: {SIZE}\r\n\r\n"
    return raw(head.encode(), data[: SIZE // 2], then="hang")
