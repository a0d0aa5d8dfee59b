"""What the daemon found inside an image."""

from __future__ import annotations

from dataclasses import dataclass

from luxusb_cli.wire import Wire, flag, number, text, texts, wires


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
    signer: str
    """Whose signature the kernel carries, or empty."""

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
            signer=text(wire, "signer"),
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
    toram: str
    """entry, always or empty."""
    persistence: str
    """partition, file, directory, own or empty."""
    persistence_filesystems: tuple[str, ...]
    """Empty for all from which it reads the image."""
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
            toram=text(wire, "toram"),
            persistence=text(wire, "persistence"),
            persistence_filesystems=texts(wire, "persistence_filesystems"),
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
