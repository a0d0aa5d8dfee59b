"""The disk or image file of one order: is it the right one, is it ours alone, and what is on it now."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from luxusbd.errors import (
    DeviceBusyError,
    DeviceChangedError,
    DeviceError,
    DeviceIsPartitionError,
    DeviceMountedError,
    DeviceNotLuxusbError,
    InvalidArgumentError,
    NotSupportedError,
)
from luxusbd.stick import gpt
from luxusbd.stick.blockio import ReadAt, sector_size_of, size_of, translated
from luxusbd.stick.layout import SECTOR
from luxusbd.stick.model import Layout, StickOrder


def check(order: StickOrder) -> None:
    """Make sure that the descriptor is what was planned.

    Raises:
        DeviceChangedError: another disk, medium or size.
        DeviceIsPartitionError, InvalidArgumentError, NotSupportedError: nothing that can be a stick.
    """
    status = os.fstat(order.fd)
    if order.node:
        if not stat.S_ISBLK(status.st_mode):
            raise DeviceChangedError(f"{order.node} is not the disk any more that was chosen")
        _check_disk(order, status.st_rdev)
    elif not stat.S_ISREG(status.st_mode):
        raise InvalidArgumentError("the target is neither a disk nor a regular file")
    size = size_of(order.fd)
    if size != order.size:
        raise DeviceChangedError(f"the target has {size} bytes, and {order.size} were planned for; plan anew")


def _check_disk(order: StickOrder, rdev: int) -> None:
    base = Path(f"/sys/dev/block/{os.major(rdev)}:{os.minor(rdev)}")
    if (base / "partition").exists():
        raise DeviceIsPartitionError(f"{order.node} is a partition; a stick needs the whole disk")
    sequence = base / "diskseq"
    if order.disk_seq and sequence.exists() and int(sequence.read_text()) != order.disk_seq:
        raise DeviceChangedError(f"another disk or medium is at {order.node} now; plan anew")
    scans = base / "loop/partscan"
    if scans.exists() and scans.read_text().strip() == "0":
        raise DeviceError(f"the kernel makes no partitions on {order.node}; attach the file anew: losetup -P")
    if (sector := sector_size_of(order.fd)) != SECTOR:
        raise NotSupportedError(f"{order.node} has sectors of {sector} bytes; sticks are made with {SECTOR} only")


def lock(fd: int) -> None:
    """Hold the disk against udev, automounters and other jobs until the descriptor is closed (flock(2)).

    Raises:
        DeviceBusyError: another process holds it.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno != errno.EWOULDBLOCK:
            raise
        raise DeviceBusyError("another program has locked the disk; wait until it is done") from error


@contextmanager
def exclusive(order: StickOrder) -> Iterator[None]:
    """Nobody can mount a partition of the disk meanwhile; nothing to do for a file.

    Raises:
        DeviceMountedError: somebody has.
        DeviceChangedError: the node leads to another disk now.
    """
    if not order.node:
        yield
        return
    try:
        fd = os.open(order.node, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise DeviceMountedError(f"{order.node} is in use: unmount everything on it first") from error
        raise translated(error, "opening") from error
    try:
        if os.fstat(fd).st_rdev != os.fstat(order.fd).st_rdev:
            raise DeviceChangedError(f"{order.node} is another disk now; plan anew")
        yield
    finally:
        os.close(fd)


def stick_layout(read: ReadAt, size: int) -> Layout:
    """The layout of the stick that a target is.

    Raises:
        DeviceNotLuxusbError: it is none.
    """
    table = gpt.read(read, size)
    layout = gpt.stick_layout(table, size) if table is not None else None
    if layout is None:
        raise DeviceNotLuxusbError("this is not a LUXusb stick; make it one first")
    return layout
