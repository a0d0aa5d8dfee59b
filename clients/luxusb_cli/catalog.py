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
    genuine_reference: str
    """The `distro:` reference of that release, or empty."""
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
            genuine_reference=text(wire, "genuine_reference"),
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
    initrds: tuple[str, ...]
    parameters: tuple[str, ...]
    """Words of the command line; `{iso}` and `{data_uuid}` are filled in when a stick is made."""
    firmware: tuple[str, ...]

    @classmethod
    def from_wire(cls, wire: Wire) -> BootEntryInfo:
        """From an entry of InspectImage's entries."""
        return cls(
            title=text(wire, "title"),
            method=text(wire, "method"),
            kernel=text(wire, "kernel"),
            initrds=texts(wire, "initrds"),
            parameters=texts(wire, "parameters"),
            firmware=texts(wire, "firmware"),
        )


@dataclass(frozen=True)
class PartitionInfo:
    """A partition inside an image."""

    number: int
    type: str
    label: str
    filesystem: str
    start: int
    size: int
    active: bool

    @classmethod
    def from_wire(cls, wire: Wire) -> PartitionInfo:
        """From an entry of InspectImage's partitions."""
        return cls(
            number=number(wire, "number"),
            type=text(wire, "type"),
            label=text(wire, "label"),
            filesystem=text(wire, "filesystem"),
            start=number(wire, "start"),
            size=number(wire, "size"),
            active=flag(wire, "active"),
        )


@dataclass(frozen=True)
class BootRecordInfo:
    """An El Torito entry: how firmware starts the image from a disc."""

    platform: str
    emulation: str
    bootable: bool
    start: int
    size: int

    @classmethod
    def from_wire(cls, wire: Wire) -> BootRecordInfo:
        """From an entry of InspectImage's boot_records."""
        return cls(
            platform=text(wire, "platform"),
            emulation=text(wire, "emulation"),
            bootable=flag(wire, "bootable"),
            start=number(wire, "start"),
            size=number(wire, "size"),
        )


@dataclass(frozen=True)
class ProgramInfo:
    """A kernel or EFI program inside an image, and who signed it."""

    path: str
    architecture: str
    signed: bool
    signers: tuple[str, ...]

    @classmethod
    def from_wire(cls, wire: Wire) -> ProgramInfo:
        """From an entry of InspectImage's programs."""
        return cls(
            path=text(wire, "path"),
            architecture=text(wire, "architecture"),
            signed=flag(wire, "signed"),
            signers=texts(wire, "signers"),
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
    uuid: str
    recipe_version: int
    """0 without a recipe."""
    minimum_memory: int
    """Bytes, 0 when unknown."""
    container: str
    """iso9660, iso9660+udf, udf, disk or filesystem."""
    names: str
    partition_table: str
    partitions: tuple[PartitionInfo, ...]
    boot_records: tuple[BootRecordInfo, ...]
    programs: tuple[ProgramInfo, ...]
    sha256: str
    """Of the file, empty when it was not computed."""
    genuine: str
    """The catalogue's name for this hash, or empty."""

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
            uuid=text(wire, "uuid"),
            recipe_version=number(wire, "recipe_version"),
            minimum_memory=number(wire, "minimum_memory"),
            container=text(wire, "container"),
            names=text(wire, "names"),
            partition_table=text(wire, "partition_table"),
            partitions=tuple(PartitionInfo.from_wire(item) for item in wires(wire.get("partitions", []), "partitions")),
            boot_records=tuple(
                BootRecordInfo.from_wire(item) for item in wires(wire.get("boot_records", []), "boot_records")
            ),
            programs=tuple(ProgramInfo.from_wire(item) for item in wires(wire.get("programs", []), "programs")),
            sha256=text(wire, "sha256"),
            genuine=text(wire, "genuine"),
        )


@dataclass(frozen=True)
class StoredResult:
    """What a download or an import made."""

    image: str
    """The `image:` reference."""
    name: str
    size: int
    trust: str
    genuine: str
    """The catalogue's name for the hash of an import, or empty."""
    genuine_reference: str
    """The `distro:` reference of that release, or empty."""
    unpacked_from: str
    """The format in which an import was compressed, or empty."""
    matched: str
    """What a hash given with an import was of: image, packed, or empty."""
    signed_by: str
    """Fingerprint of the key that signed the list of hashes, or empty."""

    @classmethod
    def from_wire(cls, wire: Wire) -> StoredResult:
        """From the Result of a job."""
        return cls(
            image=text(wire, "image"),
            name=text(wire, "name"),
            size=number(wire, "size"),
            trust=text(wire, "trust"),
            genuine=text(wire, "genuine"),
            genuine_reference=text(wire, "genuine_reference"),
            unpacked_from=text(wire, "unpacked_from"),
            matched=text(wire, "matched"),
            signed_by=text(wire, "signed_by"),
        )


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


@dataclass(frozen=True)
class RescannedImage:
    """An image that a rescan entered into the menu."""

    name: str
    title: str
    size: int
    renamed_from: str

    @classmethod
    def from_wire(cls, wire: Wire) -> RescannedImage:
        """From an entry of added or changed."""
        return cls(text(wire, "name"), text(wire, "title"), number(wire, "size"), text(wire, "renamed_from"))


@dataclass(frozen=True)
class LeftFile:
    """A file in /iso that got no entry."""

    name: str
    reason: str


@dataclass(frozen=True)
class RescanResult:
    """What RescanStick did."""

    images: tuple[str, ...]
    """File names in the menu."""
    added: tuple[RescannedImage, ...]
    changed: tuple[RescannedImage, ...]
    removed: tuple[str, ...]
    skipped: tuple[LeftFile, ...]

    @classmethod
    def from_wire(cls, wire: Wire) -> RescanResult:
        """From the Result of a rescan job."""
        return cls(
            texts(wire, "images"),
            tuple(RescannedImage.from_wire(item) for item in wires(wire.get("added", []), "added")),
            tuple(RescannedImage.from_wire(item) for item in wires(wire.get("changed", []), "changed")),
            texts(wire, "removed"),
            tuple(
                LeftFile(text(item, "name"), text(item, "reason")) for item in wires(wire.get("skipped", []), "skipped")
            ),
        )
