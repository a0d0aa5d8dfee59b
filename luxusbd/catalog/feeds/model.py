"""Values of feeds: how one is read (`data/feeds.json`), and the releases that were found in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MAX_CHOSEN = 64
"""Releases of one feed."""
MAX_SIZE = 1 << 40
"""Bytes of an image; who tells of more is wrong."""


class Strategy(StrEnum):
    """What kind of document tells of the releases."""

    JSON_API = "json_api"
    DIRECTORY_INDEX = "directory_index"
    SOURCEFORGE = "sourceforge"
    STABLE_SYMLINK = "stable_symlink"
    PAGE_INDEX = "page_index"
    YAML = "yaml"


class Listing(StrEnum):
    """What names the files of a directory."""

    SUMS = "sums"
    LINKS = "links"


class SignatureKind(StrEnum):
    """What is signed."""

    NONE = "none"
    DETACHED = "detached"
    """The list of hashes, in a file of its own."""
    INLINE = "inline"
    """The list of hashes, around its text."""
    IMAGE = "image"
    """The image itself, so that nothing can be checked before it is there."""


class HashTrust(StrEnum):
    """On whose word a hash is."""

    SIGNED = "signed"
    """A list of hashes that a pinned key has signed."""
    TLS = "tls"
    """The server that answered for the maker's name."""


@dataclass(frozen=True)
class Signing:
    """Who signs, and where the signature is."""

    kind: SignatureKind = SignatureKind.NONE
    address: str = ""
    """A template, relative to the list of hashes, or to the image for `SignatureKind.IMAGE`."""
    keys: frozenset[str] = frozenset()
    """Full fingerprints of the primary keys that may sign; the signature itself may be by a subkey of one."""


@dataclass(frozen=True)
class Rows:
    """Where the entries of a JSON or YAML document lie, and what their fields are called."""

    paths: tuple[tuple[str, ...], ...]
    """Each leads from the root to entries; `*` stands for every element of a list or object."""
    fields: Mapping[str, tuple[str, ...]]
    """Path within an entry of `url`, `sha256`, `sha512`, `digest`, `size`, `date`, `sums`, `signature`, `version`."""
    where: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = ()
    """What the text of a field has to match as a whole."""
    base: str = ""
    """What the addresses are relative to, where it is not the document itself."""


@dataclass(frozen=True)
class ImagePattern:
    """One kind of file among those that a feed names."""

    file: re.Pattern[str]
    """Matches whole names. Its group `version` is the token that changes whenever the bytes do."""
    architecture: str
    edition: str = ""
    """A template over the groups of `file`."""
    version: str = "{version}"
    """A template over the groups of `file`."""
    series: str = ""
    """A template; releases of different series do not replace each other."""
    address: str = ""
    """A template of the image's address, where the document has none; for `Strategy.STABLE_SYMLINK` the address."""


@dataclass(frozen=True)
class Feed:
    """How the releases of a distribution are found."""

    id: str
    distribution: str
    strategy: Strategy
    url: str
    """The first document; `{probe}` in it stands for each of the releases that there may be (see `probe`)."""
    images: tuple[ImagePattern, ...]
    directories: tuple[re.Pattern[str], ...] = ()
    """Names to descend by, level by level, the newest first."""
    below: str = ""
    """The way from the last of the `directories` to the files."""
    listing: Listing = Listing.LINKS
    sums: str = ""
    """A template of the list of hashes, relative to the image, or to the directory where it is what is listed."""
    signing: Signing = field(default_factory=Signing)
    metalink: str = ""
    """A template of where a metalink of the image is, with its mirrors; relative to the image."""
    rows: Rows | None = None
    hosts: frozenset[str] = frozenset()
    """Whither the feed may lead, in lower case; with the port where it is not 443."""
    probe: tuple[int, ...] = ()
    """Months in which releases appear, for makers that publish no list of them."""
    version_url: str = ""
    """An Atom document whose entries name the versions, where no name of a file does."""
    version_title: re.Pattern[str] | None = None
    """Matches whole titles in it; its group `version` is the token. The first one counts."""
    keep: int = 1
    """How many series are wanted."""
    rolling: bool = False
    """Whether the files change so often that the feed has to be asked again before each download."""

    @property
    def has_signed_lists(self) -> bool:
        """Whether signatures are checked while it is read."""
        return self.signing.kind in (SignatureKind.DETACHED, SignatureKind.INLINE)

    @property
    def complete(self) -> bool:
        """Whether the first document alone says all that there is, so that an unchanged one means that nothing is new.

        A listing does not: a list of hashes below it may change without it.
        """
        if self.strategy in (Strategy.JSON_API, Strategy.YAML):
            return not self.sums and not self.probe and self.rows is not None and "sums" not in self.rows.fields
        return self.strategy is Strategy.DIRECTORY_INDEX and not self.directories and self.listing is Listing.SUMS


@dataclass(frozen=True)
class Description:
    """A feed with the text that describes it: what reads feeds checks the text for itself."""

    feed: Feed
    entry: Mapping[str, Any]
    """As it stands in the file."""
    digest: str
    """SHA-256 of the entry: another one may find other releases."""


@dataclass(frozen=True)
class FeedRelease:
    """An image as a feed tells of it."""

    distribution: str
    edition: str
    architecture: str
    version: str
    iso_url: str
    series: str = ""
    """Releases of different series stand beside each other, such as 24.04 and 26.04; empty where there is but one."""
    sha256: str = ""
    """64 lower-case hex digits, or empty; one of the two hashes is there."""
    sha512: str = ""
    """128 lower-case hex digits, or empty."""
    size: int = 0
    """Exact bytes, 0 when unknown."""
    size_hint: int = 0
    """Bytes that a comment tells of, which may be wrong; never a reason to refuse."""
    release_date: str = ""
    """YYYY-MM-DD, or empty."""
    sums_url: str = ""
    signature_url: str = ""
    metalink: str = ""
    """Where a metalink of the image may be had, or empty."""
    trust: HashTrust = HashTrust.TLS
    signed_by: str = ""
    """Fingerprint of the primary key, for `HashTrust.SIGNED`."""
    rolling: bool = False

    def replaces(self, sha256: str, sha512: str, version: str) -> bool:
        """Whether other bytes are meant than those known: a respin changes them under the same version."""
        if self.sha256 and sha256:
            return self.sha256 != sha256
        if self.sha512 and sha512:
            return self.sha512 != sha512
        return self.version != version


@dataclass(frozen=True)
class Outcome:
    """What a feed said."""

    feed: str
    releases: tuple[FeedRelease, ...] = ()
    problems: tuple[str, ...] = ()
    """What could not be found or is not genuine, a line each. Whatever was known of it before stays."""
    unchanged: bool = False
    """The first document is the one at hand, and nothing else needs to be read."""
    etag: str = ""
    last_modified: str = ""
    """Of the first document, for the next time."""
