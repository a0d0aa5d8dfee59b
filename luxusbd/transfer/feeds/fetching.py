"""Runs the reading of a feed over the network: every document over https, every signature checked by gpgv."""

from __future__ import annotations

import asyncio
import datetime

from luxusbd.catalog.feeds.model import Feed, Outcome
from luxusbd.errors import MalformedImageError, NetworkError, ToolFailedError, ToolMissingError, VerificationError
from luxusbd.transfer.feeds.keys import KeyRing
from luxusbd.transfer.feeds.machine import FeedRun
from luxusbd.transfer.feeds.requests import Answer, Body, Check, Checked, Fetch, Gone, Refused, Request, Same, Size
from luxusbd.transfer.openpgp import Fault, SignatureError, Signed, Wording, verify
from luxusbd.transfer.smallmodel import NotThereError, SmallSource, Version

FEED_TIMEOUT = 240.0
"""Seconds for one feed, however many documents it has."""
_WORDING = Wording("the list of hashes", "; the releases stay as they are")


async def read_feed(
    files: SmallSource, feed: Feed, ring: KeyRing, today: datetime.date, known: Version, patience: float = FEED_TIMEOUT
) -> Outcome:
    """Read a feed.

    Args:
        files: what fetches.
        feed: what to read.
        ring: OpenPGP keys; those that the feed pins have to be among them, or nothing that they sign is believed.
        today: for makers whose releases have to be guessed by the calendar.
        known: of the first document, from the last outcome.
        patience: seconds for all of it.

    Raises:
        CatalogError: a document is not what it has to be.
        NetworkError: one of them cannot be had.
    """
    run = FeedRun(feed, today, known.etag, known.last_modified)
    step = run.begin()
    try:
        async with asyncio.timeout(patience):
            while not isinstance(step, Outcome):
                step = run.answer(await _answer(files, step, ring))
    except TimeoutError:
        raise NetworkError(f"feed {feed.id}: was not read within {patience:g} seconds") from None
    return step


async def _answer(files: SmallSource, request: Request, ring: KeyRing) -> Answer:
    if isinstance(request, Check):
        return await _check(request, ring)
    try:
        if isinstance(request, Fetch):
            found = await files.get_if_changed(request.url, request.most, Version(request.etag, request.last_modified))
            return Same() if found is None else Body(found.data, found.version.etag, found.version.last_modified)
        return Size(await _size(files, request.url))
    except NotThereError:
        return Gone()


async def _size(files: SmallSource, url: str) -> int:
    """Bytes of an image; a server that does not tell is no reason to do without the release."""
    try:
        return await files.size(url)
    except NotThereError:
        raise
    except NetworkError:
        return 0


async def _check(request: Check, ring: KeyRing) -> Answer:
    if not ring.keys:
        return Refused("the key of its maker is not at hand")
    try:
        try:
            signed = await _verify(request, ring)
        except SignatureError as error:
            # a newer copy may live longer, or have the subkey that signed
            if error.fault not in (Fault.EXPIRED, Fault.OTHER_KEY) or not await ring.refresh():
                raise
            signed = await _verify(request, ring)
    except (VerificationError, MalformedImageError, ToolMissingError, ToolFailedError) as error:
        return Refused(error.message)
    return Checked(signed.data, signed.fingerprint)


async def _verify(request: Check, ring: KeyRing) -> Signed:
    return await verify(request.data, request.signature, ring.keys, pinned=request.keys, wording=_WORDING)
