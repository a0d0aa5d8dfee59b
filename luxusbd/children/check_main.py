"""The child that checks one signed catalogue or feed, or unpacks one image.

Started as `python -P -m luxusbd.children.check_main FD`, or by its unit.

It is a process of its own, not the one that fetches: that one speaks to the network all day, and whoever took it over
could call a forged catalogue genuine. This one lives for one check, without network, and knows the bytes alone.
Requests (see `protocol` for the wire):

==========  =========================================  ====================================================
method      params                                     result
==========  =========================================  ====================================================
check       pinned, name (document, signature, keys)   fields of Vouched
check-      startfile (transcript, keys)               fields of FoundStartFile, by the transcript
startfile                                              alone
check-feed  feed, today, etag, last_modified, keys     fields of Outcome, by the transcript alone
            (which they should be; transcript, keys)
check-keys  (a file of keys)                           fingerprints
raw-look    map (is a block map there; image, map)     fields of RawLook
raw-unpack  (image, and the pipes to write to)         size
hello       optional log_level                         pid
limit       memory (bytes of data it may have)         {}
==========  =========================================  ====================================================
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from luxusbd import journal
from luxusbd.catalog.feeds.codec import outcome_to_json
from luxusbd.catalog.feeds.definitions import parse_feed
from luxusbd.catalog.schema import MAX_DOCUMENT
from luxusbd.children import check_raw
from luxusbd.children.params import day, descriptors, mapping, strings, text
from luxusbd.children.protocol import Channel, Handler, Params
from luxusbd.children.sandbox import drop_privileges, limit_memory
from luxusbd.errors import InvalidArgumentError, LuxusbError
from luxusbd.images.startfile import startfile_from_json
from luxusbd.systemd import connection_of_core
from luxusbd.transfer.feeds.again import read_again
from luxusbd.transfer.feeds.transcript import MAX_TRANSCRIPT, Replay
from luxusbd.transfer.openpgp import MAX_KEY, MAX_SIGNATURE
from luxusbd.transfer.openpgpkeys import primary_fingerprints
from luxusbd.transfer.proof import read_small
from luxusbd.transfer.smallmodel import Version
from luxusbd.transfer.startfile import find_startfile
from luxusbd.transfer.vouch import vouch


async def check(params: Params, fds: Sequence[int]) -> dict[str, Any]:
    """Check what is behind the descriptors: document, signature and keys."""
    pinned, name = params.get("pinned"), params.get("name")
    if not isinstance(pinned, list) or not all(isinstance(each, str) for each in pinned) or not isinstance(name, str):
        raise InvalidArgumentError("check needs `pinned`, a list of fingerprints, and `name`")
    if len(fds) != 3:
        raise InvalidArgumentError(f"check needs 3 descriptors, {len(fds)} came")
    given = (("the catalogue", MAX_DOCUMENT), ("its signature", MAX_SIGNATURE), ("catalog.update_key", MAX_KEY))
    document, signature, keys = (read_small(fd, most, what) for fd, (what, most) in zip(fds, given, strict=True))
    return asdict(await vouch(document, signature, keys, frozenset(pinned), name))


async def check_feed(params: Params, fds: Sequence[int]) -> dict[str, Any]:
    """Read a feed once more from what the network is said to have said, and check who signed its lists."""
    names = strings(params, "keys") if params.get("keys") else ()
    transcript, *files = descriptors(fds, len(names) + 1)
    keys = {name: read_small(fd, MAX_KEY, "a file of keys") for name, fd in zip(names, files, strict=True)}
    outcome = await read_again(
        read_small(transcript, MAX_TRANSCRIPT, "the transcript"),
        parse_feed(mapping(params, "feed"), "the description of the feed"),
        keys,
        day(params, "today"),
        Version(text(params, "etag"), text(params, "last_modified")),
    )
    return outcome_to_json(outcome)


async def check_startfile(params: Params, fds: Sequence[int]) -> dict[str, Any]:
    """Find the file that starts an image once more, in what the network is said to have said."""
    transcript, key = descriptors(fds, 2)
    try:
        wanted = startfile_from_json(mapping(params, "startfile"))
    except ValueError as error:
        raise InvalidArgumentError(f"`startfile`: {error}") from None
    source = Replay(read_small(transcript, MAX_TRANSCRIPT, "the transcript"))
    return asdict(await find_startfile(source, wanted, read_small(key, MAX_KEY, "the file of keys")))


async def check_keys(_params: Params, fds: Sequence[int]) -> dict[str, Any]:
    """Which keys are in a file."""
    (keys,) = descriptors(fds, 1)
    return {"fingerprints": list(primary_fingerprints(read_small(keys, MAX_KEY, "the file of keys")))}


async def serve(sock: socket.socket) -> None:
    """Answer until the other side closes."""

    async def hello(params: Params, _fds: Sequence[int]) -> dict[str, Any]:
        if "log_level" in params:
            journal.follow(params["log_level"])
        return {"pid": os.getpid()}

    async def limit(params: Params, _fds: Sequence[int]) -> dict[str, Any]:
        memory = params.get("memory")
        if type(memory) is not int:
            raise InvalidArgumentError("limit needs `memory`")
        limit_memory(memory)
        return {}

    handlers: dict[str, Handler] = {
        "check": check,
        "check-startfile": check_startfile,
        "check-feed": check_feed,
        "check-keys": check_keys,
        "raw-look": check_raw.look,
        "raw-unpack": check_raw.unpack,
        "hello": hello,
        "limit": limit,
    }
    await Channel(sock, handlers=handlers).run()


def main(argv: Sequence[str] | None = None) -> int:
    """Serve one core over the socket that the argument or the service manager gives."""
    journal.set_up("luxusb-check")
    try:
        sock = connection_of_core(list(sys.argv[1:] if argv is None else argv))
    except LuxusbError as error:
        sys.stderr.write(f"luxusb check: {error}\n")
        return 1
    drop_privileges()
    asyncio.run(serve(sock))
    return 0


if __name__ == "__main__":
    sys.exit(main())
