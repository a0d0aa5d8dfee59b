"""A feed read once more from a transcript, by a process that the network cannot reach: every signature is checked anew.

What a maker signed comes out of it as he signed it, whoever wrote the transcript. What nobody signed is as the network,
or whoever had it, said.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from luxusbd.catalog.feeds.model import Feed, Outcome
from luxusbd.transfer.feeds.fetching import read_feed
from luxusbd.transfer.feeds.keys import KeyRing
from luxusbd.transfer.feeds.transcript import Replay
from luxusbd.transfer.smallmodel import Version


async def read_again(
    transcript: bytes, feed: Feed, keys: Mapping[str, bytes], today: datetime.date, known: Version
) -> Outcome:
    """Read a feed.

    Args:
        transcript: see `Recording.transcript`.
        feed: what was read.
        keys: files of keys, by the fingerprint that should be in them.
        today: the day for which it was read.
        known: of the first document then.

    Raises:
        InvalidArgumentError: the transcript is of something else.
        CatalogError, NetworkError: as `read_feed`.
    """
    source = Replay(transcript)
    ring = KeyRing(source, feed, keys, {})
    await ring.gather()
    return await read_feed(source, feed, ring, today, known)
