"""Which images a filesystem can hold and start: pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from luxusbd.errors import NotBootableError
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.kinds import FAT32_LARGEST_FILE
from luxusbd.stick.model import MIB, PartitionRole
from luxusbd.text import size_text


@dataclass(frozen=True)
class Guest:
    """An image that is to be on a stick."""

    name: str
    size: int
    """Bytes; may be rounded where the image is still to be downloaded."""
    filesystems: Collection[str]
    """From which its system can read it, as `Recognition.filesystems`; empty for any, and where it is not known yet."""


def obstacle(kind: Kind, guest: Guest) -> str:
    """Why an image cannot be started from this filesystem; empty when it can."""
    if kind is Kind.FAT32 and guest.size > FAT32_LARGEST_FILE:
        return f"it has {size_text(guest.size)}, and a file on fat32 has less than 4 GiB"
    if guest.filesystems and kind not in guest.filesystems:
        able = [other for other in Kind if other in guest.filesystems]
        return f"its system reads it from {' or '.join(able) or 'none of ours'}, not from {kind}"
    return ""


def home(kind: Kind, guest: Guest, *, companion: bool) -> PartitionRole:
    """On which partition an image goes; only those that cannot be on the first go to the companion."""
    return PartitionRole.COMPANION if companion and obstacle(kind, guest) else PartitionRole.DATA


def check(kind: Kind, guests: Iterable[Guest], *, companion: bool, planned: bool) -> None:
    """Refuse images that a stick with this filesystem could not start.

    Args:
        kind: the filesystem of the data partition.
        guests: the images.
        companion: whether there is a companion partition, with ext4.
        planned: whether the stick is still to be made, so that there is a choice.

    Raises:
        NotBootableError: the text names them all, with what to do.
    """
    unfit = [(guest, reason) for guest in guests if (reason := obstacle(kind, guest))]
    if companion:
        unfit = [(guest, reason) for guest, _reason in unfit if (reason := obstacle(Kind.EXT4, guest))]
    if not unfit:
        return
    told = "; ".join(f"{guest.name}: {reason}" for guest, reason in unfit)
    them = "it" if len(unfit) == 1 else "them"
    if companion:
        raise NotBootableError(f"not from a stick with {kind} and an ext4 companion: {told}; leave {them} out")
    least = sum(guest.size for guest, _reason in unfit) * 21 // 20 + 64 * MIB
    advice = (
        f"choose {_better(kind, [guest for guest, _reason in unfit])}, plan with a companion partition of"
        f" {-(-least // MIB)} MiB or more (option companion; --companion {-(-least // MIB)}MiB), or leave {them} out"
    )
    if not planned:
        advice = f"leave {them} out, or make a stick with ext4"
    raise NotBootableError(f"not from a stick with {kind}: {told}; {advice}")


def _better(kind: Kind, guests: Sequence[Guest]) -> str:
    able = [other for other in Kind if other is not kind and not any(obstacle(other, guest) for guest in guests)]
    return " or ".join(able) or "another stick for some of them"
