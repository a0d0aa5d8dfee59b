"""How the core keeps logos: when it asks, whom it asks, what it remembers, and what it hands out."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from luxusbd.catalog.catalog import Catalog, Sources
from luxusbd.catalog.model import Distribution, Layer
from luxusbd.catalog.schema import read_document
from luxusbd.errors import (
    DistributionNotFoundError,
    InterruptedJobError,
    LimitExceededError,
    LuxusbError,
    NetworkError,
    NoLogoError,
)
from luxusbd.jobs import logocache, logos
from luxusbd.jobs.logocache import Kept, LogoCache
from luxusbd.jobs.logos import Logos
from luxusbd.jobs.transferlink import TransferSetup
from luxusbd.jobs.transfers import Transfers
from luxusbd.transfer.picture import PictureKind
from luxusbd.transfer.smallmodel import Version
from tests.catalog.test_catalog import named
from tests.harness.pictures import SVG, png

URL = "https://x.example/logo"
KNOWN = Version('"e"', "")


def entries(*ids: str, url: str = URL) -> dict[str, Any]:
    document = named("one", "One")
    (entry,) = document["distributions"]
    document["distributions"] = [{**entry, "id": each, "name": each.title(), "logo_url": url} for each in ids]
    return document


def parsed(document: dict[str, Any]) -> tuple[Distribution, ...]:
    return read_document(json.dumps(document).encode(), "x.json", Layer.USER).distributions


class Setting:
    """The core's side, with `answer` in the place of the transfer process."""

    def __init__(self, directory: Path, document: dict[str, Any], *, enabled: bool = True) -> None:
        (directory / "packaged.json").write_text(json.dumps(document))
        sources = Sources(directory / "packaged.json", directory / "none.json", directory / "none")
        self.catalog = Catalog.load(sources)
        self.transfers = Transfers(None, TransferSetup())  # type: ignore[arg-type]
        self.transfers.supervisor.request = self._request  # type: ignore[method-assign]
        self.directory = directory / "logos"
        self.cache = LogoCache(self.directory)
        self.asked: list[tuple[str, str]] = []
        self.answers: list[bytes | LuxusbError | None] = []
        self.wait = asyncio.Event()
        self.wait.set()
        self.logos = Logos(self.transfers, self.catalog, self.cache, enabled=enabled)

    async def _request(self, method: str, params: Mapping[str, Any], fds: Sequence[int] = ()) -> Any:
        assert method == "logo"
        self.asked.append((params["url"], params["etag"]))
        await self.wait.wait()
        answer = self.answers.pop(0)
        if isinstance(answer, LuxusbError):
            raise answer
        if answer is None:
            return {"kind": "", "size": 0, "etag": params["etag"], "last_modified": ""}
        kind = "svg" if answer == SVG else "png"
        return {"kind": kind, "size": os.pwrite(fds[0], answer, 0), "etag": KNOWN.etag, "last_modified": ""}

    async def open(self, name: str = "one", uid: int = 1000) -> bytes:
        fd = await self.logos.open(name, uid)
        try:
            return os.read(fd, 1 << 21)
        finally:
            os.close(fd)

    async def settled(self) -> None:
        """What is fetched in the background has come."""
        await asyncio.gather(*self.logos._running.values(), return_exceptions=True)
        await asyncio.sleep(0)

    def age(self, seconds: float) -> None:
        """Let what is kept be so much older."""
        kept = self.cache.read(URL)
        assert kept is not None
        self.cache.put(replace(kept, checked=int(time.time() - seconds)))


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path, entries("one"))


async def test_nothing_is_fetched_before_somebody_asks(setting: Setting) -> None:
    assert setting.catalog.distributions()
    await setting.logos.clean()
    assert setting.asked == []
    assert not setting.directory.exists()


async def test_a_logo_is_fetched_once_and_kept(setting: Setting, tmp_path: Path) -> None:
    setting.answers = [png()]
    assert await setting.open() == png()
    assert await setting.open() == png()
    assert setting.asked == [(URL, "")]
    other = Setting(tmp_path, entries("one"))
    assert await other.open() == png(), "it outlives the daemon"
    assert other.asked == []


async def test_what_is_handed_out_cannot_be_changed(setting: Setting) -> None:
    setting.answers = [SVG]
    fd = await setting.logos.open("one", 1000)
    try:
        assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        assert not os.get_inheritable(fd)
        writable = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
        try:
            with pytest.raises(PermissionError):
                os.write(writable, b"x")
            with pytest.raises(PermissionError):
                os.truncate(writable, 0)
        finally:
            os.close(writable)
        assert os.read(fd, 1 << 20) == SVG
    finally:
        os.close(fd)


async def test_those_who_ask_together_share_one_fetch(setting: Setting) -> None:
    setting.answers = [png()]
    setting.wait.clear()
    waiting = [asyncio.create_task(setting.open(uid=uid)) for uid in (1000, 1000, 1001)]
    while not setting.asked:
        await asyncio.sleep(0)
    waiting[0].cancel()
    setting.wait.set()
    assert await asyncio.gather(*waiting[1:]) == [png(), png()]
    assert setting.asked == [(URL, "")]


async def test_only_a_few_are_fetched_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logos, "WAITING", 6)
    document = entries(*(f"s{number}" for number in range(7)))
    for number, entry in enumerate(document["distributions"]):
        entry["logo_url"] = f"{URL}/{number}"
    setting = Setting(tmp_path, document)
    setting.answers = [png()] * 6
    setting.wait.clear()
    waiting = [asyncio.create_task(setting.open(f"s{number}")) for number in range(7)]
    done, _pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert [type(task.exception()) for task in done] == [LimitExceededError]
    assert len(setting.asked) == logos.AT_ONCE
    setting.wait.set()
    assert await asyncio.gather(*(task for task in waiting if task not in done)) == [png()] * 6


@pytest.mark.parametrize(
    ("error", "rest"),
    [(NetworkError("it cannot be had"), logos.NETWORK_REST), (NoLogoError("it is none"), logos.LOGO_REST)],
)
async def test_a_failure_is_remembered_for_a_while(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, error: LuxusbError, rest: int
) -> None:
    loop = asyncio.get_running_loop()
    now = loop.time()
    setting.answers = [error, png()]
    for _ in range(3):
        with pytest.raises(type(error), match=error.message):
            await setting.open()
    assert len(setting.asked) == 1
    monkeypatch.setattr(loop, "time", lambda: now + rest + 60)
    assert await setting.open() == png()
    assert len(setting.asked) == 2


async def test_an_old_one_is_shown_while_its_server_is_asked_again(setting: Setting) -> None:
    setting.answers = [png(), None, SVG, NetworkError("away"), NoLogoError("gone"), png()]
    assert await setting.open() == png()
    await setting.settled()
    setting.age(logos.FRESH + 60)
    assert await setting.open() == png()
    await setting.settled()
    assert setting.asked == [(URL, ""), (URL, KNOWN.etag)]
    assert await setting.open() == png()
    assert len(setting.asked) == 2, "it is the same, and new again"
    setting.age(logos.FRESH + 60)
    assert await setting.open() == png()
    await setting.settled()
    assert await setting.open() == SVG, "another one came"
    setting.age(-3600)
    assert await setting.open() == SVG, "its server is away"
    await setting.settled()
    assert await setting.open() == SVG
    assert len(setting.asked) == 4, "what failed is not asked again at once"
    setting.logos._failures.clear()
    assert await setting.open() == SVG
    await setting.settled()
    with pytest.raises(NoLogoError, match="gone"):
        await setting.open()
    assert list(setting.directory.iterdir()) == []


async def test_what_the_catalogue_does_not_name(tmp_path: Path) -> None:
    document = entries("one")
    document["distributions"] += entries("none", url="")["distributions"]
    document["distributions"] += entries("plain", url="http://x.example/logo")["distributions"]
    setting = Setting(tmp_path, document)
    for name, said in (("none", "names no logo of None"), ("plain", "no https address")):
        with pytest.raises(NoLogoError, match=said):
            await setting.open(name)
    with pytest.raises(DistributionNotFoundError, match="did you mean one"):
        await setting.open("ona")
    off = Setting(tmp_path, document, enabled=False)
    with pytest.raises(NoLogoError, match=r"catalog\.logos"):
        await off.open()
    assert setting.asked == off.asked == []


async def test_a_users_own_list_makes_nobody_speak_to_anybody(setting: Setting) -> None:
    setting.answers = [png()]
    setting.catalog.import_layer(1000, parsed(entries("mine", "one", url="https://inside.example/secret")))
    for name in ("mine", "one"):
        with pytest.raises(NoLogoError, match="your own list"):
            await setting.open(name)
    assert setting.asked == []
    assert await setting.open(uid=1001) == png()
    with pytest.raises(DistributionNotFoundError):
        await setting.open("mine", 1001)


async def test_a_process_that_dies_over_a_logo(setting: Setting) -> None:
    setting.answers = [InterruptedJobError("died"), InterruptedJobError("died")]
    with pytest.raises(NoLogoError, match="died"):
        await setting.open()


async def test_a_full_disk_does_not_take_the_logo_away(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(logocache, "replace_file", full)
    setting.answers = [png()]
    assert await setting.open() == png()


async def test_closing_ends_what_runs(setting: Setting) -> None:
    setting.wait.clear()
    waiting = asyncio.create_task(setting.open())
    while not setting.asked:
        await asyncio.sleep(0)
    await setting.logos.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def kept(url: str, data: bytes = b"x") -> Kept:
    return Kept(url, PictureKind.PNG, data, KNOWN, 1)


async def test_what_is_gone_from_the_catalogue_is_removed(setting: Setting) -> None:
    setting.cache.put(kept(URL))
    setting.cache.put(kept("https://x.example/old"))
    (setting.directory / ".left.new").write_bytes(b"by a kill")
    await setting.logos.clean()
    assert setting.cache.read(URL) == kept(URL)
    assert len(list(setting.directory.iterdir())) == 1


def test_the_cache_has_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = LogoCache(tmp_path / "logos")
    monkeypatch.setattr(logocache, "MAX_LOGOS", 3)
    for number in range(5):
        cache.put(kept(f"https://x.example/{number}"))
        os.utime(cache._path(f"https://x.example/{number}"), (number, number))
    assert [cache.read(f"https://x.example/{number}") is not None for number in range(5)] == [False] * 2 + [True] * 3
    monkeypatch.setattr(logocache, "MAX_TOTAL", 3000)
    cache.put(kept("https://x.example/large", bytes(2000)))
    assert len(list((tmp_path / "logos").iterdir())) < 4
    assert cache.read("https://x.example/large") is not None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data.replace(b'"version": 1', b'"version": 2'),
        lambda data: data.replace(b"x.example", b"y.example"),
        lambda data: data.replace(b'"png"', b'"gif"'),
        lambda data: data.replace(b'"checked": 1', b'"checked": null'),
        lambda _data: b"",
        lambda _data: b"[" * 100_000,
        lambda _data: b"[]\n",
    ],
)
def test_a_file_that_is_not_right_is_as_good_as_none(tmp_path: Path, spoil: Any) -> None:
    cache = LogoCache(tmp_path)
    cache.put(kept(URL, b"the picture"))
    assert cache.read(URL) == kept(URL, b"the picture")
    path = cache._path(URL)
    path.write_bytes(spoil(path.read_bytes()))
    assert cache.read(URL) is None
