"""The long-lived child that reads everything foreign: downloads, images, disks that come from elsewhere.

Started as `python -P -m luxusbd.children.transfer_main FD` with one end of a socketpair, or by its socket unit; it ends
when the other end closes. Requests (see `protocol` for the wire):

==========  =========================================  ====================================================
method      params                                     result
==========  =========================================  ====================================================
download    job, and the fields of DownloadRequest     fields of DownloadResult; cancelled: the part is kept
race        as download                                sources, as in the progress of a download
configure   bandwidth (of all), host_connections,      null; before the first download
            connections, network; optional recipes
            and catalog_recipes, which are paths
control     job, optional paused, bandwidth,           null; job 0 means all jobs together (only the first two), and
            priority, released, epoch (of a download   with `paused` the answer comes when their bytes are on the
            with a window, what its readers have)      disk
claims      directory, name                            total, done: bytes that a partial file claims
discard     directory, name                            null
inspect     (a regular file)                           Recognition
certificate (a regular file)                           subject, der (base64)
explain     (a regular file)                           Inspection: a Recognition and more about it
look        size (a disk or image file, read-only)     contents (null when it is no stick), losses, foreign
stick-files    size (a disk or image file)             files: what lies in /iso
stick-inspect  size, name (a disk or image file)       Recognition
stick-hash     job, size, name (a disk or image file)  sha256, size
hash        optional job (a regular file)              sha256, size
digests     algorithms (a regular file)                digests
read-own    name (a user's catalogue, and where it is  size
            copied to when it is right)
receive     job, size, most, reserve, algorithms,      image, packed, packing, member, cloned
            optional keep_packed (source, destination)
prove       names, signature, key (the list of         sums, fingerprint, signing_key
            hashes, and what the two say is there)
prove-image an image, its signature and keys           sums (none), fingerprint, signing_key
vouch       key (is the descriptor of a key there),    fields of MakersWord
            image (is that of the image there), and
            the fields of Claim
proofs      key (is the descriptor of a key there)     sizes (bytes of what is in each)
            and the fields of Claim; rooms for list,
            signature and key
metalink    url, name, digests, size                   fields of Directions
feed        feed (its description), keys (of which     fields of Outcome, and fetched: the keys that
            there are descriptors, by fingerprint),    were not at hand, by fingerprint
            key_urls (where copies are), today, etag,  transcript: bytes of what the network said, in
            last_modified (from the last outcome);     the room behind the last descriptor
            behind the keys a room to write to
logo        url, etag, last_modified (of the one at    fields of Logo
            hand); a room to write to
fetch-pair  job, and the fields of PairRequest (where  fields of Pair
            document and signature are written to)
hello       optional log_level                         pid
limit       memory (bytes of data it may have)         {}
==========  =========================================  ====================================================

Event `progress` holds job and, for a download, the fields of DownloadProgress, else bytes_done and bytes_total.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from luxusbd import journal
from luxusbd.children.params import directory, integer, mapping, positive
from luxusbd.children.protocol import Channel, Params
from luxusbd.children.sandbox import drop_privileges, limit_memory
from luxusbd.children.transfer_downloads import DownloadRequests
from luxusbd.children.transfer_files import FileRequests
from luxusbd.children.transfer_proofs import ProofRequests
from luxusbd.children.transfer_threads import Threads
from luxusbd.errors import JobStateError, LuxusbError
from luxusbd.systemd import connection_of_core, watchdog
from luxusbd.transfer.diskio import in_thread
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.network import from_json as network_from_json

# malloc.h. asyncio allocates a fresh buffer for every read; with glibc's defaults each one is mapped and faulted in
# anew. Raising the trim threshold alone makes it worse, because that switches the dynamic mmap threshold off.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
TRIM_THRESHOLD = 256 * 1024 * 1024
MMAP_THRESHOLD = 32 * 1024 * 1024


class TransferChild:
    """The child: its channel, and who answers which request."""

    def __init__(self, sock: socket.socket, limits: TransferLimits | None = None) -> None:
        threads = Threads(self._tell)
        self._downloads = DownloadRequests(threads, self._tell, limits or TransferLimits())
        self._files = FileRequests(threads)
        self._proofs = ProofRequests(threads)
        self._channel = Channel(
            sock,
            handlers={
                "download": self._downloads.download,
                "race": self._downloads.race,
                "configure": self._configure,
                "control": self._downloads.control,
                "claims": self._downloads.claims,
                "discard": self._downloads.discard,
                "inspect": self._files.inspect,
                "certificate": self._files.certificate,
                "explain": self._files.explain,
                "look": self._files.look,
                "stick-files": self._files.stick_files,
                "stick-inspect": self._files.stick_inspect,
                "stick-hash": self._files.stick_hash,
                "read-own": self._files.read_own,
                "hash": self._files.hash,
                "digests": self._files.digests,
                "receive": self._files.receive,
                "prove": self._proofs.prove,
                "prove-image": self._proofs.prove_image,
                "vouch": self._proofs.vouch,
                "metalink": self._proofs.metalink,
                "feed": self._proofs.feed,
                "startfile": self._proofs.startfile,
                "logo": self._proofs.logo,
                "proofs": self._proofs.proofs,
                "fetch-pair": self._downloads.fetch_pair,
                "hello": self._hello,
                "limit": self._limit,
            },
        )

    async def run(self) -> None:
        """Serve until the core closes the channel; running downloads put their bytes on the disk then."""
        try:
            await self._channel.run()
        finally:
            await self._downloads.close()
            await self._proofs.close()

    def stop(self) -> None:
        """End as if the core had closed the channel."""
        self._channel.close()

    async def _hello(self, params: Params, _fds: Sequence[int]) -> dict[str, Any]:
        if "log_level" in params:
            journal.follow(params["log_level"])
        return {"pid": os.getpid()}

    async def _limit(self, params: Params, _fds: Sequence[int]) -> dict[str, Any]:
        limit_memory(integer(params, "memory"))
        return {}

    async def _configure(self, params: Params, _fds: Sequence[int]) -> None:
        if self._downloads.busy:
            raise JobStateError("downloads run already")
        limits = replace(
            self._downloads.limits,
            host_connections=positive(params, "host_connections"),
            total_connections=positive(params, "connections"),
        )
        network = network_from_json(mapping(params, "network"))
        context = await in_thread(None, network.tls)
        await self._downloads.close()
        await self._proofs.close()
        self._downloads.use(limits, network, context)
        self._proofs.use(network, context)
        self._downloads.set_bandwidth(max(0, integer(params, "bandwidth")))
        self._files.use_recipes(directory(params, "recipes"), directory(params, "catalog_recipes"))

    async def _tell(self, progress: dict[str, Any]) -> None:
        await self._channel.event("progress", progress)


def tune_malloc() -> None:
    """Keep large blocks instead of giving each one back to the kernel; nothing happens on another C library."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
        libc.mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD)


async def _no_trouble() -> str:
    # that the loop comes round is the sign of life
    return ""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the child on the socket that the argument or the service manager gives."""
    journal.set_up("luxusb-transfer")
    try:
        # before the capabilities go: they say nothing about who may connect
        sock = connection_of_core(list(sys.argv[1:] if argv is None else argv))
    except LuxusbError as error:
        raise SystemExit(f"luxusb transfer: {error}") from None
    drop_privileges()
    tune_malloc()

    async def serve() -> None:
        child = TransferChild(sock)
        for number in (signal.SIGTERM, signal.SIGINT):
            # systemd signals all processes of the unit at once; downloads are to reach the disk first
            asyncio.get_running_loop().add_signal_handler(number, child.stop)
        alive = asyncio.get_running_loop().create_task(watchdog(_no_trouble))
        await child.run()
        alive.cancel()
        logging.shutdown()
        # a thread that hangs in foreign bytes must not keep the process
        os._exit(0)

    asyncio.run(serve())


if __name__ == "__main__":
    main()
