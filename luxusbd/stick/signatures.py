"""Says what an erase of a disk would destroy, by the partition tables and filesystems on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from luxusbd.images import gpt, mbr
from luxusbd.images.filesystems import LABEL_LIMIT, PROBE, Signature, probe
from luxusbd.images.space import space_of
from luxusbd.stick.blockio import ReadAt
from luxusbd.stick.losses import Loss
from luxusbd.stick.text import strip_hidden

__all__ = ["PROBE", "Signature", "clean", "describe", "human", "look", "probe"]


# GPT types by which a system is known (UEFI 2.10, section 5.3.3, and the makers' own lists): Windows' reserved and
# recovery partitions, APFS and HFS+.
_TYPES = {
    "E3C9E316-0B5C-4DB8-817D-F92DF00215AE": "Windows",
    "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC": "Windows",
    "7C3457EF-0000-11AA-AA11-00306543ECAC": "macOS",
    "48465300-0000-11AA-AA11-00306543ECAC": "macOS",
}
_BY_FILESYSTEM = {"BitLocker (encrypted)": "Windows", "APFS": "macOS", "HFS+": "macOS"}
_VENTOY_LABEL = "VTOYEFI"


def describe(read: ReadAt, size: int) -> tuple[str, ...]:
    """A line for the table of the disk and for each partition, or for the filesystem on the whole disk."""
    return look(read, size)[0]


def look(read: ReadAt, size: int) -> tuple[tuple[str, ...], tuple[Loss, ...]]:
    """The lines of `describe`, and the same as values."""
    table = gpt.read(read, size)
    if table is not None:
        rows = [(entry.number, entry.start, entry.size, entry.name) for entry in table.entries]
        system = next((_TYPES[entry.type_guid] for entry in table.entries if entry.type_guid in _TYPES), "")
        return _told(f"GPT partition table with {_count(len(rows), 'partition')}", read, rows, system)
    whole = probe(read, 0, size)
    dos = mbr.read(read, size)
    parts = dos.partitions if dos is not None else ()
    # a filesystem on the whole disk ends its first sector with the same 55 AA as a table; an ISO image has both
    own = _loss(0, read, 0, size, "") if whole is not None else None
    if parts and (whole is None or whole.kind == "ISO 9660"):
        rows = [(part.number, part.start, part.size, "") for part in parts]
        lines, found = _told(f"MBR partition table with {_count(len(parts), 'partition')}", read, rows, "")
        if own is None:
            return lines, found
        return (lines[0], _whole(own), *lines[1:]), (own, *found)
    return ((_whole(own),), (own,)) if own is not None else ((), ())


def clean(label: str) -> str:
    """A label fit to be shown: one line, nothing hidden, not long."""
    spaced = "".join(" " if char.isspace() else char for char in label)
    return " ".join(strip_hidden(spaced).split())[:LABEL_LIMIT]


def human(size: int) -> str:
    """Bytes for people, in units of 1000 as makers of sticks count."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _told(
    title: str, read: ReadAt, rows: Sequence[tuple[int, int, int, str]], system: str
) -> tuple[tuple[str, ...], tuple[Loss, ...]]:
    found = [_loss(number, read, start, size, name) for number, start, size, name in rows]
    if any(loss.label == _VENTOY_LABEL and loss.filesystem.startswith("FAT") for loss in found):
        system = "Ventoy"
    system = system or next(
        (_BY_FILESYSTEM[loss.filesystem] for loss in found if loss.filesystem in _BY_FILESYSTEM), ""
    )
    lines = [f"{title}, set up by {system}" if system else title, *map(_line, found)]
    return tuple(lines), tuple(replace(loss, system=system) for loss in found)


def _loss(number: int, read: ReadAt, start: int, size: int, name: str) -> Loss:
    found = probe(read, start, size)
    if found is None:
        return Loss(number, "", clean(name), size, None)
    space = space_of(read, start, size, found.kind)
    return Loss(number, found.kind, found.label or clean(name), size, space.used if space else None)


def _line(loss: Loss) -> str:
    return f"partition {loss.number}: {loss.filesystem or 'nothing recognised'}{_rest(loss)}"


def _whole(loss: Loss) -> str:
    return f"{loss.filesystem} on the whole disk{_rest(loss)}"


def _rest(loss: Loss) -> str:
    used = f", {human(loss.used)} used" if loss.used is not None else ""
    return f"{f', “{loss.label}”' if loss.label else ''}, {human(loss.size)}{used}"
