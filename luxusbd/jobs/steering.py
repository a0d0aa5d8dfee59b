"""Settings that change while the daemon runs: each part that has a copy of one is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping

from luxusbd.config import CatalogConfig, Config, Value
from luxusbd.jobs.api import Listener
from luxusbd.jobs.queue import JobQueue
from luxusbd.jobs.running import Lane
from luxusbd.jobs.storekeeper import StoreKeeper
from luxusbd.jobs.transfers import Transfers
from luxusbd.jobs.wakefulness import Wakefulness
from luxusbd.settings import ChangedSettings
from luxusbd.text import without_secrets

log = logging.getLogger(__name__)


def slots(config: Config) -> Mapping[Lane, int]:
    """How many jobs of a lane run at once, as far as that can be configured."""
    return {Lane.DOWNLOAD: config.limits.active_downloads, Lane.STICK: config.limits.active_sticks}


class Steering:
    """The settings in force, and the way to change them."""

    def __init__(
        self,
        settings: ChangedSettings,
        queue: JobQueue,
        transfers: Transfers,
        keeper: StoreKeeper,
        awake: Wakefulness,
    ) -> None:
        self._settings = settings
        self._queue = queue
        self._transfers = transfers
        self._keeper = keeper
        self._awake = awake
        self._changing = asyncio.Lock()
        self.listeners: list[Listener] = []

    @property
    def config(self) -> Config:
        """What is in force."""
        return self._settings.config

    def settings(self) -> Mapping[str, Value]:
        """The same by `section.key`, without secrets."""
        return {
            key: without_secrets(value) if isinstance(value, str) else value
            for key, value in self.config.settings().items()
        }

    def origins(self) -> Mapping[str, str]:
        """See `ChangedSettings.origins`."""
        return self._settings.origins()

    async def set(self, values: Mapping[str, object]) -> None:
        """See `ChangedSettings.change`; it is in force when this returns."""
        async with self._changing:
            await self._apply(await asyncio.to_thread(self._settings.change, values))

    async def reset(self, keys: Collection[str]) -> None:
        """See `ChangedSettings.reset`; it is in force when this returns."""
        async with self._changing:
            await self._apply(await asyncio.to_thread(self._settings.reset, keys))

    async def set_remote(self, remote: CatalogConfig | None) -> None:
        """See `ChangedSettings.set_remote`; who follows the remote is told by the caller of this."""
        async with self._changing:
            await self._apply(await asyncio.to_thread(self._settings.set_remote, remote))

    async def _apply(self, keys: Collection[str]) -> None:
        if not keys:
            return
        config = self.config
        shown = self.settings()
        log.info("settings changed: %s", ", ".join(f"{key} = {shown[key]}" for key in sorted(keys)))
        self._queue.set_limits(
            slots=slots(config), max_jobs=config.limits.jobs, max_jobs_per_uid=config.limits.jobs_per_uid
        )
        self._keeper.keep_partial = config.downloads.keep_partial
        self._awake.enable(config.daemon.inhibit_sleep)
        if "downloads.bandwidth" in keys:
            await self._transfers.set_total_bandwidth(config.downloads.bandwidth)
        for listener in self.listeners:
            listener.settings_changed(tuple(sorted(keys)))
