"""How the core asks feeds: what it believes of the process that reads them, how long it waits, and what it keeps."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from luxusbd.catalog.catalog import Catalog, Sources
from luxusbd.catalog.feedcache import FeedCache, FeedRecord
from luxusbd.catalog.feeds.codec import outcome_to_json
from luxusbd.catalog.feeds.model import Description, Outcome
from luxusbd.errors import (
    CatalogError,
    InterruptedJobError,
    InvalidArgumentError,
    LuxusbError,
    NetworkError,
    NotEnoughSpaceError,
)
from luxusbd.jobs.checking import Checker
from luxusbd.jobs.feeds import Feeds
from luxusbd.jobs.keyring import Keyring
from luxusbd.jobs.transferlink import TransferSetup
from luxusbd.jobs.transfers import Transfers
from tests.catalog.test_feedcache import KEY, MINE, document, entry, told

OTHER = "CD" * 20
PLACE = "https://x.example/key"
TRANSCRIPT = b"what the network said"


class Setting:
    """The core's side, with `answer` in the place of the transfer process."""

    def __init__(self, directory: Path, *, key: bool = True) -> None:
        (directory / "packaged.json").write_text(
            document(entry("1", key_fingerprint=KEY, key_url=PLACE, signature_url=PLACE + ".sig"))
        )
        (directory / "descriptions.json").write_text(json.dumps({"version": 1, "feeds": [MINE.entry]}))
        (directory / "keys").mkdir()
        if key:
            (directory / "keys" / f"{KEY}.asc").write_bytes(b"the key")
        self.sources = Sources(
            directory / "packaged.json", directory / "none.json", directory / "none",
            feeds=directory / "cache" / "feeds.json", feed_files=(directory / "descriptions.json",),
        )  # fmt: skip
        self.catalog = Catalog.load(self.sources)
        self.transfers = Transfers(None, TransferSetup())  # type: ignore[arg-type]
        self.transfers.supervisor.request = self._request  # type: ignore[method-assign]
        self.changed: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.answers: list[Any] = []
        self.wait = asyncio.Event()
        self.wait.set()
        keyring = Keyring(directory / "keys", directory / "cache" / "keys", directory / "none")
        self.kept = directory / "cache" / "keys" / f"{KEY}.gpg"
        self.checked: list[dict[str, Any]] = []
        self.verdict: Any = None
        """What the process that checks answers; None for the same as the other one said."""
        checker = Checker(self)  # type: ignore[arg-type]
        self.feeds = Feeds(self.transfers, checker, keyring, self.catalog, self.sources, self.changed.append)

    async def _request(self, method: str, params: Mapping[str, Any], fds: Sequence[int] = ()) -> Any:
        assert method == "feed"
        *files, room = fds
        self.asked.append({**params, "files": [os.pread(fd, 100, 0) for fd in files]})
        await self.wait.wait()
        answer = self.answers.pop(0)
        if isinstance(answer, LuxusbError):
            raise answer
        os.pwrite(room, TRANSCRIPT, 0)
        self.said = answer
        return {"transcript": len(TRANSCRIPT), **answer}

    @contextlib.asynccontextmanager
    async def check(self) -> AsyncIterator[Any]:
        """In the place of the launcher: the process that checks is this object too."""
        yield SimpleNamespace(channel=self)

    async def request(self, method: str, params: Mapping[str, Any], fds: Sequence[int]) -> Any:
        """In the place of its channel."""
        assert method == "check-feed"
        self.checked.append({**params, "files": [os.pread(fd, 100, 0) for fd in fds]})
        if isinstance(self.verdict, LuxusbError):
            raise self.verdict
        return self.said if self.verdict is None else self.verdict

    @property
    def mine(self) -> Description:
        (found,) = self.feeds.wanted(["mine"])
        return found

    @property
    def stored(self) -> FeedRecord:
        assert self.sources.feeds is not None
        records, problems = FeedCache(self.sources.feeds).read([MINE])
        assert problems == ()
        return records["mine"]


def answer(*versions: str, fetched: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    outcome = Outcome("mine", tuple(told(version) for version in versions), etag='"e"')
    return {**outcome_to_json(replace(outcome, **fields)), "fetched": fetched or {}}


async def test_what_it_said_is_stored_before_it_is_in_force(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    setting.answers = [answer("2")]
    asked = await setting.feeds.ask(setting.mine)
    assert (asked.changed, asked.error, asked.record) == (True, None, setting.stored)
    assert setting.catalog.get("mine").releases[0].version == "1"
    assert (await setting.feeds.put_in_force()).changed == ("mine",)
    assert (setting.catalog.get("mine").releases[0].version, setting.changed) == ("2", ["feed"])
    assert setting.asked[0]["keys"] == [KEY]
    assert setting.asked[0]["files"] == [b"the key"]
    assert setting.asked[0]["feed"] == MINE.entry
    # the next question is about what is at hand
    setting.answers = [{**answer(), "unchanged": True, "etag": ""}]
    again = await setting.feeds.ask(setting.mine)
    assert (setting.asked[1]["etag"], again.changed) == ('"e"', False)
    assert (await setting.feeds.put_in_force()).changed == ()
    assert setting.changed == ["feed"]


async def test_what_is_signed_counts_as_the_process_that_checks_says(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    forged = outcome_to_json(Outcome("mine", (told("2", sha256="f" * 64),), ("of the network",)))
    setting.answers = [{**forged, "fetched": {}}]
    setting.verdict = outcome_to_json(Outcome("mine", (told("2"),), ("of the list",), etag='"e"'))
    asked = await setting.feeds.ask(setting.mine)
    assert asked.record.releases == (told("2"),)
    assert asked.record.problems == ("feed mine: of the network", "feed mine: of the list")
    (checked,) = setting.checked
    assert checked["files"] == [TRANSCRIPT, b"the key"]
    assert (checked["keys"], checked["feed"]) == ([KEY], MINE.entry)
    assert {key: checked[key] for key in ("today", "etag")} == {key: setting.asked[0][key] for key in ("today", "etag")}


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (CatalogError("feed mine: names nothing"), "names nothing"),
        (InvalidArgumentError("it does not fit"), "it does not fit; the releases stay"),
        ({"feed": "other"}, "died over it"),
        (InterruptedJobError("gone"), "died over it"),
    ],
)
async def test_what_cannot_be_checked_does_not_count(tmp_path: Path, verdict: Any, said: str) -> None:
    setting = Setting(tmp_path)
    setting.answers = [answer("2")]
    setting.verdict = verdict
    asked = await setting.feeds.ask(setting.mine)
    assert (asked.record.failed, asked.record.releases) == (True, ())
    assert asked.error is not None
    assert said in asked.record.problems[0]


async def test_a_key_that_was_fetched_is_kept(tmp_path: Path) -> None:
    setting = Setting(tmp_path, key=False)
    setting.answers = [answer("2", fetched={KEY: base64.b64encode(b"fresh").decode()})]
    await setting.feeds.ask(setting.mine)
    assert "keys" not in setting.asked[0]
    assert setting.asked[0]["key_urls"] == {KEY: PLACE}
    assert setting.kept.read_bytes() == b"fresh"
    assert setting.checked[0]["files"] == [TRANSCRIPT, b"fresh"]


@pytest.mark.parametrize(
    "nonsense",
    [
        {**answer(), "unchanged": True, "etag": ""},
        answer("2", fetched={OTHER: "AAAA"}),
        answer("2", fetched={KEY: "?"}),
        {**answer("2"), "fetched": None},
        {**answer("2"), "feed": "other"},
        {**answer("2"), "releases": [{}]},
    ],
)
async def test_nonsense_is_a_failure_of_this_feed(tmp_path: Path, nonsense: Any) -> None:
    setting = Setting(tmp_path)
    setting.answers = [nonsense]
    asked = await setting.feeds.ask(setting.mine)
    assert isinstance(asked.error, InterruptedJobError)
    assert (asked.record.failed, asked.record.releases) == (True, ())
    assert asked.record.problems[0].startswith("feed mine: the transfer process sent nonsense")
    assert not setting.kept.exists()


async def test_a_feed_that_kills_who_reads_it_is_asked_twice(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    setting.answers = [InterruptedJobError("gone"), InterruptedJobError("gone again")]
    asked = await setting.feeds.ask(setting.mine)
    assert (len(setting.asked), asked.record.problems) == (2, ("feed mine: gone again",))


async def test_who_comes_while_it_is_asked_gets_the_same_answer(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    setting.answers = [answer("2")]
    setting.wait.clear()
    first = asyncio.create_task(setting.feeds.ask(setting.mine))
    second = asyncio.create_task(setting.feeds.ask(setting.mine))
    while not setting.asked:
        await asyncio.sleep(0)
    setting.wait.set()
    assert (await first).record == (await second).record
    assert len(setting.asked) == 1


async def test_patience_ends(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    setting.wait.clear()
    slow = asyncio.create_task(setting.feeds.ask(setting.mine))
    while not setting.asked:
        await asyncio.sleep(0)
    # who waits for another's question waits no longer than for his own
    waiting = await setting.feeds.ask(setting.mine, 0.01)
    assert isinstance(waiting.error, NetworkError)
    assert waiting.record.asked == 0
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)
    late = await setting.feeds.ask(setting.mine, 0.01)
    assert late.record.problems == ("feed mine: did not answer within 0.01 seconds",)
    assert setting.stored == late.record


async def test_a_full_disk_is_an_error_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Setting(tmp_path)

    def full(_cache: FeedCache, _records: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FeedCache, "write", full)
    setting.answers = [answer("2"), answer("2")]
    with pytest.raises(NotEnoughSpaceError):
        await setting.feeds.ask(setting.mine)
    assert [record for record in setting.feeds.records() if record.feed == "mine"] == []


async def test_a_refusal_of_the_catalogue_is_told(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    (tmp_path / "packaged.json").write_text(document(entry("3")))
    await setting.feeds.put_in_force()
    setting.answers = [answer("2")]
    asked = await setting.feeds.ask(setting.mine)
    assert (asked.changed, asked.record.failed) == (False, False)
    assert asked.record.problems == ("feed mine: mine 2 amd64: older than 3; what was known before stays",)
