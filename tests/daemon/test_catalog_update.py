"""The real daemon keeps its catalogue up to date from a remote that signs, and not from one that does not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio
from luxusb_cli.errors import DaemonError
from luxusb_cli.model import JobInfo, JobState
from luxusb_cli.remote import CatalogStatus, UpdateResult

from luxusbd.catalog.schema import MAX_DOCUMENT
from tests.daemon.caller import Caller
from tests.daemon.cli import Cli, Refusal
from tests.daemon.daemon import TRANSFER, Daemon
from tests.daemon.remote import NAME, SIGNATURE, Edition, Remote, content, remote
from tests.images.builders import build_iso, x86_kernel
from tests.transfer.fault_server import Move, raw, status

pytestmark = pytest.mark.asyncio(loop_scope="module")

ERROR = "org.luxusb.Error."
MANAGER_PATH = "/org/luxusb/Manager"


@dataclass
class Place:
    """A remote, and a daemon that is told of it."""

    remote: Remote
    daemon: Daemon
    caller: Caller

    async def update(self) -> JobInfo:
        """Run an update to its end."""
        path = await self.caller.client.update_catalog()
        return await self.caller.finished(path)

    async def updated(self) -> UpdateResult:
        job = await self.update()
        assert job.state is JobState.SUCCEEDED, (job.error_name, job.error_message)
        return UpdateResult.from_wire(job.result)

    async def listed(self) -> dict[str, str]:
        """Names by id of what comes from the update."""
        found = await self.caller.client.distributions()
        return {entry.id: entry.name for entry in found if entry.origin == "cache"}

    async def status(self) -> CatalogStatus:
        return await self.caller.client.catalog_status()

    @property
    def files(self) -> dict[str, bytes]:
        directory = self.daemon.state / "cache"
        return {path.name: path.read_bytes() for path in directory.iterdir()} if directory.is_dir() else {}


@contextlib.asynccontextmanager
async def place_of(found: Remote, config: str | None = None) -> AsyncIterator[Place]:
    # it goes with the remote, so that a daemon may be started again
    directory = Path(tempfile.mkdtemp(dir=found.directory, prefix="d"))
    directory.chmod(0o755)
    async with running(Daemon(directory, config=found.config if config is None else config), found) as place:
        yield place


@contextlib.asynccontextmanager
async def running(daemon: Daemon, found: Remote) -> AsyncIterator[Place]:
    async with daemon, Caller.connect(daemon.address) as caller:
        yield Place(found, daemon, caller)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def found() -> AsyncIterator[Remote]:
    async with remote() as made:
        yield made


async def test_an_update_comes_and_stays(found: Remote) -> None:
    async with place_of(found) as place:
        before = await place.caller.client.distributions()
        now = await place.status()
        assert now == CatalogStatus(
            f"{found.server.base}{NAME}",
            0,
            0,
            0,
            0,
            0,
            "",
            previous=False,
            problems=(),
            migrated=(),
            own="",
            feeds=now.feeds,
        )
        assert now.feeds >= 40
        first = found.edition("school", "exam")
        found.publish(first)
        result = await place.updated()
        assert result == UpdateResult(True, found.serials, ("exam", "school"), (), ())
        assert await place.listed() == {"school": "School", "exam": "Exam"}
        assert len(await place.caller.client.distributions()) == len(before) + 2
        assert [heard.signal.body for heard in place.caller.signals(MANAGER_PATH, "CatalogChanged")] == [["cache"]]
        now = await place.status()
        assert (now.serial, now.fingerprint, now.problems) == (found.serials, found.maker, ())
        assert 0 <= time.time() - now.updated < 60
        assert place.files["distros.json"] == first.data

        # nothing new: neither document nor signature travel
        found.publish(first)
        assert (await place.updated()).updated is False
        assert found.asked() == (1, 0)
        later = await place.status()
        assert (later.updated, later.checked >= now.checked) == (now.updated, True)
        # nor is anything new for a server without conditional requests
        found.server.route(NAME, content(first.data))
        assert (await place.updated()).updated is False
        assert found.asked() == (1, 1)
        assert len(place.caller.signals(MANAGER_PATH, "CatalogChanged")) == 1

        second = found.edition("school", "library")
        found.publish(second)
        result = await place.updated()
        assert (result.added, result.changed, result.removed) == (("library",), (), ("exam",))
        assert place.files["distros.json.previous"] == first.data
        assert (await place.caller.client.distribution("library")).name == "Library"
        daemon = place.daemon
    async with running(daemon, found) as again:
        assert await again.listed() == {"school": "School", "library": "Library"}
        assert (await again.status()).serial == found.serials
        # the next question names the edition at hand
        found.publish(second)
        assert (await again.updated()).updated is False
        assert found.asked() == (1, 0)


async def test_recipes_come_with_an_update(found: Remote, tmp_path: Path) -> None:
    """They count at the next look, without a restart; a broken one is told and leaves the good one in force."""
    image = build_iso(tmp_path / "mine.iso", {"only-here": x86_kernel()}, "-R")
    variant = {"id": "main", "method": "linux", "firmware": ["bios"], "kernel": ["/only-here"]}
    fields = {"id": "mine", "version": 1, "family": "mine", "priority": 50, "system": "Mine"}
    recipe = {**fields, "match": {"all": ["/only-here"]}, "variants": [variant]}
    async with place_of(found) as place:

        async def seen() -> tuple[str, str, int]:
            fd = os.open(image, os.O_RDONLY)
            try:
                report = await place.caller.client.inspect(fd, "mine.iso")
            finally:
                os.close(fd)
            return report.recipe, report.system, report.recipe_version

        assert (await seen())[0] == ""
        found.publish(found.edition("school", recipes=[recipe]))
        assert (await place.updated()).updated
        assert await seen() == ("mine", "Mine", 1)
        broken = {**recipe, "version": 3, "system": "Broken", "of a newer version": True}
        found.publish(found.edition("school", recipes=[{**recipe, "version": 2, "system": "Newer"}, broken]))
        assert (await place.updated()).updated
        assert await seen() == ("mine", "Newer", 2)
        (problem,) = (await place.status()).problems
        assert problem.startswith("a boot recipe is not used: catalog, recipe 2: ")
        book = await place.caller.client.recipes()
        (mine,) = (one for one in book.recipes if one.id == "mine")
        assert (mine.origin, mine.version, mine.systems) == ("catalog", 2, ("Newer",))
        assert (len(book.recipes) > 40, len(book.problems)) == (True, 1)
        daemon = place.daemon
    async with running(daemon, found) as place:
        assert await seen() == ("mine", "Newer", 2)


async def test_a_pair_that_is_torn_is_fetched_again(found: Remote) -> None:
    """The remote is changing: first the document is newer than the signature, then both fit."""
    async with place_of(found) as place:
        old, new = found.edition("school"), found.edition("school", "exam")
        found.publish(replace(new, signature=old.signature), new)
        assert (await place.updated()).added == ("exam", "school")
        assert found.asked() == (2, 2)
        # the same with an edition in force, which the second question must not be about
        third = found.edition("school")
        found.publish(replace(third, signature=new.signature), third)
        assert (await place.updated()).removed == ("exam",)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def settled(found: Remote) -> AsyncIterator[Place]:
    """A daemon with a good edition in force, serial 1000."""
    async with place_of(found) as place:
        found.publish(found.edition("school", serial=1000))
        assert (await place.updated()).updated
        yield place


def wrong_key(found: Remote) -> Edition:
    return found.edition("trojan", serial=1001, signer=found.other)


def no_release(found: Remote) -> Edition:
    document = json.loads(found.document("trojan", serial=1001))
    document["distributions"][0]["releases"][0]["sha256"] = "short"
    return found.signed(json.dumps(document).encode())


EXPIRED = "2026-01-01T00:00:00Z"
BAD: dict[str, tuple[Callable[[Remote], Edition], str, tuple[str, ...]]] = {
    "another's key": (wrong_key, "VerificationFailed", ("made by the key", "not among the keys given")),
    "a rollback": (lambda found: found.edition("trojan", serial=999), "VerificationFailed", ("serial 999 < 1000",)),
    "an expired one": (
        lambda found: found.edition("trojan", serial=1001, expires=EXPIRED),
        "VerificationFailed",
        ("expired on 2026-01-01 00:00 UTC (serial 1001)", "clock says"),
    ),
    "the same serial": (
        lambda found: found.edition("trojan", serial=1000),
        "VerificationFailed",
        ("two different catalogues of the same serial 1000",),
    ),
    "no serial": (
        lambda found: no_field(found, "serial"),
        "VerificationFailed",
        ("has no serial",),
    ),
    "no expiry": (lambda found: no_field(found, "expires"), "VerificationFailed", ("does not say when it expires",)),
    "a clock behind": (
        lambda found: found.edition("trojan", serial=1001, last_updated="2098-01-01"),
        "Failed",
        ("this machine's clock says", "before the catalogue was made (2098-01-01"),
    ),
    "no catalogue": (no_release, "InvalidCatalog", ("$.distributions[0].releases[0].sha256", 'found "short"')),
    "a newer format": (
        lambda found: found.edition("trojan", serial=1001, version="3.0"),
        "InvalidCatalog",
        ("update luxusbd to read this catalogue",),
    ),
    "a changed document": (
        lambda found: replace(found.edition("trojan", serial=1001), data=found.document("trojan", serial=1001) + b" "),
        "VerificationFailed",
        ("does not fit the catalogue",),
    ),
    "no signature": (
        lambda found: Edition(found.document("trojan", serial=1001), b"<html>"),
        "VerificationFailed",
        ("no signature that could be checked",),
    ),
    "nothing at all": (lambda found: Edition(b"", b""), "VerificationFailed", ("no signature",)),
}


def no_field(found: Remote, name: str) -> Edition:
    document = json.loads(found.document("trojan", serial=1001))
    del document[name]
    return found.signed(json.dumps(document).encode())


async def refused(place: Place, error: str, said: tuple[str, ...]) -> None:
    """An update fails with this error, and what was in force is untouched on the disk and on the bus."""
    before, status_before = place.files, await place.status()
    job = await place.update()
    assert (job.state, job.error_name) == (JobState.FAILED, ERROR + error), job.error_message
    assert [words for words in said if words not in job.error_message] == [], job.error_message
    assert place.files == before
    assert await place.status() == status_before
    assert await place.listed() == {"school": "School"}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_edition_changes_nothing(settled: Place, name: str) -> None:
    make, error, said = BAD[name]
    settled.remote.publish(make(settled.remote))
    await refused(settled, error, said)


@pytest.mark.parametrize(
    ("path", "move", "said"),
    [
        (NAME, status("404 Not Found"), ("distros.json: answered 404",)),
        (SIGNATURE, status("404 Not Found"), ("distros.json.asc: answered 404",)),
        (NAME, raw(b"HTTP/1.1 200 OK\r\nContent-Length: 33554433\r\n\r\n", then="hang"), ("sends more than 32.0 MiB",)),
        (NAME, raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), ("closed the connection before the end",)),
        (NAME, status("200 OK", "Content-Type: text/html", body=b"<html>"), ("a web page instead of the file",)),
    ],
)
async def test_a_bad_server_changes_nothing(settled: Place, path: str, move: Move, said: tuple[str, ...]) -> None:
    assert MAX_DOCUMENT == 33554432
    settled.remote.publish(settled.remote.edition("trojan", serial=1001))
    settled.remote.server.route(path, move)
    await refused(settled, "NetworkFailed", said)


async def test_after_a_bad_one_a_good_edition_is_taken(found: Remote) -> None:
    """By a service of its own: the others here have to find the edition in force that they know, in whatever order."""
    async with place_of(found) as place:
        found.publish(found.edition("school", serial=1000))
        assert (await place.updated()).updated
        found.publish(wrong_key(found))
        await refused(place, "VerificationFailed", ("made by the key",))
        found.publish(found.edition("school", "exam", serial=1002))
        assert (await place.updated()).added == ("exam",)


async def test_an_edition_that_expires_while_nothing_newer_comes(found: Remote) -> None:
    """A freeze: who is in between answers for ever that there is none newer."""
    async with place_of(found) as place:
        # the daemon has to fetch and check it before it expires, on a busy machine, too
        found.publish(found.edition("school", days=15 / 86400))
        assert (await place.updated()).updated
        expires = (await place.status()).expires
        await asyncio.sleep(max(0.0, expires - time.time()) + 0.1)
        # what is in force stays, and says so
        assert await place.listed() == {"school": "School"}
        (problem,) = (await place.status()).problems
        assert problem.startswith("the catalogue expired on ")
        await refused(place, "VerificationFailed", ("the remote has no newer one",))
        found.publish(found.edition("school", "exam"))
        assert (await place.updated()).added == ("exam",)
        assert (await place.status()).problems == ()


async def test_the_newest_edition_cannot_be_read(found: Remote) -> None:
    async with place_of(found) as place:
        latest = found.edition("school", "exam", serial=found.serials + 2)
        for edition in (found.edition("school", serial=found.serials - 1), latest):
            found.publish(edition)
            await place.updated()
        daemon = place.daemon
    (daemon.state / "cache" / "distros.json").write_bytes(latest.data[:-20])
    async with running(daemon, found) as place:
        assert await place.listed() == {"school": "School"}
        now = await place.status()
        assert now.previous
        assert "distros.json: not used" in now.problems[0]
        # it is fetched again although it is not newer
        assert (await place.updated()).added == ("exam",)
        assert not (await place.status()).previous


async def test_a_key_that_counts_no_more(found: Remote) -> None:
    """Who takes a key out of the configuration takes back what it signed."""
    async with place_of(found) as place:
        found.publish(found.edition("school"))
        await place.updated()
        daemon = place.daemon
    daemon.config = found.config.replace(found.maker, found.other)
    async with running(daemon, found) as place:
        assert await place.listed() == {}
        assert "no key of catalog.update_fingerprints vouches" in (await place.status()).problems[0]
        job = await place.update()
        assert "is not one of those that may sign" in job.error_message


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("", ("set catalog.update_url, catalog.update_key and", "luxusbd.toml")),
        ('[catalog]\nupdate_url = "ftp://one.example"\n', ("catalog.update_url", "no http or https address")),
        ('[catalog]\nupdate_url = "https://one.example/c"\n', ("catalog.update_key is empty",)),
        (
            '[catalog]\nupdate_url = "https://one.example/c"\nupdate_key = "/none"\n',
            ("catalog.update_fingerprints is empty",),
        ),
        (
            '[catalog]\nupdate_url = "https://one.example/c"\nupdate_key = "/none"\nupdate_fingerprints = ["AB CD"]\n',
            ("'ABCD' is no full fingerprint",),
        ),
    ],
)
async def test_what_is_not_configured_is_named(found: Remote, config: str, said: tuple[str, ...]) -> None:
    async with place_of(found, config) as place:
        with pytest.raises(DaemonError) as caught:
            await place.caller.client.update_catalog()
        assert caught.value.name == ERROR + "InvalidConfiguration"
        assert [words for words in said if words not in caught.value.why] == [], caught.value.why
        assert await place.caller.client.jobs() == ()
        cli = Cli(place.daemon.address, place.daemon.directory)
        refusal = Refusal("InvalidConfiguration", said, ["luxusbd.toml"])
        await cli.refused(refusal, "catalog", "update")


async def test_a_key_file_that_is_none(found: Remote) -> None:
    for content_of_it, said in ((None, "cannot be read: No such file"), (b"rubbish", "holds no OpenPGP public key")):
        async with place_of(found, found.config.replace("/key", "/wrong")) as place:
            found.publish(found.edition("school"))
            path = found.directory / "wrong"
            path.unlink(missing_ok=True)
            if content_of_it is not None:
                path.write_bytes(content_of_it)
            job = await place.update()
            assert job.error_name == ERROR + "InvalidConfiguration"
            assert f"catalog.update_key: {path}" in job.error_message
            assert said in job.error_message


async def test_what_the_command_says(found: Remote) -> None:
    async with place_of(found) as place:
        cli = Cli(place.daemon.address, place.daemon.directory)
        found.publish(found.edition("school"))
        said = await cli.text("catalog", "update")
        assert said.splitlines()[-2:] == ["new: school", f"The catalogue was updated (serial {found.serials})."]
        assert (await cli.text("catalog", "update")).splitlines()[-1] == (
            f"The catalogue is up to date (serial {found.serials})."
        )
        assert (await cli.json("catalog", "update"))["job"]["result"]["updated"] is False
        assert (await cli.json("catalog", "status"))["status"]["serial"] == found.serials
        assert found.maker in await cli.text("catalog", "status")
        assert "school" in await cli.text("distros")
        found.publish(wrong_key(found))
        failed = await cli.run("catalog", "update")
        assert failed.code == 1
        assert f"made by the key {found.other}" in failed.err


async def test_asked_for_twice_it_is_one_job(found: Remote) -> None:
    async with place_of(found) as place:
        found.publish(found.edition("school"))
        found.server.route(NAME, raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", then="hang"))
        path = await place.caller.client.update_catalog()
        assert await place.caller.client.update_catalog() == path
        await place.caller.client.cancel(path)
        assert (await place.caller.finished(path)).state is JobState.CANCELLED
        assert place.files == {}


@pytest.mark.parametrize("victim", ["core", "transfer"])
async def test_a_process_that_is_killed_while_it_is_fetched(found: Remote, victim: str) -> None:
    hanging = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", then="hang")
    async with place_of(found) as place:
        found.publish(good := found.edition("school"))
        found.server.route(NAME, hanging, content(good.data, good.etag))
        path = await place.caller.client.update_catalog()
        async with asyncio.timeout(30):
            while found.asked()[0] == 0:
                await asyncio.sleep(0.01)
        if victim == "transfer":
            os.kill(place.daemon.pids(TRANSFER)[0], signal.SIGKILL)
            await place.caller.succeeded(path)
            assert await place.listed() == {"school": "School"}
            return
        await place.daemon.kill()
        daemon = place.daemon
        async with running(daemon, found) as again:
            # it is taken up by itself
            async with asyncio.timeout(30):
                while await again.listed() != {"school": "School"}:
                    await asyncio.sleep(0.05)
            assert again.files["distros.json"] == good.data


@pytest.mark.root
async def test_the_checker_runs_as_somebody_else(found: Remote) -> None:
    """As root the daemon lets neither fetching nor checking be done by root."""
    async with place_of(found, found.config + '[transfer]\nuser = "nobody"\n') as place:
        found.publish(found.edition("school"))
        (found.directory / "key").chmod(0o644)
        assert (await place.updated()).added == ("school",)
