"""Image files that callers hand over to be written like a disk."""

from __future__ import annotations

import fcntl
import os
import stat

from luxusbd.devices.model import Device, DeviceIdentity
from luxusbd.errors import DeviceBusyError, DeviceChangedError, InvalidArgumentError, NotEnoughSpaceError

SECTOR = 512
"""Bytes: what the size of an image file is a multiple of."""


def check(fd: int, size: int) -> None:
    """Refuse what cannot be a target; `size` are the bytes that it is to get, 0 for those that it has.

    Raises:
        InvalidArgumentError: no regular file opened for reading and writing, or an odd size.
    """
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise InvalidArgumentError("the descriptor is no regular file; an image target has to be one")
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    if flags & os.O_ACCMODE != os.O_RDWR or flags & os.O_APPEND:
        raise InvalidArgumentError("the descriptor has to be open for reading and writing, without O_APPEND")
    if (size or status.st_size) % SECTOR or not (size or status.st_size):
        raise InvalidArgumentError(
            f"the image file has {size or status.st_size} bytes; the size has to be a multiple of {SECTOR} bytes and"
            " not 0: give another size, or take another file"
        )


def resized(fd: int, size: int) -> int:
    """Give a file `size` bytes, unless that is 0; the bytes that it has then.

    Raises:
        NotEnoughSpaceError: the filesystem cannot hold a file of that size.
    """
    if size:
        try:
            os.ftruncate(fd, size)
        except OSError as error:
            raise NotEnoughSpaceError(f"the file cannot be made {size} bytes: {error.strerror}") from error
    return os.fstat(fd).st_size


def device(identity: DeviceIdentity) -> Device:
    """What such a file is among the devices."""
    return Device(
        identity=identity,
        node="",
        sys_path="",
        vendor="",
        model="image file",
        serial="",
        bus="file",
        read_only=False,
        removable=False,
        partitions=(),
        block_error="",
        blocked_reason="",
    )


def locked(fd: int, size: int) -> int:
    """A copy of the descriptor, locked against other programs; the caller closes it.

    Raises:
        DeviceChangedError: the file has not `size` bytes any more.
        DeviceBusyError: another program has locked it.
    """
    copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    try:
        if os.fstat(copy).st_size != size:
            raise DeviceChangedError("the image file's size changed since it was opened; open it again")
        fcntl.flock(copy, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(copy)
        raise DeviceBusyError("another program has locked the image file") from None
    except BaseException:
        os.close(copy)
        raise
    return copy
