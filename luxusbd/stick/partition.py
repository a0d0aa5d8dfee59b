"""Writes the partition table of a stick, and finds the nodes of its partitions."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import stat
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from luxusbd import process
from luxusbd.errors import DeviceBusyError, DeviceError
from luxusbd.stick.blockio import in_thread, sync, write_all
from luxusbd.stick.layout import SECTOR
from luxusbd.stick.model import MIB, Layout, PartitionRole

BLKRRPART = 0x125F
BLKPG = 0x1269
_BLKPG_ADD_PARTITION = 1
_BLKPG_DEL_PARTITION = 2
REREAD_ATTEMPTS = 40
REREAD_PAUSE = 0.25
"""Seconds between attempts: another program that looks at a partition for a moment makes the kernel refuse."""


@dataclass(frozen=True)
class PartitionNode:
    """A partition as the kernel sees it; bytes."""

    path: str
    number: int
    start: int
    size: int


async def write_table(fd: int, layout: Layout, disk_uuid: str) -> None:
    """Wipe what was there and write a GPT.

    Args:
        fd: the disk or image file, open for writing and locked by the caller.
        layout: what to write.
        disk_uuid: GUID of the table; those of the partitions are derived from it.

    Raises:
        ToolMissingError, ToolFailedError: sfdisk.
        DeviceError: the disk cannot be written.
    """
    await in_thread(wipe, fd, layout)
    await write_script(fd, table_script(layout, disk_uuid))


async def write_script(fd: int, script: str) -> None:
    """Write the partition table that a script for sfdisk(8) describes, and flush; errors as for `write_table`."""
    await process.run(
        [
            "sfdisk",
            "--quiet",
            "--lock=no",
            "--no-reread",
            "--no-tell-kernel",
            "--wipe=never",
            "--wipe-partitions=never",
            f"/proc/self/fd/{fd}",
        ],
        stdin=script.encode("ascii"),
        pass_fds=(fd,),
    )
    await in_thread(sync, fd)


def table_script(layout: Layout, disk_uuid: str) -> str:
    """The layout as a script for sfdisk(8)."""
    lines = ["label: gpt", f"label-id: {disk_uuid.upper()}", "unit: sectors", ""]
    for part in layout.partitions:
        guid = uuid.uuid5(uuid.UUID(disk_uuid), part.role.value)
        lines.append(
            f"start={part.start // SECTOR}, size={part.size // SECTOR}, type={part.type_guid}, "
            f'uuid={str(guid).upper()}, name="{part.name}"'
        )
    return "\n".join([*lines, ""])


async def reread(fd: int, layout: Layout) -> None:
    """Make the kernel read the table of a disk anew.

    Raises:
        DeviceBusyError: a partition of it stays in use.
    """
    await _patiently(lambda: _reread(fd, layout))


async def _patiently(ask: Callable[[], object]) -> None:
    for attempt in range(1, REREAD_ATTEMPTS + 1):
        try:
            await in_thread(ask)
        except OSError as error:
            if attempt < REREAD_ATTEMPTS:
                await asyncio.sleep(REREAD_PAUSE)
                continue
            raise DeviceBusyError(
                f"the kernel does not take the new partition table ({error.strerror}): another program uses a "
                "partition of the disk; close it, plug the disk in again and repeat"
            ) from error
        return


async def reread_as_is(fd: int) -> None:
    """Make the kernel read whatever table a disk has now.

    Raises:
        DeviceBusyError: a partition of it stays in use.
    """
    await _patiently(lambda: fcntl.ioctl(fd, BLKRRPART))


def find_node(fd: int, layout: Layout, role: PartitionRole) -> PartitionNode:
    """The kernel's node for a partition, found in sysfs by its number and checked against the layout.

    Raises:
        DeviceError: the kernel has no such partition, or another one.
    """
    planned = layout.partition(role)
    for node in partition_nodes(fd):
        if node.number == planned.number:
            if (node.start, node.size) != (planned.start, planned.size):
                raise DeviceError(
                    f"partition {node.path} is not where the partition table has it; plug the disk in anew"
                )
            return node
    raise DeviceError(f"the kernel shows no partition {planned.number} on the disk; plug it in anew")


def partition_nodes(fd: int) -> tuple[PartitionNode, ...]:
    """All partitions that the kernel has of a disk."""
    rdev = os.fstat(fd).st_rdev
    base = Path(f"/sys/dev/block/{os.major(rdev)}:{os.minor(rdev)}")
    nodes = []
    for entry in sorted(base.iterdir()):
        if not (entry / "partition").is_file():
            continue
        name = next(
            line.removeprefix("DEVNAME=")
            for line in (entry / "uevent").read_text().splitlines()
            if line.startswith("DEVNAME=")
        )
        path = Path("/dev") / name
        status = path.stat()
        number = (entry / "dev").read_text().strip()
        if not stat.S_ISBLK(status.st_mode) or f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}" != number:
            raise DeviceError(f"{path} is not the partition that sysfs calls so")
        nodes.append(
            PartitionNode(
                str(path),
                int((entry / "partition").read_text()),
                # sysfs counts in units of 512 bytes on every disk (Linux, Documentation/ABI/stable/sysfs-block)
                int((entry / "start").read_text()) * 512,
                int((entry / "size").read_text()) * 512,
            )
        )
    return tuple(nodes)


def wipe(fd: int, layout: Layout) -> None:
    """Take away every table of a disk, and whatever is at the start of the partitions to come; then flush."""
    nothing = bytes(MIB)
    write_all(fd, nothing, 0)
    tail = min(MIB, layout.size)
    write_all(fd, nothing[:tail], layout.size - tail)
    for part in layout.partitions:
        write_all(fd, nothing[: min(MIB, part.size)], part.start)
    sync(fd)


def _reread(fd: int, layout: Layout) -> None:
    fcntl.ioctl(fd, BLKRRPART)
    wanted = {(part.number, part.start, part.size) for part in layout.partitions}
    present = {(node.number, node.start, node.size) for node in partition_nodes(fd)}
    if wanted == present:
        return
    # a kernel without GPT support has to be told each partition (linux/blkpg.h)
    for number, start, size in present:
        _blkpg(fd, _BLKPG_DEL_PARTITION, number, start, size)
    for number, start, size in wanted:
        _blkpg(fd, _BLKPG_ADD_PARTITION, number, start, size)


def _blkpg(fd: int, operation: int, number: int, start: int, size: int) -> None:
    row = ctypes.create_string_buffer(struct.pack("@qqi64s64s4x", start, size, number, b"", b""))
    argument = struct.pack("@iiiP", operation, 0, len(row.raw), ctypes.addressof(row))
    fcntl.ioctl(fd, BLKPG, argument)
