"""What the network brought, checked by a process that is not the one that fetched it.

The transfer process speaks to the network all day and is believed nothing: it writes into rooms in memory, the bytes
are copied out of its reach, and a process that lives for one check, without network, says who signed them.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from luxusbd.catalog.feeds.codec import outcome_from_json
from luxusbd.catalog.feeds.model import Description, Feed, Outcome
from luxusbd.children.launch import Launcher
from luxusbd.children.protocol import Params
from luxusbd.errors import FailedError, InterruptedJobError, InvalidArgumentError, VerificationError
from luxusbd.images.startfile import StartFile, startfile_to_json
from luxusbd.transfer.openpgp import in_memory
from luxusbd.transfer.openpgpkeys import MAX_KEYS
from luxusbd.transfer.startfile import FoundStartFile, found_from_json
from luxusbd.transfer.vouch import Vouched, vouched_from_json

log = logging.getLogger(__name__)

TIMEOUT = 120.0
CHECKS = 2
"""Processes that may die over the same bytes before these are taken for what kills them."""
SIDE_BY_SIDE = 2
"""Processes at a time."""

_FINGERPRINT = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")
_T = TypeVar("_T")


class Checker:
    """Has things checked, each by a process of its own."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._free = asyncio.Semaphore(SIDE_BY_SIDE)

    async def catalogue(
        self, document: bytes, signature: bytes, keys: bytes, pinned: frozenset[str], name: str
    ) -> Vouched:
        """See `luxusbd.transfer.vouch.vouch`, which says what is raised besides.

        Raises:
            FailedError: it took too long, or killed the process each time.
        """
        params = {"pinned": sorted(pinned), "name": name}
        files = (("catalogue", document), ("signature", signature), ("keys", keys))
        return await self._checked("check", params, files, vouched_from_json, "the catalogue")

    async def keys(self, data: bytes) -> tuple[str, ...]:
        """The fingerprints of the primary keys in a file.

        Raises:
            MalformedImageError: see `luxusbd.transfer.openpgpkeys.primary_fingerprints`.
            FailedError: as `catalogue`.
        """
        return await self._checked("check-keys", {}, (("keys", data),), _fingerprints, "the file of keys")

    async def startfile(self, startfile: StartFile, transcript: bytes, keys: bytes) -> FoundStartFile:
        """The file that starts an image, once more by what the network is said to have said.

        Raises:
            VerificationError: the transcript does not fit, or holds a signature that is not good.
            LuxusbError: as `luxusbd.transfer.startfile.find_startfile`, and `FailedError` as `catalogue`.
        """
        params = {"startfile": startfile_to_json(startfile)}
        files = (("transcript", transcript), ("keys", keys))
        try:
            return await self._checked("check-startfile", params, files, found_from_json, "the installer's files")
        except InvalidArgumentError as error:
            raise VerificationError(f"the installer's files: {error.message}") from error

    async def feed(
        self, description: Description, transcript: bytes, keys: Mapping[str, bytes], asked: Mapping[str, str]
    ) -> Outcome:
        """Read a feed once more, from what the network is said to have said; whoever says so cannot forge a signature.

        Args:
            description: the feed.
            transcript: from the process that fetched.
            keys: files of keys, by the fingerprint that should be in them.
            asked: the params `today`, `etag` and `last_modified` with which the feed was read.

        Raises:
            CatalogError, NetworkError: as the reading.
            VerificationError: the transcript is not one of this feed.
            FailedError: as `catalogue`.
        """
        params = {"feed": dict(description.entry), **asked, **({"keys": list(keys)} if keys else {})}
        files = (("transcript", transcript), *keys.items())
        try:
            return await self._checked(
                "check-feed",
                params,
                files,
                lambda told: _outcome(told, description.feed),
                f"feed {description.feed.id}",
            )
        except InvalidArgumentError as error:
            raise VerificationError(f"feed {description.feed.id}: {error.message}; the releases stay") from error

    async def _checked(
        self, method: str, params: Params, files: Sequence[tuple[str, bytes]], read: Callable[[Any], _T], what: str
    ) -> _T:
        for _death in range(CHECKS):
            with ExitStack() as stack:
                fds = [stack.enter_context(in_memory(name, data)) for name, data in files]
                try:
                    async with self._free, asyncio.timeout(TIMEOUT), self._launcher.check() as running:
                        return read(await running.channel.request(method, params, fds))
                except TimeoutError:
                    raise FailedError(f"checking {what} took longer than {TIMEOUT:g} seconds") from None
                except InterruptedJobError as error:
                    log.warning("the check of %s is done anew: %s", what, error)
        raise FailedError(f"the process that checks {what} died over it; what is known stays as it is")


def _outcome(told: object, feed: Feed) -> Outcome:
    try:
        return outcome_from_json(told, feed)
    except InvalidArgumentError as error:
        raise InterruptedJobError(f"the process that checks sent nonsense: {error.message}") from None


def _fingerprints(told: object) -> tuple[str, ...]:
    found = told.get("fingerprints") if isinstance(told, Mapping) else None
    if not isinstance(found, list) or not 0 < len(found) <= MAX_KEYS:
        raise InterruptedJobError("the process that checks sent nonsense about keys")
    if not all(isinstance(each, str) and _FINGERPRINT.fullmatch(each) for each in found):
        raise InterruptedJobError("the process that checks sent nonsense about keys")
    return tuple(found)


@contextmanager
def sealed_room(name: str, size: int) -> Iterator[int]:
    """A file in memory that whoever writes to it can make neither longer nor shorter (F_ADD_SEALS, fcntl(2))."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        yield fd
    finally:
        os.close(fd)


def sealed_file(name: str, data: bytes) -> int:
    """A read-only descriptor of a file in memory that nobody can change any more; the caller closes it."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, data)
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        # opened anew: read-only, and with a position of its own
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(fd)
