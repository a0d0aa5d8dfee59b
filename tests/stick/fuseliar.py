"""A file that lies about its size, as counterfeit flash does: a FUSE filesystem of this one file.

    python -m tests.stick.fuseliar DISK LOG MOUNTPOINT REAL LIE

DISK has the size that is told; only its first REAL bytes keep what is written to them. LIE is wraps, zeros, drops or
errors. See `tests.stick.fusedisk` for the rest.
"""

from __future__ import annotations

import errno
import sys

from tests.stick import fusedisk
from tests.stick.liars import Lie


class FuseLiar(fusedisk.FuseDisk):
    """The server."""

    real = 0
    lie = Lie.NONE

    def read_disk(self, length: int, offset: int) -> bytes:
        return b"".join(self._read_piece(at, count) for at, count in self._pieces(offset, length))

    def write_disk(self, data: memoryview, offset: int) -> int:
        done = 0
        for at, count in self._pieces(offset, len(data)):
            self._write_piece(data[done : done + count], at)
            done += count
        return done

    def _pieces(self, offset: int, length: int) -> list[tuple[int, int]]:
        """The parts of an access between multiples of the real size."""
        found = []
        while length:
            count = min(length, self.real - offset % self.real)
            found.append((offset, count))
            offset, length = offset + count, length - count
        return found

    def _read_piece(self, at: int, count: int) -> bytes:
        if at < self.real:
            return super().read_disk(count, at)
        if self.lie is Lie.ERRORS:
            raise OSError(errno.EIO, "past the end")
        return super().read_disk(count, at % self.real) if self.lie is Lie.WRAPS else bytes(count)

    def _write_piece(self, data: memoryview, at: int) -> None:
        if at >= self.real and self.lie is Lie.ERRORS:
            raise OSError(errno.EIO, "past the end")
        if at < self.real or self.lie is Lie.WRAPS:
            super().write_disk(data, at % self.real)


def main(disk: str, log: str, mountpoint: str, real: str, lie: str) -> None:
    FuseLiar.real, FuseLiar.lie = int(real), Lie(lie)
    fusedisk.main(disk, log, mountpoint, server=FuseLiar)


if __name__ == "__main__":
    main(*sys.argv[1:])
