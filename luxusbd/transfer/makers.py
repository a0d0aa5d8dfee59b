"""Asks the maker of an image for his word: fetches the signed list of hashes, or the image's own signature.

A word that cannot be had, or that is not signed by exactly the pinned key, leaves the image with what the catalogue's
hash is worth. A good signature under another hash is a contradiction, and no image may pass it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

from luxusbd.errors import (
    MalformedImageError,
    NetworkError,
    ToolFailedError,
    ToolMissingError,
    UntrustedError,
    VerificationError,
)
from luxusbd.text import clean, without_secrets
from luxusbd.transfer.model import DIGESTS, Claim, Digest, MakersWord
from luxusbd.transfer.openpgp import MAX_KEY, MAX_SIGNATURE, Fault, SignatureError, Signed, Wording, verify, verify_file
from luxusbd.transfer.pinned import pinned_key
from luxusbd.transfer.proof import text_of
from luxusbd.transfer.small import SmallFiles
from luxusbd.transfer.smallmodel import Small, Version
from luxusbd.transfer.sums import MAX_SUMS, all_sums

MAX_PAIRS = 32
"""Lists that are kept in memory with their signatures; many images stand in one list."""
_WORDING = Wording("the list of hashes", "")
PAUSE = 1.0
"""Seconds before a pair that does not fit together is fetched for the last time: its server is being updated."""


@dataclass(frozen=True)
class _Pair:
    """A list of hashes and its signature, of one moment."""

    sums: Small
    signature: bytes | None
    """None: the list holds it."""


@dataclass(frozen=True)
class Material:
    """What a word rests on."""

    sums: bytes = b""
    """The list of hashes; empty where the image itself is signed."""
    signature: bytes = b""
    """Empty where the list holds it."""
    key: bytes = b""
    """The pinned key and no other, in binary."""


class Vouching:
    """Checks words of makers. One for a process; belongs to one event loop."""

    def __init__(self, files: SmallFiles, pause: float = PAUSE) -> None:
        self._files = files
        self._pause = pause
        self._pairs: dict[tuple[str, str], _Pair] = {}

    async def by_list(self, claim: Claim, key: bytes | None) -> MakersWord:
        """What the signed list of hashes says.

        Args:
            claim: what is to be looked for.
            key: keys that are at hand, one of which should be the pinned one.

        Returns:
            the word; where it is signed, its digests have to be those of the file. They do not contradict the ones in
            `claim`, and may be others.

        Raises:
            VerificationError: it is signed and names another hash.
        """
        return await self._word(claim, key, lambda own: self._list(claim, own))

    async def by_image(self, claim: Claim, key: bytes | None, fd: int) -> MakersWord:
        """Whether the image behind `fd` is signed, which is read in full. Raises nothing that is the signature's."""

        async def check(own: bytes) -> MakersWord:
            signature = await self._files.get(claim.signature_url, MAX_SIGNATURE)
            signed = await verify_file(fd, signature.data, own, pinned=frozenset({claim.fingerprint}))
            return _good(signed)

        return await self._word(claim, key, check)

    async def material(self, claim: Claim, key: bytes | None) -> Material:
        """What a word rests on, for somebody who checks it elsewhere; a list is checked here, too.

        The signature of an image is not, since that needs the image.

        Raises:
            UntrustedError: there is nothing that the pinned key signed.
            NetworkError: something cannot be had now.
            VerificationError: it is signed and names another hash.
        """
        found = Material()

        async def check(own: bytes) -> MakersWord:
            nonlocal found
            if claim.sums_url:
                word = await self._list(claim, own)
                pair = self._pairs[_name(claim)]
                found = Material(pair.sums.data, pair.signature or b"", own)
                return word
            signature = await self._files.get(claim.signature_url, MAX_SIGNATURE)
            found = Material(b"", signature.data, own)
            return MakersWord(True)

        word = await self._word(claim, key, check)
        if word.signed:
            return found
        raise NetworkError(word.reason) if word.unreachable else UntrustedError(f"{claim.names[0]}: {word.reason}")

    async def _word(
        self, claim: Claim, key: bytes | None, check: Callable[[bytes], Awaitable[MakersWord]]
    ) -> MakersWord:
        """Let `check` look with the pinned key, at first the one at hand and then a fresh copy of it."""
        fetched = b""
        try:
            own = pinned_key(key, claim.fingerprint) if key else None
            if own is None:
                own = fetched = await self._fresh_key(claim, "no copy of the key is here")
            try:
                found = await check(own)
            except SignatureError as error:
                # a newer copy may live longer, or have the subkey that signed
                if fetched or not claim.key_url or error.fault not in (Fault.EXPIRED, Fault.OTHER_KEY):
                    raise
                fetched = await self._fresh_key(claim, str(error))
                found = await check(fetched)
        except NetworkError as error:
            return MakersWord(False, str(error), unreachable=True)
        except (SignatureError, MalformedImageError, ToolFailedError, ToolMissingError, _NoWordError) as error:
            return MakersWord(False, str(error))
        return replace(found, key=fetched)

    async def _fresh_key(self, claim: Claim, why: str) -> bytes:
        if not claim.key_url:
            raise _NoWordError(f"{why}: {claim.fingerprint}")
        found = pinned_key((await self._files.get(claim.key_url, MAX_KEY)).data, claim.fingerprint)
        if found is None:
            raise _NoWordError(f"what {_shown(claim.key_url)} holds is not the key {claim.fingerprint}")
        return found

    async def _list(self, claim: Claim, key: bytes) -> MakersWord:
        signed = await self._signed_list(claim, key)
        try:
            sums = all_sums(text_of(signed.data), claim.names, _base(claim.sums_url))
        except VerificationError as error:
            raise _NoWordError(f"{error} ({_shown(claim.sums_url)})") from error
        digests = tuple(Digest(entry.algorithm, entry.digest) for entry in sums if entry.algorithm in DIGESTS)
        if not digests:
            raise _NoWordError(f"{_shown(claim.sums_url)} holds no hash that is used here")
        for said in digests:
            for known in claim.digests:
                if said.algorithm == known.algorithm and said.value != known.value:
                    raise VerificationError(_contradiction(claim, signed, said, known))
        return replace(_good(signed), digests=digests)

    async def _signed_list(self, claim: Claim, key: bytes) -> Signed:
        """The list, checked. One that does not fit its signature is fetched anew with it: a mirror may be between two
        versions, or the two may have come from two of them."""
        ways = (self._kept_pair, self._pair_of_one_server, self._late_pair)
        for number, way in enumerate(ways, 1):
            pair = await way(claim)
            try:
                signed = await verify(
                    pair.sums.data, pair.signature, key, pinned=frozenset({claim.fingerprint}), wording=_WORDING
                )
            except SignatureError as error:
                self._pairs.pop(_name(claim), None)
                if error.fault is not Fault.BAD or number == len(ways):
                    raise
                continue
            self._keep(claim, pair)
            return signed
        raise AssertionError("the last way returns or raises")

    async def _kept_pair(self, claim: Claim) -> _Pair:
        """The pair of before while the list is still the same, else as the catalogue says."""
        kept = self._pairs.get(_name(claim))
        if kept is None or kept.sums.version == Version():
            return await self._pair(claim.sums_url, claim.signature_url)
        sums = await self._files.get_if_changed(claim.sums_url, MAX_SUMS, kept.sums.version)
        return kept if sums is None else await self._pair(claim.sums_url, claim.signature_url)

    async def _pair_of_one_server(self, claim: Claim) -> _Pair:
        """Both from the server to which the address of the list leads."""
        if not claim.signature_url:
            return await self._pair(claim.sums_url, "")
        sums = await self._files.get(claim.sums_url, MAX_SUMS)
        beside = _beside(claim, sums.url)
        return _Pair(sums, (await self._files.get(beside, MAX_SIGNATURE)).data)

    async def _late_pair(self, claim: Claim) -> _Pair:
        await asyncio.sleep(self._pause)
        return await self._pair(claim.sums_url, claim.signature_url)

    async def _pair(self, sums_url: str, signature_url: str) -> _Pair:
        if not signature_url:
            return _Pair(await self._files.get(sums_url, MAX_SUMS), None)
        try:
            async with asyncio.TaskGroup() as group:
                sums = group.create_task(self._files.get(sums_url, MAX_SUMS))
                signature = group.create_task(self._files.get(signature_url, MAX_SIGNATURE))
        except ExceptionGroup as errors:
            # one is as good as the other: without both there is nothing to check
            raise errors.exceptions[0] from errors
        return _Pair(sums.result(), signature.result().data)

    def _keep(self, claim: Claim, pair: _Pair) -> None:
        self._pairs.pop(_name(claim), None)
        self._pairs[_name(claim)] = pair
        while len(self._pairs) > MAX_PAIRS:
            del self._pairs[next(iter(self._pairs))]


class _NoWordError(Exception):
    """There is no word, for this reason."""


def _good(signed: Signed) -> MakersWord:
    return MakersWord(True, fingerprint=signed.fingerprint, signing_key=signed.signing_key)


def _contradiction(claim: Claim, signed: Signed, said: Digest, known: Digest) -> str:
    when = f" on {datetime.fromtimestamp(signed.made, UTC):%Y-%m-%d}" if signed.made else ""
    return (
        f"{claim.names[0]}: the list of hashes that its maker signed{when} ({_shown(claim.sums_url)}, key"
        f" {signed.fingerprint}) says {said.algorithm} {said.value}, the catalogue says {known.value}. The signature is"
        " good, so that it is the catalogue that is out of date, or was forged; update it, then try again"
    )


def _name(claim: Claim) -> tuple[str, str]:
    return claim.sums_url, claim.signature_url


def _beside(claim: Claim, sums_url: str) -> str:
    """Where the signature lies on the server that gave the list, if both lie in one directory; else where it did."""
    there, name = claim.sums_url.rpartition("/")[::2]
    where, signature = claim.signature_url.rpartition("/")[::2]
    final, final_name = sums_url.rpartition("/")[::2]
    return f"{final}/{signature}" if there == where and name == final_name else claim.signature_url


def _base(url: str) -> str:
    return unquote(urlsplit(url).path).rpartition("/")[2]


def _shown(url: str) -> str:
    return clean(without_secrets(url), 200)
