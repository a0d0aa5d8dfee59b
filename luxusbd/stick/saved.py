"""What a probe overwrites and is to put back: a file of records, so that it can be put back after a crash, too.

A record is its block number, length and CRC-32 as little-endian 64, 32 and 32 bits, and the bytes. A record counts only
whole: one that a crash has cut was never followed by a write to the disk.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator

from luxusbd.errors import FailedError
from luxusbd.stick.blockio import sync, translated, write_all

MAGIC = b"LUXsaved"
_HEAD = struct.Struct("<8s16s")
_RECORD = struct.Struct("<QII")
LONGEST = 4 * 1024 * 1024
"""Bytes of one record."""


class Saved:
    """The records in a file; `begin` a new one, or `load` what an earlier probe left.

    Args:
        fd: the file, read-write; stays the caller's.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._index: list[tuple[int, int, int, int]] = []
        """(number, offset, length, checksum) of each record."""
        self._numbers: set[int] = set()
        self._end = 0
        self.salt = b""
        """Of the marks that overwrote the blocks."""

    def begin(self, salt: bytes) -> None:
        """Forget everything, and note the salt of the marks to come.

        Raises:
            LuxusbError: the file cannot be written.
        """
        self._index.clear()
        self._numbers.clear()
        self.salt = salt
        try:
            os.ftruncate(self._fd, 0)
        except OSError as error:
            raise translated(error, "noting what is on the disk") from error
        write_all(self._fd, _HEAD.pack(MAGIC, salt), 0)
        self._end = _HEAD.size

    def load(self) -> bool:
        """Take over what is in the file; False for a file without records.

        Raises:
            LuxusbError: it cannot be read.
        """
        try:
            return self._load()
        except OSError as error:
            raise translated(error, "reading what was kept of") from error

    def _load(self) -> bool:
        head = os.pread(self._fd, _HEAD.size, 0)
        if len(head) < _HEAD.size or head[:8] != MAGIC:
            return False
        _magic, self.salt = _HEAD.unpack(head)
        self._end = _HEAD.size
        while len(row := os.pread(self._fd, _RECORD.size, self._end)) == _RECORD.size:
            number, length, checksum = _RECORD.unpack(row)
            start = self._end + _RECORD.size
            if length > LONGEST or zlib.crc32(os.pread(self._fd, length, start)) != checksum:
                break
            self._index.append((number, start, length, checksum))
            self._numbers.add(number)
            self._end = start + length
        return bool(self._index)

    def room(self) -> int:
        """Bytes that the filesystem of the file has left."""
        there = os.fstatvfs(self._fd)
        return there.f_bavail * there.f_frsize

    def __contains__(self, number: int) -> bool:
        """Whether there is a record that begins with this block."""
        return number in self._numbers

    def add(self, number: int, data: bytes) -> None:
        """Keep what is in the blocks from `number`; it counts from `settle` on.

        Raises:
            LuxusbError: it cannot be written, as when the disk of this machine is full.
        """
        checksum = zlib.crc32(data)
        write_all(self._fd, _RECORD.pack(number, len(data), checksum), self._end)
        start = self._end + _RECORD.size
        write_all(self._fd, data, start)
        self._index.append((number, start, len(data), checksum))
        self._numbers.add(number)
        self._end = start + len(data)

    def settle(self) -> None:
        """From the return of this on, a crash loses none of it.

        Raises:
            LuxusbError: it could not be written.
        """
        sync(self._fd)

    def newest_first(self) -> Iterator[tuple[int, bytes]]:
        """(number, data) of every record, the one that was added last first.

        Raises:
            FailedError: the file is not what was written to it.
        """
        for row in reversed(self._index):
            yield row[0], self._read(row)

    def clear(self) -> None:
        """Forget everything: it is where it was."""
        self._index.clear()
        self._numbers.clear()
        os.ftruncate(self._fd, 0)

    def _read(self, row: tuple[int, int, int, int]) -> bytes:
        _number, start, length, checksum = row
        data = os.pread(self._fd, length, start)
        if zlib.crc32(data) != checksum:
            raise FailedError("what was kept of the disk cannot be read back: this machine's own disk is failing")
        return data
