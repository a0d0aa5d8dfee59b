"""Downloads that a certificate has to vouch for: without a known checksum, and with bad certificates (45)."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from luxusbd.errors import (
    NetworkError,
)
from luxusbd.transfer.partfile import PartFile
from tests.transfer.conftest import DATA, IMPATIENT, SHA256, Client
from tests.transfer.fault_server import (
    FaultServer,
    file,
    half,
    other,
    raw,
    redirect,
    status,
)
from tests.transfer.test_engine import CUT, SIZE
from tests.transfer.test_engine_resume import interrupted


async def test_plain_http_proves_nothing(client: Client, server: FaultServer) -> None:
    outcome = await client.fetch([server.route("/a", file())], sha256="")
    assert isinstance(outcome.error, NetworkError)
    assert "nothing would prove" in outcome.error.message
    assert not server.log


async def test_trust_by_tls(tls_client: Client, tls_server: FaultServer) -> None:
    outcome = await tls_client.fetch([tls_server.route("/a", file())], sha256="")
    assert outcome.content == DATA
    assert outcome.result is not None
    assert outcome.result.sha256 == SHA256


async def test_strong_etag_lets_one_origin_resume(tls_client: Client, tls_server: FaultServer) -> None:
    url = tls_server.route("/a", half("hang"), file())
    kept = await interrupted(tls_client, url, sha256="")
    outcome = await tls_client.fetch([url], sha256="")
    assert outcome.content == DATA
    assert tls_server.log[-1].start == kept


@pytest.mark.parametrize("etag", ["", 'W/"v1"', '"v2"'])
async def test_without_proof_it_begins_anew(tls_client: Client, tls_server: FaultServer, etag: str) -> None:
    url = tls_server.route("/a", half("hang"), file(etag=etag))
    await interrupted(tls_client, url, sha256="")
    outcome = await tls_client.fetch([url], sha256="")
    assert outcome.content == DATA
    assert tls_server.log[-1].start == 0 or tls_server.log[-1].headers["if-range"] == '"v1"'


async def test_two_mirrors_never_mix(tls_client: Client, tls_server: FaultServer) -> None:
    one = tls_server.route("/a", file(change=other, cut=CUT), status("410 Gone"))
    two = tls_server.route("/b", file())
    outcome = await tls_client.fetch([one, two], sha256="", size=SIZE)
    assert outcome.content == DATA


async def test_redirect_down_to_http_is_refused(
    tls_client: Client, tls_server: FaultServer, server: FaultServer
) -> None:
    url = tls_server.route("/a", redirect(server.route("/b", file())))
    outcome = await tls_client.fetch([url], sha256="")
    assert isinstance(outcome.error, NetworkError)
    assert "redirects to plain http" in outcome.error.message
    assert not server.log
    assert (await tls_client.fetch([url])).content == DATA


async def test_17_no_length_and_no_checksum(tls_client: Client, tls_server: FaultServer) -> None:
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    outcome = await tls_client.fetch([tls_server.route("/a", raw(head, DATA[:1000]))], sha256="")
    assert isinstance(outcome.error, NetworkError)
    assert "does not tell the length" in outcome.error.message


async def test_crash_between_rename_and_removal_of_the_claims(tls_client: Client, tls_server: FaultServer) -> None:
    url = tls_server.route("/a", half("hang"), file())
    await interrupted(tls_client, url, sha256="")
    saved: list[bytes] = []
    original = PartFile.finish

    def finish(self: PartFile, size: int) -> None:
        saved.append((tls_client.directory / "file.iso.part.json").read_bytes())
        original(self, size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PartFile, "finish", finish)
        await tls_client.fetch([url], sha256="")
    (tls_client.directory / "file.iso.part.json").write_bytes(saved[0])
    tls_server.log.clear()
    outcome = await tls_client.fetch([url], sha256="")
    assert outcome.content == DATA
    assert not tls_server.log
    assert outcome.left == {"file.iso"}


async def test_empty_file(tls_client: Client, tls_server: FaultServer) -> None:
    empty = hashlib.sha256(b"").hexdigest()
    for path, move in (
        ("/a", file(change=lambda _data: b"")),
        ("/b", status("200 OK")),
    ):
        outcome = await tls_client.fetch([tls_server.route(path, move)], sha256=empty)
        assert outcome.error is None
        assert outcome.content == b""
        (tls_client.directory / "file.iso").unlink()


@pytest.mark.parametrize("which", ["expired", "wrong_host"])
async def test_45_bad_certificate(tls_client: Client, authority, server: FaultServer, which: str) -> None:  # type: ignore[no-untyped-def]
    async with FaultServer(DATA, getattr(authority, which)) as bad:
        url = bad.route("/a", file())
        outcome = await tls_client.fetch([url])
        assert isinstance(outcome.error, NetworkError)
        assert "certificate is not valid" in outcome.error.message
        assert not bad.log
        assert bad.connections <= 1
        outcome = await tls_client.fetch([url, server.route("/b", file())])
        assert outcome.content == DATA


async def test_45_handshake_that_never_ends(tls_client: Client, server: FaultServer) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            pass
        writer.close()

    silent = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with silent:
        url = f"https://127.0.0.1:{silent.sockets[0].getsockname()[1]}/"
        outcome = await tls_client.fetch([url, server.route("/b", file())], limits=IMPATIENT)
    assert outcome.content == DATA
    assert any("no answer within" in one.note for one in outcome.seen)


async def test_45_cut_without_close_notify(tls_client: Client, tls_server: FaultServer) -> None:
    url = tls_server.route("/a", half("reset"), file())
    outcome = await tls_client.fetch([url], sha256="")
    assert outcome.content == DATA
    assert tls_server.log[-1].start > 0
