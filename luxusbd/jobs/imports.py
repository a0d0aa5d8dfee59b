"""Imports: a user's own images, taken into the store from a descriptor, and what vouches for them."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from luxusbd.catalog.catalog import Catalog, reference_to
from luxusbd.catalog.model import Trust
from luxusbd.errors import InvalidArgumentError, JobStateError, MalformedImageError, VerificationError
from luxusbd.images.model import Recognition
from luxusbd.images.names import check_name
from luxusbd.images.store import ImageStore
from luxusbd.jobs.downloadwords import image_result, release_title, unrecognised
from luxusbd.jobs.model import Job, Operation
from luxusbd.jobs.queue import JobQueue
from luxusbd.jobs.room import Room
from luxusbd.jobs.running import JobContext, Lane
from luxusbd.jobs.transfers import Transfers
from luxusbd.jobs.views import ImportOptions
from luxusbd.transfer.importmodel import Order, Received
from luxusbd.transfer.model import DownloadProgress
from luxusbd.transfer.packing import Packing, names_in_sums, unpacked_name
from luxusbd.transfer.proof import Proof
from luxusbd.transfer.sums import Sum


@dataclass(frozen=True)
class Source:
    """What a caller passed as an image."""

    size: int
    """Bytes, 0 when that is not known."""
    stream: bool
    """Whether it can be read only once."""


@dataclass(frozen=True)
class _Held:
    """Descriptors of our own that a job keeps to its end."""

    source: int
    sums: int | None
    signature: int | None
    key: int | None

    def close(self) -> None:
        for fd in (self.source, self.sums, self.signature, self.key):
            if fd is not None:
                os.close(fd)


class Imports:
    """Takes files and streams of users into the store."""

    def __init__(
        self,
        queue: JobQueue,
        transfers: Transfers,
        store: ImageStore,
        catalog: Catalog,
        *,
        room: Room,
        staging: Path,
        max_unpacked: int,
        reserve: int,
    ) -> None:
        """Prepare.

        Args:
            queue: runs the jobs.
            transfers: reads the bytes.
            store: gets the images.
            catalog: knows the genuine ones.
            room: grants space in the store.
            staging: ours alone, where images are written before they are moved into the store.
            max_unpacked: bytes to which a compressed image may unpack.
            reserve: bytes of the filesystem that imports leave free.
        """
        self._queue = queue
        self._transfers = transfers
        self._store = store
        self._catalog = catalog
        self._room = room
        self._staging = staging
        self._reserve = reserve
        self._max_unpacked = max_unpacked
        self._held: dict[int, _Held] = {}

    async def start(self, owner_uid: int, fd: int, name: str, options: ImportOptions) -> Job:
        """Start an import of what is behind `fd`; all descriptors are duplicated.

        Raises:
            InvalidArgumentError: no regular file, pipe or stream socket, not open for reading, of another size than
                the one given, a name that cannot be one, or options that do not go together.
            MalformedImageError: it is empty.
            NotEnoughSpaceError: the store has no room.
        """
        check_name(name)
        if options.sums is None and options.signature is None and options.key is not None:
            raise InvalidArgumentError("a key needs what was signed by it: the option sums, signature or both")
        if options.signature is not None and options.key is None:
            raise InvalidArgumentError("a signature proves nothing without the key of its maker; give the option key")
        held = _hold(fd, options)
        try:
            source = await asyncio.to_thread(source_behind, held.source, name)
            if not source.stream and options.size not in (0, source.size):
                raise InvalidArgumentError(f"the file has {source.size} bytes, not the {options.size} of option size")
            await self._room.check(owner_uid, source.size or options.size)
            job = await self._queue.submit(
                Operation.IMPORT,
                Lane.STREAM if source.stream else Lane.IMPORT,
                self._run,
                owner_uid=owner_uid,
                params={
                    "name": name,
                    "sha256": options.sha256.lower(),
                    "size": source.size or options.size,
                    "sums_name": options.sums_name,
                    "stream": source.stream,
                    "keep_packed": options.keep_packed,
                },
                title=name,
            )
        except BaseException:
            held.close()
            raise
        # a job runs from the next turn of the loop on
        self._held[job.id] = held
        return job

    def job_ended(self, job: Job) -> None:
        """Give back what an import held."""
        if (held := self._held.pop(job.id, None)) is not None:
            held.close()

    async def _run(self, context: JobContext) -> Mapping[str, Any]:
        held = self._held[context.job.id]
        if context.job.params["stream"]:
            context.on_pause(_refuse_pause)
        proof = await self._prove(context, held)
        size = int(context.job.params["size"])
        async with (
            self._staged(context.job.id) as (target, fd),
            # what a compressed file becomes is known at its end
            self._room.promised(context, size, place=target) as promise,
        ):
            received = await self._receive(context, held, fd, proof)
            matched = _check(context, received, proof)
            came = (received.packed or received.image).size
            context.report(came, came, stage="inspect")
            proof = proof or await self._prove_image(context, held, fd)
            recognition = await self._recognise(fd, received, packed=bool(context.job.params["keep_packed"]))
            sha256 = received.image.digests["sha256"]
            genuine = self._catalog.find_by_hash(sha256, sha512=await self._sha512(fd, received))
            move = partial(
                self._store.add,
                target,
                sha256=sha256,
                name=_stored_name(str(context.job.params["name"]), received),
                source="import",
                trust=_trust(proof, vouched=bool(matched) or genuine is not None),
                recognition=recognition,
                owner_uid=context.job.owner_uid,
                sha512=genuine[1].sha512_alone if genuine else "",
            )
            image = await self._room.store(context, promise, received.image.size, move)
        return {
            **image_result(image),
            "genuine": release_title(*genuine) if genuine else "",
            "genuine_reference": reference_to(*genuine) if genuine else "",
            "unpacked_from": received.packing.value if received.packing else "",
            "matched": matched,
            "signed_by": proof.fingerprint if proof else "",
            "cloned": received.cloned,
        }

    @asynccontextmanager
    async def _staged(self, job_id: int) -> AsyncIterator[tuple[Path, int]]:
        """A new file, gone afterwards unless it was moved away."""
        target = self._staging / f"import-{job_id}"
        fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            yield target, fd
        finally:
            os.close(fd)
            await asyncio.to_thread(target.unlink, missing_ok=True)

    async def _prove(self, context: JobContext, held: _Held) -> Proof | None:
        if held.sums is None:
            return None
        params = context.job.params
        context.report(0, int(params["size"]), stage="verify")
        names = names_in_sums(str(params["sums_name"] or params["name"]))
        proof = await self._transfers.prove(held.sums, held.signature, held.key, names)
        if proof.fingerprint:
            by = f" (with its subkey {proof.signing_key})" if proof.signing_key != proof.fingerprint else ""
            context.note(f"the list of hashes is signed by the key you gave, {proof.fingerprint}{by}")
        return proof

    async def _prove_image(self, context: JobContext, held: _Held, fd: int) -> Proof | None:
        """Who signed what was received, where that is what the signature is for."""
        if held.signature is None or held.key is None:
            return None
        proof = await self._transfers.prove_image(fd, held.signature, held.key)
        by = f" (with its subkey {proof.signing_key})" if proof.signing_key != proof.fingerprint else ""
        context.note(f"the image is signed by the key you gave, {proof.fingerprint}{by}")
        return proof

    async def _receive(self, context: JobContext, held: _Held, fd: int, proof: Proof | None) -> Received:
        size = int(context.job.params["size"])

        def progress(now: DownloadProgress) -> None:
            context.report(now.bytes_done, size, stage="copy")

        algorithms = {entry.algorithm for entry in proof.sums} if proof else set()
        if self._catalog.needs_sha512(size):
            algorithms.add("sha512")
        order = Order(
            size=size,
            most=self._max_unpacked,
            reserve=self._reserve,
            algorithms=("sha256", *sorted(algorithms - {"sha256"})),
            keep_packed=bool(context.job.params["keep_packed"]),
        )
        context.report(0, size, stage="copy")
        received = await self._transfers.receive(
            context.job.id, held.source, fd, order, progress, again=not context.job.params["stream"]
        )
        if received.cloned:
            context.note("cloned: it shares its blocks with the file that it came from")
        if received.packing is not None and received.packed is not None:
            context.note(f"unpacked from {received.packing}: {received.packed.size} bytes became {received.image.size}")
        return received

    async def _recognise(self, fd: int, received: Received, *, packed: bool) -> Recognition:
        try:
            return await self._transfers.inspect(fd)
        except MalformedImageError as error:
            if not packed:
                raise
            return replace(unrecognised(received.image.size, error), advice=_AS_IT_IS)

    async def _sha512(self, fd: int, received: Received) -> str:
        """The SHA-512 of what was received, where the catalogue may know it by that alone; else empty or not."""
        image = received.image
        known = image.digests.get("sha512", "")
        # what a compressed file becomes is known at its end
        if known or not self._catalog.needs_sha512(image.size) or self._catalog.find_by_hash(image.digests["sha256"]):
            return known
        return next(each.value for each in await self._transfers.digests(fd, ("sha512",)) if each.algorithm == "sha512")


def source_behind(fd: int, name: str = "the file") -> Source:
    """What a descriptor that a caller passed leads to. May block where a filesystem does.

    Raises:
        InvalidArgumentError: no regular file, pipe or stream socket, or not open for reading.
        MalformedImageError: it is empty.
    """
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return Source(readable_size(fd, name), stream=False)
    if not stat.S_ISFIFO(mode) and not stat.S_ISSOCK(mode):
        raise InvalidArgumentError(f"{name} is neither a regular file nor a pipe nor a stream socket; pass one of them")
    if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
        raise InvalidArgumentError(f"{name} is not open for reading; open it for reading and pass it again")
    return Source(0, stream=True)


def readable_size(fd: int, name: str = "the file") -> int:
    """Size of the regular file behind a descriptor that a caller passed.

    Raises:
        InvalidArgumentError: no regular file, or not open for reading.
        MalformedImageError: it is empty.
    """
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise InvalidArgumentError(f"{name} is no regular file; pass an image file opened for reading")
    if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
        raise InvalidArgumentError(f"{name} is not open for reading; open it for reading and pass it again")
    if status.st_size == 0:
        raise MalformedImageError(f"{name} is empty; download or copy it again")
    return status.st_size


def _hold(fd: int, options: ImportOptions) -> _Held:
    """Copies of all descriptors."""
    with ExitStack() as stack:

        def copy_of(given: int) -> int:
            copy = fcntl.fcntl(given, fcntl.F_DUPFD_CLOEXEC, 3)
            stack.callback(os.close, copy)
            return copy

        beside = [None if given is None else copy_of(given) for given in (options.sums, options.signature, options.key)]
        held = _Held(copy_of(fd), *beside)
        stack.pop_all()
        return held


def _refuse_pause(_pause: bool) -> None:
    raise JobStateError("what comes through a pipe cannot be paused; stop its writer instead, or cancel the job")


def _stored_name(name: str, received: Received) -> str:
    shorter = unpacked_name(name, received.packing)
    return received.member if received.packing is Packing.ZIP and shorter != name and received.member else shorter


def _trust(proof: Proof | None, *, vouched: bool) -> Trust:
    if proof is not None and proof.fingerprint:
        return Trust.SIGNED
    return Trust.HASH if vouched else Trust.NONE


def _check(context: JobContext, received: Received, proof: Proof | None) -> str:
    """Compare with the hashes that the user gave; what they were of: `image`, `packed`, or empty without any.

    Raises:
        VerificationError: one of them fits neither.
    """
    params = context.job.params
    matched = ""
    if params["sha256"]:
        matched = _match(str(params["name"]), received, [Sum("", "sha256", str(params["sha256"]))], "the one given")
        context.note(f"the sha256 given is that of the {_WHAT[matched]}")
    if proof is not None:
        matched = _match(str(params["name"]), received, proof.sums, "the one in the list of hashes")
        context.note(f"the hash in the list is that of the {_WHAT[matched]}")
    return matched


_AS_IT_IS = "It was stored as it came, to be written to a stick of its own: luxusb write-raw."
_WHAT = {"image": "image", "packed": "compressed file"}


def _match(name: str, received: Received, wanted: Sequence[Sum], which: str) -> str:
    for entry in wanted:
        for what, content in (("image", received.image), ("packed", received.packed)):
            if content is not None and content.digests.get(entry.algorithm) == entry.digest:
                return what
    entry = wanted[0]
    own = received.image.digests.get(entry.algorithm)
    found = f"its {entry.algorithm} is {own}"
    if received.packed is not None:
        packed = received.packed.digests.get(entry.algorithm)
        found = f"the {entry.algorithm} of the compressed file is {packed}, that of the image in it {own}"
    raise VerificationError(f"{name}: {found}, not {entry.digest}, {which}; nothing was imported")
