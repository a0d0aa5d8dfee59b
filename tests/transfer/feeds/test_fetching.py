"""Feeds over the network: all of them from a server on loopback, signatures by gpg, and the transfer process itself."""

from __future__ import annotations

import asyncio
import datetime
import json
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from luxusbd.catalog.feeds.codec import outcome_from_json, outcome_to_json
from luxusbd.catalog.feeds.definitions import parse_feed
from luxusbd.catalog.feeds.model import Feed, HashTrust, Outcome
from luxusbd.children.protocol import Channel
from luxusbd.children.transfer_main import TransferChild
from luxusbd.config import NetworkConfig
from luxusbd.errors import CatalogError, InvalidArgumentError, NetworkError
from luxusbd.transfer import network as ways
from luxusbd.transfer.feeds import fetching
from luxusbd.transfer.feeds.again import read_again
from luxusbd.transfer.feeds.fetching import read_feed
from luxusbd.transfer.feeds.keys import KeyRing
from luxusbd.transfer.feeds.requests import Check, Checked
from luxusbd.transfer.network import to_json
from luxusbd.transfer.openpgp import Signed
from luxusbd.transfer.small import SmallFiles
from luxusbd.transfer.smallmodel import NotThereError, Version
from luxusbd.transfer.source import default_session
from tests.harness.maker import Maker
from tests.harness.names import Names
from tests.harness.tls import Authority
from tests.transfer.feeds.shapes import SHAPES
from tests.transfer.feeds.web import TODAY, Web, bsd, feed_of, gnu, read, sha256
from tests.transfer.keys import Keys

NAME = "x-1.iso"


class Internet:
    """The documents of a feed under their true addresses."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}

    async def answer(self, request: web.Request) -> web.Response:
        url = f"https://{request.host}{request.path_qs}"
        if request.method == "HEAD" and url not in self.pages:
            return web.Response(headers={"Content-Length": "1000000"})
        data = self.pages.get(url)
        return web.Response(status=404) if data is None else web.Response(body=data, headers={"ETag": '"e1"'})


@pytest.fixture
async def internet(authority: Authority) -> AsyncIterator[tuple[Internet, SmallFiles]]:
    found = Internet()
    application = web.Application()
    application.router.add_route("*", "/{name:.*}", found.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=authority.good).start()
    context = ssl.create_default_context()
    # the certificate is for this machine, whatever it is called here
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(resolver=Names("127.0.0.1", port=runner.addresses[0][1]), ssl=context)
        return aiohttp.ClientSession(connector=connector, auto_decompress=False)

    async with SmallFiles(session) as files:
        yield found, files
    await runner.cleanup()


async def read_with(
    files: SmallFiles, feed: Feed, keys: bytes, today: datetime.date, known: Version, patience: float = 30.0
) -> Outcome:
    """Read a feed with exactly these keys."""
    ring = KeyRing(files, feed, {}, {})
    ring._keys[""] = keys
    return await read_feed(files, feed, ring, today, known, patience)


@pytest.mark.parametrize("name", sorted(SHAPES))
async def test_every_feed_from_a_server(
    name: str, internet: tuple[Internet, SmallFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    web_, files = internet
    feed = feed_of(name)

    async def verify(data: bytes, signature: bytes | None, keys: bytes, **_given: Any) -> Signed:
        checked = Web({}).answer(Check("", data, signature, feed.signing.keys))
        assert isinstance(checked, Checked)
        return Signed(checked.data, checked.fingerprint, checked.fingerprint)

    monkeypatch.setattr(fetching, "verify", verify)
    web_.pages = {url: page if isinstance(page, bytes) else page.encode() for url, page in SHAPES[name].pages.items()}
    outcome = await read_with(files, feed, b"keys", TODAY, Version())
    assert outcome == read(feed, Web(SHAPES[name].pages))
    assert outcome_from_json(json.loads(json.dumps(outcome_to_json(outcome))), feed) == outcome


@pytest.fixture(scope="module")
def pinned(keys: Keys) -> str:
    return keys.make("maker")


@pytest.fixture
async def files(authority: Authority) -> AsyncIterator[SmallFiles]:
    async with SmallFiles(lambda: default_session(authority.client), patience=5.0) as found:
        yield found


def described(maker: Maker, kind: str, key: str) -> dict[str, Any]:
    signature = {"kind": kind, "keys": [key], **({"address": "{sums}.gpg"} if kind == "detached" else {})}
    return {
        "id": "x", "strategy": "directory_index", "url": maker.at("iso/"), "listing": "sums", "sums": "SHA256SUMS",
        "signature": signature, "images": [{"file": r"x-(?P<version>[0-9]+)\.iso", "architecture": "amd64"}],
    }  # fmt: skip


def feed_at(maker: Maker, kind: str, key: str) -> Feed:
    return parse_feed(described(maker, kind, key), "test")


async def test_a_list_that_gpg_signed(maker: Maker, files: SmallFiles, keys: Keys, pinned: str) -> None:
    sums = gnu(NAME).encode()
    maker.put("iso/SHA256SUMS", sums)
    maker.put("iso/SHA256SUMS.gpg", keys.sign(sums, pinned))
    maker.put("iso/" + NAME, bytes(777))
    outcome = await read_with(files, feed_at(maker, "detached", pinned), keys.export(pinned), TODAY, Version())
    (release,) = outcome.releases
    assert (release.sha256, release.size, release.trust, release.signed_by) == (
        sha256(NAME), 777, HashTrust.SIGNED, pinned
    )  # fmt: skip
    assert outcome.problems == ()
    again = await read_with(files, feed_at(maker, "detached", pinned), b"", TODAY, Version(outcome.etag))
    assert again.unchanged


async def test_a_subkey_signs_for_its_key(maker: Maker, files: SmallFiles, keys: Keys) -> None:
    primary = keys.make("with-subkey")
    subkey = keys.add_subkey(primary)
    maker.put("iso/" + NAME, bytes(5))
    maker.put("iso/SHA256SUMS", keys.clearsign(bsd(NAME).encode(), subkey))
    outcome = await read_with(files, feed_at(maker, "inline", primary), keys.export(primary), TODAY, Version())
    assert outcome.problems == ()
    assert outcome.releases[0].signed_by == primary


@pytest.mark.parametrize("served", ["newer", "the same", "another", "nothing"])
async def test_a_copy_of_before_is_exchanged_for_a_newer_one(
    maker: Maker, files: SmallFiles, keys: Keys, pinned: str, served: str
) -> None:
    """The maker signs with a subkey that the copy at hand does not have yet."""
    primary = keys.make("renewed " + served.replace(" ", "-"))
    before = keys.export(primary)
    subkey = keys.add_subkey(primary)
    maker.put("iso/" + NAME, bytes(5))
    maker.put("iso/SHA256SUMS", keys.clearsign(gnu(NAME).encode(), subkey))
    copies = {"newer": keys.export(primary, armor=True), "the same": before, "another": keys.export(pinned)}
    if served in copies:
        maker.put("key", copies[served])
    feed = feed_at(maker, "inline", primary)
    ring = KeyRing(files, feed, {primary: before}, {primary: maker.at("key")})
    await ring.gather()
    assert "key" not in maker.paths()
    outcome = await read_feed(files, feed, ring, TODAY, Version())
    assert maker.paths().count("key") == 1
    if served == "newer":
        assert [one.signed_by for one in outcome.releases] == [primary]
        assert ring.fetched == {primary: keys.export(primary)}
        return
    assert (outcome.releases, len(outcome.problems)) == ((), 1)
    said = {"the same": 0, "another": "holds is not the key", "nothing": "answered 404"}[served]
    assert [problem for problem in ring.problems if not said or str(said) in problem] == ring.problems
    assert len(ring.problems) == (0 if served == "the same" else 1)


@pytest.mark.parametrize("trouble", ["another key", "other bytes", "no key", "no signature", "not there"])
async def test_a_list_that_is_not_genuine_gives_nothing(
    maker: Maker, files: SmallFiles, keys: Keys, pinned: str, trouble: str
) -> None:
    stranger = keys.make("stranger " + trouble.replace(" ", "-")) if trouble == "another key" else pinned
    sums = gnu(NAME).encode()
    maker.put("iso/SHA256SUMS", sums)
    signature = keys.sign(sums + b"x" if trouble == "other bytes" else sums, stranger)
    if trouble != "not there":
        maker.put("iso/SHA256SUMS.gpg", b"<html>" if trouble == "no signature" else signature)
    known = b"" if trouble == "no key" else keys.export(pinned) + (keys.export(stranger) if stranger != pinned else b"")
    outcome = await read_with(files, feed_at(maker, "detached", pinned), known, TODAY, Version())
    assert outcome.releases == ()
    assert len(outcome.problems) == 1
    said = {
        "another key": "which is not one of those that may sign",
        "other bytes": "does not fit",
        "no key": "not at hand",
        "no signature": "SHA256SUMS: ",
        "not there": "is not there",
    }
    assert said[trouble] in outcome.problems[0]


async def test_a_server_that_is_no_server(maker: Maker, files: SmallFiles, pinned: str) -> None:
    feed = feed_at(maker, "detached", pinned)
    with pytest.raises(CatalogError, match=r"feed x: .*is not there"):
        await read_with(files, feed, b"", TODAY, Version())
    maker.put("iso/SHA256SUMS", bytes(5 << 20))
    with pytest.raises(NetworkError, match="has more than"):
        await read_with(files, feed, b"", TODAY, Version())
    maker.silent.add("iso/SHA256SUMS")
    with pytest.raises(NetworkError, match="feed x: was not read within"):
        await read_with(files, feed, b"", TODAY, Version(), patience=0.2)
    maker.silent.clear()
    maker.redirects["iso/SHA256SUMS"] = "http://127.0.0.1/x"
    with pytest.raises(NetworkError, match="no https address"):
        await read_with(files, feed, b"", TODAY, Version())


async def test_sizes(maker: Maker, files: SmallFiles) -> None:
    assert await files.size(maker.put("a", bytes(10))) == 10
    maker.redirects["b"] = maker.at("a")
    assert await files.size(maker.at("b")) == 10
    with pytest.raises(NotThereError):
        await files.size(maker.at("none"))
    maker.redirects["c"] = "http://127.0.0.1/a"
    with pytest.raises(NetworkError):
        await files.size(maker.at("c"))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes what a test opens."""
    with ExitStack() as found:
        yield found


async def test_the_transfer_process_reads_feeds(
    maker: Maker, keys: Keys, pinned: str, authority: Authority, tmp_path: Path, stack: ExitStack
) -> None:
    sums = gnu(NAME).encode()
    maker.put("iso/SHA256SUMS", sums)
    maker.put("iso/SHA256SUMS.gpg", keys.sign(sums, pinned))
    maker.put("iso/" + NAME, bytes(777))
    (tmp_path / "keys").write_bytes(keys.export(pinned))
    feed = described(maker, "detached", pinned)
    ours, theirs = socket.socketpair()
    child = asyncio.create_task(TransferChild(theirs).run())
    channel = Channel(ours)
    running = asyncio.create_task(channel.run())
    network = to_json(ways.load(NetworkConfig(ca_file=str(authority.file))))
    setup = {"bandwidth": 0, "host_connections": 1, "connections": 2, "network": network}
    room = stack.enter_context((tmp_path / "room").open("w+b"))
    try:
        await channel.request("configure", setup)
        with (tmp_path / "keys").open("rb") as file:
            asked = {"feed": feed, "keys": [pinned], "today": TODAY.isoformat()}
            told = await channel.request("feed", asked, [file.fileno(), room.fileno()])
        outcome = outcome_from_json(told, feed_at(maker, "detached", pinned))
        assert [(one.version, one.size, one.signed_by) for one in outcome.releases] == [("1", 777, pinned)]
        # whoever has the transcript and the key alone reads the same
        transcript = (tmp_path / "room").read_bytes()
        assert told["transcript"] == len(transcript)
        copies = {pinned: (tmp_path / "keys").read_bytes()}
        again = await read_again(transcript, feed_at(maker, "detached", pinned), copies, TODAY, Version())
        assert again == outcome
        asked = {"feed": feed, "etag": outcome.etag, "today": TODAY.isoformat()}
        told = await channel.request("feed", asked, [room.fileno()])
        assert (told["unchanged"], told["transcript"]) == (True, 0)
        for params, error, said in (
            ({"feed": 1}, InvalidArgumentError, "must be an object"),
            ({"feed": {**feed, "url": "http://x/"}}, CatalogError, "expected an https URL"),
            ({"feed": feed, "etag": 1}, InvalidArgumentError, "must be a text"),
            ({"feed": feed, "today": "2026-13-01"}, InvalidArgumentError, "must be a day"),
            ({"feed": feed, "keys": [pinned]}, InvalidArgumentError, "2 descriptors are needed"),
            ({"feed": {**feed, "url": maker.at("none/")}}, CatalogError, "feed x: .*is not there"),
        ):
            with pytest.raises(error, match=said):
                await channel.request("feed", {"today": TODAY.isoformat(), **params}, [room.fileno()])
    finally:
        channel.close()
        await running
        await child


def some_outcome() -> tuple[Feed, Outcome]:
    feed = feed_of("kali")
    return feed, read(feed, Web(SHAPES["kali"].pages))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("distribution", "other"), ("architecture", "i386"), ("edition", "a/b"),
        ("series", "\n"), ("metalink", "https://evil.example/x"), ("version", ""), ("version", "1@2"),
        ("iso_url", "http://cdimage.kali.org/x"), ("iso_url", ""), ("iso_url", "https://evil.example/x"),
        ("sums_url", "https://evil.example/x"), ("sha256", "0" * 63), ("sha256", ""), ("sha512", "g" * 128),
        ("size", -1), ("size", True), ("size", 1 << 60), ("size_hint", None), ("release_date", "soon"),
        ("trust", "tls"),
        ("trust", "x"), ("signed_by", "CD" * 20), ("rolling", True), ("edition", 5),
    ],
)  # fmt: skip
def test_nonsense_of_the_process_is_refused(field: str, value: object) -> None:
    feed, outcome = some_outcome()
    told = outcome_to_json(outcome)
    assert outcome_from_json(told, feed) == outcome
    releases = [{**told["releases"][0], field: value}]
    with pytest.raises(InvalidArgumentError, match="nonsense"):
        outcome_from_json({**told, "releases": releases}, feed)


@pytest.mark.parametrize(
    "change",
    [
        {"feed": "mx"}, {"releases": None}, {"releases": [1]}, {"problems": "x"}, {"problems": [1]}, {"unchanged": 1},
        {"unchanged": True}, {"etag": "\n"}, {"etag": "x" * 600}, {"last_modified": None},
    ],
)  # fmt: skip
def test_nonsense_around_the_releases_is_refused(change: dict[str, Any]) -> None:
    feed, outcome = some_outcome()
    told = {**outcome_to_json(outcome), **change}
    with pytest.raises(InvalidArgumentError, match="nonsense"):
        outcome_from_json(told, feed)
    with pytest.raises(InvalidArgumentError, match="nonsense"):
        outcome_from_json([], feed)
