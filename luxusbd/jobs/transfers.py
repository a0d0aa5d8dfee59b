"""What the core asks of the transfer process, in typed form."""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from luxusbd.catalog.feeds.codec import keys_from_json, outcome_from_json
from luxusbd.catalog.feeds.model import Description, Outcome
from luxusbd.catalog.own import MAX_OWN
from luxusbd.children.protocol import Params
from luxusbd.errors import (
    InterruptedJobError,
    InvalidArgumentError,
    JobStateError,
    LuxusbError,
    MalformedImageError,
    NoLogoError,
)
from luxusbd.images import certificate as certificates
from luxusbd.images.codec import recognition_from_json
from luxusbd.images.details import Inspection
from luxusbd.images.details_codec import inspection_from_json
from luxusbd.images.model import Certificate, Recognition
from luxusbd.images.startfile import StartFile, startfile_to_json
from luxusbd.jobs.transferlink import ProgressCallback, TransferLink, integer_of, sources_of
from luxusbd.stick.codec import contents_from_json, files_from_json
from luxusbd.stick.foreign import ForeignStick
from luxusbd.stick.foreign import from_json as foreign_from_json
from luxusbd.stick.isofiles import FoundFile
from luxusbd.stick.losses import Loss
from luxusbd.stick.losses import from_json as losses_from_json
from luxusbd.stick.model import StickContents
from luxusbd.text import clean
from luxusbd.transfer.codec import digests_from_json, result_from_json
from luxusbd.transfer.feeds.transcript import MAX_TRANSCRIPT
from luxusbd.transfer.importcodec import image_proof_from_json, proof_from_json, received_from_json
from luxusbd.transfer.importmodel import Order, Received
from luxusbd.transfer.logo import Logo, logo_from_json
from luxusbd.transfer.makerscodec import claim_to_json, directions_from_json, sizes_from_json, word_from_json
from luxusbd.transfer.model import (
    Claim,
    Digest,
    Directions,
    DownloadRequest,
    DownloadResult,
    MakersWord,
    SourceShare,
)
from luxusbd.transfer.pairmodel import Pair, PairRequest, pair_from_json
from luxusbd.transfer.proof import Proof
from luxusbd.transfer.smallmodel import Version

log = logging.getLogger(__name__)

DEADLY = "the process that reads images died over this one; it is damaged or made to do harm"

_T = TypeVar("_T")


@dataclass(frozen=True)
class FeedAnswer:
    """What came of reading a feed."""

    outcome: Outcome
    fetched: Mapping[str, bytes]
    """Keys that came over the network, by fingerprint."""
    transcript: int
    """Bytes that were written of what the network said."""


class Transfers(TransferLink):
    """The transfer process as an object with methods, one for each request."""

    async def download(
        self, job_id: int, request: Callable[[], DownloadRequest], progress: ProgressCallback
    ) -> DownloadResult:
        """Fetch and verify a file, through deaths of the process. Cancelling keeps the partial.

        Args:
            job_id: names the download in `control`.
            request: makes the request, anew for each attempt so that changed limits hold.
            progress: is told how far it is.
        """
        return _sane(result_from_json, await self._through_deaths("download", job_id, request, progress))

    async def race(
        self, job_id: int, request: Callable[[], DownloadRequest], progress: ProgressCallback
    ) -> tuple[SourceShare, ...]:
        """Measure all addresses of a request on real ranges of the file.

        Where there is a partial that lacks these bytes, they stay.

        Args:
            job_id: names the race in `control`.
            request: as for `download`.
            progress: is told what the mirrors do.
        """
        answer = await self._through_deaths("race", job_id, request, progress)
        return sources_of(answer)

    async def set_total_bandwidth(self, bandwidth: int) -> None:
        """Change the limit of all downloads together, in bytes per second, 0 without."""
        self._setup = replace(self._setup, bandwidth=bandwidth)
        try:
            await self.supervisor.request("control", {"job": 0, "bandwidth": bandwidth})
        except InterruptedJobError as error:
            log.info("the limit of all downloads holds from the next transfer process on: %s", error)

    async def rest(self, *, paused: bool) -> None:
        """Let all downloads put their bytes on the disk and stand still, or go on; returns when they have."""
        try:
            await self.supervisor.request("control", {"job": 0, "paused": paused})
        except LuxusbError as error:
            log.warning("the downloads did not hear of the machine's sleep: %s", error)

    async def claims(self, directory: str, name: str) -> tuple[int, int]:
        """Bytes of the whole file (0: nobody knows), and of what an earlier run says to have left of it.

        Raises:
            LuxusbError: it is being downloaded, or cannot be read.
        """
        answer = await self.supervisor.request("claims", {"directory": directory, "name": name})
        return integer_of(answer, "total"), integer_of(answer, "done")

    async def steer(self, job_id: int, *, priority: int | None, bandwidth: int | None) -> None:
        """Change a running download: who gets free connections first, and bytes per second (0: no limit)."""
        wanted = {"priority": priority, "bandwidth": bandwidth}
        changes = {name: value for name, value in wanted.items() if value is not None}
        await self.supervisor.request("control", {"job": job_id, **changes})

    async def release(self, job_id: int, upto: int, epoch: int) -> None:
        """Tell a running download with a window that all who read its part are safe up to the byte `upto`.

        `epoch` is that of the progress by which they know the part.

        Where no such download runs any more nothing happens: its part is gone, or on its way to be.
        """
        try:
            await self.supervisor.request("control", {"job": job_id, "released": upto, "epoch": epoch})
        except (JobStateError, InterruptedJobError) as error:
            log.debug("nobody hears that %d bytes of job %d are released: %s", upto, job_id, error)

    async def discard(self, directory: str, name: str) -> None:
        """Delete the partial of a download."""
        await self.supervisor.request("discard", {"directory": directory, "name": name})

    async def receive(
        self, job_id: int, source: int, destination: int, order: Order, progress: ProgressCallback, *, again: bool
    ) -> Received:
        """Take what is behind `source`, compressed or not, into the regular file `destination`.

        Args:
            job_id: names the progress.
            source: a regular file, or a pipe or socket, which is read to its end.
            destination: is replaced.
            order: what may come.
            progress: is told how many bytes came.
            again: whether it can be read anew when the process dies.

        Raises:
            MalformedImageError: reading it killed the process, or what came is damaged.
            LuxusbError: as `luxusbd.transfer.receive.receive`.
        """
        self._progress[job_id] = progress
        params, fds = {"job": job_id, **asdict(order)}, [source, destination]
        try:
            if again:
                answer = await self._alone_if_deadly("receive", params, fds)
            else:
                answer = await self.supervisor.request("receive", params, fds)
        except InterruptedJobError as error:
            if not again:
                raise InterruptedJobError(f"what came through the pipe is lost ({error}); send it again") from error
            raise MalformedImageError(DEADLY) from None
        finally:
            del self._progress[job_id]
        return received_from_json(answer)

    async def prove(self, sums: int, signature: int | None, key: int | None, names: Sequence[str]) -> Proof:
        """Find an image in a list of hashes, after checking who signed that.

        Raises:
            LuxusbError: as `luxusbd.transfer.proof.prove`.
        """
        params = {"names": list(names), "signature": signature is not None, "key": key is not None}
        fds = [fd for fd in (sums, signature, key) if fd is not None]
        return proof_from_json(await self._alone_if_deadly("prove", params, fds))

    async def prove_image(self, image: int, signature: int, key: int) -> Proof:
        """Who signed the image behind a descriptor.

        Raises:
            LuxusbError: as `luxusbd.transfer.proof.prove_image`.
        """
        return image_proof_from_json(await self._alone_if_deadly("prove-image", {}, [image, signature, key]))

    async def vouch(self, claim: Claim, key: int | None, image: int | None = None) -> MakersWord:
        """Ask the maker of an image for his word; with a descriptor of the `image` for its own signature.

        Raises:
            VerificationError: as `luxusbd.transfer.makers.Vouching.by_list`.
        """
        params = {**claim_to_json(claim), "key": key is not None, "image": image is not None}
        answer = await self._alone_if_deadly("vouch", params, [fd for fd in (key, image) if fd is not None])
        return _sane(word_from_json, answer)

    async def proofs(self, claim: Claim, key: int | None, rooms: Sequence[int]) -> tuple[int, ...]:
        """Fetch the signed list of hashes, its signature and the key; how many bytes of each are in `rooms`.

        Args:
            claim: what is to be looked for.
            key: a descriptor of keys that are at hand.
            rooms: files in memory, in that order; what is missing has no bytes.

        Raises:
            UntrustedError: the maker's word cannot be had by the pinned key.
            VerificationError: as `vouch`.
        """
        params = {**claim_to_json(claim), "key": key is not None}
        answer = await self._alone_if_deadly("proofs", params, [*((key,) if key is not None else ()), *rooms])
        return _sane(lambda told: sizes_from_json(told, [os.fstat(room).st_size for room in rooms]), answer)

    async def metalink(self, url: str, name: str, digests: Sequence[Digest], size: int) -> Directions:
        """What a metalink says of a file."""
        params = {"url": url, "name": name, "digests": [asdict(digest) for digest in digests], "size": size}
        return _sane(directions_from_json, await self._alone_if_deadly("metalink", params, []))

    async def feed(
        self,
        description: Description,
        asked: Mapping[str, str],
        keys: Mapping[str, int],
        key_urls: Mapping[str, str],
        room: int,
    ) -> FeedAnswer:
        """Read a feed.

        Args:
            description: the feed.
            asked: `today` as YYYY-MM-DD, and `etag` and `last_modified` of what is known; when that holds still, it is
                not read again.
            keys: descriptors of files with keys, by the fingerprint that should be in them.
            key_urls: where copies of the others may be had.
            room: a file of `MAX_TRANSCRIPT` bytes, for the transcript of what the network said.

        Raises:
            CatalogError: a document is not what it has to be.
            NetworkError: one of them cannot be had.
        """
        params = {
            "feed": dict(description.entry),
            **asked,
            "key_urls": dict(key_urls),
            **({"keys": list(keys)} if keys else {}),
        }
        answer = await self._alone_if_deadly("feed", params, [*keys.values(), room])
        outcome = _sane(lambda told: outcome_from_json(told, description.feed), answer)
        if outcome.unchanged and not (asked["etag"] or asked["last_modified"]):
            raise InterruptedJobError("the transfer process sent nonsense: a feed is as before, which nobody asked")
        fetched = _sane(lambda told: keys_from_json(told, frozenset(key_urls)), answer.get("fetched"))
        return FeedAnswer(outcome, fetched, min(integer_of(answer, "transcript"), MAX_TRANSCRIPT))

    async def startfile(self, startfile: StartFile, keys: int, room: int) -> int:
        """Look for the file that starts an image; bytes of the transcript of what the network said.

        Args:
            startfile: what is looked for.
            keys: a file with copies of its keys.
            room: a file of `MAX_TRANSCRIPT` bytes for the transcript.

        Raises:
            LuxusbError: as `luxusbd.transfer.startfile.find_startfile`.
        """
        params = {"startfile": startfile_to_json(startfile)}
        answer = await self._alone_if_deadly("startfile", params, [keys, room])
        return min(integer_of(answer, "transcript"), MAX_TRANSCRIPT)

    async def logo(self, url: str, known: Version, room: int) -> Logo:
        """Fetch a logo, unless it is the one that is `known`, into a room of `MAX_PICTURE` bytes.

        Raises:
            NetworkError: it cannot be had.
            NoLogoError: it is not there, or nothing that can be shown.
        """
        try:
            answer = await self._alone_if_deadly("logo", {"url": url, **asdict(known)}, [room])
        except InterruptedJobError:
            raise NoLogoError("the process that reads logos died over this one") from None
        return logo_from_json(answer, known)

    async def fetch_pair(
        self, job_id: int, request: PairRequest, document: int, signature: int, progress: ProgressCallback
    ) -> Pair:
        """Fetch a small document and its signature into two descriptors, through deaths of the process.

        Raises:
            NetworkError: one of the two cannot be had.
        """
        self._progress[job_id] = progress
        try:
            params = {"job": job_id, **asdict(request)}
            return pair_from_json(await self._again("fetch-pair", params, [document, signature]), request)
        finally:
            del self._progress[job_id]

    async def read_own(self, source: int, destination: int, name: str) -> int:
        """Copy a user's catalogue into the room behind `destination`, once it is known to be right; its bytes.

        Raises:
            CatalogError: it is malformed.
            MalformedImageError: reading it killed the process twice.
            FailedError: it took too long.
        """
        try:
            answer = await self._alone_if_deadly("read-own", {"name": name}, [source, destination])
        except InterruptedJobError:
            raise MalformedImageError(DEADLY) from None
        return min(integer_of(answer, "size"), MAX_OWN)

    async def sha256(self, fd: int) -> str:
        """Hash of a regular file."""
        return str((await self.supervisor.request("hash", {}, [fd]))["sha256"])

    async def digests(self, fd: int, algorithms: Sequence[str]) -> tuple[Digest, ...]:
        """Hashes of a regular file, its sha256 among them."""
        answer = await self.supervisor.request("digests", {"algorithms": list(algorithms)}, [fd])
        return _sane(digests_from_json, answer["digests"])

    async def inspect(self, fd: int) -> Recognition:
        """What the image behind a descriptor is.

        Raises:
            MalformedImageError: it cannot be read as an image, or reading it killed the process twice.
        """
        return recognition_from_json(await self._image("inspect", fd))

    async def explain(self, fd: int) -> Inspection:
        """Everything that can be told about the image behind a descriptor; raises as `inspect`."""
        return inspection_from_json(await self._image("explain", fd))

    async def certificate(self, fd: int) -> Certificate:
        """The certificate in the file behind a descriptor; its bytes are of a stranger.

        Raises:
            InvalidArgumentError: it is none.
        """
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise InvalidArgumentError("a certificate has to be a regular file")
        answer = await self._alone_if_deadly("certificate", {}, [fd])
        found = certificates.from_json({"subject": clean(str(answer["subject"]), 100), "der": str(answer["der"])})
        if len(found.der) > certificates.MAX_DER:
            raise InvalidArgumentError("the certificate is too large")
        return found

    async def look(
        self, fd: int, size: int
    ) -> tuple[StickContents | None, tuple[str, ...], tuple[Loss, ...], ForeignStick | None]:
        """What is on a disk, what an erase would destroy, a line each and as values, and a stick of others."""
        answer = await self._alone_if_deadly("look", {"size": size}, [fd])
        contents = contents_from_json(answer["contents"]) if answer["contents"] is not None else None
        lines = tuple(str(line)[:300] for line in answer["losses"][:64])
        return contents, lines, losses_from_json(answer["details"]), foreign_from_json(answer["foreign"])

    async def _image(self, method: str, fd: int) -> Any:
        try:
            return await self._alone_if_deadly(method, {}, [fd])
        except InterruptedJobError:
            raise MalformedImageError(DEADLY) from None

    async def stick_files(self, fd: int, size: int) -> tuple[FoundFile, ...]:
        """What lies in /iso of the stick behind a descriptor; the names are untrusted."""
        answer = await self._alone_if_deadly("stick-files", {"size": size}, [fd])
        return files_from_json(answer["files"])

    async def inspect_on_stick(self, fd: int, size: int, name: str) -> Recognition:
        """What a file in /iso of a stick is.

        Raises:
            MalformedImageError: as `inspect`.
        """
        try:
            answer = await self._alone_if_deadly("stick-inspect", {"size": size, "name": name}, [fd])
        except InterruptedJobError:
            raise MalformedImageError(DEADLY) from None
        return recognition_from_json(answer)

    async def hash_on_stick(self, job_id: int, fd: int, size: int, name: str, progress: ProgressCallback) -> str:
        """SHA-256 of a file in /iso of a stick; `hold` lets it stand still."""
        self._progress[job_id] = progress
        try:
            answer = await self._again("stick-hash", {"job": job_id, "size": size, "name": name}, [fd])
        finally:
            del self._progress[job_id]
        return _sha256(answer)

    async def hold(self, job_id: int, *, paused: bool) -> None:
        """Stop a hash or copy in place, or let it go on.

        Raises:
            JobStateError: none runs.
        """
        await self.supervisor.request("control", {"job": job_id, "paused": paused})


def _sane(read: Callable[[Any], _T], answer: object) -> _T:
    try:
        return read(answer)
    except InvalidArgumentError as error:
        raise InterruptedJobError(f"the transfer process sent nonsense: {error}") from None


def _sha256(answer: Params) -> str:
    found = str(answer["sha256"])
    if not re.fullmatch(r"[0-9a-f]{64}", found):
        raise InterruptedJobError("the transfer process sent nonsense for a hash")
    return found
