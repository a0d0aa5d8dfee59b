"""Lets a disk go: what is held back is written, then the medium is ejected."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct

from luxusbd.errors import DeviceError, DeviceFailingError

# <scsi/sg.h>, struct sg_io_hdr of the platform's own sizes.
_SG_IO = 0x2285
_SG_DXFER_NONE = -1
_SG_IO_HDR = struct.Struct("@iiBBHIPPPIIiPBBBBHHiII0P")
_STATUS, _HOST_STATUS, _DRIVER_STATUS = 13, 17, 18
_DRIVER_ERROR = 0x0F
_TIMEOUT = 60_000
"""Milliseconds."""
_ALLOW_REMOVAL = bytes([0x1E, 0, 0, 0, 0, 0])
_STOP_AND_EJECT = bytes([0x1B, 0, 0, 0, 2, 0])


def flush(fd: int) -> None:
    """Write out what the kernel and the disk still hold back.

    Raises:
        DeviceError: the disk did not take it.
    """
    try:
        os.fsync(fd)
    except OSError as error:
        raise DeviceFailingError(f"what was written to the disk is not all there: {error.strerror}") from error


def stop_unit(fd: int) -> None:
    """Let a SCSI or USB disk eject its medium; what is no such disk has no motor and nothing to eject.

    START STOP UNIT with LoEj and without Start (SBC-4, section 5.31), after medium removal is allowed (SPC-5).

    Raises:
        DeviceError: the disk refuses.
    """
    for command in (_ALLOW_REMOVAL, _STOP_AND_EJECT):
        try:
            _scsi(fd, command)
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EINVAL):
                return
            raise DeviceError(f"the disk could not be switched off: {error.strerror}") from error


def look_for_medium(node: str) -> bool:
    """Let the kernel see whether there is a medium, which it looks for when a removable disk is opened (sd_open() in
    drivers/scsi/sd.c); until then it goes on showing one that was ejected.

    Raises:
        DeviceError: the disk cannot be opened for another reason.
    """
    try:
        os.close(os.open(node, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        if error.errno in (errno.ENOMEDIUM, errno.ENXIO, errno.ENODEV, errno.ENOENT):
            return False
        raise DeviceError(f"{node} cannot be looked at after it was switched off: {error.strerror}") from error
    return True


def _scsi(fd: int, command: bytes) -> None:
    buffer = ctypes.create_string_buffer(command, len(command))
    sense = ctypes.create_string_buffer(32)
    request = bytearray(
        _SG_IO_HDR.pack(
            ord("S"), _SG_DXFER_NONE, len(command), len(sense), 0, 0, 0,
            ctypes.addressof(buffer), ctypes.addressof(sense), _TIMEOUT, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0,
        )
    )  # fmt: skip
    fcntl.ioctl(fd, _SG_IO, request)
    status, host, driver = (_SG_IO_HDR.unpack(request)[index] for index in (_STATUS, _HOST_STATUS, _DRIVER_STATUS))
    if status or host or driver & _DRIVER_ERROR:
        raise OSError(errno.EIO, f"SCSI status {status:#x}, host {host:#x}, driver {driver:#x}")
