"""Says what an erase of a disk would destroy, by the partition tables and filesystems on it."""

from __future__ import annotations

from luxusbd.images import gpt, mbr
from luxusbd.images.filesystems import LABEL_LIMIT, PROBE, Signature, probe
from luxusbd.stick.blockio import ReadAt
from luxusbd.stick.text import strip_hidden

__all__ = ["PROBE", "Signature", "clean", "describe", "human", "probe"]


def describe(read: ReadAt, size: int) -> tuple[str, ...]:
    """A line for the table of the disk and for each partition, or for the filesystem on the whole disk."""
    table = gpt.read(read, size)
    if table is not None:
        lines = [f"GPT partition table with {_count(len(table.entries), 'partition')}"]
        lines += [_line(entry.number, read, entry.start, entry.size, entry.name) for entry in table.entries]
        return tuple(lines)
    whole = probe(read, 0, size)
    dos = mbr.read(read, size)
    parts = dos.partitions if dos is not None else ()
    # a filesystem on the whole disk ends its first sector with the same 55 AA as a table; an ISO image has both
    if parts and (whole is None or whole.kind == "ISO 9660"):
        lines = [f"MBR partition table with {_count(len(parts), 'partition')}"]
        if whole is not None:
            lines.append(_whole(whole, size))
        lines += [_line(part.number, read, part.start, part.size, "") for part in parts]
        return tuple(lines)
    return (_whole(whole, size),) if whole is not None else ()


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


def _line(number: int, read: ReadAt, start: int, size: int, name: str) -> str:
    found = probe(read, start, size)
    kind = found.kind if found else "nothing recognised"
    label = (found.label if found else "") or clean(name)
    return f"partition {number}: {kind}{f', “{label}”' if label else ''}, {human(size)}"


def _whole(found: Signature, size: int) -> str:
    return f"{found.kind} on the whole disk{f', “{found.label}”' if found.label else ''}, {human(size)}"
