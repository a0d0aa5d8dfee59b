"""A maker of several systems, whose lists of releases the real daemon follows."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luxusb_cli.model import JobInfo, JobState
from luxusb_cli.remote import UpdateResult

from tests.catalog.test_catalog import named
from tests.daemon.caller import Caller
from tests.daemon.daemon import Daemon
from tests.daemon.remote import Remote
from tests.harness.maker import Maker

BEGIN = 4096
"""Bytes of an image whose hash begins with its version, so that no two are the same."""


def image(name: str, version: str) -> bytes:
    return f"{name} {version}".encode().ljust(BEGIN, b"\0")


def sha256(name: str, version: str) -> str:
    return hashlib.sha256(image(name, version)).hexdigest()


def file_of(name: str, version: str) -> str:
    return f"{name}/{name}-{version}.iso"


@dataclass
class Setting:
    """A maker of several systems, a catalogue that lists their first releases, and a daemon that knows both."""

    maker: Maker
    remote: Remote
    directory: Path
    rolling: bool = False
    config: str = ""
    daemon: Daemon = field(init=False)
    caller: Caller = field(init=False)
    ids: tuple[str, ...] = ("one", "two", "three")
    follow: bool = True
    """Whether the daemon has to be told of the catalogue first."""

    def release(self, name: str, *versions: str, signer: str = "", listed: bool = True) -> None:
        """Let the maker have these versions, and tell of them in a list that he signed."""
        lines = []
        for version in versions:
            self.maker.put(file_of(name, version), image(name, version))
            lines.append(f"{sha256(name, version)} *{name}-{version}.iso\n")
        if listed:
            sums = "".join(lines).encode()
            self.maker.put(f"{name}/SHA256SUMS", sums)
            self.maker.put(f"{name}/SHA256SUMS.gpg", self.remote.keys.sign(sums, signer or self.remote.maker))

    def prepare(self) -> None:
        """Write what the daemon reads, and publish the catalogue."""
        feeds = [
            {
                "id": name,
                "strategy": "directory_index",
                "url": self.maker.at(f"{name}/"),
                "listing": "sums",
                "sums": "SHA256SUMS",
                "signature": {"kind": "detached", "address": "{sums}.gpg", "keys": [self.remote.maker]},
                "images": [{"file": rf"{name}-(?P<version>[0-9]+)\.iso", "architecture": "amd64"}],
                "rolling": self.rolling,
            }
            for name in self.ids
        ]
        path = self.directory / "feeds.json"
        path.write_text(json.dumps({"version": 1, "feeds": feeds}))
        keys = self.directory / "s" / "keys.d"
        keys.mkdir(parents=True)
        (keys / f"{self.remote.maker}.asc").write_bytes(self.remote.keys.export(self.remote.maker, armor=True))
        entries = [self.entry(name) for name in self.ids]
        self.remote.publish(self.remote.edition(distributions=entries))
        text = self.remote.config.replace("[catalog]\n", f'[catalog]\nfeed_files = ["{path}"]\n') + self.config
        self.daemon = Daemon(self.directory, config=text)

    def entry(self, name: str) -> dict[str, Any]:
        """The first release, as the catalogue has it."""
        entry = named(name, name.title())["distributions"][0]
        entry["releases"] = [
            {
                "version": "1", "release_date": "", "iso_url": self.maker.at(file_of(name, "1")),
                "sha256": sha256(name, "1"), "size_mb": 0, "mirrors": [], "architecture": "amd64",
            }
        ]  # fmt: skip
        return dict(entry)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self.daemon, Caller.connect(self.daemon.address) as self.caller:
            if self.follow:
                await self.caller.succeeded(await self.caller.client.update_catalog())
                self.follow = False
            yield

    async def update(self, *ids: str) -> JobInfo:
        return await self.caller.finished(await self.caller.client.update_catalog(feeds=True, ids=ids or self.ids))

    async def updated(self, *ids: str) -> UpdateResult:
        job = await self.update(*ids)
        assert job.state is JobState.SUCCEEDED, (job.error_name, job.error_message)
        return UpdateResult.from_wire(job.result)

    async def known(self, name: str = "one") -> tuple[str, str, str]:
        """Newest version, its hash's owner and the origin."""
        entry = await self.caller.client.distribution(name)
        release = entry.releases[0]
        assert release.sha256 == sha256(name, release.version)
        return release.version, release.trust, entry.origin

    @property
    def file(self) -> Path:
        return self.daemon.state / "cache" / "feeds.json"

    async def download(self, name: str = "one") -> JobInfo:
        return await self.caller.finished(await self.caller.client.download(f"distro:{name}"))

    async def history(self, job: JobInfo) -> str:
        return "\n".join(job.details.log)
