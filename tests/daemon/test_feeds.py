"""The real daemon asks makers for newer releases: in an update, before a download, and when a file is gone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from luxusb_cli.errors import DaemonError
from luxusb_cli.model import JobState
from luxusb_cli.remote import UpdateResult

from tests.daemon.cli import Cli
from tests.daemon.daemon import TRANSFER
from tests.daemon.feeds import Setting, file_of, sha256
from tests.daemon.remote import Remote, remote
from tests.harness.maker import Maker
from tests.harness.tls import Authority, make_authority

pytestmark = pytest.mark.asyncio(loop_scope="module")

ERROR = "org.luxusb.Error."
MANAGER_PATH = "/org/luxusb/Manager"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    found = make_authority(tmp_path_factory.mktemp("tls"))
    with pytest.MonkeyPatch.context() as patch:
        # what OpenSSL reads instead of the system's authorities; the daemon hands it on
        patch.setenv("SSL_CERT_FILE", str(found.file))
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def found() -> AsyncIterator[Remote]:
    async with remote() as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def maker(authority: Authority) -> AsyncIterator[Maker]:
    async with Maker(authority.good) as running:
        yield running


@pytest.fixture
def setting(found: Remote, maker: Maker, rolling: bool) -> Iterator[Setting]:
    with tempfile.TemporaryDirectory(prefix="lux-") as place:
        Path(place).chmod(0o755)
        made = Setting(maker, found, Path(place), rolling)
        for name in made.ids:
            made.release(name, "1")
        made.prepare()
        yield made


@pytest.fixture
def rolling() -> bool:
    return False


ROLLING = pytest.mark.parametrize("rolling", [True])


async def test_newer_releases_come_and_stay(setting: Setting) -> None:
    async with setting.running():
        first = await setting.updated()
        assert (first.updated, first.feeds_asked, first.feeds_changed, first.feeds_failed) == (False, 3, 0, 0)
        # the catalogue had no signature for it, and the maker's list has
        assert await setting.known() == ("1", "signed", "feed")
        setting.release("one", "1", "2")
        result = await setting.updated()
        assert (result.updated, result.changed, result.added, result.removed) == (False, ("one",), (), ())
        assert (result.feeds_asked, result.feeds_changed, result.feeds_unchanged) == (3, 1, 2)
        assert await setting.known() == ("2", "signed", "feed")
        assert (await setting.known("two"))[0] == "1"
        told = [heard.signal.body for heard in setting.caller.signals(MANAGER_PATH, "CatalogChanged")]
        assert told == [["cache"], ["feed"], ["feed"]]
        now = await setting.caller.client.catalog_status()
        assert (now.problems, now.feeds_failed) == ((), ())
        assert now.feeds_asked > 0
        # nothing new: the list is not even sent again
        setting.maker.asked.clear()
        assert (await setting.updated()).feeds_unchanged == 3
        assert {one.status for one in setting.maker.asked} == {304}
        assert len(setting.caller.signals(MANAGER_PATH, "CatalogChanged")) == 3
        later = await setting.caller.client.catalog_status()
        assert later.feeds_asked >= now.feeds_asked
    async with setting.running():
        assert await setting.known() == ("2", "signed", "feed")
        assert (await setting.caller.client.catalog_status()).feeds_asked == later.feeds_asked
        assert (await setting.download()).result["signed_by"] == setting.remote.maker


async def test_a_bad_signature_keeps_the_old_release_and_says_so(setting: Setting) -> None:
    async with setting.running():
        await setting.updated()
        setting.release("one", "1", "2", signer=setting.remote.other)
        setting.release("two", "1", "2")
        result = await setting.updated()
        assert (result.feeds_changed, result.feeds_failed, result.failed_feeds) == (1, 1, ("one",))
        (problem,) = result.feed_problems
        assert problem.startswith(f"feed one: {setting.maker.at('one/SHA256SUMS')}: ")
        assert "not among the keys given" in problem
        assert await setting.known() == ("1", "signed", "feed")
        assert (await setting.known("two"))[0] == "2"
        now = await setting.caller.client.catalog_status()
        assert (now.problems, now.feeds_failed) == ((problem,), ("one",))
    async with setting.running():
        assert (await setting.caller.client.catalog_status()).problems == (problem,)
        # mended, it is read although its document is the same
        setting.release("one", "1", "2")
        assert (await setting.updated("one")).feeds_changed == 1
        assert (await setting.known())[0] == "2"


async def test_one_broken_feed_spoils_no_other(setting: Setting) -> None:
    async with setting.running():
        setting.release("one", "1", "2")
        setting.maker.put("two/SHA256SUMS", b"<html>no such list</html>")
        del setting.maker.files["three/SHA256SUMS"]
        result = await setting.updated()
        assert (result.feeds_changed, result.feeds_failed, result.failed_feeds) == (1, 2, ("three", "two"))
        assert [(await setting.known(name))[0] for name in setting.ids] == ["2", "1", "1"]


async def test_all_feeds_fail(setting: Setting) -> None:
    async with setting.running():
        await setting.updated()
        before = setting.file.read_bytes()
        for name in setting.ids:
            setting.maker.files[f"{name}/SHA256SUMS"] = b""
        job = await setting.update()
        assert (job.state, job.error_name) == (JobState.FAILED, ERROR + "Failed")
        assert job.error_message.startswith("none of 3 feeds could be read, and the releases stay as they are: feed ")
        job = await setting.update("one")
        assert job.error_message.startswith("feed one: ")
        assert await setting.known() == ("1", "signed", "feed")
        releases = json.loads(before)["feeds"]["one"]["releases"]
        assert json.loads(setting.file.read_bytes())["feeds"]["one"]["releases"] == releases


@pytest.mark.parametrize("config", ["", "dead"])
async def test_without_a_remote_or_with_a_dead_one(found: Remote, maker: Maker, config: str) -> None:
    """Here a packaged system has a feed of ours: a remote is not needed, and a dead one holds up nothing."""
    with tempfile.TemporaryDirectory(prefix="lux-") as place:
        made = Setting(maker, found, Path(place), ids=("kali",), follow=False)
        made.release("kali", "99999")
        made.prepare()
        if config:
            found.server.route("/distros.json")
            del found.server._routes["/distros.json"]
        else:
            made.daemon.config = "\n".join(line for line in made.daemon.config.splitlines() if "update_" not in line)
        async with made.running():
            job = await made.update("kali")
            assert (await made.known("kali"))[0] == "99999"
            if config:
                assert job.error_name == ERROR + "NetworkFailed"
                assert "the feeds are asked all the same" in await made.history(job)
                return
            result = UpdateResult.from_wire(job.result)
            assert (result.updated, result.serial, result.changed) == (False, 0, ("kali",))
            with pytest.raises(DaemonError, match="no catalogue to update from is configured"):
                await made.caller.client.update_catalog()


@pytest.mark.parametrize(
    ("feeds", "ids", "error", "said"),
    [
        (True, ["nothing"], "DistributionNotFound", "no distribution 'nothing'"),
        (False, ["one"], "InvalidArgument", "give the option feeds, too"),
        (True, ["four"], "InvalidArgument", "Four has no feed"),
    ],
)
async def test_what_cannot_be_asked_is_said(
    setting: Setting, feeds: bool, ids: list[str], error: str, said: str
) -> None:
    entries = [setting.entry(name) for name in (*setting.ids, "four")]
    setting.remote.publish(setting.remote.edition(distributions=entries))
    async with setting.running():
        with pytest.raises(DaemonError) as caught:
            await setting.caller.client.update_catalog(feeds=feeds, ids=ids)
        assert caught.value.name == ERROR + error
        assert said in caught.value.why


async def until(setting: Setting, *paths: str) -> None:
    """Wait until the maker was asked for all of these."""
    async with asyncio.timeout(30):
        while not set(paths) <= set(setting.maker.paths()):
            await asyncio.sleep(0.01)


async def test_a_cancelled_update_keeps_what_came(setting: Setting) -> None:
    async with setting.running():
        await setting.updated()
        for name in setting.ids:
            setting.release(name, "1", "2")
        setting.maker.silent.add("three/SHA256SUMS.gpg")
        path = await setting.caller.client.update_catalog(feeds=True, ids=setting.ids)
        assert await setting.caller.client.update_catalog(feeds=True, ids=setting.ids) == path
        async with asyncio.timeout(30):
            while (await setting.caller.client.job(path)).bytes_done < 2:
                await asyncio.sleep(0.01)
        job = await setting.caller.client.job(path)
        assert (job.stage, job.bytes_done, job.bytes_total) == ("feeds", 2, 3)
        await setting.caller.client.cancel(path)
        assert (await setting.caller.finished(path)).state is JobState.CANCELLED
        assert [(await setting.known(name))[0] for name in setting.ids] == ["2", "2", "1"]


@pytest.mark.parametrize("victim", ["core", "transfer"])
async def test_a_process_is_killed_meanwhile(setting: Setting, victim: str) -> None:
    async with setting.running():
        await setting.updated()
        for name in setting.ids:
            setting.release(name, "1", "2")
        setting.maker.silent.add("three/SHA256SUMS.gpg")
        path = await setting.caller.client.update_catalog(feeds=True, ids=setting.ids)
        async with asyncio.timeout(30):
            while (await setting.caller.client.job(path)).bytes_done < 2:
                await asyncio.sleep(0.01)
        setting.maker.silent.clear()
        if victim == "transfer":
            os.kill(setting.daemon.pids(TRANSFER)[0], signal.SIGKILL)
            job = await setting.caller.succeeded(path)
            assert UpdateResult.from_wire(job.result).feeds_changed == 3
            return
        await setting.daemon.kill()
    async with setting.running():
        # what came is there at once, and the job is taken up by itself
        assert [(await setting.known(name))[0] for name in ("one", "two")] == ["2", "2"]
        async with asyncio.timeout(30):
            while (await setting.known("three"))[0] != "2":
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("harm", ["torn", "foreign", "of another"])
async def test_a_file_that_is_none_is_reported_and_skipped(setting: Setting, harm: str) -> None:
    async with setting.running():
        setting.release("one", "1", "2")
        await setting.updated()
    data = setting.file.read_bytes()
    document = json.loads(data)
    document["feeds"]["one"]["releases"][0]["iso_url"] = "https://evil.example/x.iso"
    setting.file.write_bytes(
        {"torn": data[:-20], "foreign": b"\xff\0", "of another": json.dumps(document).encode()}[harm]
    )
    async with setting.running():
        assert (await setting.known())[0] == "1"
        (problem,) = (await setting.caller.client.catalog_status()).problems
        assert problem.startswith(f"{setting.file}: ")
        assert "not used" in problem
        # of what was whole, nothing is lost
        assert (await setting.known("two"))[2] == ("feed" if harm == "of another" else "cache")
        assert (await setting.updated()).feeds_changed == 1
        assert (await setting.known())[0] == "2"
        assert (await setting.caller.client.catalog_status()).problems == ()


@pytest.mark.parametrize("given", ["url", "wrong", "nothing"])
async def test_a_key_that_is_not_at_hand(setting: Setting, given: str) -> None:
    """It is fetched from where the catalogue says, and taken only if the fingerprint is the pinned one."""
    (setting.directory / "s" / "keys.d" / f"{setting.remote.maker}.asc").unlink()
    keys = setting.remote.keys
    setting.maker.put("key", keys.export(setting.remote.other if given == "wrong" else setting.remote.maker))
    entries = [setting.entry(name) for name in setting.ids]
    if given != "nothing":
        entries[0] |= {"key_fingerprint": setting.remote.maker, "key_url": setting.maker.at("key")}
        entries[0]["releases"][0] |= {"sums_url": setting.maker.at("one/SHA256SUMS")}
    setting.remote.publish(setting.remote.edition(distributions=entries))
    async with setting.running():
        setting.release("one", "1", "2")
        job = await setting.update("one")
        if given == "url":
            assert (await setting.known())[:2] == ("2", "signed")
            kept = setting.daemon.state / "cache" / "keys" / f"{setting.remote.maker}.gpg"
            assert kept.read_bytes() == keys.export(setting.remote.maker)
            return
        assert job.state is JobState.FAILED
        said = "holds is not the key" if given == "wrong" else "the key of its maker is not at hand"
        assert said in job.error_message
        assert (await setting.known())[0] == "1"


# Downloads


@ROLLING
async def test_a_rolling_release_is_asked_for_first(setting: Setting) -> None:
    async with setting.running():
        await setting.updated()
        setting.release("one", "2")
        del setting.maker.files[file_of("one", "1")]
        job = await setting.download()
        assert job.state is JobState.SUCCEEDED, job.error_message
        assert job.result["name"] == "one-2.iso"
        assert job.details.reference == "distro:one@2"
        assert "from One 1 to One 2, of which its maker tells now" in await setting.history(job)
        assert await setting.known() == ("2", "signed", "feed")
        # what is there is not asked about again
        setting.maker.asked.clear()
        assert (await setting.download()).result["name"] == "one-2.iso"
        assert setting.maker.asked == []


@ROLLING
async def test_a_feed_that_fails_leaves_the_known_release(setting: Setting) -> None:
    async with setting.running():
        await setting.updated()
        setting.release("one", "1", "2", signer=setting.remote.other)
        job = await setting.download()
        assert job.result["name"] == "one-1.iso"
        assert "not among the keys given" in await setting.history(job)
        setting.maker.put("two/SHA256SUMS", b"<html>")
        assert (await setting.download("two")).result["name"] == "two-1.iso"
        assert (await setting.download("three")).result["name"] == "three-1.iso"


async def test_a_file_that_is_gone_is_looked_for_anew(setting: Setting) -> None:
    async with setting.running():
        await setting.updated()
        setting.release("one", "2", "3")
        del setting.maker.files[file_of("one", "1")]
        setting.maker.asked.clear()
        job = await setting.download()
        assert job.state is JobState.SUCCEEDED, job.error_message
        assert job.result["name"] == "one-3.iso"
        assert "from One 1 to One 3" in await setting.history(job)
        # without a newer one it is said as before
        del setting.maker.files[file_of("two", "1")]
        job = await setting.download("two")
        assert (job.state, job.error_name) == (JobState.FAILED, ERROR + "Gone")
        assert "no mirror has this file" in job.error_message
        left = [path.name for path in (setting.daemon.state / "incoming").iterdir()]
        assert [name for name in left if name.startswith(sha256("one", "1"))] == []


async def test_the_downloads_of_a_stick_keep_to_the_plan(setting: Setting) -> None:
    """Its file is gone: the job fails, and a new plan has what the maker has now."""
    async with setting.running():
        await setting.updated()
        client = setting.caller.client
        target = await setting.caller.target(setting.directory / "stick.img", 1 << 30)
        planned = await setting.caller.plan([target], ["distro:one"])
        setting.release("one", "2", "3")
        del setting.maker.files[file_of("one", "1")]
        job = await setting.caller.failed(await client.create(planned.token))
        assert job.error_name == ERROR + "Gone"
        assert "Its maker has One 3 by now: plan anew to take that" in job.error_message
        again = await setting.caller.plan([target], ["distro:one"])
        assert [one.name for one in again.images] == ["one-3.iso"]


@ROLLING
async def test_a_download_is_cancelled_while_its_feed_is_silent(setting: Setting) -> None:
    async with setting.running():
        await setting.updated()
        setting.maker.silent.add("one/SHA256SUMS")
        setting.maker.asked.clear()
        path = await setting.caller.client.download("distro:one")
        await until(setting, "one/SHA256SUMS")
        job = await setting.caller.client.job(path)
        assert job.stage == "feeds"
        await setting.caller.client.cancel(path)
        assert (await setting.caller.finished(path)).state is JobState.CANCELLED
        setting.maker.silent.clear()
        assert (await setting.download()).state is JobState.SUCCEEDED


async def test_what_the_command_says(setting: Setting) -> None:
    async with setting.running():
        cli = Cli(setting.daemon.address, setting.daemon.directory)
        setting.release("one", "1", "2")
        setting.release("two", "1", "2", signer=setting.remote.other)
        said = (await cli.text("catalog", "update", "--feeds", *setting.ids)).splitlines()
        assert said[-2] == "3 feeds were asked: 1 with newer releases, 1 without, 1 failed."
        assert (await cli.json("catalog", "update", "--feeds", "one"))["job"]["result"]["feeds_unchanged"] == 1
        status = (await cli.json("catalog", "status"))["status"]
        assert status["feeds_failed"] == ["two"]
        text = await cli.text("catalog", "status")
        assert "makers asked" in text
        assert "not among the keys given" in text
