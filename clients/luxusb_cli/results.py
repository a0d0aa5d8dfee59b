"""What jobs came to, as the daemon tells it."""

from __future__ import annotations

from dataclasses import dataclass

from luxusb_cli.model import ForeignImage
from luxusb_cli.wire import Wire, flag, number, text, texts, wires


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
    """Fingerprint of the key that signed the list of hashes or the image, or empty."""
    unsigned_reason: str
    """Why a download is not signed, or empty."""

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
            unsigned_reason=text(wire, "unsigned_reason"),
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


@dataclass(frozen=True)
class AdoptionPlan:
    """What AdoptStick will do."""

    found: tuple[ForeignImage, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    firmware: tuple[str, ...]

    @classmethod
    def from_wire(cls, wire: Wire) -> AdoptionPlan:
        """From the Result of a dry run."""
        return cls(
            tuple(ForeignImage.from_wire(item) for item in wires(wire.get("found", []), "found")),
            texts(wire, "notes"),
            texts(wire, "warnings"),
            texts(wire, "firmware"),
        )


@dataclass(frozen=True)
class AdoptionResult:
    """What AdoptStick did."""

    images: tuple[str, ...]
    """File names in the menu."""
    skipped: tuple[LeftFile, ...]

    @classmethod
    def from_wire(cls, wire: Wire) -> AdoptionResult:
        """From the Result of the job."""
        return cls(
            texts(wire, "images"),
            tuple(
                LeftFile(text(item, "name"), text(item, "reason")) for item in wires(wire.get("skipped", []), "skipped")
            ),
        )


@dataclass(frozen=True)
class RepairFinding:
    """One thing that was wrong with a stick."""

    area: str
    problem: str
    done: str


@dataclass(frozen=True)
class LostImage:
    """An image that has to be added again."""

    name: str
    title: str
    size: int
    source: str
    """The `distro:` reference, or `import`."""
    reason: str


@dataclass(frozen=True)
class RepairResult:
    """What RepairStick did."""

    sound: bool
    findings: tuple[RepairFinding, ...]
    lost: tuple[LostImage, ...]

    @classmethod
    def from_wire(cls, wire: Wire) -> RepairResult:
        """From the Result of a repair job."""
        return cls(
            flag(wire, "sound"),
            tuple(
                RepairFinding(text(item, "area"), text(item, "problem"), text(item, "done"))
                for item in wires(wire.get("findings", []), "findings")
            ),
            tuple(
                LostImage(
                    text(item, "name"),
                    text(item, "title"),
                    number(item, "size"),
                    text(item, "source"),
                    text(item, "reason"),
                )
                for item in wires(wire.get("lost", []), "lost")
            ),
        )


@dataclass(frozen=True)
class UpdatedImage:
    """An image for which there is a newer release."""

    name: str
    title: str
    reference: str
    """Of the newer release."""
    from_version: str
    to_version: str
    size: int
    respin: bool
    series_change: bool
    end_of_life: str
    ended: bool
    trust: str
    less_trust: bool
    new_name: str
    """File name of the new one on the stick, where it is there."""
    reason: str
    """Why it was left alone, or empty."""

    @classmethod
    def from_wire(cls, wire: Wire) -> UpdatedImage:
        """From an entry of a device's Updates, or of updates or skipped."""
        return cls(
            name=text(wire, "name"),
            title=text(wire, "title"),
            reference=text(wire, "reference"),
            from_version=text(wire, "from_version"),
            to_version=text(wire, "to_version"),
            size=number(wire, "size"),
            respin=flag(wire, "respin"),
            series_change=flag(wire, "series_change"),
            end_of_life=text(wire, "end_of_life"),
            ended=flag(wire, "ended"),
            trust=text(wire, "trust"),
            less_trust=flag(wire, "less_trust"),
            new_name=text(wire, "new_name"),
            reason=text(wire, "reason"),
        )


@dataclass(frozen=True)
class StickUpdateResult:
    """What UpdateStick did, or would do."""

    updates: tuple[UpdatedImage, ...]
    skipped: tuple[UpdatedImage, ...]
    bytes_needed: int
    """Free bytes that it takes to write all before any goes."""
    bytes_needed_one_at_a_time: int
    bytes_needed_replacing: int
    free_bytes: int
    kept_images: tuple[str, ...]
    """Names of newer images that have to be kept on the daemon's machine, although that was not wanted."""

    @classmethod
    def from_wire(cls, wire: Wire) -> StickUpdateResult:
        """From the Result of an update job."""
        return cls(
            tuple(UpdatedImage.from_wire(item) for item in wires(wire.get("updates", []), "updates")),
            tuple(UpdatedImage.from_wire(item) for item in wires(wire.get("skipped", []), "skipped")),
            number(wire, "bytes_needed"),
            number(wire, "bytes_needed_one_at_a_time"),
            number(wire, "bytes_needed_replacing"),
            number(wire, "free_bytes"),
            texts(wire, "kept_images"),
        )
