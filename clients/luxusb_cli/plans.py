"""What a plan for new sticks says, as values."""

from __future__ import annotations

from dataclasses import dataclass

from luxusb_cli.model import Loss
from luxusb_cli.wire import Wire, flag, number, text, texts, wire_of, wires


@dataclass(frozen=True)
class PlannedDevice:
    """A target of a plan."""

    path: str
    id: str
    node: str
    size: int
    vendor: str
    model: str
    serial: str
    lost: tuple[str, ...]
    lost_details: tuple[Loss, ...]
    bytes_needed: int
    bytes_free: int

    @classmethod
    def from_wire(cls, wire: Wire) -> PlannedDevice:
        """From an entry of the plan's devices."""
        return cls(
            path=text(wire, "path"),
            id=text(wire, "id"),
            node=text(wire, "node"),
            size=number(wire, "size"),
            vendor=text(wire, "vendor"),
            model=text(wire, "model"),
            serial=text(wire, "serial"),
            lost=texts(wire, "lost"),
            lost_details=tuple(Loss.from_wire(item) for item in wires(wire.get("lost_details", []), "lost_details")),
            bytes_needed=number(wire, "bytes_needed"),
            bytes_free=number(wire, "bytes_free"),
        )


@dataclass(frozen=True)
class PlannedPartition:
    """A row of the planned partition table, in bytes."""

    number: int
    name: str
    type: str
    start: int
    size: int

    @classmethod
    def from_wire(cls, wire: Wire) -> PlannedPartition:
        """From an entry of the plan's layout."""
        return cls(
            number=number(wire, "number"),
            name=text(wire, "name"),
            type=text(wire, "type"),
            start=number(wire, "start"),
            size=number(wire, "size"),
        )


@dataclass(frozen=True)
class PlannedImage:
    """An image that will be on the stick."""

    reference: str
    name: str
    title: str
    size: int
    """0 when it is not known before the download."""
    firmware: tuple[str, ...]
    warnings: tuple[str, ...]
    download: bool
    trust: str
    """Of a stored image: signed, hash, tls-only or none; else what its download can reach at best."""
    custom: bool
    """Whether it comes from the user's own catalogue."""
    persistence: int
    """Bytes for its changes, 0 for none."""

    @classmethod
    def from_wire(cls, wire: Wire) -> PlannedImage:
        """From an entry of the plan's images."""
        return cls(
            reference=text(wire, "reference"),
            name=text(wire, "name"),
            title=text(wire, "title"),
            size=number(wire, "size"),
            firmware=texts(wire, "firmware"),
            warnings=texts(wire, "warnings"),
            download=flag(wire, "download"),
            trust=text(wire, "trust"),
            custom=flag(wire, "custom"),
            persistence=number(wire, "persistence"),
        )


@dataclass(frozen=True)
class PlannedCertificate:
    """A key that can be enrolled from the stick."""

    name: str
    subject: str
    sha256: str
    """Its fingerprint."""


@dataclass(frozen=True)
class PlannedRaw:
    """What WriteRaw will do with the one image."""

    packing: str
    """How it is compressed, or empty."""
    size: int
    """Bytes on the disk, 0 when they are known at the end of unpacking alone."""
    starts: str
    """hybrid, disk, optical, nothing, or unknown before the download."""
    mapped: int
    """Bytes that a block map has written, 0 without one."""

    @classmethod
    def from_wire(cls, wire: Wire) -> PlannedRaw:
        """From `raw` of the plan."""
        return cls(text(wire, "packing"), number(wire, "size"), text(wire, "starts"), number(wire, "mapped"))


@dataclass(frozen=True)
class PlanInfo:
    """What CreateStick or WriteRaw will do."""

    token: str
    expires: int
    """Unix seconds."""
    devices: tuple[PlannedDevice, ...]
    layout: tuple[PlannedPartition, ...]
    images: tuple[PlannedImage, ...]
    firmware: tuple[str, ...]
    secure_boot: bool
    certificates: tuple[PlannedCertificate, ...]
    warnings: tuple[str, ...]
    raw: PlannedRaw | None = None
    """Set for WriteRaw."""

    @classmethod
    def from_wire(cls, wire: Wire) -> PlanInfo:
        """From the answer of PlanStick."""
        return cls(
            token=text(wire, "token"),
            expires=number(wire, "expires"),
            devices=tuple(PlannedDevice.from_wire(item) for item in wires(wire.get("devices", []), "devices")),
            layout=tuple(PlannedPartition.from_wire(item) for item in wires(wire.get("layout", []), "layout")),
            images=tuple(PlannedImage.from_wire(item) for item in wires(wire.get("images", []), "images")),
            firmware=texts(wire, "firmware"),
            secure_boot=flag(wire, "secure_boot"),
            certificates=tuple(
                PlannedCertificate(text(item, "name"), text(item, "subject"), text(item, "sha256"))
                for item in wires(wire.get("certificates", []), "certificates")
            ),
            warnings=texts(wire, "warnings"),
            raw=PlannedRaw.from_wire(wire_of(wire["raw"], "raw")) if "raw" in wire else None,
        )
