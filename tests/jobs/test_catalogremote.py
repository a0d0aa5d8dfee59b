"""Another remote for the catalogue: what is taken, what is not, and that nothing is half done."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from luxusbd import configfile
from luxusbd.config import CatalogConfig, Config
from luxusbd.durable import beside
from luxusbd.errors import (
    FailedError,
    InvalidArgumentError,
    JobStateError,
    LuxusbError,
    MalformedImageError,
)
from luxusbd.jobs.catalogremote import PREFIX, CatalogRemotes
from luxusbd.jobs.views import RemoteWishes
from luxusbd.settings import FILE_NAME, ChangedSettings
from luxusbd.transfer.openpgp import MAX_KEY

URL = "https://school.example/distros.json"
KEY, OTHER = "AB" * 20, "CD" * 20
CONFIGURED = f'[catalog]\nupdate_url = "{URL}"\nupdate_key = "/k"\nupdate_fingerprints = ["{KEY}"]\n'


class Setting:
    """Real settings, and what would follow them."""

    def __init__(self, directory: Path, text: str = "") -> None:
        self.directory = directory
        base = configfile.parse(text, "x", Config())
        self.settings = ChangedSettings(base, directory / FILE_NAME)
        self.busy = False
        self.followed: list[CatalogConfig] = []
        self.there: Sequence[str] | LuxusbError = (KEY, OTHER)
        self.remotes = CatalogRemotes(self, self, self, directory)  # type: ignore[arg-type]

    # in the place of the steering
    @property
    def config(self) -> Config:
        return self.settings.config

    async def set_remote(self, remote: CatalogConfig | None) -> None:
        self.settings.set_remote(remote)

    # of the updates
    async def use(self, config: CatalogConfig) -> None:
        self.followed.append(config)

    # and of the process that checks
    async def keys(self, data: bytes) -> Sequence[str]:
        self.read = data
        if isinstance(self.there, LuxusbError):
            raise self.there
        return self.there

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.directory.glob(f"{PREFIX}*"))

    @property
    def catalog(self) -> CatalogConfig:
        return self.settings.config.catalog


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


@pytest.fixture
def key(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "given"
    path.write_bytes(b"the key")
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)


async def test_a_remote_with_its_key(setting: Setting, key: int) -> None:
    assert await setting.remotes.set(RemoteWishes(URL), key) == (KEY, OTHER)
    assert setting.catalog.update_url == URL
    assert Path(setting.catalog.update_key).read_bytes() == setting.read == b"the key"
    assert Path(setting.catalog.update_key).stat().st_mode & 0o777 == 0o600
    assert setting.followed == [setting.catalog]
    assert Setting(setting.directory).catalog == setting.catalog, "it outlives the daemon"
    again = f"{OTHER[:20].lower()} {OTHER[20:]}"
    assert await setting.remotes.set(RemoteWishes(URL, URL + ".sig", (again,)), key) == (OTHER,)
    assert setting.catalog.update_signature_url == URL + ".sig"
    first = setting.files
    # another address by the same key, and another key
    assert await setting.remotes.set(RemoteWishes("https://x.example/"), None) == (OTHER,)
    assert setting.files == first
    Path(setting.directory, "given").write_bytes(b"another key")
    await setting.remotes.set(RemoteWishes(URL), key)
    assert len(setting.files) == 1
    assert setting.files != first
    # off
    assert await setting.remotes.set(RemoteWishes(""), None) == ()
    assert setting.catalog == CatalogConfig()
    assert setting.files == []
    assert len(setting.followed) == 5


async def test_the_configuration_file_lies_below(tmp_path: Path, key: int) -> None:
    setting = Setting(tmp_path, CONFIGURED)
    configured = setting.catalog
    assert await setting.remotes.set(RemoteWishes("https://x.example/"), None) == (KEY,)
    assert setting.catalog.update_key == "/k", "its key is known"
    await setting.remotes.set(RemoteWishes(""), None)
    assert setting.catalog.update_url == ""
    assert await setting.remotes.set(RemoteWishes("", configured=True), None) == (KEY,)
    assert setting.catalog == configured
    assert setting.settings.changed == {}


@pytest.mark.parametrize(
    ("wishes", "given", "there", "said"),
    [
        (RemoteWishes("http://school.example/d.json"), True, (KEY,), "no https address"),
        (RemoteWishes("school.example"), True, (KEY,), "no https address"),
        (RemoteWishes("https://"), True, (KEY,), "no https address"),
        (RemoteWishes("https://[/"), True, (KEY,), "no https address"),
        (RemoteWishes("https://x.example/\n"), True, (KEY,), "no https address"),
        (RemoteWishes("http://u:secret@x.example/"), True, (KEY,), "no https address"),
        (RemoteWishes(URL, "http://x.example/sig"), True, (KEY,), "no https address"),
        (RemoteWishes(URL), False, (KEY,), "no key is known"),
        (RemoteWishes(URL, fingerprints=(KEY,)), False, (KEY,), "no key is known"),
        (RemoteWishes(URL, fingerprints=(OTHER,)), True, (KEY,), f"does not hold '{OTHER}'; it holds {KEY}"),
        (RemoteWishes(URL, fingerprints=("AB",)), True, (KEY,), "does not hold 'AB'"),
        (RemoteWishes(URL), True, MalformedImageError("holds no OpenPGP public key"), "no OpenPGP public key"),
        (RemoteWishes(""), True, (KEY,), "switches the remote off"),
        (RemoteWishes("", fingerprints=(KEY,)), False, (KEY,), "switches the remote off"),
        (RemoteWishes(URL, configured=True), False, (KEY,), "nothing else"),
        (RemoteWishes("", configured=True), True, (KEY,), "nothing else"),
    ],
)
async def test_what_is_refused_changes_nothing(
    setting: Setting, key: int, wishes: RemoteWishes, given: bool, there: Any, said: str
) -> None:
    setting.there = there
    with pytest.raises(InvalidArgumentError, match=said) as caught:
        await setting.remotes.set(wishes, key if given else None)
    assert "secret" not in str(caught.value)
    assert (setting.catalog, setting.followed, setting.files) == (CatalogConfig(), [], [])


@pytest.mark.parametrize("what", ["a pipe", "a large file"])
async def test_files_that_are_no_key(setting: Setting, tmp_path: Path, what: str) -> None:
    if what == "a pipe":
        fd, other = os.pipe()
        os.close(other)
    else:
        fd = os.open(tmp_path / "large", os.O_RDWR | os.O_CREAT)
        os.truncate(fd, MAX_KEY + 1)
    try:
        with pytest.raises(InvalidArgumentError, match=r"no regular file|larger than"):
            await setting.remotes.set(RemoteWishes(URL), fd)
    finally:
        os.close(fd)


async def test_not_while_an_update_runs(setting: Setting, key: int) -> None:
    setting.busy = True
    with pytest.raises(JobStateError, match="being updated"):
        await setting.remotes.set(RemoteWishes(URL), key)
    assert (setting.catalog, setting.followed) == (CatalogConfig(), [])


async def test_a_disk_that_fails_changes_nothing(setting: Setting, key: int) -> None:
    beside(setting.directory / FILE_NAME).mkdir()
    with pytest.raises((FailedError, OSError)):
        await setting.remotes.set(RemoteWishes(URL), key)
    assert (setting.catalog, setting.followed) == (CatalogConfig(), [])
