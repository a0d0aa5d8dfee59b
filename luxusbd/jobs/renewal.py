"""A newer release in the place of the one that a download was started for, when its maker's feed tells of one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from luxusbd.catalog.catalog import Catalog, parse_reference
from luxusbd.catalog.feeds.merge import in_series, successor
from luxusbd.catalog.feeds.model import Description
from luxusbd.catalog.model import Distribution, Release
from luxusbd.errors import LuxusbError
from luxusbd.jobs.feeds import Asked, Feeds
from luxusbd.jobs.mirrors import is_custom
from luxusbd.jobs.running import JobContext
from luxusbd.transfer.codec import digests_from_json

PATIENCE = 60.0
"""Seconds for which a download waits for a feed."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Renewed:
    """What is to be fetched instead."""

    distribution: Distribution
    release: Release


def renewal_params_of(release: Release) -> Mapping[str, Any]:
    """What a download job keeps of a release to find a newer one."""
    return {"architecture": release.architecture, "rolling": release.rolling}


class Renewals:
    """Asks the feeds of what is downloaded."""

    def __init__(self, feeds: Feeds, catalog: Catalog) -> None:
        """`feeds` is whom to ask; `catalog` is the one in force."""
        self._feeds = feeds
        self._catalog = catalog

    def rolling(self, context: JobContext) -> bool:
        """Whether what a job fetches is soon out of date, so that its feed is asked first."""
        known = _known(context)
        return known is not None and (
            known.rolling or any(each.feed.rolling for each in self._feeds_of(context, known))
        )

    async def newer(self, context: JobContext) -> Renewed | None:
        """Ask the feeds of a job's release; the one that takes its place, if there is one.

        A feed that fails, or has nothing newer, is told in the job's history.
        """
        known = _known(context)
        descriptions = self._feeds_of(context, known) if known is not None else ()
        if known is None or not descriptions:
            return None
        name = parse_reference(str(context.job.params["reference"])).id
        try:
            told = [asked.record for asked in await asyncio.gather(*(self._ask(context, one) for one in descriptions))]
            await self._feeds.put_in_force()
            entry = self._catalog.get(name, context.job.owner_uid)
        except LuxusbError as error:
            context.note(f"the catalogue with what the feeds said: {error.message}; the known release stays")
            return None
        for record in told:
            found = successor(entry, record.releases, known)
            if found is not None:
                return Renewed(entry, found)
        return None

    async def _ask(self, context: JobContext, description: Description) -> Asked:
        asked = await self._feeds.ask(description, PATIENCE)
        for problem in asked.record.problems:
            context.note(f"{problem}; what is known of it is used")
        return asked

    def _feeds_of(self, context: JobContext, known: Release) -> tuple[Description, ...]:
        """The feeds that may tell of what takes the place of a job's release."""
        if is_custom(context.job.params):
            # what a user brought himself is what he wants
            return ()
        name = parse_reference(str(context.job.params["reference"])).id
        found = []
        for description in self._catalog.feeds.of(name):
            if any(image.architecture == known.architecture for image in description.feed.images):
                told = self._catalog.feeds.records.get(description.feed.id)
                same = [one for one in told.releases if one.edition == known.edition] if told is not None else []
                # several feeds of one distribution tell of different editions, as far as is known
                if not same or any(in_series(known.version, one) for one in same):
                    found.append(description)
        return tuple(found)


def _known(context: JobContext) -> Release | None:
    """The release of a job, as far as it is needed here; None for a job of an older version."""
    params = context.job.params
    if "architecture" not in params:
        return None
    reference = parse_reference(str(params["reference"]))
    digests = digests_from_json(params["digests"])
    return Release(
        version=reference.version,
        release_date="",
        iso_url="",
        sha256=str(params["sha256"]),
        sha512=next((one.value for one in digests if one.algorithm == "sha512"), ""),
        size_mb=0,
        mirrors=(),
        architecture=str(params["architecture"]),
        edition=reference.edition,
        rolling=bool(params["rolling"]),
    )
