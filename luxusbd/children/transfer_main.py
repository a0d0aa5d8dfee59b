"""The long-lived child that reads everything foreign: downloads, images, disks that come from elsewhere.

Started as `python -P -m luxusbd.children.transfer_main FD` with one end of a socketpair, or by its socket unit; it ends
when the other end closes. Requests (see `protocol` for the wire):

==========  =========================================  ====================================================
method      params                                     result
==========  =========================================  ====================================================
download    job, and the fields of DownloadRequest     fields of DownloadResult; cancelled: the part is kept
race        as download                                sources, as in the progress of a download
configure   bandwidth (of all), host_connections,      null; before the first download
            connections, network
control     job, optional paused, bandwidth            null; job 0 means all jobs together, and with `paused` the
                                                       answer comes when their bytes are on the disk
claims      directory, name                            total, done: bytes that a partial file claims
discard     directory, name                            null
inspect     (a regular file)                           Recognition
explain     (a regular file)                           Inspection: a Recognition and more about it
look        size (a disk or image file, read-only)     contents (null when it is no stick), losses
stick-files    size (a disk or image file)             files: what lies in /iso
stick-inspect  size, name (a disk or image file)       Recognition
stick-hash     job, size, name (a disk or image file)  sha256, size
hash        optional job (a regular file)              sha256, size
digests     algorithms (a regular file)                digests
receive     job, size, most, reserve, algorithms       image, packed, packing, member, cloned
            (source, destination)
prove       names, signature, key (the list of         sums, fingerprint, signing_key
            hashes, and what the two say is there)
vouch       key (is the descriptor of a key there),    fields of MakersWord
            image (is that of the image there), and
            the fields of Claim
metalink    url, name, digests, size                   fields of Directions
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
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Any, TypeVar

from luxusbd import journal
from luxusbd.children.protocol import Channel, Params
from luxusbd.children.sandbox import drop_privileges, limit_memory
from luxusbd.errors import (
    AlreadyExistsError,
    FailedError,
    InterruptedJobError,
    InvalidArgumentError,
    JobStateError,
    LuxusbError,
)
from luxusbd.systemd import connection_of_core, watchdog
from luxusbd.transfer.codec import (
    digests_from_json,
    progress_to_json,
    request_from_json,
    result_to_json,
    sources_to_json,
)
from luxusbd.transfer.directions import find_directions
from luxusbd.transfer.diskio import in_thread, settled
from luxusbd.transfer.engine import Downloader
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.localcopy import LocalFile, hash_file
from luxusbd.transfer.makers import Vouching
from luxusbd.transfer.makerscodec import claim_from_json, directions_to_json, word_to_json
from luxusbd.transfer.model import DIGESTS, DownloadProgress, DownloadRequest, DownloadStage
from luxusbd.transfer.network import from_json as network_from_json
from luxusbd.transfer.openpgp import MAX_KEY, MAX_SIGNATURE
from luxusbd.transfer.pace import Control
from luxusbd.transfer.pair import pair_request_from_json
from luxusbd.transfer.partfile import PartFile
from luxusbd.transfer.proof import name_behind, prove, read_small
from luxusbd.transfer.receive import ALGORITHMS, Digests, Order, receive
from luxusbd.transfer.small import SmallFiles
from luxusbd.transfer.source import default_session
from luxusbd.transfer.sums import MAX_SUMS

INSPECT_TIMEOUT = 60.0
"""Seconds for one look at foreign bytes; the thread itself cannot be stopped and stays behind."""
PROGRESS_INTERVAL = 0.1
"""Seconds between two progress events of one job."""
MAX_NOTE = 4096
"""Characters of the notes in one progress event; the newest are kept."""
COPY_THREADS = 8
"""A silent pipe holds one; the core starts no more imports than there are threads."""
REST_PATIENCE = 3.0
"""Seconds that all downloads together get to put their bytes on the disk before the machine sleeps, for which logind
waits 5 (logind.conf(5), InhibitDelayMaxSec=)."""
PAUSE_LOOK = 0.2
"""Seconds after which a copy that stands still looks whether it was cancelled meanwhile."""
LOOK_THREADS = 8

# malloc.h. asyncio allocates a fresh buffer for every read; with glibc's defaults each one is mapped and faulted in
# anew. Raising the trim threshold alone makes it worse, because that switches the dynamic mmap threshold off.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
TRIM_THRESHOLD = 256 * 1024 * 1024
MMAP_THRESHOLD = 32 * 1024 * 1024

log = logging.getLogger(__name__)

_R = TypeVar("_R")


class ProgressPump:
    """Sends the newest progress of one job at most every `PROGRESS_INTERVAL`, and always the last one."""

    def __init__(self, channel: Channel, job: int) -> None:
        self._channel = channel
        self._job = job
        self._latest: dict[str, Any] | None = None
        self._news = asyncio.Event()
        self._ending = asyncio.Event()

    def put(self, report: dict[str, Any]) -> None:
        """Take a report; called in the loop. What an older one noted and nobody got yet goes along with it."""
        notes = [one["note"] for one in (self._latest, report) if one is not None and one.get("note")]
        self._latest = {**report, "note": "; ".join(dict.fromkeys(notes))[-MAX_NOTE:]} if notes else report
        self._news.set()

    def end(self) -> None:
        """Let `run` send what is left and return."""
        self._ending.set()
        self._news.set()

    async def run(self) -> None:
        """Send until `end`. Not to be cancelled: a message that is cut in the middle would spoil the channel."""
        while not self._ending.is_set():
            await self._news.wait()
            await self._send()
            try:
                async with asyncio.timeout(PROGRESS_INTERVAL):
                    await self._ending.wait()
            except TimeoutError:
                continue
        await self._send()

    async def _send(self) -> None:
        report, self._latest = self._latest, None
        self._news.clear()
        if report is not None:
            await self._channel.event("progress", {"job": self._job, **report})


class TransferChild:
    """The handlers of the child's requests."""

    def __init__(self, sock: socket.socket, limits: TransferLimits | None = None) -> None:
        self._downloader = Downloader(limits=limits)
        self._limits = limits or TransferLimits()
        self._small = SmallFiles()
        self._vouching = Vouching(self._small)
        self._controls: dict[int, Control] = {}
        self._standing: dict[int, asyncio.Event] = {}
        """By job: set while a paused download has all its bytes on the disk."""
        self._resting = False
        self._ended: dict[int, asyncio.Event] = {}
        self._going: dict[int, threading.Event] = {}
        """By job: cleared while a copy or hash is to stand still."""
        self._copies = ThreadPoolExecutor(COPY_THREADS, "copy")
        self._looks = ThreadPoolExecutor(LOOK_THREADS, "look")
        self._channel = Channel(
            sock,
            handlers={
                "download": self._download,
                "race": self._race,
                "configure": self._configure,
                "control": self._control,
                "claims": self._claims,
                "discard": self._discard,
                "inspect": self._inspect,
                "explain": self._explain,
                "look": self._look,
                "stick-files": self._stick_files,
                "stick-inspect": self._stick_inspect,
                "stick-hash": self._stick_hash,
                "hash": self._hash,
                "digests": self._digests,
                "receive": self._receive,
                "prove": self._prove,
                "vouch": self._vouch,
                "metalink": self._metalink,
                "fetch-pair": self._fetch_pair,
                "hello": self._hello,
                "limit": self._limit,
            },
        )

    async def run(self) -> None:
        """Serve until the core closes the channel; running downloads put their bytes on the disk then."""
        try:
            await self._channel.run()
        finally:
            await self._downloader.close()
            await self._small.close()

    async def _hello(self, params: Params, _fds: Sequence[int]) -> dict[str, Any]:
        if "log_level" in params:
            journal.follow(params["log_level"])
        return {"pid": os.getpid()}

    async def _limit(self, params: Params, _fds: Sequence[int]) -> dict[str, Any]:
        limit_memory(_integer(params, "memory"))
        return {}

    def stop(self) -> None:
        """End as if the core had closed the channel."""
        self._channel.close()

    async def _download(self, params: Params, _fds: Sequence[int]) -> dict[str, Any]:
        async with self._transfer(params) as (request, progress, control):
            return result_to_json(await self._downloader.download(request, progress, control=control))

    async def _race(self, params: Params, _fds: Sequence[int]) -> dict[str, Any]:
        async with self._transfer(params) as (request, progress, control):
            return {"sources": sources_to_json(await self._downloader.race(request, progress, control=control))}

    @asynccontextmanager
    async def _transfer(
        self, params: Params
    ) -> AsyncIterator[tuple[DownloadRequest, Callable[[DownloadProgress], None], Control]]:
        """What a transfer of a job needs, from a request of the core; the core can steer it meanwhile."""
        job = _integer(params, "job")
        request = request_from_json(params)
        await self._wait_for_the_last_one(job)
        control = self._controls[job] = Control(request.bandwidth, request.priority)
        if self._resting:
            control.pause()
        standing = self._standing[job] = asyncio.Event()
        ended = self._ended[job] = asyncio.Event()
        try:
            async with self._pump(job) as pump:

                def report(progress: DownloadProgress) -> None:
                    if control.paused and progress.stage is DownloadStage.WAIT:
                        standing.set()
                    pump.put(progress_to_json(progress))

                yield request, report, control
        finally:
            del self._controls[job], self._ended[job], self._standing[job]
            standing.set()
            ended.set()

    async def _wait_for_the_last_one(self, job: int) -> None:
        # a job that was cancelled and started again at once: the first one is still putting its bytes on the disk
        try:
            async with asyncio.timeout(self._limits.lock_patience):
                while job in self._ended:
                    await self._ended[job].wait()
        except TimeoutError:
            raise AlreadyExistsError(f"job {job} is being downloaded already") from None

    async def _configure(self, params: Params, _fds: Sequence[int]) -> None:
        if self._controls:
            raise JobStateError("downloads run already")
        limits = replace(
            self._limits,
            host_connections=_positive(params, "host_connections"),
            total_connections=_positive(params, "connections"),
        )
        network = network_from_json(_object(params, "network"))
        context = await in_thread(None, network.tls)
        await self._downloader.close()
        await self._small.close()
        self._limits = limits
        self._downloader = Downloader(lambda: default_session(context, limits.read_buffer), limits, network)
        self._small = SmallFiles(lambda: default_session(context), network=network)
        self._vouching = Vouching(self._small)
        self._downloader.bucket.set_rate(max(0, _integer(params, "bandwidth")))

    async def _rest(self, paused: bool) -> None:
        """Let all downloads stand still, with their bytes on the disk, or go on; it holds for those to come as well."""
        self._resting = paused
        for job, control in self._controls.items():
            self._standing[job].clear()
            (control.pause if paused else control.resume)()
        if not paused or not self._standing:
            return
        waits = [asyncio.ensure_future(event.wait()) for event in self._standing.values()]
        _, late = await asyncio.wait(waits, timeout=REST_PATIENCE)
        for wait in late:
            wait.cancel()

    async def _claims(self, params: Params, _fds: Sequence[int]) -> dict[str, Any]:
        directory, name = params.get("directory"), params.get("name")
        if not isinstance(directory, str) or not isinstance(name, str):
            raise InvalidArgumentError("claims needs `directory` and `name`")
        total, done = await in_thread(self._looks, _claimed, directory, name)
        return {"total": total, "done": done}

    async def _control(self, params: Params, _fds: Sequence[int]) -> None:
        job = _integer(params, "job")
        bandwidth = _integer(params, "bandwidth") if "bandwidth" in params else None
        paused = params.get("paused")
        if bandwidth is not None and bandwidth < 0:
            raise InvalidArgumentError("a bandwidth cannot be negative")
        if paused is not None and not isinstance(paused, bool):
            raise InvalidArgumentError(f"`paused` must be true or false, not {paused!r}")
        if job == 0:
            if bandwidth is not None:
                self._downloader.bucket.set_rate(bandwidth)
            if paused is not None:
                await self._rest(paused)
            return
        control = self._controls.get(job)
        if control is None and paused is not None and job in self._going:
            (self._going[job].clear if paused else self._going[job].set)()
            return
        if control is None:
            raise JobStateError(f"job {job} is not being downloaded")
        if bandwidth is not None:
            control.set_bandwidth(bandwidth)
        if paused is not None:
            if paused:
                control.pause()
            else:
                control.resume()

    async def _discard(self, params: Params, _fds: Sequence[int]) -> None:
        directory, name = params.get("directory"), params.get("name")
        if not isinstance(directory, str) or not isinstance(name, str):
            raise InvalidArgumentError("discard needs `directory` and `name`")
        await self._downloader.discard(directory, name)

    async def _inspect(self, _params: Params, fds: Sequence[int]) -> Any:
        from luxusbd.images.codec import recognition_to_json
        from luxusbd.images.recognise import recognise

        (fd,) = _descriptors(fds, 1)
        return await self._foreign(fd, lambda own: recognition_to_json(recognise(own)))

    async def _explain(self, _params: Params, fds: Sequence[int]) -> Any:
        from luxusbd.images.details_codec import inspection_to_json
        from luxusbd.images.recognise import inspect

        (fd,) = _descriptors(fds, 1)
        return await self._foreign(fd, lambda own: inspection_to_json(inspect(own)))

    async def _look(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        from luxusbd.stick.codec import contents_to_json
        from luxusbd.stick.losses import to_json
        from luxusbd.stick.reader import look_at_contents, read_stick

        (fd,) = _descriptors(fds, 1)
        size = _integer(params, "size")

        def look(own: int) -> dict[str, Any]:
            contents = read_stick(own, size)
            lines, losses = look_at_contents(own, size)
            return {
                "contents": None if contents is None else contents_to_json(contents),
                "losses": list(lines),
                "details": to_json(losses),
            }

        return await self._foreign(fd, look)

    async def _stick_files(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        from luxusbd.stick.codec import files_to_json
        from luxusbd.stick.isofiles import list_files
        from luxusbd.stick.reader import open_stick

        (fd,) = _descriptors(fds, 1)
        size = _integer(params, "size")
        return {"files": await self._foreign(fd, lambda own: files_to_json(list_files(open_stick(own, size))))}

    async def _stick_inspect(self, params: Params, fds: Sequence[int]) -> Any:
        from luxusbd.images.codec import recognition_to_json
        from luxusbd.images.recognise import recognise
        from luxusbd.stick.isofiles import image_file
        from luxusbd.stick.reader import open_stick

        (fd,) = _descriptors(fds, 1)
        size, name = _integer(params, "size"), _name(params)

        def look(own: int) -> Any:
            file = image_file(open_stick(own, size), name)
            found = recognise(file)
            file.check_for_grub()
            return recognition_to_json(found)

        return await self._foreign(fd, look)

    async def _stick_hash(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        from luxusbd.stick.isofiles import image_file
        from luxusbd.stick.reader import open_stick

        (fd,) = _descriptors(fds, 1)
        size, name = _integer(params, "size"), _name(params)

        def work(progress: Callable[[int, int], None], stop: Callable[[], bool]) -> LocalFile:
            file = image_file(open_stick(fd, size), name)
            file.check_for_grub()
            return LocalFile(file.sha256(progress, stop), file.size)

        found = await self._local(_integer(params, "job"), work)
        return {"sha256": found.sha256, "size": found.size}

    async def _hash(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        (fd,) = _descriptors(fds, 1)
        found = await self._local(
            _integer(params, "job") if "job" in params else 0,
            lambda progress, stop: hash_file(fd, progress, stop),
        )
        return {"sha256": found.sha256, "size": found.size}

    async def _digests(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        (fd,) = _descriptors(fds, 1)
        running = Digests(name for name in _strings(params, "algorithms") if name in DIGESTS)
        await self._local(0, lambda progress, stop: hash_file(fd, progress, stop, running=running))
        return {"digests": [{"algorithm": name, "value": value} for name, value in running.content().digests.items()]}

    async def _receive(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        source, destination = _descriptors(fds, 2)
        order = Order(
            size=_integer(params, "size"),
            most=_integer(params, "most"),
            reserve=_integer(params, "reserve"),
            algorithms=tuple(name for name in _strings(params, "algorithms") if name in ALGORITHMS),
        )
        found = await self._local(
            _integer(params, "job"),
            lambda progress, stop: receive(source, destination, order, progress, stop),
        )
        return asdict(found)

    async def _prove(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        given = [
            ("the list of hashes", MAX_SUMS),
            *([("the signature", MAX_SIGNATURE)] if params.get("signature") else []),
            *([("the file of keys", MAX_KEY)] if params.get("key") else []),
        ]
        texts = [
            await self._foreign(fd, partial(read_small, most=most, what=what))
            for fd, (what, most) in zip(_descriptors(fds, len(given)), given, strict=True)
        ]
        sums = texts.pop(0)
        key = texts.pop() if params.get("key") else None
        signature = texts.pop() if params.get("signature") else None
        return asdict(await prove(sums, signature, key, _strings(params, "names"), name_behind(fds[0])))

    async def _vouch(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        given = list(_descriptors(fds, bool(params.get("key")) + bool(params.get("image"))))
        claim = claim_from_json(params)
        key = None
        if params.get("key"):
            key = await self._foreign(given.pop(0), partial(read_small, most=MAX_KEY, what="the file of keys"))
        if given:
            return word_to_json(await self._vouching.by_image(claim, key, given[0]))
        return word_to_json(await self._vouching.by_list(claim, key))

    async def _metalink(self, params: Params, _fds: Sequence[int]) -> dict[str, Any]:
        url = params.get("url")
        if not isinstance(url, str):
            raise InvalidArgumentError("`url` must be the address of a metalink")
        digests = digests_from_json(params.get("digests"))
        found = await find_directions(self._small, url, _name(params), digests, _integer(params, "size"))
        return directions_to_json(found)

    async def _fetch_pair(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        document, signature = _descriptors(fds, 2)
        request = pair_request_from_json(params)
        async with self._pump(_integer(params, "job")) as pump:
            found = await self._downloader.fetch_pair(
                request,
                document,
                signature,
                lambda done, total: pump.put({"bytes_done": done, "bytes_total": total}),
            )
        return asdict(found)

    async def _local(self, job: int, work: Callable[[Callable[[int, int], None], Callable[[], bool]], _R]) -> _R:
        loop = asyncio.get_running_loop()
        stop = threading.Event()
        going = self._going[job] = threading.Event()
        going.set()

        def stopped() -> bool:
            while not stop.is_set() and not going.wait(PAUSE_LOOK):
                continue
            return stop.is_set()

        async with self._pump(job) as pump:

            def report(done: int, total: int) -> None:
                loop.call_soon_threadsafe(pump.put, {"bytes_done": done, "bytes_total": total})

            try:
                return await in_thread(self._copies, work, report, stopped, stop=stop)
            finally:
                if self._going.get(job) is going:
                    del self._going[job]

    async def _foreign(self, fd: int, work: Callable[[int], _R]) -> _R:
        """Let a thread look at foreign bytes, on a descriptor of its own, and wait only so long for it."""
        own = os.dup(fd)

        def look() -> _R:
            try:
                return work(own)
            finally:
                os.close(own)

        future = self._looks.submit(look)
        try:
            async with asyncio.timeout(INSPECT_TIMEOUT):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise FailedError(f"looking at the file took longer than {INSPECT_TIMEOUT:g} seconds") from None
        finally:
            if future.cancel():
                os.close(own)  # the thread never began, so that it never closes it

    @asynccontextmanager
    async def _pump(self, job: int) -> AsyncIterator[ProgressPump]:
        pump = ProgressPump(self._channel, job)
        sending = asyncio.get_running_loop().create_task(pump.run())
        try:
            yield pump
        finally:
            pump.end()
            await settled(sending)
            if isinstance(sending.exception(), InterruptedJobError):
                log.info("the core is gone, job %d reports to nobody", job)


def _integer(params: Params, key: str) -> int:
    value = params.get(key)
    if type(value) is not int:
        raise InvalidArgumentError(f"`{key}` must be a whole number, not {value!r}")
    return value


def _claimed(directory: str, name: str) -> tuple[int, int]:
    """Bytes of the whole file (0: nobody knows) and of what an earlier run says to have left of it."""
    part = PartFile.open(directory, name)
    try:
        state, _ = part.load()
    finally:
        part.close()
    return (state.total_size, state.done.total) if state is not None else (0, 0)


def _object(params: Params, key: str) -> Params:
    value = params.get(key)
    if not isinstance(value, dict):
        raise InvalidArgumentError(f"`{key}` must be an object, not {value!r}")
    return value


def _positive(params: Params, key: str) -> int:
    value = _integer(params, key)
    if value < 1:
        raise InvalidArgumentError(f"`{key}` must be at least 1, not {value}")
    return value


def _strings(params: Params, key: str) -> tuple[str, ...]:
    value = params.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise InvalidArgumentError(f"`{key}` must be a list of texts, not {value!r}")
    return tuple(value)


def _name(params: Params) -> str:
    name = params.get("name")
    if not isinstance(name, str):
        raise InvalidArgumentError("`name` must be the name of a file")
    return name


def _descriptors(fds: Sequence[int], count: int) -> tuple[int, ...]:
    if len(fds) != count:
        raise InvalidArgumentError(f"{count} descriptors are needed, {len(fds)} came")
    return tuple(fds)


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
