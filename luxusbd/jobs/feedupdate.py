"""Asking all feeds for newer releases, several side by side; one that is broken spoils none of the others.

What each said is kept at once. So a job that is cancelled, or cut by a power failure, keeps what came until then: the
catalogue in force takes it over in the first case, the next start in the second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from luxusbd.catalog.feeds.model import Description
from luxusbd.errors import FailedError, LuxusbError, NetworkError
from luxusbd.jobs.feeds import Asked, Feeds
from luxusbd.jobs.running import JobContext
from luxusbd.text import clean

SIDE_BY_SIDE = 4
"""Feeds that are read at the same time."""
MAX_LINES = 100
"""Ids and lines of one kind in a job's result."""
MAX_LINE = 300
SHOWN = 3
"""Reasons in the error of a job in which no feed could be read."""


class FeedUpdates:
    """The part of an update of the catalogue that feeds make."""

    def __init__(self, feeds: Feeds) -> None:
        """`feeds` is whom to ask."""
        self._feeds = feeds

    async def run(self, context: JobContext, ids: Sequence[str]) -> Mapping[str, Any]:
        """Ask the feeds of these distributions, or all; what a job's Result says of it.

        Raises:
            LuxusbError: not one could be read, or what they said cannot be stored.
        """
        wanted = self._feeds.wanted(ids)
        context.report(0, len(wanted), stage="feeds")
        asked: dict[str, Asked] = {}
        turn = asyncio.Semaphore(SIDE_BY_SIDE)

        async def ask(description: Description) -> None:
            async with turn:
                found = await self._feeds.ask(description)
            asked[description.feed.id] = found
            for problem in found.record.problems:
                context.note(clean(problem, MAX_LINE))
            if found.changed:
                context.note(f"feed {description.feed.id}: tells of newer releases")
            context.report(len(asked), len(wanted), stage="feeds")

        try:
            async with asyncio.TaskGroup() as group:
                for description in wanted:
                    group.create_task(ask(description))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        finally:
            changes = await asyncio.shield(asyncio.ensure_future(self._feeds.put_in_force()))
        failed = [name for name, one in asked.items() if one.record.failed]
        if failed and len(failed) == len(wanted):
            raise _nothing([asked[name] for name in failed])
        problems = [clean(line, MAX_LINE) for one in asked.values() for line in one.record.problems]
        changed = [name for name, one in asked.items() if one.changed and not one.record.failed]
        return {
            "feeds_asked": len(wanted),
            "feeds_changed": len(changed),
            "feeds_unchanged": len(wanted) - len(changed) - len(failed),
            "feeds_failed": len(failed),
            "failed_feeds": sorted(failed)[:MAX_LINES],
            "feed_problems": problems[:MAX_LINES],
            "changed": list(changes.changed[:MAX_LINES]),
        }


def _nothing(failed: Sequence[Asked]) -> LuxusbError:
    lines = [clean(one.record.problems[0], MAX_LINE) for one in failed]
    kind = NetworkError if all(isinstance(one.error, NetworkError) for one in failed) else FailedError
    if len(lines) == 1:
        return kind(f"{lines[0]}; the releases stay as they are")
    more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return kind(
        f"none of {len(lines)} feeds could be read, and the releases stay as they are: {'; '.join(lines[:SHOWN])}{more}"
    )
