"""Images in the store as the daemon tells them."""

from __future__ import annotations

from dataclasses import dataclass

from luxusb_cli.wire import Wire, flag, number, text


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
    custom: bool
    """Whether it comes from a user's own catalogue."""
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
            custom=flag(wire, "custom"),
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
