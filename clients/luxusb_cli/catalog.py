"""Distributions and mirrors as the daemon tells them."""

from __future__ import annotations

from dataclasses import dataclass

from luxusb_cli.wire import ProtocolError, Wire, flag, get, number, text, wires

OWN = "user"
"""Origin of what stands in the user's own catalogue."""


@dataclass(frozen=True)
class MirrorInfo:
    """An address from which a release can be had."""

    url: str
    country: str

    @classmethod
    def from_wire(cls, value: object) -> MirrorInfo:
        """From a dictionary with url and country, or from a bare URL."""
        if isinstance(value, str):
            return cls(value, "")
        if isinstance(value, dict):
            return cls(text(value, "url"), text(value, "country"))
        raise ProtocolError("a mirror is neither a URL nor a dictionary")


@dataclass(frozen=True)
class MirrorState:
    """A mirror and how it did."""

    url: str
    host: str
    country: str
    rate: int
    """Bytes per second when last measured, 0 when never."""
    latency: float
    """Seconds to an answer, 0 when never measured."""
    success_rate: float
    """0 to 1, -1 while too little is known."""
    measured: int
    """When the rate was measured last; 0 never."""
    state: str
    until: int
    """The end of a rest or ban, 0 without one."""
    reason: str
    preferred: bool
    """Whether it is in a country that is preferred."""

    @classmethod
    def from_wire(cls, wire: Wire) -> MirrorState:
        """From an entry of ListMirrors."""
        return cls(
            url=text(wire, "url"),
            host=text(wire, "host"),
            country=text(wire, "country"),
            rate=number(wire, "rate"),
            latency=get(wire, "latency", float, 0.0),
            success_rate=get(wire, "success_rate", float, -1.0),
            measured=number(wire, "measured"),
            state=text(wire, "state"),
            until=number(wire, "until"),
            reason=text(wire, "reason"),
            preferred=flag(wire, "preferred"),
        )


@dataclass(frozen=True)
class ReleaseInfo:
    """One downloadable image."""

    version: str
    release_date: str
    edition: str
    architecture: str
    size: int
    """Bytes, 0 when unknown."""
    sha256: str
    sha512: str
    """Either of the two may be empty."""
    url: str
    trust: str
    origin: str
    """Layer of the catalogue; user for the caller's own file."""
    mirrors: tuple[MirrorInfo, ...]
    family: str
    """Of the boot recipe that is expected to fit, or empty."""
    secure_boot: str
    """yes, no or unknown."""
    end_of_life: str
    """YYYY-MM-DD, or empty."""
    ended: bool
    """Whether that day was over when the daemon was asked."""
    fits: str
    """yes or unknown where a stick was asked about, else empty."""

    @classmethod
    def from_wire(cls, wire: Wire) -> ReleaseInfo:
        """From an entry of a distribution's releases."""
        mirrors = wire.get("mirrors", [])
        if not isinstance(mirrors, list):
            raise ProtocolError("mirrors is not a list")
        return cls(
            version=text(wire, "version"),
            release_date=text(wire, "release_date"),
            edition=text(wire, "edition"),
            architecture=text(wire, "architecture"),
            size=number(wire, "size"),
            sha256=text(wire, "sha256"),
            sha512=text(wire, "sha512"),
            url=text(wire, "url"),
            trust=text(wire, "trust"),
            origin=text(wire, "origin"),
            mirrors=tuple(MirrorInfo.from_wire(mirror) for mirror in mirrors),
            family=text(wire, "family"),
            secure_boot=text(wire, "secure_boot") or "unknown",
            end_of_life=text(wire, "end_of_life"),
            ended=flag(wire, "ended"),
            fits=text(wire, "fits"),
        )


@dataclass(frozen=True)
class OriginInfo:
    """Where a field or a release of a distribution comes from."""

    field: str
    """Name of the field, or what the release is called."""
    origin: str
    document: str
    """What errors call the document, usually its path."""

    @classmethod
    def from_wire(cls, wire: Wire) -> OriginInfo:
        """From an entry of a distribution's origins."""
        return cls(text(wire, "field"), text(wire, "origin"), text(wire, "document"))


@dataclass(frozen=True)
class DistroInfo:
    """One system of the catalogue with its releases, newest first."""

    id: str
    name: str
    description: str
    homepage: str
    logo_url: str
    category: str
    popularity_rank: int
    origin: str
    """The uppermost layer that has a part in it."""
    releases: tuple[ReleaseInfo, ...]

    @classmethod
    def from_wire(cls, wire: Wire) -> DistroInfo:
        """From the answer of GetDistribution or an entry of ListDistributions."""
        return cls(
            id=text(wire, "id"),
            name=text(wire, "name"),
            description=text(wire, "description"),
            homepage=text(wire, "homepage"),
            logo_url=text(wire, "logo_url"),
            category=text(wire, "category"),
            popularity_rank=number(wire, "popularity_rank"),
            origin=text(wire, "origin"),
            releases=tuple(ReleaseInfo.from_wire(item) for item in wires(wire.get("releases", []), "releases")),
        )


@dataclass(frozen=True)
class DistroQuery:
    """Which distributions and releases are wanted; what is empty or false excludes nothing."""

    text: str = ""
    category: str = ""
    architecture: str = ""
    family: str = ""
    secure_boot: bool = False
    device: str = ""
    """Object path of a disk on which there has to be room."""
    hide_end_of_life: bool = False
    sort: str = ""
    """popularity or name; empty for the daemon's own order."""
