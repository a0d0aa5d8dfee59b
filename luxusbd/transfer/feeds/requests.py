"""What a feed that is being read wants next, and what it may be told: values for whoever has the network."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fetch:
    """Fetch a document over https, without following a redirect to anything else; answer `Body`, `Same` or `Gone`."""

    url: str
    most: int
    """Bytes, at most; what sends more is refused."""
    what: str
    """For people."""
    etag: str = ""
    last_modified: str = ""
    """Of the document at hand; only where it need not be sent when it is that one. Otherwise `Same` is no answer."""


@dataclass(frozen=True)
class Check:
    """Check who signed a list of hashes; answer `Checked` or `Refused`."""

    url: str
    data: bytes
    signature: bytes | None
    """None when it stands around the text."""
    keys: frozenset[str]
    """Full fingerprints of primary keys; one of them has to have signed, itself or by one of its subkeys."""


@dataclass(frozen=True)
class Measure:
    """Ask how many bytes a file has, by HEAD or a range; answer `Size` or `Gone`."""

    url: str


@dataclass(frozen=True)
class Body:
    """A document."""

    data: bytes
    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True)
class Same:
    """The document is the one at hand."""


@dataclass(frozen=True)
class Gone:
    """There is no such file (HTTP 404 or 410). Other failures end the reading: drop the run."""


@dataclass(frozen=True)
class Checked:
    """The signature is good."""

    data: bytes
    """What is signed, and nothing else."""
    fingerprint: str
    """Of the primary key."""


@dataclass(frozen=True)
class Refused:
    """The signature is not good, not by any of the keys, or cannot be checked."""

    why: str


@dataclass(frozen=True)
class Size:
    """Bytes of a file, 0 when its server does not say."""

    size: int


Request = Fetch | Check | Measure
Answer = Body | Same | Gone | Checked | Refused | Size
FITTING: dict[type[Request], tuple[type[Answer], ...]] = {
    Fetch: (Body, Same, Gone),
    Check: (Checked, Refused),
    Measure: (Size, Gone),
}
