"""The word of an image's maker beside its download: asked for while the bytes come, and decided when they are there."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from luxusbd.catalog.model import Release, Trust
from luxusbd.errors import InterruptedJobError, LuxusbError, VerificationError
from luxusbd.jobs.running import JobContext
from luxusbd.jobs.transfers import Transfers
from luxusbd.jobs.trust import NO_CLAIM, TrustPolicy
from luxusbd.transfer.codec import digests_from_json
from luxusbd.transfer.makerscodec import claim_from_json, claim_to_json
from luxusbd.transfer.model import Claim, Digest, Directions, DownloadRequest, MakersWord
from luxusbd.transfer.sums import hinted

METALINK_PATIENCE = 5.0
"""Seconds for which a download waits for a metalink; without it, it goes on with the catalogue's mirrors."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Verdict:
    """How sure it is that bytes are what their maker published."""

    trust: Trust
    signed_by: str = ""
    """Fingerprint of the primary key that signed."""
    reason: str = ""
    """Why they are not signed."""

    def result(self) -> Mapping[str, Any]:
        """As it stands in the Result of a job."""
        return {"signed_by": self.signed_by, "unsigned_reason": self.reason}


def digests_of(release: Release) -> tuple[Digest, ...]:
    """All that the catalogue tells of its bytes."""
    return tuple(Digest(name, value) for name in ("sha256", "sha512", "blake2b") if (value := getattr(release, name)))


def word_params_of(release: Release) -> Mapping[str, Any]:
    """What a download job keeps of a release to find out who vouches for it."""
    claim = claim_of(release)
    return {
        "digests": [asdict(digest) for digest in digests_of(release)],
        "claim": claim_to_json(claim) if claim is not None else None,
        "metalink": release.metalink,
        "file": name_in_lists(release.iso_url),
    }


def claim_of(release: Release) -> Claim | None:
    """What is to be looked for at a release's maker; None when the catalogue knows no signature of it."""
    if release.trust is not Trust.SIGNED:
        return None
    return Claim(
        fingerprint=release.key_fingerprint,
        names=(name_in_lists(release.iso_url),),
        digests=digests_of(release),
        sums_url=release.sums_url,
        signature_url=release.signature_url,
        key_url=release.key_url,
    )


def name_in_lists(url: str) -> str:
    """The file name by which the maker's lists call the image at `url`; SourceForge puts /download behind it."""
    path = PurePosixPath(unquote(urlsplit(url).path))
    return (path.parent.name if path.name == "download" and path.parent.name else path.name) or "image.iso"


class Makers:
    """Asks makers of images for their word."""

    def __init__(self, transfers: Transfers, policy: TrustPolicy) -> None:
        """`policy` is what the administrator demands of images."""
        self._transfers = transfers
        self._keyring = policy.keyring
        self.policy = policy

    @contextlib.asynccontextmanager
    async def beside(self, context: JobContext) -> AsyncIterator[Word]:
        """Ask for the word on the image of a download job for the length of the block."""
        word = Word(self, context)
        try:
            yield word
        finally:
            await word.close()

    async def directions(self, params: Mapping[str, Any]) -> Directions:
        """What the metalink of a job's release says, if it comes in time."""
        url = str(params.get("metalink") or "")
        if not url:
            return Directions()
        digests = digests_from_json(params["digests"])
        try:
            async with asyncio.timeout(METALINK_PATIENCE):
                return await self._transfers.metalink(url, str(params["file"]), digests, int(params["size"]))
        except TimeoutError:
            return Directions(note="the metalink did not come in time: the download goes on without it")
        except InterruptedJobError as error:
            return Directions(note=f"there is no metalink: {error}")

    async def ask(self, claim: Claim, image: int | None = None) -> MakersWord:
        """Ask with the key that is at hand; a fetched one is kept.

        Raises:
            VerificationError: the maker's word is another.
        """
        key = await asyncio.to_thread(self._keyring.open, claim.fingerprint)
        try:
            found = await self._transfers.vouch(claim, key, image)
        except VerificationError:
            raise
        except LuxusbError as error:
            return MakersWord(False, str(error), unreachable=isinstance(error, InterruptedJobError))
        finally:
            if key is not None:
                os.close(key)
        if found.signed and found.key:
            await asyncio.to_thread(self._keyring.keep, claim.fingerprint, found.key)
        return found

    async def digests(self, fd: int, algorithms: tuple[str, ...]) -> tuple[Digest, ...]:
        """Hashes of a file."""
        return await self._transfers.digests(fd, algorithms)


class Word:
    """The word on one image. The list of hashes is asked for at once, the image's own signature when it is there."""

    def __init__(self, makers: Makers, context: JobContext) -> None:
        self._makers = makers
        self._context = context
        given = context.job.params.get("claim")
        # a job of an older version has none
        self._claim = claim_from_json(given) if given else None
        self._list: asyncio.Task[MakersWord] | None = None
        if self._claim is not None and self._claim.sums_url:
            self._list = asyncio.get_running_loop().create_task(makers.ask(self._claim), name="word of a maker")

    async def close(self) -> None:
        """Stop asking."""
        if self._list is not None:
            self._list.cancel()
            await asyncio.gather(self._list, return_exceptions=True)

    def shaped(self, request: DownloadRequest, found: Directions) -> DownloadRequest:
        """A request with all that is known of the file besides; which mirrors are asked is chosen elsewhere."""
        said = hinted(self._claim.sums_url) if self._claim is not None else ""
        return replace(
            request,
            size=request.size or found.size,
            also=(said,) if said and said not in {"sha256", *(one.algorithm for one in request.digests)} else (),
            pieces=found.pieces,
            older=found.older,
        )

    async def guard(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do `work` to its end, or until the word says that it is in vain.

        Raises:
            VerificationError: the maker names another hash.
            UntrustedError: it is not signed, and has to be.
        """
        doing = asyncio.get_running_loop().create_task(work)
        try:
            if self._list is not None:
                await asyncio.wait({doing, self._list}, return_when=asyncio.FIRST_COMPLETED)
                if not doing.done():
                    self._refuse_early(self._list.result())
            return await doing
        finally:
            doing.cancel()
            await asyncio.gather(doing, return_exceptions=True)

    async def verdict(self, fd: int | None, digests: tuple[Digest, ...]) -> Verdict:
        """What the image behind `fd` is worth, which has the hash of the catalogue.

        Args:
            fd: the image; None for one that is not here any more, where `digests` have to do.
            digests: those of its hashes that were computed from its bytes.

        Raises:
            VerificationError: the maker signed another hash.
        """
        if signer := str(self._context.job.params.get("signed_by") or ""):
            # a list with this hash was checked before the job was started
            return Verdict(Trust.SIGNED, signer)
        if self._claim is None:
            return Verdict(Trust.HASH, reason=NO_CLAIM)
        if self._list is None and fd is None:
            said = MakersWord(False, "its maker signed the image itself, which was not kept")
        elif self._list is None:
            said = await self._makers.ask(self._claim, fd)
        else:
            said = await self._list
            if said.unreachable:
                # the network was not there, perhaps; now it is
                said = await self._makers.ask(self._claim)
            if said.signed and fd is None and not {one.algorithm for one in digests} & _kinds(said):
                said = MakersWord(False, "its maker's list has hashes of another kind, and the image was not kept")
            elif said.signed:
                await self._compare(self._claim.names[0], fd, said, digests)
        if not said.signed:
            self._context.note(f"not signed: {said.reason}")
            return Verdict(Trust.HASH, reason=said.reason)
        by = f" (with its subkey {said.signing_key})" if said.signing_key != said.fingerprint else ""
        what = "the image" if self._list is None else "the list of hashes"
        self._context.note(f"{what} is signed by its maker's key {said.fingerprint}{by}")
        return Verdict(Trust.SIGNED, said.fingerprint)

    def check(self, verdict: Verdict) -> None:
        """Refuse what is less sure than is demanded.

        Raises:
            UntrustedError: it is.
        """
        self._makers.policy.check(self._context.job.title, verdict.trust, verdict.reason)

    def _refuse_early(self, said: MakersWord) -> None:
        if not said.signed and not said.unreachable:
            self.check(Verdict(Trust.HASH, reason=said.reason))

    async def _compare(self, name: str, fd: int | None, said: MakersWord, known: tuple[Digest, ...]) -> None:
        have = {digest.algorithm: digest.value for digest in known}
        missing = tuple(digest.algorithm for digest in said.digests if digest.algorithm not in have)
        if fd is not None and missing and not any(digest.algorithm in have for digest in said.digests):
            have.update({one.algorithm: one.value for one in await self._makers.digests(fd, missing)})
        for digest in said.digests:
            if have.get(digest.algorithm, digest.value) != digest.value:
                raise VerificationError(
                    f"{name}: its {digest.algorithm} is {have[digest.algorithm]}, and its maker signed"
                    f" {digest.value} (key {said.fingerprint}). The hash of the catalogue is right, so that it is the"
                    " catalogue that is out of date, or was forged; update it, then try again"
                )


def _kinds(said: MakersWord) -> frozenset[str]:
    return frozenset(digest.algorithm for digest in said.digests)
