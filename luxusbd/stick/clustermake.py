"""Makes an empty FAT32 or exFAT in a partition of a disk or an image file, without root."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from luxusbd import process
from luxusbd.stick import exfat, kinds
from luxusbd.stick.blockio import finish, in_thread, sync, write_all
from luxusbd.stick.clusters import SECTOR
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import PlannedPartition

_PIECE = 1024 * 1024
_TIMEOUT = 1800


async def make(fd: int, part: PlannedPartition, kind: Kind, uuid: str, label: str, work: Path) -> None:
    """Make it, and flush.

    Args:
        fd: the disk or image file, opened for writing.
        part: where it goes.
        kind: FAT32 or EXFAT.
        uuid: the serial it gets, such as 1A2B-3C4D.
        label: the label it gets.
        work: a directory for a temporary file.

    Raises:
        ToolMissingError, ToolFailedError: mkfs.fat or mkfs.exfat.
        DeviceError: the disk cannot be written.
    """
    # mkfs.exfat knows no place inside of a disk, and mkfs.fat wants a disk for itself, which is held here already
    path = work / "made"
    await in_thread(_sparse, path, part.size)
    try:
        command = _fat32(path, part, uuid, label) if kind is Kind.FAT32 else _exfat(path, part, label)
        await finish(process.run(command, timeout=_TIMEOUT))
        if kind is Kind.EXFAT:
            # it takes no serial number
            await in_thread(_give_serial, path, uuid)
        await in_thread(_bring, path, fd, part)
    finally:
        await in_thread(path.unlink)
    await in_thread(sync, fd)


def _fat32(path: Path, part: PlannedPartition, uuid: str, label: str) -> list[str]:
    cluster = kinds.cluster_size(Kind.FAT32, part.size)
    command = ["mkfs.fat", "-F", "32", "-s", str(cluster // SECTOR), "-S", str(SECTOR), "-D", "0x80", "-M", "0xF8"]
    command += ["-h", str(part.start // SECTOR), "-i", uuid.replace("-", "")]
    return [*command, "-n", kinds.label(Kind.FAT32, label), str(path)]


def _exfat(path: Path, part: PlannedPartition, label: str) -> list[str]:
    cluster = kinds.cluster_size(Kind.EXFAT, part.size)
    return ["mkfs.exfat", "-c", str(cluster), "-L", kinds.label(Kind.EXFAT, label), str(path)]


def _give_serial(path: Path, uuid: str) -> None:
    length = exfat.BOOT_SECTORS * SECTOR
    with path.open("r+b") as file:
        made = file.fileno()
        region = exfat.with_serial(os.pread(made, length, 0), uuid)
        for start in (0, length):
            os.pwrite(made, region, start)


def _bring(path: Path, fd: int, part: PlannedPartition) -> None:
    """Write what was made, up to its last byte that is none of a hole."""
    with path.open("rb") as file:
        made = file.fileno()
        end = 0
        while end < part.size:
            try:
                end = os.lseek(made, os.lseek(made, end, os.SEEK_DATA), os.SEEK_HOLE)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                break
        for at in range(0, end, _PIECE):
            write_all(fd, os.pread(made, min(_PIECE, end - at), at), part.start + at)


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)
