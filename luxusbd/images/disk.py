"""Images of whole disks, and of single filesystems without a partition table.

Appliances, systems for single-board computers and floppies come as such. They are never started from a file: what is
found out here is what they are, so that the user is told what to do with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from luxusbd.errors import MalformedImageError
from luxusbd.images import gpt, mbr
from luxusbd.images.bounded import BoundedReader
from luxusbd.images.details import PartitionInfo
from luxusbd.images.filesystems import LABEL_LIMIT, Signature, probe
from luxusbd.text import clean, size_text

MAX_PARTITIONS = 128

_Recognise = Callable[[frozenset[str], frozenset[str]], bool]
_SYSTEMS: tuple[tuple[str, _Recognise], ...] = (
    ("Raspberry Pi OS", lambda labels, _kinds: {"bootfs", "rootfs"} <= labels),
    ("Home Assistant OS", lambda labels, _kinds: {"hassos-boot", "hassos-kernel0"} <= labels),
    ("ChromeOS", lambda labels, _kinds: {"kern-a", "root-a"} <= labels),
    ("Fedora CoreOS", lambda labels, _kinds: {"bios-boot", "efi-system", "boot", "root"} <= labels),
    ("Armbian", lambda labels, _kinds: any(label.startswith("armbi_") for label in labels)),
    ("FreeDOS", lambda labels, _kinds: any(label.startswith("freedos") for label in labels)),
    ("FreeBSD", lambda _labels, kinds: "a5" in kinds or "516E7CB6-6ECF-11D6-8FF8-00022D09712B" in kinds),
    ("OpenBSD", lambda _labels, kinds: "a6" in kinds or "824CC7A0-36A8-11E3-890A-952519AD3F61" in kinds),
    ("NetBSD", lambda _labels, kinds: "a9" in kinds or "49F48D5A-B10E-11DC-B99B-0019D1879648" in kinds),
)
"""Systems by the labels (in lower case) and types of their partitions; a guess that is only shown, never relied on."""


@dataclass(frozen=True)
class DiskImage:
    """A disk or a filesystem in a file."""

    table: str
    """gpt, mbr, or empty for a filesystem alone."""
    partitions: tuple[PartitionInfo, ...]
    whole: Signature | None
    """The filesystem, where it fills the file."""

    @property
    def label(self) -> str:
        """The first label, which is that of the filesystem where there is but one."""
        if self.whole is not None:
            return self.whole.label
        return next((part.label for part in self.partitions if part.label), "")

    @property
    def system(self) -> str:
        """The name of the system as far as the labels tell it, or empty."""
        labels = frozenset(part.label.lower() for part in self.partitions) | {self.label.lower()}
        kinds = frozenset(part.kind for part in self.partitions)
        return next((name for name, holds in _SYSTEMS if holds(labels, kinds)), "")

    @property
    def description(self) -> str:
        """What it is, for a sentence: `a disk with an MBR partition table and 2 partitions (FAT32 "bootfs", ...)`."""
        if self.whole is not None:
            return f"a single {self.whole.kind} file system"
        names = [
            f"{part.filesystem or 'unknown'}{f' “{part.label}”' if part.label else ''} {size_text(part.size)}"
            for part in self.partitions[:8]
        ]
        more = len(self.partitions) - len(names)
        shown = ", ".join(names) + (f" and {more} more" if more else "")
        article = "an MBR" if self.table == "mbr" else "a GPT"
        count = f"{len(self.partitions)} partition{'' if len(self.partitions) == 1 else 's'}"
        return f"a disk with {article} partition table and {count}{f' ({shown})' if shown else ''}"


def read_disk(reader: BoundedReader) -> DiskImage | None:
    """What disk or filesystem a file holds; None where it holds neither.

    Raises:
        MalformedImageError: it is a disk image, and its end is missing.
    """
    table, partitions = read_table(reader, complete=True)
    whole = probe(reader.read, 0, reader.size)
    if table == "gpt" or (partitions and whole is None):
        return DiskImage(table, partitions, None)
    return DiskImage("", (), whole) if whole is not None else None


def read_table(reader: BoundedReader, *, complete: bool) -> tuple[str, tuple[PartitionInfo, ...]]:
    """The partition table at the start of the file, "" without one.

    Args:
        reader: the file.
        complete: refuse a file that ends before its last partition does; hybrid discs are not held to that.

    Raises:
        MalformedImageError: the file is shorter than the table says.
    """
    found = gpt.read(reader.read, reader.size)
    if found is None and complete and (claimed := gpt.claimed_end(reader.read, reader.size)) > reader.size:
        raise _cut_off("GPT", claimed, reader.size)
    if found is not None:
        return "gpt", tuple(
            _info(reader, entry.number, entry.type_guid, entry.name, entry.start, entry.size, active=False)
            for entry in found.entries[:MAX_PARTITIONS]
        )
    if reader.size < gpt.SECTOR:
        return "", ()
    dos = mbr.read(reader.read, reader.size)
    if dos is None or not (dos.partitions or dos.end):
        return "", ()
    if complete and dos.end > reader.size and probe(reader.read, 0, reader.size) is None and dos.plausible:
        raise _cut_off("MBR", dos.end, reader.size)
    parts = dos.partitions[:MAX_PARTITIONS]
    if not parts:
        return "", ()
    return "mbr", tuple(
        _info(reader, part.number, f"{part.kind:02x}", "", part.start, part.size, active=part.active) for part in parts
    )


def _cut_off(table: str, claimed: int, size: int) -> MalformedImageError:
    return MalformedImageError(
        f"the disk image is truncated: its {table} partition table reaches to byte {claimed} and the file has {size},"
        f" so that {claimed - size} bytes ({size_text(claimed - size)}) are missing; download or copy it again"
    )


def _info(
    reader: BoundedReader, number: int, kind: str, name: str, start: int, size: int, *, active: bool
) -> PartitionInfo:
    found = probe(reader.read, start, size)
    label = (found.label if found is not None else "") or clean(name, LABEL_LIMIT)
    return PartitionInfo(number, kind, label, found.kind if found is not None else "", start, size, active)
