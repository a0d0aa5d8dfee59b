"""What is asked of a data filesystem, whichever it is: read from the medium, without mounting it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """The filesystems that a data partition can have, as `StickOptions.filesystem` names them."""

    EXT4 = "ext4"
    EXFAT = "exfat"
    FAT32 = "fat32"


@dataclass(frozen=True)
class Extent:
    """A contiguous piece of a file; all figures in blocks of the filesystem."""

    logical: int
    physical: int
    length: int
    initialised: bool
    """False for space that is allocated and reads as zeros."""


class Node(Protocol):
    """A file or a directory."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def changed(self) -> int:
        """When its content, name or attributes changed last, in Unix seconds; rather too late than too early."""

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""


class DataFilesystem(Protocol):
    """A data filesystem. Every method raises `MalformedImageError` where it is inconsistent."""

    block_size: int
    """Bytes of the blocks that extents count."""

    @property
    def kind(self) -> Kind:
        """Which one it is."""

    @property
    def uuid(self) -> str:
        """As GRUB's `search --fs-uuid` and udev know it."""

    @property
    def label(self) -> str:
        """Its name; untrusted text."""

    @property
    def clean(self) -> bool:
        """Whether it was unmounted in order, without errors."""

    @property
    def has_errors(self) -> bool:
        """Whether whoever wrote it last noted that something in it is broken."""

    def lookup(self, path: str) -> Node | None:
        """The file or directory at an absolute path, or None; links are not followed."""

    def list(self, path: str) -> tuple[str, ...]:
        """Names in a directory, without `.` and `..`; empty when there is no such directory."""

    def entries(self, path: str, limit: int) -> tuple[tuple[bytes, Node], ...]:
        """The first `limit` names in a directory with what they name; empty when there is no such directory."""

    def read_file(self, path: str, limit: int) -> bytes | None:
        """Content of a regular file of at most `limit` bytes, or None when there is none."""

    def extents(self, path: str) -> tuple[Extent, ...]:
        """Where the blocks of a regular file lie, in order; holes are left out."""

    def read_bytes(self, place: int, length: int) -> bytes:
        """Bytes of the partition, as an extent of a file names them in blocks."""

    def free_bytes(self) -> int:
        """Unallocated bytes."""
