"""Values that say more about an image than a stick needs: what `InspectImage` tells beside the `Recognition`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from luxusbd.images.eltorito import BootRecord
from luxusbd.images.model import Recognition


class Container(StrEnum):
    """What kind of image a file is."""

    ISO9660 = "iso9660"
    BRIDGE = "iso9660+udf"
    UDF = "udf"
    DISK = "disk"
    FILESYSTEM = "filesystem"


@dataclass(frozen=True)
class PartitionInfo:
    """A partition of a disk image, or of a hybrid disc image."""

    number: int
    kind: str
    """The type: two hex digits in an MBR, a GUID in a GPT."""
    label: str
    """Of the filesystem, else the name in the GPT; untrusted text."""
    filesystem: str
    """As people call it: ext4, FAT32; empty when it is not known."""
    start: int
    """Bytes."""
    size: int
    """Bytes."""
    active: bool


@dataclass(frozen=True)
class ProgramInfo:
    """A kernel or an EFI program of the image."""

    path: str
    architecture: str
    signed: bool
    """Whether it carries a certificate table; nothing is verified here."""
    signers: tuple[str, ...]
    """Common names of the certificates that signed it, as far as they can be read; untrusted text."""


class Toram(StrEnum):
    """Whether a system runs from memory, so that the stick can be pulled out."""

    NO = ""
    ENTRY = "entry"
    """By an entry of its own."""
    ALWAYS = "always"


class Keeps(StrEnum):
    """Where a system can keep changes over a restart; the values of `recipes.Store`."""

    NOWHERE = ""
    PARTITION = "partition"
    FILE = "file"
    DIRECTORY = "directory"
    OWN = "own"


@dataclass(frozen=True)
class Details:
    """What an image is made of."""

    container: Container
    names: str
    """Which names are in force: rock-ridge, joliet, iso9660, udf; empty for a disk."""
    recipe_version: int
    """0 without a recipe."""
    minimum_memory: int
    """MiB that the system needs, as its recipe knows; 0 when unknown."""
    table: str
    """mbr, gpt, or empty: the partition table, which a disc image has too when it is made to be written to a stick."""
    partitions: tuple[PartitionInfo, ...]
    boot_records: tuple[BootRecord, ...]
    programs: tuple[ProgramInfo, ...]
    toram: Toram = Toram.NO
    persistence: Keeps = Keeps.NOWHERE
    persistence_on: frozenset[str] = frozenset()
    """Filesystems of the data partition on which that works; empty means all from which it reads the image."""


@dataclass(frozen=True)
class Inspection:
    """Everything that is known about a file."""

    recognition: Recognition
    details: Details
    sha256: str = ""
    """What the caller found out about the bytes; empty when nobody computed it."""
    genuine: str = ""
    """Name of the catalogue's release with this hash, or empty."""
