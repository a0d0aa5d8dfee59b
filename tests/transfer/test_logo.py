"""Logos as the transfer process fetches them, from servers that behave and servers that do not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from luxusbd.config import NetworkConfig
from luxusbd.errors import InterruptedJobError, NetworkError, NoLogoError
from luxusbd.jobs.checking import sealed_room
from luxusbd.transfer import network as ways
from luxusbd.transfer.logo import Logo, logo_from_json, logo_to_json
from luxusbd.transfer.picture import MAX_PICTURE, PictureKind, read_picture
from luxusbd.transfer.smallmodel import Version
from tests.harness.maker import Maker
from tests.harness.pictures import SVG, chunk, png
from tests.harness.tls import Authority
from tests.transfer.child import Core
from tests.transfer.fault_server import FaultServer, Move, chunked, raw, redirect, status

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture
async def told(core: Core, authority: Authority) -> Core:
    """A child that trusts the servers here."""
    network = ways.to_json(ways.load(NetworkConfig(ca_file=str(authority.file))))
    await core.channel.request(
        "configure", {"bandwidth": 0, "host_connections": 1, "connections": 2, "network": network}
    )
    return core


@pytest.fixture
def room() -> Iterator[int]:
    with sealed_room("logo", MAX_PICTURE) as fd:
        yield fd


async def ask(core: Core, url: str, room: int, known: Version | None = None) -> Logo:
    known = known or Version()
    params = {"url": url, "etag": known.etag, "last_modified": known.last_modified}
    return logo_from_json(await core.channel.request("logo", params, [room]), known)


async def test_a_logo_comes_and_is_asked_for_again(told: Core, maker: Maker, room: int) -> None:
    url = maker.put("logo.png", png(further=chunk(b"tEXt", b"x\0y")))
    found = await ask(told, url, room)
    assert (found.kind, os.pread(room, found.size, 0)) == (PictureKind.PNG, png())
    assert found.version.etag
    again = await ask(told, url, room, found.version)
    assert again == Logo(None, 0, found.version)
    assert [one.status for one in maker.asked] == [200, 304]
    maker.put("logo.png", SVG)
    changed = await ask(told, url, room, found.version)
    assert changed.kind is PictureKind.SVG
    assert os.pread(room, changed.size, 0) == read_picture(SVG).data


@pytest.mark.parametrize(
    ("move", "error", "said"),
    [
        (status("404 Not Found"), NoLogoError, "404"),
        (status("410 Gone"), NoLogoError, "410"),
        (status("200 OK", body=b"<html>Sign in</html>"), NoLogoError, "web page"),
        (status("200 OK", "Content-Type: image/png", body=b"no picture"), NoLogoError, "is no picture"),
        (status("200 OK", body=png()[:-20]), NoLogoError, "damaged"),
        (status("200 OK", body=b""), NoLogoError, "is no picture"),
        (status("200 OK", body=bytes(MAX_PICTURE + 1)), NetworkError, "more than 1024 KiB"),
        (chunked(), NetworkError, "more than 1024 KiB"),
        (raw(HEAD % len(png()), png()[:50]), NetworkError, "cannot be had"),
        (raw(HEAD % len(png()), png()[:50], then="reset"), NetworkError, "cannot be had"),
        (raw(b"nonsense\r\n\r\n"), NetworkError, "cannot be had"),
        (status("503 Service Unavailable"), NetworkError, "503"),
        (status("304 Not Modified"), NetworkError, "304"),
        (status("200 OK", "Content-Encoding: gzip", body=png()), NetworkError, "encoding"),
        (redirect("http://127.0.0.1:1/logo.png"), NetworkError, "no https address"),
        (redirect("/logo.png"), NetworkError, "redirects more than"),
        (redirect("file:///etc/passwd"), NetworkError, "no https address"),
    ],
)
async def test_servers_that_misbehave(
    told: Core, authority: Authority, room: int, move: Move, error: type[Exception], said: str
) -> None:
    async with FaultServer(bytes(2 * MAX_PICTURE), authority.good) as server:
        url = server.route("/logo.png", move)
        with pytest.raises(error, match=said):
            await ask(told, url, room)
    assert os.pread(room, 100, 0) == bytes(100), "nothing of it was written"


async def test_servers_that_are_not_who_they_say(told: Core, authority: Authority, room: int) -> None:
    async with FaultServer(b"", authority.wrong_host) as server:
        url = server.route("/logo.png", status("200 OK", body=png()))
        with pytest.raises(NetworkError, match="certificate"):
            await ask(told, url, room)


async def test_a_version_that_cannot_be_asked_for_is_forgotten(told: Core, authority: Authority, room: int) -> None:
    async with FaultServer(b"", authority.good) as server:
        url = server.route("/logo.png", status("200 OK", 'ETag: "a\xe9\x85b"', "Last-Modified: today", body=png()))
        assert (await ask(told, url, room)).version == Version("", "today")


def test_what_the_transfer_process_may_answer() -> None:
    known = Version("e", "")
    good = Logo(PictureKind.PNG, 7, Version("a", "b"))
    assert logo_from_json(logo_to_json(good), known) == good
    same = replace(good, kind=None)
    assert logo_from_json(logo_to_json(same), known) == same
    for wrong, asked in (
        (logo_to_json(same), Version()),
        ({**logo_to_json(good), "kind": "gif"}, known),
        ({**logo_to_json(good), "kind": ["png"]}, known),
        ({**logo_to_json(good), "size": MAX_PICTURE + 1}, known),
        ({**logo_to_json(good), "size": -1}, known),
        ({**logo_to_json(good), "size": True}, known),
        ({**logo_to_json(good), "etag": "x" * 513}, known),
        ({**logo_to_json(good), "etag": "x\r\ny"}, known),
        ({**logo_to_json(good), "last_modified": None}, known),
        (None, known),
    ):
        with pytest.raises(InterruptedJobError):
            logo_from_json(wrong, asked)
