"""Another remote for the catalogue, set while the service runs, by an administrator.

Who names the remote names the key that signs it, so that all of it is changed together and nothing is half done: first
the key is in a file of ours, then the settings name it, then the catalogue follows.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from luxusbd.catalog.files import bytes_of
from luxusbd.config import CatalogConfig
from luxusbd.durable import replace_file
from luxusbd.errors import (
    CatalogError,
    ConfigError,
    InvalidArgumentError,
    JobStateError,
    MalformedImageError,
    host_error,
)
from luxusbd.jobs.catalogupdate import CatalogUpdates
from luxusbd.jobs.checking import Checker
from luxusbd.jobs.remote import Remote
from luxusbd.jobs.steering import Steering
from luxusbd.jobs.views import RemoteWishes
from luxusbd.text import clean, without_secrets
from luxusbd.transfer.openpgp import MAX_KEY

PREFIX = "catalog-key-"
"""Of the files of keys in the state directory; the rest of a name is the hash of the content."""

log = logging.getLogger(__name__)


class CatalogRemotes:
    """Changes the remote. `directory` is where its key is kept."""

    def __init__(self, steering: Steering, updates: CatalogUpdates, checker: Checker, directory: Path) -> None:
        self._steering = steering
        self._updates = updates
        self._checker = checker
        self._directory = directory
        self._changing = asyncio.Lock()

    async def set(self, wishes: RemoteWishes, key: int | None) -> Sequence[str]:
        """Follow another remote; the fingerprints of the keys whose signature counts then.

        Args:
            wishes: which one.
            key: a file with its key, which stays the caller's; None for the one that is known.

        Raises:
            InvalidArgumentError: the address, the key or a fingerprint is not right; the text says which.
            JobStateError: an update runs or waits.
            LuxusbError: the disk failed.
        """
        given = bool(wishes.url or wishes.signature_url or wishes.fingerprints or key is not None)
        if wishes.configured and given:
            raise InvalidArgumentError("the option configured takes back what was set; give nothing else with it")
        if given and not wishes.url:
            raise InvalidArgumentError("an empty address switches the remote off; give no key and no signature with it")
        async with self._changing:
            wanted = None if wishes.configured else await self._wanted(wishes, key)
            if self._updates.busy:
                raise JobStateError("the catalogue is being updated; wait for the job, or cancel it, and try again")
            await self._steering.set_remote(wanted)
            config = self._steering.config.catalog
            await self._updates.use(config)
            await asyncio.to_thread(self._clean, config.update_key)
        return config.update_fingerprints if config.update_url else ()

    async def _wanted(self, wishes: RemoteWishes, key: int | None) -> CatalogConfig:
        if not wishes.url:
            return CatalogConfig()
        for url in (wishes.url, wishes.signature_url):
            _check_https(url)
        config = self._steering.config.catalog
        pinned = tuple("".join(each.split()).upper() for each in wishes.fingerprints)
        place = Path(config.update_key)
        data = b""
        if key is not None:
            data = await _read(key)
            try:
                there = await self._checker.keys(data)
            except MalformedImageError as error:
                raise InvalidArgumentError(error.message) from error
            if strangers := [each for each in pinned if each not in there]:
                raise InvalidArgumentError(
                    f"the key file does not hold {clean(strangers[0], 80)!r}; it holds {', '.join(there)}"
                )
            pinned = pinned or there
            place = self._directory / f"{PREFIX}{hashlib.sha256(data).hexdigest()[:32]}.gpg"
        elif not config.update_key:
            raise InvalidArgumentError(
                "no key is known by which the catalogue of that address is signed: give the file with it, too"
            )
        wanted = replace(
            config,
            update_url=wishes.url,
            update_signature_url=wishes.signature_url,
            update_key=str(place),
            update_fingerprints=pinned or config.update_fingerprints,
        )
        try:
            Remote.of(wanted)
        except ConfigError as error:
            raise InvalidArgumentError(error.message) from error
        if data:
            await asyncio.to_thread(_write, place, data)
        return wanted

    def _clean(self, used: str) -> None:
        for path in self._directory.glob(f"{PREFIX}*"):
            if str(path) != used:
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    log.warning("an old key of the catalogue stays: %s", error)


def _check_https(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:
        good = False
    if url and not good:
        raise InvalidArgumentError(f"{clean(without_secrets(url), 200)!r} is no https address")


async def _read(key: int) -> bytes:
    try:
        return await asyncio.to_thread(bytes_of, key, "the key file", MAX_KEY)
    except CatalogError as error:
        raise InvalidArgumentError(error.message) from error
    except OSError as error:
        raise InvalidArgumentError(f"the key file cannot be read: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    try:
        replace_file(path, data)
    except OSError as error:
        raise host_error(error, f"writing {path}") from error
