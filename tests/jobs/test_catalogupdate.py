"""What the core believes of those who fetch and check a catalogue: nothing that it does not see for itself."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from luxusbd.catalog.catalog import Catalog, Sources
from luxusbd.config import CatalogConfig
from luxusbd.errors import ConfigError, FailedError, InterruptedJobError, LuxusbError, VerificationError
from luxusbd.images.recipebook import read_kept
from luxusbd.jobs import catalogupdate, checking
from luxusbd.jobs.catalogrecipes import CatalogRecipes
from luxusbd.jobs.catalogupdate import CatalogUpdates
from luxusbd.jobs.feeds import Feeds
from luxusbd.jobs.remote import Remote, pinned_fingerprints
from luxusbd.transfer.pairmodel import Pair, PairRequest
from luxusbd.transfer.vouch import Vouched
from tests.catalog.test_catalog import named
from tests.images.test_recipes import minimal

KEY, OTHER = "AB" * 20, "CD" * 20


def document(name: str = "School", serial: int = 5, **fields: Any) -> bytes:
    at = datetime.fromtimestamp(time.time() + 86400, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps(named("school", name) | {"serial": serial, "expires": at} | fields).encode()


class Transfer:
    """The process that fetches; `spoil` is what it does with its descriptors after it has answered."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.fds: tuple[int, int] = (0, 0)
        self.requests: list[PairRequest] = []

    async def fetch_pair(
        self, _job: int, request: PairRequest, document: int, signature: int, _progress: Callable[[Any], None]
    ) -> Pair:
        self.requests.append(request)
        self.fds = os.dup(document), os.dup(signature)
        os.pwrite(document, self.data, 0)
        os.pwrite(signature, b"signature", 0)
        return Pair(True, len(self.data), 9, '"v1"', "")

    def spoil(self) -> None:
        os.pwrite(self.fds[0], document("Trojan"), 0)

    def close(self) -> None:
        for fd in self.fds:
            if fd:
                os.close(fd)


class Checker:
    """The process that checks; `answer` makes its answer from the document's bytes."""

    def __init__(self, answer: Callable[[bytes], Any]) -> None:
        self.answer = answer
        self.seen: list[tuple[Any, bytes, bytes, bytes]] = []

    @contextlib.asynccontextmanager
    async def check(self) -> AsyncIterator[Any]:
        yield SimpleNamespace(channel=self)

    async def request(self, method: str, params: Any, fds: Sequence[int]) -> Any:
        assert method == "check"
        data, signature, keys = (os.pread(fd, os.fstat(fd).st_size, 0) for fd in fds)
        self.seen.append((params, data, signature, keys))
        return self.answer(data)


class Context:
    """A job that only listens."""

    def __init__(self) -> None:
        self.job = SimpleNamespace(id=1, params={})
        self.notes: list[str] = []
        self.note = self.notes.append

    def report(self, _done: int, _total: int, *, stage: str | None = None) -> None:
        """Says nothing."""


def good(data: bytes) -> dict[str, Any]:
    return asdict(Vouched(hashlib.sha256(data).hexdigest(), KEY, KEY))


class Setting:
    def __init__(self, directory: Path, data: bytes, answer: Callable[[bytes], Any] = good) -> None:
        (directory / "key").write_bytes(b"the key")
        self.config = CatalogConfig(
            update_url="https://one.example/c.json?secret",
            update_key=str(directory / "key"),
            update_fingerprints=(KEY,),
        )
        self.sources = Sources(
            None, directory / "cache" / "distros.json", directory / "none", pinned=pinned_fingerprints(self.config)
        )
        self.catalog = Catalog.load(self.sources)
        self.transfer, self.checker = Transfer(data), Checker(answer)
        self.changed: list[str] = []
        checker = checking.Checker(self.checker)  # type: ignore[arg-type]
        self.recipes = CatalogRecipes(directory / "cache" / "recipes.json")
        self.updates = CatalogUpdates(
            None, self.transfer, checker, self.catalog, self.sources, self.config, self.changed.append,  # type: ignore[arg-type]
            Feeds(self.transfer, checker, None, self.catalog, self.sources, self.changed.append),  # type: ignore[arg-type]
            self.recipes,
        )  # fmt: skip

    async def run(self) -> Any:
        self.context = Context()
        return await self.updates.run(self.context)  # type: ignore[arg-type]

    def untouched(self) -> bool:
        return self.changed == [] and self.catalog.cached is None and not self.sources.cache.exists()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Setting]:
    monkeypatch.setattr(catalogupdate, "PAIR_WAIT", 0.0)

    def make(data: bytes | None = None, answer: Callable[[bytes], Any] = good) -> Setting:
        return Setting(tmp_path, document() if data is None else data, answer)

    return make


async def test_what_is_good_is_put_in_force(settings: Callable[..., Setting]) -> None:
    setting = settings()
    result = await setting.run()
    assert (result["updated"], result["serial"], result["added"]) == (True, 5, ["school"])
    assert setting.changed == ["cache"]
    ((params, data, signature, keys),) = setting.checker.seen
    assert params == {"pinned": [KEY], "name": "https://one.example/c.json?..."}
    assert (data, signature, keys) == (setting.transfer.data, b"signature", b"the key")
    assert setting.transfer.requests[0].signature_url == "https://one.example/c.json.asc?secret"
    assert setting.catalog.get("school").name == "School"
    status = setting.updates.status()
    assert (status.serial, status.fingerprint, status.url) == (5, KEY, "https://one.example/c.json?...")
    setting.transfer.close()


async def test_recipes_come_along_and_go_again(settings: Callable[..., Setting]) -> None:
    """A broken one is told and keeps nothing out; the file is for another user."""
    good_one, torn = minimal(version=7), {"id": "torn", "size": 0}
    data = document(recipes=[good_one, torn, 1]).replace(b'"size": 0', b'"size": 1e999')
    setting = settings(data)
    await setting.run()
    path = setting.recipes.path
    assert json.loads(path.read_bytes()) == [good_one, 1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    told = [note for note in setting.context.notes if note.startswith("a boot recipe is not used: catalog, recipe")]
    assert [note.split(": ")[1] for note in told] == ["catalog, recipe 2", "catalog, recipe 3"]
    assert [line for line in told if line not in setting.updates.status().problems] == []
    layer = read_kept(path)
    assert [(recipe.id, recipe.version) for recipe in layer.recipes] == [("mine", 7)]

    # another daemon finds the file changed by hand, and the edition as it was
    path.write_text("[]")
    again = CatalogRecipes(path)
    again.follow(setting.catalog.cached)
    assert json.loads(path.read_bytes()) == [good_one, 1]
    assert again.problems == setting.recipes.problems
    setting.transfer.data = document(serial=6)
    await setting.run()
    assert not path.exists()
    assert setting.updates.status().problems == ()
    again.follow(None)
    assert again.problems == ()
    setting.transfer.close()


async def test_recipes_that_cannot_be_kept_do_not_fail_the_update(settings: Callable[..., Setting]) -> None:
    setting = settings(document(recipes=[minimal()]))
    setting.recipes.path.mkdir(parents=True)
    assert (await setting.run())["updated"]
    (problem,) = setting.recipes.problems
    assert problem == f"{setting.recipes.path}: Is a directory; the recipes of the catalogue are not renewed"
    setting.transfer.close()


async def test_who_fetches_cannot_change_what_was_checked(settings: Callable[..., Setting]) -> None:
    """It keeps the descriptors, writes another document once the check has begun, and cannot make it longer."""
    setting = settings()

    def answer(data: bytes) -> Any:
        setting.transfer.spoil()
        with pytest.raises(OSError) as caught:
            os.ftruncate(setting.transfer.fds[0], 1 << 40)
        assert caught.value.errno == errno.EPERM
        return good(data)

    setting.checker.answer = answer
    await setting.run()
    assert setting.catalog.get("school").name == "School"
    assert json.loads(setting.sources.cache.read_bytes())["distributions"][0]["name"] == "School"
    setting.transfer.close()


@pytest.mark.parametrize(
    "answer",
    [
        lambda _data: asdict(Vouched("0" * 64, KEY, KEY)),
        lambda data: asdict(Vouched(hashlib.sha256(data).hexdigest(), OTHER, KEY)),
    ],
)
async def test_a_check_of_something_else_counts_nothing(
    settings: Callable[..., Setting], answer: Callable[[bytes], Any]
) -> None:
    setting = settings(answer=answer)
    with pytest.raises(InterruptedJobError, match="has checked something else"):
        await setting.run()
    assert setting.untouched()
    setting.transfer.close()


@pytest.mark.parametrize("answer", [lambda _data: None, lambda _data: {"sha256": 5}])
async def test_nonsense_is_asked_for_twice_and_no_more(
    settings: Callable[..., Setting], answer: Callable[[bytes], Any]
) -> None:
    setting = settings(answer=answer)
    with pytest.raises(FailedError, match="died over it"):
        await setting.run()
    assert len(setting.checker.seen) == 2
    assert setting.untouched()
    setting.transfer.close()


async def test_a_check_that_dies_once_is_done_anew(settings: Callable[..., Setting]) -> None:
    deaths = [InterruptedJobError("gone")]

    def answer(data: bytes) -> Any:
        if deaths:
            raise deaths.pop()
        return good(data)

    setting = settings(answer=answer)
    assert (await setting.run())["updated"]
    setting.transfer.close()


async def test_the_core_itself_refuses_what_is_no_catalogue(settings: Callable[..., Setting]) -> None:
    """Whatever the check says."""
    setting = settings(b'{"version": "2.0"}')
    with pytest.raises(LuxusbError, match=r"\$: found no"):
        await setting.run()
    assert setting.untouched()
    setting.transfer.close()


async def test_a_pair_that_stays_the_same_is_not_asked_for_a_third_time(settings: Callable[..., Setting]) -> None:
    def answer(_data: bytes) -> Any:
        raise VerificationError("does not fit")

    setting = settings(answer=answer)
    with pytest.raises(VerificationError):
        await setting.run()
    assert len(setting.transfer.requests) == 2
    assert setting.untouched()
    setting.transfer.close()


async def test_a_disk_that_is_full(settings: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch) -> None:
    setting = settings()

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LuxusbError, match="the disk is full"):
        await setting.run()
    assert setting.untouched()
    setting.transfer.close()


async def test_a_clock_that_is_years_behind_is_told_before_anything_is_asked(
    settings: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = settings()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    with pytest.raises(FailedError, match="this machine's clock says 1970-01-01"):
        await setting.run()
    assert setting.transfer.requests == []


def test_fingerprints_are_taken_as_people_write_them() -> None:
    spaced = " ".join(KEY.lower()[at : at + 4] for at in range(0, 40, 4))
    config = CatalogConfig(update_url="https://a.example", update_key="/k", update_fingerprints=(spaced,))
    assert Remote.of(config).pinned == {KEY}
    # without a remote no signature counts, whatever else stands there
    assert pinned_fingerprints(CatalogConfig(update_fingerprints=(KEY,))) == frozenset()


@pytest.mark.parametrize("url", ["https://", "https://[::1", "https://a:0/", "file:///etc/passwd", "c.json"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ConfigError, match=r"catalog\.update_url: .* is no http or https address"):
        Remote.of(CatalogConfig(update_url=url, update_key="/k", update_fingerprints=(KEY,)))
