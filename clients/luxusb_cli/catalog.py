"""Distributions and images as the daemon tells them."""

from __future__ import annotations

from dataclasses import dataclass

from luxusb_cli.wire import ProtocolError, Wire, flag, get, number, text, texts, wires


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
    country: str
    rate: int
    """Bytes per second when last measured, 0 when never."""
    latency: float
    """Seconds to the first byte, 0 when never measured."""
    success_rate: float
    """0 to 1, -1 when never used."""
    state: str

    @classmethod
    def from_wire(cls, wire: Wire) -> MirrorState:
        """From an entry of ListMirrors."""
        return cls(
            url=text(wire, "url"),
            country=text(wire, "country"),
            rate=number(wire, "rate"),
            latency=get(wire, "latency", float, 0.0),
            success_rate=get(wire, "success_rate", float, -1.0),
            state=text(wire, "state"),
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
    url: str
    trust: str
    mirrors: tuple[MirrorInfo, ...]

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
            url=text(wire, "url"),
            trust=text(wire, "trust"),
            mirrors=tuple(MirrorInfo.from_wire(mirror) for mirror in mirrors),
        )


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
class ImageInfo:
    """An image in the store, as this user sees it."""

    reference: str
    sha256: str
    name: str
    size: int
    added: int
    """Unix seconds."""
    source: str
    trust: str
    genuine: str
    """The catalogue's name for this hash, or empty."""
    bootable: bool
    family: str
    system: str
    in_use: bool
    pinned: bool
    last_used: int
    """Unix seconds."""
    owners: int | None
    """How many users imported it or asked for it; only root is told."""

    @classmethod
    def from_wire(cls, wire: Wire) -> ImageInfo:
        """From an entry of ListImages."""
        return cls(
            reference=text(wire, "reference"),
            sha256=text(wire, "sha256"),
            name=text(wire, "name"),
            size=number(wire, "size"),
            added=number(wire, "added"),
            source=text(wire, "source"),
            trust=text(wire, "trust"),
            genuine=text(wire, "genuine"),
            bootable=flag(wire, "bootable"),
            family=text(wire, "family"),
            system=text(wire, "system"),
            in_use=flag(wire, "in_use"),
            pinned=flag(wire, "pinned"),
            last_used=number(wire, "last_used"),
            owners=number(wire, "owners") if "owners" in wire else None,
        )


@dataclass(frozen=True)
class PrunedInfo:
    """One thing that was removed from the store, or would be."""

    kind: str
    reference: str
    sha256: str
    name: str
    size: int
    last_used: int
    """Unix seconds, 0 when nobody knows."""

    @classmethod
    def from_wire(cls, wire: Wire) -> PrunedInfo:
        """From an entry of PruneImages."""
        return cls(
            kind=text(wire, "kind"),
            reference=text(wire, "reference"),
            sha256=text(wire, "sha256"),
            name=text(wire, "name"),
            size=number(wire, "size"),
            last_used=number(wire, "last_used"),
        )


@dataclass(frozen=True)
class BootEntryInfo:
    """One way of starting an image."""

    title: str
    method: str
    kernel: str
    firmware: tuple[str, ...]

    @classmethod
    def from_wire(cls, wire: Wire) -> BootEntryInfo:
        """From an entry of InspectImage's entries."""
        return cls(
            title=text(wire, "title"),
            method=text(wire, "method"),
            kernel=text(wire, "kernel"),
            firmware=texts(wire, "firmware"),
        )


@dataclass(frozen=True)
class InspectReport:
    """What the content of an image says about it."""

    label: str
    system: str
    version: str
    architecture: str
    family: str
    recipe: str
    bootable: bool
    reason: str
    advice: str
    firmware: tuple[str, ...]
    entries: tuple[BootEntryInfo, ...]
    filesystems: tuple[str, ...]
    size: int

    @classmethod
    def from_wire(cls, wire: Wire) -> InspectReport:
        """From the answer of InspectImage."""
        return cls(
            label=text(wire, "label"),
            system=text(wire, "system"),
            version=text(wire, "version"),
            architecture=text(wire, "architecture"),
            family=text(wire, "family"),
            recipe=text(wire, "recipe"),
            bootable=flag(wire, "bootable"),
            reason=text(wire, "reason"),
            advice=text(wire, "advice"),
            firmware=texts(wire, "firmware"),
            entries=tuple(BootEntryInfo.from_wire(item) for item in wires(wire.get("entries", []), "entries")),
            filesystems=texts(wire, "filesystems"),
            size=number(wire, "size"),
        )


@dataclass(frozen=True)
class StoredResult:
    """What a download or an import made."""

    image: str
    """The `image:` reference."""
    name: str
    size: int
    trust: str

    @classmethod
    def from_wire(cls, wire: Wire) -> StoredResult:
        """From the Result of a job."""
        return cls(text(wire, "image"), text(wire, "name"), number(wire, "size"), text(wire, "trust"))


@dataclass(frozen=True)
class VerifiedImage:
    """What a read-back found out about one image."""

    name: str
    sha256: str
    state: str


@dataclass(frozen=True)
class VerifyResult:
    """What VerifyStick found."""

    ok: bool
    images: tuple[VerifiedImage, ...]

    @classmethod
    def from_wire(cls, wire: Wire) -> VerifyResult:
        """From the Result of a verify job."""
        return cls(
            flag(wire, "ok"),
            tuple(
                VerifiedImage(text(item, "name"), text(item, "sha256"), text(item, "state"))
                for item in wires(wire.get("images", []), "images")
            ),
        )
