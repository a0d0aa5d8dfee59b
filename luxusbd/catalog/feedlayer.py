"""The layer of the catalogue that feeds make: which there are, what they said, and what it changes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from luxusbd.catalog.feedcache import FeedCache, FeedRecord
from luxusbd.catalog.feeds.definitions import all_descriptions
from luxusbd.catalog.feeds.merge import merge
from luxusbd.catalog.feeds.model import Description
from luxusbd.catalog.layers import marked
from luxusbd.catalog.model import Distribution, Layer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeedLayer:
    """All feeds with what is known of them."""

    descriptions: tuple[Description, ...] = ()
    records: Mapping[str, FeedRecord] = field(default_factory=dict)
    """By the ids of their feeds."""
    problems: tuple[str, ...] = ()
    """A line about each file that cannot be used."""

    @classmethod
    def load(cls, cache: Path | None, files: Sequence[Path]) -> FeedLayer:
        """Read the descriptions and, where there is one, the file of what they said. Blocks."""
        descriptions, problems = all_descriptions(files)
        if cache is None:
            return cls(descriptions, problems=problems)
        records, why = FeedCache(cache).read(descriptions)
        return cls(descriptions, records, (*problems, *why))

    def changed(self, entry: Distribution) -> Distribution:
        """A distribution with the releases that its feeds told of; nothing is made worse (see `merge`)."""
        for description in self.of(entry.id):
            record = self.records.get(description.feed.id)
            if record is None:
                continue
            merged = merge(entry, description.feed, record.releases)
            for note in merged.notes:
                # that the catalogue has something newer by now is how it should be
                log.info("feed %s: %s", record.feed, note)
            entry = marked(entry, merged.distribution, Layer.FEED, description.feed.url)
        return entry

    def of(self, distribution: str) -> tuple[Description, ...]:
        """The feeds of a distribution."""
        return tuple(each for each in self.descriptions if each.feed.distribution == distribution)
