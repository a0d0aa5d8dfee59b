"""Orders that concern a whole disk and no stick on it: finding out what it holds, and making it a plain drive."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from luxusbd.errors import DeviceCounterfeitError, DeviceFailingError, InvalidArgumentError
from luxusbd.images import filesystems
from luxusbd.stick import clustermake, kinds, partition, target
from luxusbd.stick.blockio import MediumReader, in_thread
from luxusbd.stick.capacity import Findings, Region, State, Verdict
from luxusbd.stick.directdisk import DirectDisk
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.fullprobe import full
from luxusbd.stick.layout import SECTOR
from luxusbd.stick.model import MIB, Layout, PartitionRole, PlannedPartition, Probe, StickOrder
from luxusbd.stick.probing import Prober
from luxusbd.stick.progress import Progress
from luxusbd.stick.putback import put_back
from luxusbd.stick.quickprobe import quick
from luxusbd.stick.saved import Saved
from luxusbd.text import size_text

LABEL = "USB"
_DOS_LIMIT = (1 << 32) * SECTOR
"""Bytes that a table of the old kind can tell of: its counts of sectors have 32 bits."""
_TYPES = {Kind.EXFAT: "7", Kind.FAT32: "c"}
"""Types of a partition in such a table, as sfdisk(8) takes them."""
_BASIC_DATA = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"
"""Microsoft's type for what Windows shows as a drive (UEFI 2.10, section 5.3.3, names the GUID)."""

T = TypeVar("T")


async def probe(order: StickOrder, progress: Progress) -> dict[str, Any]:
    """Find out what the disk holds; see `findings_to_json` for the answer.

    Raises:
        DeviceFailingError: what was on it could not be put back.
        LuxusbError: it is in use or gone.
    """
    with target.exclusive(order), DirectDisk(order.fd) as disk:
        if order.probe is Probe.FULL:
            found = await _stoppable(lambda stopped: full(Prober(disk, progress, stopped)))
        else:
            found = await _quick(order, disk, progress)
        _check_there(order, found)
    if order.probe is Probe.FULL and order.node:
        # the partitions that it had are gone
        await partition.reread(order.fd, Layout(order.size, ()))
    return findings_to_json(found, order.probe)


async def check_genuine(order: StickOrder, progress: Progress) -> None:
    """Probe a disk that is about to be erased; one that is refused gets back what was on it.

    Raises:
        DeviceCounterfeitError: it has less room than it says.
        DeviceFailingError: it does not hold what is written to it.
    """
    with target.exclusive(order), DirectDisk(order.fd) as disk, tempfile.TemporaryFile() as file:
        saved = Saved(file.fileno())
        found = await _stoppable(lambda stopped: quick(Prober(disk, progress, stopped), saved))
        if found.verdict in (Verdict.GENUINE, Verdict.SLOW):
            return
        _check_there(order, found)
        await in_thread(put_back, disk, progress, saved)
    raise refusal(found)


def refusal(found: Findings) -> DeviceCounterfeitError | DeviceFailingError:
    """Why a disk is no good, for people."""
    said = f"the disk says that it has {size_text(found.size)}"
    if found.verdict is Verdict.FAILS and not found.capacity:
        return DeviceFailingError(
            "nothing that is written to the disk stays: it is broken, or worn out so far that it lets itself only be"
            " read; save what is on it, and take another one"
        )
    if found.verdict is Verdict.FAILS:
        bad = sum(region.size for region in found.regions if not region.state.holds)
        return DeviceFailingError(
            f"the disk does not hold what is written to it ({size_text(bad)} of it are bad): it is worn out or broken;"
            " take another one"
        )
    how = {
        Verdict.WRAPS: "what is written past that overwrites what is before",
        Verdict.LOSES: "what is written past that is lost",
        Verdict.ENDS: "past that everything is an error",
    }[found.verdict]
    return DeviceCounterfeitError(
        f"{said}, and it has {size_text(found.capacity)}: {how}. It is counterfeit or broken; give it back, and take"
        " another one"
    )


async def restore(order: StickOrder, progress: Progress) -> dict[str, Any]:
    """Make it a plain drive with one empty filesystem, of the kind and with the label that the options name.

    Returns:
        filesystem, label, uuid and size (bytes of the partition).

    Raises:
        LuxusbError: it is in use, gone, or cannot be written.
    """
    kind = Kind(order.options.filesystem)
    found = plain_layout(order.size)
    (part,) = found.partitions
    check_plain(kind, order.size)
    uuid = kinds.new_uuid(kind)
    progress.expect(1)
    progress.stage("partition")
    with target.exclusive(order), tempfile.TemporaryDirectory(prefix="luxusb-work-") as work:
        await in_thread(partition.wipe, order.fd, found)
        await partition.write_script(order.fd, _table(found, kind))
        progress.stage("filesystem")
        await clustermake.make(order.fd, part, kind, uuid, order.options.label, Path(work))
        progress.stage("read-back")
        await in_thread(_check_plain_drive, order.fd, part, kind, kinds.label(kind, order.options.label))
    if order.node:
        await partition.reread(order.fd, found)
    progress.advance(1)
    return {
        "filesystem": kind.value,
        "label": kinds.label(kind, order.options.label),
        "uuid": uuid,
        "size": part.size,
    }


def plain_layout(size: int) -> Layout:
    """One partition over all of a disk, beginning at the first MiB, with room for the second table at its end."""
    end = (size - MIB) // MIB * MIB if size > _DOS_LIMIT else size // MIB * MIB
    part = PlannedPartition(1, PartitionRole.DATA, LABEL, _BASIC_DATA, MIB, end - MIB)
    return Layout(size, (part,))


def check_plain(kind: Kind, size: int) -> None:
    """Make sure that a drive of this size can have this filesystem.

    Raises:
        InvalidArgumentError: FAT32 can have no such one; the text says what can.
    """
    (part,) = plain_layout(size).partitions
    if kind is Kind.FAT32 and not kinds.FAT32_SMALLEST_PARTITION <= part.size <= kinds.FAT32_LARGEST_PARTITION:
        raise InvalidArgumentError(
            f"FAT32 takes {size_text(kinds.FAT32_SMALLEST_PARTITION)} to {size_text(kinds.FAT32_LARGEST_PARTITION)},"
            f" and the disk has {size_text(size)}; take exfat"
        )


def _check_plain_drive(fd: int, part: PlannedPartition, kind: Kind, label: str) -> None:
    with MediumReader(fd) as reader:
        found = filesystems.probe(reader.read_at, part.start, part.size)
    if found is None or (found.kind.casefold(), found.label) != (kind.value, label):
        raise DeviceFailingError(
            f"the disk does not hold what is written to it: in the place of {kind.value} it has"
            f" {found.kind if found is not None else 'nothing that is known'}; probe it"
        )


def findings_to_json(found: Findings, mode: Probe) -> dict[str, Any]:
    """What a probe found, as JSON values."""
    return {
        "mode": mode.value,
        "verdict": found.verdict.value,
        "size": found.size,
        "capacity": found.capacity,
        "checked": found.checked,
        "write_rate": found.write_rate,
        "read_rate": found.read_rate,
        "regions": [_region(region) for region in found.regions],
        "message": str(refusal(found)) if found.verdict not in (Verdict.GENUINE, Verdict.SLOW) else "",
    }


def _region(region: Region) -> dict[str, Any]:
    return {"start": region.start, "size": region.size, "state": region.state.value}


def _check_there(order: StickOrder, found: Findings) -> None:
    """A disk that was pulled out gives errors, too, and says nothing about itself by that."""
    if any(region.state is State.FAILED for region in found.regions):
        target.check(order)


async def _quick(order: StickOrder, disk: DirectDisk, progress: Progress) -> Findings:
    saved, *kept = (Saved(fd) for fd in order.saved)
    for earlier in kept:
        if await in_thread(earlier.load):
            progress.stage("put-back", "what an earlier probe left")
            await in_thread(put_back, disk, progress, earlier, ours=False)
    found = await _stoppable(lambda stopped: quick(Prober(disk, progress, stopped), saved))
    progress.stage("put-back")
    await in_thread(put_back, disk, progress, saved)
    return found


async def _stoppable(work: Callable[[Callable[[], bool]], T]) -> T:
    """Run blocking work in a thread; when this is cancelled, it is told to stop and awaited."""
    stop = threading.Event()
    task = asyncio.ensure_future(asyncio.to_thread(work, stop.is_set))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([task])
        raise


def _table(layout: Layout, kind: Kind) -> str:
    (part,) = layout.partitions
    old = layout.size <= _DOS_LIMIT
    row = f"start={part.start // SECTOR}, size={part.size // SECTOR}, type={_TYPES[kind] if old else part.type_guid}"
    return "\n".join([f"label: {'dos' if old else 'gpt'}", "unit: sectors", "", row, ""])
