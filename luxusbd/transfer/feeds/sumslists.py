"""Lists of hashes while a feed is read: fetched once each, their signatures checked before a word of them counts."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

from luxusbd.catalog.feeds.model import Feed, HashTrust, SignatureKind
from luxusbd.catalog.feeds.reach import leads_to
from luxusbd.errors import CatalogError
from luxusbd.text import clean
from luxusbd.transfer.feeds.addresses import beside, file_name, fill
from luxusbd.transfer.feeds.documents import size_hints, sums_of
from luxusbd.transfer.feeds.requests import Answer, Body, Check, Checked, Fetch, Refused, Request
from luxusbd.transfer.openpgp import MAX_SIGNATURE
from luxusbd.transfer.sums import MAX_SUMS, Sum


class NotGenuineError(CatalogError):
    """A list of hashes is there, and its signature is not good; nothing older may take its place."""


@dataclass(frozen=True)
class SumsList:
    """A list of hashes that counts."""

    url: str
    entries: tuple[Sum, ...]
    trust: HashTrust
    signature_url: str = ""
    signed_by: str = ""
    hints: Mapping[str, int] = field(default_factory=dict)
    etag: str = ""
    last_modified: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Each name once, as they stand there; an empty one for a hash alone."""
        return tuple(dict.fromkeys(entry.name for entry in self.entries))

    def digests(self, name: str) -> tuple[str, str]:
        """SHA-256 and SHA-512 of the file that has exactly this name; empty where it has none.

        Raises:
            CatalogError: the list contradicts itself, or has only algorithms that the catalogue does not.
        """
        found: dict[str, str] = {}
        for entry in self.entries:
            if entry.name == name and found.setdefault(entry.algorithm, entry.digest) != entry.digest:
                raise CatalogError(f"{self.url}: more than one {entry.algorithm} for {clean(name, 100) or 'the file'}")
        sha256, sha512 = found.get("sha256", ""), found.get("sha512", "")
        if found and not (sha256 or sha512):
            raise CatalogError(f"{self.url}: only {', '.join(sorted(found))} for {clean(name, 100) or 'the file'}")
        return sha256, sha512


class SumsLists:
    """The lists of one run."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._known: dict[str, SumsList | CatalogError | None] = {}

    def read(
        self, url: str, values: Mapping[str, str], had: Answer | None = None
    ) -> Generator[Request, Answer, SumsList | None]:
        """The list at `url`, or None when there is no such file; `had` is the answer, when it was asked for already.

        Raises:
            NotGenuineError: its signature is missing or not good.
            CatalogError: it is no list of hashes.
        """
        if url not in self._known:
            try:
                self._known[url] = yield from self._read(url, values, had)
            except CatalogError as error:
                self._known[url] = error
        known = self._known[url]
        if isinstance(known, CatalogError):
            raise known
        return known

    def _read(
        self, url: str, values: Mapping[str, str], had: Answer | None
    ) -> Generator[Request, Answer, SumsList | None]:
        feed = self._feed
        answer = had if had is not None else (yield Fetch(url, MAX_SUMS, "the list of hashes"))
        if not isinstance(answer, Body):
            return None
        data, signature, signature_url, signed_by = answer.data, None, "", ""
        validators = answer.etag, answer.last_modified
        kind = feed.signing.kind
        if feed.has_signed_lists:
            signature_url = url
            if kind is SignatureKind.DETACHED:
                address = fill(feed.signing.address, {**values, "sums": file_name(url)})
                signature_url = leads_to(feed, url, beside(url, address))
                if not signature_url:
                    raise NotGenuineError(f"{url}: its signature {address} would lie where this feed does not lead")
                answer = yield Fetch(signature_url, MAX_SIGNATURE, "the signature of the list of hashes")
                if not isinstance(answer, Body):
                    raise NotGenuineError(f"{url}: its signature {signature_url} is not there")
                signature = answer.data
            answer = yield Check(url, data, signature, feed.signing.keys)
            if isinstance(answer, Refused):
                raise NotGenuineError(f"{url}: {clean(answer.why, 400)}")
            if not isinstance(answer, Checked) or answer.fingerprint not in feed.signing.keys:
                raise NotGenuineError(f"{url}: signed by a key that is not among those pinned")
            data, signed_by = answer.data, answer.fingerprint
        try:
            entries = sums_of(data, file_name(url))
        except CatalogError as error:
            raise CatalogError(f"{url}: {error.message}") from error
        trust = HashTrust.SIGNED if signed_by else HashTrust.TLS
        return SumsList(url, entries, trust, signature_url, signed_by, size_hints(data), *validators)
