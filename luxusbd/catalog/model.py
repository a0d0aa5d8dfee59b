"""Values of the catalogue (schema 2.0)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

SHA512_KEY = "sha512-"
"""What stands in front of a SHA-512 where it takes the place of a sha256."""


class Trust(StrEnum):
    """How sure it is that bytes are what their maker published; the surest first."""

    SIGNED = "signed"
    HASH = "hash"
    TLS_ONLY = "tls-only"
    NONE = "none"

    def reaches(self, minimum: Trust) -> bool:
        """Whether it is at least as sure as `minimum`."""
        members = list(Trust)
        return members.index(self) <= members.index(minimum)


class Layer(StrEnum):
    """Where a distribution's entry comes from; later members override earlier ones."""

    FALLBACK = "fallback"
    MIGRATED = "migrated"
    """What an installation of LUXusb before 1.0 left on this machine."""
    PACKAGED = "packaged"
    CACHE = "cache"
    FEED = "feed"
    """With releases of the maker's own feed."""
    ADMIN = "admin"
    COMMAND_LINE = "command-line"
    USER = "user"


@dataclass(frozen=True)
class Mirror:
    """One address of one file."""

    url: str
    country: str = ""
    """ISO 3166-1 alpha-2, or empty."""


@dataclass(frozen=True)
class Release:
    """One downloadable image."""

    version: str
    release_date: str
    iso_url: str
    sha256: str
    """64 lower-case hex digits; empty where its maker publishes the SHA-512 alone, which is in `sha512` then."""
    size_mb: int
    """A rounded hint; never a reason to refuse."""
    mirrors: tuple[Mirror, ...]
    """All addresses, `iso_url` first; those of the `mirror_list` are added when the catalogue is put together."""
    size: int = 0
    """Exact bytes, 0 when unknown."""
    architecture: str = ""
    """amd64, i386, arm64 or empty."""
    edition: str = ""
    trust: Trust = Trust.HASH
    """What a download can reach at best."""
    sha512: str = ""
    """128 lower-case hex digits, or empty."""
    blake2b: str = ""
    """128 lower-case hex digits, or empty."""
    sums_url: str = ""
    """The maker's file of hashes."""
    signature_url: str = ""
    """The detached signature of `sums_url`, or of the image where there is no sums file."""
    key_fingerprint: str = ""
    """40 or 64 upper-case hex digits of the OpenPGP key that has to have signed."""
    key_url: str = ""
    """Where a copy of that key may be had, or empty."""
    metalink: str = ""
    """Where a metalink of the image may be had, or empty."""
    recipe: str = ""
    """Id of the boot recipe that is expected to match; a hint for plans made before the download."""
    minimum_memory_mb: int = 0
    end_of_life: str = ""
    """YYYY-MM-DD, or empty."""
    mirror_list: str = ""
    """Which list of shared mirrors has the image, or empty."""
    mirror_path: str = ""
    """Path of the image below each address of that list."""
    rolling: bool = False
    """Whether the maker replaces the file, or takes it away, as soon as there is a newer one: the hash is soon out of
    date, or the address leads nowhere."""
    layer: Layer = field(default=Layer.PACKAGED, compare=False)
    """Where it comes from, which may be another layer than that of the other releases."""
    document: str = field(default="", compare=False)
    """What errors call the document that it stands in, usually its path."""

    @property
    def content(self) -> str:
        """By what its bytes are known before they are there: the sha256, or `SHA512_KEY` and the SHA-512."""
        return self.sha256 or f"{SHA512_KEY}{self.sha512}"

    @property
    def sha512_alone(self) -> str:
        """Its SHA-512 where there is no sha256, else empty."""
        return "" if self.sha256 else self.sha512

    @property
    def custom(self) -> bool:
        """Whether it stands in a file of the user's own."""
        return self.layer is Layer.USER


@dataclass(frozen=True)
class Origin:
    """Which document a field of a distribution comes from."""

    field: str
    layer: Layer
    document: str


@dataclass(frozen=True)
class Distribution:
    """One system with its releases, newest first."""

    id: str
    name: str
    description: str
    homepage: str
    logo_url: str
    category: str
    popularity_rank: int
    releases: tuple[Release, ...]
    layer: Layer
    """The uppermost one that has a part in it."""
    feed: str = ""
    """Address of the maker's own release data, or empty."""
    replaces: bool = False
    """Whether nothing of it is to come from the layers below its own."""
    origins: tuple[Origin, ...] = field(default=(), compare=False)
    """Of the fields that say something, and not of the releases, which have their own."""

    @property
    def custom(self) -> bool:
        """Whether any of it stands in a file of the user's own."""
        return self.layer is Layer.USER


@dataclass(frozen=True)
class Stamp:
    """What a catalogue document says of itself. Times are unix seconds, 0 where it does not say."""

    made: int = 0
    """Its `last_updated`."""
    serial: int = 0
    """Larger in every newer edition."""
    expires: int = 0


@dataclass(frozen=True)
class Document:
    """A catalogue document that was checked."""

    stamp: Stamp
    distributions: tuple[Distribution, ...]
    warnings: tuple[str, ...] = ()
    """What in it was not understood and does no harm, a line each."""
    recipes: tuple[object, ...] = ()
    """The boot recipes that it carries, as decoded and unchecked: a broken one is to take nothing else with it."""
