"""The real daemon is told of another remote while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from luxusb_cli.model import JobState

from tests.daemon.caller import Caller
from tests.daemon.cli import Cli
from tests.daemon.daemon import Daemon
from tests.daemon.remote import Remote, remote
from tests.harness.maker import Maker
from tests.harness.tls import Authority


@dataclass
class School:
    """Publishes a signed list over https."""

    remote: Remote
    maker: Maker
    key: Path

    def publish(self, *ids: str, signer: str = "") -> str:
        """Its address."""
        edition = self.remote.edition(*ids, signer=signer)
        self.maker.put("distros.json.asc", edition.signature)
        return self.maker.put("distros.json", edition.data)


@pytest.fixture
async def school(authority: Authority, place: Path) -> AsyncIterator[School]:
    async with remote() as found, Maker(authority.good) as maker:
        yield School(found, maker, found.directory / "key")


@pytest.fixture
def settings(authority: Authority) -> str:
    """The daemon trusts the server."""
    return f'[network]\nca_file = "{authority.file}"\n'


async def names(caller: Caller) -> set[str]:
    return {entry.id for entry in await caller.client.distributions() if entry.origin == "cache"}


async def update(caller: Caller) -> JobState:
    return (await caller.finished(await caller.client.update_catalog())).state


async def test_another_remote(daemon: Daemon, caller: Caller, school: School, place: Path) -> None:
    cli = Cli(daemon.address, place / "home")
    url = school.publish("school")
    refused = await cli.run("catalog", "remote", url)
    assert (refused.code, "no key is known" in refused.err) == (2, True)
    said = await cli.json("catalog", "remote", url, "--key", school.key)
    assert said["remote"] == {
        "url": url, "signature_url": "", "fingerprints": [school.remote.maker], "origin": "set",
    }  # fmt: skip
    assert school.maker.asked == [], "nothing is fetched before an update"
    assert await update(caller) is JobState.SUCCEEDED
    assert await names(caller) == {"school"}
    assert (await caller.client.catalog_status()).url == url

    await daemon.stop()
    await daemon.start()
    async with Caller.connect(daemon.address) as again:
        assert await names(again) == {"school"}
        assert (await again.client.catalog_status()).url == url
        # a key that counts no more takes its edition along
        other = place / "other.key"
        other.write_bytes(school.remote.keys.export(school.remote.other))
        assert (await cli.run("catalog", "remote", url, "--key", other)).code == 0
        assert await names(again) == set()
        assert await update(again) is JobState.FAILED
        school.publish("later", signer=school.remote.other)
        assert await update(again) is JobState.SUCCEEDED
        assert await names(again) == {"later"}
        await again.client.set_catalog_remote("", {}, None)
        assert await names(again) == set()
        assert (await again.client.catalog_status()).url == ""
        assert (await cli.run("catalog", "remote", "--reset")).code == 0
        assert (await again.client.setting_origins())["catalog.update_url"] == "default"
        assert [path.name for path in (daemon.state).glob("catalog-key-*")] == []
