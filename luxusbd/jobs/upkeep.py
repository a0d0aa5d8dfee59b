"""What the daemon does by itself in the background.

Old partial downloads go, and logos of systems that are gone; images without a description get one.
"""

from __future__ import annotations

import asyncio
import logging

from luxusbd.catalog.catalog import Catalog, reference_to
from luxusbd.catalog.model import Trust
from luxusbd.errors import LuxusbError
from luxusbd.images.store import ImageStore
from luxusbd.jobs.downloads import Downloads
from luxusbd.jobs.downloadwords import file_name
from luxusbd.jobs.logos import Logos
from luxusbd.jobs.storekeeper import DAY, StoreKeeper

log = logging.getLogger(__name__)


class Upkeep:
    """The tasks that do it, from the start to the end of the daemon."""

    def __init__(
        self, images: ImageStore, catalog: Catalog, downloads: Downloads, keeper: StoreKeeper, logos: Logos
    ) -> None:
        self._logos = logos
        self._images = images
        self._catalog = catalog
        self._downloads = downloads
        self._keeper = keeper
        self._background: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """Start them."""
        self._keeper.adopting = True
        loop = asyncio.get_running_loop()
        self._background = [
            loop.create_task(self._adopt_orphans(), name="orphans"),
            loop.create_task(self._clean_partials(), name="unfinished downloads"),
            loop.create_task(self._clean_logos(), name="logos"),
        ]

    async def end(self) -> None:
        """Stop them, wherever they are."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _clean_partials(self) -> None:
        while True:
            try:
                await self._keeper.clean_partials()
            except LuxusbError as error:
                log.warning("old unfinished downloads stay: %s", error)
            await asyncio.sleep(DAY)

    async def _clean_logos(self) -> None:
        while True:
            try:
                await self._logos.clean()
            except OSError as error:
                log.warning("old logos stay: %s", error)
            await asyncio.sleep(DAY)

    async def _adopt_orphans(self) -> None:
        """Give images whose description was lost a new one; only root sees those that no catalogue knows."""
        for orphan in await asyncio.to_thread(self._images.orphans):
            try:
                further = ("sha512",) if self._catalog.needs_sha512(orphan.size) else ()
                found = await self._downloads.examine(orphan.path, further)
                if found.sha256 != orphan.sha256:
                    log.error("%s does not have the hash in its name and is left alone; delete it", orphan.path)
                    continue
                genuine = self._catalog.find_by_hash(orphan.sha256, sha512=found.sha512)
                await asyncio.to_thread(
                    self._images.adopt,
                    orphan.sha256,
                    file_name(genuine[1].iso_url) if genuine else orphan.sha256,
                    reference_to(*genuine) if genuine else "import",
                    Trust.HASH if genuine else Trust.NONE,
                    found.recognition,
                    None if genuine else 0,
                    genuine[1].sha512_alone if genuine else "",
                )
            except (LuxusbError, OSError) as error:
                log.warning("%s: its description was lost and cannot be made anew: %s", orphan.path, error)
        self._keeper.adopting = False
