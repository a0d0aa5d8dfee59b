"""Values that go into and come out of a download."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class Digest:
    """A hash of a whole file."""

    algorithm: str
    """One of `DIGESTS`."""
    value: str
    """Lower-case hex digits."""


DIGESTS: Mapping[str, int] = {"sha256": 64, "sha512": 128, "blake2b": 128}
"""The algorithms by which a file may be vouched for, with the hex digits of each."""


@dataclass(frozen=True)
class PieceHashes:
    """Hashes of the consecutive pieces of a file, as a Metalink gives them (RFC 5854, section 4.2.9)."""

    algorithm: str
    """A name that hashlib knows."""
    length: int
    """Bytes of every piece but the last one."""
    values: tuple[str, ...]
    """Lower-case hex digits, in file order."""


@dataclass(frozen=True)
class Claim:
    """What the maker of an image is said to have signed."""

    fingerprint: str
    """Of the primary key that has to have signed: 40 or 64 upper-case hex digits."""
    names: tuple[str, ...]
    """Under which the image may stand in a list of hashes."""
    digests: tuple[Digest, ...] = ()
    """What the image is expected to be."""
    sums_url: str = ""
    """A list of hashes; empty: `signature_url` is the signature of the image itself."""
    signature_url: str = ""
    """The detached signature of the list; empty where the list holds it."""
    key_url: str = ""
    """Where a copy of the key may be had, or empty."""


@dataclass(frozen=True)
class MakersWord:
    """What came of asking the maker for his word."""

    signed: bool
    reason: str = ""
    """Why it is not signed."""
    fingerprint: str = ""
    """Of the primary key that signed."""
    signing_key: str = ""
    """Fingerprint of the key, often a subkey, that made the signature."""
    digests: tuple[Digest, ...] = ()
    """All that the signed list says of the image."""
    unreachable: bool = False
    """Whether it is not signed only because something could not be fetched."""
    key: bytes = b""
    """The key, where it was fetched."""


@dataclass(frozen=True)
class MirrorUrl:
    """An address that a metalink names."""

    url: str
    country: str = ""
    """ISO 3166-1 alpha-2 in capitals, or empty."""


@dataclass(frozen=True)
class Directions:
    """What a metalink adds to what is known of a file whose hash it agrees with."""

    mirrors: tuple[MirrorUrl, ...] = ()
    """Best first."""
    size: int = 0
    """Bytes, 0 when it does not tell."""
    pieces: PieceHashes | None = None
    older: tuple[int, ...] = ()
    """Sizes of older versions of the file; a mirror that has one of them lags behind."""
    note: str = ""
    """Why it is of no use."""


@dataclass(frozen=True)
class SourceHint:
    """What earlier downloads taught about an address."""

    url: str
    rate: int = 0
    """Bytes per second, 0 when nobody measured."""
    latency: float = 0.0
    """Seconds from a request to the headers of its answer, 0 when nobody measured."""
    success: float = 1.0
    """Share of its transfers that went well, 0 to 1."""


@dataclass(frozen=True)
class DownloadRequest:
    """One file to fetch."""

    urls: tuple[str, ...]
    """Addresses of the same bytes, best first."""
    sha256: str
    """What the whole file must hash to; empty where only `digests` are known, or nothing, and the caller accepts trust
    by TLS alone."""
    size: int
    """Bytes, 0 when unknown."""
    directory: str
    """Where `<name>.part` and `<name>.part.json` live; the finished file is `<name>` in it."""
    name: str
    """A plain file name, without a slash."""
    bandwidth: int = 0
    """Bytes per second, 0 without limit."""
    priority: int = 0
    """-10 to 10; the more urgent of two downloads gets a connection first."""
    digests: tuple[Digest, ...] = ()
    """Further hashes that the whole file must have."""
    pieces: PieceHashes | None = None
    also: tuple[str, ...] = ()
    """Further algorithms, of `DIGESTS`, whose hash of the whole file is wanted in the result."""
    older: tuple[int, ...] = ()
    """Sizes of older versions of the file; a mirror that has one of them lags behind."""
    hints: tuple[SourceHint, ...] = ()
    """About some of `urls`."""
    window: int = 0
    """Bytes of the file that may lie on the disk at a time, 0 for all of it. With a window nothing is left of it at the
    end: whoever wants the bytes reads the growing part and tells how far it is (`Control.release`)."""

    @property
    def hashed(self) -> bool:
        """Whether a hash of the whole file is known, so that bytes of several mirrors may be mixed and judged."""
        return bool(self.sha256 or self.digests)

    @property
    def identity(self) -> Digest | None:
        """The hash by which a partial file is told from one of another version; None where none is known."""
        if self.sha256:
            return Digest("sha256", self.sha256.lower())
        return self.digests[0] if self.digests else None


class DownloadStage(StrEnum):
    """What a download is doing."""

    CONNECT = "connect"
    QUEUE = "wait-for-connection"
    """All connections that may be are taken by other downloads."""
    TRANSFER = "transfer"
    WAIT_FOR_STICK = "wait-for-stick"
    """Its window is full."""
    HAND_OVER = "hand-over"
    """All of it is there and verified, and waits until it was taken out of its window."""
    WAIT = "wait-for-network"
    VERIFY = "verify"


class SourceState(StrEnum):
    """What a mirror does for a download."""

    CONNECT = "connect"
    SERVING = "serving"
    WAITING = "waiting"
    """It was asked, and is not at the moment."""
    GIVEN_UP = "given-up"
    """It is not asked again."""
    BANNED = "banned"
    """It sent wrong bytes, which is proven."""


@dataclass(frozen=True)
class SourceShare:
    """What one mirror has done for a download so far."""

    url: str
    """As it was asked for."""
    host: str
    """Where the bytes come from, behind its redirects."""
    state: SourceState
    rate: int
    """Bytes per second over the last seconds."""
    bytes_done: int
    """Bytes it brought since the download was started or taken up again."""
    measured: int = 0
    """Bytes per second that it can do, as far as it was seen while nothing of ours slowed it down; 0 unknown."""
    latency: float = 0.0
    """Seconds from a request to the headers of its answer, 0 when it never answered."""
    successes: int = 0
    """Ranges that it brought to their end."""
    failures: int = 0
    """Requests that ended in a fault of its own."""
    rests: float = 0.0
    """Seconds for which it is left alone from now on."""
    reason: str = ""
    """Why it rests, was given up or is banned."""


@dataclass(frozen=True)
class DownloadProgress:
    """How far a download is; sent whenever something changed, the receiver thins it out."""

    stage: DownloadStage
    bytes_done: int
    """Bytes received and written, those taken over from before included."""
    bytes_total: int
    """0 when unknown."""
    resumed_bytes: int
    source: str
    """Host that serves now, or empty."""
    note: str = ""
    """What it waits for, or what a mirror did, for the log."""
    sources: tuple[SourceShare, ...] = ()
    """The mirrors that were asked, anew about once a second."""
    prefix: int | None = None
    """Bytes written without a hole from the start on; None where nothing is said of them."""
    floor: int = 0
    """With `prefix`: the fewest there were since the report before; from there on other bytes may have come."""
    epoch: int = 0
    """With `prefix`: how often bytes of a download with a window had to come anew."""


@dataclass(frozen=True)
class DownloadResult:
    """A finished, verified file."""

    path: str
    size: int
    sha256: str
    url: str
    """The address that served it."""
    resumed_bytes: int
    digests: tuple[Digest, ...] = ()
    """The hashes that were asked for by `digests` and `also`."""
