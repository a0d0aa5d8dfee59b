"""A small document and its detached signature, fetched together.

The two are a pair: one of today and one of yesterday prove nothing. So both come in one go, the document only when it
is another than the one at hand, and the signature always anew with it. What they hold is not looked at here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from luxusbd.errors import NetworkError
from luxusbd.text import size_text, without_secrets
from luxusbd.transfer.answers import AnswerKind, Asked, FailureKind, SourceError
from luxusbd.transfer.gate import URGENT, Claimant
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.pairmodel import Pair, PairRequest
from luxusbd.transfer.partstate import Validators
from luxusbd.transfer.source import HttpSource, Ticket

PAIR_TIMEOUT = 600.0
"""Seconds for all of it."""
ATTEMPTS = 4
"""For each file, when the network or the server fails in a way that may pass."""
LONGEST_WAIT = 30.0
"""Seconds; a server that asks for more is asked again by the next update."""
_PASSING = (
    FailureKind.NO_NETWORK,
    FailureKind.TRANSIENT,
    FailureKind.STALLED,
    FailureKind.SLOW,
    FailureKind.BUSY,
)


async def fetch_pair(
    source: HttpSource,
    request: PairRequest,
    document: int,
    signature: int,
    limits: TransferLimits,
    progress: Callable[[int, int], None],
) -> Pair:
    """Write document and signature to the two descriptors, from their beginnings on.

    Plain http is taken where the address itself says so, and never behind a redirect from https: the signature vouches
    for the content, whatever brings it.

    Raises:
        NetworkError: one of the two cannot be had; the text says which, and why.
    """
    try:
        async with asyncio.timeout(PAIR_TIMEOUT):
            known = Validators("", request.etag, request.last_modified, 0) if request.conditional else None
            got = await _fetch(source, request.url, document, request.most, known, limits, progress)
            if got is None:
                return Pair(False, etag=request.etag, last_modified=request.last_modified)
            size, validators = got
            signed = await _fetch(
                source, request.signature_url, signature, request.most_signature, None, limits, lambda _d, _t: None
            )
    except TimeoutError:
        raise NetworkError(
            f"{without_secrets(request.url)}: could not be fetched within {PAIR_TIMEOUT:g} seconds"
        ) from None
    assert signed is not None
    return Pair(True, size, signed[0], validators.etag, validators.last_modified)


async def _fetch(
    source: HttpSource,
    url: str,
    fd: int,
    most: int,
    known: Validators | None,
    limits: TransferLimits,
    progress: Callable[[int, int], None],
) -> tuple[int, Validators] | None:
    wait = limits.backoff_first
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await _fetch_once(source, url, fd, most, known, progress)
        except SourceError as error:
            if error.kind not in _PASSING or attempt == ATTEMPTS or error.retry_after > LONGEST_WAIT:
                raise NetworkError(f"{without_secrets(url)}: {error}") from error
            await asyncio.sleep(max(wait, error.retry_after))
            wait = min(wait * 2, limits.backoff_cap)
    raise AssertionError


async def _fetch_once(
    source: HttpSource,
    url: str,
    fd: int,
    most: int,
    known: Validators | None,
    progress: Callable[[int, int], None],
) -> tuple[int, Validators] | None:
    # the signature stands for the hash: it is checked over the whole before anybody believes a byte
    asked = Asked(
        start=0,
        end=None,
        ranged=False,
        size=0,
        hash_known=True,
        unless=known,
        fresh=True,
        https_only=not url.lower().startswith("http://"),
    )
    async with source.open(url, asked, lambda: True, Ticket(Claimant(URGENT))) as body:
        if body.answer.kind is AnswerKind.SAME:
            return None
        total = body.answer.total or 0
        size = 0
        while True:
            if max(size, total) > most:
                raise SourceError(FailureKind.UNUSABLE, f"sends more than {size_text(most)}: is it the right address?")
            chunk = await body.read()
            if not chunk:
                return size, body.answer.validators
            os.pwrite(fd, chunk[: most - size], size)
            size += len(chunk)
            progress(min(size, most), total)
