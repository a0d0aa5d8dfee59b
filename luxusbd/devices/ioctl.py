"""The few block-device questions that sysfs does not answer, asked on an open descriptor."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from dataclasses import dataclass

from luxusbd.devices.sysfs import DevNumber

# <linux/fs.h> and <linux/loop.h>, in the encoding of x86, ARM, RISC-V and s390.
_BLKROGET = 0x125E
_BLKGETDISKSEQ = 0x80081280
_LOOP_GET_STATUS64 = 0x4C05
_LOOP_INFO64 = struct.Struct("=QQQQQIIII64s64s32s2Q")


@dataclass(frozen=True)
class LoopStatus:
    """What a loop device is really attached to; the path in sysfs is only a name and depends on the mount namespace."""

    dev: DevNumber
    """The filesystem that holds the backing file."""
    inode: int
    device: DevNumber
    """The backing block device; 0:0 when the loop is on a regular file."""


def disk_sequence(fd: int) -> int:
    """BLKGETDISKSEQ (Linux 5.15): the number of this disk with this medium; 0 where the kernel has none."""
    buffer = bytearray(8)
    try:
        fcntl.ioctl(fd, _BLKGETDISKSEQ, buffer)
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.EINVAL):
            return 0
        raise
    return int.from_bytes(buffer, "little" if struct.pack("=H", 1)[0] else "big")


def size(fd: int) -> int:
    """Bytes of the open block device; its file position is left at the start."""
    end = os.lseek(fd, 0, os.SEEK_END)
    os.lseek(fd, 0, os.SEEK_SET)
    return end


def read_only(fd: int) -> bool:
    """BLKROGET: whether the kernel refuses writes."""
    buffer = bytearray(4)
    fcntl.ioctl(fd, _BLKROGET, buffer)
    return any(buffer)


def loop_backing(node: str, path: str) -> LoopStatus | None:
    """What is under a loop device: by its file's path where that leads somewhere, else by asking the device.

    The device itself is asked only when the file is deleted or in another mount namespace: whoever has it open, if only
    for a moment, delays its detaching.

    Args:
        node: the loop device.
        path: its backing file as sysfs names it.

    Returns:
        None when nothing is attached, or this process may look at neither.
    """
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return _loop_status(node)
    if stat.S_ISBLK(status.st_mode):
        return LoopStatus(DevNumber.from_raw(status.st_dev), status.st_ino, DevNumber.from_raw(status.st_rdev))
    return LoopStatus(DevNumber.from_raw(status.st_dev), status.st_ino, DevNumber(0, 0))


def _loop_status(node: str) -> LoopStatus | None:
    """LOOP_GET_STATUS64, on a read-only descriptor: closing a writer would make udev probe the device anew."""
    try:
        fd = os.open(node, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None  # the caller goes on with the path from sysfs
    try:
        if not stat.S_ISBLK(os.fstat(fd).st_mode):
            return None
        buffer = bytearray(_LOOP_INFO64.size)
        fcntl.ioctl(fd, _LOOP_GET_STATUS64, buffer)
    except OSError:
        return None
    finally:
        os.close(fd)
    fields = _LOOP_INFO64.unpack(bytes(buffer))
    return LoopStatus(DevNumber.from_raw(fields[0]), fields[1], DevNumber.from_raw(fields[2]))
