"""The logos of systems: fetched when somebody asks for one, kept on the disk, handed out as sealed files in memory.

The transfer process fetches them and writes them anew (`luxusbd.transfer.picture`); the core only carries bytes. Only
addresses of the catalogue that all users share are fetched: what a user wrote himself does not make the service
speak to anybody.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import replace

from luxusbd.catalog.catalog import Catalog
from luxusbd.errors import (
    DistributionNotFoundError,
    LimitExceededError,
    LuxusbError,
    NetworkError,
    NoLogoError,
)
from luxusbd.jobs.checking import sealed_file, sealed_room
from luxusbd.jobs.logocache import Kept, LogoCache
from luxusbd.jobs.transfers import Transfers
from luxusbd.text import clean, without_secrets
from luxusbd.transfer.picture import MAX_PICTURE
from luxusbd.transfer.smallmodel import Version

log = logging.getLogger(__name__)

FRESH = 7 * 86400
"""Seconds after which a server is asked whether its logo is still the same; the one at hand is shown meanwhile."""
AT_ONCE = 4
"""Logos that are fetched at a time; the others wait."""
WAITING = 100
"""Logos that may be fetched or wait."""
NETWORK_REST = 300
LOGO_REST = 86400
"""Seconds for which an address is not asked again: after a failure that may pass, and when there is no logo."""


class Logos:
    """Opens logos. `enabled`: whether any are fetched."""

    def __init__(self, transfers: Transfers, catalog: Catalog, cache: LogoCache, *, enabled: bool = True) -> None:
        self._transfers = transfers
        self._catalog = catalog
        self._cache = cache
        self._enabled = enabled
        self._running: dict[str, asyncio.Task[Kept]] = {}
        self._failures: dict[str, tuple[float, LuxusbError]] = {}
        """Until when (by the loop's clock) an address rests, and why."""
        self._free = asyncio.Semaphore(AT_ONCE)

    async def open(self, distribution_id: str, uid: int) -> int:
        """A read-only descriptor of a sealed file with the logo, which the caller of this method closes.

        Raises:
            DistributionNotFoundError: the caller sees no such distribution.
            NoLogoError: it has none that can be shown.
            NetworkError: it cannot be had now.
            LimitExceededError: too many are being fetched.
        """
        url = self._url(distribution_id, uid)
        kept = await asyncio.to_thread(self._cache.read, url)
        if kept is None or kept.checked + FRESH < time.time() or kept.checked > time.time():
            try:
                fetching = self._fetching(url, kept)
                if kept is None:
                    # whoever came first may go: others wait for the same
                    kept = await asyncio.shield(fetching)
            except LuxusbError:
                if kept is None:
                    raise
        return await asyncio.to_thread(sealed_file, "logo", kept.data)

    async def close(self) -> None:
        """Fetch nothing any more."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def clean(self) -> None:
        """Remove logos from the disk that the catalogue does not name any more.

        Raises:
            OSError: the disk refused.
        """
        wanted = {entry.logo_url for entry in self._catalog.distributions()}
        self._failures = {url: failure for url, failure in self._failures.items() if url in wanted}
        await asyncio.to_thread(self._cache.clean, wanted)

    def _url(self, distribution_id: str, uid: int) -> str:
        entry = self._catalog.get(distribution_id, uid)
        if not entry.logo_url:
            raise NoLogoError(f"the catalogue names no logo of {entry.name}")
        try:
            shared = self._catalog.get(distribution_id).logo_url
        except DistributionNotFoundError:
            shared = ""
        if entry.logo_url != shared:
            raise NoLogoError(
                f"the logo of {entry.name} stands in your own list alone; the service fetches those of the catalogue"
                " that all users share"
            )
        if not shared.lower().startswith("https://"):
            raise NoLogoError(
                f"{clean(without_secrets(shared), 200)} is no https address; logos are fetched from no other"
            )
        if not self._enabled:
            raise NoLogoError("the administrator does not want logos to be fetched (catalog.logos)")
        return shared

    def _fetching(self, url: str, known: Kept | None) -> asyncio.Task[Kept]:
        if (running := self._running.get(url)) is not None:
            return running
        now = asyncio.get_running_loop().time()
        until, why = self._failures.get(url, (0.0, None))
        if why is not None and now < until:
            raise type(why)(why.message)
        if len(self._running) >= WAITING:
            raise LimitExceededError("too many logos are being fetched; ask again later")
        task = asyncio.get_running_loop().create_task(self._fetch(url, known), name=f"logo {url[:80]}")
        self._running[url] = task
        task.add_done_callback(lambda done: self._done(url, done))
        return task

    def _done(self, url: str, task: asyncio.Task[Kept]) -> None:
        del self._running[url]
        self._failures.pop(url, None)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, LuxusbError):
            rest = LOGO_REST if isinstance(error, NoLogoError) else NETWORK_REST
            self._failures[url] = (asyncio.get_running_loop().time() + rest, error)
            log.info("no logo: %s", error)
        elif error is not None:
            log.error("fetching a logo failed in a way nobody expected", exc_info=error)

    async def _fetch(self, url: str, known: Kept | None) -> Kept:
        async with self._free:
            with sealed_room("logo", MAX_PICTURE) as room:
                try:
                    found = await self._transfers.logo(url, known.version if known else Version(), room)
                except NoLogoError:
                    if known is not None:
                        await self._keep_no_longer(url)
                    raise
                # a copy of our own: the other process still holds the room
                data = os.pread(room, found.size, 0)
        now = int(time.time())
        if found.kind is None:
            if known is None:
                raise NetworkError(f"{clean(without_secrets(url), 200)} sent nothing")
            kept = replace(known, checked=now)
        else:
            kept = Kept(url, found.kind, data, found.version, now)
        try:
            await asyncio.to_thread(self._cache.put, kept)
        except OSError as error:
            log.warning("a logo is not kept: %s", error)
        return kept

    async def _keep_no_longer(self, url: str) -> None:
        try:
            await asyncio.to_thread(self._cache.remove, url)
        except OSError as error:
            log.warning("an old logo stays on the disk: %s", error)
