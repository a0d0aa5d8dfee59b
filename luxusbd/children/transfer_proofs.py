"""Requests of the transfer child about what makers say: signatures, lists of hashes, metalinks, feeds of releases."""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from luxusbd.catalog.feeds.codec import keys_to_json, outcome_to_json
from luxusbd.catalog.feeds.definitions import parse_feed
from luxusbd.children.params import day, descriptors, file_name, integer, mapping, strings, text
from luxusbd.children.protocol import Params
from luxusbd.children.transfer_threads import Threads
from luxusbd.errors import InvalidArgumentError, NoLogoError
from luxusbd.images.startfile import startfile_from_json
from luxusbd.text import clean, without_secrets
from luxusbd.transfer.codec import digests_from_json
from luxusbd.transfer.directions import find_directions
from luxusbd.transfer.diskio import in_thread
from luxusbd.transfer.feeds.fetching import read_feed
from luxusbd.transfer.feeds.keys import KeyRing
from luxusbd.transfer.feeds.transcript import Recording
from luxusbd.transfer.logo import Logo, logo_to_json
from luxusbd.transfer.makers import Vouching
from luxusbd.transfer.makerscodec import claim_from_json, directions_to_json, word_to_json
from luxusbd.transfer.network import Network
from luxusbd.transfer.openpgp import MAX_KEY, MAX_SIGNATURE
from luxusbd.transfer.picture import MAX_PICTURE, read_picture
from luxusbd.transfer.proof import name_behind, prove, prove_image, read_small
from luxusbd.transfer.small import SmallFiles
from luxusbd.transfer.smallmodel import NotThereError, Version
from luxusbd.transfer.source import default_session
from luxusbd.transfer.startfile import find_startfile
from luxusbd.transfer.sums import MAX_SUMS


class ProofRequests:
    """Handlers; `luxusbd.children.transfer_main` says what each takes and answers."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._small = SmallFiles()
        self._vouching = Vouching(self._small)

    def use(self, network: Network, context: ssl.SSLContext) -> None:
        """Fetch in this way from now on; what was fetched with before is closed by then."""
        self._small = SmallFiles(lambda: default_session(context), network=network)
        self._vouching = Vouching(self._small)

    async def close(self) -> None:
        """Close the connections."""
        await self._small.close()

    async def prove(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        """Whether a list of hashes is signed, and what it says."""
        given = [
            ("the list of hashes", MAX_SUMS),
            *([("the signature", MAX_SIGNATURE)] if params.get("signature") else []),
            *([("the file of keys", MAX_KEY)] if params.get("key") else []),
        ]
        texts = [
            await self._threads.look(fd, partial(read_small, most=most, what=what))
            for fd, (what, most) in zip(descriptors(fds, len(given)), given, strict=True)
        ]
        sums = texts.pop(0)
        key = texts.pop() if params.get("key") else None
        signature = texts.pop() if params.get("signature") else None
        return asdict(await prove(sums, signature, key, strings(params, "names"), name_behind(fds[0])))

    async def prove_image(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        """Who signed an image."""
        del params
        image, *beside = descriptors(fds, 3)
        signature, key = [
            await self._threads.look(fd, partial(read_small, most=most, what=what))
            for fd, (what, most) in zip(
                beside, (("the signature", MAX_SIGNATURE), ("the file of keys", MAX_KEY)), strict=True
            )
        ]
        return asdict(await prove_image(image, signature, key))

    async def vouch(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        """What the makers of an image say of it."""
        given = list(descriptors(fds, bool(params.get("key")) + bool(params.get("image"))))
        claim = claim_from_json(params)
        key = None
        if params.get("key"):
            key = await self._threads.look(given.pop(0), partial(read_small, most=MAX_KEY, what="the file of keys"))
        if given:
            return word_to_json(await self._vouching.by_image(claim, key, given[0]))
        return word_to_json(await self._vouching.by_list(claim, key))

    async def proofs(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        """What the maker of an image publishes to vouch for it, written into the rooms behind the descriptors."""
        given = list(descriptors(fds, bool(params.get("key")) + 3))
        key = None
        if params.get("key"):
            key = await self._threads.look(given.pop(0), partial(read_small, most=MAX_KEY, what="the file of keys"))
        found = await self._vouching.material(claim_from_json(params), key)
        written = zip(given, (found.sums, found.signature, found.key), strict=True)
        return {"sizes": [os.pwrite(room, data, 0) for room, data in written]}

    async def metalink(self, params: Params, _fds: Sequence[int]) -> dict[str, Any]:
        """Where a metalink says that a file is."""
        url = params.get("url")
        if not isinstance(url, str):
            raise InvalidArgumentError("`url` must be the address of a metalink")
        digests = digests_from_json(params.get("digests"))
        found = await find_directions(self._small, url, file_name(params), digests, integer(params, "size"))
        return directions_to_json(found)

    async def feed(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        """Which releases a feed tells of."""
        names = strings(params, "keys") if params.get("keys") else ()
        *given, room = descriptors(fds, len(names) + 1)
        feed = parse_feed(mapping(params, "feed"), "the description of the feed")
        copies = {
            name: await self._threads.look(fd, partial(read_small, most=MAX_KEY, what="the file of keys"))
            for name, fd in zip(names, given, strict=True)
        }
        places = mapping(params, "key_urls") if "key_urls" in params else {}
        ring = KeyRing(self._small, feed, copies, places)
        await ring.gather()
        recording = Recording(self._small)
        known = Version(text(params, "etag"), text(params, "last_modified"))
        outcome = await read_feed(recording, feed, ring, day(params, "today"), known)
        if not outcome.unchanged:
            outcome = replace(outcome, problems=(*ring.problems, *outcome.problems))
        written = 0
        if feed.has_signed_lists and not outcome.unchanged:
            written = os.pwrite(room, recording.transcript(), 0)
        return {**outcome_to_json(outcome), "fetched": keys_to_json(ring.fetched), "transcript": written}

    async def logo(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        """A small picture, written anew into the room behind the descriptor."""
        (room,) = descriptors(fds, 1)
        known = Version(text(params, "etag"), text(params, "last_modified"))
        url = text(params, "url")
        try:
            found = await self._small.get_if_changed(url, MAX_PICTURE, known)
        except NotThereError as error:
            raise NoLogoError(error.message) from error
        if found is None:
            return logo_to_json(Logo(None, 0, known))
        try:
            made = await in_thread(None, read_picture, found.data)
        except NoLogoError as error:
            raise NoLogoError(f"{clean(without_secrets(url), 200)} {error}") from error
        size = os.pwrite(room, made.data, 0)
        return logo_to_json(Logo(made.kind, size, _printable(found.version)))

    async def startfile(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        """Where the file is that starts an image; the last descriptor gets what the network said."""
        key, room = descriptors(fds, 2)
        try:
            wanted = startfile_from_json(mapping(params, "startfile"))
        except ValueError as error:
            raise InvalidArgumentError(f"`startfile`: {error}") from None
        keys = await self._threads.look(key, partial(read_small, most=MAX_KEY, what="the file of keys"))
        recording = Recording(self._small)
        found = await find_startfile(recording, wanted, keys)
        return {**asdict(found), "transcript": os.pwrite(room, recording.transcript(), 0)}


def _printable(version: Version) -> Version:
    """Without what a server should not have sent and cannot be asked for again."""
    return Version(*(value if value.isprintable() else "" for value in (version.etag, version.last_modified)))
