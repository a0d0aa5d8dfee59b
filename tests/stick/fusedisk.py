"""A file of which every write and every flush goes into a log: a FUSE filesystem that consists of this one file.

    python -m tests.stick.fusedisk DISK LOG MOUNTPOINT

The content is that of DISK, which is changed in place. MOUNTPOINT is a file. The requests are served one after the
other, and each is in the log before it is answered. The protocol is that of include/uapi/linux/fuse.h, version 7.31,
of which one file needs so little that it is written out here.

A record of the log is a byte W (write) or F (flush), offset and length as 64 bits, and the bytes written.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import os
import stat
import struct
import sys
from pathlib import Path

RECORD = struct.Struct("<cQQ")
MAXIMUM_WRITE = 1024 * 1024

_IN = struct.Struct("<IIQQIIII")
_OUT = struct.Struct("<IiQ")
_READ_WRITE = struct.Struct("<QQIIQII")
_UNANSWERED = (2, 36, 42)
"""FORGET, INTERRUPT, BATCH_FORGET."""
_BIG_WRITES, _MAX_PAGES = 1 << 5, 1 << 22
_DIRECT_IO = 1


class _Operation(enum.IntEnum):
    GETATTR = 3
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    INIT = 26


class FuseDisk:
    """The server; `run` returns when the file is unmounted."""

    def __init__(self, disk: Path, log: Path, device: int) -> None:
        self._disk = os.open(disk, os.O_RDWR)
        self._size = disk.stat().st_size
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND)
        self._device = device

    def run(self) -> None:
        while True:
            try:
                request = os.read(self._device, MAXIMUM_WRITE + 4096)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                if error.errno in (errno.ENOENT, errno.EINTR):
                    # the kernel took the request back
                    continue
                raise
            _length, operation, unique, *_rest = _IN.unpack_from(request)
            if operation in _UNANSWERED:
                continue
            try:
                answer, failed = self._answer(operation, memoryview(request)[_IN.size :]), 0
            except OSError as error:
                answer, failed = b"", error.errno or errno.EIO
            os.write(self._device, _OUT.pack(_OUT.size + len(answer), -failed, unique) + answer)

    def read_disk(self, length: int, offset: int) -> bytes:
        return os.pread(self._disk, length, offset)

    def write_disk(self, data: memoryview, offset: int) -> int:
        return os.pwrite(self._disk, data, offset)

    def _answer(self, operation: int, body: memoryview) -> bytes:
        match operation:
            case _Operation.INIT:
                flags = _BIG_WRITES | _MAX_PAGES
                pages = MAXIMUM_WRITE // 4096
                return struct.pack("<IIIIHHIIHHI28x", 7, 31, 0, flags, 16, 12, MAXIMUM_WRITE, 1, pages, 0, 0)
            case _Operation.GETATTR:
                mode = stat.S_IFREG | 0o600
                row = (1, self._size, self._size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
                return struct.pack("<QII", 3600, 0, 0) + struct.pack("<6Q10I", *row)
            case _Operation.OPEN:
                return struct.pack("<QII", 1, _DIRECT_IO, 0)
            case _Operation.READ:
                _handle, offset, length, *_rest = _READ_WRITE.unpack_from(body)
                return self.read_disk(length, offset)
            case _Operation.WRITE:
                _handle, offset, length, *_rest = _READ_WRITE.unpack_from(body)
                data = body[_READ_WRITE.size : _READ_WRITE.size + length]
                self._record(b"W", offset, data)
                if self.write_disk(data, offset) != length:
                    raise OSError(errno.EIO, "short write")
                return struct.pack("<II", length, 0)
            case _Operation.STATFS:
                return bytes(80)
            case _Operation.FSYNC:
                self._record(b"F", 0, memoryview(b""))
                return b""
            case _Operation.RELEASE:
                return b""
        raise OSError(errno.ENOSYS, f"operation {operation}")

    def _record(self, kind: bytes, offset: int, data: memoryview) -> None:
        record = RECORD.pack(kind, offset, len(data)) + data
        if os.write(self._log, record) != len(record):
            raise OSError(errno.EIO, "short write to the log")


def main(disk: str, log: str, mountpoint: str, server: type[FuseDisk] = FuseDisk) -> None:
    device = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode={stat.S_IFREG:o},user_id=0,group_id=0"
    if libc.mount(b"luxusb-test", mountpoint.encode(), b"fuse", ctypes.c_ulong(0), options.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mounting {mountpoint}: {os.strerror(number)}")
    server(Path(disk), Path(log), device).run()


if __name__ == "__main__":
    _disk, _log, _mountpoint = sys.argv[1:]
    main(_disk, _log, _mountpoint)
